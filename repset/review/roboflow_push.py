"""Sends images with their masks to a Roboflow project through Roboflow's own package, run apart with a time limit.

The process that talks to Roboflow writes each finished image into a record (.repset/roboflow/<source>.jsonl) before it
goes on, so a push that was stopped goes on where it was: an image with the same pixels and polygons is not sent again.
Without the record everything is sent again, and the server says that it has it (`duplicate`, `already annotated`).
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repset.errors import ConfigError, RepsetError
from repset.project import Project
from repset.review.roboflow_plan import PushImage
from repset.sources.roboflow import KEY, environment, explain, read_key, scrub

SILENCE_S = 600.0
"""An upload may take 300 s, an annotation 60 s (the package's own limits): a longer silence is no answer."""
TRIES = 3
_AGAIN = (408, 429, 500, 502, 503, 504)
_WAY_OUT = "Look without sending: repset roboflow push SOURCE --dry-run"

STATES = ("sent", "known, annotated", "already annotated", "failed")
"""new image and annotation; image was there, annotation is new; the server kept its own annotation; neither."""


@dataclass(frozen=True)
class Pushed:
    """How a push ended.

    Attributes:
        states: how many images of each of STATES; before: how many an earlier push had sent.
        refused: (image, reason) of those that failed, and (image, 'already annotated').
    """

    states: Counter[str]
    before: int
    refused: list[tuple[str, str]]


def record_path(project: Project, source: str) -> Path:
    """Where it is noted what has been sent."""
    return project.cache / "roboflow" / f"{source}.jsonl"


def sent_before(path: Path, to: str) -> dict[str, str]:
    """key → digest of what a project has got; a line that was cut off by a kill is left out."""
    sent: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            row = json.loads(line)
            if row["to"] == to and row["state"] in ("sent", "known, annotated"):
                sent[str(row["key"])] = str(row["digest"])
        except (ValueError, KeyError, TypeError):
            continue
    return sent


def push_images(
    project: Project,
    source: str,
    to: str,
    images: Iterable[PushImage],
    batch: str,
    overwrite: bool,
    meter: Callable[[int, int], None],
    silence_s: float = SILENCE_S,
) -> Pushed:
    """Send what has not been sent yet.

    Args:
        to: `workspace/project`; batch: name under which Roboflow lists the images.
        overwrite: put the annotation in the place of one that is there.
        meter: told how many are done and how many there are.
    Raises: ConfigError for another spelling of `to`; MissingExtraError; RepsetError without a key, or where Roboflow
        cannot be reached, refuses the key, or falls silent. What was sent stays noted.
    """
    if to.count("/") != 1 or not all(to.split("/")):
        raise ConfigError(f"{to}: expected workspace/project. Mend --to.")
    key = read_key(f"roboflow:{to}", _WAY_OUT)
    record = record_path(project, source)
    record.parent.mkdir(parents=True, exist_ok=True)
    _end_line(record)
    known, before, jobs = sent_before(record, to), 0, 0
    start = record.stat().st_size if record.is_file() else 0
    with tempfile.TemporaryDirectory(prefix="repset.") as scratch:
        folder = Path(scratch)
        with (folder / "jobs.jsonl").open("w", encoding="utf-8") as handle:
            for image in images:
                if known.get(image.key) == image.digest:
                    before += 1
                    continue
                handle.write(json.dumps(_job(folder, jobs, image)) + "\n")
                jobs += 1
        if jobs:
            settings = dict(to=to, batch=batch, overwrite=overwrite, record=str(record.resolve()))
            (folder / "settings.json").write_text(json.dumps(settings))
            _watch(folder, record, start, jobs, meter, silence_s, key, to)
    rows = [json.loads(line) for line in record.read_bytes()[start:].splitlines()] if jobs else []
    refused = [(row["key"], row["reason"]) for row in rows if row["reason"]]
    return Pushed(Counter(row["state"] for row in rows), before, refused)


def _end_line(record: Path) -> None:
    """A kill may have cut the last line: begin a new one behind it."""
    if record.is_file() and record.stat().st_size and record.read_bytes()[-1:] != b"\n":
        with record.open("ab") as handle:
            handle.write(b"\n")


def _job(folder: Path, number: int, image: PushImage) -> dict[str, str]:
    """Put an image where the package can read it; each in a folder of its own, since its file name is sent."""
    place = folder / f"{number:06d}"
    place.mkdir()
    (place / image.name).write_bytes(image.data)
    annotation = place / f"{Path(image.name).stem}.coco.json"
    annotation.write_text(image.annotation, encoding="utf-8")
    return dict(key=image.key, digest=image.digest, split=image.split, image=str(place / image.name),
                annotation=str(annotation))  # fmt: skip


def _watch(
    folder: Path,
    record: Path,
    start: int,
    jobs: int,
    meter: Callable[[int, int], None],
    silence_s: float,
    key: str,
    to: str,
) -> None:
    """Run the process that sends, as long as it keeps noting results. Raises: RepsetError."""
    errors = folder / "said.txt"
    command = [sys.executable, "-P", "-m", "repset.review.roboflow_push", str(folder)]
    with errors.open("wb") as said, subprocess.Popen(
        command, cwd=folder, env=environment(folder), stdout=subprocess.DEVNULL, stderr=said, start_new_session=True
    ) as child:  # fmt: skip
        size, since, status = start, time.monotonic(), None
        try:
            while (status := child.poll()) is None and time.monotonic() - since < silence_s:
                time.sleep(0.05)
                now = record.stat().st_size if record.is_file() else 0
                if now != size:
                    size, since = now, time.monotonic()
                    meter(record.read_bytes()[start:].count(b"\n"), jobs)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
    if status == 0:
        return
    text = scrub(errors.read_text("utf-8", "replace"), key)
    reason = f"no answer within {silence_s:.0f} s" if status is None else explain(text)
    kept = "What was sent is noted; run the same command again to go on"
    raise RepsetError(f"roboflow:{to}: expected every image to be taken, found {reason}. {kept}.")


# --- the child process: everything that Roboflow's package does happens here ------------------------------------


def main(folder: Path) -> None:
    """Send the jobs of a folder, one line into the record for each."""
    import roboflow

    settings = json.loads((folder / "settings.json").read_text())
    workspace, name = settings["to"].split("/")
    project = roboflow.Roboflow(api_key=os.environ[KEY]).workspace(workspace).project(name)
    with Path(settings["record"]).open("a", encoding="utf-8") as record, (folder / "jobs.jsonl").open() as jobs:
        for line in jobs:
            job = json.loads(line)
            row = {"key": job["key"], "digest": job["digest"], "to": settings["to"]} | _send(project, job, settings)
            record.write(scrub(json.dumps(row), os.environ[KEY]) + "\n")
            record.flush()
            os.fsync(record.fileno())


def _send(project: Any, job: dict[str, str], settings: dict[str, Any]) -> dict[str, str]:
    """State, image id and reason of one image. Raises: what no other image would fare better with."""
    from roboflow.adapters.rfapi import AnnotationSaveError, ImageUploadError

    for attempt in range(TRIES):
        try:
            answer = project.single_upload(
                image_path=job["image"],
                annotation_path=job["annotation"],
                split=job["split"],
                batch_name=settings["batch"],
                annotation_overwrite=settings["overwrite"],
            )
        except (ImageUploadError, AnnotationSaveError) as error:
            status = getattr(error, "status_code", None)
            if status in (401, 403):
                raise
            if (status is None or status in _AGAIN) and attempt + 1 < TRIES:
                time.sleep(2**attempt)
                continue
            if status is None or status in _AGAIN:
                raise
            return {"state": "failed", "image_id": "", "reason": " ".join(str(error).split())[:200]}
        break
    image_id = str(answer["image"].get("id", ""))
    if (answer["annotation"] or {}).get("warn"):
        return {"state": "already annotated", "image_id": image_id, "reason": "already annotated"}
    state = "known, annotated" if answer["image"].get("duplicate") else "sent"
    return {"state": state, "image_id": image_id, "reason": ""}


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except BaseException as error:
        sys.stderr.write(f"\n{type(error).__name__}: {' '.join(str(error).split())}\n")
        sys.exit(1)
