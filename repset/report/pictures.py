"""The report's pictures: photos with masks, frames with poses (truth beside automatic), clips, angle curves."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from repset.angles import evaluate
from repset.charts import Panel, angle_figure, figure_bytes
from repset.draw import (
    ClipLabels,
    body_size_px,
    draw_masks,
    draw_overlay,
    draw_skeleton,
    draw_tag,
    fit_image,
    overlay_frames,
)
from repset.draw.canvas import Image, text_px, text_size
from repset.exercises import BY_NAME as EXERCISE
from repset.records import read_rows
from repset.report.blocks import Clip, Figure, data_uri, jpeg_uri, picture
from repset.report.facts import Row, Source
from repset.schema import PoseTrack
from repset.video import decode_image, write_video

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Chart

CLIPS, PHOTOS, CURVES, STICKS = 6, 6, 4, 12
"""How many of each a source shows at most."""

LONG_PX, PHOTO_PX, CLIP_PX, CLIP_S, THUMB_PX = 560, 320, 480, 6.0, (240, 180)
"""Longer side of stills, photos and clips, seconds of a clip at most, a thumbnail: what keeps the page small."""


# --- which samples ------------------------------------------------------------------------------------------------


def chosen_clips(source: Source, limit: int = CLIPS) -> list[Row]:
    """One clip of each exercise: judged ones first, then by name; of each the first clip whose person was found."""
    clips = [row for row in source.samples if row["kind"] == "clip" and row["frames"]]
    clips = [row for row in clips if row["sample_id"] in source.posed] or clips
    first: dict[str, Row] = {}
    for row in clips:
        first.setdefault(exercise_of(row), row)
    for row in clips:  # a clip with a fault shows more than one without
        name = exercise_of(row)
        if "incorrect" in verdicts_of(source, row) and "incorrect" not in verdicts_of(source, first[name]):
            first[name] = row

    def order(name: str) -> tuple[bool, bool, str]:
        return not verdicts_of(source, first[name]) & {"correct", "incorrect"}, name not in EXERCISE, name

    return [first[name] for name in sorted(first, key=order)[:limit]]


def verdicts_of(source: Source, row: Row) -> set[str]:
    """The automatic verdicts on a clip's repetitions."""
    return {str(f["verdict"]) for f in source.form.get(row["sample_id"], []) if f["level"] == "rep"}


def exercise_of(row: Row) -> str:
    """Canonical name, else the set's own word."""
    return str(row["exercise"] or row["exercise_native"] or "exercise unknown")


def turn_frame(source: Source, row: Row, automatic: bool = True) -> int:
    """A frame worth seeing: the turn of the first repetition, else the middle of the clip."""
    reps = (source.reps if automatic else source.truth_reps).get(row["sample_id"]) or []
    reps = reps or source.truth_reps.get(row["sample_id"]) or []
    return int(reps[0]["turn"]) if reps else int(row["frames"]) // 2


# --- clips --------------------------------------------------------------------------------------------------------


def clip_still(source: Source, row: Row) -> Figure | None:
    """The set's own joints beside the automatic ones with angle, count and verdict, at a repetition's turn."""
    sample_id, name = row["sample_id"], exercise_of(row)
    t = turn_frame(source, row)
    image = source.image(row, t)
    if image is None:
        return None
    big, scale = fit_long(image, LONG_PX)
    sides, said = [], []
    truth = source.track(sample_id, automatic=False)
    if truth is not None and t < len(truth.time_s):
        placed, left = scaled_track(truth, scale, big), big.copy()
        body_px = body_size_px(placed)
        draw_skeleton(left, placed.xy_px[t], _seen(truth, t), truth.skeleton, min_visibility=0, body_px=body_px)
        sides.append(_named(left, "the set's own joints"))
        said.append("the joints given by the set")
    labelled = source.track(sample_id, automatic=True)
    if labelled is not None:
        right = big.copy()
        draw_overlay(right, t, clip_labels(source, row, scaled_track(labelled, scale, big)))
        sides.append(_named(right, "automatic"))
        said.append("the automatic skeleton with angle, repetition count and verdict")
    both = np.hstack(_spaced(sides or [big]))
    alt = f"Frame {t} of {sample_id} ({_plain(name)}): " + (" beside ".join(said) or "without labels")
    return picture(both, alt + ".", f"{_plain(name)} · {sample_id}, frame {t}{_verdicts(source, sample_id)}")


def clip_labels(source: Source, row: Row, track: PoseTrack) -> ClipLabels:
    """The automatic labels of a clip on a track of it."""
    sample_id = row["sample_id"]
    return ClipLabels(track, source.reps.get(sample_id, []), source.form.get(sample_id, []), exercise_of(row))


