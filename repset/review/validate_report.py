"""The answer to "may I trust it on my camera": as lines, as JSON, and as one page with every picture inside."""

import base64
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from statistics import fmean, median
from typing import Any

import cv2
import jinja2
import numpy as np

from repset.review.validate_desk import media_path
from repset.review.validate_score import (
    FEWEST,
    SHARE,
    SURE,
    TOO_FEW,
    TRUSTED,
    WIDER,
    AngleCell,
    Count,
    RuleRow,
    Seen,
    Threshold,
    Trust,
    angle_cells,
    joint_cells,
    threshold,
    trust,
)

WORST = 6
PICTURE_PX = 480
_BONES = (("shoulder", "elbow"), ("elbow", "wrist"), ("shoulder", "hip"), ("hip", "knee"), ("knee", "ankle"))
_MINE, _FOUND = (255, 255, 255), (0, 130, 240)  # blue, green, red

Row = dict[str, Any]


@dataclass(frozen=True)
class Findings:
    """Everything that the answers say.

    Attributes:
        asked: frames and clips that were picked.
        min_visibility: with which the labeller ran.
    """

    frames: list[Seen]
    counts: list[Count]
    angles: list[AngleCell]
    joints: list[AngleCell]
    rules: list[Trust]
    threshold: Threshold | None
    asked: tuple[int, int]
    min_visibility: float


def findings(
    frames: list[Seen], counts: list[Count], rules: Sequence[RuleRow], asked: tuple[int, int], min_visibility: float
) -> Findings:
    """All numbers at once."""
    cells = angle_cells(frames)
    return Findings(
        frames, counts, cells, joint_cells(frames), trust(rules, cells), threshold(frames), asked, min_visibility
    )


def as_json(found: Findings) -> Row:
    """JSON-ready; NaN becomes null."""
    return {
        "frames": {"labelled": len(found.frames), "asked": found.asked[0]},
        "clips": {"labelled": len(found.counts), "asked": found.asked[1]},
        "angles": [_plain(asdict(cell)) for cell in found.angles],
        "joints": [_plain({k: v for k, v in asdict(cell).items() if k != "bias"}) for cell in found.joints],
        "rules": [_plain({**asdict(one), **asdict(one.rule)}) for one in found.rules],
        "visibility": None if found.threshold is None else _plain(asdict(found.threshold)),
        "counts": [
            {"media": one.pick.sample_id, "start_s": one.pick.start_s, "end_s": one.pick.end_s, "you": one.mine,
             "labeller": one.pick.counted, "exercise": one.does, "recognised": one.pick.exercise}
            for one in found.counts
        ],
    }  # fmt: skip


def _plain(row: Row) -> Row:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else round(v, 3) if isinstance(v, float) else v
            for k, v in row.items()}  # fmt: skip


def as_text(found: Findings) -> str:
    """A few lines for the terminal."""
    lines = [
        f"{len(found.frames)} of {found.asked[0]} frames and {len(found.counts)} of {found.asked[1]} clips labelled"
    ]
    lines.append("angle error (median, and within which nine in ten lie):")
    lines += [f"  {_word(c.name):11} {_word(c.view):14} {c.median:5.1f}°  {c.p90:5.1f}°  {c.n} ×, bias {c.bias:+.1f}°"
              for c in found.angles if c.n]  # fmt: skip
    lines += [counting(found.counts), naming(found.counts)]
    lines.append("rules:")
    lines += [
        f"  {_word(t.rule.exercise)}: {_word(t.rule.rule)}, {_word(t.rule.view)}: {_trusted(t)}" for t in found.rules
    ]
    if not found.rules:
        lines.append("  the rule set has none for what was seen")
    lines.append(threshold_words(found))
    return "\n".join(lines)


def _trusted(one: Trust) -> str:
    """How far a rule may be trusted, in words."""
    if one.word == TOO_FEW:
        return f"{TOO_FEW} ({one.n})"
    if one.word == TRUSTED:
        return f"{TRUSTED} (tolerance {one.rule.tolerance_deg:g}°, needed {one.needed_deg}°)"
    if one.word == WIDER:
        return f"only with tolerance_deg {one.needed_deg} in place of {one.rule.tolerance_deg:g}"
    return f"{one.word}: nine in ten frames lie within {one.p90_deg:.0f}° only, it grants {one.rule.tolerance_deg:g}°"


