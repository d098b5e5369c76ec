"""How far the labeller's angles are off, as its report cards measured it (datasets/labeller/*.json).

A verdict that hangs on fewer degrees than this is within measurement error, whatever the rule says.
"""

from dataclasses import dataclass
from typing import Any

from repset.errors import RepsetError
from repset.project import Project, find_project
from repset.records import read_json

MIN_FRAMES = 30  # fewer measure nothing (the project's own choice)


@dataclass(frozen=True)
class AngleError:
    """Measured error of one angle.

    Attributes:
        deg: median of the absolute error over frames, degrees.
        frames: how many were measured.
        where: the card and the part of it that was used, in words.
    """

    deg: float
    frames: int
    where: str

    def __str__(self) -> str:
        return f"±{self.deg:.1f}° ({self.where}, {self.frames} frames)"


@dataclass(frozen=True)
class ErrorCards:
    """The report cards there are; real sets before rendered ones, then by name."""

    cards: tuple[dict[str, Any], ...] = ()

    def of(self, angle: str, exercise: str, view: str) -> AngleError | None:
        """The error of an angle in an exercise seen from a view; None where no card measured it.

        Of the cells that fit (exercise, view), the larger error is taken; the angle's overall error only where neither
        is there. The image angle stands for the reach angle too, which no card measures.
        """
        for card in self.cards:
            for scores in (card.get("angles") or {}).values():
                cells = [
                    _cell(scores.get("per_exercise"), exercise, angle, card),
                    _cell(scores.get("per_view"), view, angle, card),
                ]
                found = [cell for cell in cells if cell is not None]
                overall = _cell({"all exercises": scores.get("overall")}, "all exercises", angle, card)
                if found or overall:
                    return max(found, key=lambda error: error.deg) if found else overall
        return None


def _cell(scores: Any, key: str, angle: str, card: dict[str, Any]) -> AngleError | None:
    cell = ((scores or {}).get(key) or {}).get(angle) or {}
    deg, frames = cell.get("median_deg"), int(cell.get("n") or 0)
    if deg is None or frames < MIN_FRAMES:
        return None
    return AngleError(float(deg), frames, f"{card['source']}, {key.replace('_', ' ')}")


def load_cards(project: Project | None) -> ErrorCards:
    """Every report card of a project; none where there is no project.

    Raises: DataError for a card that does not parse.
    """
    if project is None:
        return ErrorCards()
    folder = project.labeller_scores("any").parent
    cards = [read_json(path) for path in sorted(folder.glob("*.json"))]
    return ErrorCards(tuple(sorted(cards, key=lambda card: card.get("data") == "rendered sample")))


def here() -> Project | None:
    """The project around the current folder, None where there is none."""
    try:
        return find_project()
    except RepsetError:
        return None