def _verdicts(source: Source, sample_id: str) -> str:
    judged = [row["verdict"] for row in source.form.get(sample_id, []) if row["level"] == "rep"]
    counts = ", ".join(f"{judged.count(v)} {v}" for v in ("correct", "incorrect", "unscorable") if v in judged)
    return f" · repetitions: {counts}" if counts else ""


def chosen_films(source: Source, limit: int) -> list[Row]:
    """Clips worth a film: one with a fault found, one that is all right, one with both, then others."""
    rows = [row for row in chosen_clips(source, len(source.samples)) if row["sample_id"] in source.posed]
    every = [row for row in source.samples if row["kind"] == "clip" and row["sample_id"] in source.posed]
    taken: list[Row] = []
    for wanted in ({"incorrect"}, {"correct"}, {"correct", "incorrect"}):
        names = {exercise_of(row) for row in taken}
        taken += [row for row in every if verdicts_of(source, row) == wanted and exercise_of(row) not in names][:1]
    taken += [row for row in rows if exercise_of(row) not in {exercise_of(t) for t in taken}]
    return taken[:limit]


def clip_film(source: Source, row: Row) -> Clip | None:
    """The automatic labels of one clip as a looping H.264 film of at most CLIP_S seconds."""
    sample_id, name = row["sample_id"], exercise_of(row)
    track = source.track(sample_id, automatic=True)
    first = source.image(row, 0)
    if track is None or first is None:
        return None
    fps = float(row["fps"] or track.fps)
    big, scale = fit_long(first, CLIP_PX)
    reps, form = source.reps.get(sample_id, []), source.form.get(sample_id, [])
    scaled, limit = scaled_track(track, scale, big), max(2, round(CLIP_S * fps))
    stills: list[Image] = []
    turn = min(turn_frame(source, row), limit - 1)

    def pictures() -> Iterator[Image]:
        source_images = (fit_long(image, CLIP_PX)[0] for n, image in enumerate(source.images(row)) if n < limit)
        for n, image in enumerate(overlay_frames(source_images, scaled, reps, form, name)):
            if n == turn:
                stills.append(image)
            yield image

    with tempfile.TemporaryDirectory() as folder:
        film = write_video(Path(folder) / "clip.mp4", pictures(), fps).read_bytes()
    alt = f"Film of {sample_id} ({_plain(name)}) with skeleton, angle, repetition counter and verdict."
    caption = f"{_plain(name)} · {sample_id}{_verdicts(source, sample_id)}"
    height, width = big.shape[0] // 2 * 2, big.shape[1] // 2 * 2
    return Clip(data_uri(film, "video/mp4"), jpeg_uri(stills[0] if stills else big), alt, caption, width, height)


def curves(source: Source, limit: int = CURVES) -> list[Figure]:
    """Angle curves of whole clips, or (of long workouts) of one set each."""
    stretches = [(row, exercise_of(row), 0, int(row["frames"])) for row in chosen_clips(source, limit)]
    samples = {row["sample_id"]: row for row in source.samples if row["kind"] == "poses"}
    seen: set[str] = set()
    for stretch in source.truth_sets:
        name, row = str(stretch["exercise"]), samples.get(stretch["sample_id"])
        if row is not None and name in EXERCISE and name not in seen and row["sample_id"] in source.reps:
            seen.add(name)
            stretches.append((row, name, int(stretch["start"]), int(stretch["end"])))
    found = (curve(source, *stretch) for stretch in stretches)
    return [figure for _, figure in zip(range(limit), (f for f in found if f is not None), strict=False)]


def curve(source: Source, row: Row, name: str, start: int, end: int) -> Figure | None:
    """`curve_figure` as a picture of the page."""
    made = curve_figure(source, row, name, start, end)
    if made is None:
        return None
    chart, alt, caption = made
    return Figure(data_uri(figure_bytes(chart, "png", 120), "image/png"), alt, caption, paper=True)


