"""The exercise models on a set so easy that they must learn it: arms that go up and down, knees that bend, rest."""

from pathlib import Path

import numpy as np
import pytest

from repset.landmarks import COCO_18, PENN_13, SKELETONS
from repset.params import ExerciseTrain, TrainParams, load_yaml
from repset.project import Project
from repset.records import TableWriter, canonical_json, pose_table, sha256_file, write_table

pytestmark = pytest.mark.train

BODY = {
    "head": (100, 20), "nose": (100, 25), "neck": (100, 50), "left_shoulder": (120, 50), "right_shoulder": (80, 50),
    "left_elbow": (125, 90), "right_elbow": (75, 90), "left_wrist": (125, 125), "right_wrist": (75, 125),
    "left_hip": (115, 130), "right_hip": (85, 130), "left_knee": (115, 190), "right_knee": (85, 190),
    "left_ankle": (115, 250), "right_ankle": (85, 250), "left_ear": (105, 20), "right_ear": (95, 20),
    "left_eye": (103, 20), "right_eye": (97, 20),
}  # fmt: skip
FPS = 30.0


def motion(label: str, skeleton: str, frames: int, rng: np.random.Generator) -> np.ndarray:
    """(T, K, 2) pixels: shoulder_press lifts the hands, squat lowers all above the knee, none stands still."""
    joints = SKELETONS[skeleton].joints
    xy = np.repeat(np.array([BODY[joint] for joint in joints], np.float32)[None], frames, axis=0)
    wave = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(frames) / (FPS * rng.uniform(1.2, 1.8)) + rng.uniform()))
    for k, joint in enumerate(joints):
        if label == "shoulder_press" and "wrist" in joint:
            xy[:, k, 1] -= 60 + 70 * wave
        if label == "squat" and "knee" not in joint and "ankle" not in joint:
            xy[:, k, 1] += 50 * wave
    return xy + rng.normal(0, 1, xy.shape)


def write_source(project: Project, source: str, clips: list[tuple[str, str, str, list[tuple[str, int]]]]) -> Path:
    """Index and curated table. A clip: native id, fold, skeleton, stretches of (label, frames)."""
    rng = np.random.default_rng(len(source))
    rows, samples = [], []
    with TableWriter(project.index(source) / "poses.parquet", "poses") as poses:
        for native, fold, skeleton, parts in clips:
            sample_id = f"{source}/{native}"
            xy = np.concatenate([motion(label, skeleton, frames, rng) for label, frames in parts])
            xy = xy * rng.uniform(0.5, 2) + rng.uniform(0, 300, 2)  # near or far, anywhere in the image
            frame, ones = np.arange(len(xy)), np.ones(xy.shape[:2])
            poses.add(pose_table(sample_id, skeleton, frame, frame / FPS, xy, ones, 0 * ones, "dataset"))
            samples.append({"sample_id": sample_id, "source": source, "kind": "poses"})
            ends = np.cumsum([frames for _, frames in parts]).tolist()
            for (label, frames), end in zip(parts, ends, strict=True):
                interval = None if len(parts) == 1 else [(end - frames) / FPS, end / FPS]
                rows.append({
                    "sample_id": sample_id, "source": source, "group": native, "fold": fold, "official_split": None,
                    "task": "exercise", "target": canonical_json({"interval_s": interval}),
                    "value": canonical_json(label), "tier": "gold", "origin": "dataset",
                })  # fmt: skip
    write_table(project.index(source) / "samples.parquet", "samples", samples)
    return write_table(project.curated("exercise", source) / "table.parquet", "curated", rows)


@pytest.fixture
def tables(project: Project) -> dict[str, Path]:
    """Short single-exercise clips on 13 joints, and long recordings with rest on 18."""
    folds = ["train"] * 8 + ["validation"] * 2 + ["test"] * 4
    labels = ("squat", "shoulder_press")
    clips = [(f"{i:04d}", fold, "penn_13", [(labels[i % 2], 60 + i)]) for i, fold in enumerate(folds)]
    course = [("none", 120), ("squat", 180), ("none", 120), ("shoulder_press", 180), ("none", 120)]
    recordings = [
        (f"w{i:02d}", fold, "coco_18", course) for i, fold in enumerate(["train"] * 4 + ["validation", "test"])
    ]
    return {
        "sample_penn_action": write_source(project, "sample_penn_action", clips),
        "sample_mmfit": write_source(project, "sample_mmfit", recordings),
    }


