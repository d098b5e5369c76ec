"""Rule files: what is accepted, what is refused and in which words."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from repset import exercises
from repset.autolabel.pictures import limit_lines
from repset.autolabel.ruleset import load_rules, packaged
from repset.errors import ConfigError, DataError

MINIMAL = {
    "name": "mine",
    "kind": "repetition",
    "about": "A test.",
    "exercises": {
        "squat": {
            "rules": [
                {
                    "id": "depth", "angle": "knee", "phase": "turn", "statistic": "min",
                    "limits": {"side": {"high_deg": 95}}, "tolerance_deg": 5, "message": "Deeper.",
                    "source": "project's own choice",
                }
            ]
        }
    },
}  # fmt: skip


def write(path: Path, **changes: object) -> Path:
    """The minimal file with keys of its only rule changed (None: left out)."""
    data = yaml.safe_load(yaml.safe_dump(MINIMAL))
    rule = data["exercises"]["squat"]["rules"][0]
    for key, value in changes.items():
        if value is None:
            del rule[key]
        else:
            rule[key] = value
    path.write_text(yaml.safe_dump(data))
    return path


def test_the_packaged_rule_sets_are_these() -> None:
    assert packaged() == ("deepfit", "default", "gympose")
    assert {name: load_rules(name).kind for name in packaged()} == {
        "deepfit": "repetition", "default": "repetition", "gympose": "frame",
    }  # fmt: skip


def test_the_default_set_speaks_about_every_exercise() -> None:
    rules = load_rules("default")
    assert set(rules.exercises) == set(exercises.NAMES)
    for name in ("squat", "push_up", "pull_up"):
        assert {rule.phase for rule in rules.of(name).rules} >= {"turn", "end"}, name


def test_where_no_limit_is_defensible_there_is_a_reason() -> None:
    for entry in load_rules("default").exercises.values():
        assert bool(entry.rules) != bool(entry.reason)


def test_every_rule_names_its_source_and_each_phase_is_described() -> None:
    for name in packaged():
        for entry in load_rules(name).exercises.values():
            for rule in entry.rules:
                assert len(rule.source) > 20
                assert rule.message.endswith(".")
                assert rule.phase == "whole" or rule.phase in entry.phases


def test_history_is_kept_as_it_was() -> None:
    gympose = load_rules("gympose")
    ranges = {name: entry.rules[0].limits["any"] for name, entry in gympose.exercises.items()}
    assert {name: (limit.low_deg, limit.high_deg) for name, limit in ranges.items()} == {
        "pull_up": (40, 155), "push_up": (90, 160), "squat": (60, 180),
    }  # fmt: skip
    down, up = load_rules("deepfit").of("squat").rules
    assert (down.limits["any"].high_deg, up.limits["any"].low_deg) == (90, 160)


def test_an_exercise_the_file_does_not_name_is_unscorable_with_a_reason() -> None:
    assert load_rules("gympose").of("lunge").reason == "rule set gympose has no rule for lunge"


def test_a_file_of_ones_own_is_loaded_by_path(tmp_path: Path) -> None:
    assert load_rules(write(tmp_path / "mine.yaml")).of("squat").rules[0].limits["side"].high_deg == 95


def test_the_hash_depends_on_content_not_on_comments(tmp_path: Path) -> None:
    one = write(tmp_path / "one.yaml")
    two = tmp_path / "two.yaml"
    two.write_text("# a comment\n" + one.read_text())
    other = write(tmp_path / "other.yaml", tolerance_deg=6)
    assert load_rules(one).sha256 == load_rules(two).sha256
    assert load_rules(one).sha256 != load_rules(other).sha256


WRONG = [
    ({"colour": "red"}, "exercises.squat.rules.0.colour: Extra inputs are not permitted"),
    ({"source": None}, "exercises.squat.rules.0.source: Field required"),
    ({"phase": "top"}, "exercises.squat.rules.0.phase: Input should be 'start', 'turn', 'end' or 'whole'"),
    ({"limits": {}}, "exercises.squat.rules.0.limits: Dictionary should have at least 1 item after validation, not 0"),
    (
        {"limits": {"above": {"high_deg": 9}}},
        "exercises.squat.rules.0: Value error, view 'above' is none of front, three_quarter, side, back, any",
    ),
    (
        {"limits": {"side": {}}},
        "exercises.squat.rules.0.limits.side: Value error, give low_deg, high_deg or both",
    ),
    (
        {"limits": {"side": {"low_deg": 90, "high_deg": 80}}},
        "exercises.squat.rules.0.limits.side: Value error, low_deg must be below high_deg",
    ),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_a_wrong_file_is_refused_by_name_and_key(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = write(tmp_path / "mine.yaml", **changes)
    with pytest.raises(ConfigError) as error:
        load_rules(path)
    assert str(error.value) == f"{path}: {message}. Mend this key."


def test_the_front_and_the_back_are_of_legs(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.yaml", angle="elbow", sides="front")
    with pytest.raises(ConfigError) as error:
        load_rules(path)
    assert str(error.value) == (
        f"{path}: exercises.squat.rules.0: Value error, sides 'front' is of a leg (hip, knee, ankle), not of 'elbow'. "
        "Mend this key."
    )


def test_a_lunges_chart_names_both_knees_and_draws_a_line_once() -> None:
    rules = list(load_rules("default").of("lunge").rules)
    assert [rule.measured for rule in rules] == ["front knee as reach", "back knee"]
    assert limit_lines(rules, "side") == [(100, "depth, back knee ≤ 100°")]
    assert limit_lines(rules, "three_quarter") == [(108, "depth ≤ 108°"), (100, "back knee ≤ 100°")]
    assert limit_lines(rules, "front") == []


def test_an_unknown_angle_is_refused_with_the_ones_there_are(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.yaml", angle="toe")
    with pytest.raises(ConfigError) as error:
        load_rules(path)
    names = "shoulder, elbow, wrist, hip, knee, ankle, body_line, trunk_lean, neck"
    assert str(error.value) == (
        f"{path}: exercises.squat.rules.0: Value error, angle 'toe' is not in the angle table ({names}). Mend this key."
    )


def test_an_unknown_name_is_refused_with_the_ones_there_are() -> None:
    with pytest.raises(ConfigError) as error:
        load_rules("strict")
    assert str(error.value) == (
        "strict: no such rule set. Rule sets: deepfit, default, gympose, or the path of a YAML file."
    )


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        load_rules(tmp_path / "none.yaml")
    assert str(error.value) == (
        f"{tmp_path / 'none.yaml'}: expected a rule file (YAML), found no file. Check the path."
    )


def from_aside(true_deg: float, yaw_deg: float) -> float:
    """How an elbow in the plane of the chest looks to a camera that stands aside: the way of the elbow out of the line
    shoulder-wrist shrinks by the cosine."""
    half = np.radians(true_deg / 2)
    return float(np.degrees(2 * np.arctan2(np.sin(half), np.cos(half) * np.cos(np.radians(yaw_deg)))))


def test_limits_of_elbows_that_point_out_follow_the_projection() -> None:
    press = next(rule for rule in load_rules("default").of("shoulder_press").rules if rule.id == "lockout")
    assert (press.limits["front"].low_deg, press.limits["three_quarter"].low_deg) == (160, 168)
    assert from_aside(160, 54) == pytest.approx(168, abs=0.5)
    assert from_aside(90, 90) == pytest.approx(180)  # from the side every arm looks straight ...
    assert press.limit("side") is None  # ... so none is judged
    pull = next(rule for rule in load_rules("default").of("pull_up").rules if rule.id == "height")
    assert from_aside(75, 45) == pytest.approx(95, abs=0.5)
    assert pull.limits["front"].high_deg == 75
    assert 75 < pull.limits["three_quarter"].high_deg < 95  # elbows that point a little forward read less
