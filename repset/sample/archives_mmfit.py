"""The rendered sample as an MM-Fit archive: workouts as 2-D and 3-D pose tracks with labelled sets, without pictures.

Layout as the original has it (Strömbäck, Huang and Radu 2020): `wXX_pose_2d.npy` (2, T, 19) and `wXX_pose_3d.npy`
(3, T, 18) float64, whose last axis begins with the frame number; 2-D pixels of OpenPose's 18 joints with 0 for a
joint that was not found; 3-D millimetres of 17 Human3.6M joints about the pelvis (x right, y down, z away from the
camera). `wXX_labels.csv`: first frame, last frame (inclusive), repetitions, exercise. Between sets people stand,
walk, drink and pick things up: that is the class `none`.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from repset.landmarks import COCO_18
from repset.params import SampleParams
from repset.sample import sequences
from repset.sample.catalogue import MOTIONS, perform
from repset.sample.course import Course, draw_style
from repset.sample.geometry import Array, rot_y
from repset.sample.identity import ATHLETES
from repset.sample.motions import settle
from repset.sample.packing import Progress, spread, write_zip
from repset.sample.raster import Camera
from repset.sample.scene import camera
from repset.sample.skeleton import STATURE, Frame, solve
from repset.sample.truth import Row, rep_rows, view_name, write_truth

EXERCISES = {
    "squats": "squat", "lunges": "lunge", "bicep_curls": "bicep_curl", "situps": "sit_up", "pushups": "push_up",
    "tricep_extensions": "tricep_extension", "dumbbell_rows": "dumbbell_row", "jumping_jacks": "jumping_jack",
    "dumbbell_shoulder_press": "shoulder_press", "lateral_shoulder_raises": "lateral_raise",
}  # fmt: skip
"""MM-Fit's word → motion."""

WORKOUTS = (
    "w01", "w14", "w09", "w02", "w00", "w03", "w04", "w10", "w15", "w06", "w05", "w07", "w08", "w16", "w11", "w19",
    "w17", "w12", "w18", "w13", "w20",
)  # fmt: skip
"""Workout ids of the original, in the order in which the sample takes them: the first three already lie in its
training, validation and test split, the fifth in its unseen test split."""

SIDEWAYS = {"push_up": 90.0, "sit_up": 90.0, "dumbbell_row": 50.0, "lunge": 40.0}
"""How far the athlete turns from the camera, degrees."""
_BLEND = 14
_PAUSES = (sequences.walk, sequences.pick_up, sequences.drink, sequences.stand)


@dataclass(frozen=True)
class WorkoutTask:
    """One workout."""

    name: str
    who: int
    seed: int


@dataclass(frozen=True)
class _Stretch:
    """Joints of both skeletons through a stretch: (T, 18, 3) and (T, 17, 3) metres in the room."""

    coco: Array
    h36m: Array

    @property
    def frames(self) -> int:
        return len(self.coco)


def write_mmfit(out: Path, params: SampleParams, jobs: int, progress: Progress | None) -> Path:
    """Write mm-fit.zip and truth.json into `out`."""
    names = WORKOUTS[: min(params.mmfit_workouts, len(WORKOUTS))]
    tasks = [WorkoutTask(name, (k + params.seed) % len(ATHLETES), params.seed) for k, name in enumerate(names)]
    done = sorted(spread(render_workout, tasks, jobs, progress, "drawing MM-Fit workouts"), key=lambda part: part[0])
    write_truth(out / "truth.json", "mmfit", [truth for _, _, truth in done])
    return write_zip(out / "mm-fit.zip", [entry for _, files, _ in done for entry in files])


def render_workout(task: WorkoutTask) -> tuple[str, list[tuple[str, bytes]], dict[str, list[Row]]]:
    """Name, files and truth rows of one workout."""
    rng = np.random.default_rng([task.seed, 3, int(task.name[1:])])
    words = list(EXERCISES)
    order = [words[k] for k in rng.permutation(len(words))]
    parts, labels = [_pause(task.who, rng)], []
    truth: dict[str, list[Row]] = {"reps": [], "form": [], "sets": [], "angles": []}
    at = parts[0].frames
    for number, word in enumerate(order):
        motion = MOTIONS[EXERCISES[word]]
        course, solved = perform(EXERCISES[word], task.who, rng, int(rng.integers(4, 7)), None, 0.25)
        yaw = (SIDEWAYS.get(motion.exercise, 0.0) + float(rng.uniform(-16, 16))) * (1 if rng.random() < 0.5 else -1)
        parts.append(_place(task.who, course, solved.joints("coco_18"), solved.joints("h36m_17"), yaw))
        reps, form = rep_rows(task.name, number, motion, course, solved, at, view_name(yaw))
        first, last = at + course.reps[0].start, at + course.reps[-1].end - 1
        labels.append(f"{first},{last},{len(course.reps)},{word}")
        truth["reps"] += reps
        truth["form"] += form
        truth["sets"].append({"native_id": task.name, "set": number, "start": first, "end": last + 1,
                              "exercise": motion.exercise, "reps": len(course.reps), "origin": "dataset"})  # fmt: skip
        at += course.frames
        parts.append(_pause(task.who, rng))
        at += parts[-1].frames
    coco, h36m = _join(parts, rng)
    view = camera(
        np.array([0.0, 0.95, 0.0]), float(rng.uniform(-12, 12)), float(rng.uniform(4, 9)), 3.4, 60.0, (640, 480)
    )
    files = [
        (f"mm-fit/{task.name}/{task.name}_pose_2d.npy", _npy(_pose_2d(coco, view, rng))),
        (f"mm-fit/{task.name}/{task.name}_pose_3d.npy", _npy(_pose_3d(h36m, view, rng))),
        (f"mm-fit/{task.name}/{task.name}_labels.csv", ("\n".join(labels) + "\n").encode()),
    ]
    return task.name, files, truth


