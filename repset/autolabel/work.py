"""What one process does with one task: poses (estimated, cached or given), labels, the pieces of the output."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from repset.autolabel.cache import pose_key, read_followed, write_followed
from repset.autolabel.inputs import Task
from repset.autolabel.memory import give_back
from repset.autolabel.people import DEFAULT, Rule
from repset.autolabel.pose import Followed, follow, follow_image
from repset.autolabel.ruleset import RuleSet, load_rules
from repset.autolabel.sequences import read_sequence
from repset.errors import DataError, RepsetError
from repset.exercises import NONE
from repset.landmarks import SKELETONS, JointState
from repset.records import pose_table, read_table, sha256_bytes, sha256_file, write_table
from repset.schema import PoseTrack, Stretch
from repset.video import FrameStore, Image, read_picture, read_video

if TYPE_CHECKING:
    from repset.autolabel.label import TrackLabels

Tick = Callable[[int], None]
"""Called with a number of frames that are done."""

_TICK_FRAMES = 15


@dataclass(frozen=True)
class Options:
    """How a job labels; the same for all its tasks.

    Attributes:
        exercise: canonical name given by a person for every video, or None: recognise.
        rules: name of a packaged rule set or a YAML file.
        model: lite | full | heavy | path of a `.task` bundle.
        min_visibility: a joint below it is unknown.
        cache: folder of cached poses.
        threads: of each video decoder.
        overlay, plot, frames: also write these pictures (repset.autolabel.pictures).
        person: whom to follow where there are several.
        keep_fps: label only so many frames a second; None: all.
        angles_3d: also give the interior angles in space.
    """

    exercise: str | None
    rules: str
    model: str
    min_visibility: float
    cache: Path
    threads: int = 1
    overlay: bool = False
    plot: bool = False
    frames: bool = False
    person: Rule = DEFAULT
    keep_fps: float | None = None
    angles_3d: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of one task; the large tables lie in files beside it.

    Attributes:
        frames: that were read; 0 after an error.
        cached: the poses were not estimated again.
        sets, reps, form: rows of these tables.
        summary: rows of summary.csv.
        error: the sentence, where the input could not be read.
        people: where there were several: how many, and who was followed.
    """

    task: Task
    frames: int = 0
    cached: bool = False
    sets: list[dict[str, Any]] = field(default_factory=list)
    reps: list[dict[str, Any]] = field(default_factory=list)
    form: list[dict[str, Any]] = field(default_factory=list)
    summary: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None
    people: dict[str, Any] | None = None


def run_task(task: Task, options: Options, folder: Path, tick: Tick) -> Outcome:
    """Label one task and write its pieces: `folder/parts/<number>.poses.parquet`, `.angles.parquet`, pictures.

    A fault of the input becomes an outcome with its sentence; any other exception is a bug and passes.
    """
    try:
        found, cached = poses_of(task, options, tick)
        give_back()
        return _label(task, options, folder, found, cached)
    except RepsetError as error:
        row = summary_row(task.media, status="error", reason=str(error))
        return Outcome(task, summary=[row], error=str(error))


def poses_of(task: Task, options: Options, tick: Tick) -> tuple[Followed, bool]:
    """The person of a task, and whether the poses were at hand already.

    Raises: DataError if the media cannot be read.
    """
    if task.kind == "poses":
        track = indexed_poses(task)
        tick(len(track.time_s))
        return Followed(track, 1, None, 0), False
    rate = task.fps if task.kind in ("clip", "sequence") else None
    key = pose_key(_content(task), options.model, f"{task.kind} {rate} {options.keep_fps} {options.person}")
    if (stored := read_followed(options.cache, key)) is not None:
        tick(len(stored.track.time_s))
        return stored, True
    if task.kind in ("image", "photo"):
        found = follow_image(_picture(task), options.model, options.person)
        tick(1)
    else:
        rgb = task.kind == "video"
        found = follow(_ticking(frames_of(task, options, rgb=rgb), tick), options.model, rgb=rgb, rule=options.person)
    write_followed(options.cache, key, found)
    return found, False


def frames_of(task: Task, options: Options, *, rgb: bool = False) -> Iterator[tuple[float, Image]]:
    """The frames of a clip that are labelled, in order, one at a time: (seconds from the first, image).

    Args:
        rgb: of a video: RGB in place of BGR.
    Raises: DataError if the media cannot be read.
    """
    if task.kind == "video":
        yield from read_video(task.path, rgb=rgb, threads=options.threads, fps=options.keep_fps)
        return
    assert task.fps is not None
    assert not rgb
    if task.kind == "sequence":
        yield from read_sequence(task.files, task.fps, options.keep_fps)
        return
    for number, image in enumerate(_store(task.path).clip(task.sample_id)):
        yield number / task.fps, image


