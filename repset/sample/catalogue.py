"""The exercises of the sample: motion, tempo, faults, camera views, equipment, and which muscles work when."""

from dataclasses import dataclass

import numpy as np

from repset.sample import motions, sequences
from repset.sample.athlete import MUSCLES
from repset.sample.course import Course, Fault, Tempo, draw_course
from repset.sample.geometry import Array
from repset.sample.identity import ATHLETES
from repset.sample.motions import PoseOf, settle
from repset.sample.skeleton import STATURE, Frame, Solved, solve

Views = tuple[tuple[float, float], ...]

FRONT, DIAGONAL, SIDE = (-18.0, 18.0), (28.0, 58.0), (66.0, 98.0)
"""Camera azimuth ranges in degrees: 0 faces the athlete, 90 stands at the left hand; diagonal and side are mirrored
by a coin."""


@dataclass(frozen=True)
class Motion:
    """One exercise of the sample.

    Attributes:
        exercise: canonical name; "" for a motion outside the ontology.
        signal: what is counted (key of motions.SIGNALS). effort: "min" or "max", the signal's extreme at the turn.
        props: keys of repset.sample.props. muscles: muscle → phase range in which it visibly works.
        counted: false where the motion has no repetitions.
    """

    exercise: str
    pose: PoseOf
    signal: str
    effort: str
    tempo: Tempo
    views: Views
    props: tuple[str, ...] = ()
    muscles: tuple[tuple[str, float, float], ...] = ()
    counted: bool = True

    def working(self, phase: float) -> tuple[bool, ...]:
        """Which of MUSCLES visibly work at a phase of the repetition."""
        spans = {name: (low, high) for name, low, high in self.muscles}
        return tuple(name in spans and spans[name][0] <= phase < spans[name][1] for name in MUSCLES)


_LEAN = Fault("trunk_lean", "The trunk falls forward: keep the chest up", extra=("trunk_lean", (22, 30)))
_SQUAT = Tempo((167, 174), (74, 94), (36, 70), 100, 160, faults=(
    Fault("shallow", "Not deep enough: bring the thighs level", turn=(116, 129)), _LEAN))  # fmt: skip
_PUSH_UP = Tempo((161, 170), (68, 92), (28, 54), 100, 155, faults=(
    Fault("shallow", "Half a push-up: lower the chest to the floor", turn=(117, 133)),
    Fault("no_lockout", "The arms stay bent at the top: push all the way up", lock=(132, 145)),
    Fault("hip_sag", "The hips sag: keep the body in one line", extra=("hip_sag", (0.13, 0.18)))))  # fmt: skip
_PULL_UP = Tempo((157, 168), (48, 68), (34, 60), 75, 150, faults=(
    Fault("shallow", "The chin does not reach the bar: pull higher", turn=(92, 112)),
    Fault("no_lockout", "The arms stay bent at the bottom: hang out fully", lock=(118, 136))))  # fmt: skip
_CURL = Tempo((160, 171), (42, 60), (34, 62), 70, 150, faults=(
    Fault("elbow_drift", "The elbows drift forward: keep them at the ribs", extra=("elbow_drift", (36, 52))),
    Fault("shallow", "Half a curl: bring the weight to the shoulder", turn=(88, 108))))  # fmt: skip
_PRESS = Tempo((68, 80), (160, 170), (34, 60), 150, None, faults=(
    Fault("shallow", "The arms do not lock out overhead: press higher", turn=(122, 138)),))  # fmt: skip
_RAISE = Tempo((12, 17), (84, 94), (36, 60), 75, None, faults=(
    Fault("shallow", "The arms stop short: raise to shoulder height", turn=(48, 62)),))  # fmt: skip
_JACK = Tempo((13, 18), (150, 164), (22, 34), 130, None, faults=(
    Fault("shallow", "The arms stop at the shoulders: bring them overhead", turn=(92, 112)),))  # fmt: skip
_ROW = Tempo((158, 168), (70, 84), (32, 56), 95, 150, faults=(
    Fault("shallow", "The elbow stops low: pull to the ribs", turn=(112, 126)),))  # fmt: skip
_EXTENSION = Tempo((160, 170), (58, 76), (36, 64), 90, 150, faults=(
    Fault("shallow", "The weight stays high: lower it behind the head", turn=(106, 122)),))  # fmt: skip
_LUNGE = Tempo((161, 168), (88, 102), (40, 72), 110, 155, faults=(
    Fault("shallow", "Not deep enough: lower the back knee", turn=(122, 136)),))  # fmt: skip
_SIT_UP = Tempo((118, 126), (50, 60), (38, 64), 70, None, faults=(
    Fault("shallow", "The trunk stops half-way: come up fully", turn=(80, 92)),))  # fmt: skip
_BENCH = Tempo((160, 170), (72, 90), (34, 56), 100, 150, faults=(
    Fault("shallow", "The bar stops high: lower it to the chest", turn=(114, 128)),))  # fmt: skip

