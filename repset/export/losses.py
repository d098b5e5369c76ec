"""What an export could not take along, counted and measured."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Losses:
    """Sentences with counts, in the order they were first met.

    Attributes:
        rows: sentence → count, of how many, and the worst measure seen.
    """

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, what: str, count: int = 1, of: int | None = None, worst: float | None = None) -> None:
        """Count something that is lost; a count of 0 only adds to the total.

        Args:
            what: the sentence, without a full stop; of: how many there were; worst: a measure, the lowest is kept.
        """
        row = self.rows.setdefault(what, {"count": 0, "of": None, "worst": None})
        row["count"] += count
        if of is not None:
            row["of"] = (row["of"] or 0) + of
        if worst is not None:
            row["worst"] = worst if row["worst"] is None else min(row["worst"], worst)

    def as_rows(self) -> list[dict[str, Any]]:
        """For loss.json: what was really lost."""
        return [{"what": what} | row for what, row in self.rows.items() if row["count"]]

    def sentences(self) -> Iterator[str]:
        """One line a loss, for people."""
        for row in self.as_rows():
            total = f" of {row['of']:,}" if row["of"] is not None else ""
            worst = f"; worst {row['worst']:.3f}" if row["worst"] is not None else ""
            yield f"{row['what']}: {row['count']:,}{total}{worst}"