def indexed_poses(task: Task) -> PoseTrack:
    """The set's own 2-D poses of person 0, one row a frame of the clip; NaN where the set has no row."""
    columns = ["frame", "person", "skeleton", "x_px", "y_px", "visibility"]
    table = read_table(task.path / "poses.parquet", "poses", columns, filters=[("sample_id", "==", task.sample_id)])
    skeletons = [name for name in table["skeleton"].unique().to_pylist() if name in ("coco_18", "penn_13")]
    skeleton = skeletons[0] if skeletons else "coco_18"
    wanted = pc.and_(pc.equal(table["skeleton"], skeleton), pc.equal(table["person"], 0))
    table = table.filter(wanted)
    frame = table["frame"].to_numpy()
    count, joints = max(task.frames, int(frame.max(initial=-1)) + 1), len(SKELETONS[skeleton].joints)
    values = np.full((3, count, joints), np.nan, np.float32)
    for row, column in enumerate(("x_px", "y_px", "visibility")):
        values[row, frame] = table[column].combine_chunks().flatten().to_numpy().reshape(len(frame), joints)
    time_s = np.arange(count) / (task.fps or 30.0)
    return PoseTrack(skeleton, time_s, np.stack([values[0], values[1]], axis=-1), values[2], *task.size)


def joint_states(track: PoseTrack, min_visibility: float) -> npt.NDArray[np.int8]:
    """(T, K) `landmarks.JointState`: absent, outside the image, occluded (below the visibility), else labelled."""
    x, y = track.xy_px[..., 0], track.xy_px[..., 1]
    with np.errstate(invalid="ignore"):
        outside = (x < 0) | (y < 0) | (x >= track.width) | (y >= track.height)
        hidden = track.visibility < min_visibility
    state = np.select(
        [np.isnan(x), outside, hidden],
        [JointState.ABSENT, JointState.OUTSIDE, JointState.OCCLUDED],
        JointState.LABELLED,
    )
    return state.astype(np.int8)


def summary_row(media: str, **columns: Any) -> dict[str, Any]:
    """A row of summary.csv; what is not given is empty."""
    return dict.fromkeys(SUMMARY) | {"media": media} | columns


SUMMARY = (
    "media", "set", "start_s", "end_s", "exercise", "exercise_p", "fps", "reps", "reps_complete", "correct",
    "unscorable", "detected_share", "status", "reason",
)  # fmt: skip
"""Columns of summary.csv: one row a set; a clip without one has a single row."""


def _label(task: Task, options: Options, folder: Path, found: Followed, cached: bool) -> Outcome:
    from repset.autolabel.label import label_track

    track = found.track
    stretches = _stretches(task, options, track)
    labels = label_track(
        task.sample_id, track, stretches, _rules(options.rules), options.min_visibility, options.angles_3d
    )
    parts = folder / "parts"
    if task.kind != "poses":
        poses = pose_table(
            task.sample_id, track.skeleton, np.arange(len(track.time_s)), track.time_s, track.xy_px, track.visibility,
            joint_states(track, options.min_visibility), "mediapipe", track.xyz_m,
        )  # fmt: skip
        write_table(parts / f"{task.number}.poses.parquet", "poses", poses)
    write_table(parts / f"{task.number}.angles.parquet", "angles", labels.angles)
    if (options.overlay or options.plot or options.frames) and task.kind in ("video", "sequence", "image"):
        _write_pictures(task, options, folder, track, labels)
    return Outcome(
        task, len(track.time_s), cached, labels.sets, labels.reps, labels.form, _summarise(task, track, labels),
        people=_people(task, found),
    )  # fmt: skip


def _people(task: Task, found: Followed) -> dict[str, Any] | None:
    if found.people < 2 or found.begin is None:
        return None
    box, time_s = found.begin
    return {
        "media": task.media,
        "people": found.people,
        "first_followed_s": round(time_s, 3),
        "first_box_px": [round(edge) for edge in box],
        "frames_of_others": found.others,
    }


def _stretches(task: Task, options: Options, track: PoseTrack) -> Sequence[Stretch]:
    if task.kind == "image" and options.exercise is not None and _rules(options.rules).kind == "frame":
        return [Stretch(0, 1, options.exercise, None, "given")]  # one frame can be held to a frame rule
    if task.stretches is not None:
        return task.stretches
    if options.exercise is not None:
        return [Stretch(0, len(track.time_s), options.exercise, None, "given")]
    from repset.autolabel.label import to_whole_reps
    from repset.autolabel.recognise import recognise

    return to_whole_reps([stretch for stretch in recognise(track) if stretch.exercise != NONE], track)


