"""The rendered sample as a Roboflow export "PNG Masks For Semantic Segmentation": photos of working muscles.

A muscle is marked where exercise and phase visibly work it, and only there: the same arm hanging at rest is
background, so that a model cannot get away with learning where limbs are. About one photo in five has no muscle.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from repset.params import SampleParams
from repset.records import sha256_bytes
from repset.sample import props
from repset.sample.athlete import athlete
from repset.sample.catalogue import MOTIONS, Motion, perform
from repset.sample.course import Course
from repset.sample.geometry import Array, vec
from repset.sample.identity import ATHLETES
from repset.sample.packing import Progress, jpeg, spread, write_zip
from repset.sample.scene import Picture, Scene, fit_camera
from repset.sample.skeleton import Solved
from repset.sample.truth import write_truth
from repset.video import encode_png

Image = npt.NDArray[np.uint8]

SIZE = 256
CLASSES = ("background", "activated biceps", "activated calf", "activated triceps")
"""Pixel value = position; background first, the others in ASCII order, as Roboflow writes them."""
_INDEX = np.array([0, 1, 3, 2], np.uint8)
"""Position in MUSCLES + 1 (biceps, triceps, calf) → pixel value."""
COPIES = 3
NOISE_SHARE, BLUR_PX, SHEAR_DEG, GRAY_P = 0.0022, 1.2, 15.0, 0.25
"""Augmentation of the published muscle set (flips, 15° shear, 25 % grayscale, 1.2 px blur, 0.22 % noise)."""


@dataclass(frozen=True)
class Shot:
    """A kind of photo: exercise, what is in the frame (arm | upper | leg | full), azimuths that show the muscle."""

    motion: str
    framing: str
    azimuth: tuple[float, float]


SHOTS = (
    Shot("bicep_curl", "arm", (5, 75)),
    Shot("tricep_extension", "arm", (-30, 60)),
    Shot("calf_raise", "leg", (125, 200)),
    Shot("pull_up", "arm", (-45, 15)),
    Shot("push_up", "arm", (105, 165)),
    Shot("calf_raise", "leg", (105, 170)),
    Shot("bicep_curl", "arm", (-30, 45)),
    Shot("tricep_extension", "arm", (10, 85)),
    Shot("bicep_curl", "upper", (-35, 60)),
    Shot("calf_raise", "leg", (140, 215)),
    Shot("bicep_curl", "arm", (25, 85)),
    Shot("tricep_extension", "arm", (-10, 75)),
    Shot("calf_raise", "full", (110, 170)),
    Shot("shoulder_press", "arm", (40, 120)),
)
"""Nearly all are close-ups of a limb, as a mask on a whole body is a few pixels. Their number shares no factor with 5,
so that every kind is also taken at rest."""
_IDLE = (Shot("squat", "leg", (90, 180)), Shot("lateral_raise", "arm", (-20, 60)), Shot("lunge", "full", (30, 90)))
_LEAST_AREA = {"arm": 0.05, "leg": 0.06, "upper": 0.012, "full": 0.006}
"""Share of the picture that working muscles should fill; a better view is sought, within _TRIES, where they do not."""
_TRIES = 4
_FLEX = 1.5
"""How far a working muscle bulges beyond that of the clips: the photos are of people who show it."""
_MIDST = 0.1
"""Photos are taken this far (in phase) from where a muscle begins or ceases to be marked."""


@dataclass(frozen=True)
class PhotoTask:
    """One source photo."""

    number: int
    split: str
    shot: Shot
    active: bool
    who: int
    seed: int


@dataclass(frozen=True)
class Photo:
    """A finished photo: number, split, and (name, bytes) of its files."""

    number: int
    files: tuple[tuple[str, bytes], ...]


def write_roboflow(out: Path, params: SampleParams, jobs: int, progress: Progress | None) -> Path:
    """Write sample_roboflow.zip and truth.json into `out`."""
    tasks = sorted(plan(params), key=lambda task: (task.who, task.number))
    photos = sorted(
        spread(render_photo, tasks, jobs, progress, "rendering muscle photos"), key=lambda photo: photo.number
    )
    entries = [entry for photo in photos for entry in photo.files]
    images = sum(name.endswith(".jpg") for name, _ in entries)
    listing = "Pixel Value, Class\n" + "\n".join(f"{value}, {name}" for value, name in enumerate(CLASSES))
    splits = sorted({name.split("/")[0] for name, _ in entries})
    entries += [(f"{split}/_classes.csv", listing.encode()) for split in splits]
    entries += [("README.dataset.txt", _ABOUT_DATASET.encode()), ("README.roboflow.txt", (_ABOUT % images).encode())]
    write_truth(out / "truth.json", "roboflow", [])
    return write_zip(out / "sample_roboflow.zip", sorted(entries))


def plan(params: SampleParams) -> list[PhotoTask]:
    """The photos: every kind in every split, one in five without a working muscle."""
    rng = np.random.default_rng([params.seed, 4])
    order = rng.permutation(params.roboflow_photos)
    test, valid = max(1, params.roboflow_photos // 10), max(1, params.roboflow_photos // 5)
    split_of = {int(n): "test" if k < test else "valid" if k < test + valid else "train" for k, n in enumerate(order)}
    tasks = []
    for number in range(params.roboflow_photos):
        active = number % 5 != 4
        shot = SHOTS[number % len(SHOTS)]
        if not active and rng.random() < 0.4:
            shot = _IDLE[int(rng.integers(len(_IDLE)))]
        who = int(rng.integers(len(ATHLETES)))
        tasks.append(PhotoTask(number + 1, split_of[number], shot, active, who, params.seed))
    return tasks


def render_photo(task: PhotoTask) -> Photo:
    """Draw one photo and its copies."""
    rng = np.random.default_rng([task.seed, 5, task.number])
    motion = MOTIONS[task.shot.motion]
    course, solved = perform(task.shot.motion, task.who, rng, 2, None, 0.0)
    frame = _choose_frame(motion, course, task.active, rng)
    best: tuple[int, Picture] | None = None
    for _ in range(_TRIES):  # a working muscle must not hide behind the arm or a dumbbell
        picture = _shoot(task, motion, course, solved, frame, rng)
        area = int((picture.muscles > 0).sum())
        if best is None or area > best[0]:
            best = (area, picture)
        if not task.active or area >= _LEAST_AREA[task.shot.framing] * SIZE**2:
            break
    assert best is not None
    image, mask = best[1].image, _INDEX[best[1].muscles]
    pairs = [(image, mask)] if task.split != "train" else [augment(image, mask, rng) for _ in range(COPIES)]
    files = []
    for picture_, mask_ in pairs:
        data = jpeg(picture_, int(rng.integers(86, 94)))
        stem = f"{task.split}/gym_{task.number:04d}_jpg.rf.{sha256_bytes(data)[:32]}"
        files += [(f"{stem}.jpg", data), (f"{stem}_mask.png", encode_png(mask_))]
    return Photo(task.number, tuple(files))


def _choose_frame(motion: Motion, course: Course, active: bool, rng: np.random.Generator) -> int:
    """A frame in the midst of a muscle's work, or one at rest before any begins; the picture tells which."""
    phase, spans = course.phase, [(low, high) for _, low, high in motion.muscles]
    if active:
        inside = [(phase >= low + _MIDST) & (phase < high - (_MIDST if high <= 1 else 0)) for low, high in spans]
        fits = np.flatnonzero(np.any(inside, axis=0)) if inside else np.zeros(0, np.int64)
    else:
        fits = np.flatnonzero(phase <= min((low for low, _ in spans), default=2.0) - _MIDST)
    fits = fits if len(fits) else np.arange(course.frames)
    return int(fits[int(rng.integers(len(fits)))])


