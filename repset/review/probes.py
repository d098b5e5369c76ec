"""Labels that are wrong on purpose, to see whether a reviewer looks.

Masks are shifted, bodies have their sides flipped, verdicts say correct for incorrect and the other way round. A probe
stands in for one label of the dataset that nobody has judged yet, in a share of the pictures, clips or (on the bench)
repetitions chosen by hash. It carries `probe` into the ledger, where it is never merged; once it has been answered the
true label goes out again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from repset.curate.decision import Decision
from repset.curate.merge import undone_ids
from repset.landmarks import mirror_name
from repset.records import canonical_json, sha256_bytes
from repset.review.ls_tasks import Shown
from repset.review.ls_values import Mask
from repset.video import encode_png

WRONG_IOU = 0.5
"""A shifted mask overlaps with the true one by at most this: far beyond the 0.9 that still counts as the same."""

KEPT = 0.8  # of its area, so that a mask pushed out of the picture does not give itself away
APART = 0.08  # mean distance of left and right joints, of the body's longer side: nearer ones cannot be told apart
_STEPS = (0.45, 0.7, 1.0)  # of the mask's own size

TURNED = {"correct": "incorrect", "incorrect": "correct"}
"""Verdict → the wrong one; what nobody could judge cannot be called wrong."""

Place = tuple[str, str, int]
"""Sample, variant and frame; frame 0 of a whole clip."""


def share_of(name: str, text: str) -> float:
    """A number in [0, 1) from a text, the same for ever; `name` keeps two draws apart."""
    return int(sha256_bytes(f"{name}/{text}".encode())[:8], 16) / 2**32


def judged_places(decisions: Iterable[Decision]) -> set[Place]:
    """Pictures and clips of which somebody has judged a label, probes too: none of them gets a probe (again)."""
    known = list(decisions)
    undone = undone_ids(known)
    return {
        (d.sample_id, str(d.target.get("variant") or ""), int(d.target.get("frame") or 0))
        for d in known
        if d.id not in undone and d.action != "undo" and d.task in _WRONG
    }


def with_probe(shown: Sequence[Shown], place: Place, share: float) -> list[Shown]:
    """What a picture or clip shows, in a share of them with one label made wrong.

    Args:
        share: of the pictures and clips, 0..1; those without a label that could be made wrong stay as they are.
    """
    text = "|".join(map(str, place))
    if not share_of("probe", text) < share:
        return list(shown)
    ranked = sorted(shown, key=lambda one: share_of("which", f"{text}|{one.region}"))
    for one in ranked:
        if one.origin == "dataset" and (wrong := _WRONG.get(one.task, lambda _: None)(one)) is not None:
            return [wrong if other is one else other for other in shown]
    return list(shown)


def _shifted(one: Shown) -> Shown | None:
    assert one.mask is not None
    mask = shifted(one.mask, share_of("side", one.region))
    if mask is None:
        return None
    digest = sha256_bytes(encode_png((mask * 255).astype(np.uint8)))
    return replace(one, mask=mask, value_hash=digest, probe=True)


def shifted(mask: Mask, draw: float) -> Mask | None:
    """A mask moved by about its own size; None where there is no room for a wrong one.

    Args:
        draw: 0..1, which direction is tried first.
    """
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return None
    height, width = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
    ways = [(0, 1), (1, 0), (0, -1), (-1, 0)]
    first = int(draw * len(ways)) % len(ways)
    for step in _STEPS:
        for down, right in ways[first:] + ways[:first]:
            moved = _moved(mask, round(down * step * height), round(right * step * width))
            shared, union = int((moved & mask).sum()), int((moved | mask).sum())
            if moved.sum() >= KEPT * mask.sum() and shared <= WRONG_IOU * union:
                return moved
    return None


def _moved(mask: Mask, down: int, right: int) -> Mask:
    out = np.zeros_like(mask)
    height, width = mask.shape
    to = slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0))
    back = slice(max(-down, 0), height + min(-down, 0)), slice(max(-right, 0), width + min(-right, 0))
    out[to] = mask[back]
    return out


def _flipped(one: Shown) -> Shown | None:
    joints: dict[str, Any] = one.value["joints"]
    if not _sides_differ(joints):
        return None
    value = {**one.value, "joints": {mirror_name(name): at for name, at in joints.items()}}
    return replace(one, value=value, value_hash=value_digest(value), probe=True)


def _sides_differ(joints: dict[str, Any]) -> bool:
    """Whether a flip shows: left and right lie apart, as they do not in a view from the side."""
    pairs = [(at, joints[mirror_name(name)]) for name, at in joints.items()
             if name.startswith("left_") and mirror_name(name) in joints]  # fmt: skip
    seen = np.array([at[:2] for at in joints.values()], np.float64)
    if len(pairs) < 3:
        return False
    apart = np.mean([np.hypot(a[0] - b[0], a[1] - b[1]) for a, b in pairs])
    return bool(apart >= APART * np.ptp(seen, axis=0).max())


def _turned(one: Shown) -> Shown | None:
    wrong = TURNED.get(one.value)
    return None if wrong is None else replace(one, value=wrong, value_hash=value_digest(wrong), probe=True)


def value_digest(value: Any) -> str:
    """`value_hash` of a label's value, as the ledger has it."""
    return sha256_bytes(canonical_json(value).encode())


_WRONG = {"muscle_mask": _shifted, "pose": _flipped, "form": _turned}
