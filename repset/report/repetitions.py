"""The section on repetitions: angle curves with what was counted in them, how it was judged, how far and how fast."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from repset.report import pictures
from repset.report.blocks import Gallery, Heading, Missing, Section, Table, missing, number, words
from repset.report.facts import Source

TEMPO = ("eccentric_s", "pause_s", "concentric_s")
"""Columns of the table `reps`, in the order in which coaches write a tempo."""


def curves(sources: Sequence[Source]) -> Section:
    """Angle curves with counted repetitions and limits."""
    lead = (
        "The angle that is counted, over time. A band is a repetition (in brackets: not completed), its colour and "
        "sign the verdict (✓ correct, ✗ incorrect, ? unscorable), a dotted line its turn, a dashed line a rule's limit."
    )
    section = Section("curves", "Angles and repetitions", "Angles", lead)
    waiting = [s.name for s in sources if not s.labelled and any(row["kind"] != "image" for row in s.samples)]
    section.add(*missing(waiting, "autolabel", "been labelled automatically"))
    for source in sources:
        if not source.labelled:
            continue
        figures = pictures.curves(source)
        if figures:
            section.add(Heading(source.name, source.mark), Gallery(figures, "wide"), *verdict_tables(source))
    if not section.blocks:
        section.add(Missing("No clip has automatic labels yet.", "dvc repro autolabel"))
    return section


def verdict_tables(source: Source) -> list[Table]:
    """Repetitions by exercise: how many, how judged, how far and how fast."""
    reps, verdicts = defaultdict[str, list[Any]](list), Counter[tuple[str, str]]()
    for rows in source.reps.values():
        for row in rows:
            reps[str(row["exercise"])].append(row)
    for rows in source.form.values():
        verdicts.update((str(r["exercise"]), str(r["verdict"])) for r in rows if r["level"] == "rep")
    names = ("correct", "incorrect", "unscorable")
    table = [
        [words(e), number(len(rows)), *(number(verdicts[e, v]) for v in names), _range(rows), _tempo(rows)]
        for e, rows in sorted(reps.items())
    ]
    columns = ("exercise", "repetitions", *names, "range of motion", "down, pause, up (s)")
    title = "Repetitions counted and judged; range of motion and tempo are medians"
    return [Table(title, columns, table)] if table else []


def _range(reps: Sequence[Mapping[str, Any]]) -> str:
    """Median range of motion; – where none was measured."""
    known = [row["range_deg"] for row in reps if row["range_deg"] is not None]
    return f"{median(known):.0f}°" if known else "–"


def _tempo(reps: Sequence[Mapping[str, Any]]) -> str:
    """Median seconds of each phase, over the repetitions that show it; – where none does."""
    phases = [[row[name] for row in reps if row[name] is not None] for name in TEMPO]
    return ", ".join(f"{median(known):.1f}" if known else "–" for known in phases) if any(phases) else "–"
