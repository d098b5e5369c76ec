"""The stage `accept`: proposals taken over without a person, under a threshold whose error is bounded.

A threshold is sought for every class of every source by itself (`acceptance_bound`), on items whose truth is known and
from which nothing was learned: the fold calibration with gold labels, the ledger's corrections included. Classes with
few groups there are pooled. A source without gold is audited first: people judge a random draw of candidates.

Taken are candidates above the threshold: fold train (a proposal must never become what a model is chosen or judged
by), without a label of the dataset, and not those that people have found wrong.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from repset.curate.acceptance_bound import Choice, choose, groups_needed
from repset.curate.acceptance_counts import count_slots, counted_sets
from repset.curate.acceptance_items import COUNT, Item, is_wrong, items_of
from repset.curate.build import Built
from repset.curate.gather import gather
from repset.curate.ledger import Ledger
from repset.curate.merge import merge_slots
from repset.curate.slots import LABEL_COLUMNS, PROPOSED, Row, Slot, find
from repset.curate.targets import BACKGROUND, as_dict, interval_of, key_of
from repset.params import AcceptParams
from repset.project import Project
from repset.records import atomic_folder, read_rows, sha256_bytes, write_json, write_table

_GOLD = ("gold", "gold_corrected")


@dataclass(frozen=True)
class Pool:
    """Classes that share a threshold, and the search for it."""

    kinds: tuple[str, ...]
    groups: int  # with known truth
    choice: Choice


@dataclass(frozen=True)
class _Known:
    """What is known of the truth.

    Attributes:
        by: "gold" | "audit".
        items: pairs (item, wrong) to find the threshold on; held_out: gold ones of the fold test, to check it on.
        audit: items that people are asked to judge; empty where there is gold.
    """

    by: str
    items: list[tuple[Item, bool]]
    held_out: list[tuple[Item, bool]]
    audit: list[Item]


def accept(project: Project, task: str, source: str, params: AcceptParams) -> Built:
    """Write `datasets/accepted/<task>/<source>`: table.parquet (columns of `proposals`) and report.json.

    Args:
        task: a task of the tables, or `count`: repetitions of a set, as the labeller found them.
    Raises: DataError if the proposals (for counts: the automatic labels), the index or the split are not there.
    """
    proposals, truth = _counts(project, source) if task == COUNT else _labels(project, task, source)
    split = {row["sample_id"]: row for row in read_rows(project.split(source) / "split.parquet", "split")}
    items = items_of(task, proposals, split)
    labelled = {name for name, slots in truth.items() if any(slot.dataset is not None for slot in slots)}
    candidates = [item for item in items if item.fold == "train" and item.sample_id not in labelled]
    known = _known(task, items, candidates, truth, labelled, params)
    pools = pools_of(known.items, params)
    taken, refused = [], Counter[str]()
    for item in items:
        reason = _refusal(item, labelled, pools)
        if reason is None and _found_wrong(task, item, truth.get(item.sample_id, [])):
            reason = "people found it wrong"
        if reason is None:
            taken.append(item)
        else:
            refused[reason] += 1
    report = {
        "task": task,
        "source": source,
        "max_error": params.max_error,
        "confidence": params.confidence,
        "proposals": len(proposals),
        "items": len(items),
        "candidates": len(candidates),
        "accepted": len(taken),
        "coverage": len(taken) / len(candidates) if candidates else None,
        "refused": dict(sorted(refused.items())),
        "known_by": known.by,
        "pools": [_pool_facts(pool, candidates, known, params) for pool in pools],
        "audit": _audit_facts(known, params),
    }
    rows = [row for item in taken for row in item.rows]
    rows.sort(key=lambda row: (row["sample_id"], row["target"], row["origin_hash"] or "", row["value_hash"] or ""))
    folder = project.accepted(task, source)
    with atomic_folder(folder) as temporary:
        write_table(temporary / "table.parquet", "proposals", rows)
        write_json(temporary / "report.json", report)
    return Built(folder / "table.parquet", report)


def _counts(project: Project, source: str) -> tuple[list[Row], dict[str, list[Slot]]]:
    proposals = counted_sets(project, source)
    return proposals, count_slots(project, source, proposals)


def _labels(project: Project, task: str, source: str) -> tuple[list[Row], dict[str, list[Slot]]]:
    """A model's proposals, and what dataset and people say; there too lie the proposals, for decisions to find."""
    proposals = read_rows(project.proposals(task, source) / "table.parquet", "proposals")
    gathered = gather(project, task, source, automatic=False)
    decisions = [d for d in Ledger(project.reviews).read() if d.sample_id in gathered.samples]
    shown = [
        {column: row.get(column) for column in LABEL_COLUMNS} | {"tier": PROPOSED}
        for row in proposals
        if row["sample_id"] in gathered.samples
    ]
    truth: dict[str, list[Slot]] = defaultdict(list)
    for slot in merge_slots([*gathered.rows, *shown], decisions, task)[0]:
        truth[slot.key.sample_id].append(slot)
    return proposals, truth


def _rows(slots: Sequence[Slot]) -> list[Row]:
    return [slot.row for slot in slots if slot.row is not None]


def _known(
    task: str,
    items: Sequence[Item],
    candidates: Sequence[Item],
    truth: Mapping[str, list[Slot]],
    labelled: set[str],
    params: AcceptParams,
) -> _Known:
    """Gold of the folds calibration and test; without any in calibration, what people said of the audit."""
    folds: dict[str, list[tuple[Item, bool]]] = {"calibration": [], "test": []}
    for item in items:
        rows = _rows(truth.get(item.sample_id, []))
        if item.fold in folds and item.sample_id in labelled and all(row["tier"] in _GOLD for row in rows):
            folds[item.fold].append((item, is_wrong(task, item, rows)))
    if folds["calibration"]:
        return _Known("gold", folds["calibration"], folds["test"], [])
    audit = draw_audit(candidates, params)
    judged = [
        (item, is_wrong(task, item, _rows(slots)))
        for item in audit
        if _is_judged(item, slots := truth.get(item.sample_id, []))
    ]
    return _Known("audit", judged, folds["test"], audit)


