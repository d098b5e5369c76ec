"""Drawn clips with exact truth, seen by MediaPipe: repetitions, angles and verdicts of the labeller against it."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import cv2
import numpy as np
import numpy.typing as npt
from trust_clips import cached_track

from repset import angles, exercises
from repset.autolabel.form import decide
from repset.autolabel.label import label_track
from repset.autolabel.ruleset import Rule, load_rules
from repset.autolabel.smooth import clean
from repset.autolabel.view import FRONT_BELOW_DEG, SIDE_FROM_DEG, estimate
from repset.landmarks import BLAZEPOSE_33, PENN_13
from repset.sample import props
from repset.sample.athlete import athlete
from repset.sample.catalogue import MOTIONS, Motion
from repset.sample.course import Course, Fault, Tempo, draw_course
from repset.sample.identity import ATHLETES
from repset.sample.motions import settle, signal_deg
from repset.sample.raster import Camera
from repset.sample.scene import Scene, fit_camera
from repset.sample.skeleton import Frame, Solved, solve
from repset.schema import PoseTrack, Stretch
from repset.video import Image

EXERCISES = (
    "squat", "lunge", "push_up", "pull_up", "sit_up", "bicep_curl", "tricep_extension", "dumbbell_row",
    "shoulder_press", "lateral_raise", "jumping_jack", "bench_press",
)  # fmt: skip
FPS, EVERY = 30.0, 2
"""The motions are drawn at 30 frames a second; every second one is rendered."""
SIZE = (320, 240)
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """One clip; everything about it follows from these.

    Attributes:
        anywhere: the camera stands anywhere around, else at one of the exercise's views.
        planted: every repetition turns up to 30° on one side or the other of the limit.
    """

    exercise: str
    number: int
    anywhere: bool
    planted: bool = False


@dataclass(frozen=True)
class Drawn:
    """What is true of a clip: joints (T, 33, 2) in pixels of the image and (T, 33, 3) in metres, the signal's turn of
    each repetition in degrees in space and the frame of the track in which it lies."""

    plan: Plan
    azimuth_deg: float
    xy_px: npt.NDArray[np.float32]
    xyz_m: npt.NDArray[np.float32]
    turns: tuple[int, ...]
    turn_deg: tuple[float, ...]
    track: PoseTrack


def limit_deg(exercise: str) -> float | None:
    """The labeller's limit at the turn, the tolerance included, where the default rules have one."""
    rule = depth_rule(exercise)
    if rule is None:
        return None
    limit = next(iter(rule.limits.values()))
    down = exercises.BY_NAME[exercise].effort == "min"
    bound = limit.high_deg if down else limit.low_deg
    return None if bound is None else bound + (rule.tolerance_deg if down else -rule.tolerance_deg)


def depth_rule(exercise: str) -> Rule | None:
    """The rule on the counted angle at the turn, or None."""
    signal = exercises.BY_NAME[exercise].signal
    rules = [rule for rule in load_rules("default").of(exercise).rules if rule.angle == signal and rule.phase == "turn"]
    return rules[0] if rules else None


def yaw_deg(azimuth_deg: float) -> float:
    """How far a camera's azimuth turns the trunk out of the image, 0..90 (`repset.autolabel.view.View.yaw_deg`)."""
    turned = float(abs((azimuth_deg + 180) % 360 - 180))
    return min(turned, 180 - turned)


def holds_from(exercise: str, azimuth_deg: float) -> bool:
    """Whether the rule on the counted angle has a limit for the view that the camera truly has.

    Args:
        azimuth_deg: of the camera around the body, 0 in front of it, 90 at its side.
    """
    rule, yaw = depth_rule(exercise), yaw_deg(azimuth_deg)
    name = "front" if np.cos(np.radians(azimuth_deg)) > 0 else "back"
    if yaw >= FRONT_BELOW_DEG:
        name = "side" if yaw >= SIDE_FROM_DEG else "three_quarter"
    return rule is not None and rule.limit(name) is not None


