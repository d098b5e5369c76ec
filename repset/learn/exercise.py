"""The model `exercise`: names what is done in a pose track, with DeepFit's network and a temporal one side by side.

One fit trains both on the same stretches. DeepFit sees single frames of labelled exercises only, as published; the
temporal network sees windows of true time and knows `none` and the other actions of a set as well. It is the one that
proposes labels and that `repset release` puts into the package.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from repset import pose_features as features
from repset import stretches
from repset.errors import DataError
from repset.exercises import BY_NAME, NAMES, NONE
from repset.learn import Confusion, Evaluation, Progress, metrics, silent
from repset.learn import exercise_data as data
from repset.learn import fit as loop
from repset.learn.card import Card, data_kind, load_card, load_into, save_model, table_facts
from repset.learn.exercise_items import FixedWindows, FrameBlocks, WindowBlocks
from repset.learn.exercise_nets import DeepFit, InBlocks, Temporal, build
from repset.learn.order import Items
from repset.learn.plan import Plan
from repset.params import ExerciseTrain, TrainParams
from repset.pose_features import Floats, WindowSpec
from repset.project import Project
from repset.records import canonical_json, read_rows, sha256_bytes
from repset.schema import PoseTrack

TASK = "exercise"
HOP = 0.25
"""Windows of a clip start this part of a window apart when it is scored or named."""

LAST_RATE = 0.02
"""The temporal network's learning rate falls evenly, epoch by epoch, to this part of the first. Chosen on parts of Penn
Action's training part, grouped by neighbouring numbers: 4 errors in 330 clips against 5 for three steps of 0.3."""

VIEWS = tuple((length, mirror) for length in (0.75, 1.0, 1.35) for mirror in (False, True))
"""How a whole clip is looked at: in windows so many times as long as in training, where the tempo varies as much, as
it is and mirrored. Chosen on thirds of Penn Action's training part (`tools/penn_score.py --thirds`)."""

Logs = npt.NDArray[np.float32]


class Both(torch.nn.Module):
    """The two networks under the prefixes of weights.safetensors."""

    def __init__(self, architecture: dict[str, Any]) -> None:
        super().__init__()
        self.temporal, self.deepfit = build(architecture)


def fit(
    project: Project,
    tables: Mapping[str, Path],
    params: TrainParams,
    out: Path,
    device: str = "auto",
    progress: Progress = silent,
) -> None:
    """Train both networks (see `repset.learn.Model.fit`)."""
    own = params.exercise
    training, _ = data.load_clips(project, tables, ("train",), own.split, gold_only=False)
    validation, _ = data.load_clips(project, tables, ("validation",), own.split, gold_only=False)
    classes = class_order({clip.label for clip in training})
    if len(classes) < 2:
        raise DataError(
            ", ".join(str(path) for path in tables.values()),
            "poses of at least two exercises in the fold train",
            ", ".join(classes) or "none",
            "Check the index and the split of these sources",
        )
    validation = [clip for clip in validation if clip.label in classes]
    if {clip.source for clip in training} - {clip.source for clip in validation}:
        validation = []  # half of the sources cannot choose the epoch for all: the last one is taken
    facts = {
        source: table_facts(path, {"train": _count(training, source), "validation": _count(validation, source)})
        for source, path in tables.items()
    }
    named = [name for name in classes if name != NONE]
    architecture = {
        "temporal": {"classes": len(classes), "width": own.width, "dropout": own.dropout},
        "deepfit": {
            "classes": len(named), "dropout": own.deepfit.dropout, "activation": own.deepfit.activation,
        },
    }  # fmt: skip
    where = _prepare(params.seed, device)
    both = Both(architecture)
    run = _Run(project, params, facts, out, where, progress)
    trained = {
        "temporal": run.temporal(both.temporal, training, validation, classes),
        "deepfit": run.deepfit(both.deepfit, _named(training), _named(validation), named),
    }
    state = {
        f"{name}.{key.removeprefix('network.')}": tensor
        for name, outcome in trained.items()
        for key, tensor in outcome.state.items()
    }
    card = Card(
        model="exercise",
        architecture=architecture,
        classes=classes,
        skeleton="penn_13",
        params=own.model_dump(mode="json"),
        seed=params.seed,
        data=facts,
        data_kind=data_kind(project, list(tables)),
        training={name: outcome.facts for name, outcome in trained.items()},
    )
    save_model(out, state, card)


