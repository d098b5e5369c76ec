"""Which of the 20 muscle groups a pose sequence is expected to work: seen exercises, and ones that nobody trained on.

Labels are expected prime movers (repset/muscle_map.yaml, or what a set brings), not measured activation. The model is
one ridge regression from what moves and how (`repset.learn.muscles_pose`) to the 20 groups: with some twenty different
actions to learn from, a larger one learns the actions and not their muscles. Beside it stand the label prior,
recognition followed by look-up (the same regression to the actions, then the named action's muscles) and the nearest
seen action in pose space.

Axis letters: S clips, D numbers of a clip, A actions, C = 20 groups.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from repset.errors import ConfigError, DataError
from repset.exercises import MUSCLE_GROUPS, NONE, default_muscles
from repset.learn import Progress, silent
from repset.learn import exercise_data as data
from repset.learn.muscles_pose import describe
from repset.learn.muscles_scores import MeanAveragePrecision, action_weights, by_action, difference
from repset.params import load_source
from repset.project import Project
from repset.records import read_rows
from repset.schema import PoseTrack

if TYPE_CHECKING:
    from repset.learn.muscles_frames import ClipFrames, FrameEncoder

Floats = npt.NDArray[np.float64]

RIDGE = 1.0
"""Penalty, where all clips of an action weigh one together. Any value from 0.03 to 3 gives the same within 0.02."""

REACH = 4.0
"""Numbers are cut off this many standard deviations from the training mean."""

FOLDS = 5
"""Of the score on seen actions: each action's clips in order, in as many blocks."""

OURS = "ridge"


@dataclass(frozen=True)
class Clip:
    """One clip with what it is expected to work.

    Attributes:
        action: canonical exercise name, or the set's own word; groups: of MUSCLE_GROUPS.
        numbers: (D,) from `describe`, from the pictures, or both in a row.
        split: the set's official one, None where it has none.
    """

    sample_id: str
    source: str
    action: str
    groups: tuple[str, ...]
    numbers: npt.NDArray[np.float32]
    split: str | None


def load_clips(
    project: Project,
    sources: Sequence[str],
    progress: Progress = silent,
    encoder: "FrameEncoder | None" = None,
    pose: bool = True,
) -> tuple[list[Clip], dict[str, Counter[str]]]:
    """Every clip with a pose and written-down muscles; a recording with labelled sets gives one clip a set.

    The set's own muscles come first, else the default of the exercise. Poses are the set's own, else those of
    `repset autolabel`.

    Args:
        encoder: also describe each clip's pictures (repset.learn.muscles_frames); a clip without any is left out.
        pose: false leaves the pose's own numbers out, so that the pictures stand alone (the same clips are taken).
    Returns: the clips, and for each source what was left out and why.
    Raises: DataError if nothing is left, or a picture cannot be read; ConfigError if neither is asked for.
    """
    if encoder is None and not pose:
        raise ConfigError("muscles: expected poses, pictures or both to learn from, found neither.")
    clips: list[Clip] = []
    left_out: dict[str, Counter[str]] = {}
    for source in sources:
        left = left_out.setdefault(source, Counter())
        wanted = _labelled(project, source, left)
        tracks = _tracks(project, source, sorted({row["sample_id"] for row, *_ in wanted}))
        pictures = _pictures(project, source) if encoder else None
        for done, (row, action, groups, limits) in enumerate(wanted):
            found = tracks.get(row["sample_id"])
            if found is None:
                left["no pose"] += 1
                continue
            numbers = [describe(_part(*found, limits))] if pose else []
            if encoder is not None and pictures is not None:
                if not (images := pictures.evenly(row, limits)):
                    left["no picture"] += 1
                    continue
                numbers.append(encoder.describe(images))
            clips.append(Clip(row["sample_id"], source, action, groups, np.concatenate(numbers), row["official_split"]))
            progress(done + 1, len(wanted), f"muscles {source}")
    if not clips:
        missing = "a pose and pictures" if encoder else "a pose"
        advice = "Index a source with poses (repset index), or label its videos first (repset autolabel)"
        if any(left["no picture"] for left in left_out.values()):
            advice = "Name a source with frames or videos, or leave --sees out"
        wanted_clips = f"clips with {missing}, of exercises whose muscles are written down"
        raise DataError(", ".join(sources), wanted_clips, "none", advice)
    return clips, left_out


def _pictures(project: Project, source: str) -> "ClipFrames":
    from repset.learn.muscles_frames import ClipFrames  # its library takes seconds to import

    return ClipFrames(project.index(source), project.root)


Labelled = tuple[dict[str, Any], str, tuple[str, ...], tuple[int, int] | None]


