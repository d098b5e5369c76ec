"""Form rules are data: YAML files beside this module, checked on loading, hashed into every verdict.

A rule set of kind `repetition` judges each repetition at its phases, in the camera views for which a limit is given;
one of kind `frame` holds every single frame to a range, as early demonstrations did. An exercise without a
defensible limit has no rules and a reason: its repetitions are unscorable, never good by default.
"""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, model_validator

from repset import angles, exercises
from repset.autolabel.view import VIEWS
from repset.errors import ConfigError, DataError
from repset.params import Strict, load_yaml, parse
from repset.records import canonical_json, sha256_bytes

LEG_ANGLES = ("hip", "knee", "ankle")
ANY_VIEW = "any"  # key of a limit that holds from wherever the camera looks

Phase = Literal["start", "turn", "end", "whole"]
"""start: the rest before; turn: around the extreme of effort; end: the rest after; whole: from start to end."""


class Limit(Strict):
    """A range in degrees; null: open on that side."""

    low_deg: float | None = Field(default=None, ge=0, le=180)
    high_deg: float | None = Field(default=None, ge=0, le=180)

    @model_validator(mode="after")
    def _ordered(self) -> "Limit":
        if self.low_deg is None and self.high_deg is None:
            raise ValueError("give low_deg, high_deg or both")
        if self.low_deg is not None and self.high_deg is not None and self.low_deg >= self.high_deg:
            raise ValueError("low_deg must be below high_deg")
        return self


class Rule(Strict):
    """One thing asked of a repetition (or frame).

    Attributes:
        id: stable name, stored with the verdict.
        angle: row of repset.angles without its side.
        measure: angle: the interior angle in the image; reach: what it would be had both bones their best-seen length
            (repset.autolabel.counting.reach_deg), which stays true when the middle joint points at the camera.
        phase: when it is measured; always `whole` in a rule set of kind frame.
        statistic: which value of the phase is held against the limit.
        limits: camera view, or `any` → range; a view that is not listed cannot be judged by this rule.
        tolerance_deg: measurement error granted on both sides of the range.
        required: false: where it cannot be judged the other rules still decide.
        sides: seen: the better-seen side (mean of both if equal); any: one side in range is enough; front, back: the
            leg that stands ahead or behind, in each frame (repset.autolabel.form.left_leads).
        min_visibility: stricter than the job's, where the joint is known to be invented when hidden.
        min_known: share of the phase's frames in which the angle must be known.
        message: what to tell the person.
        source: where each number comes from; "project's own choice" where nothing was published.
    """

    id: str = Field(pattern=r"^[a-z0-9_]+$")
    angle: str
    measure: Literal["angle", "reach"] = "angle"
    phase: Phase
    statistic: Literal["min", "max", "median"]
    limits: dict[str, Limit] = Field(min_length=1)
    tolerance_deg: float = Field(ge=0, le=45)
    required: bool = True
    sides: Literal["seen", "any", "front", "back"] = "seen"
    min_visibility: float = Field(default=0.0, ge=0, le=1)
    min_known: float = Field(default=0.6, gt=0, le=1)
    message: str = Field(min_length=1)
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _known_names(self) -> "Rule":
        if self.angle not in ANGLE_NAMES:
            raise ValueError(f"angle {self.angle!r} is not in the angle table ({', '.join(ANGLE_NAMES)})")
        if self.sides in ("front", "back") and self.angle not in LEG_ANGLES:
            raise ValueError(f"sides {self.sides!r} is of a leg ({', '.join(LEG_ANGLES)}), not of {self.angle!r}")
        judged = [*(view for view in VIEWS if view != "unknown"), ANY_VIEW]
        if unknown := sorted(set(self.limits) - set(judged)):
            raise ValueError(f"view {unknown[0]!r} is none of {', '.join(judged)}")
        return self

    @property
    def joint(self) -> str:
        """Where it is measured, in words: front knee."""
        leg = f"{self.sides} " if self.sides in ("front", "back") else ""
        return f"{leg}{self.angle.replace('_', ' ')}"

    @property
    def measured(self) -> str:
        """What is measured, in words: front knee as reach."""
        return f"{self.joint}{' as reach' if self.measure == 'reach' else ''}"

    def limit(self, view: str) -> Limit | None:
        """The range that holds in a view; None: not judged from there."""
        return self.limits.get(view, self.limits.get(ANY_VIEW))


class ExerciseRules(Strict):
    """The rules of one exercise.

    Attributes:
        phases: phase → what the body does then, in words.
        reason: why there is no rule, where there is none.
    """

    phases: dict[Phase, str] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    reason: str | None = None

    @model_validator(mode="after")
    def _rules_or_reason(self) -> "ExerciseRules":
        if bool(self.rules) == bool(self.reason):
            raise ValueError("give rules, or the reason why there are none")
        ids = [rule.id for rule in self.rules]
        if len(ids) != len(set(ids)):
            raise ValueError("two rules with the same id")
        return self


class RuleFile(Strict):
    """One YAML file."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    kind: Literal["repetition", "frame"]
    about: str
    exercises: dict[str, ExerciseRules]

    @model_validator(mode="after")
    def _known_exercises(self) -> "RuleFile":
        if unknown := sorted(set(self.exercises) - set(exercises.NAMES)):
            raise ValueError(f"exercise {unknown[0]!r} is not in the ontology ({', '.join(exercises.NAMES)})")
        return self


ANGLE_NAMES = tuple(dict.fromkeys(name.removeprefix("left_").removeprefix("right_") for name in angles.BY_NAME))


@dataclass(frozen=True)
class RuleSet:
    """A loaded rule set; `sha256` is that of its content, whatever its comments and layout."""

    name: str
    kind: Literal["repetition", "frame"]
    exercises: dict[str, ExerciseRules]
    sha256: str

    def of(self, exercise: str) -> ExerciseRules:
        """The rules of an exercise; an empty set with a reason where the file does not name it."""
        reason = f"rule set {self.name} has no rule for {exercise}"
        return self.exercises.get(exercise) or ExerciseRules(reason=reason)


def packaged() -> tuple[str, ...]:
    """Names of the rule sets that come with repset."""
    folder = resources.files("repset.autolabel").joinpath("rules")
    return tuple(sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")))


def load_rules(name_or_path: str | Path) -> RuleSet:
    """A packaged rule set by name, or one's own YAML file by path.

    Raises: ConfigError naming file and key for an unknown key or wrong value, or listing the names there are;
        DataError if the file does not parse.
    """
    text = str(name_or_path)
    if text in packaged():
        where: object = f"rule set {text}"
        content = resources.files("repset.autolabel").joinpath("rules", f"{text}.yaml").read_text(encoding="utf-8")
        data = yaml.safe_load(content)
    elif Path(text).suffix in (".yaml", ".yml"):
        where = Path(text)
        if not Path(text).is_file():
            raise DataError(text, "a rule file (YAML)", "no file", "Check the path")
        data = load_yaml(Path(text))
    else:
        raise ConfigError(f"{text}: no such rule set. Rule sets: {', '.join(packaged())}, or the path of a YAML file.")
    file = parse(RuleFile, data, where)
    digest = sha256_bytes(canonical_json(file.model_dump(mode="json")).encode())
    return RuleSet(file.name, file.kind, dict(file.exercises), digest)
