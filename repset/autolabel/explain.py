"""Why a clip got its verdicts: every rule on every repetition, with the frame, the value and what would flip it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from repset.autolabel.form import CORRECT, INCORRECT, Finding
from repset.autolabel.label import TrackLabels, label_track
from repset.autolabel.measured_error import AngleError
from repset.autolabel.ruleset import RuleSet, load_rules
from repset.errors import RepsetError
from repset.landmarks import SKELETONS, JointState
from repset.records import read_json, read_rows, read_table
from repset.schema import PoseTrack, Stretch

DEFAULT_VISIBILITY = 0.5  # MediaPipe's own gate


@dataclass(frozen=True)
class Explanation:
    """A clip judged again from its stored poses.

    Attributes:
        labels: sets, repetitions, verdicts and findings, as label_track gives them now.
        stored_sha256: hash of the rules that the stored verdicts were made with; None where there is no verdict.
    """

    track: PoseTrack
    labels: TrackLabels
    rules: RuleSet
    stored_sha256: str | None

    @property
    def rules_changed(self) -> bool:
        """Whether the stored verdicts come from other rules than these."""
        return self.stored_sha256 is not None and self.stored_sha256 != self.rules.sha256


def explain(
    labels: Path, sample_id: str, rules: str | None, min_visibility: float | None, index: Path | None = None
) -> Explanation:
    """Judge one labelled clip again.

    Args:
        labels: folder of `repset autolabel`. index: of the source, for clips that came as poses.
        rules: name or file of a rule set; None: the one its verdicts name.
        min_visibility: as label_track takes it; None: the one the folder was labelled with.
    Raises: RepsetError if the folder has no such clip.
    """
    sample_id = stored_name(labels, sample_id)
    sets = read_rows(labels / "sets.parquet", "sets", filters=[("sample_id", "==", sample_id)])
    form = read_rows(
        labels / "form.parquet", "form", ["rule_set", "rules_sha256"], filters=[("sample_id", "==", sample_id)]
    )
    track = stored_track(labels, sample_id) or (stored_track(index, sample_id) if index else None)
    if track is None:
        names = sorted(set(read_table(labels / "poses.parquet", "poses", ["sample_id"])["sample_id"].to_pylist()))
        some = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
        raise RepsetError(
            f"{labels}: expected poses of {sample_id}, found those of {some or 'no clip'}. Name one of these."
        )
    loaded = load_rules(rules or (form[0]["rule_set"] if form else "default"))
    stretches = [Stretch(s["start"], s["end"], s["exercise"], s["exercise_p"], s["origin"]) for s in sets]
    least = stored_visibility(labels) if min_visibility is None else min_visibility
    result = label_track(sample_id, track, stretches, loaded, least)
    return Explanation(track, result, loaded, form[0]["rules_sha256"] if form else None)


def stored_name(labels: Path, wanted: str) -> str:
    """The clip of a folder of labels that is meant: a job elsewhere named the same file by a shorter or longer path.

    `wanted` itself where no clip, or more than one, ends in the same parts of a path.
    """
    table = read_table(labels / "sets.parquet", "sets", ["sample_id"])
    names, parts = set(table["sample_id"].to_pylist()), Path(wanted).parts
    alike = [name for name in names if _same_end(Path(name).parts, parts)]
    return wanted if wanted in names or len(alike) != 1 else alike[0]


def _same_end(a: tuple[str, ...], b: tuple[str, ...]) -> bool:
    parts = min(len(a), len(b))
    return a[-parts:] == b[-parts:]


def stored_visibility(labels: Path) -> float:
    """The visibility below which a joint was unknown when a folder was labelled, from its job.json or report.json."""
    for name in ("job.json", "report.json"):
        if (labels / name).is_file():
            return float(read_json(labels / name).get("min_visibility", DEFAULT_VISIBILITY))
    return DEFAULT_VISIBILITY


def stored_track(folder: Path, sample_id: str) -> PoseTrack | None:
    """Person 0 of a clip from a folder's `poses`, or None; joints outside the picture count as unseen."""
    return stored_tracks(folder, [sample_id]).get(sample_id)


def stored_tracks(folder: Path, sample_ids: Sequence[str]) -> dict[str, PoseTrack]:
    """`stored_track` of many clips, the table read once; clips without poses are left out."""
    wanted = [("sample_id", "in", list(sample_ids)), ("person", "==", 0)]
    table = read_table(folder / "poses.parquet", "poses", filters=wanted)
    names = table["sample_id"].to_numpy(zero_copy_only=False)
    return {name: _track(table.take(np.flatnonzero(names == name))) for name in dict.fromkeys(names)}


