"""Score the temporal network on Penn Action's official split: several seeds, DeepFit beside them, every error drawn.

    python tools/penn_score.py penn_scores/ --seeds 7 8 9
    python tools/penn_score.py penn_thirds/ --seeds 0 1 --thirds

Takes the parameters of pipelines/real.yaml (group `train`) and the table that `repset seed exercise penn_action` wrote.
Each seed is trained on the official training part alone; the test part is scored once, at the end. A test clip leaks
when a training clip of the same action has a neighbouring sequence number: such clips may come from one recording.
Written: `scores.json`, and `errors.png` with one strip of poses for each clip that any seed names wrongly.

--thirds leaves the test part alone: each third of the training part, in blocks of neighbouring numbers, is named by a
network trained on the others. What is chosen about clips is chosen there; it writes `thirds.json` (errors by windows of
one length, and by all views of `repset.learn.exercise`).
"""

import argparse
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from recipe_bench import shown

from repset import pose_features as features
from repset.exercises import BY_NAME
from repset.learn import exercise
from repset.learn import exercise_data as data
from repset.params import ExerciseTrain, Params, load_yaml, parse
from repset.project import Project, find_project
from repset.records import atomic_path, read_rows, write_json, write_table

SOURCE = "penn_action"
NEAR = 1
"""Sequence numbers at most this far apart are neighbours."""

BLOCK = 6
"""So many neighbouring numbers stay in one third."""

POSES = 9
LIMBS = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("shoulder", "hip"))
BONES = (
    *((f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in LIMBS),
    ("left_shoulder", "right_shoulder"),
    ("left_hip", "right_hip"),
)


def number(sample_id: str) -> int:
    """Sequence number of a Penn Action clip."""
    return int(sample_id.split("/")[1])


def third_of(sample_id: str) -> int:
    """Which third of the training part a clip is in: 0, 1 or 2; a block of neighbouring numbers is in one."""
    return number(sample_id) // BLOCK % 3


def leaking(test: list[data.Clip], training: list[data.Clip]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which test clips have a neighbour of the same action in the training part."""
    known = {(clip.label, number(clip.sample_id)) for clip in training}
    steps = [step for step in range(-NEAR, NEAR + 1) if step]
    return np.array([any((clip.label, number(clip.sample_id) + step) in known for step in steps) for clip in test])


def answers(folder: Path, clips: list[data.Clip]) -> tuple[list[str], list[float], list[str]]:
    """Name and probability of each clip by the temporal network, and DeepFit's name."""
    card, both = exercise.load(folder)
    spec = exercise.window_spec(ExerciseTrain.model_validate(card.params))
    names, p, deepfit = [], [], []
    for clip in clips:
        log_p = exercise.clip_log_probabilities(both.temporal, clip.track, spec)
        names.append(card.classes[int(log_p.argmax())])
        p.append(float(np.exp(log_p.max())))
        frames = torch.from_numpy(features.deepfit_frames(clip.track.xy_px, clip.track.skeleton))
        with torch.inference_mode():
            deepfit.append(card.classes[int(both.deepfit(frames[None])[0].T.log_softmax(dim=1).mean(dim=0).argmax())])
    return names, p, deepfit


def shares(wrong: np.ndarray[Any, Any], gym: np.ndarray[Any, Any], leaks: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Errors and sizes of all clips, the gym actions' and those without a neighbour in the training part."""
    parts = {"all": np.ones_like(gym), "gym": gym, "without_neighbours": ~leaks, "gym_without_neighbours": gym & ~leaks}
    return {name: {"errors": int(wrong[part].sum()), "n": int(part.sum())} for name, part in parts.items()}


def draw(path: Path, clips: list[data.Clip], captions: list[str]) -> None:
    """One row of poses a clip, first frame to last; left limbs blue, right limbs orange, joints never placed absent."""
    fig, axes = plt.subplots(len(clips), POSES, figsize=(1.35 * POSES, 1.75 * len(clips)), squeeze=False)
    for row, clip, caption in zip(axes, clips, captions, strict=True):
        at = np.linspace(0, len(clip.frames) - 1, POSES).round().astype(int)
        low, high = np.nanmin(clip.xy[at], axis=(0, 1)), np.nanmax(clip.xy[at], axis=(0, 1))
        middle, half = (low + high) / 2, float((high - low).max()) * 0.55
        for axis, frame in zip(row, at, strict=True):
            joints = dict(zip(features.JOINTS, clip.xy[frame], strict=True))
            for a, b in BONES:
                sides = {a.split("_")[0], b.split("_")[0]}
                colour = "0.35" if len(sides) == 2 else "#1f6fb4" if sides == {"left"} else "#d9792b"
                axis.plot(*np.stack([joints[a], joints[b]], axis=1), color=colour, lw=2, solid_capstyle="round")
            axis.plot(*joints["head"], "o", color="0.35", ms=5)
            axis.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] + half, middle[1] - half))
            axis.set_aspect("equal")
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_xlabel(f"frame {clip.frames[frame]}", fontsize=6, labelpad=2, color="0.4")
            axis.spines[:].set_color("0.85")
        row[0].set_title(caption, loc="left", fontsize=9)
    height = fig.get_size_inches()[1]
    fig.subplots_adjust(0.01, 0.25 / height, 0.99, 1 - 0.3 / height, 0.05, 0.3)
    with atomic_path(path) as temporary:
        fig.savefig(temporary, format="png", dpi=110, metadata={"Software": None})
    plt.close(fig)


