"""Working muscle groups: average precision by hand, the descriptor, actions that were never seen, the command."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from repset.cli import cli
from repset.errors import DataError, RepsetError
from repset.exercises import MUSCLE_GROUPS, default_muscles
from repset.landmarks import PENN_13, SKELETONS
from repset.learn import muscles
from repset.learn.muscles_pose import NAMES, describe
from repset.learn.muscles_scores import MeanAveragePrecision, average_precision, by_action, difference
from repset.project import Project
from repset.records import TableWriter, pose_table, write_table
from repset.sample.actions import ACTIONS, OTHERS, perform_action, perform_solved
from repset.schema import PoseTrack

SEEN_FROM = np.array([[0.8, 0.0, 0.6], [0.0, -1.0, 0.0]])
"""Image axes (x right, y down) in the room's axes: a camera half-way between front and side."""


def clip(action: str, seed: int, skeleton: str = "penn_13") -> np.ndarray:
    """(T, K, 2) pixels of one clip, with a little noise."""
    rng = np.random.default_rng([seed, ACTIONS.index(action)])
    joints = perform_solved(action, rng).joints(skeleton)[:75]
    return (joints @ SEEN_FROM.T * 300 + 400 + rng.normal(0, 1, (len(joints), 1, 2))).astype(np.float32)


def track(xy: np.ndarray, skeleton: str = "penn_13") -> PoseTrack:
    return PoseTrack(skeleton, np.arange(len(xy)) / 30, xy, np.ones(xy.shape[:2], np.float32), 0, 0)


def write_source(project: Project, source: str, words: dict[str, str | None], clips: int) -> None:
    """An index of clips: the set's word → its canonical name."""
    folder, samples = project.index(source), []
    with TableWriter(folder / "poses.parquet", "poses") as poses:
        for word, exercise in words.items():
            for number in range(clips):
                name, xy = f"{source}/{word}{number}", clip(word, number)
                frame, ones = np.arange(len(xy)), np.ones(xy.shape[:2])
                poses.add(pose_table(name, PENN_13.name, frame, frame / 30, xy, ones, 0 * ones, "dataset"))
                split = "train" if number % 2 == 0 else "test"
                samples.append({"sample_id": name, "source": source, "kind": "poses", "exercise": exercise,
                                "exercise_native": word, "official_split": split})  # fmt: skip
    write_table(folder / "samples.parquet", "samples", samples)
    for empty in ("muscles", "sets"):
        write_table(folder / f"{empty}.parquet", empty, [])


# --- scores ------------------------------------------------------------------------------------------------------


def test_average_precision_by_hand() -> None:
    truth = np.array([True, False, True, False])
    # Ranks 1 and 3 are right: (1/1 + 2/3) / 2.
    assert average_precision(truth, np.array([0.9, 0.8, 0.7, 0.1])) == pytest.approx(5 / 6)
    # All equal: one threshold, precision 2/4.
    assert average_precision(truth, np.zeros(4)) == pytest.approx(0.5)
    # The first and the second together: 1/2 at recall 1/2, then 2/3.
    assert average_precision(truth, np.array([0.9, 0.9, 0.7, 0.1])) == pytest.approx((1 / 2 + 2 / 3) / 2)
    # Weight 3 on the wrong second: found 1 of 1, then 2 of 5.
    assert average_precision(truth, np.array([4, 3, 2, 1.0]), np.array([1, 3, 1, 1.0])) == pytest.approx(
        (1 + 2 / 5) / 2
    )
    assert np.isnan(average_precision(np.zeros(3, bool), np.arange(3.0)))


def test_average_precision_is_scikit_learns() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    for _ in range(50):
        truth, score = rng.random(30) < 0.3, rng.integers(0, 8, 30) / 8
        weight = rng.uniform(0.1, 2, 30)
        if truth.any():
            wanted = sklearn.average_precision_score(truth, score, sample_weight=weight)
            assert average_precision(truth, score, weight) == pytest.approx(wanted, abs=1e-9)


def test_an_action_weighs_one_however_many_clips_it_has() -> None:
    action = np.array([0, 0, 0, 0, 1])
    truth, score = np.array([[False]] * 4 + [[True]]), np.array([[0.9]] * 4 + [[0.5]])
    assert MeanAveragePrecision(truth, score, action).mean() == pytest.approx(1 / 2)  # not 1/5
    # A class that no drawn action has is left out; here nothing remains.
    assert np.isnan(MeanAveragePrecision(truth, score, action).mean(np.array([2.0, 0.0])))


