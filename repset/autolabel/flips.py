"""How often the pose model's error alone turns a verdict: whole error tracks of other clips laid over true joints.

Frames in a row are wrong alike (a hidden elbow stays misplaced), so single frames must not be drawn: each clip's true
joints are labelled as they are, and once more with the error of each of a few other clips of the same exercise, in
body axes and torso lengths, stretched to its length.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from repset.autolabel import agreement, intervals
from repset.autolabel.counting import COUNTING
from repset.autolabel.form import CORRECT, INCORRECT
from repset.autolabel.joint_error import Pairs, trunk_axes
from repset.autolabel.label import label_track
from repset.autolabel.ruleset import RuleSet
from repset.landmarks import JointState
from repset.schema import PoseTrack, Stretch

Doubles = npt.NDArray[np.float64]
DONORS = 4  # other clips whose errors each clip gets
JUDGED = (CORRECT, INCORRECT)


def flip_rates(
    pairs: Pairs, exercise: Mapping[str, str], fps: Mapping[str, float], rules: RuleSet
) -> dict[str, Any] | None:
    """Overall and per exercise; None where no exercise has two clips with rules.

    Returns: cells of n (repetitions judged on true joints, once for each donor), coverage (of these, judged again),
        flipped (of those, with another verdict) and its interval.
    """
    by_exercise: dict[str, list[int]] = defaultdict(list)
    for number, sample in enumerate(pairs.samples):
        name = exercise.get(sample, "none")
        if name in COUNTING and rules.of(name).rules and (pairs.key == number).sum() >= 10:
            by_exercise[name].append(number)
    outcomes: dict[str, list[tuple[str, str | None]]] = {}
    for name, numbers in sorted(by_exercise.items()):
        if len(numbers) > 1:
            outcomes[name] = _of_exercise(pairs, name, numbers, fps, rules)
    every = [pair for found in outcomes.values() for pair in found]
    if not every:
        return None
    return {"overall": _cell(every), "per_exercise": {name: _cell(found) for name, found in outcomes.items()}}


def _of_exercise(
    pairs: Pairs, name: str, numbers: Sequence[int], fps: Mapping[str, float], rules: RuleSet
) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    for place, number in enumerate(numbers):
        rows = np.flatnonzero(pairs.key == number)
        rate = fps.get(pairs.samples[number]) or 30.0
        truth = _verdicts(_track(pairs, rows, pairs.truth[rows], rate), name, rules)
        truth = [row for row in truth if row["verdict"] in JUDGED]
        for step in range(1, min(DONORS, len(numbers) - 1) + 1):
            donor = np.flatnonzero(pairs.key == numbers[(place + step) % len(numbers)])
            moved = pairs.truth[rows] + _borrowed(pairs, rows, donor)
            again = _verdicts(_track(pairs, rows, moved, rate), name, rules)
            matched = agreement.match(truth, again, agreement.REP_OVERLAP)
            found += [(row["verdict"], other["verdict"] if other else None) for row, other in matched]
    return found


def _borrowed(pairs: Pairs, rows: npt.NDArray[np.intp], donor: npt.NDArray[np.intp]) -> Doubles:
    """(T, K, 2) pixels: the donor's errors at the same share of the clip; no error where none is known."""
    length, up = trunk_axes(pairs.truth[donor], pairs.skeleton)
    side = np.stack([-up[:, 1], up[:, 0]], axis=-1)
    error = pairs.found[donor] - pairs.truth[donor]
    body = np.stack([(error * up[:, None]).sum(-1), (error * side[:, None]).sum(-1)], -1) / length[:, None, None]
    at = np.round(np.linspace(0, len(donor) - 1, len(rows))).astype(np.intp)
    body = np.nan_to_num(body[at])
    length, up = trunk_axes(pairs.truth[rows], pairs.skeleton)
    side = np.stack([-up[:, 1], up[:, 0]], axis=-1)
    placed = (body[..., :1] * up[:, None] + body[..., 1:] * side[:, None]) * length[:, None, None]
    return np.asarray(np.nan_to_num(placed), np.float64)


def _track(pairs: Pairs, rows: npt.NDArray[np.intp], xy_px: Doubles, fps: float) -> PoseTrack:
    seen = np.where(pairs.state[rows] == JointState.LABELLED, 1, 0).astype(np.float32)
    return PoseTrack(pairs.skeleton, pairs.frame[rows] / fps, xy_px.astype(np.float32), seen, 0, 0)


def _verdicts(track: PoseTrack, name: str, rules: RuleSet) -> list[dict[str, Any]]:
    whole = [Stretch(0, len(track.time_s), name, None, "dataset")]
    return [row for row in label_track("", track, whole, rules, 0.5).form if row["level"] == "rep"]


def _cell(outcomes: Sequence[tuple[str, str | None]]) -> dict[str, Any]:
    judged = [(one, other) for one, other in outcomes if other in JUDGED]
    flipped = sum(one != other for one, other in judged)
    return {
        "n": len(outcomes),
        "coverage": round(len(judged) / len(outcomes), 4) if outcomes else None,
        "flipped": round(flipped / len(judged), 4) if judged else None,
        "flipped_interval": intervals.of_share(flipped, len(judged)),
    }