def train(project: Project, table: Path, params: Params, seed: int, with_deepfit: bool, folder: Path) -> None:
    """One training, kept; DeepFit's may be cut short."""
    own = params.train.exercise
    if not with_deepfit:
        own = own.model_copy(update={"deepfit": own.deepfit.model_copy(update={"epochs": 1, "max_steps": 1})})
    if not (folder / "card.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        group = params.train.model_copy(update={"seed": seed, "exercise": own})
        exercise.fit(project, {SOURCE: table}, group, folder, "cpu", shown)
    print(f"trained: {folder}", flush=True)


def thirds(project: Project, table: Path, params: Params, seeds: list[int], out: Path) -> dict[str, Any]:
    """Errors on each third of the training part, of networks that have not seen it."""
    rows = read_rows(table, "curated")
    clips, _ = data.load_clips(project, {SOURCE: table}, ("train",), "official", gold_only=True)
    result: dict[str, Any] = {}
    for seed in seeds:
        for third in range(3):
            folder = out / f"{seed}_without_{third}"
            folder.mkdir(parents=True, exist_ok=True)
            others = [row for row in rows if third_of(row["sample_id"]) != third]
            part = write_table(folder / "table.parquet", "curated", others)
            train(project, part, params, seed, False, folder / "model")
            held_out = [clip for clip in clips if third_of(clip.sample_id) == third]
            card, both = exercise.load(folder / "model")
            spec = exercise.window_spec(ExerciseTrain.model_validate(card.params))
            errors = {"one_length": 0, "all_views": 0}
            for clip in held_out:
                windows, _ = features.track_windows(clip.track, spec, exercise.HOP * spec.seconds)
                said = {
                    "one_length": exercise.log_probabilities(both.temporal, windows).mean(axis=0),
                    "all_views": exercise.clip_log_probabilities(both.temporal, clip.track, spec),
                }
                for name, log_p in said.items():
                    errors[name] += card.classes[int(log_p.argmax())] != clip.label
            result[folder.name] = {"n": len(held_out), **errors}
            print(folder.name, result[folder.name], flush=True)
    total = {key: sum(part[key] for part in result.values()) for key in ("n", "one_length", "all_views")}
    print("all", total)
    return {**result, "all": total}


def test_part(project: Project, table: Path, params: Params, seeds: list[int], out: Path) -> None:
    """Train on the training part and score the test part, once for each seed."""
    for seed in seeds:
        train(project, table, params, seed, seed == seeds[0], out / str(seed))
    training, _ = data.load_clips(project, {SOURCE: table}, ("train",), "official", gold_only=False)
    test, _ = data.load_clips(project, {SOURCE: table}, ("test",), "official", gold_only=True)
    truth = np.array([clip.label for clip in test])
    gym, leaks = np.array([name in BY_NAME for name in truth]), leaking(test, training)
    result: dict[str, Any] = {"seeds": {}}
    said: list[list[str]] = [[] for _ in test]
    for seed in seeds:
        names, p, deepfit = answers(out / str(seed), test)
        wrong = np.array(names) != truth
        result["seeds"][str(seed)] = shares(wrong, gym, leaks)
        if seed == seeds[0]:
            result["deepfit"] = shares(np.array(deepfit) != truth, gym, leaks)
        for i in np.flatnonzero(wrong).tolist():
            said[i].append(f"{names[i]} {p[i]:.2f} (seed {seed})")
    parts = next(iter(result["seeds"].values()))
    result["mean_errors"] = {
        part: float(np.mean([scores[part]["errors"] for scores in result["seeds"].values()])) for part in parts
    }
    errors = [i for i, names in enumerate(said) if names]
    result["errors"] = [
        {"sample_id": test[i].sample_id, "truth": test[i].label, "named": said[i], "neighbour": bool(leaks[i])}
        for i in errors
    ]
    write_json(out / "scores.json", result)
    if errors:
        captions = [f"{test[i].sample_id}  {test[i].label}, named: {', '.join(said[i])}" for i in errors]
        draw(out / "errors.png", [test[i] for i in errors], captions)
    for name, part in (*result["seeds"].items(), ("deepfit", result["deepfit"])):
        print(name, ", ".join(f"{key} {one['errors']}/{one['n']}" for key, one in part.items()))
    print("mean errors", result["mean_errors"])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9])
    parser.add_argument("--thirds", action="store_true", help="on thirds of the training part, not on the test part")
    args = parser.parse_args()
    project = find_project()
    recipe = project.pipelines / "real.yaml"
    params = parse(Params, load_yaml(recipe), recipe)
    table = project.seed(exercise.TASK, SOURCE) / "table.parquet"
    if args.thirds:
        write_json(args.out / "thirds.json", thirds(project, table, params, args.seeds, args.out))
    else:
        test_part(project, table, params, args.seeds, args.out)


if __name__ == "__main__":
    main()
