"""The semantic diff: what is counted as what, and versions out of git, DVC's cache, folders and the working tree."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from repset.cli import cli
from repset.curate.diff import ADDED, EDITED, FLIPPED, MOVED, REMOVED, TIER, compare, compare_tables
from repset.curate.diff_versions import open_version
from repset.curate.diff_words import as_json, as_markdown, as_text
from repset.errors import DataError, RepsetError
from repset.project import Project
from repset.records import TABLES, canonical_json, write_table

Row = dict[str, Any]
FORM, MASKS = ("form", "gym"), ("muscle_mask", "photos")


def png(left: int, right: int, level: int = 0) -> bytes:
    image = np.zeros((8, 10), np.uint8)
    image[:, left:right] = 255
    return bytes(cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, level])[1])


def verdict(sample_id: str, start: float, end: float, value: str, fold: str = "train", **more: Any) -> Row:
    target = canonical_json({"interval_s": [start, end], "person": 0})
    row = {"sample_id": sample_id, "source": "gym", "group": sample_id, "fold": fold, "task": "form", "target": target}
    return (
        dict.fromkeys(TABLES["curated"].names) | row | {"value": f'"{value}"', "tier": "auto", "origin": "rule"} | more
    )


def mask(sample_id: str, label: str, blob: bytes | None, variant: str = "", **more: Any) -> Row:
    target = canonical_json({"class": label, "person": 0, "variant": variant})
    row = {"sample_id": sample_id, "source": "photos", "group": sample_id, "fold": "train", "task": "muscle_mask"}
    row |= {"target": target, "blob": blob, "tier": "gold", "origin": "dataset"}
    return dict.fromkeys(TABLES["curated"].names) | row | more


OLD = [verdict("gym/a", 0, 2, "correct"), verdict("gym/a", 2, 4, "correct"), verdict("gym/a", 4, 6, "unscorable"),
       verdict("gym/b", 0, 2, "incorrect", "test"), verdict("gym/gone", 0, 2, "correct")]  # fmt: skip
NEW = [
    verdict("gym/a", 0, 2, "incorrect", reviewer="anna", tier="edited", origin="human"),
    verdict("gym/a", 2, 5, "correct", reviewer="anna", tier="edited", origin="human"),  # IoU 2/3
    verdict("gym/a", 4, 6, "unscorable", reviewer="bert", tier="accepted"),
    verdict("gym/b", 0, 2, "incorrect", "train"),
    verdict("gym/new", 0, 2, "correct"),
]  # fmt: skip
OLD_MASKS = [mask("photos/a", "biceps", png(0, 4)), mask("photos/a", "calf", png(0, 4)),
             mask("photos/a", "background", None), mask("photos/b", "biceps", png(2, 6))]  # fmt: skip
NEW_MASKS = [mask("photos/a", "biceps", png(0, 8), reviewer="anna", tier="gold_corrected"),
             mask("photos/a", "calf", png(0, 4, 9)), mask("photos/a", "background", None),
             mask("photos/a", "triceps", png(0, 2), reviewer="anna")]  # fmt: skip


def write(root: Path, form: list[Row], masks: list[Row]) -> None:
    write_table(root / "form" / "gym" / "table.parquet", "curated", form)
    write_table(root / "muscle_mask" / "photos" / "table.parquet", "curated", masks)


def test_every_kind_of_change_is_counted_as_what_it_is() -> None:
    found = compare_tables(FORM, OLD, NEW)
    brief = [(one.what, one.sample_id, one.before, one.after, one.iou, one.reviewer) for one in found.changes]
    assert brief == [
        (ADDED, "gym/new", None, "correct", None, None),
        (MOVED, "gym/a", "correct", "correct", pytest.approx(2 / 3), "anna"),
        (REMOVED, "gym/gone", "correct", None, None, None),
        (TIER, "gym/a", "auto", "accepted", None, "bert"),
        (FLIPPED, "gym/a", "correct", "incorrect", None, "anna"),
    ]
    assert found.labels == (5, 5)
    assert found.reviewers == {"anna": 2, "bert": 1}


def test_a_label_that_was_moved_and_renamed_is_two_changes_by_one_decision() -> None:
    old, new = verdict("gym/a", 0, 2, "correct"), verdict("gym/a", 0, 3, "incorrect", reviewer="anna")
    found = compare_tables(FORM, [old], [new])
    assert [one.what for one in found.changes] == [MOVED, FLIPPED]
    assert found.reviewers == {"anna": 1}


def test_a_mask_is_edited_if_a_pixel_is_and_its_bytes_alone_are_nothing() -> None:
    found = compare_tables(MASKS, OLD_MASKS, NEW_MASKS)
    assert png(0, 4) != png(0, 4, 9)
    brief = [(one.what, one.sample_id, one.target["class"], one.iou) for one in found.changes]
    assert brief == [(ADDED, "photos/a", "triceps", None), (EDITED, "photos/a", "biceps", 0.5),
                     (REMOVED, "photos/b", "biceps", None)]  # fmt: skip
    assert found.mean_iou(EDITED) == 0.5
    assert found.labels == (3, 3)  # the background is no label


def test_the_words(tmp_path: Path) -> None:
    write(tmp_path / "old", OLD, OLD_MASKS)
    write(tmp_path / "new", NEW, NEW_MASKS)
    project = Project(tmp_path)
    diff = compare(open_version(project, str(tmp_path / "old")), open_version(project, str(tmp_path / "new")))
    text = as_text(diff).splitlines()
    assert text[1:] == [
        "samples of gym",
        "  1 sample added: gym/new",
        "  1 sample dropped: gym/gone",
        "  1 sample moved in the split (1 test → train): gym/b",
        "samples of photos",
        "  1 sample dropped: photos/b",
        "form on gym",
        "  1 verdict flipped: 1 correct → incorrect",
        "  1 boundary moved, mean IoU to the old one 0.667",
        "  1 repetition added (1 correct)",
        "  1 repetition removed (1 correct)",
        "  1 label of the same value in another tier: 1 auto → accepted",
        "  decided by anna (2), bert (1)",
        "muscle_mask on photos",
        "  1 mask edited, mean IoU to the old one 0.500",
        "  1 mask added (1 triceps)",
        "  1 mask removed (1 biceps)",
        "  decided by anna (2)",
    ]
    markdown = as_markdown(diff)
    assert "| form | gym | 5 → 5 | 0 | 1 | 1 | 1 | 1 |" in markdown
    assert "- `gym/a` 0.00–2.00 s value changed: correct → incorrect, anna" in markdown
    plain = json.loads(json.dumps(as_json(diff), allow_nan=False))
    assert plain["tables"][0]["turns"] == [{"before": "correct", "after": "incorrect", "number": 1}]
    assert plain["tables"][1]["mean_iou"] == {"mask edited": 0.5, "boundary moved": None}
    assert plain["sources"][0]["moved"] == [{"sample_id": "gym/b", "before": "test", "after": "train"}]


VERDICTS = st.sampled_from(["correct", "incorrect", "unscorable"])
ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), VERDICTS), max_size=8, unique_by=lambda one: one[:2])


def rows_of(drawn: list[tuple[int, int, str]]) -> list[Row]:
    return [verdict(f"gym/{n}", 2.0 * at, 2.0 * at + 2, value) for n, at, value in drawn]


@settings(max_examples=60, deadline=None)
@given(ROWS, ROWS)
def test_counts_add_up_and_turn_round(old: list[tuple[int, int, str]], new: list[tuple[int, int, str]]) -> None:
    forth, back = compare_tables(FORM, rows_of(old), rows_of(new)), compare_tables(FORM, rows_of(new), rows_of(old))
    places, before = {one[:2]: one[2] for one in new}, {one[:2]: one[2] for one in old}
    assert len(forth.of(FLIPPED)) == sum(places.get(at, value) != value for at, value in before.items())
    assert len(forth.of(ADDED)) == len(set(places) - set(before)) == len(back.of(REMOVED))
    assert len(forth.of(REMOVED)) == len(set(before) - set(places)) == len(back.of(ADDED))
    assert compare_tables(FORM, rows_of(old), list(reversed(rows_of(old)))).changes == []


# --- versions --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A repository with two commits of curated tables under DVC, and a third state in the working tree."""
    root = tmp_path_factory.mktemp("versions")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}

    def run(*words: str) -> None:
        subprocess.run(words, cwd=root, check=True, capture_output=True, env=environment)

    run("git", "init", "-q", "-b", "main")
    run("git", "config", "user.email", "a@example.org")
    run("git", "config", "user.name", "a")
    (root / "dvc.yaml").write_text(
        "stages:\n  curate:\n    cmd: 'true'\n    outs:\n"
        "      - datasets/curated/form/gym\n      - datasets/curated/muscle_mask/photos\n"
    )
    run("git", "add", "dvc.yaml")
    run("git", "commit", "-qm", "before dvc")
    run("dvc", "init", "-q")
    for form, masks in ((OLD, OLD_MASKS), (NEW, NEW_MASKS)):
        write(root / "datasets" / "curated", form, masks)
        run("dvc", "commit", "-q", "-f")
        run("git", "add", "dvc.lock", ".dvc")
        run("git", "commit", "-qm", "curated")
    shutil.rmtree(root / "datasets" / "curated")
    write(root / "datasets" / "curated", NEW[1:], NEW_MASKS)
    return Project(root)


