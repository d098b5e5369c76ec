"""For biomechanists: OpenSim's `.trc` (markers) and `.mot` (angles), and C3D.

Markers are in metres, in a frame with X towards the camera, Y up and Z to the left of the image (a person who faces the
camera looks along X and has Z to the right, as OpenSim has it): (X, Y, Z) = (-z, -y, -x) of the table's camera axes. It
is a rotation, so left stays left. The position of the table's origin (usually the middle of the hips) is kept, so the
body does not travel through the room.

Layout of `.trc` and `.mot`: OpenSim documentation, "Marker (.trc) Files" and "Motion (.mot) Files". The angles in
`.mot` are ours, in the image plane, interior (a straight joint has 180°); they are no coordinates of an OpenSim model.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from repset.angles import ANGLES, evaluate_all
from repset.errors import RepsetError
from repset.export.losses import Losses
from repset.export.selection import Selection, Track
from repset.landmarks import SKELETONS, JointState
from repset.records import write_text

LEAST_KNOWN = 0.5
"""Share of a clip's frames in which an angle is known, below which its column is left out rather than the frames."""

C3D_FRAMES = 65_535
"""C3D counts frames in 16 bits; beyond that readers differ."""


def write_trc(selection: Selection, folder: Path, losses: Losses) -> dict[str, int]:
    """One file a person and sample."""
    count = 0
    for name, track, rate in _solid(selection, losses):
        write_text(folder / f"{name}.trc", trc_text(track, rate, Path(name).name))
        count += 1
    return {"files": count}


def trc_text(track: Track, rate: float, name: str) -> str:
    """The file of one track; an unknown position is an empty cell."""
    joints = SKELETONS[track.skeleton].joints
    frames = len(track.frame)
    head = [
        f"PathFileType\t4\t(X/Y/Z)\t{name}.trc",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{rate:g}\t{rate:g}\t{frames}\t{len(joints)}\tm\t{rate:g}\t{int(track.frame[0]) + 1}\t{frames}",
        "Frame#\tTime\t" + "\t\t\t".join(joints) + "\t\t",
        "\t\t" + "\t".join(f"{axis}{number}" for number in range(1, len(joints) + 1) for axis in "XYZ"),
        "",
    ]
    cells = np.char.mod("%.9g", laboratory(track.xyz_m).reshape(frames, -1).astype(np.float64))
    cells[~np.isfinite(track.xyz_m).reshape(frames, -1)] = ""
    times = track.time_s.tolist()
    rows = [
        f"{frame + 1}\t{time:.6f}\t" + "\t".join(row)
        for frame, time, row in zip(track.frame.tolist(), times, cells, strict=True)
    ]
    return "\n".join(head + rows) + "\n"


