"""The rendered sample as a Penn Action archive: short clips, 13 joints a frame, in the original's layout and types.

Layout and types as read from the original labels (Zhang, Zhu and Derpanis 2013): 1-based pixel coordinates, x, y and
bbox float64, visibility uint8, train int32 (1 or -1), dimensions uint16 (height, width, frames). A joint that the
picture hides keeps its true position with visibility 0; one outside the picture stands at (1, 1) with visibility 0,
as the original marks what its annotators could not see.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.io import savemat

from repset.angles import evaluate_all
from repset.landmarks import PENN_13
from repset.params import SampleParams
from repset.sample import props
from repset.sample.athlete import athlete
from repset.sample.catalogue import MOTIONS, Motion, perform
from repset.sample.course import Course
from repset.sample.geometry import Array
from repset.sample.identity import ATHLETES
from repset.sample.packing import Progress, jpeg, spread, write_tar_gz
from repset.sample.raster import Camera
from repset.sample.scene import Scene, fit_camera, in_image, visible
from repset.sample.skeleton import Solved
from repset.sample.truth import Row, rep_rows, view_name, write_truth

ACTIONS = {
    "bench_press": "bench_press", "clean_and_jerk": "clean_and_jerk", "jump_rope": "jump_rope",
    "jumping_jacks": "jumping_jack", "pullup": "pull_up", "pushup": "push_up", "situp": "sit_up", "squat": "squat",
    "tennis_serve": "tennis_serve",
}  # fmt: skip
"""Penn's word → motion: its eight gym actions and one other."""

WIDTH, HEIGHT = 320, 240
FLESH = {"head": 0.15, "shoulder": 0.13, "elbow": 0.09, "wrist": 0.09, "hip": 0.20, "knee": 0.11, "ankle": 0.11}
"""How deep a joint lies under its own skin at most, body units: what is nearer than this hides nothing."""


@dataclass(frozen=True)
class ClipTask:
    """One clip to draw; everything about it follows from these fields."""

    number: int
    action: str
    who: int
    frames: int
    train: bool
    seed: int


@dataclass(frozen=True)
class Clip:
    """A finished clip: its number, files below Penn_Action/, and truth rows."""

    number: int
    files: tuple[tuple[str, bytes], ...]
    truth: dict[str, list[Row]]


