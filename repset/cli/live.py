"""`repset live`."""

import webbrowser
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import chain
from typing import TYPE_CHECKING

import click
import cv2
import numpy as np

from repset.draw.overlay import measurement
from repset.video import Image

if TYPE_CHECKING:
    from repset.autolabel.live import LiveRep, LiveSet

LONGEST = 1280


@click.command("live")
@click.argument("source", default="0")
@click.option("--exercise", default="auto", show_default=True, help="What is done; auto recognises it.")
@click.option("--rules", default="default", show_default=True, help="Rule set by name, or a YAML file of your own.")
@click.option("--model", default="full", show_default=True, help="Pose model: full, or a .task file.")
@click.option("--min-visibility", type=click.FloatRange(0, 1), default=0.5, show_default=True,
              help="A joint seen less clearly is unknown.")  # fmt: skip
@click.option(
    "--mirror/--no-mirror", default=None, help="Show the mirror image.  [default: of a camera, not of a file]"
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of the page.  [default: a free one]")
@click.option("--no-browser", is_flag=True, help="Open no browser; the page's address is printed.")
def command(
    source: str, exercise: str, rules: str, model: str, min_visibility: float, mirror: bool | None, port: int,
    no_browser: bool,
) -> None:  # fmt: skip
    """Count and judge repetitions in front of a camera, as they are done.

    SOURCE: the number of a camera (0 is the first), or a video file, which plays at its own pace. A page on this
    machine shows skeleton, angle, counter and verdict, a camera's picture as a mirror would; each repetition is a line
    in the terminal, and Ctrl-C ends with a line for each set. Nothing is stored or sent anywhere. Frames that come
    while one is worked on are left out.

    \b
    Example:
        repset live
        repset live 1 --exercise squat --no-mirror
        repset live my_videos/squat.mp4 --no-browser
    """
    from repset.autolabel.job import exercise_of
    from repset.autolabel.live import LiveLabeller
    from repset.autolabel.ruleset import load_rules
    from repset.review.live_page import LivePage
    from repset.stream import open_stream

    known, rule_set = exercise_of(exercise), load_rules(rules)
    mirrored = source.isdecimal() if mirror is None else mirror
    with ExitStack() as stack:
        frames = stack.enter_context(open_stream(source))
        first = next(frames)  # what may be wrong shows before a page is opened
        picture = _fitted(first[1])
        labeller = LiveLabeller((picture.shape[1], picture.shape[0]), rule_set, known, min_visibility, model)
        page = LivePage(port)
        stack.callback(page.server_close)
        click.echo(f"Open: {page.url}  (Ctrl-C ends)")
        labeller.draw(picture, mirrored)
        page.show(picture)
        if not no_browser:
            webbrowser.open(page.url)
        shown, last_s = 0, 0.0
        try:
            for time_s, whole in chain([first], frames):
                picture = _fitted(whole)
                _say(labeller.push(time_s, picture))
                labeller.draw(picture, mirrored)
                page.show(picture)
                shown, last_s = shown + 1, time_s
        except KeyboardInterrupt:
            click.echo()
        finally:  # also where a camera was unplugged, which is said after this
            _say(labeller.close())
            _say_sets(labeller.sets, known is None)
            click.echo(f"{shown} picture{'s' * (shown != 1)}, {shown / last_s if last_s else 0:.0f} a second")


def _fitted(image: Image) -> Image:
    """A copy, at most LONGEST pixels long: the pose needs no more, and the page neither."""
    factor = min(1.0, LONGEST / max(image.shape[:2]))
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)


def _say(reps: Sequence["LiveRep"]) -> None:
    """A line a repetition."""
    for rep in reps:
        row = rep.judged or {}
        message = "" if rep.verdict == "correct" else str(row.get("message") or "").rstrip(".")
        why = "; ".join(filter(None, (message, measurement(row))))
        name = f"{rep.exercise.replace('_', ' ')} {rep.number}"
        click.echo(f"{rep.end_s:7.1f} s  {name}: {rep.verdict}{f' ({why})' if why else ''}")


def _say_sets(sets: Sequence["LiveSet"], recognised: bool) -> None:
    """A line a set in which something was counted."""
    counted = [done for done in sets if done.reps]
    for done in counted:
        said = Counter(rep.verdict for rep in done.reps)
        parts = ", ".join(f"{said[verdict]} {verdict}" for verdict in ("correct", "incorrect", "unscorable"))
        name, count = done.exercise.replace("_", " "), len(done.reps)
        times = f"{done.start_s:.0f} to {done.end_s:.0f} s"
        click.echo(f"{name}, {times}: {count} repetition{'s' * (count != 1)}, {parts}")
    if not counted:
        click.echo("no repetition was seen" + ("; name what is done: --exercise squat" if recognised else ""))
