"""The bench of recipes and arms, on a few drawn pictures and two steps: what is trained on what, and resuming."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml

from repset.params import load_params, load_yaml
from repset.project import Project
from repset.records import canonical_json, read_json, read_rows, write_table
from repset.video import ShardWriter, encode_png

pytestmark = pytest.mark.train

SOURCE = "sample_roboflow"
FOLDS = ("train",) * 8 + ("calibration", "calibration", "validation", "test", "test")


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    path = Path(__file__).resolve().parent.parent / "tools" / "recipe_bench.py"
    spec = importlib.util.spec_from_file_location("segmentation_bench", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def drawn(project: Project) -> Project:
    """Pictures of 40 × 40 with a bright block that is the calf; seeded, with a network that trains in a second."""
    writer, rows, samples = ShardWriter(project.index(SOURCE), 1 << 20), [], []
    rng = np.random.default_rng(0)
    for number, fold in enumerate(FOLDS):
        sample = f"{SOURCE}/{number:02d}"
        samples.append({"sample_id": sample, "source": SOURCE, "kind": "image"})
        image, mask = rng.integers(60, 90, (40, 40, 3), dtype=np.uint8), np.zeros((40, 40), np.uint8)
        mask[5:30, 10:30] = 255
        image[mask > 0] = 220
        writer.add(sample, 0, "a", f"{number:02d}.png", encode_png(image))
        for name, blob in (("background", None), ("calf", encode_png(mask))):
            target = canonical_json({"class": name, "person": 0, "variant": "a"})
            rows.append({"sample_id": sample, "source": SOURCE, "group": f"g{number}", "fold": fold,
                         "task": "muscle_mask", "target": target, "blob": blob, "tier": "gold",
                         "origin": "dataset"})  # fmt: skip
    writer.close()
    write_table(project.index(SOURCE) / "frames.parquet", "frames", writer.rows)
    write_table(project.index(SOURCE) / "samples.parquet", "samples", samples)
    write_table(project.seed("muscle_mask", SOURCE) / "table.parquet", "curated", rows)
    for name in ("params.yaml", "pipelines/real.yaml"):
        params = yaml.safe_load((project.root / name).read_text())
        params["train"]["segmentation"] |= {
            "size_px": 64, "batch": 4, "epochs": 2, "max_steps": 2, "encoder": "mobilenet_v2",
            "encoder_weights": None,
        }  # fmt: skip
        (project.root / name).write_text(yaml.safe_dump(params))
    return project


def test_a_quarter_of_the_groups_keeps_its_gold(bench: ModuleType, drawn: Project, tmp_path: Path) -> None:
    one = bench.Bench(drawn, SOURCE, tmp_path / "out", None, None)
    gold, rest = bench.quarter(one.rows, 0)
    assert len({row["group"] for row in gold if row["fold"] == "train"}) == 2
    assert len({row["group"] for row in rest}) == 6
    assert {row["fold"] for row in rest} == {"train"}
    assert {row["group"] for row in gold if row["fold"] != "train"} == {f"g{n}" for n in range(8, 13)}
    assert bench.quarter(one.rows, 1)[1] != rest
    assert bench.quarter(one.rows, 0)[1] == rest


@pytest.mark.parametrize(
    ("images", "limit", "steps"),
    [
        (694, 1200, 1188),  # 44 an epoch: 27.3 of them
        (2817, 1200, 1232),  # 176, since the last picture alone is no batch: 6.8 of them
        (16, 7, 7),
        (17, 3, 3),
        (33, 2, 2),
        (49, 2, 2),  # 3 an epoch: cut, as it was
        (2817, None, None),
    ],
)
def test_arms_are_trained_for_the_whole_epochs_nearest_to_the_limit(
    bench: ModuleType, drawn: Project, images: int, limit: int | None, steps: int | None
) -> None:
    recipe = load_params(drawn).train.segmentation.model_copy(update={"batch": 16, "max_steps": limit})
    rows = [
        {"sample_id": f"photo {n // 3}", "fold": fold, "target": canonical_json({"class": name, "variant": f"{n % 3}"})}
        for fold, name in (("train", "background"), ("train", "calf"), ("test", "calf"))
        for n in range(images)
    ]
    assert bench.evened(recipe, rows).max_steps == steps


def test_the_published_recipe_stays_as_published_but_for_the_budget(
    bench: ModuleType, drawn: Project, tmp_path: Path
) -> None:
    many = bench.Bench(drawn, SOURCE, tmp_path / "out", 5000, None)
    assert many.ours().epochs == many.published(0.0003).epochs == 5000  # the steps end a training, not its epochs
    own = bench.Bench(drawn, SOURCE, tmp_path / "out", 7, 96).published(0.0003)
    assert (own.max_steps, own.size_px, own.learning_rate, own.encoder_weights) == (7, 96, 0.0003, None)
    assert (own.loss, own.average, own.class_aware, own.mirror_views) == ("cross_entropy", None, False, False)


def test_the_published_recipe_begins_with_the_encoder_that_is_asked_for(
    bench: ModuleType, drawn: Project, tmp_path: Path
) -> None:
    real = drawn.pipelines / "real.yaml"
    its_own = load_yaml(real)
    its_own["train"]["segmentation"]["encoder_weights"] = "imagenet"
    real.write_text(yaml.safe_dump(its_own))
    untrained, fetched, ours = (
        bench.Bench(drawn, SOURCE, tmp_path / "out", None, None, begins).published(0.001)
        for begins in ("untrained", "fetched", "ours")
    )
    encoder = its_own["train"]["segmentation"]["encoder"]
    assert (untrained.encoder, untrained.encoder_weights) == (encoder, None)
    assert (fetched.encoder, fetched.encoder_weights) == (encoder, "imagenet")
    same = load_params(drawn).train.segmentation
    shared = ("encoder", "encoder_weights", "encoder_depth", "decoder_channels")
    assert all(getattr(ours, key) == getattr(same, key) for key in shared)
    assert (ours.loss, ours.learning_rate) == ("cross_entropy", 0.001)


def test_arms_and_recipes_are_trained_once(bench: ModuleType, drawn: Project, tmp_path: Path) -> None:
    one = bench.Bench(drawn, SOURCE, tmp_path / "out", None, None)
    arms = one.arms(1)
    assert arms["data"] == "rendered sample"
    (taken,) = arms["acceptance"]
    assert (taken["calibration_groups"], taken["accepted"]) == (2, 0)
    assert all(pool["groups_missing"] >= 57 for pool in taken["pools"])
    assert taken["proposed"] == 6
    # Nothing is accepted, so that arm is the bootstrap itself.
    assert arms["arms"]["accepted"] == arms["arms"]["bootstrap"]
    assert arms["minus_bootstrap"]["accepted"]["miou"] == 0.0
    assert arms["bars"]["accepted - bootstrap, lower end > 0"] is False
    folders = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert [name.split("_seed")[0] for name in folders] == ["arm_bootstrap", "arm_oracle", "arm_unfiltered"]
    table = next((tmp_path / "out").glob("arm_unfiltered*")) / "table.parquet"
    tiers = [(row["group"], row["tier"]) for row in read_rows(table, "curated") if row["fold"] == "train"]
    assert {tier for _, tier in tiers} == {"gold", "accepted"}
    assert len({group for group, _ in tiers}) == 8
    assert all(json.loads(row["target"])["variant"] == "a" for row in read_rows(table, "curated"))
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.safetensors")}
    assert one.arms(1) == arms
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.safetensors")}
    assert load_params(drawn).accept.max_error == 0.05


def test_a_proposal_is_right_where_it_overlaps_the_truth(bench: ModuleType, drawn: Project, tmp_path: Path) -> None:
    one = bench.Bench(drawn, SOURCE, tmp_path / "out", None, None)
    gold, rest = bench.quarter(one.rows, 0)
    exact, wider, narrower = sorted({row["sample_id"] for row in rest})[:3]
    proposed = []
    for sample, columns in ((exact, slice(10, 30)), (wider, slice(6, 34)), (narrower, slice(10, 23))):
        mask = np.zeros((40, 40), np.uint8)
        mask[5:30, columns] = 255  # the truth has 20 columns: overlaps 1, 20 / 28 = 0.71, 13 / 20 = 0.65
        target = canonical_json({"class": "calf", "person": 0, "variant": "a"})
        proposed.append({"sample_id": sample, "source": SOURCE, "task": "muscle_mask", "target": target, "value": None,
                         "blob": encode_png(mask), "score": 0.9, "origin_hash": "model"})  # fmt: skip
    more, facts = bench.sorted_out("muscle_mask", proposed, one.rows, rest, one.params.accept)
    learned = {arm: [row["sample_id"] for row in rows] for arm, rows in more.items()}
    assert learned == {"accepted": [], "unfiltered": [exact, wider, narrower], "right": [exact, wider]}
    assert (facts["proposed"], facts["proposed_wrong"], facts["accepted"]) == (3, 1, 0)
    assert {row["sample_id"] for row in gold}.isdisjoint(learned["unfiltered"])


def test_a_network_of_larger_images_proposes_and_the_arms_keep_their_size(
    bench: ModuleType, drawn: Project, tmp_path: Path
) -> None:
    one = bench.Bench(drawn, SOURCE, tmp_path / "out", None, None)
    arms = one.arms(1, 96)
    assert arms["proposer"]["size_px"] == 96
    cards = {path.parents[1].name.split("_seed")[0]: read_json(path) for path in (tmp_path / "out").rglob("card.json")}
    sizes = {name: card["architecture"]["size_px"] for name, card in cards.items()}
    assert sizes == {"proposer": 96, "arm_bootstrap": 64, "arm_unfiltered": 64, "arm_oracle": 64}
    table = next((tmp_path / "out").glob("arm_unfiltered*")) / "table.parquet"
    said = {row["origin_hash"] for row in read_rows(table, "curated") if row["tier"] == "accepted"}
    assert said == {cards["proposer"]["weights_sha256"]}
    learned = [read_rows(next((tmp_path / "out").glob(f"{name}*")) / "table.parquet", "curated") for name in cards]
    assert len([rows for rows in learned if {row["tier"] for row in rows} == {"gold"}]) == 3  # all but unfiltered
    (proposer,) = (tmp_path / "out").glob("proposer*")
    written = (proposer / "proposals.parquet").stat().st_mtime_ns
    assert one.arms(1, 96) == arms
    assert (proposer / "proposals.parquet").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("part", "option"), [("recipes", ["--proposer-size", "96"]), ("arms", ["--fetch"]), ("arms", ["--same-encoder"])]
)
def test_an_option_of_the_other_part_is_refused_in_place_of_ignored(
    bench: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    part: str,
    option: list[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["recipe_bench.py", part, *option, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as stopped:
        bench.main()
    assert stopped.value.code == 2
    assert f"{option[0]} " in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_the_bars_are_of_the_rate_chosen_on_validation(
    bench: ModuleType, drawn: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bench.Bench(drawn, SOURCE, tmp_path / "out", None, None)
    runs = {"ours": (40, 0.5), "published 0.1": (30, 0.4), "published 0.2": (38, 0.3)}

    def train(name: str, *rest: Any) -> dict[str, Any]:
        hit, validation = runs[name.split(" seed")[0]]
        score = {"iou": {"biceps": hit / 50}, "boundary_f1": {"mean": 0.5}, "calibration_error": {"all": 0.1}}
        score |= {"steps": 28, "seconds": 10.0 + rest[-1]}
        return counts(hit, 50 - hit) | score | {"validation_miou": validation, "baseline": {"miou": 0.2}}

    monkeypatch.setattr(one, "train", train)
    found = one.recipes(2, (0.1, 0.2))
    assert found["published_chosen_on_validation"] == "published 0.1"
    assert (found["recipes"]["ours"]["steps_by_seed"], found["recipes"]["ours"]["seconds"]) == ([28, 28], 10.5)
    assert found["ours_minus_published"]["miou_muscles"] == pytest.approx(0.2)
    assert list(found["bars"].values()) == [True, True, True]
    runs["published 0.1"] = (37, 0.4)
    assert list(one.recipes(2, (0.1, 0.2))["bars"].values()) == [True, False, True]


def counts(hit: int, missed: int) -> dict[str, Any]:
    matrix = [[50, 0, 0, 0], [missed, hit, 0, 0], [0] * 4, [0] * 4]
    return {"by_group": {"a": matrix, "b": matrix}, "miou": 0.0, "miou_muscles": hit / (hit + missed)}


def test_runs_are_compared_over_all_seeds_together(bench: ModuleType) -> None:
    found = bench.compare([counts(9, 1), counts(7, 3)], [counts(5, 5), counts(5, 5)])
    assert found["miou_muscles"] == pytest.approx(0.3)
    assert found["miou_muscles_interval_95"] == pytest.approx([0.3, 0.3])
