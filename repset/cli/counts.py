"""The counts of a seed or curated table, for the terminal."""

from rich.console import Console
from rich.table import Table

from repset.curate.build import Built
from repset.curate.splits import FOLDS


def print_built(built: Built) -> None:
    """Classes by fold, tiers, agreement, what was left out, and the path written."""
    report, console = built.report, Console(soft_wrap=True)
    table = Table("class", *FOLDS, title=f"{report['task']} on {report['source']}: {report['rows']} labels")
    for name, counts in report["classes"].items():
        table.add_row(name, *(str(counts[fold]) for fold in FOLDS))
    table.add_section()
    table.add_row("all", *(str(report["folds"][fold]) for fold in FOLDS))
    console.print(table, soft_wrap=False)
    console.print("tiers: " + ", ".join(f"{tier} {count}" for tier, count in report["tiers"].items()))
    decisions = report["decisions"]
    if decisions["read"]:
        status = ", ".join(f"{count} {name}" for name, count in decisions["status"].items())
        console.print(f"decisions: {decisions['read']} ({status}), {len(decisions['conflicts'])} conflicts")
    if (agreed := report["agreement"])["compared"]:
        console.print(f"automatic labels equal to the dataset's: {agreed['equal']} of {agreed['compared']}")
    for reason, count in report["left_out"].items():
        console.print(f"left out: {count} × {reason}")
    for note in report["notes"]:
        console.print(f"note: {note}")
    console.print(f"written: {built.path}")