def test_a_method_is_no_better_than_itself_and_the_interval_holds_the_difference() -> None:
    rng = np.random.default_rng(0)
    action = np.repeat(np.arange(20), 3)
    truth = (rng.random((20, 4)) < 0.4)[action]
    good = MeanAveragePrecision(truth, truth + rng.normal(0, 0.3, truth.shape), action)
    bad = MeanAveragePrecision(truth, rng.random(truth.shape), action)
    assert set(difference(good, good, 20, draws=20).values()) == {0.0}
    found = difference(good, bad, 20, draws=200)
    assert 0 < found["low"] < found["map"] < found["high"]


def test_ap_of_an_action_is_the_mean_over_its_clips() -> None:
    truth = np.array([[True, False, False]] * 3)
    score = np.array([[3, 2, 1.0], [2, 3, 1.0], [1, 2, 3.0]])  # rank 1, rank 2, rank 3
    assert by_action(truth, score, np.array([0, 0, 1])).tolist() == pytest.approx([(1 + 1 / 2) / 2, 1 / 3])


# --- what is seen of a clip --------------------------------------------------------------------------------------


def test_numbers_do_not_depend_on_place_size_or_side() -> None:
    xy = clip("dumbbell_row", 3)
    plain = describe(track(xy))
    assert plain.shape == (len(NAMES),)
    np.testing.assert_allclose(describe(track(xy * 1.7 + 40)), plain, atol=2e-3)
    mirrored = xy[:, list(PENN_13.mirror)] * np.array([-1, 1], np.float32)
    np.testing.assert_allclose(describe(track(mirrored)), plain, atol=2e-3)


def test_numbers_of_thirty_three_joints_are_those_of_thirteen() -> None:
    few, many = (describe(track(clip("squat", 3, name), name)) for name in ("penn_13", "blazepose_33"))
    assert len(SKELETONS["blazepose_33"].joints) == 33
    assert np.abs(few - many).max() < 0.25  # the head's place differs a little, and noise is drawn anew


def test_numbers_say_what_rises_when_a_joint_opens() -> None:
    press, curl = (
        dict(zip(NAMES, describe(track(clip(name, 2))), strict=True)) for name in ("push_up", "lat_pulldown")
    )
    assert press["elbow_more_with_body"] > 0.5  # the body rises as the elbows open
    assert curl["elbow_more_with_hands"] > 0.5
    assert press["trunk_up"] < 0.3 < curl["trunk_up"]
    assert curl["body_rise"] < 0.02 < press["body_rise"]


def test_someone_who_is_never_seen_has_finite_numbers() -> None:
    xy = np.full((40, 13, 2), np.nan, np.float32)
    assert np.isfinite(describe(track(xy))).all()


# --- actions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_is_a_whole_body_whose_muscles_are_written_down(action: str) -> None:
    joints = perform_action(action, np.random.default_rng(1))
    assert joints.shape[1:] == (13, 3)
    assert np.isfinite(joints).all()
    assert -0.1 < joints[..., 1].min() < joints[..., 1].max() < 3.0
    assert np.ptp(joints, axis=0).max() > 0.015  # something moves
    found = default_muscles(None if action in OTHERS else action, action, "motion_actions")
    assert found is not None
    assert found.primary


def test_there_are_at_least_twenty_actions() -> None:
    assert len(ACTIONS) == 27
    assert len(set(ACTIONS)) == 27


# --- the whole ---------------------------------------------------------------------------------------------------

WORDS: dict[str, str | None] = {
    "squat": "squat", "lunge": "lunge", "push_up": "push_up", "bench_press": "bench_press",
    "lateral_raise": "lateral_raise", "front_raise": None,
}  # fmt: skip


@pytest.fixture
def source(project: Project) -> str:
    (project.pipelines / "mine.yaml").write_text(
        "family: penn_action\nrendered: true\norigin: a.zip\nformat: motion_actions\n", encoding="utf-8"
    )
    write_source(project, "mine", WORDS, 4)
    return "mine"


