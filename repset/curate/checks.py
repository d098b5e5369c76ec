"""`repset check`: what is wrong with a source, one row a finding (table `findings`), and its fingerprints.

A finding names what is seen, never drops anything: the split keeps near-duplicates on one side, the report lists the
rest. Everything here is a pure function of the index.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repset.curate import label_checks, near_duplicates, pose_copies
from repset.curate.fingerprints import Fault, read_all
from repset.curate.near_duplicates import Pair, gallery, silent
from repset.curate.splits import SIDES, index_digest
from repset.errors import DataError
from repset.project import Project
from repset.records import atomic_folder, read_json, read_rows, read_table, write_json, write_table
from repset.video import FrameStore

ERROR, WARNING, NOTE = "error", "warning", "note"
SEVERITIES = (ERROR, WARNING, NOTE)

CODES: dict[str, str] = {
    "missing_media": "media that is not there",
    "corrupt_media": "media that cannot be read, or changed since it was indexed",
    "skipped_by_index": "items the index left out as faulty",
    "size_mismatch": "image and mask, or image and index, of different size",
    "unknown_mask_value": "mask pixels that are neither 0 nor 255",
    "empty_mask": "masks without a pixel",
    "joints_outside": "joints labelled as seen outside the image",
    "limb_jump": "limbs that change their length from one frame to the next",
    "side_swap": "left and right named the other way round",
    "label_gap": "stretches without a label",
    "no_label": "samples without any label",
    "exact_duplicate": "the same bytes in two samples",
    "near_duplicate": "copies: rescaled, re-encoded, mirrored or trimmed",
    "video_neighbours": "neighbours in one recording",
    "class_imbalance": "classes that are rare, or absent on one side",
}
"""Every code of a finding, and what it stands for."""

Row = Mapping[str, Any]
Progress = Callable[[int, int, str], None]

_POSES = ["sample_id", "frame", "time_s", "person", "skeleton", "x_px", "y_px", "state"]


@dataclass(frozen=True)
class Checked:
    """Findings as rows of table `findings`, sorted, and the report as JSON-ready values."""

    findings: list[dict[str, Any]]
    report: dict[str, Any]


def check_source(project: Project, source: str, progress: Progress = silent) -> Checked:
    """The stage `check`: write findings.parquet, fingerprints.parquet and report.json into `datasets/checks/<source>`.

    Raises: DataError if the index is missing or holds no sample.
    """
    index = project.index(source)
    samples = read_rows(index / "samples.parquet", "samples")
    if not samples:
        raise DataError(index / "samples.parquet", "samples to check", "none", f"Run: repset index {source}")
    samples.sort(key=lambda row: str(row["sample_id"]))
    fingerprints, faults = read_all(project, samples, FrameStore(index), progress)
    poses = read_table(index / "poses.parquet", "poses", _POSES)
    pairs = near_duplicates.find_pairs(gallery(fingerprints, samples), progress=progress)
    # Where there are pictures they decide: two people can do the same movement alike, and a set can draw it twice.
    bare = {row["sample_id"] for row in samples if row["kind"] == "poses"}
    tracks = [track for track in pose_copies.sequences(poses) if track.sample_id in bare]
    pairs += pose_copies.find_pairs(tracks, samples, progress)
    findings = [
        *_media(faults),
        *_skipped(project, source),
        *_exact(samples, read_rows(index / "frames.parquet", "frames", ["sample_id", "frame", "variant", "sha256"])),
        *_alike(pairs, samples),
        *label_checks.masks(project, source, samples),
        *label_checks.poses(poses, samples),
        *label_checks.labels(project, source, samples, poses),
        *label_checks.classes(project, source, samples),
    ]
    findings = sorted((finding(**row) for row in findings), key=_order)
    compared = {"pictures_compared": len(fingerprints), "pose_sequences_compared": len(tracks)}
    report = {"source": source, "index": index_digest(project, source), **_counts(findings, samples), **compared}
    with atomic_folder(project.checks(source)) as folder:
        write_table(folder / "findings.parquet", "findings", findings)
        write_table(folder / "fingerprints.parquet", "fingerprints", fingerprints)
        write_json(folder / "report.json", report)
    return Checked(findings, report)


def check_across(project: Project, sources: Sequence[str], progress: Progress = silent) -> list[dict[str, Any]]:
    """Copies between sources, as rows of table `findings`; of sources that were checked, in the order given.

    Pictures by their fingerprints, media by their hash. Pose sequences are compared within a source only.
    """
    galleries, media = {}, dict[str, dict[str, str]]()
    for source in sources:
        path = project.checks(source) / "fingerprints.parquet"
        if path.is_file():
            samples = read_rows(project.index(source) / "samples.parquet", "samples")
            galleries[source] = gallery(read_rows(path, "fingerprints"), samples)
            for row in samples:
                if row["media_sha256"]:
                    media.setdefault(row["media_sha256"], {}).setdefault(source, row["sample_id"])
    findings = []
    for found in media.values():
        first, *others = found.values()
        for other in others:
            sentence = f"the same bytes as in {other}, a sample of another source."
            findings.append(finding("exact_duplicate", WARNING, sentence, first, None, other, 1.0))
    for a, b in itertools.combinations(galleries, 2):
        for pair in near_duplicates.find_pairs(galleries[a], galleries[b], progress):
            sentence = f"{describe(pair, False)}, a sample of another source."
            findings.append(finding(pair.kind, WARNING, sentence, pair.a, pair.frame, pair.b, pair.score))
    return sorted(findings, key=_order)


def finding(
    code: str,
    severity: str,
    sentence: str,
    sample_id: str | None = None,
    frame: int | None = None,
    other_id: str | None = None,
    value: float | None = None,
) -> dict[str, Any]:
    """A row of table `findings`. `code` is a key of CODES, `severity` one of SEVERITIES."""
    assert code in CODES, code
    assert severity in SEVERITIES, severity
    return {
        "code": code, "severity": severity, "sample_id": sample_id, "frame": frame, "other_id": other_id,
        "value": value, "sentence": sentence,
    }  # fmt: skip


def _order(row: Row) -> tuple[Any, ...]:
    codes = list(CODES)
    return (
        SEVERITIES.index(row["severity"]), codes.index(row["code"]), row["sample_id"] or "",
        -1 if row["frame"] is None else row["frame"], row["other_id"] or "", row["sentence"],
    )  # fmt: skip


def _counts(findings: Iterable[Row], samples: list[dict[str, Any]]) -> dict[str, Any]:
    by_code: dict[str, Counter[str]] = defaultdict(Counter)
    for row in findings:
        by_code[row["code"]][row["severity"]] += 1
    return {
        "samples": len(samples),
        "findings": {
            code: {severity: by_code[code][severity] for severity in SEVERITIES if by_code[code][severity]}
            for code in CODES
            if code in by_code
        },
    }


# --- media --------------------------------------------------------------------------------------------------------


def _media(faults: Mapping[str, list[Fault]]) -> Iterator[dict[str, Any]]:
    for sample_id, found in faults.items():
        for fault in found:
            yield dict(
                code=fault.code, severity=ERROR, sample_id=sample_id, frame=fault.frame, sentence=fault.sentence
            )  # fmt: skip


def _skipped(project: Project, source: str) -> Iterator[dict[str, Any]]:
    """What `repset index --on-error skip` left out, with its reason."""
    path = project.index(source) / "report.json"
    for row in (read_json(path) if path.is_file() else {}).get("skipped") or []:
        yield dict(code="skipped_by_index", severity=ERROR, sentence=f"{row['item']}: {row['reason']}")


def side_of(row: Row) -> str | None:
    """The side of the set's own split, None where it has none."""
    name = row["official_split"]
    return None if name is None else SIDES.get(str(name), str(name))


