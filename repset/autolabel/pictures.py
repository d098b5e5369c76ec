"""What people look at after a job: videos with labels drawn in, angle charts, and pictures sorted by verdict.

    overlay/<media>.mp4                                    the video, with everything known drawn in
    plot/<media>-set1.png                                  angles over a set, repetitions, limits, what was measured
    frames/<verdict>/<media>-set1-rep2-turn.jpg            the turn of each repetition
    frames/incorrect/<media>-set1-rep2-lockout.jpg         the frame in which the rule `lockout` was broken
    frames/<verdict>/<media>.jpg                           of a picture: itself

Sets and repetitions count from 1 here, as people do; in the tables from 0.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from repset import angles
from repset.autolabel import form
from repset.autolabel.ruleset import ExerciseRules, Rule, RuleSet
from repset.autolabel.smooth import CleanTrack, clean
from repset.exercises import BY_NAME as EXERCISE
from repset.schema import PoseTrack
from repset.video import Image, write_video

if TYPE_CHECKING:
    from repset.autolabel.label import TrackLabels
    from repset.draw import ClipLabels

FOLDERS = ("overlay", "plot", "frames")
"""What this module writes into the folder of a job."""

_STILL = "one picture shows no repetition; a rule set of kind frame judges pictures"
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 92]


@dataclass(frozen=True)
class Labelled:
    """One clip or picture with its labels.

    Attributes:
        media: its name in summary.csv.
        still: it is one picture.
        exercise: shown where no set names one.
        min_visibility: a joint below it draws nothing.
    """

    media: str
    still: bool
    track: PoseTrack
    labels: "TrackLabels"
    rules: RuleSet
    exercise: str
    min_visibility: float


def write_pictures(
    folder: Path, item: Labelled, images: Iterable[Image], *, overlay: bool, frames: bool, fps: float
) -> None:
    """Overlay and sorted frames of one item in a single pass over its images, in constant memory.

    Args:
        folder: of the job. images: frame t belongs to row t of the track.
        fps: of the overlay.
    """
    from repset.draw import ClipLabels

    exercise = "" if item.labels.sets else item.exercise
    clip = ClipLabels(
        item.track, item.labels.reps, item.labels.form, exercise, item.min_visibility, item.labels.sets
    )  # fmt: skip
    drawn = _draw(folder / "frames", item, clip, images, _wanted(item, clip) if frames else {}, overlay)
    if overlay and not item.still:
        name = item.media if item.media.lower().endswith(".mp4") else f"{item.media}.mp4"
        write_video(folder / "overlay" / name, drawn, fps)
    else:
        for _ in drawn:
            pass


Row = Mapping[str, Any]


def _wanted(item: Labelled, clip: "ClipLabels") -> dict[int, list[tuple[str, Row]]]:
    """Frame → names and verdicts of the pictures to take of it."""
    if item.still:
        reason = item.labels.reason if item.labels.status == "no_person" else _STILL
        verdict = clip.verdict_at(0) or {"verdict": "unscorable", "message": reason, "signal": None}
        return {0: [(item.media, verdict)]}
    wanted: dict[int, list[tuple[str, Row]]] = defaultdict(list)
    for rep in item.labels.reps:
        verdict = clip.verdict_of(rep) or {"verdict": "unscorable", "message": "", "signal": None}
        name = f"{item.media}-set{rep['set'] + 1}-rep{rep['rep'] + 1}"
        wanted[int(rep["turn"])].append((f"{name}-turn", verdict))
        for found in item.labels.findings.get((rep["set"], rep["rep"]), []):
            broken = found.verdict == form.INCORRECT and found.rule.id == verdict.get("rule_id")
            if broken and found.rule.phase != "turn" and found.frame >= 0:
                wanted[found.frame].append((f"{name}-{found.rule.id}", verdict))
    return wanted


def _draw(
    folder: Path, item: Labelled, clip: "ClipLabels", images: Iterable[Image],
    wanted: Mapping[int, list[tuple[str, Row]]], overlay: bool,
) -> Iterator[Image]:  # fmt: skip
    """Frames of the overlay; on the way, the wanted ones go to their folders."""
    from repset.draw import draw_overlay

    for t, image in enumerate(images):
        for name, verdict in wanted.get(t, ()):
            picture = image.copy()
            draw_overlay(picture, t, clip, verdict=verdict, still=item.still)
            path = folder / str(verdict["verdict"]) / f"{name}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".jpg", picture, _JPEG)[1].tobytes())
        if overlay:
            out = image.copy()
            draw_overlay(out, t, clip)
            yield out


def write_plots(folder: Path, item: Labelled) -> None:
    """One angle chart a set; none for a set that nothing could be counted or judged in."""
    from repset.charts import angle_chart

    if item.still or item.labels.status in ("no_person", "too_short"):
        return
    gated = clean(item.track, item.min_visibility)
    for one in item.labels.sets:
        if one["exercise"] not in EXERCISE:
            continue
        start, end = max(0, int(one["start"])), min(len(item.track.time_s), int(one["end"]))
        rules = item.rules.of(one["exercise"])
        rows = [row for row in item.labels.reps if row["set"] == one["set"]]
        judged = [row for row in item.labels.form if row["set"] == one["set"] and row["level"] == "rep"]
        verdicts = {int(row["rep"]): str(row["verdict"]) for row in judged}
        seen_from = str(judged[0]["view"]) if judged else item.labels.view
        part = gated.cut(start, end)
        found = [f for row in rows for f in item.labels.findings.get((one["set"], row["rep"]), [])]
        times = item.track.time_s
        counts = ", ".join(f"{list(verdicts.values()).count(v)} {v}" for v in dict.fromkeys(verdicts.values()))
        many = f"{len(rows)} repetition{'' if len(rows) == 1 else 's'}"
        about = f"{item.media} · view: {seen_from.replace('_', ' ')} · {many}{': ' if counts else ''}{counts}"
        angle_chart(
            times[start:end], _panels(one["exercise"], rules, part, seen_from, found, times), rows, verdicts,
            folder / "plot" / f"{item.media}-set{one['set'] + 1}.png",
            title=str(one["exercise"]).replace("_", " "), subtitle=about,
        )  # fmt: skip


def _panels(
    exercise: str, rules: ExerciseRules, part: CleanTrack, view: str, found: list[form.Finding], time_s: Any
) -> list[Any]:
    """The angle that is counted first, then every other angle that a rule asks for."""
    from repset.charts import Panel

    names = dict.fromkeys([EXERCISE[exercise].signal, *(rule.angle for rule in rules.rules)])
    panels: list[Any] = []
    for name in names:
        mine = [rule for rule in rules.rules if rule.angle == name]
        curves = {key: values for key, values in _curves(name, mine, part).items() if np.isfinite(values).any()}
        if not curves:
            continue
        points = [
            (float(time_s[f.frame]), f.value_deg, f.verdict) for f in found if f.rule.angle == name and f.frame >= 0
        ]
        limits = limit_lines(mine, view)
        if panels and not limits and not points:  # an angle that is not judged from this view
            continue
        panels.append(Panel(name.replace("_", " "), curves, limits, points if len(points) < 500 else ()))
    return panels


def _curves(name: str, rules: list[Rule], part: CleanTrack) -> dict[str, Any]:
    """What was judged, as it was judged; without a rule both sides as they are in the image."""
    curves: dict[str, Any] = {}
    for rule in rules:
        series = form.series(rule, part.track, part.scale_px)
        sides = [""] if len(series) == 1 else ["left ", "right "]
        curves |= {f"{side}{rule.measured}": values for side, values in zip(sides, series, strict=True)}
    if not curves:
        sided = [f"left_{name}", f"right_{name}"] if f"left_{name}" in angles.BY_NAME else [name]
        track = part.track
        for one in sided:
            curves[one.replace("_", " ")] = angles.evaluate(one, track.xy_px, track.skeleton, part.scale_px)
    return curves


def limit_lines(rules: list[Rule], view: str) -> list[tuple[float, str]]:
    """A panel's limits from a view, tolerance included: each line once, with the names of all rules that draw it."""
    named: dict[tuple[float, str], list[str]] = {}
    for rule in rules:
        if limit := rule.limit(view):
            for value, sign in zip(form.applied(limit, rule.tolerance_deg), ("≥", "≤"), strict=True):
                if value is not None and 0 < value < 180:
                    named.setdefault((value, sign), []).append(rule.id.replace("_", " "))
    return [(value, f"{', '.join(names)} {sign} {value:g}°") for (value, sign), names in named.items()]