def _prepare(seed: int, device: str) -> torch.device:
    """Repeatable work on one thread: networks this small only wait for a second one."""
    where = loop.prepare(seed, device)
    torch.set_num_threads(1)
    return where


class _Run:
    """What both trainings share."""

    def __init__(
        self,
        project: Project,
        params: TrainParams,
        facts: dict[str, Any],
        out: Path,
        device: torch.device,
        progress: Progress,
    ) -> None:
        self._own, self._seed, self._out = params.exercise, params.seed, out
        self._inputs = {"data": facts, "params": self._own.model_dump(mode="json")}
        self._device, self._scratch, self._progress = device, project.cache / "fit", progress

    def temporal(
        self, network: Temporal, training: list[data.Clip], validation: list[data.Clip], classes: Sequence[str]
    ) -> loop.Outcome:
        own, spec = self._own, window_spec(self._own)
        items = WindowBlocks(training, classes, spec, own.batch, crop_p=own.crop_p)
        epochs = own.epochs if own.max_steps is None else min(own.epochs, max(1, own.max_steps // len(items)))
        plan = self._plan("temporal", len(classes), own.epochs, own.max_steps, own.learning_rate)
        plan = replace(plan, step_epochs=1, gamma=LAST_RATE ** (1 / epochs))
        held_out = FixedWindows(validation, classes, spec, HOP * spec.seconds, own.batch)
        return self._train(InBlocks(network), items, held_out, plan)

    def deepfit(
        self, network: DeepFit, training: list[data.Clip], validation: list[data.Clip], classes: Sequence[str]
    ) -> loop.Outcome:
        own = self._own.deepfit
        plan = self._plan("deepfit", len(classes), own.epochs, own.max_steps, own.learning_rate)
        items = FrameBlocks(training, classes, own.batch, drawn=True)
        return self._train(network, items, FrameBlocks(validation, classes, 4096, drawn=False), plan)

    def _plan(self, network: str, classes: int, epochs: int, max_steps: int | None, rate: float) -> Plan:
        return Plan(
            name=f"exercise {network}", inputs=self._inputs, seed=self._seed, classes=classes, score="macro_f1",
            batch=1, epochs=epochs, max_steps=max_steps, learning_rate=rate,
            step_epochs=max(1, epochs // 3), gamma=0.3, patience=self._own.patience,
        )  # fmt: skip

    def _train(self, network: torch.nn.Module, items: Items, held_out: Items, plan: Plan) -> loop.Outcome:
        history = self._out / "history" / plan.name.removeprefix("exercise ")
        return loop.train(network, items, held_out, plan, self._device, self._scratch, history, self._progress)


def evaluate(
    project: Project,
    tables: Mapping[str, Path],
    folder: Path,
    fold: str = "test",
    device: str = "auto",
    progress: Progress = silent,
) -> Evaluation:
    """Score both networks by clip and by frame (see `repset.learn.Model.evaluate`).

    A clip's name is the most probable one of `clip_log_probabilities` (temporal) or has the highest mean log
    probability over its frames (DeepFit); a frame's has the highest mean over the windows that cover it. DeepFit is
    scored on labelled exercises only, which is all it knows.
    """
    card, both = load(folder)
    _prepare(card.seed, "cpu")
    own = ExerciseTrain.model_validate(card.params)
    clips, without = data.load_clips(project, tables, (fold,), own.split, gold_only=True)
    if not clips:
        where = ", ".join(str(path) for path in tables.values())
        raise DataError(where, f"gold rows with poses in the fold {fold}", "none", "Check the split of these sources")
    spec, classes = window_spec(own), card.classes
    temporal, deepfit = _Scorer(classes, clips), _Scorer([name for name in classes if name != NONE], _named(clips))
    for done, clip in enumerate(clips):
        windows, starts = features.track_windows(clip.track, spec, HOP * spec.seconds)
        frames_log_p = _by_frame(log_probabilities(both.temporal, windows), starts, spec, clip.track.time_s)
        temporal.add(clip, clip_log_probabilities(both.temporal, clip.track, spec), frames_log_p)
        if clip.label != NONE:
            frames = torch.from_numpy(features.deepfit_frames(clip.track.xy_px, clip.track.skeleton))
            with torch.inference_mode():
                by_frame = both.deepfit(frames[None])[0].T.log_softmax(dim=1).numpy()
            deepfit.add(clip, by_frame.mean(axis=0), by_frame)
        progress(done + 1, len(clips), "exercise evaluate")
    scores = {"temporal": temporal.scores(), "deepfit": deepfit.scores()}
    return Evaluation(
        {
            "n": len(clips),
            "data_kind": card.data_kind,
            "split": own.split,
            "without_pose": without,
            **scores,
            "baseline": {level: scores["temporal"][level]["baseline"] for level in ("clip", "frame")},
        },
        {**temporal.confusions("temporal"), **deepfit.confusions("deepfit")},
    )


class _Scorer:
    """Confusion matrices of one network by clip and by frame; labels it does not know get a row of their own."""

    def __init__(self, known: Sequence[str], clips: Sequence[data.Clip]) -> None:
        self._known = list(known)
        self._classes = tuple(class_order({*known, *(clip.label for clip in clips)}))
        size = len(self._classes)
        self._counts = {"clip": np.zeros((size, size), np.int64), "frame": np.zeros((size, size), np.int64)}
        self._position = np.array([self._classes.index(name) for name in known])
        self._ontology = np.array([name in BY_NAME for name in known])
        self._sources: dict[str, list[bool]] = {}
        self._exercises: list[tuple[bool, bool]] = []

    def add(self, clip: data.Clip, of_clip: Logs, of_frames: Logs) -> None:
        """Count one clip: log probabilities (C,) of the whole and (T, C) of its frames."""
        truth = self._classes.index(clip.label)
        best = int(of_clip.argmax())
        self._counts["clip"][truth, self._position[best]] += 1
        np.add.at(self._counts["frame"][truth], self._position[of_frames.argmax(axis=1)], 1)
        right = self._known[best] == clip.label
        self._sources.setdefault(clip.source, []).append(right)
        if clip.label in BY_NAME and self._ontology.any():
            among = int(np.where(self._ontology, of_clip, -np.inf).argmax())
            self._exercises.append((right, self._known[among] == clip.label))

    def scores(self) -> dict[str, Any]:
        """JSON-ready: by clip, by frame, by source, and on the ontology's exercises alone."""
        found = {level: metrics.classification_scores(counts, self._classes) for level, counts in self._counts.items()}
        for level, counts in self._counts.items():
            found[level]["support"] = dict(zip(self._classes, counts.sum(axis=1).tolist(), strict=True))
        n = len(self._exercises)
        return {
            **found,
            "clip_accuracy_by_source": {name: sum(right) / len(right) for name, right in self._sources.items()},
            "ontology_clips": {
                "n": n,
                "accuracy": sum(right for right, _ in self._exercises) / n if n else None,
                "accuracy_among_ontology": sum(right for _, right in self._exercises) / n if n else None,
            },
        }

    def confusions(self, name: str) -> dict[str, Confusion]:
        """Matrices to be drawn."""
        return {f"{name}_{level}": Confusion(self._classes, n, f"{level}s") for level, n in self._counts.items()}


def propose(
    project: Project,
    folder: Path,
    task: str,
    source: str,
    device: str = "auto",
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """Named stretches of every sample with poses (see `repset.learn.Model.propose`)."""
    card, both = load(folder)
    _prepare(card.seed, "cpu")
    spec = window_spec(ExerciseTrain.model_validate(card.params))
    samples = [
        row["sample_id"] for row in read_rows(project.index(source) / "samples.parquet", "samples", ["sample_id"])
    ]
    tracks = data.read_tracks(project, source, samples)
    rows: list[dict[str, Any]] = []
    for done, sample in enumerate(samples):
        if sample in tracks:
            frames, track = tracks[sample]
            for named in _named_stretches(both.temporal, track, spec, card.classes):
                rows.append(_proposal(sample, task, named, frames, track.time_s, card))
        progress(done + 1, len(samples), f"exercise propose {source}")
    return rows


def _named_stretches(
    network: Temporal, track: PoseTrack, spec: WindowSpec, classes: Sequence[str]
) -> list[stretches.Named]:
    windows, starts = features.track_windows(track, spec, HOP * spec.seconds)
    end_s = float(track.time_s[-1]) + (1 / track.fps if len(track.time_s) > 1 else spec.step_s)
    return stretches.decode(log_probabilities(network, windows), classes, starts, spec.seconds, end_s)


def _proposal(
    sample: str, task: str, named: stretches.Named, frames: data.Frames, time_s: features.Times, card: Card
) -> dict[str, Any]:
    """A row of table `proposals`; a stretch that is the whole clip has no interval."""
    inside = frames[(time_s >= named.start_s) & (time_s < named.end_s)]
    whole = len(inside) == len(frames)
    interval = None if whole else [round(named.start_s, 3), round(named.end_s, 3)]
    target: dict[str, Any] = {"interval_s": interval}
    if not whole and len(inside):
        target["frames"] = [int(inside[0]), int(inside[-1]) + 1]
    value = canonical_json(named.name)
    return {
        "sample_id": sample,
        "task": task,
        "target": canonical_json(target),
        "value": value,
        "blob": None,
        "score": round(named.p, 4),
        "origin": "model",
        "origin_hash": card.weights_sha256,
        "value_hash": sha256_bytes(value.encode()),
    }


def load(folder: Path) -> tuple[Card, Both]:
    """Card and networks of a model folder, ready to be asked.

    Raises: DataError if the folder holds no exercise model, or weights that do not fit its card.
    """
    card = load_card(folder, "exercise")
    both = Both(card.architecture)
    load_into(both, folder, card)
    return card, both.eval()


def log_probabilities(network: Temporal, windows: Floats) -> Logs:
    """(W, CHANNELS, N) windows → (W, C) log probabilities."""
    with torch.inference_mode():
        parts = [
            network(torch.from_numpy(windows[i : i + 1024])).log_softmax(dim=1) for i in range(0, len(windows), 1024)
        ]
    return np.asarray(torch.cat(parts).numpy(), np.float32)


def clip_log_probabilities(network: Temporal, track: PoseTrack, spec: WindowSpec) -> Logs:
    """What is done in a clip that shows one thing: (C,) logarithms of the mean probability over windows and VIEWS."""
    means = []
    for length, mirror in VIEWS:
        longer = WindowSpec(length * spec.seconds, spec.steps)
        windows, _ = features.track_windows(track, longer, HOP * longer.seconds, mirror)
        means.append(np.exp(log_probabilities(network, windows)).mean(axis=0))
    return np.asarray(np.log(np.mean(means, axis=0)), np.float32)


def window_spec(params: ExerciseTrain) -> WindowSpec:
    """The windows of a params group."""
    return WindowSpec(params.window_s, params.steps)


def class_order(labels: set[str]) -> tuple[str, ...]:
    """Names in a fixed order: the ontology's, then the sets' own words by alphabet, then `none`."""
    known = [name for name in NAMES if name in labels]
    return (*known, *sorted(labels - {*known, NONE}), *((NONE,) if NONE in labels else ()))


def _named(clips: Sequence[data.Clip]) -> list[data.Clip]:
    return [clip for clip in clips if clip.label != NONE]


def _count(clips: Sequence[data.Clip], source: str) -> int:
    return sum(clip.source == source for clip in clips)


def _by_frame(log_p: Logs, starts: features.Times, spec: WindowSpec, time_s: features.Times) -> Logs:
    """(T, C): for each frame the mean over the windows that cover it."""
    covers = (time_s[:, None] >= starts - 1e-6) & (time_s[:, None] <= starts + spec.seconds + 1e-6)
    weight = covers / np.maximum(covers.sum(axis=1, keepdims=True), 1)
    return np.asarray(weight @ log_p, np.float32)