def _labelled(project: Project, source: str, left: "Counter[str]") -> list[Labelled]:
    """(sample, action, groups, frames) of every stretch whose muscles are known."""
    folder = project.index(source)
    spec = load_source(project, source)
    own: dict[str, set[str]] = {}
    sets: dict[str, list[dict[str, Any]]] = {}
    for row in read_rows(folder / "muscles.parquet", "muscles"):
        own.setdefault(row["sample_id"], set()).add(row["label"])
    for row in read_rows(folder / "sets.parquet", "sets"):
        sets.setdefault(row["sample_id"], []).append(row)
    found: list[Labelled] = []
    for sample in read_rows(folder / "samples.parquet", "samples"):
        name, word = sample["sample_id"], sample["exercise_native"]
        stretches: list[tuple[str | None, tuple[int, int] | None]] = [
            (row["exercise"], (row["start"], row["end"])) for row in sets.get(name, ())
        ]
        for exercise, limits in stretches or [(sample["exercise"], None)]:
            if exercise == NONE:
                continue
            muscles = default_muscles(exercise, word, spec.format or spec.family)
            groups = own.get(name) or ({*muscles.primary, *muscles.secondary} if muscles else set())
            if not groups or not (exercise or word):
                left["no muscles written down"] += 1
                continue
            ordered = tuple(group for group in MUSCLE_GROUPS if group in groups)
            found.append((sample, exercise or word, ordered, limits))
    return found


def _tracks(project: Project, source: str, wanted: list[str]) -> dict[str, tuple[data.Frames, PoseTrack]]:
    tracks = data.read_tracks(project, source, wanted)
    automatic = project.labels(source) / "poses.parquet"
    if automatic.is_file() and (rest := [name for name in wanted if name not in tracks]):
        tracks |= data.read_tracks(project, source, rest, automatic)
    return tracks


def _part(frames: data.Frames, track: PoseTrack, limits: tuple[int, int] | None) -> PoseTrack:
    if limits is None:
        return track
    inside = (frames >= limits[0]) & (frames < limits[1])
    return data.cut(track, inside) if inside.any() else track


@dataclass(frozen=True)
class Ridge:
    """A ridge regression of weighted rows.

    Attributes:
        centre, scale: (D,) of the numbers; offset: (K,) means of the targets; slopes: (D, K).
    """

    centre: Floats
    scale: Floats
    offset: Floats
    slopes: Floats

    @classmethod
    def fit(cls, numbers: Floats, targets: Floats, weight: Floats) -> "Ridge":
        """Least squares of (S, K) targets on (S, D) numbers."""
        centre = np.average(numbers, axis=0, weights=weight)
        scale = np.sqrt(np.average((numbers - centre) ** 2, axis=0, weights=weight)) + 1e-3
        offset = np.average(targets, axis=0, weights=weight)
        rows = np.clip((numbers - centre) / scale, -REACH, REACH)
        gram = rows.T @ (weight[:, None] * rows) + RIDGE * np.eye(rows.shape[1])
        return cls(centre, scale, offset, np.linalg.solve(gram, rows.T @ (weight[:, None] * (targets - offset))))

    def __call__(self, numbers: Floats) -> Floats:
        """(S, D) → (S, K)."""
        rows = np.clip((numbers - self.centre) / self.scale, -REACH, REACH)
        return np.asarray(self.offset + rows @ self.slopes)


@dataclass(frozen=True)
class Table:
    """Clips as arrays: numbers (S, D), action of each (S,), truth (S, C); `actions` and their groups (A, C)."""

    numbers: Floats
    action: npt.NDArray[np.intp]
    truth: npt.NDArray[np.bool_]
    actions: tuple[str, ...]

    @classmethod
    def of(cls, clips: Sequence[Clip]) -> "Table":
        """Actions in the order of their names."""
        actions = tuple(sorted({clip.action for clip in clips}))
        return cls(
            np.stack([clip.numbers for clip in clips]).astype(np.float64),
            np.array([actions.index(clip.action) for clip in clips]),
            np.array([[group in clip.groups for group in MUSCLE_GROUPS] for clip in clips]),
            actions,
        )

    def rows(self, kept: npt.NDArray[np.bool_]) -> "Table":
        """Some of the clips."""
        return Table(self.numbers[kept], self.action[kept], self.truth[kept], self.actions)

    def groups(self) -> Floats:
        """(A, C) mean labels of each action; all zero for one without a clip."""
        counts = np.maximum(np.bincount(self.action, minlength=len(self.actions)), 1)
        sums = np.stack([np.bincount(self.action, column, len(self.actions)) for column in self.truth.T], axis=1)
        return np.asarray(sums / counts[:, None])


Answers = dict[str, Floats]
"""Method → (S, C) scores."""


