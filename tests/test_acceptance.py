"""The stage accept on tables made by hand: what is one item, when it is wrong, what is taken, and the audit."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from repset.cli import cli
from repset.curate.acceptance import accept, draw_audit, is_sure, pool_of, pools_of
from repset.curate.acceptance_items import Item, is_wrong, items_of
from repset.curate.build import build_curated
from repset.curate.decision import Decision, Proposal
from repset.curate.ledger import Ledger
from repset.params import AcceptParams
from repset.project import Project
from repset.records import TABLES, canonical_json, read_json, read_rows, sha256_bytes, write_table

PARAMS = AcceptParams(max_error=0.05, confidence=0.95, pool_below_groups=100, audit=60, seed=7)
GYM = "gym"


def png(left: int, right: int) -> bytes:
    """An 8 × 10 mask, columns [left, right) set."""
    image = np.zeros((8, 10), np.uint8)
    image[:, left:right] = 255
    return bytes(cv2.imencode(".png", image)[1])


def full(table: str, **columns: Any) -> dict[str, Any]:
    return dict.fromkeys(TABLES[table].names) | columns


def write_clips(project: Project, folds: dict[str, int], labelled: tuple[str, ...]) -> None:
    """Clips of 10 s, a group each: fold → how many; those of the folds `labelled` are squats by the dataset."""
    samples, split = [], []
    for fold, count in folds.items():
        for n in range(count):
            name = f"{GYM}/{fold}{n:03d}"
            exercise = "squat" if fold in labelled else None
            samples.append(full("samples", sample_id=name, source=GYM, kind="clip", group=name, fps=10.0, frames=100,
                                exercise=exercise, media_sha256=sha256_bytes(name.encode())))  # fmt: skip
            split.append(full("split", sample_id=name, group=name, fold=fold))
    for table in ("frames", "masks", "sets", "poses", "reps", "form"):
        write_table(project.index(GYM) / f"{table}.parquet", table, [])
    write_table(project.index(GYM) / "samples.parquet", "samples", samples)
    write_table(project.split(GYM) / "split.parquet", "split", split)


def proposal(sample_id: str, score: float, value: str = "squat") -> dict[str, Any]:
    target = canonical_json({"interval_s": None, "frames": [0, 100]})
    text = canonical_json(value)
    return full("proposals", sample_id=sample_id, task="exercise", target=target, value=text, score=score,
                origin="model", origin_hash="m1", value_hash=sha256_bytes(text.encode()))  # fmt: skip


def propose(project: Project, rows: list[dict[str, Any]]) -> None:
    write_table(project.proposals("exercise", GYM) / "table.parquet", "proposals", rows)


def names(fold: str, count: int) -> list[str]:
    return [f"{GYM}/{fold}{n:03d}" for n in range(count)]


def test_sure_proposals_are_taken_where_the_calibration_is_free_of_errors(project: Project) -> None:
    write_clips(project, {"train": 3, "calibration": 60, "test": 4}, ("calibration", "test"))
    sure = [proposal(name, 0.9 + n / 1000) for n, name in enumerate(names("calibration", 60))]
    held_out = [proposal(name, 0.99, "lunge" if n == 0 else "squat") for n, name in enumerate(names("test", 4))]
    train = [proposal(name, score) for name, score in zip(names("train", 3), (0.95, 0.9, 0.89), strict=True)]
    propose(project, sure + held_out + train)
    built = accept(project, "exercise", GYM, PARAMS)
    assert [row["sample_id"] for row in read_rows(built.path, "proposals")] == names("train", 2)
    report = built.report
    assert report == read_json(built.path.with_name("report.json"))
    assert (report["accepted"], report["candidates"], report["coverage"]) == (2, 3, pytest.approx(2 / 3))
    assert report["refused"] == {"score below the threshold": 1, "the dataset has a label": 64}
    # Of the test's lunge nothing is said in the calibration, so it belongs to no pool.
    (pool,) = report["pools"]
    assert (pool["classes"], pool["groups"], pool["threshold"]) == (["squat"], 60, 0.9)
    assert pool["bound"] == pytest.approx(1 - 0.05 ** (1 / 60))
    assert pool["held_out"] == {"items": 3, "wrong": 0, "error": 0.0}
    assert report["audit"] is None
    assert build_curated(project, "exercise", GYM).report["notes"]  # reads what was written


def test_too_few_groups_accept_nothing_and_it_is_said_how_many_are_missing(project: Project) -> None:
    write_clips(project, {"train": 2, "calibration": 58}, ("calibration",))
    propose(project, [proposal(name, 0.9) for name in names("calibration", 58) + names("train", 2)])
    report = accept(project, "exercise", GYM, PARAMS).report
    assert (report["accepted"], report["pools"][0]["groups_missing"]) == (0, 1)
    assert report["refused"] == {"the dataset has a label": 58, "too few groups with known truth": 2}


def test_errors_keep_everything_out(project: Project) -> None:
    write_clips(project, {"train": 1, "calibration": 60}, ("calibration",))
    rows = [proposal(name, 0.9, "lunge" if n % 5 == 0 else "squat") for n, name in enumerate(names("calibration", 60))]
    propose(project, [*rows, proposal(names("train", 1)[0], 1.0)])
    report = accept(project, "exercise", GYM, PARAMS).report
    assert report["refused"]["no threshold keeps the error low enough"] == 1
    assert report["pools"][0]["classes"] == ["lunge", "squat"]
    assert report["pools"][0]["error"] == pytest.approx(12 / 60)


def test_a_source_without_gold_is_audited_first(project: Project) -> None:
    write_clips(project, {"train": 70}, ())
    rows = [proposal(name, 0.5 + n / 1000) for n, name in enumerate(names("train", 70))]
    propose(project, rows)
    built = accept(project, "exercise", GYM, PARAMS)
    audit = built.report["audit"]
    assert (audit["wanted"], audit["drawn"], audit["judged"], len(audit["open"])) == (60, 60, 0, 60)
    assert built.report["accepted"] == 0

    ledger = Ledger(project.reviews)
    for n, name in enumerate(audit["open"]):
        shown = Proposal("model", "m1", rows[0]["value_hash"])
        ledger.append(Decision("bo", "t", name, "exercise", {"interval_s": None}, "accept", "squat", proposal=shown))
        if n == 58:
            found = accept(project, "exercise", GYM, PARAMS).report  # 59 without an error suffice
            assert found["pools"][0]["bound"] == pytest.approx(1 - 0.05 ** (1 / 59))
            assert found["accepted"] >= 59
        if n == 30:
            assert accept(project, "exercise", GYM, PARAMS).report["pools"][0]["groups_missing"] == 28
    report = accept(project, "exercise", GYM, PARAMS).report
    assert (report["known_by"], report["audit"]["judged"], report["audit"]["open"]) == ("audit", 60, [])
    least = min(row["score"] for row in rows if row["sample_id"] in audit["open"])
    assert report["accepted"] == sum(row["score"] >= least for row in rows)


def test_a_refused_candidate_of_the_audit_is_an_error(project: Project) -> None:
    write_clips(project, {"train": 60}, ())
    rows = [proposal(name, 0.9) for name in names("train", 60)]
    propose(project, rows)
    ledger = Ledger(project.reviews)
    for n, name in enumerate(names("train", 60)):
        shown = Proposal("model", "m1", rows[0]["value_hash"])
        action = "reject" if n < 6 else "accept"
        ledger.append(Decision("bo", "t", name, "exercise", {"interval_s": None}, action, "squat", proposal=shown))
    report = accept(project, "exercise", GYM, PARAMS).report
    assert (report["accepted"], report["pools"][0]["error"]) == (0, pytest.approx(0.1))


def test_the_audit_takes_one_candidate_a_group_and_does_not_move(project: Project) -> None:
    split = {f"g/{n}": full("split", sample_id=f"g/{n}", group=f"{n // 3}", fold="train") for n in range(30)}
    items = items_of("exercise", [proposal(name, 0.5) for name in split], split)
    drawn = draw_audit(items, PARAMS)
    assert sorted(int(item.group) for item in drawn) == list(range(10))
    assert draw_audit(list(reversed(items)), PARAMS) == drawn
    assert len({int(item.sample_id[2:]) % 3 for item in drawn}) == 3  # not always the first
    few = PARAMS.model_copy(update={"audit": 4})
    assert draw_audit(items, few) == drawn[:4]


def mask_row(label: str, blob: bytes | None, score: float = 0.9, variant: str = "a", **other: Any) -> dict[str, Any]:
    target = canonical_json({"class": label, "person": 0, "variant": variant})
    return full("proposals", sample_id="g/1", task="muscle_mask", target=target, blob=blob, score=score) | other


@pytest.mark.parametrize(
    ("proposed", "true", "wrong"),
    [
        ([("biceps", png(0, 10))], [("biceps", png(0, 7))], False),  # IoU 0.7
        ([("biceps", png(0, 10))], [("biceps", png(0, 6))], True),  # 0.6
        ([("biceps", png(0, 4))], [("triceps", png(0, 4))], True),
        ([("biceps", png(0, 4))], [("biceps", png(0, 4)), ("calf", png(6, 8))], True),  # one muscle missed
        ([], [], False),
        ([], [("calf", png(6, 8))], True),
        ([("calf", png(6, 8))], [], True),
        ([("calf", png(0, 0))], [], False),  # an empty mask claims nothing
    ],
)
def test_an_image_is_wrong_if_any_muscle_is(proposed: list[Any], true: list[Any], wrong: bool) -> None:
    split = {"g/1": full("split", sample_id="g/1", group="1", fold="train")}
    rows = [mask_row("background", None), *(mask_row(name, blob) for name, blob in proposed)]
    (item,) = items_of("muscle_mask", rows, split)
    truth = [mask_row(name, blob) for name, blob in [("background", None), *true]]
    other = [mask_row("calf", png(0, 9), variant="b")]  # of another copy of the photo
    assert is_wrong("muscle_mask", item, truth + other) is wrong


def test_an_image_is_one_item_as_sure_as_its_least_sure_mask() -> None:
    split = {"g/1": full("split", sample_id="g/1", group="1", fold="train")}
    rows = [
        mask_row("background", None, 0.1),
        mask_row("triceps", png(0, 3), 0.8),
        mask_row("biceps", png(4, 6), 0.6),
        mask_row("background", None, 0.7, "b"),
    ]
    first, second = items_of("muscle_mask", rows, split)
    assert (first.kind, first.score, len(first.rows)) == ("biceps+triceps", 0.6, 3)
    assert (second.kind, second.score, second.name) == ("background", 0.7, "g/1 b")


def image_item(number: int, kind: str, score: float) -> Item:
    return Item(f"g/{number}", str(number), "calibration", kind, score, ())


@pytest.mark.parametrize(("below", "taken"), [(200, [True, False, True, False]), (201, [False, False, True, False])])
def test_images_without_a_muscle_are_ranked_among_themselves_and_last_among_masks(
    below: int, taken: list[bool]
) -> None:
    # Of 200 photos without a muscle the 40 least sure have one, of 200 calves the 60 least sure are wrong.
    known = [(image_item(n, "background", 1 - n / 400), n >= 160) for n in range(200)]
    known += [(image_item(200 + n, "calf", 0.9 - n / 400), n >= 140) for n in range(200)]
    pools = pools_of(known, PARAMS.model_copy(update={"pool_below_groups": below}))
    said = (("background", 0.99), ("background", 0.51), ("calf", 0.89), ("calf", 0.41))
    items = [image_item(400 + n, kind, score) for n, (kind, score) in enumerate(said)]
    assert [is_sure(item, pool) for item in items if (pool := pool_of(item, pools))] == taken


@pytest.mark.parametrize(
    ("start", "end", "value", "wrong"),
    [(0, 10, "squat", False), (0, 10, "lunge", True), (0, 5, "squat", False), (0, 4, "squat", True)],
)
def test_a_stretch_is_wrong_without_a_true_one_or_with_another_value(
    start: float, end: float, value: str, wrong: bool
) -> None:
    split = {"g/1": full("split", sample_id="g/1", group="1", fold="train")}
    row = full("proposals", sample_id="g/1", value=json.dumps(value), score=1.0,
               target=canonical_json({"interval_s": [start, end]}))  # fmt: skip
    (item,) = items_of("exercise", [row], split)
    truth = [full("proposals", value='"squat"', target=canonical_json({"interval_s": [0, 10]}))]
    assert is_wrong("exercise", item, truth) is wrong


def test_the_command_says_what_is_missing(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_clips(project, {"train": 2, "calibration": 3}, ("calibration",))
    propose(project, [proposal(name, 0.9) for name in names("calibration", 3) + names("train", 2)])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    shown = CliRunner().invoke(cli, ["accept", "exercise", GYM])
    assert shown.exit_code == 0, shown.output
    assert "56 of 59 groups are missing" in shown.output
    assert "0 of 2 without a label" in shown.output