def test_revisions_are_read_from_the_cache_and_the_second_is_the_working_tree(versions: Project) -> None:
    then = compare(open_version(versions, "HEAD~1"), open_version(versions, "HEAD"))
    assert [len(table.changes) for table in then.tables] == [5, 3]
    now = compare(open_version(versions, "HEAD"), open_version(versions, None))
    assert [(one.what, one.sample_id) for table in now.tables for one in table.changes] == [(REMOVED, "gym/a")]
    assert not compare(open_version(versions, "main"), open_version(versions, "HEAD")).changed


def test_the_command(versions: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPSET_ROOT", str(versions.root))
    text = CliRunner().invoke(cli, ["diff", "HEAD"], catch_exceptions=False).output
    assert "curated set: HEAD → working tree" in text
    assert "1 repetition removed (1 incorrect)" in text
    assert "unchanged: muscle_mask on photos (3 labels)" in text
    markdown = CliRunner().invoke(cli, ["diff", "HEAD~1", "HEAD", "--markdown"], catch_exceptions=False).output
    assert markdown.startswith("### Curated set: `HEAD~1` → `HEAD`")
    found = json.loads(CliRunner().invoke(cli, ["diff", "HEAD", "HEAD", "--json"], catch_exceptions=False).stdout)
    assert found["changed"] is False


def test_what_cannot_be_compared_is_said_in_one_sentence(versions: Project, tmp_path: Path) -> None:
    with pytest.raises(RepsetError) as error:
        open_version(versions, "nowhere")
    assert str(error.value) == (
        "nowhere: expected a folder or a git revision, found neither. Name one (git log --oneline)."
    )
    with pytest.raises(RepsetError) as error:
        open_version(versions, "--help")
    assert str(error.value).startswith("--help: expected a folder or a git revision, found neither.")
    with pytest.raises(RepsetError) as error:
        open_version(versions, "HEAD~2")
    assert str(error.value) == (
        "HEAD~2: expected dvc.lock in that revision, found none. Name one after the first dvc repro."
    )
    with pytest.raises(DataError) as error:
        open_version(versions, str(tmp_path))
    assert str(error.value) == (
        f"{tmp_path}: expected curated tables (<task>/<source>/table.parquet), found none. "
        "Name a project, or its datasets/curated."
    )


def test_data_that_is_in_the_cache_no_more(versions: Project) -> None:
    cache = versions.root / ".dvc" / "cache"
    aside = versions.root / ".dvc" / "aside"
    cache.rename(aside)
    try:
        with pytest.raises(DataError) as error:
            open_version(versions, "HEAD")
    finally:
        aside.rename(cache)
    assert str(error.value) == (
        "datasets/curated/form/gym of HEAD: expected its data in the DVC cache, found none any more. "
        "Bring it from a remote (dvc fetch --all-commits), or check the revision out and run dvc repro."
    )
