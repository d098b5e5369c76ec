"""The section on what was taken over without a person, and what its bound and the held-out gold say."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from repset.params import Profile
from repset.project import Project
from repset.report.blocks import Section, Table, missing, number, words
from repset.report.facts import Source, optional_json

COUNT = "count"
HEAD = ("labels", "groups of known truth", "least score", "upper bound of the error", "wrong on held-out gold",
        "taken of the unlabelled", "share", "why no more")  # fmt: skip


def acceptance(project: Project, profile: Profile, sources: Sequence[Source]) -> Section:
    """One row a pool of classes: coverage, bound, and the error found on gold that chose nothing."""
    lead = ("Proposals become labels without a person only above a score whose error is bounded, on gold that no model "
            "learned from.")  # fmt: skip
    section = Section("acceptance", "What was taken over without a person", "Taken over", lead)
    rows: list[list[str]] = []
    waiting: list[str] = []
    note = ""
    for task, name, stage in _asked(profile, sources):
        report = optional_json(project.accepted(task, name) / "report.json")
        if report is None:
            waiting.append(stage)
        elif report["items"]:
            rows += [_row(f"{words(task)}: {name}", report, pool) for pool in report["pools"] or [{}]]
            note = f"Promised: at most {report['max_error']:.0%} wrong, at {report['confidence']:.0%} confidence."
    section.add(
        *missing([one for one in waiting if one != COUNT], "accept", "been searched for proposals to take over")
    )
    section.add(*missing([one.name for one in sources] if COUNT in waiting else [], "accept_count",
                         "had their automatic counts weighed"))  # fmt: skip
    if rows:
        section.add(Table("Taken over under a bound", HEAD, rows, note))
    return section


def _asked(profile: Profile, sources: Sequence[Source]) -> Iterator[tuple[str, str, str]]:
    """(task, source, name of the stage's item) in the order of the graph."""
    for key, pair in profile.pairs.items():
        yield pair.task, pair.source, key
    for source in sources:
        yield COUNT, source.name, COUNT


def _row(label: str, report: Mapping[str, Any], pool: Mapping[str, Any]) -> list[str]:
    candidates, taken, held_out = pool.get("candidates"), pool.get("accepted"), pool.get("held_out") or {"items": 0}
    several, found = len(report["pools"]) > 1, pool.get("threshold") is not None
    return [
        f"{label} ({', '.join(pool['classes'])})" if several else label,
        number(pool.get("groups", 0)),
        number(pool.get("threshold")),
        number(pool["bound"] if found else None),
        f"{held_out['wrong']} of {held_out['items']}" if held_out["items"] else "–",
        f"{number(taken)} of {number(candidates)}" if pool else f"0 of {number(report['candidates'])}",
        number(taken / candidates) if candidates else "–",
        _reason(report, pool),
    ]


def _reason(report: Mapping[str, Any], pool: Mapping[str, Any]) -> str:
    """Why a pool takes no more, in words; '' where it takes what it can."""
    if not pool and (audit := report["audit"]):
        return f"no truth yet: {audit['judged']} of {audit['wanted']} of the audit are judged"
    if pool and pool["groups_missing"]:
        return f"{pool['groups_missing']} of {pool['groups_needed']} groups of known truth are missing"
    if pool and pool["threshold"] is None:
        return "no score keeps the error low enough"
    return "" if report["candidates"] else "every sample to train on has a label already"