@pytest.fixture
def params(project: Project) -> TrainParams:
    """The sample's parameters, small."""
    raw = load_yaml(project.root / "params.yaml")["train"]
    raw["exercise"] |= {
        "epochs": 40,
        "batch": 32,
        "width": 32,
        "learning_rate": 0.006,
        "dropout": 0.1,
        "max_steps": None,
        "split": "ours",
    }
    raw["exercise"]["deepfit"] |= {"epochs": 4, "batch": 64, "dropout": 0.1, "learning_rate": 0.01}
    return TrainParams.model_validate(raw)


def test_fit_evaluate_and_propose_on_an_easy_set(
    project: Project, tables: dict[str, Path], params: TrainParams, tmp_path: Path
) -> None:
    from repset.learn import exercise
    from repset.learn.card import load_card

    (out := tmp_path / "model").mkdir()
    exercise.fit(project, tables, params, out, device="cpu")
    card = load_card(out, "exercise")
    assert card.classes == ("squat", "shoulder_press", "none")
    assert card.architecture["deepfit"]["classes"] == 2  # labelled frames only: no rest
    assert card.data_kind == "rendered sample"
    assert {source: facts["train"] for source, facts in card.data.items()} == {
        "sample_penn_action": 8, "sample_mmfit": 4 * 5,
    }  # fmt: skip
    assert sorted(path.name for path in (out / "history").iterdir()) == ["deepfit", "temporal"]

    scored = exercise.evaluate(project, tables, out)
    assert scored.metrics["n"] == 4 + 5
    assert scored.metrics["temporal"]["clip"]["support"] == {"squat": 3, "shoulder_press": 3, "none": 3}
    assert scored.metrics["baseline"]["clip"]["accuracy"] == pytest.approx(1 / 3)
    assert scored.metrics["temporal"]["clip"]["accuracy"] >= 8 / 9
    assert scored.metrics["temporal"]["frame"]["accuracy"] > 0.85
    assert scored.metrics["deepfit"]["clip"]["n"] == 6
    assert scored.metrics["deepfit"]["frame"]["n"] == 70 + 71 + 72 + 73 + 180 + 180
    assert scored.confusions["temporal_clip"].counts.sum() == 9

    rows = exercise.propose(project, out, "exercise", "sample_mmfit")
    test = [row for row in rows if row["sample_id"] == "sample_mmfit/w05"]
    assert [row["value"] for row in test] == ['"none"', '"squat"', '"none"', '"shoulder_press"', '"none"']
    assert all(row["origin_hash"] == card.weights_sha256 and 0 <= row["score"] <= 1 for row in test)
    (short,) = [
        row
        for row in exercise.propose(project, out, "exercise", "sample_penn_action")
        if row["sample_id"].endswith("0013")
    ]
    assert short["target"] == '{"interval_s":null}'
    assert short["value"] == '"shoulder_press"'


def test_same_seed_same_bytes(project: Project, tables: dict[str, Path], params: TrainParams, tmp_path: Path) -> None:
    from repset.learn import exercise

    own = params.exercise.model_dump() | {"epochs": 1, "max_steps": 2}
    own["deepfit"] |= {"epochs": 1, "max_steps": 2}
    short = TrainParams(seed=3, segmentation=params.segmentation, exercise=ExerciseTrain.model_validate(own))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        exercise.fit(project, tables, short, tmp_path / name, device="cpu")
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert Path("weights.safetensors") in files
    for file in files:
        assert sha256_file(tmp_path / "a" / file) == sha256_file(tmp_path / "b" / file), file


def test_a_fold_without_gold_is_one_sentence(
    project: Project, tables: dict[str, Path], params: TrainParams, tmp_path: Path
) -> None:
    from repset.errors import DataError
    from repset.learn import exercise

    own = params.exercise.model_dump() | {"epochs": 1, "max_steps": 1}
    own["deepfit"] |= {"epochs": 1, "max_steps": 1}
    short = TrainParams(seed=3, segmentation=params.segmentation, exercise=ExerciseTrain.model_validate(own))
    one = {"sample_penn_action": tables["sample_penn_action"]}
    (tmp_path / "model").mkdir()
    exercise.fit(project, one, short, tmp_path / "model", device="cpu")
    with pytest.raises(DataError) as error:
        exercise.evaluate(project, one, tmp_path / "model", fold="calibration")
    assert str(error.value) == (
        f"{one['sample_penn_action']}: expected gold rows with poses in the fold calibration, found none. "
        "Check the split of these sources."
    )


