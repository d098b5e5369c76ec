"""Trying one's own rules: squats whose knee angles are written out, judged by two rule sets."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from scipy.stats import binomtest

from repset.autolabel.explain import stored_name
from repset.autolabel.measured_error import ErrorCards, load_cards
from repset.autolabel.rule_bench import Alarms, Bench, Clip, share_words, spreads, stored_clips, try_rules
from repset.autolabel.ruleset import RuleSet, load_rules
from repset.cli import cli
from repset.curate.decision import Decision
from repset.curate.ledger import Ledger
from repset.errors import RepsetError
from repset.landmarks import COCO_17
from repset.project import Project
from repset.records import TABLES, pose_table, write_json, write_table
from repset.schema import PoseTrack, Stretch

FPS = 30
DEPTHS = (80.0, 100.0, 120.0)


def squats(depths: tuple[float, ...] = DEPTHS) -> PoseTrack:
    """A person seen from the left who stands, goes down to each knee angle in a second, holds 0.4 s and comes up."""
    down = (1 - np.cos(np.linspace(0, np.pi, FPS))) / 2
    one = np.concatenate([np.zeros(FPS), down, np.ones(FPS * 2 // 5), down[::-1], np.zeros(FPS)])
    knee = np.radians(np.concatenate([175 - (175 - depth) * one for depth in depths]))
    xy = np.full((len(knee), 17, 2), np.nan, np.float32)
    hip_y = 400 - 200 * np.sin(knee / 2)
    joints = {
        "ankle": (np.full_like(knee, 200), np.full_like(knee, 400)),
        "knee": (200 + 100 * np.cos(knee / 2), 400 - 100 * np.sin(knee / 2)),
        "hip": (np.full_like(knee, 200), hip_y),
        "shoulder": (np.full_like(knee, 200), hip_y - 110),
    }
    for joint, (x, y) in joints.items():
        xy[:, COCO_17.index(f"left_{joint}")] = np.stack([x, y], axis=1)
    seen = np.isfinite(xy[..., 0]).astype(np.float32)
    return PoseTrack("coco_17", np.arange(len(knee)) / FPS, xy, seen, 400, 500)


def rule_file(path: Path, high_deg: float, tolerance_deg: float = 0, name: str = "mine") -> Path:
    rule = {
        "id": "depth", "angle": "knee", "phase": "turn", "statistic": "min", "limits": {"side": {"high_deg": high_deg}},
        "tolerance_deg": tolerance_deg, "message": "Deeper.", "source": "project's own choice",
    }  # fmt: skip
    rules = {"name": name, "kind": "repetition", "about": "A test.", "exercises": {"squat": {"rules": [rule]}}}
    path.write_text(yaml.safe_dump(rules))
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[RuleSet, RuleSet]:
    return (
        load_rules(rule_file(tmp_path / "mine.yaml", 95)),
        load_rules(rule_file(tmp_path / "lax.yaml", 105, name="lax")),
    )


CARD = {"source": "a_set", "data": "real", "angles": {"penn_13": {
    "overall": {"knee": {"n": 900, "median_deg": 2.0}},
    "per_exercise": {"squat": {"knee": {"n": 100, "median_deg": 6.0}}},
    "per_view": {"side": {"knee": {"n": 29, "median_deg": 9.0}}},
}}}  # fmt: skip


def clip(index: Path | None = None) -> Clip:
    track = squats()
    return Clip("a/1", track, (Stretch(0, len(track.time_s), "squat", None, "given"),), 0.5, index)


def bench_of(pair: tuple[RuleSet, RuleSet], cards: ErrorCards | None = None, project: Project | None = None) -> Bench:
    return try_rules([clip()], *pair, cards or ErrorCards(), project)


def test_the_verdicts_that_change_are_those_between_the_two_limits(pair: tuple[RuleSet, RuleSet]) -> None:
    bench = bench_of(pair)
    assert [(rep.before, rep.after, rep.changed) for rep in bench.reps] == [
        ("correct", "correct", False),
        ("correct", "incorrect", True),
        ("incorrect", "incorrect", False),
    ]
    decided = bench.reps[1].decided
    assert decided is not None
    assert decided.value_deg == pytest.approx(100, abs=1)
    assert decided.flip_deg == pytest.approx(-5, abs=1)


def test_what_a_rule_measures_is_gathered_by_view(pair: tuple[RuleSet, RuleSet]) -> None:
    (row,) = bench_of(pair).rules
    assert (row.exercise, row.rule.id, row.view, row.limits, row.other) == (
        "squat", "depth", "side", (None, 95.0), (None, 105.0),
    )  # fmt: skip
    assert row.values == pytest.approx(DEPTHS, abs=1)
    assert row.verdicts == ("correct", "incorrect", "incorrect")
    (spread,) = spreads(bench_of(pair))
    assert (spread.title, spread.angle, list(spread.verdicts)) == (
        "squat · depth · side · 3 measured", "knee", ["correct", "incorrect", "incorrect"],
    )  # fmt: skip


def test_a_limit_within_the_angle_error_is_warned_of(pair: tuple[RuleSet, RuleSet], tmp_path: Path) -> None:
    cards = ErrorCards((CARD,))
    (row,) = bench_of(pair, cards).rules
    assert row.close == 1  # 100° lies 5° from 95°
    error = "±6.0° (a_set, squat, 100 frames)"
    assert row.warning == (
        f"squat depth from side: the limit lies within the angle error: it grants 0°, the knee is measured to {error}; "
        "1 of 3 repetitions are closer to it than that"
    )
    granted = load_rules(rule_file(tmp_path / "granted.yaml", 85, 10))
    (row,) = bench_of((granted, pair[1]), cards).rules
    assert row.warning == f"squat depth from side: 1 of 3 repetitions lie within the angle error of the limit, {error}"
    far = load_rules(rule_file(tmp_path / "far.yaml", 60, 8))
    (row,) = bench_of((far, pair[1]), cards).rules
    assert row.warning == ""


def test_an_angle_nobody_measured_is_warned_of(pair: tuple[RuleSet, RuleSet]) -> None:
    (row,) = bench_of(pair).rules
    assert (row.error, row.close) == (None, 0)
    assert row.warning == (
        "squat depth from side: nobody measured the error of the knee angle, so what the limit can bear is unknown"
    )


def test_the_error_is_that_of_the_exercise_and_of_few_frames_none() -> None:
    cards = ErrorCards((CARD,))
    assert [getattr(cards.of("knee", exercise, "side"), "deg", None) for exercise in ("squat", "lunge")] == [6.0, 2.0]
    assert cards.of("elbow", "squat", "side") is None


def test_real_sets_go_before_rendered_ones(tmp_path: Path) -> None:
    project = Project(tmp_path)
    rendered = {"source": "drawn", "data": "rendered sample", "angles": {"penn_13": {"overall": {"knee": {
        "n": 900, "median_deg": 1.0}}}}}  # fmt: skip
    for name, card in (("a", rendered), ("b", CARD), ("c", {"source": "c", "data": "real", "angles": None})):
        write_json(project.labeller_scores(name), card)
    error = load_cards(project).of("knee", "squat", "side")
    assert str(error) == "±6.0° (a_set, squat, 100 frames)"
    assert load_cards(None) == ErrorCards()


def decide(project: Project, interval_s: tuple[float, float], verdict: str, **more: Any) -> Decision:
    fields: dict[str, Any] = {"action": "new", "value": verdict} | more
    target = {"person": 0, "interval_s": list(interval_s)}
    return Ledger(project.reviews).append(Decision("anna", "rep_bench", "a/1", "form", target, **fields))


def test_false_alarms_are_counted_on_what_people_judged(pair: tuple[RuleSet, RuleSet], tmp_path: Path) -> None:
    project = Project(tmp_path)
    spans = [rep.interval_s for rep in bench_of(pair).reps]
    wrong = decide(project, spans[0], "incorrect")
    decide(project, spans[0], "incorrect", action="undo", value=None, supersedes=wrong.id)
    decide(project, spans[1], "incorrect")
    decide(project, spans[1], "correct")  # the later word holds
    decide(project, (spans[2][0] + 0.1, spans[2][1]), "incorrect")
    decide(project, (90.0, 91.0), "correct")  # another repetition, in no clip here
    bench = bench_of(pair, project=project)
    assert [rep.person for rep in bench.reps] == [None, "correct", "incorrect"]
    assert bench.alarms("person", "after") == Alarms(good=1, good_alarmed=1, bad=1, bad_found=1)
    assert bench.alarms("person", "before") == Alarms(good=1, good_alarmed=0, bad=1, bad_found=1)
    assert bench.alarms("dataset", "after") == Alarms(0, 0, 0, 0)


def test_a_share_comes_with_its_interval() -> None:
    interval = binomtest(3, 40).proportion_ci(0.95, method="wilson")
    assert (round(100 * interval.low), round(100 * interval.high)) == (3, 20)
    assert share_words(3, 40) == "3 of 40 (8 %, 95 % interval 3-20 %)"
    assert share_words(0, 0) == "0 of 0"


def test_clips_without_a_repetition_are_said_so(pair: tuple[RuleSet, RuleSet]) -> None:
    other = Clip("a/2", squats(), (Stretch(0, 90, "plank", None, "given"),), 0.5)
    with pytest.raises(RepsetError) as error:
        try_rules([other], *pair, ErrorCards(), None)
    assert str(error.value) == "no repetition of squat in these 1 clips. Name clips of these exercises."


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """A folder as `repset autolabel` writes it: three squats, and a set of something else."""
    folder, track = tmp_path / "labels", squats()
    frames = np.arange(len(track.time_s))
    state = np.where(np.isfinite(track.xy_px[..., 0]), 0, 3).astype(np.int8)
    table = pose_table("a/1", "coco_17", frames, track.time_s, track.xy_px, track.visibility, state, "mediapipe")
    write_table(folder / "poses.parquet", "poses", table)
    sets = [("a/1", "squat", 0, len(frames)), ("a/2", "plank", 0, 50)]
    rows = [dict(sample_id=s, set=0, start=b, end=e, exercise=name, origin="given") for s, name, b, e in sets]
    write_table(folder / "sets.parquet", "sets", rows)
    write_json(folder / "job.json", {"min_visibility": 0.3})
    return folder


def test_stored_clips_are_read_as_they_were_labelled(labels: Path) -> None:
    found = list(stored_clips(labels, None, {"squat"}))
    assert [(c.sample_id, c.track is None, c.min_visibility) for c in found] == [
        ("a/1", False, 0.3),
        ("a/2", True, 0.3),
    ]
    assert found[0].track is not None
    np.testing.assert_array_equal(found[0].track.xy_px, squats().xy_px)


def test_the_command_prints_what_changes_and_draws_the_distribution(
    labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "dvc.yaml").write_text("stages: {}\n")
    write_json(Project(project).labeller_scores("a_set"), CARD)
    monkeypatch.setenv("REPSET_ROOT", str(project))
    mine, lax = rule_file(tmp_path / "mine.yaml", 95), rule_file(tmp_path / "lax.yaml", 105, name="lax")
    picture = tmp_path / "spread.png"
    arguments = ["rules", "try", str(mine), str(labels), "--against", str(lax), "--picture", str(picture)]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    lines = result.output.splitlines()
    assert lines[0] == "mine against lax: 2 clips, 3 repetitions, 1 verdicts change"
    assert lines[1].startswith(
        "  a/1 set 1 repetition 2 (squat, side): correct → incorrect - depth: incorrect - knee 100."
    )
    assert "no person has judged any of these repetitions, so there is no false-alarm rate of people's" in lines
    assert "left out, since mine does not speak of them: sets of 1 plank" in lines
    assert any(line.startswith("warning: squat depth from side: the limit lies within the angle err") for line in lines)
    assert lines[-1] == f"distributions → {picture}"
    image = cv2.imread(str(picture))
    assert image is not None
    assert image.shape[1] > 800


def test_lists_shows_and_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    write_json(Project(tmp_path).labeller_scores("a_set"), CARD)
    monkeypatch.setenv("REPSET_ROOT", str(tmp_path))

    def run(*arguments: str) -> list[str]:
        return CliRunner().invoke(cli, ["rules", *arguments], catch_exceptions=False).output.splitlines()

    assert [line.split()[:2] for line in run("list")] == [
        ["deepfit", "repetition"], ["default", "repetition"], ["gympose", "frame"],
    ]  # fmt: skip
    shown = run("show", "default", "--exercise", "jump rope")
    assert shown[-1] == "jump_rope: no rules - no published limit of a joint angle exists"
    assert "    from side: at most 90°, tolerance 10°" in run("show", "default", "--exercise", "lunge")
    mine = rule_file(tmp_path / "mine.yaml", 95, 5)
    sha = load_rules(mine).sha256
    assert run("check", str(mine)) == [
        f"{mine}: well-formed, 1 rules for 1 exercises, sha256 {sha}",
        "  warning: squat depth from side grants 5°, less than the error of the knee angle, "
        "±6.0° (a_set, squat, 100 frames)",
    ]


def test_a_wrong_name_for_the_picture_is_refused_before_any_work(labels: Path, tmp_path: Path) -> None:
    arguments = ["rules", "try", str(rule_file(tmp_path / "mine.yaml", 95)), str(labels), "--picture", "a.txt"]
    error = CliRunner().invoke(cli, arguments).exception
    assert str(error) == "a.txt: expected a name ending in .png or .svg. Choose another with --picture."


def test_explain_names_the_frame_the_value_and_what_would_flip_it(
    labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    write_json(Project(tmp_path).labeller_scores("a_set"), CARD)
    monkeypatch.setenv("REPSET_ROOT", str(tmp_path))
    write_table(labels / "form.parquet", "form", [])
    mine = rule_file(tmp_path / "mine.yaml", 95)
    result = CliRunner().invoke(cli, ["explain", "a/1", "--labels", str(labels), "--rules", str(mine)])
    text = json.dumps(result.output, ensure_ascii=False)
    assert "set 1: squat, frames 0 to 396, 3 repetitions: incorrect" in text
    assert "repetition 2: incorrect - Deeper." in text
    assert "flips with depth -5." in text
    assert "wanted at most 95°; 5." in text
    assert "° less would flip it: within measurement error ±6.0° (a_set, squat, 100 frames)" in text
    assert "eccentric 0.8 s, pause 0.4 s, concentric 0.8 s" in text


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("my/a.mp4", "my/a.mp4"), ("/videos/my/a.mp4", "my/a.mp4"), ("a.mp4", "a.mp4"), ("c.mp4", "my/c.mp4"),
     ("other/c.mp4", "other/c.mp4"), ("d.mp4", "d.mp4")],
)  # fmt: skip
def test_a_clip_is_found_by_a_shorter_or_longer_path(tmp_path: Path, wanted: str, found: str) -> None:
    """`a.mp4` lies in two folders, `c.mp4` in one, `d.mp4` nowhere."""
    names = ("my/a.mp4", "your/a.mp4", "my/c.mp4")
    rows = [dict.fromkeys(TABLES["sets"].names) | {"sample_id": name} for name in names]
    write_table(tmp_path / "sets.parquet", "sets", rows)
    assert stored_name(tmp_path, wanted) == found