def answers(training: Table, numbers: Floats) -> tuple[Answers, npt.NDArray[np.intp]]:
    """What each method says of some clips, having learned from others; and the action that recognition names."""
    weight = action_weights(training.action)
    seen = np.unique(training.action)
    groups = training.groups()
    ours = Ridge.fit(training.numbers, training.truth.astype(np.float64), weight)
    namer = Ridge.fit(training.numbers, (training.action[:, None] == seen).astype(np.float64), weight)
    named = seen[namer(numbers).argmax(axis=1)]
    centres = np.stack([training.numbers[training.action == one].mean(axis=0) for one in seen])
    apart = ((numbers[:, None] - centres) / ours.scale) ** 2
    near = seen[apart.sum(axis=-1).argmin(axis=1)]
    prior = np.repeat(groups[seen].mean(axis=0)[None], len(numbers), axis=0)
    return {OURS: ours(numbers), "prior": prior, "recognition": groups[named], "nearest": groups[near]}, named


def leave_one_action_out(clips: Sequence[Clip], progress: Progress = silent) -> dict[str, Any]:
    """Score every method on actions that it has not learned from, and on seen ones; JSON-ready.

    The prior's scores are the same for all clips (each group's share of all actions): taken without the action that is
    asked about, it would rank that action's own groups too low, and be easier to beat than guessing.
    Raises: DataError with fewer than three actions.
    """
    table = Table.of(clips)
    if len(table.actions) < 3:
        found = ", ".join(table.actions)
        raise DataError("leave one action out", "at least three actions", found, "Name more sources")
    unseen, named = _held_out(table, [table.action == one for one in range(len(table.actions))], progress)
    unseen["prior"] = np.repeat(table.groups().mean(axis=0)[None], len(clips), axis=0)
    blocks = _blocks(table.action)
    seen, _ = _held_out(table, [blocks == one for one in range(FOLDS)], progress)
    aps = {name: by_action(table.truth, score, table.action) for name, score in unseen.items()}
    return {
        "actions": len(table.actions),
        "clips": len(clips),
        "groups": [group for group, there in zip(MUSCLE_GROUPS, table.truth.any(axis=0), strict=True) if there],
        "unseen": _summary(table, unseen),
        "seen": _summary(table, seen),
        "by_action": {
            action: {
                "clips": int((table.action == one).sum()),
                "muscles": [MUSCLE_GROUPS[c] for c in np.flatnonzero(table.groups()[one] > 0.5)],
                "recognised_as": table.actions[int(np.bincount(named[table.action == one]).argmax())],
                "ap": {name: float(ap[one]) for name, ap in aps.items()},
            }
            for one, action in enumerate(table.actions)
        },
    }  # fmt: skip


def official_splits(clips: Sequence[Clip]) -> dict[str, Any]:
    """Learn from the set's own train part, score its test parts; `unseen_test` holds actions that are not in train.

    Raises: DataError if there is no clip to learn from or none to score.
    """
    table, split = Table.of(clips), np.array([clip.split or "" for clip in clips])
    parts = {name: split == name for name in ("test", "unseen_test") if (split == name).any()}
    if not (split == "train").any() or not parts:
        found = ", ".join(f"{n} {name or 'without'}" for name, n in sorted(Counter(split.tolist()).items()))
        raise DataError("official split", "clips of train and of a test part", found, "Name a source with its lists")
    training = table.rows(split == "train")
    return {
        "train": int((split == "train").sum()),
        **{
            name: {"clips": int(kept.sum()), **_summary(table.rows(kept), answers(training, table.numbers[kept])[0])}
            for name, kept in parts.items()
        },
    }


def _held_out(
    table: Table, parts: Sequence[npt.NDArray[np.bool_]], progress: Progress
) -> tuple[Answers, npt.NDArray[np.intp]]:
    """Every clip's scores by methods that learned from the other parts."""
    scores: Answers = {}
    named = np.zeros(len(table.action), np.intp)
    for done, part in enumerate(parts):
        said, named[part] = answers(table.rows(~part), table.numbers[part])
        for name, score in said.items():
            scores.setdefault(name, np.zeros(table.truth.shape))[part] = score
        progress(done + 1, len(parts), "muscles held out")
    return scores, named


def _blocks(action: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """(S,) block of each clip: the clips of an action in order, cut into FOLDS runs (neighbours may be copies)."""
    out = np.zeros(len(action), np.intp)
    for one in np.unique(action):
        at = np.flatnonzero(action == one)
        out[at] = np.arange(len(at)) * FOLDS // len(at)
    return out


def _summary(table: Table, scores: Answers) -> dict[str, Any]:
    """mAP of each method, its AP by group, and how far ours is above the others."""
    _, action = np.unique(table.action, return_inverse=True)
    each = {name: MeanAveragePrecision(table.truth, score, action) for name, score in scores.items()}
    count = int(action.max()) + 1
    return {
        "map": {name: one.mean() for name, one in each.items()},
        "action_ap": {name: float(by_action(table.truth, score, action).mean()) for name, score in scores.items()},
        "ap_by_group": {
            group: {name: float(one.by_class()[c]) for name, one in each.items()}
            for c, group in enumerate(MUSCLE_GROUPS)
            if table.truth[:, c].any()
        },
        "ours_above": {name: difference(each[OURS], one, count) for name, one in each.items() if name != OURS},
    }