def plan(params: SampleParams) -> list[ClipTask]:
    """The clips, numbered action by action as the original is; about three in five are training clips."""
    rng = np.random.default_rng([params.seed, 1])
    names = list(ACTIONS)
    share = [params.penn_clips // len(names) + (k < params.penn_clips % len(names)) for k in range(len(names))]
    tasks: list[ClipTask] = []
    for a, name in enumerate(names):
        for j in range(share[a]):
            number = len(tasks) + 1
            frames = int(rng.integers(max(24, int(0.8 * params.penn_frames)), params.penn_frames + 1))
            who = (3 * number + params.seed) % len(ATHLETES)
            tasks.append(ClipTask(number, name, who, frames, (3 * j + a) % 5 < 3, params.seed))
    return tasks


def write_penn(out: Path, params: SampleParams, jobs: int, progress: Progress | None) -> Path:
    """Write Penn_Action.tar.gz and truth.json into `out`."""
    tasks = sorted(plan(params), key=lambda task: (task.who, task.number))
    clips = sorted(
        spread(render_clip, tasks, jobs, progress, "rendering Penn Action clips"), key=lambda clip: clip.number
    )
    entries = [(f"Penn_Action/{name}", data) for clip in clips for name, data in clip.files]
    write_truth(out / "truth.json", "penn_action", [clip.truth for clip in clips])
    return write_tar_gz(out / "Penn_Action.tar.gz", sorted(entries))


def render_clip(task: ClipTask) -> Clip:
    """Draw one clip."""
    rng = np.random.default_rng([task.seed, 2, task.number])
    motion = MOTIONS[ACTIONS[task.action]]
    reps = 1 if task.action in ("clean_and_jerk", "tennis_serve") else int(rng.choice([2, 2, 2, 3, 3, 4]))
    course, solved = perform(ACTIONS[task.action], task.who, rng, reps, task.frames, 0.4)
    low, high = motion.views[int(rng.integers(len(motion.views)))]
    azimuth = float(rng.uniform(low, high)) * (1 if rng.random() < 0.5 else -1)
    scene, view = _stage(motion, course, solved, azimuth, rng)
    dressed, transforms = athlete(task.who).dressed(int(rng.integers(4))), solved.transforms()
    joints = solved.joints("penn_13")
    radius = np.array([FLESH[name.rsplit("_", 1)[-1]] for name in PENN_13.joints])
    quality = int(rng.integers(86, 95))
    xy, _ = view.project(joints)
    seen, boxes = np.zeros(xy.shape[:2], np.bool_), np.zeros((course.frames, 4))
    files: list[tuple[str, bytes]] = []
    for frame in range(course.frames):
        phase = float(course.phase[frame])
        mesh = dressed.pose(solved, transforms, frame, [phase * works for works in motion.working(phase)])
        held = props.held(motion.props, solved, frame, course.style)
        picture = scene.render(mesh, held, frame, ())
        seen[frame] = visible(picture, view, joints[frame], radius)
        rows, columns = np.nonzero(picture.person)
        boxes[frame] = columns.min() + 1, rows.min() + 1, columns.max() + 1, rows.max() + 1
        files.append((f"frames/{task.number:04d}/{frame + 1:06d}.jpg", jpeg(picture.image, quality)))
    label = _label(task, np.where(in_image(view, xy)[..., None], xy + 1, 1.0), seen, boxes, facing(azimuth))
    files.append((f"labels/{task.number:04d}.mat", label))
    return Clip(task.number, tuple(files), _truth(task, motion, course, solved, xy, azimuth))


def _stage(
    motion: Motion, course: Course, solved: Solved, azimuth: float, rng: np.random.Generator
) -> tuple[Scene, Camera]:
    """Camera and room: mostly the whole athlete, sometimes off centre, sometimes cut off by the image's edge."""
    points = solved.joints("blazepose_33").reshape(-1, 3)
    draw = rng.random()
    margin = rng.uniform(-0.06, 0.0) if draw < 0.12 else rng.uniform(0.09, 0.16)
    shift = rng.uniform(-0.04, 0.04, 2) if draw < 0.6 else rng.uniform(-0.05, 0.05, 2) * np.array([2.2, 1.0])
    view = fit_camera(
        points, azimuth, rng.uniform(2, 14), rng.uniform(38, 54), (WIDTH, HEIGHT), margin, (shift[0], shift[1])
    )
    return Scene(view, rng, props.fixed(motion.props, course.style)), view


def facing(azimuth_deg: float) -> str:
    """Penn's `pose`: front, back, or the side of the image the athlete faces."""
    away = (azimuth_deg + 180) % 360 - 180
    if abs(away) < 45:
        return "front"
    return "back" if abs(away) > 135 else "left" if away > 0 else "right"


def _label(task: ClipTask, xy: Array, seen: npt.NDArray[np.bool_], boxes: Array, pose: str) -> bytes:
    frames = len(xy)
    buffer = io.BytesIO()
    savemat(buffer, {
        "action": task.action, "pose": pose, "x": xy[..., 0], "y": xy[..., 1], "visibility": seen.astype(np.uint8),
        "train": np.int32(1 if task.train else -1), "bbox": boxes,
        "dimensions": np.array([[HEIGHT, WIDTH, frames]], np.uint16),
        "nframes": np.uint8(frames) if frames < 256 else np.uint16(frames),
    }, do_compression=True)  # fmt: skip
    # savemat writes the date into the 116 bytes of free text: a fixed text keeps the archive's bytes the same.
    return b"MATLAB 5.0 MAT-file, rendered sample of repset".ljust(116) + buffer.getvalue()[116:]


def _truth(
    task: ClipTask, motion: Motion, course: Course, solved: Solved, xy: Array, azimuth: float
) -> dict[str, list[Row]]:
    native = f"{task.number:04d}"
    name = motion.exercise or "none"
    sets = [{"native_id": native, "set": 0, "start": 0, "end": course.frames, "exercise": name,
             "reps": len(course.reps) if motion.counted else None, "origin": "dataset"}]  # fmt: skip
    if not motion.counted:
        return {"sets": sets}
    reps, form = rep_rows(native, 0, motion, course, solved, 0, view_name(azimuth))
    angles = evaluate_all(xy.astype(np.float32), "penn_13")
    rows = [
        {"native_id": native, "frame": frame, "person": 0, "name": f"{side}_{motion.signal}",
         "value_deg": round(float(angles[f"{side}_{motion.signal}"][frame]), 3)}
        for frame in range(course.frames)
        for side in ("left", "right")
    ]  # fmt: skip
    return {"reps": reps, "form": form, "sets": sets, "angles": rows}
