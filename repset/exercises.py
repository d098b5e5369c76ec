"""The exercise ontology: canonical names, each set's own words for them, what to count and what should work.

Muscles are *expected prime movers*, not measured activation. They stand in muscle_map.yaml with their source, the 17
muscles of free-exercise-db spread over MuscleMap's 20 groups (Peng et al. 2023, figure 1 order).
"""

from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

MUSCLE_GROUPS = (
    "neck_and_head", "chest", "shoulder", "biceps", "triceps", "forearms", "upper_back", "latissimus", "obliques",
    "upper_abdominis", "lower_abdominis", "lower_back", "hamstring", "quadriceps", "calves", "inner_thigh",
    "outer_thigh", "gluteus", "feet_ankles", "wrists",
)  # fmt: skip
"""The 20 groups of MuscleMap, in the order of its figure."""

NONE = "none"
"""The name of a stretch without exercise."""


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        signal: angle (a row of repset.angles without its side) whose turning points are counted.
        effort: which extreme of the signal is the turn of a repetition: "min" or "max".
        aliases: source family → the set's own words.
    """

    name: str
    signal: str
    effort: str
    aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)


EXERCISES: tuple[Exercise, ...] = (
    Exercise("squat", "knee", "min",
             {"penn_action": ("squat",), "mmfit": ("squats",), "ucf101": ("BodyWeightSquats",)}),
    Exercise("lunge", "knee", "min", {"mmfit": ("lunges",), "ucf101": ("Lunges",)}),
    Exercise("push_up", "elbow", "min",
             {"penn_action": ("pushup",), "mmfit": ("pushups",), "ucf101": ("PushUps",), "hmdb51": ("pushup",)}),
    Exercise("pull_up", "elbow", "min", {"penn_action": ("pullup",), "ucf101": ("PullUps",), "hmdb51": ("pullup",)}),
    Exercise("sit_up", "hip", "min", {"penn_action": ("situp",), "mmfit": ("situps",), "hmdb51": ("situp",)}),
    Exercise("bench_press", "elbow", "min", {"penn_action": ("bench_press",), "ucf101": ("BenchPress",)}),
    Exercise("bicep_curl", "elbow", "min", {"mmfit": ("bicep_curls",)}),
    Exercise("tricep_extension", "elbow", "min", {"mmfit": ("tricep_extensions",)}),
    Exercise("dumbbell_row", "elbow", "min", {"mmfit": ("dumbbell_rows",), "videos": ("row",)}),
    Exercise("shoulder_press", "elbow", "max", {"mmfit": ("dumbbell_shoulder_press",)}),
    Exercise("lateral_raise", "shoulder", "max", {"mmfit": ("lateral_shoulder_raises",)}),
    Exercise("jumping_jack", "shoulder", "max",
             {"penn_action": ("jumping_jacks",), "mmfit": ("jumping_jacks",), "ucf101": ("JumpingJack",)}),
    Exercise("jump_rope", "knee", "min", {"penn_action": ("jump_rope",), "ucf101": ("JumpRope",)}),
    Exercise("clean_and_jerk", "hip", "min", {"penn_action": ("clean_and_jerk",), "ucf101": ("CleanAndJerk",)}),
)  # fmt: skip

BY_NAME = MappingProxyType({exercise.name: exercise for exercise in EXERCISES})
NAMES = tuple(BY_NAME)


def canonical(word: str, family: str | None = None) -> str | None:
    """Canonical name for a set's own word, or None where the ontology has none.

    Args:
        word: as the set spells it; canonical names and any spelling that differs only in case, spaces, hyphens,
            underscores or a plural s are understood too.
        family: which set's aliases apply; None looks through all.
    """
    key = _plain(word)
    if key in ("none", "rest", "nonactivity"):
        return NONE
    for exercise in EXERCISES:
        words = [exercise.name]
        for name, aliases in exercise.aliases.items():
            if family is None or name == family:
                words += aliases
        if key in {_plain(word) for word in words}:
            return exercise.name
    return None


@dataclass(frozen=True)
class Muscles:
    """Muscle groups expected to work, and where that is written.

    Attributes:
        entry: id of the row of free-exercise-db; primary, secondary: names of MUSCLE_GROUPS.
    """

    entry: str
    primary: tuple[str, ...]
    secondary: tuple[str, ...]


def default_muscles(exercise: str | None, word: str | None = None, family: str | None = None) -> Muscles | None:
    """What an exercise is expected to work, or None where nothing is written about it.

    Args:
        exercise: canonical name; word: a set's own word, which is looked up where there is no canonical name.
        family: whose word it is.
    """
    content = _muscle_map()
    row = content["exercises"].get(exercise) or content["words"].get(family, {}).get(word)
    if row is None:
        return None
    primary, secondary = (
        tuple(dict.fromkeys(group for muscle in row[role] for group in content["groups"][muscle]))
        for role in ("primary", "secondary")
    )
    return Muscles(row["entry"], primary, secondary)


@cache
def _muscle_map() -> dict[str, Any]:
    import yaml

    text = resources.files("repset").joinpath("muscle_map.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def _plain(word: str) -> str:
    text = "".join(character for character in word.lower() if character.isalnum())
    return text[:-1] if text.endswith("s") and not text.endswith("ss") else text
