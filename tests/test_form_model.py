"""The form classifier: numbers of a repetition by hand, learning, scores beside rules, the ancestor's split."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from repset.cli import cli
from repset.errors import DataError
from repset.landmarks import PENN_13
from repset.learn import form
from repset.learn.form_pose import NAMES, Rep, describe, load_reps
from repset.project import Project
from repset.records import TableWriter, canonical_json, pose_table, write_table
from repset.schema import PoseTrack

FPS = 30.0
HEIGHT = {"head": -100, "shoulder": -76, "elbow": -38, "wrist": 0, "hip": 0, "knee": 62, "ankle": 124}


def squat(depth: float, frames: int = 40) -> np.ndarray:
    """(T, 13, 2) pixels, from the side: knees at 180° at the ends, bent to `depth` degrees in the middle."""
    bend = np.radians(180 - depth) * np.sin(np.pi * np.arange(frames) / (frames - 1))
    xy = np.zeros((frames, 13, 2), np.float32)
    for k, joint in enumerate(PENN_13.joints):
        side, part = (1 if joint.startswith("left") else -1), joint.split("_")[-1]
        xy[:, k] = [side * 2 if part != "head" else 0, HEIGHT[part]]
    hip = PENN_13.index("left_hip")
    for side in (0, 1):  # the thigh turns about the knee; all above goes with the hip
        at = np.stack([-62 * np.sin(bend), 62 - 62 * np.cos(bend)], axis=1)
        shift = at - (xy[:, hip + side] - [xy[0, hip + side, 0], 0])
        for part in ("shoulder", "elbow", "wrist", "hip"):
            xy[:, PENN_13.index(f"left_{part}") + side] += shift
    xy[:, 0] += at
    return xy * 2 + 300


def track(xy: np.ndarray, seen: float = 1.0) -> PoseTrack:
    return PoseTrack("penn_13", np.arange(len(xy)) / FPS, xy, np.full(xy.shape[:2], seen, np.float32), 0, 0)


def rep(depth: float, number: int = 0, fold: str = "train", tier: str = "gold", verdict: str | None = None) -> Rep:
    xy = squat(depth)
    numbers = describe(np.arange(len(xy)), track(xy), 0, len(xy), "squat")
    verdict = verdict or ("correct" if depth < 100 else "incorrect")
    fault = "shallow" if verdict == "incorrect" else ""
    return Rep(f"s/{number}", "s", str(number), fold, tier, "squat", (0, 40), verdict, fault, numbers)


def test_numbers_of_a_squat_by_hand() -> None:
    numbers = dict(zip(NAMES, rep(90).numbers, strict=True))
    assert numbers["turn"] == pytest.approx(90 / 180, abs=0.005)
    assert numbers["rest"] == pytest.approx(-180 / 180, abs=0.005)
    assert numbers["travel"] == pytest.approx(-90 / 180, abs=0.01)
    assert (numbers["knee_least"], numbers["knee_most"]) == pytest.approx((0.5, 1.0), abs=0.005)
    assert numbers["seconds"] == pytest.approx(39 / FPS)
    assert (numbers["signal_seen"], numbers["seen"]) == (1.0, 1.0)


def test_of_a_press_the_turn_is_where_the_arms_are_straight() -> None:
    xy = squat(90)
    numbers = dict(zip(NAMES, describe(np.arange(40), track(xy), 0, 40, "shoulder_press"), strict=True))
    assert numbers["turn"] == pytest.approx(-numbers["elbow_most"])  # more of it is less of a repetition, here too


def test_what_was_not_seen_is_nan_and_says_so() -> None:
    xy = np.full((40, 13, 2), np.nan, np.float32)
    numbers = dict(zip(NAMES, describe(np.arange(40), track(xy, np.nan), 0, 40, "squat"), strict=True))
    assert np.isnan(numbers["turn"])
    assert (numbers["signal_seen"], numbers["seen"]) == (0.0, 0.0)
    nobody = dict(zip(NAMES, describe(np.arange(40) + 500, track(squat(90)), 0, 40, "squat"), strict=True))
    assert np.isnan(nobody["seconds"])


def many(fold: str, rng: np.random.Generator, tier: str = "gold") -> list[Rep]:
    depths = [*rng.uniform(70, 90, 8), *rng.uniform(115, 130, 6)]
    return [rep(depth, number, fold, tier) for number, depth in enumerate(depths)]


def test_shallow_repetitions_are_told_from_deep_ones_and_the_fault_is_named() -> None:
    rng = np.random.default_rng(0)
    model = form.fit_form(many("train", rng))
    tested = many("test", rng)
    assert [verdict for verdict, *_ in model.judge(tested)] == [one.verdict for one in tested]
    assert {fault for verdict, _, fault in model.judge(tested) if verdict == "incorrect"} == {"shallow"}
    assert all(0.5 <= p <= 1 for _, p, _ in model.judge(tested))


def test_verdicts_of_rules_teach_only_what_cannot_be_judged() -> None:
    gold, auto, unseen = rep(80), rep(80, tier="auto"), rep(80, tier="auto", verdict="unscorable")
    assert form.learnable([gold, auto, unseen, rep(80, fold="test")]) == [gold, unseen]


def test_one_verdict_alone_cannot_be_learned() -> None:
    with pytest.raises(DataError) as error:
        form.fit_form([rep(80), rep(85)])
    assert str(error.value) == (
        "form: expected repetitions of at least two verdicts in the fold train, found 2 correct. Review more of them."
    )


def test_scores_by_hand() -> None:
    truth = ["correct", "correct", "incorrect", "incorrect"]
    found = form.verdict_scores(truth, ["correct", "incorrect", "unscorable", "correct"])
    assert (found["accuracy"], found["unscorable"]) == (0.25, 1)
    assert found["accuracy_where_judged"] == pytest.approx(1 / 3)
    assert (found["faults_missed"], found["faults_invented"]) == (1, 1)
    assert found["macro_f1"] == pytest.approx((2 / 4 + 0) / 2)  # correct: hit 1, truth 2, said 2; incorrect: hit 0
    nobody = form.verdict_scores(truth, ["unscorable"] * 4)
    assert (nobody["accuracy"], nobody["accuracy_where_judged"]) == (0.0, None)


def test_the_interval_draws_groups_and_not_repetitions() -> None:
    reps = [rep(80, number // 10) for number in range(20)]  # two groups of ten
    found = form.paired(reps, ["correct"] * 20, ["correct"] * 10 + ["incorrect"] * 10)
    assert (found["accuracy"], found["low"], found["high"]) == (0.5, 0.0, 1.0)


# --- from the tables ---------------------------------------------------------------------------------------------


@pytest.fixture
def source(project: Project) -> str:
    """Thirty clips of one squat each; the rules find every other one of them, and call all correct."""
    (project.pipelines / "mine.yaml").write_text(
        "family: penn_action\nrendered: true\norigin: a.zip\n", encoding="utf-8"
    )
    rng, rows, rules = np.random.default_rng(1), [], []
    with TableWriter(project.index("mine") / "poses.parquet", "poses") as poses:
        for number in range(30):
            name, depth = f"mine/{number:02d}", float(rng.uniform(70, 90) if number % 3 else rng.uniform(115, 130))
            xy = squat(depth)
            frame, ones = np.arange(len(xy)), np.ones(xy.shape[:2])
            poses.add(pose_table(name, PENN_13.name, frame, frame / FPS, xy, ones, 0 * ones, "dataset"))
            verdict = "correct" if depth < 100 else "incorrect"
            target = {"exercise": "squat", "frames": [0, 40], "rule_id": "shallow" if depth > 100 else None}
            rows.append({
                "sample_id": name, "source": "mine", "group": str(number), "fold": "test" if number > 19 else "train",
                "task": "form", "target": canonical_json(target), "value": canonical_json(verdict), "tier": "gold",
                "origin": "dataset",
            })  # fmt: skip
            if number % 2:
                rules.append({"sample_id": name, "set": 0, "rep": 0, "level": "rep", "start": 1, "end": 39,
                              "verdict": "correct"})  # fmt: skip
    write_table(project.labels("mine") / "form.parquet", "form", rules)
    write_table(project.curated("form", "mine") / "table.parquet", "curated", rows)
    return "mine"


def test_train_and_evaluate_beside_the_rules(project: Project, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.root)
    done = CliRunner().invoke(cli, ["form", "train", source], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert done.output.startswith("20 repetitions (rendered sample): 13 correct, 7 incorrect\n")
    done = CliRunner().invoke(cli, ["form", "evaluate", source], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    scores = json.loads((project.model("form") / "metrics.json").read_text(encoding="utf-8"))
    assert (scores["n"], scores["truth"]) == (10, {"correct": 7, "incorrect": 3})
    assert scores["classifier"]["accuracy"] == 1.0
    assert scores["fault"] == {"n": 3, "right": 3, "commonest": 3}
    # Of the clips 20 to 29 the rules judge 21, 23, 25, 27 and 29; 21, 24 and 27 are shallow.
    assert scores["rules"]["unscorable"] == 5
    assert scores["rules"]["accuracy"] == 0.3
    assert scores["rules_then_classifier"]["accuracy"] == 0.8
    assert scores["commonest"]["accuracy"] == 0.7


def test_without_gold_there_is_one_sentence(project: Project, source: str, tmp_path: Path) -> None:
    tables = {source: project.curated("form", source) / "table.parquet"}
    form.train_form(project, tables, tmp_path / "model")
    with pytest.raises(DataError) as error:
        form.evaluate_form(project, tables, tmp_path / "model", "calibration")
    assert str(error.value) == (
        f"{tables[source]}: expected gold verdicts with poses in the fold calibration, found none. "
        "Review repetitions of that fold."
    )


def test_the_same_tables_give_the_same_bytes(project: Project, source: str, tmp_path: Path) -> None:
    tables = {source: project.curated("form", source) / "table.parquet"}
    for name in ("a", "b"):
        form.train_form(project, tables, tmp_path / name)
    assert (tmp_path / "a" / "card.json").read_bytes() == (tmp_path / "b" / "card.json").read_bytes()
    reps, without = load_reps(project, tables)
    assert (len(reps), without) == (30, {"mine": 0})


def test_random_frames_of_the_same_clips_flatter_the_network_of_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures say nothing here but which clip they are of: only a split of frames can seem to work."""
    from repset.learn import form_image

    monkeypatch.setattr(form_image, "STEPS", 100)
    monkeypatch.setattr(form_image, "SIZE_PX", 16)
    rng = np.random.default_rng(0)
    clips, frames = 16, 8
    owner = np.repeat(np.arange(clips), frames)
    pictures = rng.random((clips, 3, 16, 16)).astype(np.float32)[owner]
    truth = (np.arange(clips) % 2)[owner]
    chosen = np.arange(clips * frames) % 4 == 0
    naive = form_image._arm(pictures, truth, owner, ~chosen, chosen, 7, lambda *_: None)
    honest = form_image._arm(pictures, truth, owner, owner < 12, owner >= 12, 7, lambda *_: None)
    assert (naive["frames"]["n"], naive["repetitions"]["n"]) == (32, 16)
    assert (honest["frames"]["n"], honest["repetitions"]["n"]) == (32, 4)
    assert honest["frames"]["commonest"] == 0.5
    assert naive["frames"]["accuracy"] == naive["repetitions"]["accuracy"] == 1.0
    assert honest["frames"]["accuracy"] < 0.8


def test_without_pictures_the_ancestor_says_so(project: Project, source: str) -> None:
    from repset.learn.form_image import compare_splits

    write_table(project.index(source) / "frames.parquet", "frames", [])
    with pytest.raises(DataError) as error:
        compare_splits(project, {source: project.curated("form", source) / "table.parquet"})
    assert str(error.value) == (
        "mine: expected pictures of gold repetitions, both verdicts in train and some in test, found none. "
        "Name a source whose frames are indexed."
    )
