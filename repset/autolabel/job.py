"""The two jobs: label a source of the project (a stage), or anyone's files (a folder of tables and summary.csv)."""

import fcntl
import glob
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq

import repset
from repset.autolabel.inputs import Problem, Task, find_media, source_tasks
from repset.autolabel.people import DEFAULT, Rule
from repset.autolabel.pictures import FOLDERS
from repset.autolabel.pool import Progress, run_tasks
from repset.autolabel.pose_bundle import cache_folder, mediapipe_version, model_sha256
from repset.autolabel.recognise import recogniser
from repset.autolabel.ruleset import load_rules
from repset.autolabel.work import SUMMARY, Options, Outcome, summary_row
from repset.errors import ConfigError, DataError, RepsetError
from repset.exercises import NAMES, canonical
from repset.machine import cores
from repset.params import AutolabelParams
from repset.project import Project, find_project
from repset.records import TableWriter, atomic_folder, write_csv, write_json, write_table

OnError = Literal["fail", "skip"]
Watch = Callable[[int, int], Progress | None]
"""Given the numbers of frames (0: unknown) and tasks, what to tell the progress to."""

OUTPUTS = frozenset(
    f"{name}.parquet" for name in ("poses", "angles", "reps", "form", "sets")
) | {"summary.csv", "job.json", "report.json", *FOLDERS}  # fmt: skip
"""Everything a job writes."""


@dataclass(frozen=True)
class Report:
    """What a job did.

    Attributes:
        out: the folder written.
        about: as job.json has it: versions, hashes, counts, wall time.
        summary: rows of summary.csv.
    """

    out: Path
    about: dict[str, Any]
    summary: list[dict[str, Any]]


def label_files(
    paths: Sequence[Path],
    out: Path,
    params: AutolabelParams,
    *,
    exercise: str = "auto",
    overlay: bool = False,
    plot: bool = False,
    frames: bool = False,
    person: Rule = DEFAULT,
    fps: float | None = None,
    sequence_fps: float | None = None,
    jobs: int | None = None,
    on_error: OnError = "fail",
    watch: Watch | None = None,
) -> Report:
    """Poses, angles, repetitions and form verdicts of anyone's videos and images.

    Args:
        paths: files, folders (searched to the bottom) and patterns (repset.autolabel.inputs.find_media).
        out: folder for the tables, summary.csv, job.json (and the pictures); replaced when it is an earlier job's.
        exercise: canonical name or alias of what is done in every video, or `auto`: recognise it.
        overlay, plot, frames: also write each video with its labels drawn in, an angle chart of each set, and the turn
            of each repetition sorted by verdict (repset.autolabel.pictures).
        person: whom to follow where several are in view (repset.autolabel.people.RULES).
        fps: label only so many frames a second; times stay true, frames are numbered as labelled. None: every frame.
        sequence_fps: numbered images in one folder are clips of this rate; None: pictures.
        jobs: processes; None: one a core.
        on_error: a file that cannot be read stops the job, or becomes a row with status `error`. A file that is no
            video stops it at once; one that breaks off stops it after the others are done, so that a second run
            finds them in the cache.
    Raises: RepsetError (DataError, ConfigError) before anything is written.
    """
    begun = time.monotonic()
    given = exercise_of(exercise)
    _check_out(out)
    found = find_media(paths, sequence_fps)
    if found.problems and on_error == "fail":
        raise RepsetError(_sentence(found.problems))
    options = _options(params, given, _cache(), jobs, len(found.tasks))
    options = replace(options, overlay=overlay, plot=plot, frames=frames, person=person, keep_fps=fps)
    about = _about(options, found.tasks)
    with _work_folder(out) as folder:
        outcomes = _run(list(found.tasks), options, folder, jobs, on_error, watch)
        lost = [summary_row(p.media, status="error", reason=p.reason) for p in found.problems]
        summary = sorted([row for o in outcomes for row in o.summary] + lost, key=lambda row: str(row["media"]))
        _write(folder, outcomes, summary)
        wall_s = time.monotonic() - begun
        about |= _counts(outcomes, summary) | {
            "cached": sum(outcome.cached for outcome in outcomes),
            "ignored": found.ignored,
            "hints": list(found.hints),
            "jobs": jobs or cores(),
            "wall_s": round(wall_s, 2),
            "frames_per_s": round(sum(outcome.frames for outcome in outcomes) / wall_s, 1),
        }
        write_json(folder / "job.json", about)
    return Report(out, about, summary)


def label_source(
    project: Project,
    source: str,
    params: AutolabelParams,
    *,
    jobs: int | None = None,
    on_error: OnError = "fail",
    watch: Watch | None = None,
) -> Report:
    """Automatic labels of one source: the index's clips and images through MediaPipe, its poses as they are.

    Writes datasets/<source>/labels: poses (of MediaPipe only), angles, reps, form, sets, summary.csv, report.json.
    Raises: DataError if there is no index, or an item in it cannot be read (`on_error` fail).
    """
    index, out = project.index(source), project.labels(source)
    tasks = source_tasks(index)
    if not tasks:
        raise DataError(index / "samples.parquet", "samples to label", "none", f"Run: repset index {source}")
    options = _options(params, None, project.cache / "cache" / "poses", jobs, len(tasks))
    about = {"source": source} | _about(options, tasks)
    with _work_folder(out) as folder:
        outcomes = _run(tasks, options, folder, jobs, on_error, watch)
        summary = [row for outcome in outcomes for row in outcome.summary]
        _write(folder, outcomes, summary)
        about |= _counts(outcomes, summary)
        write_json(folder / "report.json", about)
    return Report(out, about, summary)