def counting(counts: Sequence[Count]) -> str:
    """The count error in one sentence."""
    if not counts:
        return "repetitions: no clip was counted"
    errors = [one.error for one in counts]
    exact, near = sum(error == 0 for error in errors), sum(abs(error) <= 1 for error in errors)
    size = fmean(abs(error) for error in errors)
    return (f"repetitions: {exact} of {len(counts)} clips counted exactly, {near} within one; on average off by "
            f"{size:.1f}, {_lean(fmean(errors))}")  # fmt: skip


def naming(counts: Sequence[Count]) -> str:
    """How often the exercise was recognised, in one sentence."""
    named = [one for one in counts if one.does is not None]
    if not named:
        return "exercises: none was named"
    right = sum(one.does == one.pick.exercise for one in named)
    wrong = sorted({f"{_word(str(one.does))} for {_word(one.pick.exercise)}" for one in named
                    if one.does != one.pick.exercise})  # fmt: skip
    return f"exercises: {right} of {len(named)} recognised" + (f"; it was {', '.join(wrong)}" if wrong else "")


def _lean(bias: float) -> str:
    if abs(bias) < 0.05:
        return "to neither side"
    return f"{abs(bias):.1f} too {'many' if bias > 0 else 'few'}"


def threshold_words(found: Findings) -> str:
    """The recalibrated visibility in one sentence."""
    one = found.threshold
    if one is None:
        return "visibility: too few joints were placed to say from which visibility they may be taken"
    near = f"within {SHARE:.0%} of the trunk's length"
    if one.visibility is None:
        return (f"visibility: {one.right:.0%} of {one.joints} joints lie {near}; no threshold brings that to "
                f"{SURE:.0%}, so joints of this camera should be looked at")  # fmt: skip
    same = "as it ran" if one.visibility == found.min_visibility else f"it ran with {found.min_visibility:g}"
    return (f"visibility: with --min-visibility {one.visibility:g} ({same}) {one.right:.0%} of the joints lie {near}; "
            f"{one.kept:.0%} of {one.joints} are kept")  # fmt: skip


# --- the page --------------------------------------------------------------------------------------------------------


def page(found: Findings, name: str, out: Path, css: str) -> str:
    """One HTML page without outside requests.

    Args:
        name: of what was looked at. out: where the validation lies, with the frames. css: the report's own.
    """
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = files("repset.review").joinpath("validate_page", "report.html").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        name=name,
        css=css,
        lead=f"{len(found.frames)} frames and {len(found.counts)} clips that you labelled, against what the labeller "
        "says of the same ones. It holds for this camera, this place and these people.",
        cards=_cards(found),
        rules=[_rule_row(one) for one in found.rules],
        angles=[[_word(c.name), _word(c.view), str(c.n), _deg(c.median), _deg(c.p90), _deg(c.bias, True), str(c.missed)]
                for c in found.angles],
        joints=[[_word(c.name), _word(c.view), str(c.n), _share(c.median), _share(c.p90), str(c.missed)]
                for c in found.joints],
        threshold=_sentence(threshold_words(found)),
        counting=f"{_sentence(counting(found.counts))} {_sentence(naming(found.counts))}",
        counts=[[f"{one.pick.sample_id}, {one.pick.start_s:.0f}–{one.pick.end_s:.0f} s",
                 f"{_word(one.pick.exercise)}, {_word(one.pick.view)}", str(one.mine), str(one.pick.counted),
                 f"{one.error:+d}" if one.error else "0"] for one in found.counts],
        pictures=_pictures(found.frames, out),
        footer="Angles are those of the picture: what points at the camera is shortened for you and labeller alike.",
    )  # fmt: skip


