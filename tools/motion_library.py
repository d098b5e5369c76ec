"""Write the rendered athlete's motions as workouts in MM-Fit's format, seen from anywhere: data for `exercise`.

No picture is drawn: true 3-D joints are projected by a camera at a random place. A workout is a row of sets with the
pauses between them (standing, sitting, walking, talking with the hands, picking up, drinking), so that `none` is
learned as well; holds and motions outside the ontology stand unlabelled among the pauses. Two sets of five are the
drawn sample's motions, the others those of `repset.sample.variants`. Each workout is seen by several cameras, which
are workouts of their own.

    python tools/motion_library.py motions.zip
    repset pull motion_library --from motions.zip

The same arguments give the same bytes.
"""

import argparse
import io
import zipfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from repset.landmarks import COCO_18
from repset.records import atomic_path
from repset.sample import sequences
from repset.sample.catalogue import MOTIONS, perform
from repset.sample.course import Tempo, draw_course
from repset.sample.identity import ATHLETES
from repset.sample.skeleton import SIDES, STATURE, Frame, Limb, Pose, solve
from repset.sample.variants import VARIANTS, perform_variant

Floats = npt.NDArray[np.float64]

PAUSES = (sequences.stand, sequences.walk, sequences.pick_up, sequences.drink)
PAUSE_FRAMES = (75, 150)
FIDGET_P, SEATED_P = 0.4, 0.35
"""Shares of pauses in which the arms do anything at all, and of upper-body sets that are done on a bench."""

UPPER_BODY = ("bicep_curl", "tricep_extension", "shoulder_press", "lateral_raise")
PACE = (0.4, 1.9)
"""Range of pace: people who show an exercise do it at half the speed of those who train, and some rush."""

SETS = 6
REPS = (1, 5)
VARIANT_P = 0.6
"""Share of the sets that are variants."""

SIZE_PX = (1280, 720)


def pause(who: int, rng: np.random.Generator) -> Floats:
    """A stretch between two sets: (T, K, 3) metres."""
    frame, length = Frame.of(ATHLETES[who]), int(rng.integers(*PAUSE_FRAMES))
    course = draw_course(Tempo((0, 0), (1, 1), (length, length)), rng, 1, None, 0.0)
    if rng.random() < FIDGET_P:
        pose = fidget(sequences.stand(frame, course), course.frames, rng)
    else:
        pose = PAUSES[rng.integers(len(PAUSES))](frame, course)
    joints = solve(frame, pose).joints(COCO_18.name)
    return seat(joints, rng) if rng.random() < 0.25 else joints


def fidget(pose: Pose, frames: int, rng: np.random.Generator) -> Pose:
    """Arms that wander from one random direction to the next: movement that is no exercise."""
    keys = np.arange(0, frames + 40, int(rng.integers(18, 45)))
    for side, sign in SIDES:
        parts = []
        for reach in (np.array([0.5 * sign, -0.5, 0.4]), np.array([0.0, 0.1, 0.5])):
            at = reach + rng.normal(0, 0.6, (len(keys), 3))
            parts.append(np.stack([np.interp(np.arange(frames), keys, at[:, axis]) for axis in range(3)], axis=-1))
        pose.arms[side] = Limb(upper=parts[0], lower=parts[1], pole=np.array([0.0, 0.0, -1.0]))
    return pose


def seat(joints: Floats, rng: np.random.Generator) -> Floats:
    """The same upper body with the legs of someone on a bench: thighs level and apart, shanks down."""
    out = joints.copy()
    for side, sign in (("left", 1.0), ("right", -1.0)):
        hip, knee, ankle = (COCO_18.index(f"{side}_{part}") for part in ("hip", "knee", "ankle"))
        thigh = np.linalg.norm(joints[:, knee] - joints[:, hip], axis=-1, keepdims=True)
        shank = np.linalg.norm(joints[:, ankle] - joints[:, knee], axis=-1, keepdims=True)
        apart, tuck = rng.uniform(0.1, 0.45), rng.uniform(-0.2, 0.25)
        ahead = np.array([apart * sign, rng.uniform(-0.15, 0.1), 1.0])
        down = np.array([0.0, -1.0, tuck])
        out[:, knee] = out[:, hip] + thigh * ahead / np.linalg.norm(ahead)
        out[:, ankle] = out[:, knee] + shank * down / np.linalg.norm(down)
    return out