def _track(rows: pa.Table) -> PoseTrack:
    """One person of one clip; frames without a row are NaN."""
    skeleton = rows["skeleton"][0].as_py()
    rows = rows.filter(pc.equal(rows["skeleton"], skeleton)).sort_by("frame")
    joints = len(SKELETONS[skeleton].joints)
    frames, times = rows["frame"].to_numpy(), rows["time_s"].to_numpy()
    count = int(frames[-1]) + 1
    xy = np.full((count, joints, 2), np.nan, np.float32)
    visibility = np.full((count, joints), np.nan, np.float32)
    xy[frames, :, 0], xy[frames, :, 1] = _flat(rows, "x_px", joints), _flat(rows, "y_px", joints)
    outside = _flat(rows, "state", joints) == JointState.OUTSIDE
    visibility[frames] = np.where(outside, 0, _flat(rows, "visibility", joints))
    step = float(np.median(np.diff(times) / np.diff(frames))) if len(frames) > 1 else 1.0
    time_s = np.interp(np.arange(count), frames, times)
    time_s[: frames[0]] = times[0] + (np.arange(frames[0]) - frames[0]) * step
    xyz = None
    if rows["xyz_m"][0].is_valid:
        xyz = np.full((count, joints, 3), np.nan, np.float32)
        known = rows["xyz_m"].is_valid().to_numpy(zero_copy_only=False)
        xyz[frames[known]] = _flat(rows, "xyz_m", joints * 3).reshape(-1, joints, 3)
    return PoseTrack(skeleton, time_s, xy, visibility, 0, 0, xyz)


def _flat(rows: pa.Table, name: str, width: int) -> npt.NDArray[np.float32]:
    """(R, width) values of a column of lists; lists that are null are left out."""
    values = rows[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(values, np.float32).reshape(-1, width)


def sentence(finding: Finding, time_s: float | None, error: AngleError | None = None) -> str:
    """One rule's finding in words: what was measured on which frame, the range, and what would flip it.

    Args:
        time_s: of the frame. error: measured error of the angle, None where nobody measured it.
    """
    rule = finding.rule
    if finding.reason:
        return f"{rule.id}: unscorable - {finding.reason}"
    low = "" if finding.low_deg is None else f"at least {finding.low_deg:g}°"
    high = "" if finding.high_deg is None else f"at most {finding.high_deg:g}°"
    wanted = " and ".join(part for part in (low, high) if part)
    where = f" in frame {finding.frame} ({time_s:.2f} s)" if time_s is not None else ""
    text = f"{rule.id}: {finding.verdict} - {rule.measured} {finding.value_deg:.1f}°{where}, wanted {wanted}"
    return text + flip_words(finding, error)


def flip_words(finding: Finding, error: AngleError | None) -> str:
    """The smallest change that flips a finding, and whether it is within measurement error; '' where none flips it."""
    flip = finding.flip_deg
    if not np.isfinite(flip):
        return ""
    text = f"; {abs(flip):.1f}° {'more' if flip > 0 else 'less'} would flip it"
    if error is not None:
        return f"{text}: within measurement error {error}" if abs(flip) <= error.deg else text
    close = abs(flip) <= finding.rule.tolerance_deg
    return f"{text}: within the tolerance granted" if close else text


def smallest_flip(findings: Sequence[Finding]) -> Finding | None:
    """The finding whose angle needs to change least to flip the repetition; None where one change is not enough.

    A correct repetition flips with any rule, an incorrect one only where a single rule is broken.
    """
    broken = [finding for finding in findings if finding.verdict == INCORRECT]
    if len(broken) > 1:
        return None
    movable = broken or [f for f in findings if f.verdict == CORRECT and np.isfinite(f.flip_deg)]
    return min(movable, key=lambda finding: finding.margin_deg, default=None)


def frame_runs(labels: TrackLabels, number: int) -> list[tuple[int, int, str, str]]:
    """Frames of a set under a rule set of kind frame, equal neighbours together: start, end, verdict, why."""
    runs: list[tuple[int, int, str, str]] = []
    for row in labels.form:
        if row["set"] != number or row["level"] != "frame" or row["rep"] is not None:
            continue
        verdict, why = str(row["verdict"]), str(row["message"] or "")
        if runs and runs[-1][1] == row["start"] and runs[-1][2:] == (verdict, why):
            runs[-1] = (runs[-1][0], int(row["end"]), verdict, why)
        else:
            runs.append((int(row["start"]), int(row["end"]), verdict, why))
    return runs
