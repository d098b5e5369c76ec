"""The cards of the sources, `datasets/<source>/README.md`: what each must say, and the counts taken from the index.

The counts stand between two comments and are written by `repset cards --write` alone; all else is a person's.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repset.errors import DataError
from repset.exercises import NONE
from repset.project import Project
from repset.records import read_json, read_rows, write_text

BEGIN = "<!-- counts: written by `repset cards --write` -->"
END = "<!-- /counts -->"
NOT_COUNTED = "Not counted yet: there was no index when this card was written."

_KINDS = {"image": "images", "clip": "clips", "poses": "recordings of poses"}
REQUIRED: dict[str, str] = {
    "| Origin |": "where it comes from",
    "| Pull |": "how to get it",
    "| Licence |": "its licence, or that none is known",
    "| Consent |": "whether the people in it agreed",
    "## Known flaws": "its known flaws",
    BEGIN: "the counts block",
}
"""What every card has, and what it is for."""


@dataclass(frozen=True)
class CardState:
    """One card.

    Attributes:
        gaps: what it lacks, in words; stale: its counts differ from the index; counted: there is an index.
    """

    source: str
    path: Path
    gaps: tuple[str, ...]
    stale: bool
    counted: bool


def sources_with_cards(project: Project) -> list[str]:
    """Sources that have a file under pipelines/, sorted."""
    return sorted(path.stem for path in project.pipelines.glob("*.yaml") if path.stem not in ("profile", "real"))


def gaps_of(text: str) -> list[str]:
    """What a card's text lacks of REQUIRED, in words."""
    return [what for words, what in REQUIRED.items() if words not in text or not _said(text, words)]


def _said(text: str, words: str) -> bool:
    """A table row with an empty cell says nothing."""
    rest = text.split(words, 1)[1].split("\n", 1)[0]
    return bool(rest.strip(" |")) if words.startswith("|") else True


def check_card(project: Project, source: str, write: bool = False) -> CardState:
    """Compare one card with its index, and with `write` renew its counts (a card without the block gets one).

    Raises: DataError if there is no card, or one of the two comments is missing.
    """
    path = project.source(source) / "README.md"
    where = path.relative_to(project.root)
    if not path.is_file():
        raise DataError(where, f"a card for pipelines/{source}.yaml", "no file", "Write it as other cards are")
    text = path.read_text(encoding="utf-8")
    if (BEGIN in text) != (END in text) or text.count(BEGIN) > 1 or text.count(END) > 1:
        raise DataError(where, f"one {BEGIN} and one {END}", "one of them alone, or one twice", "Restore both")
    counted = (project.index(source) / "samples.parquet").is_file()
    fresh = with_counts(text, counts_block(project, source)) if counted else text
    if write and BEGIN not in fresh:
        fresh = with_counts(text, NOT_COUNTED)
    if write and fresh != text:
        write_text(path, fresh)
        text = fresh
    return CardState(source, path, tuple(gaps_of(text)), fresh != text, counted)


def with_counts(text: str, block: str) -> str:
    """A card's text with `block` between the comments; one without them gets them before its first `## ` heading."""
    framed = f"{BEGIN}\n{block}\n{END}"
    if BEGIN in text:
        before, rest = text.split(BEGIN, 1)
        return before + framed + rest.split(END, 1)[1]
    head, heading, tail = text.partition("\n## ")
    return head.rstrip("\n") + f"\n\n{framed}\n" + (heading + tail if heading else "")


def counts_block(project: Project, source: str) -> str:
    """The counts of an index as a table."""
    index = project.index(source)
    samples = read_rows(index / "samples.parquet", "samples")
    kinds = Counter(row["kind"] for row in samples)
    said = ", ".join(f"{kinds[kind]:,} {words}" for kind, words in _KINDS.items() if kinds[kind])
    rows: list[tuple[str, str]] = [("samples", said)]
    rows.append(("groups", f"{len({row['group'] for row in samples}):,}"))
    if frames := sum(row["frames"] or 0 for row in samples if row["kind"] != "image"):
        rows.append(("frames of clips", f"{frames:,}"))
    report = read_json(index / "report.json")
    if stored := report["counts"].get("frames"):
        rows.append(("images stored", f"{stored:,}"))
    if any(row["official_split"] for row in samples):
        rows.append(("official split", _counted(row["official_split"] or "none" for row in samples)))
    if any(row["exercise_native"] for row in samples):
        rows.append(("exercises", _counted(row["exercise_native"] or "not named" for row in samples)))
    if masks := read_rows(index / "masks.parquet", "masks", ["label"]):
        rows.append(("masks", _counted(row["label"] for row in masks)))
    if sets := read_rows(index / "sets.parquet", "sets", ["exercise", "reps"]):
        real = [row for row in sets if row["exercise"] != NONE]
        rows.append(("sets", _counted(row["exercise"] for row in real)))
        rows.append(("sets and rests", f"{len(real):,} sets, {len(sets) - len(real):,} rests"))
        rows.append(("repetitions counted in sets", f"{sum(row['reps'] or 0 for row in real):,}"))
    if reps := read_rows(index / "reps.parquet", "reps", ["complete"]):
        rows.append(("repetitions with limits", f"{len(reps):,}"))
    if form := read_rows(index / "form.parquet", "form", ["verdict"]):
        rows.append(("verdicts", _counted(row["verdict"] for row in form)))
    if poses := report["counts"].get("poses"):
        rows.append(("poses", f"{poses:,}"))
    rows += [(f"left out: {reason}", f"{count:,}") for reason, count in report["left_out"].items()]
    if report["skipped"]:
        rows.append(("faulty items skipped", f"{len(report['skipped']):,}"))
    lines = ["| in the index | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    return "\n".join(lines)


def _counted(values: Iterable[Any]) -> str:
    """`squat 5, sit_up 4`: names with their counts, by name."""
    return ", ".join(f"{name} {count:,}" for name, count in sorted(Counter(values).items()))
