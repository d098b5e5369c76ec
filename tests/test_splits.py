"""Folds: no group in two, adding a group moves nobody, small sources still have every fold."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repset.curate.checks import check_source
from repset.curate.splits import FOLDS, build_split, fold_ranges, hash_position, split_source
from repset.errors import ConfigError, DataError
from repset.params import SplitParams
from repset.project import Project
from repset.records import TABLES, read_rows, write_table

SLOW_MACHINE = [HealthCheck.too_slow]  # how fast a machine draws examples says nothing about the code
PARAMS = SplitParams(seed=7, train=0.6, calibration=0.1, validation=0.1, test=0.2)


def samples(groups: dict[str, str], official: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """sample → group as rows of table samples."""
    return [
        {"sample_id": name, "group": group, "official_split": (official or {}).get(name), "media_sha256": None}
        for name, group in groups.items()
    ]


def frame(sample_id: str, sha256: str, number: int = 0, variant: str = "") -> dict[str, Any]:
    return {"sample_id": sample_id, "frame": number, "variant": variant, "sha256": sha256}


def folds(split: Any) -> dict[str, str]:
    return {row["sample_id"]: row["fold"] for row in split.rows}


def test_the_hash_position_is_the_first_64_bits_of_sha256_of_seed_and_group() -> None:
    # printf '7/w03' | sha256sum → the first 16 hex digits
    assert hash_position(7, "w03") == int("bfe89f16d39fb8f4", 16) / 2**64


@given(st.sets(st.integers(0, 10**6), min_size=2, max_size=120), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None, suppress_health_check=SLOW_MACHINE)
def test_adding_groups_moves_nobody_but_those_moved_to_fill_a_fold(numbers: set[int], added: int) -> None:
    one = {f"s/{n}": f"g{n}" for n in sorted(numbers)}
    more = one | {f"t/{added}-{n}": f"h{added}-{n}" for n in range(20)}
    first, second = split_source(samples(one), [], {}, PARAMS), split_source(samples(more), [], {}, PARAMS)
    exempt = {m["group"] for split in (first, second) for m in split.proof["groups_moved_to_fill_a_fold"]}
    before, after = folds(first), folds(second)
    assert all(before[s] == after[s] for s, group in one.items() if group not in exempt)


@given(st.dictionaries(st.integers(0, 300), st.tuples(st.integers(0, 40), st.integers(0, 4)), min_size=1, max_size=150))
@settings(max_examples=60, deadline=None, suppress_health_check=SLOW_MACHINE)
def test_no_group_lies_in_two_folds_and_every_class_of_two_groups_is_in_train_and_test(
    table: dict[int, tuple[int, int]],
) -> None:
    group_of = {f"s/{n}": f"g{group}" for n, (group, _) in table.items()}
    class_of = {f"g{group}": f"c{group % 5}" for _, (group, _) in table.items()}
    classes = {s: frozenset([class_of[g]]) for s, g in group_of.items()}
    split = split_source(samples(group_of), [], classes, PARAMS)
    fold_of = folds(split)
    by_group: dict[str, set[str]] = {}
    for sample_id, group in group_of.items():
        by_group.setdefault(group, set()).add(fold_of[sample_id])
    assert all(len(found) == 1 for found in by_group.values())
    for name in set(class_of.values()):
        groups = [group for group, label in class_of.items() if label == name]
        if len(groups) > 1:
            assert {"train", "test"} <= {next(iter(by_group[group])) for group in groups}


@pytest.mark.parametrize(("count", "wanted"), [(2, 2), (3, 3), (4, 4), (6, 4), (9, 4)])
def test_a_small_source_has_train_and_test_first_then_the_other_folds(count: int, wanted: int) -> None:
    split = split_source(samples({f"s/w{n:02}": f"w{n:02}" for n in range(count)}), [], {}, PARAMS)
    found = Counter(folds(split).values())
    assert len(found) == wanted
    assert {"train", "test"} <= set(found)


def test_a_single_group_stays_where_its_hash_lies() -> None:
    split = split_source(samples({"s/a": "only"}), [], {}, PARAMS)
    assert split.proof["groups_moved_to_fill_a_fold"] == []


def test_fractions_hold_for_many_groups() -> None:
    split = split_source(samples({f"s/{n}": f"g{n}" for n in range(4000)}), [], {}, PARAMS)
    counts = Counter(folds(split).values())
    for fold in FOLDS:  # four standard deviations of a binomial of 4000
        share = getattr(PARAMS, fold)
        assert abs(counts[fold] - 4000 * share) < 4 * (4000 * share * (1 - share)) ** 0.5


def test_an_empty_group_is_the_sample_itself() -> None:
    rows = [{"sample_id": f"s/{n}", "group": None, "official_split": None, "media_sha256": None} for n in range(5)]
    assert split_source(rows, [], {}, PARAMS).proof["groups"] == 5


def test_groups_with_an_identical_image_become_one_and_stand_in_the_proof() -> None:
    group_of = {f"s/{n}": f"g{n}" for n in range(30)}
    frames = [
        frame("s/3", "same"),
        frame("s/9", "same", 4, "v"),
        frame("s/9", "b"),
        frame("s/20", "b"),
        frame("s/1", "x"),
    ]
    split = split_source(samples(group_of), frames, {}, PARAMS)
    fold_of = folds(split)
    assert fold_of["s/3"] == fold_of["s/9"] == fold_of["s/20"]
    assert {row["group"] for row in split.rows if row["sample_id"] in ("s/3", "s/9", "s/20")} == {"g20"}
    assert split.proof["groups_united"] == [["g20", "g3", "g9"]]
    assert split.proof["identical_images_across_groups"] == [
        {"sha256": "b", "samples": [
            {"sample_id": "s/20", "where": "frame 0"}, {"sample_id": "s/9", "where": "frame 0"}]},
        {"sha256": "same", "samples": [
            {"sample_id": "s/3", "where": "frame 0"}, {"sample_id": "s/9", "where": "frame 4 v"}]},
    ]  # fmt: skip
    assert split.proof["groups_shared_between_folds"] == 0
    assert split.proof["groups"] == 28


def test_leaks_of_the_official_split_are_listed_and_it_stays_as_it_is() -> None:
    group_of = {"s/a": "one", "s/b": "one", "s/c": "two", "s/d": "three", "s/e": "four", "s/f": "five"}
    official = {"s/a": "train", "s/b": "test", "s/c": "train", "s/d": "unseen_test", "s/e": "test", "s/f": "train"}
    frames = [frame("s/c", "same"), frame("s/d", "same"), frame("s/d", "both"), frame("s/e", "both")]
    split = split_source(samples(group_of, official), frames, {}, PARAMS)
    assert {row["sample_id"]: row["official_split"] for row in split.rows} == official
    assert split.proof["official_split"] == {
        "samples": {"test": 3, "train": 3},
        "groups_shared": ["one"],
        "identical_images_shared": [{"sha256": "same", "samples": {"s/c": "train", "s/d": "test"}}],
        "near_duplicates_shared": [],
        "samples_leaking": ["s/a", "s/b", "s/c", "s/d"],
    }


def test_a_source_without_an_official_split_says_null() -> None:
    assert split_source(samples({"s/a": "a"}), [], {}, PARAMS).proof["official_split"] is None


def test_order_of_rows_changes_nothing() -> None:
    rows = samples({f"s/{n}": f"g{n % 7}" for n in range(40)})
    assert split_source(rows, [], {}, PARAMS) == split_source(rows[::-1], [], {}, PARAMS)


def test_a_source_may_have_fractions_of_its_own() -> None:
    own = {"train": 0.25, "calibration": 0.5, "validation": 0.0, "test": 0.25}
    params = SplitParams.model_validate({**PARAMS.model_dump(), "by_source": {"photos": own}})
    assert params.of("clips") == params
    assert [getattr(params.of("photos"), fold) for fold in FOLDS] == [0.25, 0.5, 0.0, 0.25]
    assert fold_ranges(params.of("photos"))["calibration"] == (0.25, 0.75)
    assert fold_ranges(params.of("clips"))["calibration"] == pytest.approx((0.6, 0.7))


def test_fractions_that_do_not_sum_to_one_are_refused() -> None:
    odd = SplitParams(seed=7, train=0.6, calibration=0.1, validation=0.1, test=0.1)
    with pytest.raises(ConfigError) as caught:
        split_source(samples({"s/a": "a"}), [], {}, odd)
    assert str(caught.value) == (
        "split: expected four fractions ≥ 0 that sum to 1, found [0.6, 0.1, 0.1, 0.1]. Mend the params file."
    )


def test_an_empty_index_is_refused_and_nothing_is_written(project: Project) -> None:
    path = write_table(project.index("gym") / "samples.parquet", "samples", [])
    with pytest.raises(DataError) as caught:
        build_split(project, "gym", PARAMS)
    assert str(caught.value) == f"{path}: expected samples to split, found none. Run: repset index gym."
    assert not project.split("gym").exists()


def test_the_stage_reads_classes_from_exercises_sets_and_masks(project: Project) -> None:
    index = project.index("gym")
    empty = dict.fromkeys(TABLES["samples"].names)
    rows = [
        empty | {"sample_id": f"gym/{n}", "group": f"{n}", "exercise": "squat" if n < 5 else None} for n in range(8)
    ]
    write_table(index / "samples.parquet", "samples", rows)
    write_table(index / "frames.parquet", "frames", [])
    none = dict.fromkeys(TABLES["sets"].names)
    sets = [none | {"sample_id": "gym/5", "exercise": name} for name in ("lunge", "none")]
    write_table(index / "sets.parquet", "sets", sets)
    mask = dict.fromkeys(TABLES["masks"].names) | {"sample_id": "gym/6", "label": "calf"}
    write_table(index / "masks.parquet", "masks", [mask])
    write_table(index / "poses.parquet", "poses", [])
    check_source(project, "gym")
    first = build_split(project, "gym", PARAMS)
    counted: Counter[str] = Counter()
    for fold in first.proof["folds"].values():
        counted.update(fold["classes"])
    assert counted == {"squat": 5, "lunge": 1, "calf": 1}
    files = {path.name: path.read_bytes() for path in project.split("gym").iterdir()}
    build_split(project, "gym", PARAMS)
    assert {path.name: path.read_bytes() for path in project.split("gym").iterdir()} == files
    assert set(files) == {"split.parquet", "proof.json"}
    assert read_rows(project.split("gym") / "split.parquet", "split") == first.rows


def link(a: str, b: str, code: str = "near_duplicate") -> dict[str, Any]:
    return {"code": code, "sample_id": a, "other_id": b, "value": 0.98}


@given(
    st.integers(4, 60),
    st.lists(st.tuples(st.integers(0, 59), st.integers(0, 59)), max_size=40),
    st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None, suppress_health_check=SLOW_MACHINE)
def test_linked_samples_never_part_and_a_new_group_moves_nobody_else(
    count: int, pairs: list[tuple[int, int]], added: int
) -> None:
    one = {f"s/{n}": f"g{n}" for n in range(count)}
    links = [link(f"s/{a}", f"s/{b}") for a, b in pairs if a < count and b < count and a != b]
    first = split_source(samples(one), [], {}, PARAMS, links)
    fold_of = folds(first)
    assert all(fold_of[row["sample_id"]] == fold_of[row["other_id"]] for row in links)
    second = split_source(samples(one | {f"t/{added}": f"z{added}"}), [], {}, PARAMS, links)
    exempt = {m["group"] for split in (first, second) for m in split.proof["groups_moved_to_fill_a_fold"]}
    after, group_of = folds(second), {row["sample_id"]: row["group"] for row in first.rows}
    assert all(fold_of[s] == after[s] for s in one if group_of[s] not in exempt)


def test_near_duplicates_become_one_group_and_stand_in_the_proof() -> None:
    official = {"s/0": "train", "s/1": "test", "s/2": "train", "s/3": "train", "s/4": "test", "s/5": "test"}
    links = [link("s/1", "s/0"), link("s/2", "s/3", "video_neighbours"), link("s/4", "s/5"), link("s/9", "s/0")]
    split = split_source(samples({s: s.replace("s/", "g") for s in official}, official), [], {}, PARAMS, links)
    assert split.proof["groups"] == 3
    assert split.proof["near_duplicates_shared_between_folds"] == 0
    assert split.proof["near_duplicates_across_groups"] == {"near_duplicate": 2, "video_neighbours": 1}
    assert split.proof["groups_united"] == [["g0", "g1"], ["g2", "g3"], ["g4", "g5"]]
    assert split.proof["official_split"]["near_duplicates_shared"] == [
        {"found": "near_duplicate", "value": 0.98, "samples": {"s/1": "test", "s/0": "train"}}
    ]
    assert split.proof["official_split"]["samples_leaking"] == ["s/0", "s/1"]


def test_a_source_that_was_not_checked_since_it_was_indexed_is_refused(project: Project) -> None:
    index = project.index("gym")
    row = dict.fromkeys(TABLES["samples"].names) | {"sample_id": "gym/0", "kind": "image", "media": "no.jpg"}
    write_table(index / "samples.parquet", "samples", [row])
    for name in ("frames", "sets", "masks", "poses"):
        write_table(index / f"{name}.parquet", name, [])
    path = project.checks("gym") / "findings.parquet"
    wanted = f"{path}: expected findings on the index as it is now, found none. Run: repset check gym."
    with pytest.raises(DataError) as caught:
        build_split(project, "gym", PARAMS)
    assert str(caught.value) == wanted
    check_source(project, "gym")
    assert build_split(project, "gym", PARAMS).proof["groups"] == 1
    write_table(index / "samples.parquet", "samples", [row | {"group": "other"}])
    with pytest.raises(DataError) as caught:
        build_split(project, "gym", PARAMS)
    assert str(caught.value) == wanted