def _course(plan: Plan, motion: Motion, rng: np.random.Generator) -> Course:
    reps = int(rng.integers(2, 5))
    if not plan.planted:
        return draw_course(motion.tempo, rng, reps, None, 0.3, (6, 14))
    limit = limit_deg(plan.exercise)
    assert limit is not None
    room = (limit - 30, limit + 30)  # planted on both sides of the limit, uniformly
    low, high = (40.0, motion.tempo.lock[0] - 25) if motion.effort == "min" else (motion.tempo.lock[1] + 25, 168.0)
    anyhow = Fault("planted", "", turn=(max(room[0], low), min(room[1], high)))
    tempo = Tempo(motion.tempo.lock, motion.tempo.turn, motion.tempo.frames, faults=(anyhow,))
    return draw_course(tempo, rng, reps, None, 1.0, (6, 14))


def draw(plan: Plan) -> Drawn:
    """The clip, rendered and seen by MediaPipe (from the cache where it was seen before)."""
    cv2.setNumThreads(1)
    motion = MOTIONS[plan.exercise]
    rng = np.random.default_rng([7, EXERCISES.index(plan.exercise), plan.number, plan.anywhere, plan.planted])
    who = int(rng.integers(len(ATHLETES)))
    course = _course(plan, motion, rng)
    frame = Frame.of(ATHLETES[who])
    solved = solve(frame, settle(motion.pose(frame, course), course.frames, rng))
    low, high = (0.0, 360.0) if plan.anywhere else motion.views[int(rng.integers(len(motion.views)))]
    azimuth = float(rng.uniform(low, high)) * (1 if rng.random() < 0.5 else -1)
    points = solved.joints("blazepose_33").reshape(-1, 3)
    view = fit_camera(points, azimuth, rng.uniform(2, 14), rng.uniform(38, 54), SIZE, rng.uniform(0.06, 0.14))
    make = partial(_render, motion, course, solved, who, view, int(rng.integers(2**31)))
    about = f" about {limit_deg(plan.exercise):g}°" if plan.planted else ""
    track = cached_track("rendered 1", f"{plan!r}{about}", make)
    xyz = np.asarray(solved.joints("blazepose_33"), np.float32)
    xy = np.asarray(view.project(xyz)[0], np.float32)[::EVERY]
    signal = signal_deg(solved, motion.signal)
    pick = np.argmin if motion.effort == "min" else np.argmax
    turns = tuple(rep.start + int(pick(signal[rep.start : rep.end])) for rep in course.reps)
    return Drawn(
        plan, azimuth, xy, xyz[::EVERY], tuple(t // EVERY for t in turns), tuple(float(signal[t]) for t in turns), track
    )


def _render(
    motion: Motion, course: Course, solved: Solved, who: int, view: Camera, seed: int
) -> Iterator[tuple[float, Image]]:
    rng = np.random.default_rng(seed)
    scene = Scene(view, rng, props.fixed(motion.props, course.style))
    dressed, transforms = athlete(who).dressed(int(rng.integers(4))), solved.transforms()
    for number in range(0, course.frames, EVERY):
        mesh = dressed.pose(solved, transforms, number, (0.0, 0.0, 0.0))
        yield number / FPS, scene.render(mesh, props.held(motion.props, solved, number, course.style), number, ()).image


@dataclass(frozen=True)
class Measured:
    """One clip's result. errors: (F,) |degrees| of the counted angle on the better-seen side; scored: share of frames
    in which it was measured; verdicts: (true angle at the turn, what the rules on it say) of each repetition;
    scorable: the camera stands where that rule has a limit; joints: (N, 2) visibility of every common joint in
    every frame, and how far it lies from the truth, in lengths of the trunk; elbows: (M, 2) share of its length at
    which the shorter-seen bone of an elbow is seen, and |degrees| of the elbow's error, where it is the counted
    angle; view: what the clip was taken for; yaw_error_deg: of that view, signed, NaN where it is unknown."""

    plan: Plan
    azimuth_deg: float
    true_reps: int
    reps: int
    errors: Doubles
    scored: float
    verdicts: tuple[tuple[float, str], ...]
    scorable: bool
    joints: Doubles
    elbows: Doubles
    view: str
    yaw_error_deg: float


def measure(plan: Plan) -> Measured:
    """Draw, label, compare."""
    drawn = draw(plan)
    track, signal = drawn.track, exercises.BY_NAME[plan.exercise].signal
    whole = [Stretch(0, len(track.time_s), plan.exercise, None, "given")]
    rules = load_rules("default")
    labels = label_track("c", track, whole, rules, 0.5)
    names, frames = np.array(labels.angles["name"].to_pylist()), labels.angles["frame"].to_numpy()
    values = labels.angles["value_deg"].to_numpy()
    errors, known = [], np.zeros(len(track.time_s), np.bool_)
    for side in ("left", "right"):
        if labels.side not in (side, "both"):
            continue
        mine = names == f"{side}_{signal}"
        if not mine.any():
            continue
        truth = angles.evaluate(f"{side}_{signal}", drawn.xy_px, BLAZEPOSE_33.name)
        error = values[mine] - truth[frames[mine]]
        known[frames[mine][np.isfinite(error)]] = True
        errors.append(np.abs(error[np.isfinite(error)]))
    found = sorted((row["turn"], row["rep"]) for row in labels.reps)
    verdict = {row["rep"]: row["verdict"] for row in labels.form if row["level"] == "rep"}
    findings = {rep: one for (_, rep), one in labels.findings.items()}
    rule = depth_rule(plan.exercise)
    pairs = []
    for at, deg in zip(drawn.turns, drawn.turn_deg, strict=True):
        near = [(abs(turn - at), rep) for turn, rep in found if abs(turn - at) <= 8]
        told = "not counted"
        if near:
            rep = min(near)[1]
            mine = [f for f in findings.get(rep, []) if rule and (f.rule.angle, f.rule.phase) == (signal, "turn")]
            told = decide(mine)[0] if mine else verdict[rep]
        pairs.append((deg, told))
    every, seen = np.concatenate(errors) if errors else np.empty(0), estimate(track)
    return Measured(
        plan, drawn.azimuth_deg, len(drawn.turns), len(found), every, float(known.mean()),
        tuple(pairs), holds_from(plan.exercise, drawn.azimuth_deg), _distances(drawn),
        _elbows(drawn) if signal == "elbow" else np.empty((0, 2)),
        seen.name, seen.yaw_deg - yaw_deg(drawn.azimuth_deg),
    )  # fmt: skip


def _elbows(drawn: Drawn) -> Doubles:
    """(M, 2) of both elbows in every frame in which joints and truth are known (see Measured)."""
    seen = clean(drawn.track, 0.5)
    pairs = []
    for name, lengths in angles.BONES_TORSO.items():
        row = angles.BY_NAME[name]
        a, b, c = (seen.track.xy_px[:, BLAZEPOSE_33.index(joint)] for joint in (row.a, row.b, row.c))
        bones = [np.linalg.norm(end - b, axis=-1) / seen.scale_px for end in (a, c)]
        both = [angles.evaluate(name, xy, BLAZEPOSE_33.name) for xy in (seen.track.xy_px, drawn.xy_px)]
        share = np.minimum(*(bone / length for bone, length in zip(bones, lengths, strict=True)))
        pairs.append(np.stack([share, np.abs(both[0] - both[1])], -1))
    every = np.concatenate(pairs)
    return np.asarray(every[np.isfinite(every).all(-1)], np.float64)


def _distances(drawn: Drawn) -> Doubles:
    """(N, 2) visibility and distance of the joints that the exercise networks see."""
    true, found = (drawn.xy_px.astype(np.float64), drawn.track.xy_px.astype(np.float64))
    ends = [np.mean([true[:, BLAZEPOSE_33.index(f"{side}_{part}")] for side in ("left", "right")], 0)
            for part in ("shoulder", "hip")]  # fmt: skip
    trunk_px = float(np.median(np.linalg.norm(ends[0] - ends[1], axis=-1)))
    shared = [BLAZEPOSE_33.index(name) for name in PENN_13.joints if name in BLAZEPOSE_33.joints]
    far = np.linalg.norm(true - found, axis=-1)[:, shared] / trunk_px
    pairs = np.stack([drawn.track.visibility[:, shared].astype(np.float64), far], -1).reshape(-1, 2)
    return np.asarray(pairs[np.isfinite(pairs).all(-1)])


def run(plans: list[Plan], jobs: int) -> list[Measured]:
    """Measure clips, `jobs` at a time."""
    ordered = sorted(plans, key=lambda plan: (plan.exercise, plan.number))
    if jobs < 2:
        return [measure(plan) for plan in ordered]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        return list(pool.map(measure, ordered))
