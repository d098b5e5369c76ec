"""The exercise ontology: canonical names, each set's own words for them, what to count and what should work.

Muscles are *expected prime movers*, not measured activation. They come from free-exercise-db (public domain,
Unlicense), whose entry is named beside each row, with its 17 muscles spread over MuscleMap's 20 groups
(Peng et al. 2023, figure 1 order).
"""

from dataclasses import dataclass, field
from types import MappingProxyType

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
        primary, secondary: muscle groups expected to work.
        muscle_source: entry of free-exercise-db the muscles were taken from.
    """

    name: str
    signal: str
    effort: str
    aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    primary: tuple[str, ...] = ()
    secondary: tuple[str, ...] = ()
    muscle_source: str = ""


_ABS = ("upper_abdominis", "lower_abdominis")

EXERCISES: tuple[Exercise, ...] = (
    Exercise("squat", "knee", "min", {"penn_action": ("squat",), "mmfit": ("squats",), "ucf101": ("BodyWeightSquats",)},
             ("quadriceps",), ("gluteus", "hamstring"), "Bodyweight_Squat"),
    Exercise("lunge", "knee", "min", {"mmfit": ("lunges",), "ucf101": ("Lunges",)},
             ("quadriceps",), ("calves", "gluteus", "hamstring"), "Bodyweight_Walking_Lunge"),
    Exercise("push_up", "elbow", "min",
             {"penn_action": ("pushup",), "mmfit": ("pushups",), "ucf101": ("PushUps",), "hmdb51": ("pushup",)},
             ("chest",), ("shoulder", "triceps"), "Pushups"),
    Exercise("pull_up", "elbow", "min",
             {"penn_action": ("pullup",), "ucf101": ("PullUps",), "hmdb51": ("pullup",)},
             ("latissimus",), ("biceps", "upper_back"), "Pullups"),
    Exercise("sit_up", "hip", "min", {"penn_action": ("situp",), "mmfit": ("situps",), "hmdb51": ("situp",)},
             _ABS, (), "Sit-Up"),
    Exercise("bench_press", "elbow", "min", {"penn_action": ("bench_press",), "ucf101": ("BenchPress",)},
             ("chest",), ("shoulder", "triceps"), "Barbell_Bench_Press_-_Medium_Grip"),
    Exercise("bicep_curl", "elbow", "min", {"mmfit": ("bicep_curls",)},
             ("biceps",), ("forearms",), "Dumbbell_Bicep_Curl"),
    Exercise("tricep_extension", "elbow", "min", {"mmfit": ("tricep_extensions",)},
             ("triceps",), (), "Standing_Dumbbell_Triceps_Extension"),
    Exercise("dumbbell_row", "elbow", "min", {"mmfit": ("dumbbell_rows",), "videos": ("row",)},
             ("upper_back",), ("biceps", "latissimus", "shoulder"), "One-Arm_Dumbbell_Row"),
    Exercise("shoulder_press", "elbow", "max", {"mmfit": ("dumbbell_shoulder_press",)},
             ("shoulder",), ("triceps",), "Dumbbell_Shoulder_Press"),
    Exercise("lateral_raise", "shoulder", "max", {"mmfit": ("lateral_shoulder_raises",)},
             ("shoulder",), (), "Side_Lateral_Raise"),
    Exercise("jumping_jack", "shoulder", "max",
             {"penn_action": ("jumping_jacks",), "mmfit": ("jumping_jacks",), "ucf101": ("JumpingJack",)},
             ("quadriceps",), ("calves", "gluteus", "hamstring", "shoulder"), "Star_Jump"),
    Exercise("jump_rope", "knee", "min", {"penn_action": ("jump_rope",), "ucf101": ("JumpRope",)},
             ("quadriceps",), ("calves", "hamstring"), "Rope_Jumping"),
    Exercise("clean_and_jerk", "hip", "min", {"penn_action": ("clean_and_jerk",), "ucf101": ("CleanAndJerk",)},
             ("shoulder",), (*_ABS, "gluteus", "hamstring", "lower_back", "quadriceps", "upper_back", "triceps"),
             "Clean_and_Jerk"),
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


def _plain(word: str) -> str:
    text = "".join(character for character in word.lower() if character.isalnum())
    return text[:-1] if text.endswith("s") and not text.endswith("ss") else text
