"""The section on findings: what `repset check` saw in each source, and copies between sources."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from repset.curate.checks import CODES, SEVERITIES, check_across
from repset.project import Project
from repset.records import read_rows
from repset.report.blocks import Bars, More, Section, Table, Text, bar, missing, number
from repset.report.facts import Source

COLOURS: dict[str, str] = {"error": "#D55E00", "warning": "#E69F00", "note": "#56B4E9"}
"""Severity → colour (Okabe-Ito)."""

_SHOWN = 5
"""Sentences of one code in one source; the rest stand in findings.parquet."""


def findings(project: Project, sources: Sequence[Source]) -> Section:
    """Per source: findings by code and severity with examples; then copies across sources."""
    lead = (
        "What repset check saw: an error makes an item or a score wrong, a warning should be looked at, a note is good "
        "to know. Nothing was dropped; copies and neighbours lie on one side of our split."
    )
    section = Section("findings", "Findings of the checks", "Findings", lead)
    checked = [s for s in sources if (project.checks(s.name) / "findings.parquet").is_file()]
    section.add(*missing([s.name for s in sources if s not in checked], "check", "been checked"))
    if not checked:
        return section
    rows = {s.name: read_rows(project.checks(s.name) / "findings.parquet", "findings") for s in checked}
    counts = {name: Counter(str(row["severity"]) for row in found) for name, found in rows.items()}
    bars = [
        bar(name, {severity: counts[name][severity] for severity in SEVERITIES}, COLOURS) for name in rows if rows[name]
    ]
    if bars:
        section.add(Bars("Findings by severity", bars, list(COLOURS.items())))
        section.add(Table("Findings by code", ("source", "code", "meaning", *SEVERITIES), _by_code(rows)))
        for name, found in rows.items():
            if found:
                examples = Table(f"Examples: {name}", ("code", "sample", "frame", "finding"), _examples(found))
                section.add(More(f"Examples from {name}", [examples]))
    quiet = [name for name, found in rows.items() if not found]
    if quiet:
        section.add(Text(f"Nothing was found in {', '.join(quiet)}."))
    if len(checked) > 1:
        section.add(*_across(project, [source.name for source in checked]))
    return section


def _by_code(rows: dict[str, list[dict[str, Any]]]) -> list[list[str]]:
    table = []
    for name, found in rows.items():
        counts = Counter((str(row["code"]), str(row["severity"])) for row in found)
        for code, meaning in CODES.items():
            if any(counts[code, severity] for severity in SEVERITIES):
                table.append([name, code, meaning, *(number(counts[code, severity]) for severity in SEVERITIES)])
    return table


def _examples(found: list[dict[str, Any]]) -> list[list[str]]:
    shown: Counter[str] = Counter()
    table = []
    for row in found:  # the table is sorted by severity, so the gravest come first
        shown[row["code"]] += 1
        if shown[row["code"]] <= _SHOWN:
            native = (row["sample_id"] or "").partition("/")[2] or "the source"
            table.append([row["code"], native, number(row["frame"]), row["sentence"]])
    return table


def _across(project: Project, names: list[str]) -> list[Any]:
    found = check_across(project, names)
    if not found:
        return [Text(f"No picture of one source is a copy of another source's ({', '.join(names)}).")]
    rows = [[row["sample_id"], row["other_id"], row["sentence"]] for row in found[: 4 * _SHOWN]]
    return [Table(f"Copies between sources: {number(len(found))}", ("sample", "of another source", "finding"), rows)]