def test_one_exercise_alone_cannot_be_learned(project: Project, params: TrainParams, tmp_path: Path) -> None:
    from repset.errors import DataError
    from repset.learn import exercise

    table = write_source(project, "sample_penn_action", [("0001", "train", "penn_13", [("squat", 60)])])
    with pytest.raises(DataError) as error:
        exercise.fit(project, {"sample_penn_action": table}, params, tmp_path, device="cpu")
    assert str(error.value) == (
        f"{table}: expected poses of at least two exercises in the fold train, found squat. "
        "Check the index and the split of these sources."
    )


def test_the_published_network_has_the_published_size() -> None:
    from repset.learn.exercise_nets import DeepFit

    network = DeepFit(classes=10, dropout=0.5, activation="sigmoid")
    assert sum(p.numel() for p in network.parameters()) == 5146  # as its README states


def test_of_several_skeletons_the_one_with_pixels_is_read(project: Project) -> None:
    from repset.learn.exercise_data import read_tracks

    flat = np.ones((3, len(COCO_18.joints), 2))
    nowhere = np.full((4, 17, 2), np.nan)
    with TableWriter(project.index("sample_mmfit") / "poses.parquet", "poses") as poses:
        for name, xy in (("coco_18", flat), ("h36m_17", nowhere)):
            frame, ones = np.arange(len(xy)) + 5, np.ones(xy.shape[:2])
            poses.add(pose_table("sample_mmfit/w00", name, frame, frame / FPS, xy, ones, 0 * ones, "dataset_estimate"))
    frames, track = read_tracks(project, "sample_mmfit", ["sample_mmfit/w00"])["sample_mmfit/w00"]
    assert (track.skeleton, frames.tolist()) == ("coco_18", [5, 6, 7])
    assert read_tracks(project, "sample_mmfit", ["sample_mmfit/w01"]) == {}


def test_official_split_holds_where_a_set_has_one() -> None:
    from repset.learn.exercise_data import fold_of

    row = {"fold": "train", "official_split": "test"}
    assert [fold_of(row, "ours"), fold_of(row, "official")] == ["train", "test"]
    assert fold_of({"fold": "train", "official_split": None}, "official") == "train"


def test_a_clip_and_its_mirror_image_are_named_alike() -> None:
    import torch

    from repset.learn import exercise
    from repset.learn.exercise_nets import Temporal
    from repset.pose_features import WindowSpec, track_windows
    from repset.schema import PoseTrack

    rng = np.random.default_rng(3)
    xy = motion("shoulder_press", "penn_13", 100, rng).astype(np.float32)
    xy[:, PENN_13.index("left_wrist"), 0] += 30  # left and right differ
    times, seen = np.arange(100) / FPS, np.ones((100, 13), np.float32)
    flipped = xy[:, list(PENN_13.mirror)] * np.array([-1, 1], np.float32)
    torch.manual_seed(0)
    network = Temporal(5, 16, 0.1).eval()
    tracks, spec = [PoseTrack("penn_13", times, one, seen, 0, 0) for one in (xy, flipped)], WindowSpec(2.0, 32)
    here, there = (exercise.clip_log_probabilities(network, track, spec) for track in tracks)
    assert np.exp(here).sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(here, there, atol=1e-5)
    first = [exercise.log_probabilities(network, track_windows(track, spec, 0.5)[0])[0] for track in tracks]
    assert abs(first[0] - first[1]).max() > 1e-3  # a single window is not
    asked: list[int] = []
    network.register_forward_pre_hook(lambda _, inputs: asked.append(len(inputs[0])))
    exercise.clip_log_probabilities(network, tracks[0], spec)
    assert asked == [6, 6, 4, 4, 2, 2]  # 3.3 s in windows of 1.5, 2 and 2.7 s, a quarter of that apart, and mirrored


def test_the_share_of_cut_windows_reaches_the_training(
    project: Project, tables: dict[str, Path], params: TrainParams, tmp_path: Path
) -> None:
    from repset.learn import exercise

    seen: list[float] = []
    for crop_p in (0.0, 1.0):
        own = params.exercise.model_copy(update={"crop_p": crop_p, "epochs": 1})
        (out := tmp_path / str(crop_p)).mkdir()
        exercise.fit(project, tables, params.model_copy(update={"exercise": own}), out, device="cpu")
        seen.append(exercise.load(out)[1].temporal.head.weight.sum().item())
    assert seen[0] != seen[1]