def _cards(found: Findings) -> list[tuple[str, str, str]]:
    measured = [cell for cell in found.angles if cell.n >= FEWEST]
    errors = [abs(frame.angles[name] - own) for frame in found.frames for name, own in frame.own_angles().items()
              if math.isfinite(own) and math.isfinite(frame.angles.get(name, math.nan))]  # fmt: skip
    exact = sum(one.error == 0 for one in found.counts)
    trusted = sum(one.word == TRUSTED for one in found.rules)
    about = f"{len(errors)} angles in {len(found.frames)} frames"
    return [
        (f"{median(errors):.1f}°" if errors else "–", "median angle error", about),
        (_deg(max((c.median for c in measured), default=math.nan)), "worst angle of a view", _worst(measured)),
        (f"{exact} of {len(found.counts)}", "clips counted exactly", ""),
        (f"{trusted} of {len(found.rules)}", "rules trusted as they are", ""),
    ]  # fmt: skip


def _worst(cells: Sequence[AngleCell]) -> str:
    worst = max(cells, key=lambda cell: (cell.median, cell.name), default=None)
    return f"{_word(worst.name)}, {_word(worst.view)}" if worst else ""


def _rule_row(one: Trust) -> list[str]:
    name = f"{_word(one.rule.exercise)}: {_word(one.rule.rule)} ({_word(one.rule.angle)})"
    needed = "–" if one.needed_deg is None else f"{one.needed_deg}°"
    words = [f"{one.rule.tolerance_deg:g}°", f"{needed}, {one.word}" if one.needed_deg is not None else one.word]
    return [name, _word(one.rule.view), str(one.n), _deg(one.p90_deg), *words]


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _word(name: str) -> str:
    return name.replace("_", " ")


def _deg(value: float, signed: bool = False) -> str:
    return "–" if not math.isfinite(value) else f"{value:+.1f}°" if signed else f"{value:.1f}°"


def _share(value: float) -> str:
    return "–" if not math.isfinite(value) else f"{100 * value:.0f} %"


def _pictures(frames: Sequence[Seen], out: Path) -> list[Row]:
    """The frames with the largest mean distance, both bodies drawn in."""
    ranked = sorted(
        ((_distance(one), one.pick.id, one) for one in frames if math.isfinite(_distance(one))), reverse=True
    )
    found = []
    for distance, _, one in ranked[:WORST]:
        path = media_path(out, one.pick)
        if (image := cv2.imread(str(path))) is None:
            continue
        left, top = one.pick.box[:2]
        scale = PICTURE_PX / max(image.shape[:2])
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        for points, colour in ((one.mine, _MINE), (one.found, _FOUND)):
            placed = {
                name: ((at[0] - left) * scale, (at[1] - top) * scale) for name, at in points.items() if at is not None
            }
            _draw(image, placed, colour)
        data = base64.b64encode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()).decode()
        caption = f"{one.pick.sample_id}, frame {one.pick.frame} ({_word(one.pick.phase)}, {_word(one.pick.view)}): " \
                  f"{100 * distance:.0f} % of the trunk apart on average"  # fmt: skip
        found.append({"src": f"data:image/jpeg;base64,{data}", "alt": caption, "caption": caption,
                      "width": image.shape[1], "height": image.shape[0]})  # fmt: skip
    return found


def _distance(one: Seen) -> float:
    """Mean distance of the joints both have, in shares of the trunk; NaN without any."""
    pairs = [(at, one.found[name]) for name, at in one.mine.items() if at is not None and name in one.found]
    apart = [float(np.hypot(*np.subtract(a, b))) / one.torso_px for a, b in pairs]
    return fmean(apart) if apart else math.nan


def _draw(image: Any, points: dict[str, tuple[float, float]], colour: tuple[int, int, int]) -> None:
    place = {name: (round(x * 16), round(y * 16)) for name, (x, y) in points.items()}
    for dark in (True, False):  # a dark line below, so that white shows on white
        for side in ("left", "right"):
            for a, b in _BONES:
                if f"{side}_{a}" in place and f"{side}_{b}" in place:
                    ends = place[f"{side}_{a}"], place[f"{side}_{b}"]
                    cv2.line(image, *ends, (20, 20, 20) if dark else colour, 4 if dark else 2, cv2.LINE_AA, 4)
    for at in place.values():
        cv2.circle(image, at, 64, (20, 20, 20), -1, cv2.LINE_AA, 4)
        cv2.circle(image, at, 48, colour, -1, cv2.LINE_AA, 4)