def curve_figure(source: Source, row: Row, name: str, start: int, end: int) -> "tuple[Chart, str, str] | None":
    """The counting angle over frames [start, end), automatic and given, with repetitions, verdicts and limits.

    Returns: the figure, its text alternative and its caption; None where no angle is known.
    """
    if name not in EXERCISE:
        return None
    sample_id, fps = row["sample_id"], float(row["fps"] or 0)
    angles = source.angles(sample_id, tuple(f"{side}_{EXERCISE[name].signal}" for side in ("left", "right")))
    angles = {key: values[start:end] for key, values in angles.items()}
    best = max(angles, key=lambda key: int(np.isfinite(angles[key]).sum()), default=None)
    if best is None or not fps or not np.isfinite(angles[best]).any():
        return None
    series = {f"{best} (automatic)": angles[best]}
    truth = source.track(sample_id, automatic=False) if row["kind"] == "clip" else None
    if truth is not None:
        series[f"{best} (the set's own)"] = evaluate(best, truth.xy_px, truth.skeleton)[start:end]
    series = {key: values for key, values in series.items() if np.isfinite(values).any()}
    steps = max((len(values) for values in series.values()), default=0)
    padded = {
        key: np.pad(values.astype(float), (0, steps - len(values)), constant_values=np.nan)
        for key, values in series.items()
    }
    reps = [rep for rep in source.reps.get(sample_id, []) if start <= rep["start"] < end]
    form = [f for f in source.form.get(sample_id, []) if start <= f["start"] < end]
    verdicts = {f["rep"]: f["verdict"] for f in form if f["level"] == "rep"}
    signals = {f["signal"]: f for f in form if f["signal"] and f["signal"] in best}
    limits = {(f[key], f"{word} {f[key]:g}°") for f in signals.values() for key, word in _LIMITS if f[key] is not None}
    panel = Panel(_plain(best), padded, sorted(limits))
    time_s = (start + np.arange(steps)) / fps
    figure = angle_figure(time_s, [panel], reps, verdicts, title=f"{_plain(name)} · {sample_id}")
    counted = f"{len(reps)} repetition{'' if len(reps) == 1 else 's'} counted"
    return figure, f"{_plain(best)} angle of {sample_id} over {steps / fps:.1f} s, {counted}.", counted


_LIMITS = (("low_deg", "≥"), ("high_deg", "≤"))


# --- photos -------------------------------------------------------------------------------------------------------


def chosen_photos(source: Source, limit: int = PHOTOS) -> list[tuple[Row, str, list[Row]]]:
    """(sample, variant, its masks), every class in turn, the largest masks of it first."""
    path = source.project.index(source.name) / "masks.parquet"
    if not path.is_file():
        return []
    by_photo: dict[tuple[str, str], list[Row]] = {}
    for row in read_rows(path, "masks"):
        by_photo.setdefault((row["sample_id"], row["variant"]), []).append(row)
    # The size of its PNG says how much a mask holds, without decoding hundreds of them.
    queues = {
        label: sorted(
            (key for key, rows in by_photo.items() if label in {row["label"] for row in rows}),
            key=lambda key: (-sum(len(row["png"]) for row in by_photo[key] if row["label"] == label), key),
        )
        for label in sorted({row["label"] for rows in by_photo.values() for row in rows})
    }
    samples = {row["sample_id"]: row for row in source.samples}
    taken: list[tuple[str, str]] = []
    while any(queues.values()) and len(taken) < limit:
        for queue in queues.values():
            seen = {sample_id for sample_id, _ in taken}
            while queue and queue[0][0] in seen:
                queue.pop(0)
            if queue and len(taken) < limit:
                taken.append(queue.pop(0))
    return [(samples[key[0]], key[1], by_photo[key]) for key in taken if key[0] in samples]


def photo_still(
    source: Source, row: Row, variant: str, masks: Sequence[Row], proposed: Mapping[str, bytes]
) -> Figure | None:
    """A photo, the set's masks on it, and (where there are any) the masks the bootstrap model proposed."""
    given = [(str(mask["label"]), bytes(mask["png"])) for mask in masks]
    labels = ", ".join(sorted({label for label, _ in given})) or "none"
    halves = [("as it came", []), ("the set's masks", given)] + (
        [("proposed", list(proposed.items()))] if proposed else []
    )
    sides = []
    for name, pairs in halves:
        image = masked_photo(source, row, variant, pairs, PHOTO_PX)
        if image is None:
            return None
        sides.append(_named(image, name))
    said = f"; proposed by the bootstrap model: {', '.join(sorted(proposed))}" if proposed else ""
    alt = f"Photo {row['sample_id']}; muscles marked by the set: {labels}{said}."
    return picture(np.hstack(_spaced(sides)), alt, f"{row['sample_id']} · {labels}")


def masked_photo(
    source: Source, row: Row, variant: str, masks: Sequence[tuple[str, bytes]], long_px: int
) -> Image | None:
    """One stored photo, its longer side at `long_px`, with masks given as (label, PNG); None where it is not stored."""
    rows = source.frames.rows(row["sample_id"]) if source.frames is not None else []
    stored = next((found for found in rows if found["variant"] == variant), None)
    if source.frames is None or stored is None:
        return None
    image, _ = fit_long(source.frames.image(stored), long_px)
    united: dict[str, Image] = {}
    for label, png in masks:  # several people's masks of one label are one
        mask = cv2.resize(decode_image(png, row["sample_id"]), (image.shape[1], image.shape[0]))[..., 0]
        inside = np.where(mask > 127, 255, 0).astype(np.uint8)
        united[label] = np.maximum(united[label], inside) if label in united else inside
    draw_masks(image, united)
    return image


