"""A difference in people's words: as text, as Markdown for a pull request, and as JSON."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from repset.curate.diff import ADDED, EDITED, FLIPPED, MOVED, REMOVED, TIER, Change, Diff, SourceDiff, TableDiff

_THINGS = {"muscle_mask": ("mask", "masks"), "form": ("verdict", "verdicts"), "exercise": ("name", "names")}
_UNITS = {"muscle_mask": ("mask", "masks"), "form": ("repetition", "repetitions"), "exercise": ("stretch", "stretches")}
_LISTED = 50  # changes of one table that Markdown names one by one
_NAMED = 5  # samples that a line names


def as_text(diff: Diff) -> str:
    """A line a fact, what did not change in one line at the end."""
    lines = [f"curated set: {diff.before} → {diff.after}"]
    for title, facts in _facts(diff):
        lines += [f"{title}", *(f"  {fact}" for fact in facts)]
    same = _unchanged(diff)
    if not diff.changed:
        lines.append("Nothing changed: every label, sample and fold is the same.")
    elif same:
        lines.append(f"unchanged: {same}")
    return "\n".join(lines)


def as_markdown(diff: Diff) -> str:
    """For a pull request: a table of counts, the facts, and the single changes folded away."""
    lines = [f"### Curated set: `{diff.before}` → `{diff.after}`", ""]
    if not diff.changed:
        return "\n".join([*lines, "Nothing changed: every label, sample and fold is the same.", ""])
    lines += ["| task | source | labels | edited | changed | moved | added | removed |",
              "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for table in diff.tables:
        counts = [str(len(table.of(what))) for what in (EDITED, FLIPPED, MOVED, ADDED, REMOVED)]
        labels = f"{table.labels[0]} → {table.labels[1]}"
        lines.append(f"| {table.task} | {table.source} | {labels} | {' | '.join(counts)} |")
    lines.append("")
    for title, facts in _facts(diff):
        lines += [f"**{title}**", "", *(f"- {fact}" for fact in facts), ""]
    for table in diff.tables:
        if table.changes:
            lines += [f"<details><summary>{table.task} on {table.source}: every change</summary>", ""]
            lines += [f"- {_one(change)}" for change in table.changes[:_LISTED]]
            if len(table.changes) > _LISTED:
                lines.append(f"- and {len(table.changes) - _LISTED} more")
            lines += ["", "</details>", ""]
    return "\n".join(lines)


def as_json(diff: Diff) -> dict[str, Any]:
    """Everything, JSON-ready."""
    return {
        "before": diff.before,
        "after": diff.after,
        "changed": diff.changed,
        "tables": [
            {
                "task": table.task,
                "source": table.source,
                "labels": {"before": table.labels[0], "after": table.labels[1]},
                "counts": {what: len(table.of(what)) for what in (EDITED, FLIPPED, MOVED, ADDED, REMOVED, TIER)},
                "mean_iou": {what: _rounded(table.mean_iou(what)) for what in (EDITED, MOVED)},
                "turns": [
                    {"before": before, "after": after, "number": number}
                    for (before, after), number in _by_number(table.turns(FLIPPED))
                ],
                "reviewers": dict(sorted(table.reviewers.items())),
                "changes": [change.as_json() for change in table.changes],
            }
            for table in diff.tables
        ],
        "sources": [
            {
                "source": one.source,
                "samples": {"before": one.samples[0], "after": one.samples[1]},
                "added": one.added,
                "dropped": one.dropped,
                "moved": [{"sample_id": name, "before": old, "after": new} for name, old, new in one.moved],
            }
            for one in diff.sources
        ],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _facts(diff: Diff) -> Iterator[tuple[str, list[str]]]:
    """Title and sentences of whatever changed."""
    for source in diff.sources:
        if source.changed:
            yield f"samples of {source.source}", list(_sample_facts(source))
    for table in diff.tables:
        if table.changes:
            yield f"{table.task} on {table.source}", list(_table_facts(table))


def _sample_facts(source: SourceDiff) -> Iterator[str]:
    for what, names in (("added", source.added), ("dropped", source.dropped)):
        if names:
            yield f"{_count(len(names), 'sample', 'samples')} {what}: {_names(names)}"
    if source.moved:
        turns = Counter((old, new) for _, old, new in source.moved)
        names = [name for name, _, _ in source.moved]
        yield f"{_count(len(names), 'sample', 'samples')} moved in the split ({_turns(turns)}): {_names(names)}"


def _table_facts(table: TableDiff) -> Iterator[str]:
    thing, unit = _THINGS[table.task], _UNITS[table.task]
    if edited := table.of(EDITED):
        yield f"{_count(len(edited), *thing)} edited, mean IoU to the old one {table.mean_iou(EDITED):.3f}"
    if flipped := table.of(FLIPPED):
        word = "flipped" if table.task == "form" else "changed"
        yield f"{_count(len(flipped), *thing)} {word}: {_turns(table.turns(FLIPPED))}"
    if moved := table.of(MOVED):
        size = f"mean IoU to the old one {table.mean_iou(MOVED):.3f}"
        yield f"{_count(len(moved), 'boundary', 'boundaries')} moved, {size}"
    for what in (ADDED, REMOVED):
        if changes := table.of(what):
            kinds = Counter(str(one.after if what == ADDED else one.before) for one in changes)
            words = ", ".join(f"{number} {name}" for name, number in _by_number(kinds))
            yield f"{_count(len(changes), *unit)} {what} ({words})"
    if tiers := table.of(TIER):
        yield f"{_count(len(tiers), 'label', 'labels')} of the same value in another tier: {_turns(table.turns(TIER))}"
    if table.reviewers:
        yield "decided by " + ", ".join(f"{name} ({number})" for name, number in _by_number(table.reviewers))


def _unchanged(diff: Diff) -> str:
    return ", ".join(f"{t.task} on {t.source} ({t.labels[1]} labels)" for t in diff.tables if not t.changes)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _by_number(counts: Counter[Any]) -> list[tuple[Any, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def _turns(turns: Counter[tuple[str, str]]) -> str:
    return ", ".join(f"{number} {before} → {after}" for (before, after), number in _by_number(turns))


def _names(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _one(change: Change) -> str:
    """One change, for the list."""
    interval = change.target.get("interval_s")
    person = change.target.get("person")
    parts = [str(change.target.get("class") or ""), f"person {person}" if person else "",
             f"{interval[0]:.2f}–{interval[1]:.2f} s" if interval else ""]  # fmt: skip
    place = ", ".join(part for part in parts if part)
    turn = f": {change.before or 'nothing'} → {change.after or 'nothing'}" if change.what in (FLIPPED, TIER) else ""
    said = (
        f" ({change.before or change.after})"
        if change.what in (ADDED, REMOVED) and not change.target.get("class")
        else ""
    )
    size = "" if change.iou is None else f", IoU {change.iou:.3f}"
    who = f", {change.reviewer}" if change.reviewer else ""
    return f"`{change.sample_id}` {place}{' ' if place else ''}{change.what}{said}{turn}{size}{who}"