def test_augmented_windows_stay_poses_of_the_same_size() -> None:
    from repset.learn.exercise_items import Augment
    from repset.pose_features import JOINTS, body_length

    rng = np.random.default_rng(0)
    xy = np.repeat(np.array([BODY[joint] for joint in PENN_13.joints], np.float32)[None, None], 8, axis=1)
    xy, seen = np.repeat(xy, 200, axis=0), np.ones((200, 8, len(JOINTS)), np.float32)
    varied, known = Augment(crop_p=0)(rng, xy, seen)
    assert varied.shape == xy.shape
    assert np.array_equal(np.isnan(varied[..., 0]), known == 0)
    assert 0.7 < np.nanmedian(body_length(varied)) / body_length(xy)[0] < 1.4
    assert 0 < (known == 0).mean() < 0.3


def test_exchanged_sides_last_the_window_in_a_share_of_them() -> None:
    from repset.learn.exercise_items import Augment
    from repset.pose_features import JOINTS

    still = Augment(
        turn_deg=0, stretch=1, jitter=0, offset=0, lost_joint_p=0, lost_limb_p=0, lost_step_p=0, unsure_p=0, swap_p=0,
        same_arm_p=0, pan_p=0, slow_p=0, crop_p=0,
    )  # fmt: skip
    xy = np.repeat(np.array([BODY[joint] for joint in PENN_13.joints], np.float32)[None, None], 8, axis=1)
    xy, seen = np.repeat(xy, 1000, axis=0), np.ones((1000, 8, len(JOINTS)), np.float32)
    varied, _ = still(np.random.default_rng(0), xy, seen)
    left, right = (varied[:, :, JOINTS.index(f"{side}_shoulder"), 0] for side in ("left", "right"))
    assert ((left < right).all(axis=1) | (left > right).all(axis=1)).all()
    # The body's left is at the larger x; a mirror image keeps that, exchanged sides turn it round.
    assert 0.16 < (left < right).all(axis=1).mean() < 0.24


def test_a_border_cuts_off_what_lies_beyond_it() -> None:
    from repset.learn.exercise_items import Augment
    from repset.pose_features import JOINTS

    rng = np.random.default_rng(0)
    xy = rng.normal(0, 1, (2000, 4, len(JOINTS), 2)).astype(np.float32)
    xy[:, :, 3] = np.nan  # never seen
    cut = Augment(crop_p=1.0)._cropped(rng, xy)
    assert not cut[:, :, 3].any()
    share = cut.sum(axis=(1, 2)) / (4 * (len(JOINTS) - 1))
    assert 0.18 < share.min() < 0.24
    assert 0.76 < share.max() < 0.82
    ends = {}  # of the cut windows: is all that is left on one side of all that is gone?
    for axis, direction in ((0, 1), (0, -1), (1, 1), (1, -1)):
        along = direction * xy[..., axis]
        kept = np.where(cut, -np.inf, np.nan_to_num(along, nan=-np.inf)).max(axis=(1, 2))
        ends[axis, direction] = kept <= np.where(cut, along, np.inf).min(axis=(1, 2))
    assert np.any(list(ends.values()), axis=0).all()
    assert 0.36 < ends[1, 1].mean() < 0.44
    assert not Augment(crop_p=0)._cropped(rng, xy).any()


def test_few_frames_a_second_are_straight_lines_between_kept_steps() -> None:
    from repset.learn.exercise_items import Augment
    from repset.pose_features import JOINTS

    rng = np.random.default_rng(0)
    xy = rng.normal(0, 1, (50, 32, len(JOINTS), 2)).astype(np.float32)
    slow, seen = Augment(slow_p=1.0, slow_steps=4)._fewer_frames(rng, xy, np.ones(xy.shape[:3], np.float32))
    kept = np.isclose(slow, xy).all(axis=(2, 3))
    assert set(np.unique(kept.sum(axis=1))) == {8 + 1, 11 + 1, 16 + 1}  # every 4th, 3rd, 2nd step, and the last
    assert (seen == 1).all()


def test_the_temperature_that_was_put_in_is_found() -> None:
    from repset.learn.exercise_calibration import calibration_error, fit_temperature

    rng = np.random.default_rng(0)
    honest = np.log(rng.dirichlet(np.full(4, 0.7), 20000))
    truth = np.array([rng.choice(4, p=p) for p in np.exp(honest)])
    found = fit_temperature(honest * 2.5, truth)
    assert found["temperature"] == pytest.approx(2.5, rel=0.04)
    assert found["n"] == 20000
    assert found["ece_after"] < 0.015 < 0.05 < found["ece_before"]
    # Two bins by hand: 0.95 said of two, one right; 0.55 said of two, both right: (|1.9 - 1| + |1.1 - 2|) / 4.
    p = np.array([[0.95, 0.05], [0.95, 0.05], [0.55, 0.45], [0.55, 0.45]])
    assert calibration_error(p, np.array([0, 1, 0, 0])) == pytest.approx(0.45)