def laboratory(xyz_m: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Camera axes (..., 3) to the laboratory's; applied twice it gives back what it was."""
    return np.asarray(xyz_m[..., ::-1] * np.float32(-1), np.float32) + np.float32(0)  # no negative zero


def write_c3d(selection: Selection, folder: Path, losses: Losses) -> dict[str, int]:
    """One file a person and sample, through the library c3d; an unknown position has residual -1."""
    import c3d

    count = 0
    for name, track, rate in _solid(selection, losses):
        if len(track.frame) > C3D_FRAMES:
            losses.add(f"samples of more than {C3D_FRAMES:,} frames")
            continue
        writer = c3d.Writer(point_rate=rate, point_scale=-1.0, point_units="m")
        writer.set_point_labels(list(SKELETONS[track.skeleton].joints))
        writer.set_start_frame(int(track.frame[0]) + 1)
        writer.set_screen_axis("-Z", "+Y")  # image right, image up
        known = np.isfinite(track.xyz_m).all(axis=-1)
        points = np.zeros((*known.shape, 5), np.float32)
        points[..., :3] = np.where(known[..., None], laboratory(track.xyz_m), 0)
        points[..., 3] = np.where(known, 0, -1)
        writer.add_frames([(frame, np.zeros((0, 0))) for frame in points])
        path = folder / f"{name}.c3d"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as handle, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "No analog data found in file": there is none
            writer.write(handle)
        count += 1
    return {"files": count}


def _solid(selection: Selection, losses: Losses) -> Iterator[tuple[str, Track, float]]:
    """File name, track with every frame from first to last, and frame rate."""
    count = 0
    for track in selection.tracks(solid=True):
        rate = track.sample["fps"]
        if not rate:
            losses.add("poses of samples without a frame rate (images)", len(track.frame))
            continue
        count += 1
        losses.add("pixel positions of joints", int(np.isfinite(track.xy_px).all(axis=-1).sum()))
        losses.add("visibility and state of joints", int((track.state != JointState.ABSENT).sum()))
        yield _name(selection, track), _gapless(track, rate), rate
    if not count:
        todo = "Name others with --labels automatic, or export as coco-keypoints"
        raise RepsetError(
            f"{selection.source}: expected 3-D positions among the {selection.labels} poses of its clips, found none. "
            f"{todo}."
        )


def _name(selection: Selection, track: Track) -> str:
    several = f"_person{track.person}" if track.person else ""
    return f"{selection.native(track.sample['sample_id'])}{several}_{track.skeleton}"


def _gapless(track: Track, rate: float) -> Track:
    """Frames without a pose as rows of NaN: both formats count time by rows."""
    frame = np.arange(track.frame[0], track.frame[-1] + 1, dtype=np.int32)
    place = track.frame - track.frame[0]

    def spread(values: npt.NDArray[Any], empty: float) -> npt.NDArray[Any]:
        out = np.full((len(frame), *values.shape[1:]), empty, values.dtype)
        out[place] = values
        return out

    return Track(
        track.sample, track.person, track.skeleton, frame, frame / rate, spread(track.xy_px, np.nan),
        spread(track.visibility, np.nan), spread(track.state, JointState.ABSENT), spread(track.xyz_m, np.nan),
    )  # fmt: skip


# --- angles --------------------------------------------------------------------------------------------------------


def write_mot(selection: Selection, folder: Path, losses: Losses) -> dict[str, int]:
    """One file a person and sample: the automatic labels' own angles, else those of the poses chosen."""
    count = 0
    for track in selection.tracks(solid=False):
        rate = track.sample["fps"]
        if not rate:
            losses.add("poses of samples without a frame rate (images)", len(track.frame))
            continue
        whole = _gapless(track, rate)
        angles = _table_angles(selection, whole) if selection.labels == "automatic" else {}
        angles = angles or evaluate_all(whole.xy_px, whole.skeleton)
        angles, rows = _known(angles, losses)
        if not rows.any():
            losses.add("samples without a frame in which all angles are known")
            continue
        losses.add("positions of joints", int(np.isfinite(track.xy_px).all(axis=-1).sum()))
        kept = {name: values[rows] for name, values in angles.items()}
        write_text(folder / f"{_name(selection, track)}.mot", mot_text(whole.time_s[rows], kept))
        count += 1
    if not count:
        raise RepsetError(f"{selection.source}: expected poses of clips, found none. Export as coco-keypoints.")
    return {"files": count}


def _known(
    angles: dict[str, npt.NDArray[np.float32]], losses: Losses
) -> tuple[dict[str, npt.NDArray[np.float32]], npt.NDArray[np.bool_]]:
    """The angles known in most frames, and the frames (T,) in which all of these are.

    A `.mot` holds no unknown value: OpenSim 4.6's Storage passes over a row with one and says nothing.
    """
    kept = {name: values for name, values in angles.items() if np.isfinite(values).mean() >= LEAST_KNOWN}
    half = sum(np.isfinite(values).any() for name, values in angles.items() if name not in kept)
    losses.add("angles known in less than half of their clip's frames (left out)", int(half))
    rows = np.isfinite(np.stack(list(kept.values()))).all(axis=0) if kept else np.zeros(0, bool)
    losses.add("frames with an unknown angle (left out, the clock goes on)", int((~rows).sum()), of=len(rows))
    return kept, rows


def _table_angles(selection: Selection, track: Track) -> dict[str, npt.NDArray[np.float32]]:
    table = selection.angles(track.sample["sample_id"], track.person)
    angles: dict[str, npt.NDArray[np.float32]] = {}
    for angle in ANGLES if table.num_rows else ():
        rows = table.filter(pc.equal(table["name"], angle.name))
        frame = rows["frame"].to_numpy() - track.frame[0]
        inside = (frame >= 0) & (frame < len(track.frame))
        values = np.full(len(track.frame), np.nan, np.float32)
        values[frame[inside]] = rows["value_deg"].to_numpy()[inside]
        angles[angle.name] = values
    return angles


def mot_text(time_s: npt.NDArray[np.float64], angles: dict[str, npt.NDArray[np.float32]]) -> str:
    """The file of one track, in degrees."""
    head = [
        "interior_angles", "version=1", f"nRows={len(time_s)}", f"nColumns={len(angles) + 1}", "inDegrees=yes", "",
        "Interior angles in the image plane: 180 is straight. They are no coordinates of an OpenSim model.", "",
        "endheader", "\t".join(["time", *angles]),
    ]  # fmt: skip
    values = np.stack(list(angles.values()), axis=1).astype(np.float64)
    rows = [
        f"{time:.6f}\t" + "\t".join(f"{value:.9g}" for value in row)
        for time, row in zip(time_s.tolist(), values.tolist(), strict=True)
    ]
    return "\n".join(head + rows) + "\n"
