"""Findings: every fault that is put into an index is named, on its sample, with its sentence; a sound one has none."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from repset.cli.check import command
from repset.curate import kinematics
from repset.curate.checks import CODES, check_across, check_source
from repset.curate.fingerprints import LEAST, MOST, SIDE, step_of
from repset.errors import DataError
from repset.landmarks import PENN_13
from repset.project import Project
from repset.records import TABLES, pose_table, read_rows, write_json, write_table
from repset.video import ShardWriter, encode_png

SIZE = (96, 128)  # height, width


def picture(seed: int) -> np.ndarray[Any, Any]:
    """Soft noise of its own, BGR."""
    noise = np.random.default_rng(seed).integers(0, 255, (12, 16, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(noise, SIZE[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def png(image: np.ndarray[Any, Any]) -> bytes:
    return encode_png(np.asarray(image, np.uint8))


class Index:
    """An index folder put together by hand."""

    def __init__(self, project: Project, source: str = "gym") -> None:
        self.project, self.source, self.folder = project, source, project.index(source)
        self.shards = ShardWriter(self.folder, 10**9)
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("samples", "masks", "sets")}
        self.poses = TABLES["poses"].empty_table()

    def sample(self, name: str, images: list[bytes], **columns: Any) -> None:
        row = dict.fromkeys(TABLES["samples"].names) | {
            "sample_id": f"{self.source}/{name}", "kind": "image", "height": SIZE[0], "width": SIZE[1], "frames": 1,
            "group": name, "exercise": "squat",
        }  # fmt: skip
        self.rows["samples"].append(row | columns)
        for number, data in enumerate(images):
            self.shards.add(row["sample_id"], number, "", f"{name}-{number}.png", data)

    def mask(self, name: str, png_bytes: bytes, label: str = "biceps") -> None:
        self.rows["masks"].append(
            dict(sample_id=f"{self.source}/{name}", variant="", person=0, label=label, png=png_bytes, origin="dataset")
        )

    def write(self, skipped: list[dict[str, str]] | None = None) -> None:
        self.shards.close()
        write_table(self.folder / "frames.parquet", "frames", self.shards.rows)
        write_table(self.folder / "poses.parquet", "poses", self.poses)
        for name, rows in self.rows.items():
            full = [dict.fromkeys(TABLES[name].names) | row for row in rows]
            write_table(self.folder / f"{name}.parquet", name, full)
        write_json(self.folder / "report.json", {"skipped": skipped or []})


def said(project: Project, source: str = "gym") -> list[tuple[str, str, str | None, str]]:
    rows = check_source(project, source).findings
    return [(r["code"], r["severity"], r["sample_id"] and r["sample_id"].split("/")[1], r["sentence"]) for r in rows]


def test_a_sound_index_has_no_finding(project: Project) -> None:
    index = Index(project)
    for n in range(4):
        index.sample(f"p{n}", [png(picture(n))])
    index.write()
    assert said(project) == []
    report = json.loads((project.checks("gym") / "report.json").read_text(encoding="utf-8"))
    assert (report["samples"], report["findings"], report["pictures_compared"]) == (4, {}, 4)
    assert len(read_rows(project.checks("gym") / "fingerprints.parquet", "fingerprints")[0]["picture"]) == SIDE**2


def test_faulty_media_is_named(project: Project) -> None:
    index = Index(project)
    index.sample("gone", [])
    index.sample("small", [png(picture(1)[:48])])
    index.sample("torn", [png(picture(2))])
    index.sample("video", [], kind="clip", media="datasets/gym/none.mp4")
    index.write(skipped=[{"item": "0007", "reason": "labels/0007.mat: no frames."}])
    shard = next(index.folder.glob("*.tar"))
    row = next(r for r in index.shards.rows if r["sample_id"] == "gym/torn")
    data = bytearray(shard.read_bytes())
    data[row["offset"] + 60] ^= 255
    shard.write_bytes(bytes(data))
    assert said(project) == [
        ("missing_media", "error", "gone", "the index names neither frames nor a file."),
        ("missing_media", "error", "video", "datasets/gym/none.mp4: no such file."),
        ("corrupt_media", "error", "torn", "torn-0.png: the bytes are not those indexed."),
        ("skipped_by_index", "error", None, "0007: labels/0007.mat: no frames."),
        ("size_mismatch", "error", "small", "small-0.png: 128 × 48 px where the index says 128 × 96."),
    ]


def test_masks_of_another_size_value_or_none_are_named(project: Project) -> None:
    index = Index(project)
    full = np.zeros(SIZE, np.uint8)
    full[10:40, 10:40] = 255
    for n, name in enumerate(("fine", "odd", "empty", "small", "torn")):
        index.sample(name, [png(picture(n))])
    index.mask("fine", png(full))
    index.mask("odd", png(np.where(full > 0, 7, 0)))
    index.mask("empty", png(full * 0))
    index.mask("small", png(full[:50]))
    index.mask("torn", b"no image")
    index.write()
    assert said(project) == [
        ("corrupt_media", "error", "torn", "the mask biceps does not decode."),
        ("size_mismatch", "error", "small", "the mask biceps has 128 × 50 px, its image 128 × 96."),
        ("unknown_mask_value", "error", "odd", "the mask biceps has the values 7 where 0 and 255 are known."),
        ("empty_mask", "warning", "empty", "the mask biceps has no pixel."),
    ]


def test_equal_bytes_and_copies_are_paired_and_an_official_split_makes_them_errors(project: Project) -> None:
    index = Index(project)
    one = picture(1)
    index.sample("a", [png(one)], official_split="train")
    index.sample("b", [png(one)], official_split="unseen_test")
    index.sample("c", [png(one[:, ::-1])], official_split="train")
    index.sample("d", [png(picture(2))], official_split="test")
    index.write()
    sides = "the set's own split has them on different sides"
    assert said(project) == [
        ("exact_duplicate", "error", "a", f"the same bytes as in gym/b; {sides} (train and test)."),
        ("near_duplicate", "error", "a", f"a copy of gym/b (correlation 1.000); {sides} (train and test)."),
        ("near_duplicate", "error", "b", f"a copy of the mirror image of gym/c (correlation 1.000); {sides} "
         "(test and train)."),
        ("near_duplicate", "warning", "a", "a copy of the mirror image of gym/c (correlation 1.000)."),
    ]  # fmt: skip


def test_copies_between_sources_are_found_from_their_fingerprints(project: Project) -> None:
    for source, seeds in (("gym", (1, 2)), ("club", (2, 3))):
        index = Index(project, source)
        for seed in seeds:
            index.sample(f"p{seed}", [png(picture(seed)[:, :: -1 if source == "club" else 1])])
        index.write()
        check_source(project, source)
    (row,) = check_across(project, ["gym", "club", "never_checked"])
    assert (row["code"], row["sample_id"], row["other_id"]) == ("near_duplicate", "club/p2", "gym/p2")
    assert row["sentence"] == "a copy of the mirror image of gym/p2 (correlation 1.000), a sample of another source."


def walker(frames: int = 40) -> np.ndarray[Any, Any]:
    """A standing body that sways, (T, 13, 2); the box around it is 24 × 72 px, its diagonal 75.9."""
    rest = np.array([[0, -9], [-2, -7], [2, -7], [-3, -4], [3, -4], [-3, -1], [3, -1],
                     [-1, 0], [1, 0], [-1, 5], [1, 5], [-1, 9], [1, 9]], np.float32) * 4 + (60, 45)  # fmt: skip
    return np.asarray(rest + np.sin(np.arange(frames) / 9)[:, None, None] * 1.5, np.float32)


def posed(project: Project, xy: np.ndarray[Any, Any], kept: slice = slice(None), **columns: Any) -> Index:
    index, frames = Index(project), len(xy)
    index.sample("w", [], **({"kind": "poses", "frames": frames, "fps": 30.0} | columns))
    number = np.arange(frames)[kept]
    ones = np.ones((len(number), 13))
    index.poses = pose_table("gym/w", "penn_13", number, number / 30, xy[kept], ones, 0 * ones, "dataset")
    return index


def test_a_sound_track_has_no_finding(project: Project) -> None:
    posed(project, walker()).write()
    assert said(project) == []


def test_joints_outside_limbs_that_jump_and_swapped_sides_are_named(project: Project) -> None:
    xy = walker()
    xy[5:8, 0, 1] = -20
    xy[20, PENN_13.index("left_wrist")] += (-40, 30)  # forearm: from 12 px to |(-40, 42)| = 58 px, 46 / 75.9 = 0.61
    xy[30:] = xy[30:][:, list(PENN_13.mirror)]
    posed(project, xy).write()
    found = {(code, sample): sentence for code, _, sample, sentence in said(project)}
    assert found == {
        ("joints_outside", "w"): "3 joints labelled as seen lie outside the 128 × 96 px image, the first is head at "
        f"({xy[5, 0, 0]:.0f}, -20).",
        ("limb_jump", "w"): "a limb changes its length by 0.61 body sizes in one frame, and in 1 more.",
        ("side_swap", "w"): "left and right change places at frame 30.",
    }


def test_a_limb_may_change_between_frames_far_apart() -> None:
    xy = walker(4)
    xy[2, PENN_13.index("left_wrist")] += (-40, 30)
    assert kinematics.limb_jumps(xy, np.arange(4) / 30)[0].tolist() == [2, 3]
    assert kinematics.limb_jumps(xy, np.arange(4) / 5)[0].tolist() == []


@pytest.mark.parametrize(
    ("known", "wanted"),
    [([0, 1, 2, 3], []), ([0, 1, 2, 3, 14, 15], [(4, 14)]), ([10], [(0, 10), (11, 20)]), ([], [(0, 20)])],
)
def test_gaps_are_stretches_of_frames_without_a_joint(known: list[int], wanted: list[tuple[int, int]]) -> None:
    frames = 20 if known != [0, 1, 2, 3] else 4
    if known and known[-1] == 15:
        frames = 16
    assert kinematics.gaps(np.ones(len(known), bool), np.array(known, np.int64), frames, 30) == wanted


def test_gaps_between_poses_and_sets_are_named(project: Project) -> None:
    index = posed(project, walker(200), slice(0, 150))
    index.rows["sets"] = [{"sample_id": "gym/w", "set": 0, "start": 50, "end": 200, "exercise": "squat"}]
    index.write()
    assert said(project) == [
        ("label_gap", "note", "w", "no set covers frames 0 to 49 (1.7 s)."),
        ("label_gap", "note", "w", "no joint is labelled in frames 150 to 199 (1.67 s)."),
    ]


def test_rare_absent_and_missing_labels_are_named(project: Project) -> None:
    index = Index(project)
    for n in range(20):
        index.sample(f"a{n:02}", [png(picture(n))], official_split="train" if n < 15 else "test")
    index.sample("b", [png(picture(50))], exercise="lunge", official_split="train")
    index.sample("c", [png(picture(51))], exercise=None, official_split="train")
    index.write()
    assert said(project) == [
        ("no_label", "warning", "c", "no exercise, mask, set or pose."),
        ("class_imbalance", "warning", None, "lunge is in 1 samples, squat in 20: 20 times as many."),
        ("class_imbalance", "warning", None, "the set's own test side lacks lunge."),
    ]


def test_a_clip_is_sampled_more_densely_the_shorter_it_is() -> None:
    assert step_of(30, 30) == pytest.approx(1 / LEAST)
    assert step_of(300, 30) == 0.25
    assert step_of(30 * 600, 30) == pytest.approx(600 / MOST)


def test_the_same_index_gives_the_same_bytes(project: Project) -> None:
    index = Index(project)
    for n in range(5):
        index.sample(f"p_{n}", [png(picture(n // 2))])
    index.write()
    check_source(project, "gym")
    files = {path.name: path.read_bytes() for path in project.checks("gym").iterdir()}
    check_source(project, "gym")
    assert {path.name: path.read_bytes() for path in project.checks("gym").iterdir()} == files
    assert set(files) == {"findings.parquet", "fingerprints.parquet", "report.json"}


def test_an_empty_index_is_refused(project: Project) -> None:
    path = write_table(project.index("gym") / "samples.parquet", "samples", [])
    with pytest.raises(DataError) as caught:
        check_source(project, "gym")
    assert str(caught.value) == f"{path}: expected samples to check, found none. Run: repset index gym."


def test_the_command_counts_by_code_and_lists_one(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index(project)
    for name in ("a", "b"):
        index.sample(name, [png(picture(1))])
    index.write()
    monkeypatch.setenv("REPSET_ROOT", str(project.root))
    run = CliRunner().invoke(command, ["gym"])
    assert run.exit_code == 0
    assert "exact_duplicate" in run.output
    run = CliRunner().invoke(command, ["gym", "--code", "exact_duplicate"])
    assert "warning: gym/a frame 0: the same bytes as in gym/b.\n" in run.output
    run = CliRunner().invoke(command, ["gym", "--code", "nonsense"])
    assert f"nonsense: no such code. Codes: {', '.join(CODES)}." in " ".join(run.output.replace("│", "").split())
    assert CliRunner().invoke(command, []).exit_code == 2


@pytest.mark.real
def test_dhcn_siblings_stay_together_and_its_own_split_leaks(project: Project, shared_data: Path) -> None:
    """The four test frames whose neighbours in number are in the trimmed train side leak, as do many others."""
    import shutil

    from repset.curate.splits import build_split
    from repset.params import SourceSpec, SplitParams
    from repset.sources.index import index_source

    export = shared_data / "roboflow" / "dhcn_png_mask_semantic"
    shutil.copytree(export, project.raw("dhcn"), ignore=shutil.ignore_patterns("valid"))
    index_source(project, "dhcn", SourceSpec(family="roboflow", rendered=False, origin="."), 64)
    check_source(project, "dhcn")
    split = build_split(project, "dhcn", SplitParams(seed=7, train=0.6, calibration=0.1, validation=0.1, test=0.2))
    siblings = read_rows(project.index("dhcn") / "frames.parquet", "frames", ["sample_id", "variant"])
    assert len(siblings) == 180
    assert len({row["sample_id"] for row in siblings}) == len(split.rows) == 100  # three copies, one sample, one fold
    official = split.proof["official_split"]
    near = [set(pair["samples"]) for pair in official["near_duplicates_shared"]]
    for test, train in ((4, 3), (20, 19), (29, 28), (41, 40)):
        assert {f"dhcn/frame_{test:04}_jpg", f"dhcn/frame_{train:04}_jpg"} in near
    assert {f"dhcn/frame_{n:04}_jpg" for n in range(45) if n != 14} <= set(official["samples_leaking"])
    assert split.proof["near_duplicates_shared_between_folds"] == 0
    assert split.proof["groups"] < 40