def thumbnails(source: Source, limit: int = 12) -> list[Figure]:
    """What came in: photos, or first frames of clips, of different groups, evenly over the set."""
    rows, seen = [], set()
    for row in source.samples:
        key = (row["exercise_native"], row["group"]) if row["kind"] == "clip" else (row["group"],)
        if row["kind"] in ("clip", "image") and key not in seen:
            seen.add(key)
            rows.append(row)
    figures = []
    for row in (rows[n * len(rows) // limit] for n in range(limit)) if len(rows) > limit else rows:
        stored = source.frames.rows(row["sample_id"]) if source.frames is not None else []
        image = source.frames.image(stored[0]) if stored and source.frames else source.image(row, 0)
        if image is not None:
            native = str(row["sample_id"]).split("/", 1)[1]
            caption = _plain(exercise_of(row)) if row["kind"] == "clip" else native
            figures.append(picture(fit_image(image, *THUMB_PX), f"{row['sample_id']}, as it came.", caption))
    return figures


# --- poses alone --------------------------------------------------------------------------------------------------


def stick_figures(source: Source) -> list[Figure]:
    """Stick figures of a set without images: one of each exercise, at the turn of its signal within a set."""
    first: dict[str, Row] = {}
    for stretch in source.truth_sets:
        if stretch["exercise"] and stretch["exercise"] != "none":
            first.setdefault(str(stretch["exercise"]), stretch)
    figures, tracks = [], dict[str, PoseTrack | None]()
    for name in sorted(first)[:STICKS]:
        row = first[name]
        if row["sample_id"] not in tracks:
            tracks[row["sample_id"]] = source.track(row["sample_id"], automatic=False)
        track = tracks[row["sample_id"]]
        t = _extreme_frame(track, name, int(row["start"]), int(row["end"])) if track is not None else None
        if track is not None and t is not None:
            alt = f"Stick figure of {row['sample_id']} at frame {t}: {_plain(name)}."
            figures.append(picture(stick_figure(track, t), alt, _plain(name)))
    return figures


def stick_figure(track: PoseTrack, t: int, side_px: int = 320) -> Image:
    """One frame of a track on a dark square, scaled to fill it."""
    xy = track.xy_px[t]
    low, high = np.nanmin(xy, axis=0), np.nanmax(xy, axis=0)
    scale = 0.78 * side_px / max(float((high - low).max()), 1.0)
    placed = ((xy - (low + high) / 2) * scale + side_px / 2).astype(np.float32)
    canvas = np.full((side_px, side_px, 3), (54, 46, 42), np.uint8)
    draw_skeleton(canvas, placed, _seen(track, t), track.skeleton, min_visibility=0, body_px=0.78 * side_px)
    return canvas


def _extreme_frame(track: PoseTrack, exercise: str, start: int, end: int) -> int | None:
    """The frame of a set where its counting signal turns; the middle where that is unknown."""
    end = min(end, len(track.time_s))
    known = np.isfinite(track.xy_px[start:end]).all(-1).any(-1)
    if not known.any():
        return None
    if exercise in EXERCISE:
        signal = EXERCISE[exercise].signal
        values = evaluate(f"left_{signal}", track.xy_px[start:end], track.skeleton)
        if np.isfinite(values).any():
            pick = np.nanargmin if EXERCISE[exercise].effort == "min" else np.nanargmax
            return start + int(pick(values))
    return start + int(np.flatnonzero(known)[known.sum() // 2])


# --- how ----------------------------------------------------------------------------------------------------------


def fit_long(image: Image, long_px: int) -> tuple[Image, float]:
    """The image with its longer side at `long_px`, and the scale."""
    scale = long_px / max(image.shape[:2])
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8), scale


def scaled_track(track: PoseTrack, scale: float, image: Image) -> PoseTrack:
    """The track on an image that `fit_long` scaled."""
    return replace(track, xy_px=(track.xy_px * scale).astype(np.float32), width=image.shape[1], height=image.shape[0])


def _seen(track: PoseTrack, t: int) -> Any:
    """Visibility of a given pose; joints a set calls hidden are drawn hollow, not left out."""
    return np.nan_to_num(track.visibility[t], nan=1.0)


def _named(image: Image, text: str) -> Image:
    """A tag with the name of a half of a picture at its top right."""
    size = text_px(image)
    draw_tag(image, text, image.shape[1] - text_size(text, size, bold=True)[0] - 0.7 * size, size / 2, size)
    return image


def _spaced(images: Sequence[Image], gap_px: int = 6) -> list[Image]:
    """The images with a white line between them."""
    out: list[Image] = []
    for image in images:
        out += [np.full((image.shape[0], gap_px, 3), 255, np.uint8), image]
    return out[1:]


def _plain(name: str) -> str:
    return name.replace("_", " ")
