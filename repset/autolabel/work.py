"""What one process does with one task: poses (estimated, cached or given), labels, the pieces of the output."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from repset.autolabel.cache import pose_key, read_track, write_track
from repset.autolabel.inputs import Task
from repset.autolabel.pose import estimate, estimate_image
from repset.autolabel.ruleset import RuleSet, load_rules
from repset.errors import RepsetError
from repset.exercises import NONE
from repset.landmarks import SKELETONS, JointState
from repset.records import pose_table, read_table, sha256_bytes, sha256_file, write_table
from repset.schema import PoseTrack, Stretch
from repset.video import FrameStore, Image, decode_image, read_video, write_video

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
        overlay: also write each video with its labels drawn in.
    """

    exercise: str | None
    rules: str
    model: str
    min_visibility: float
    cache: Path
    threads: int = 1
    overlay: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of one task; the large tables lie in files beside it.

    Attributes:
        frames: that were read; 0 after an error.
        cached: the poses were not estimated again.
        sets, reps, form: rows of these tables.
        summary: rows of summary.csv.
        error: the sentence, where the input could not be read.
    """

    task: Task
    frames: int = 0
    cached: bool = False
    sets: list[dict[str, Any]] = field(default_factory=list)
    reps: list[dict[str, Any]] = field(default_factory=list)
    form: list[dict[str, Any]] = field(default_factory=list)
    summary: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None


def run_task(task: Task, options: Options, folder: Path, tick: Tick) -> Outcome:
    """Label one task and write its pieces: `folder/parts/<number>.poses.parquet`, `.angles.parquet`, overlay.

    A fault of the input becomes an outcome with its sentence; any other exception is a bug and passes.
    """
    try:
        track, cached = poses_of(task, options, tick)
        return _label(task, options, folder, track, cached)
    except RepsetError as error:
        row = summary_row(task.media, status="error", reason=str(error))
        return Outcome(task, summary=[row], error=str(error))


def poses_of(task: Task, options: Options, tick: Tick) -> tuple[PoseTrack, bool]:
    """The track of a task and whether it was at hand already.

    Raises: DataError if the media cannot be read.
    """
    if task.kind == "poses":
        track = indexed_poses(task)
        tick(len(track.time_s))
        return track, False
    key = pose_key(_content(task), options.model, f"{task.kind} {task.fps or 0:.6g}")
    if (stored := read_track(options.cache, key)) is not None:
        tick(len(stored.time_s))
        return stored, True
    if task.kind in ("image", "photo"):
        track = estimate_image(_picture(task), options.model)
        tick(1)
    elif task.kind == "clip":
        track = estimate(_ticking(_indexed_frames(task), tick), options.model)
    else:
        frames = read_video(task.path, rgb=True, threads=options.threads)
        track = estimate(_ticking(frames, tick), options.model, rgb=True)
    write_track(options.cache, key, track)
    return track, False


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


def _label(task: Task, options: Options, folder: Path, track: PoseTrack, cached: bool) -> Outcome:
    from repset.autolabel.label import label_track  # imports scipy.signal, a second that only the workers need pay

    stretches = _stretches(task, options, track)
    labels = label_track(task.sample_id, track, stretches, _rules(options.rules), options.min_visibility)
    parts = folder / "parts"
    if task.kind != "poses":
        poses = pose_table(
            task.sample_id, track.skeleton, np.arange(len(track.time_s)), track.time_s, track.xy_px, track.visibility,
            joint_states(track, options.min_visibility), "mediapipe", track.xyz_m,
        )  # fmt: skip
        write_table(parts / f"{task.number}.poses.parquet", "poses", poses)
    write_table(parts / f"{task.number}.angles.parquet", "angles", labels.angles)
    if options.overlay and task.kind == "video":
        _write_overlay(task, options, folder, track, labels)
    return Outcome(
        task, len(track.time_s), cached, labels.sets, labels.reps, labels.form, _summarise(task, track, labels)
    )


def _stretches(task: Task, options: Options, track: PoseTrack) -> Sequence[Stretch]:
    if task.stretches is not None:
        return task.stretches
    if options.exercise is not None:
        return [Stretch(0, len(track.time_s), options.exercise, None, "given")]
    from repset.autolabel.recognise import recognise

    return [stretch for stretch in recognise(track) if stretch.exercise != NONE]


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


def _write_overlay(task: Task, options: Options, folder: Path, track: PoseTrack, labels: "TrackLabels") -> None:
    from repset.draw import overlay_frames

    name = task.media if task.media.lower().endswith(".mp4") else f"{task.media}.mp4"
    images = (image for _, image in read_video(task.path, threads=options.threads))
    exercise = next((row["exercise"] for row in labels.sets), "")
    drawn = overlay_frames(
        images, track, labels.reps, labels.form, exercise, min_visibility=options.min_visibility
    )  # fmt: skip
    write_video(folder / "overlay" / name, drawn, track.fps if len(track.time_s) > 1 else 25.0)


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
    if task.kind in ("video", "image"):
        return sha256_file(task.path)
    rows = _store(task.path).rows(task.sample_id)
    return sha256_bytes("\n".join(row["sha256"] for row in rows[: 1 if task.kind == "photo" else None]).encode())


def _picture(task: Task) -> Image:
    if task.kind == "image":
        return decode_image(task.path.read_bytes(), task.path, "Check that it opens, or leave it out")
    store = _store(task.path)
    return store.image(store.rows(task.sample_id)[0])


def _indexed_frames(task: Task) -> Iterator[tuple[float, Image]]:
    assert task.fps is not None
    for number, image in enumerate(_store(task.path).clip(task.sample_id)):
        yield number / task.fps, image


@cache
def _store(index: Path) -> FrameStore:
    return FrameStore(index)


@cache
def _rules(name: str) -> RuleSet:
    return load_rules(name)