def workout(seed: int, number: int) -> tuple[Floats, list[tuple[int, int, int, str]]]:
    """Joints of one workout (T, K, 3) in metres, and its label rows: first frame, end, repetitions, exercise."""
    rng = np.random.default_rng([seed, number])
    who = number % len(ATHLETES)
    parts, rows = [pause(who, rng)], []
    at = len(parts[0])
    for turn in range(SETS):
        name, reps, joints = one_set(number * SETS + turn, who, rng)
        parts.append(joints)
        end = at + len(joints)
        if name:
            rows.append((at, end, reps, name))
        parts.append(pause(who, rng))
        at = end + len(parts[-1])
    return np.concatenate(parts) * (ATHLETES[who].height_m / STATURE), rows


def one_set(turn: int, who: int, rng: np.random.Generator) -> tuple[str, int, Floats]:
    """Canonical name ("" outside the ontology and for holds), repetitions and joints (T, K, 3) of the next set."""
    reps, pace = int(rng.integers(REPS[0], REPS[1] + 1)), float(np.exp(rng.uniform(*np.log(PACE))))
    first = turn % SETS == 0  # is always a named exercise: a workout without any is no workout to the reader
    if not first and rng.random() < VARIANT_P:
        course, solved, name = perform_variant(VARIANTS[turn % len(VARIANTS)], rng, reps)
        return name, len(course.reps), _paced(solved.joints(COCO_18.name), pace)
    names = [name for name, motion in MOTIONS.items() if motion.exercise or not first]
    name = names[int(rng.integers(len(names)))]
    course, solved = perform(name, who, rng, reps, None, 0.3)
    joints = _paced(solved.joints(COCO_18.name), pace)
    if name in UPPER_BODY and rng.random() < SEATED_P:
        joints = seat(joints, rng)
    return MOTIONS[name].exercise, len(course.reps), joints


def _paced(joints: Floats, rate: float) -> Floats:
    """The same motion at another pace, by linear interpolation between frames."""
    at = np.linspace(0, len(joints) - 1, max(8, round(len(joints) / rate)))
    low = np.minimum(at.astype(int), len(joints) - 2)
    share = (at - low)[:, None, None]
    return np.asarray(joints[low] * (1 - share) + joints[low + 1] * share)


def project(joints: Floats, rng: np.random.Generator) -> Floats:
    """Pixels (T, K, 2) from a camera anywhere around the athlete, 1.6 to 7 m away, a little tilted.

    Joints: x to the athlete's left, y up, z ahead. Seen from the front the athlete's left is on the image's right.
    """
    azimuth, elevation = np.radians(rng.uniform(0, 360)), np.radians(rng.uniform(-12, 35))
    roll, distance = np.radians(rng.normal(0, 4)), rng.uniform(1.6, 7.0)
    middle = joints.reshape(-1, 3).mean(axis=0)
    back = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    right = np.cross([0.0, 1.0, 0.0], back)
    right /= np.linalg.norm(right)
    up = np.cross(back, right)
    offset = joints - middle
    depth = np.maximum(distance - offset @ back, 0.5)
    flat = np.stack([offset @ right, -(offset @ up)], axis=-1) / depth[..., None]
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    flat = flat @ turn.T
    extent = float(np.abs(flat).max())
    return np.asarray(flat / extent * 0.45 * min(SIZE_PX) + np.array(SIZE_PX) / 2)


def files(number: int, seed: int, cameras: int) -> list[tuple[str, bytes]]:
    """Label and pose files of one workout from every camera."""
    joints, rows = workout(seed, number)
    labels = "".join(f"{start},{end},{reps},{name}\n" for start, end, reps, name in rows)
    out = []
    for camera in range(cameras):
        name = f"w{100 + number * cameras + camera:05d}"
        xy = project(joints, np.random.default_rng([seed, number, 1 + camera]))
        frames = np.broadcast_to(np.arange(len(xy), dtype=np.float64), (2, len(xy)))
        buffer = io.BytesIO()
        flat = np.concatenate([frames[..., None], np.moveaxis(xy, -1, 0)], axis=-1)
        np.save(buffer, flat.round(1).astype(np.float32))
        out += [(f"{name}/{name}_labels.csv", labels.encode()), (f"{name}/{name}_pose_2d.npy", buffer.getvalue())]
    return out


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--workouts", type=int, default=160)
    parser.add_argument("--cameras", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    make = partial(files, seed=args.seed, cameras=args.cameras)
    with (
        ProcessPoolExecutor(args.jobs) as pool,
        atomic_path(args.archive) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for number, content in enumerate(pool.map(make, range(args.workouts))):
            for name, data in content:
                info = zipfile.ZipInfo(f"mm-fit/{name}")  # fixed time stamp: the same bytes every time
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, data)
            print(f"\rworkout {number + 1}/{args.workouts}", end="", flush=True)
    print()


if __name__ == "__main__":
    main()