def exercise_of(word: str) -> str | None:
    """The canonical name of an exercise, None for `auto`. Raises: ConfigError listing the names there are."""
    if word == "auto":
        return None
    name = canonical(word)
    if name not in NAMES:
        raise ConfigError(f"exercise {word!r}: expected auto or one of {', '.join(NAMES)}. Choose one of these.")
    return name


def _check_out(out: Path) -> None:
    """An earlier job's folder may be replaced, anything else may not."""
    if out.is_dir() and (foreign := sorted(p.name for p in out.iterdir() if p.name not in OUTPUTS)):
        raise DataError(
            out, "a new folder, or one that this command wrote", f"other files in it ({foreign[0]})",
            "Choose another folder with --out",
        )  # fmt: skip
    if out.exists() and not out.is_dir():
        raise DataError(out, "a folder", "a file", "Choose another folder with --out")


@contextmanager
def _work_folder(out: Path) -> Iterator[Path]:
    """`atomic_folder`; what a job that was killed left beside `out` goes, what one at work holds stays."""
    for left in out.parent.glob(f".{glob.escape(out.name)}.*.part"):
        with _lock(left) as free:
            if free:
                shutil.rmtree(left, ignore_errors=True)
    with atomic_folder(out) as folder, _lock(folder):
        yield folder


@contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Hold a folder as one's own, which ends with the process however that ends; false: another holds it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(handle)


def _cache() -> Path:
    """Inside a project its own cache, elsewhere the user's."""
    try:
        return find_project().cache / "cache" / "poses"
    except RepsetError:
        return cache_folder() / "poses"


def _options(params: AutolabelParams, exercise: str | None, cache: Path, jobs: int | None, tasks: int) -> Options:
    # Fewer clips than cores: the idle cores decode ahead.
    spare = max(1, min(4, cores() // max(1, min(jobs or cores(), tasks))))
    return Options(
        exercise, params.rule_set, params.model, params.min_visibility, cache, spare, angles_3d=params.angles_3d
    )


def _about(options: Options, tasks: Sequence[Task]) -> dict[str, Any]:
    """Versions, hashes and options. Raises: RepsetError now, not after hours, where a model or rule set is missing."""
    names_exercises = options.exercise is None and any(task.stretches is None for task in tasks)
    return {
        "repset": repset.__version__,
        "mediapipe": mediapipe_version(),
        "model": options.model,
        "model_sha256": model_sha256(options.model),
        "rules": options.rules,
        "rules_sha256": load_rules(options.rules).sha256,
        "min_visibility": options.min_visibility,
        "fps": options.keep_fps,
        "person": options.person,
        "exercise": options.exercise or "auto",
        "exercise_model_sha256": recogniser().sha256 if names_exercises else None,
    }


def _run(
    tasks: list[Task], options: Options, folder: Path, jobs: int | None, on_error: OnError, watch: Watch | None
) -> list[Outcome]:
    """Outcomes in the order of the tasks. Raises: RepsetError under `fail`, once all others are done."""
    frames = sum(_labelled(task, options.keep_fps) for task in tasks)
    progress = watch(frames, len(tasks)) if watch is not None else None
    outcomes = list(run_tasks(tasks, options, folder, jobs or cores(), progress)) if tasks else []
    outcomes.sort(key=lambda outcome: outcome.task.number)
    problems = [Problem(outcome.task.media, outcome.error) for outcome in outcomes if outcome.error]
    if problems and on_error == "fail":
        raise RepsetError(_sentence(problems))
    return outcomes


def _labelled(task: Task, keep_fps: float | None) -> int:
    """About how many of a task's frames are labelled."""
    share = min(1.0, keep_fps / task.fps) if keep_fps is not None and task.fps else 1.0
    return round(task.frames * share)


def _sentence(problems: Sequence[Problem]) -> str:
    """The first fault whole; the others by name."""
    first, others = problems[0].reason, [problem.media for problem in problems[1:]]
    if not others:
        return f"{first} (--on-error skip labels the rest)"
    names = ", ".join(others[:5]) + (", …" if len(others) > 5 else "")
    return f"{first} Unreadable as well: {len(others)} ({names}). (--on-error skip labels the rest)"


def _write(folder: Path, outcomes: Sequence[Outcome], summary: list[dict[str, Any]]) -> None:
    """The tables in task order; the large ones are put together from the pieces, in constant memory."""
    parts = folder / "parts"
    for name in ("poses", "angles"):
        with TableWriter(folder / f"{name}.parquet", name) as table:
            for outcome in outcomes:
                piece = parts / f"{outcome.task.number}.{name}.parquet"
                if piece.is_file():
                    table.add(pq.read_table(piece))
    shutil.rmtree(parts, ignore_errors=True)
    for name in ("sets", "reps", "form"):
        write_table(folder / f"{name}.parquet", name, [row for outcome in outcomes for row in getattr(outcome, name)])
    write_csv(folder / "summary.csv", SUMMARY, summary)


def _counts(outcomes: Sequence[Outcome], summary: Sequence[dict[str, Any]]) -> dict[str, Any]:
    media = {str(row["media"]): str(row["status"]) for row in summary}
    return {
        "media": len(media),
        "frames": sum(outcome.frames for outcome in outcomes),
        "sets": sum(row["set"] is not None for row in summary),
        "reps": sum(int(row["reps"] or 0) for row in summary),
        "status": dict(sorted(Counter(media.values()).items())),
        "several_people": [outcome.people for outcome in outcomes if outcome.people is not None],
        "errors": [{"media": row["media"], "reason": row["reason"]} for row in summary if row["status"] == "error"],
    }