def _summarise(task: Task, track: PoseTrack, labels: "TrackLabels") -> list[dict[str, Any]]:
    """A row a set; counts stay empty where nothing could be counted."""
    seen = np.isfinite(track.xy_px).all(axis=-1).any(axis=1)
    moving = len(seen) > 1
    status, reason = _status(task, labels)
    common = {"fps": round(track.fps, 3) if moving else None, "status": status, "reason": reason}
    rows = []
    for one in labels.sets:
        if one["exercise"] == NONE:
            continue
        mine = [row for row in labels.reps if row["set"] == one["set"]]
        verdicts = [row["verdict"] for row in labels.form if row["set"] == one["set"] and row["level"] == "rep"]
        start, end, counted = int(one["start"]), int(one["end"]), one["reps"] is not None
        rows.append(
            summary_row(
                task.media, set=one["set"], start_s=_time(track, start), end_s=_time(track, end),
                exercise=one["exercise"], exercise_p=_rounded(one["exercise_p"]), reps=one["reps"],
                reps_complete=sum(bool(row["complete"]) for row in mine) if counted else None,
                correct=verdicts.count("correct") if counted else None,
                unscorable=verdicts.count("unscorable") if counted else None,
                detected_share=_share(seen[start:end]), **common,
            )
        )  # fmt: skip
    nothing = {"exercise": NONE, "reps": 0, "reps_complete": 0, "correct": 0, "unscorable": 0}
    times = {"start_s": 0.0, "end_s": _time(track, len(seen))} if moving else {}
    return rows or [summary_row(task.media, detected_share=_share(seen), **nothing, **times, **common)]


def _status(task: Task, labels: "TrackLabels") -> tuple[str, str]:
    if task.kind in ("image", "photo") and labels.status == "too_short":
        return "ok", ""  # nothing to count was expected
    if task.kind == "poses" and labels.status == "no_person":
        return "no_poses", "the set gives no poses for it, and no images"
    return labels.status, labels.reason


def _share(seen: npt.NDArray[np.bool_]) -> float | None:
    return round(float(seen.mean()), 4) if len(seen) else None


def _time(track: PoseTrack, frame: int) -> float:
    """Start of a frame; past the last one, its end."""
    if frame < len(track.time_s):
        return round(float(track.time_s[frame]), 3)
    step = 1 / track.fps if len(track.time_s) > 1 else 0.0
    return round(float(track.time_s[-1]) + step, 3)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _write_pictures(task: Task, options: Options, folder: Path, track: PoseTrack, labels: "TrackLabels") -> None:
    from repset.autolabel.pictures import Labelled, write_pictures, write_plots

    still = task.kind == "image"
    rules = _rules(options.rules)
    item = Labelled(task.media, still, track, labels, rules, options.exercise or "", options.min_visibility)
    if options.plot:
        write_plots(folder, item)
    if options.overlay or options.frames:
        images = [_picture(task)] if still else (image for _, image in frames_of(task, options))
        fps = track.fps if len(track.time_s) > 1 else 25.0
        write_pictures(folder, item, images, overlay=options.overlay, frames=options.frames, fps=fps)


def _ticking(frames: Iterable[tuple[float, Image]], tick: Tick) -> Iterator[tuple[float, Image]]:
    waiting = 0
    for frame in frames:
        yield frame
        waiting += 1
        if waiting == _TICK_FRAMES:
            tick(waiting)
            waiting = 0
    tick(waiting)


def _content(task: Task) -> str:
    if task.kind in ("video", "image", "sequence"):
        try:
            hashes = [sha256_file(path) for path in task.files or (task.path,)]
        except OSError as error:
            found = str(error.strerror).lower()
            raise DataError(error.filename, "a readable file", found, "Check the path and its permissions") from error
        numbers = "\n".join(path.name for path in task.files)
        return hashes[0] if task.kind != "sequence" else sha256_bytes("\n".join([numbers, *hashes]).encode())
    rows = _store(task.path).rows(task.sample_id)
    return sha256_bytes("\n".join(row["sha256"] for row in rows[: 1 if task.kind == "photo" else None]).encode())


def _picture(task: Task) -> Image:
    if task.kind == "image":
        return read_picture(task.path)
    store = _store(task.path)
    return store.image(store.rows(task.sample_id)[0])


@cache
def _store(index: Path) -> FrameStore:
    return FrameStore(index)


@cache
def _rules(name: str) -> RuleSet:
    return load_rules(name)