def _shoot(
    task: PhotoTask, motion: Motion, course: Course, solved: Solved, frame: int, rng: np.random.Generator
) -> Picture:
    side = "left" if rng.random() < 0.5 else "right"
    mirror = 1 if side == "left" else -1
    azimuth = float(rng.uniform(*task.shot.azimuth)) * mirror
    points = _subject(solved, task.shot.framing, side, frame, rng)
    shift = (float(rng.uniform(-0.06, 0.06)), float(rng.uniform(-0.06, 0.06)))
    view = fit_camera(
        points, azimuth, rng.uniform(-4, 14), rng.uniform(34, 46), (SIZE, SIZE), rng.uniform(0.0, 0.1), shift
    )
    scene = Scene(view, rng, props.fixed(motion.props, course.style))
    works = motion.working(float(course.phase[frame]))
    dressed = athlete(task.who, bare=True).dressed(int(rng.integers(4)))
    mesh = dressed.pose(solved, solved.transforms(), frame, [_FLEX * w for w in works])
    held = props.held(motion.props, solved, frame, course.style)
    return scene.render(mesh, held, frame, works)


def _subject(solved: Solved, framing: str, side: str, frame: int, rng: np.random.Generator) -> Array:
    """The points that fill the picture."""
    if framing == "full":
        everything: Array = solved.joints("blazepose_33")[frame]
        return everything
    if framing == "leg":
        names = ["left_knee", "right_knee", "left_ankle", "right_ankle", "left_foot_index", "left_heel"]
        low: Array = np.stack([solved.joint(name)[frame] for name in names])
        if rng.random() < 0.4:
            low = np.concatenate([low, low[:2] + vec(0, 0.2, 0)])
        return low
    shoulder, elbow, wrist = (solved.joint(f"{side}_{name}")[frame] for name in ("shoulder", "elbow", "wrist"))
    if framing == "upper":
        trunk = [solved.joint(f"{s}_{n}")[frame] for s in ("left", "right") for n in ("hip", "elbow")]
        return np.stack([shoulder, elbow, wrist, solved.joint("neck")[frame], solved.joint("head_top")[frame], *trunk])
    return np.stack([shoulder, elbow, elbow + rng.uniform(0.5, 1.0) * (wrist - elbow)])