def draw_audit(candidates: Sequence[Item], params: AcceptParams) -> list[Item]:
    """One candidate drawn at random from each of `params.audit` groups drawn at random.

    The draw is a hash of seed and proposal: it does not move when other candidates come or go, and another model's
    proposals are drawn anew.
    """
    drawn: dict[str, tuple[str, Item]] = {}
    for item in candidates:
        identity = [params.seed, item.name, *(row["value_hash"] for row in item.rows)]
        key = sha256_bytes(repr(identity).encode())
        if item.group not in drawn or key < drawn[item.group][0]:
            drawn[item.group] = key, item
    groups = sorted(drawn, key=lambda group: sha256_bytes(f"{params.seed} {group}".encode()))
    return [drawn[group][1] for group in groups[: params.audit]]


def _is_judged(item: Item, slots: Sequence[Slot]) -> bool:
    """Whether a person decided on every proposal of an item (on the background row only where there is no other)."""
    targets = [as_dict(row["target"]) for row in item.rows]
    telling = [target for target in targets if target.get("class") != BACKGROUND] or targets
    found = (find(slots, key_of(item.sample_id, target), interval_of(target)) for target in telling)
    return all(slot is not None and slot.decisions for slot in found)


def _found_wrong(task: str, item: Item, slots: Sequence[Slot]) -> bool:
    return _is_judged(item, slots) and is_wrong(task, item, _rows(slots))


def pools_of(known: Sequence[tuple[Item, bool]], params: AcceptParams) -> list[Pool]:
    """Classes with enough groups by themselves, all others together; sorted.

    Args:
        known: pairs (item, wrong).
    """
    groups: dict[str, set[str]] = defaultdict(set)
    for item, _ in known:
        groups[item.kind].add(item.group)
    alone = {kind for kind, members in groups.items() if len(members) >= params.pool_below_groups}
    kinds: list[tuple[str, ...]] = [(kind,) for kind in sorted(alone)]
    if rest := tuple(sorted(set(groups) - alone)):
        kinds.append(rest)
    return [_pool(names, [pair for pair in known if pair[0].kind in names], params) for names in kinds]


def _pool(kinds: tuple[str, ...], known: Sequence[tuple[Item, bool]], params: AcceptParams) -> Pool:
    _, numbers = np.unique([item.group for item, _ in known], return_inverse=True)
    scores = np.array([_rank(item, kinds) for item, _ in known])
    wrong = np.array([is_wrong_ for _, is_wrong_ in known])
    choice = choose(scores, wrong, numbers.astype(np.int64), params.max_error, params.confidence)
    return Pool(kinds, int(numbers.max()) + 1, choice)


def pool_of(item: Item, pools: Sequence[Pool]) -> Pool | None:
    """The pool that speaks for an item. A class never seen with its truth known belongs to none."""
    return next((pool for pool in pools if item.kind in pool.kinds), None)


def is_sure(item: Item, pool: Pool) -> bool:
    """Whether an item lies above its pool's threshold."""
    return pool.choice.threshold is not None and _rank(item, pool.kinds) >= pool.choice.threshold


def _rank(item: Item, kinds: Sequence[str]) -> float:
    """How sure an item is beside the others of its pool. An image without a muscle is the least sure beside masks: its
    score says how faint the faintest trace is, which is no overlap, and would put missed muscles before them."""
    return 0.0 if item.kind == BACKGROUND and len(kinds) > 1 else item.score


def _refusal(item: Item, labelled: set[str], pools: Sequence[Pool]) -> str | None:
    """Why an item is not taken, None if it is."""
    if item.sample_id in labelled:
        return "the dataset has a label"
    if item.fold != "train":
        return f"fold {item.fold}"
    pool = pool_of(item, pools)
    if pool is None:
        return "its class was never seen with known truth"
    if pool.choice.groups_missing:
        return "too few groups with known truth"
    if pool.choice.threshold is None:
        return "no threshold keeps the error low enough"
    return None if is_sure(item, pool) else "score below the threshold"


def _pool_facts(pool: Pool, candidates: Sequence[Item], known: _Known, params: AcceptParams) -> dict[str, Any]:
    """One pool of the report; `held_out` is the error above the threshold on gold that chose nothing."""
    choice = pool.choice
    mine = [item for item in candidates if item.kind in pool.kinds]
    above = [wrong for item, wrong in known.held_out if item.kind in pool.kinds and is_sure(item, pool)]
    return {
        "classes": list(pool.kinds),
        "groups": pool.groups,
        "groups_missing": choice.groups_missing,
        "groups_needed": groups_needed(params.max_error, params.confidence),
        "threshold": choice.threshold,
        "bound": choice.bound,
        "error": choice.error,
        "at_threshold": {"items": choice.items, "groups": choice.groups},
        "candidates": len(mine),
        "accepted": sum(is_sure(item, pool) for item in mine),
        "held_out": {"items": len(above), "wrong": sum(above), "error": sum(above) / len(above) if above else None},
    }


def _audit_facts(known: _Known, params: AcceptParams) -> dict[str, Any] | None:
    """What people are asked to judge; None where there is gold."""
    if known.by == "gold":
        return None
    judged = {id(item) for item, _ in known.items}
    return {
        "wanted": params.audit,
        "drawn": len(known.audit),
        "judged": len(judged),
        "open": [item.name for item in known.audit if id(item) not in judged],
    }