def _across(a: Row, b: Row) -> str:
    """Words on two samples that lie on different sides of the set's own split, else ''."""
    first, second = side_of(a), side_of(b)
    if first is None or second is None or first == second:
        return ""
    return f"; the set's own split has them on different sides ({first} and {second})"


def _exact(samples: list[dict[str, Any]], frames: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """Samples that share media bytes, each against the first that has them."""
    places: dict[str, dict[str, int | None]] = defaultdict(dict)
    for row in samples:
        if row["media_sha256"]:
            places[row["media_sha256"]][row["sample_id"]] = None
    about = {row["sample_id"]: row for row in samples}
    for stored in frames:
        if stored["sha256"] and stored["sample_id"] in about:
            places[stored["sha256"]].setdefault(stored["sample_id"], stored["frame"])
    done: set[tuple[str, str]] = set()
    for found in places.values():
        first, *others = sorted(found)
        for other in others:
            if (first, other) in done:
                continue
            done.add((first, other))
            across = _across(about[first], about[other])
            yield dict(
                code="exact_duplicate", severity=ERROR if across else WARNING, sample_id=first, frame=found[first],
                other_id=other, value=1.0, sentence=f"the same bytes as in {other}{across}.",
            )  # fmt: skip


def _alike(pairs: Iterable[Pair], samples: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    about = {row["sample_id"]: row for row in samples}
    for pair in pairs:
        a, b = about[pair.a], about[pair.b]
        across = _across(a, b)
        yield dict(
            code=pair.kind, severity=ERROR if across else WARNING if pair.kind == "near_duplicate" else NOTE,
            sample_id=pair.a, frame=pair.frame, other_id=pair.b, value=pair.score,
            sentence=f"{describe(pair, a['kind'] == 'poses' or b['kind'] == 'poses')}{across}.",
        )  # fmt: skip


def describe(pair: Pair, poses: bool) -> str:
    """A pair in words, without a full stop."""
    mirrored = "the mirror image of " if pair.mirrored else ""
    if pair.kind == "near_duplicate":
        measure = f"distance {pair.score:.3f} between unit poses" if poses else f"correlation {pair.score:.3f}"
        return f"a copy of {mirrored}{pair.b} ({measure})"
    if poses:
        return f"a neighbour of {pair.b}: the resting joints lie {pair.score:.3f} body sizes apart"
    return f"a neighbour of {mirrored}{pair.b} (correlation {pair.score:.3f})"