def _pause(who: int, rng: np.random.Generator) -> _Stretch:
    """What happens between sets."""
    frames = int(rng.integers(60, 130))
    motion = _PAUSES[int(rng.integers(len(_PAUSES)))]
    still = np.zeros(frames)
    course = Course(still, still, still, {}, draw_style(rng), ())
    frame = Frame.of(ATHLETES[who])
    solved = solve(frame, settle(motion(frame, course), frames, rng, 6.0))
    return _place(who, course, solved.joints("coco_18"), solved.joints("h36m_17"), float(rng.uniform(-60, 60)))


def _place(who: int, course: Course, coco: Array, h36m: Array, yaw_deg: float) -> _Stretch:
    """In metres, turned on the spot, the middle of the stretch where the camera looks."""
    scale = ATHLETES[who].height_m / STATURE
    middle = coco.mean(axis=(0, 1)) * np.array([1, 0, 1])
    turn = rot_y(yaw_deg)
    return _Stretch(scale * (coco - middle) @ turn.T, scale * (h36m - middle) @ turn.T)


def _join(parts: list[_Stretch], rng: np.random.Generator) -> tuple[Array, Array]:
    """All stretches in a row; the last frames of a pause glide into the next stretch, its first out of the last."""
    tracks = []
    for name in ("coco", "h36m"):
        pieces = [getattr(part, name).copy() for part in parts]
        for k in range(0, len(pieces), 2):  # pauses sit at even places
            ramp = (np.arange(1, _BLEND + 1) / (_BLEND + 1))[:, None, None]
            if k > 0:
                pieces[k][:_BLEND] = pieces[k - 1][-1] * (1 - ramp) + pieces[k][:_BLEND] * ramp
            if k + 1 < len(pieces):
                pieces[k][-_BLEND:] = pieces[k][-_BLEND:] * (1 - ramp) + pieces[k + 1][0] * ramp
        tracks.append(np.concatenate(pieces))
    return tracks[0], tracks[1]


def _pose_2d(coco: Array, view: Camera, rng: np.random.Generator) -> Array:
    """What a pose estimator would have said: jittering joints, short losses as zeros."""
    xy, _ = view.project(coco)
    frames, joints = xy.shape[:2]
    jitter: Array = rng.normal(0, 1.5, xy.shape)
    for t in range(1, frames):
        jitter[t] = jitter[t] + 0.6 * jitter[t - 1]
    xy = np.round(xy + jitter, 3)
    weak = np.array([3.0 if name.endswith(("ear", "eye", "wrist", "ankle")) else 1.0 for name in COCO_18.joints])
    begins = rng.random((frames, joints)) < 0.0012 * weak
    lengths = rng.integers(1, 12, (frames, joints))
    for t, k in np.argwhere(begins):
        xy[t : t + lengths[t, k], k] = 0
    outside = (xy < 0).any(-1) | (xy[..., 0] >= view.width) | (xy[..., 1] >= view.height)
    xy[outside] = 0
    return _numbered(xy)


def _pose_3d(h36m: Array, view: Camera, rng: np.random.Generator) -> Array:
    """Camera axes, millimetres about the pelvis, with a lifter's error."""
    about = (h36m - h36m[:, :1]) @ view.axes.T * 1000
    return _numbered(np.round(about + rng.normal(0, 8.0, about.shape) * (np.arange(17) > 0)[None, :, None], 3))


def _numbered(points: Array) -> Array:
    """(T, K, D) → (D, T, 1 + K) with the frame number first."""
    frames, joints, dims = points.shape
    out = np.zeros((dims, frames, joints + 1))
    out[:, :, 0] = np.arange(frames)
    out[:, :, 1:] = points.transpose(2, 0, 1)
    return out


def _npy(array: Array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