MOTIONS: dict[str, Motion] = {
    "squat": Motion("squat", motions.squat, "knee", "min", _SQUAT, (FRONT, DIAGONAL, SIDE), ("barbell_back",)),
    "lunge": Motion("lunge", motions.lunge, "knee", "min", _LUNGE, (DIAGONAL, SIDE), ("dumbbells_lunge",)),
    "push_up": Motion(
        "push_up",
        motions.push_up,
        "elbow",
        "min",
        _PUSH_UP,
        (SIDE, (52.0, 100.0)),
        ("mat", "push"),
        (("triceps", 0.12, 0.80),),
    ),
    "pull_up": Motion(
        "pull_up",
        motions.pull_up,
        "elbow",
        "min",
        _PULL_UP,
        (FRONT, DIAGONAL, (150.0, 195.0)),
        ("rack",),
        (("biceps", 0.30, 1.01),),
    ),
    "sit_up": Motion("sit_up", motions.sit_up, "hip", "min", _SIT_UP, (SIDE, (55.0, 100.0)), ("mat",)),
    "bench_press": Motion(
        "bench_press",
        motions.bench_press,
        "elbow",
        "min",
        _BENCH,
        (SIDE, (48.0, 80.0)),
        ("bench", "barbell"),
        (("triceps", 0.12, 0.80),),
    ),
    "bicep_curl": Motion(
        "bicep_curl",
        motions.bicep_curl,
        "elbow",
        "min",
        _CURL,
        (FRONT, DIAGONAL, SIDE),
        ("dumbbells",),
        (("biceps", 0.28, 1.01),),
    ),
    "tricep_extension": Motion(
        "tricep_extension",
        motions.tricep_extension,
        "elbow",
        "min",
        _EXTENSION,
        (FRONT, DIAGONAL, SIDE),
        ("dumbbell_shared",),
        (("triceps", 0.12, 0.85),),
    ),
    "dumbbell_row": Motion(
        "dumbbell_row",
        motions.dumbbell_row,
        "elbow",
        "min",
        _ROW,
        (DIAGONAL, SIDE),
        ("dumbbells_long",),
        (("biceps", 0.40, 1.01),),
    ),
    "shoulder_press": Motion(
        "shoulder_press",
        motions.shoulder_press,
        "elbow",
        "max",
        _PRESS,
        (FRONT, DIAGONAL),
        ("dumbbells_wide",),
        (("triceps", 0.35, 0.97),),
    ),
    "lateral_raise": Motion(
        "lateral_raise", motions.lateral_raise, "shoulder", "max", _RAISE, (FRONT, DIAGONAL), ("dumbbells",)
    ),
    "jumping_jack": Motion("jumping_jack", motions.jumping_jack, "shoulder", "max", _JACK, (FRONT, (10.0, 35.0))),
    "jump_rope": Motion(
        "jump_rope",
        sequences.jump_rope,
        "knee",
        "min",
        Tempo((169, 173), (140, 152), (13, 16), down=(0.3, 0.4)),
        (FRONT, DIAGONAL),
        ("rope",),
    ),
    "clean_and_jerk": Motion(
        "clean_and_jerk",
        sequences.clean_and_jerk,
        "hip",
        "min",
        Tempo((170, 172), (80, 90), (34, 42)),
        (FRONT, DIAGONAL, SIDE),
        ("barbell_hands",),
    ),
    "calf_raise": Motion(
        "",
        motions.calf_raise,
        "ankle",
        "max",
        Tempo((0, 0), (1, 1), (30, 50)),
        (DIAGONAL, SIDE, (110.0, 175.0)),
        (),
        (("calf", 0.40, 1.01),),
    ),
    "tennis_serve": Motion(
        "",
        sequences.tennis_serve,
        "elbow",
        "min",
        Tempo((0, 0), (1, 1), (36, 42)),
        (DIAGONAL, SIDE, FRONT),
        ("racket",),
        counted=False,
    ),
}
"""Every motion with a course; the pauses between sets are in repset.sample.sequences."""


def perform(
    name: str, who: int, rng: np.random.Generator, reps: int, frames: int | None, fault_share: float
) -> tuple[Course, Solved]:
    """One set of an exercise by one athlete."""
    motion = MOTIONS[name]
    course = draw_course(motion.tempo, rng, reps, frames, fault_share)
    frame = Frame.of(ATHLETES[who])
    pose = settle(motion.pose(frame, course), course.frames, rng)
    return course, solve(frame, pose)


def motion_tracks(
    exercise: str, seed: int, reps: int = 5, fault_share: float = 0.3, skeleton: str = "blazepose_33"
) -> Array:
    """True joints of one rendered-sample set, without rendering.

    Args:
        exercise: key of MOTIONS. seed: chooses athlete, tempo, style and faults.
        reps: repetitions. fault_share: probability that one is done wrongly. skeleton: of repset.landmarks.
    Returns: (T, K, 3) metres at 30 frames/s; x to the athlete's left, y up from the floor, z ahead.
    """
    rng = np.random.default_rng([seed, sorted(MOTIONS).index(exercise)])
    who = int(rng.integers(len(ATHLETES)))
    _, solved = perform(exercise, who, rng, reps, None, fault_share)
    return solved.joints(skeleton) * (ATHLETES[who].height_m / STATURE)