def test_unseen_actions_are_scored_by_models_that_never_saw_them(project: Project, source: str) -> None:
    clips, left_out = muscles.load_clips(project, [source])
    assert (len(clips), left_out) == (24, {"mine": {}})
    assert clips[0].groups == ("hamstring", "quadriceps", "gluteus")
    found = muscles.leave_one_action_out(clips)
    assert found["actions"] == 6
    # A recognised name of an unseen action is never its own.
    assert all(row["recognised_as"] != action for action, row in found["by_action"].items())
    assert found["by_action"]["front_raise"]["recognised_as"] == "lateral_raise"
    assert found["by_action"]["squat"]["muscles"] == ["hamstring", "quadriceps", "gluteus"]
    # The prior says the same of every clip: its AP for a group is the share of actions that have it.
    assert found["unseen"]["ap_by_group"]["quadriceps"]["prior"] == pytest.approx(2 / 6)
    assert found["unseen"]["ap_by_group"]["shoulder"]["prior"] == pytest.approx(4 / 6)
    assert found["unseen"]["map"]["ridge"] > found["unseen"]["map"]["prior"]
    assert found["seen"]["map"]["ridge"] > 0.9
    json.dumps(found, allow_nan=False)


def test_held_out_scores_do_not_change_with_the_held_out_labels(project: Project, source: str) -> None:
    clips, _ = muscles.load_clips(project, [source])
    table = muscles.Table.of(clips)
    kept = table.action != table.actions.index("squat")
    plain, _ = muscles.answers(table.rows(kept), table.numbers[~kept])
    lied = muscles.Table(table.numbers, table.action, table.truth.copy(), table.actions)
    lied.truth[~kept] = True
    again, _ = muscles.answers(lied.rows(kept), lied.numbers[~kept])
    assert all(np.array_equal(plain[name], again[name]) for name in plain)


def test_official_parts_are_learned_from_and_scored_apart(project: Project, source: str) -> None:
    clips, _ = muscles.load_clips(project, [source])
    found = muscles.official_splits(clips)
    assert (found["train"], found["test"]["clips"], set(found)) == (12, 12, {"train", "test"})
    assert found["test"]["map"]["ridge"] > 0.9
    with pytest.raises(DataError) as error:
        muscles.official_splits([one for one in clips if one.split == "train"])
    assert str(error.value) == (
        "official split: expected clips of train and of a test part, found 12 train. Name a source with its lists."
    )


def test_the_sets_own_muscles_come_first(project: Project, source: str) -> None:
    rows = [{"sample_id": "mine/squat0", "label": "calves", "role": None, "evidence": "a", "origin": "dataset"}]
    write_table(project.index(source) / "muscles.parquet", "muscles", rows)
    clips, _ = muscles.load_clips(project, [source])
    assert [one.groups for one in clips if one.sample_id in ("mine/squat0", "mine/squat1")] == [
        ("calves",), ("hamstring", "quadriceps", "gluteus"),
    ]  # fmt: skip


def test_too_few_actions_is_one_sentence(project: Project, source: str) -> None:
    clips, _ = muscles.load_clips(project, [source])
    with pytest.raises(DataError) as error:
        muscles.leave_one_action_out([one for one in clips if one.action in ("squat", "lunge")])
    assert str(error.value) == (
        "leave one action out: expected at least three actions, found lunge, squat. Name more sources."
    )


def test_the_commands_train_score_and_write(
    project: Project, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from repset.learn.muscles_model import MuscleModel

    monkeypatch.chdir(project.root)
    done = CliRunner().invoke(cli, ["muscles", "train", source], catch_exceptions=False)
    assert done.exit_code == 0
    model = MuscleModel(project.model("muscles") / "final")
    scores = model.score(track(clip("squat", 50)))
    assert tuple(scores) == MUSCLE_GROUPS
    assert {name for name, value in scores.items() if value > 0.5} == {"hamstring", "quadriceps", "gluteus"}
    into = tmp_path / "loao.json"
    done = CliRunner().invoke(cli, ["muscles", "loao", source, "--json", str(into)], catch_exceptions=False)
    assert done.exit_code == 0
    assert json.loads(into.read_text(encoding="utf-8"))["data"] == "rendered sample"
    assert "6 actions, 24 clips (rendered sample)" in done.output
    done = CliRunner().invoke(cli, ["muscles", "official", source], catch_exceptions=False)
    assert "learned from 12, scored 12 clips" in done.output


def test_a_source_without_muscles_is_one_sentence(project: Project, source: str) -> None:
    write_source(project, "mine", {"jump_rope": "jump_rope"}, 0)
    with pytest.raises(RepsetError) as error:
        muscles.load_clips(project, [source])
    assert str(error.value) == (
        "mine: expected clips with a pose, of exercises whose muscles are written down, found none. "
        "Index a source with poses (repset index), or label its videos first (repset autolabel)."
    )
