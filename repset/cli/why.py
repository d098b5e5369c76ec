"""`repset why`."""

import click
from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from repset.curate.chain import Chain, trace
from repset.curate.decision import Decision
from repset.curate.slots import Row, Slot
from repset.curate.targets import as_dict
from repset.project import find_project

_WIDE = 1000  # columns: the terminal wraps a long line, rich would cut it off


@click.command()
@click.argument("sample")
def command(sample: str) -> None:
    """Show where each label of a sample comes from.

    For every target: the labels of dataset, models and rules, each decision with what became of it, and the label
    that holds, with its tier.

    \b
    Example:
        repset why sample_penn_action/0001
    """
    Console(highlight=False, width=_WIDE).print(_tree(trace(find_project(), sample)))


def _tree(chain: Chain) -> Tree:
    row, split = chain.sample, chain.split
    fold = f"fold {split['fold']}, group {split['group']}" if split else f"not split yet, group {row['group']}"
    official = f", official split {row['official_split']}" if row["official_split"] else ""
    facts = f"{row['kind']}, {fold}{official}"
    tree = Tree(f"[bold]{escape(row['sample_id'])}[/bold]  {escape(facts)}")
    for task in chain.tasks:
        branch = tree.add(f"[bold]{task.task}[/bold]")
        for slot in task.slots:
            _add_slot(branch, slot, task.status)
        if task.aside:
            aside = branch.add("set aside")
            for decision in task.aside:
                aside.add(escape(_decision(decision, task.status[decision.id])))
        for note in task.notes:
            branch.add(f"[dim]{note}[/dim]")
    if not chain.tasks:
        tree.add("no label and no decision")
    return tree


def _add_slot(branch: Tree, slot: Slot, status: dict[str, str]) -> None:
    outcome = f"{escape(_value(slot.row))}  [bold]{slot.row['tier']}[/bold]" if slot.row else f"no label: {slot.note}"
    node = branch.add(f"{escape(_target(slot))} → {outcome}")
    for row in slot.candidates:
        node.add(escape(f"{row['origin']}{_hash(row['origin_hash'])}: {_value(row)}  ({row['tier']})"))
    for decision in sorted([*slot.decisions, *slot.stale], key=lambda decision: (decision.time, decision.id)):
        node.add(escape(_decision(decision, status[decision.id])))
    if slot.row and (slot.row["original_value"] or slot.row["original_blob"]):
        node.add(escape(f"the dataset's own value is kept: {slot.row['original_value'] or 'mask'}"))


def _target(slot: Slot) -> str:
    key = slot.key
    parts = [key.label, f"variant {key.variant}" if key.variant else "", f"person {key.person}" if key.person else ""]
    if slot.interval is not None:
        parts.append(f"{slot.interval[0]:.2f}–{slot.interval[1]:.2f} s")
    return ", ".join(part for part in parts if part) or "whole clip"


def _value(row: Row) -> str:
    rule = as_dict(row["target"]).get("rule_id")
    return ("mask" if row["blob"] is not None else str(row["value"]).strip('"')) + (f" by {rule}" if rule else "")


def _hash(origin_hash: str | None) -> str:
    return f" {origin_hash[:12]}" if origin_hash else ""


def _decision(decision: Decision, status: str) -> str:
    value = "" if decision.value is None else f" {decision.value}"
    return f"{decision.at} {decision.reviewer} ({decision.tool}): {decision.action}{value} → {status}  {decision.id}"