def augment(image: Image, mask: Image, rng: np.random.Generator) -> tuple[Image, Image]:
    """One augmented copy; the mask moves with the picture, by nearest neighbour.

    Returns: image and mask of the same size; what a shear uncovers is black and background.
    """
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    across, down = np.tan(np.radians(rng.uniform(-SHEAR_DEG, SHEAR_DEG, 2)))
    half = SIZE / 2
    matrix = np.array([[1, across, -across * half], [down, 1, -down * half]])
    image = cv2.warpAffine(np.ascontiguousarray(image), matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR).astype(np.uint8)
    mask = cv2.warpAffine(np.ascontiguousarray(mask), matrix, (SIZE, SIZE), flags=cv2.INTER_NEAREST).astype(np.uint8)
    if rng.random() < GRAY_P:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR).astype(np.uint8)
    blur = rng.uniform(0, BLUR_PX)
    if blur > 0.2:
        image = cv2.GaussianBlur(image, (0, 0), blur).astype(np.uint8)
    noisy = rng.random((SIZE, SIZE)) < rng.uniform(0, NOISE_SHARE)
    image[noisy] = np.where(rng.random((int(noisy.sum()), 1)) < 0.5, 0, 255)
    return image, mask


_ABOUT_DATASET = """# Rendered muscle sample
Drawn by repset (package repset.sample), not photographed: no person was involved, and nothing here was uploaded to
or exported from Roboflow. The layout is that of a Roboflow export, so that the ordinary reader reads it.

License: Apache-2.0
"""
_ABOUT = """Rendered muscle sample - v1
==============================

This dataset was drawn by repset in the layout of a Roboflow export.

The dataset includes %d images.
Muscles are annotated in PNG Masks For Semantic Segmentation format.

The following pre-processing was applied to each image:
* Rendered at 256x256

The following augmentation was applied to create 3 versions of each source image:
* 50%% probability of horizontal flip
* Random shear of between -15 and +15 degrees horizontally and -15 and +15 degrees vertically
* Grayscale applied to 25 percent of images
* Random Gaussian blur of between 0 and 1.2 pixels
* Salt and pepper noise was applied to 0.22 percent of pixels
"""
