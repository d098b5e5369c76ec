"""The segmentation model on drawn shapes: labels in, masks out, and every stage around it."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml

from repset.curate.build import build_seed
from repset.curate.checks import check_source
from repset.curate.splits import build_split
from repset.errors import ConfigError, DataError, RepsetError
from repset.learn import data, load_model, segmentation, stages
from repset.learn.card import load_card
from repset.learn.data import CLASSES
from repset.learn.muscle_net import build
from repset.learn.segment_media import media_files, overlay, segment_media
from repset.learn.segmenter import MODEL, Segmenter
from repset.params import load_params, load_source
from repset.project import Project
from repset.records import canonical_json, read_rows, sha256_file, write_table
from repset.sources.index import index_source
from repset.video import Image, ShardWriter, encode_png, read_video, write_video

pytestmark = pytest.mark.train

SOURCE = "sample_roboflow"
FOLDS = ("train",) * 4 + ("calibration", "validation", "test", "test")
SMALL = "mobilenet_v2"  # the smallest encoder of segmentation-models-pytorch; the recipe's ResNet-34 has 24 M weights
SHAPE = {"architecture": "Unet", "encoder": SMALL, "encoder_depth": 5, "decoder_channels": None}
COLOURS = {"biceps": (40, 40, 220), "triceps": (220, 60, 40), "calf": (40, 200, 60)}


def picture(number: int, variant: int, height: int = 48, width: int = 40) -> tuple[Image, dict[str, Any]]:
    """A grey picture with one coloured block for each class but one, and the masks of the blocks."""
    rng = np.random.default_rng([number, variant])
    image = rng.integers(90, 120, (height, width, 3), dtype=np.uint8)
    masks = {}
    for n, (name, colour) in enumerate(COLOURS.items()):
        if n == number % 4:
            continue  # every fourth picture has them all
        mask = np.zeros((height, width), np.uint8)
        top, left = n * height // 3 + 1, int(rng.integers(0, width // 2))
        mask[top : top + height // 3 - 2, left : left + width // 2] = 255
        image[mask > 0] = colour
        masks[name] = mask
    return image, masks


def curated(sample: str, fold: str, label: str, variant: str, blob: bytes | None, **other: Any) -> dict[str, Any]:
    target = canonical_json({"class": label, "person": 0, "variant": variant})
    return {
        "sample_id": sample, "source": SOURCE, "group": sample, "fold": fold, "task": "muscle_mask", "target": target,
        "blob": blob, "tier": "gold", "origin": "dataset", **other,
    }  # fmt: skip


@pytest.fixture
def drawn(project: Project) -> Project:
    """A project whose source holds eight pictures in two variants, seeded, curated and with tiny params."""
    writer, rows = ShardWriter(project.index(SOURCE), 1 << 20), []
    samples = []
    for number, fold in enumerate(FOLDS):
        sample = f"{SOURCE}/{number:02d}"
        samples.append({"sample_id": sample, "source": SOURCE, "kind": "image"})
        for variant in range(2):
            image, masks = picture(number, variant)
            writer.add(sample, 0, f"v{variant}", f"{number:02d}.{variant}.png", encode_png(image))
            rows.append(curated(sample, fold, "background", f"v{variant}", None))
            rows += [curated(sample, fold, name, f"v{variant}", encode_png(mask)) for name, mask in masks.items()]
    writer.close()
    write_table(project.index(SOURCE) / "frames.parquet", "frames", writer.rows)
    write_table(project.index(SOURCE) / "samples.parquet", "samples", samples)
    for folder in (project.seed("muscle_mask", SOURCE), project.curated("muscle_mask", SOURCE)):
        write_table(folder / "table.parquet", "curated", rows)
    params = yaml.safe_load((project.root / "params.yaml").read_text())
    for group in ("bootstrap", "train"):
        params[group]["segmentation"] |= {
            "size_px": 64,
            "batch": 4,
            "max_steps": 2,
            "encoder": SMALL,
            "encoder_depth": 5,
            "encoder_weights": None,
        }
        params[group]["segmentation"]["decoder_channels"] = None
    (project.root / "params.yaml").write_text(yaml.safe_dump(params))
    return project


def table(project: Project) -> dict[str, Path]:
    return {SOURCE: project.curated("muscle_mask", SOURCE) / "table.parquet"}


def rewrite(project: Project, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    path = table(project)[SOURCE]
    rows = [changed for row in read_rows(path, "curated") if (changed := change(row)) is not None]
    write_table(path, "curated", rows)


def message(call: Callable[[], object], kind: type[RepsetError] = DataError) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


# --- index masks and squares -----------------------------------------------------------------------------------------


def png(*rows: str) -> bytes:
    return encode_png(np.array([[255 * (c == "#") for c in row] for row in rows], np.uint8))


def test_the_smaller_muscle_wins_and_conflicts_are_counted() -> None:
    masks = {"biceps": [png("###.", "###.")], "calf": [png("..##", "....")]}
    labels, conflicts = data.index_mask(masks, CLASSES, 2, 4, "here")
    assert labels.tolist() == [[1, 1, 3, 3], [1, 1, 1, 0]]
    assert conflicts == 1


def test_on_a_tie_the_later_class_wins_whatever_the_order_of_rows() -> None:
    biceps, triceps = png("##.."), png(".##.")
    for masks in ({"biceps": [biceps], "triceps": [triceps]}, {"triceps": [triceps], "biceps": [biceps]}):
        assert data.index_mask(masks, CLASSES, 1, 4, "here")[0].tolist() == [[1, 2, 2, 0]]


def test_persons_of_one_class_are_united_without_conflict() -> None:
    labels, conflicts = data.index_mask({"calf": [png("##.."), png(".##.")]}, CLASSES, 1, 4, "here")
    assert labels.tolist() == [[3, 3, 3, 0]]
    assert conflicts == 0


def test_a_mask_of_another_size_is_one_sentence() -> None:
    text = message(lambda: data.index_mask({"calf": [png("##")]}, CLASSES, 4, 4, "s/01"))
    assert text == "s/01: expected a mask of 4×4 px as the image, found 2×1 for calf. Correct the mask."


def params(**changes: Any) -> Any:
    values = dict(
        size_px=64, batch=4, epochs=1, max_steps=1, learning_rate=0.001, weight_decay=0, warmup_steps=None,
        step_epochs=5, gamma=0.5, loss="cross_entropy", background_weight=1, average=None, class_aware=False,
        architecture="Unet", encoder=SMALL, encoder_depth=5, decoder_channels=None, encoder_weights=None,
        mirror_views=False, flip_p=0, shear_deg=0, rotate_deg=0, scale=0, shift=0, colour=0, grayscale_p=0, blur_px=0,
        noise_p=0,
    )  # fmt: skip
    return segmentation.SegmentationTrain(**{**values, **changes})


# --- training, proposals, scores -------------------------------------------------------------------------------------


def files(folder: Path) -> Mapping[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_stages_run_and_say_what_they_did(drawn: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Bootstrap, proposals, training and evaluation on one project; slow parts shared by one test."""
    bootstrap = stages.train_model(drawn, "segmentation", "bootstrap", "cpu")
    card = json.loads((bootstrap / "card.json").read_text())
    assert card["classes"] == ["background", "biceps", "triceps", "calf"]
    assert card["data_kind"] == "rendered sample"
    assert {key: card["data"][SOURCE][key] for key in ("train", "validation")} == {"train": 8, "validation": 2}
    assert card["training"]["steps"] == 2

    # Same seed, same bytes, in another folder.
    other = tmp_path_factory.mktemp("clone")
    shutil.copytree(drawn.root, other, dirs_exist_ok=True)
    again = stages.train_model(Project(other), "segmentation", "bootstrap", "cpu")
    assert files(again) == files(bootstrap)

    path, count = stages.preannotate(drawn, "muscle_mask", SOURCE, "cpu")
    rows = read_rows(path, "proposals")
    backgrounds = [row for row in rows if json.loads(row["target"])["class"] == "background"]
    assert count == len(rows)
    assert [(row["sample_id"], json.loads(row["target"])["variant"]) for row in backgrounds] == [
        (f"{SOURCE}/{n:02d}", f"v{v}") for n in range(8) for v in range(2)
    ]
    assert {row["origin_hash"] for row in rows} == {card["weights_sha256"]}
    assert all(0 <= row["score"] <= 1 for row in rows)
    masks = [cv2.imdecode(np.frombuffer(row["blob"], np.uint8), -1) for row in rows if row["blob"]]
    assert {mask.shape for mask in masks} <= {(48, 40)}
    assert {int(v) for mask in masks for v in np.unique(mask)} <= {0, 255}

    stages.train_model(drawn, "segmentation", "train", "cpu")
    result = stages.evaluate_model(drawn, "segmentation", "cpu")
    text = (drawn.model("segmentation") / "metrics.json").read_text()
    assert json.loads(text) == result
    assert "NaN" not in text
    assert result["data"] == "rendered sample"
    assert (result["final"]["n"], result["final"]["samples"]) == (4, 2)
    pixels = 4 * 48 * 40
    truth = sum(int((m > 0).sum()) for n in (6, 7) for v in range(2) for m in picture(n, v)[1].values())
    assert result["final"]["baseline"]["pixel_accuracy"] == pytest.approx(1 - truth / pixels)
    plots = set(files(drawn.model("segmentation") / "plots"))
    assert {
        "confusion_final.png",
        "confusion_bootstrap.csv",
        "curve_train_loss.csv",
        "curve_validation_miou.png",
    } <= plots


def test_blocks_of_colour_are_learned(drawn: Project, tmp_path: Path) -> None:
    """Thirty steps suffice to beat the all-background answer by far where colour gives the class away."""
    own = load_params(drawn).train
    own = own.model_copy(update={"segmentation": params(max_steps=30, epochs=15, learning_rate=0.003)})
    segmentation.fit(drawn, table(drawn), own, tmp_path / "model", "cpu")
    scores = segmentation.evaluate(drawn, table(drawn), tmp_path / "model", device="cpu").metrics
    assert scores["miou"] > scores["baseline"]["miou"] + 0.3
    card = load_card(tmp_path / "model", MODEL)
    assert card.onnx_sha256 == sha256_file(tmp_path / "model" / "network.onnx")
    assert card.training["onnx"].startswith("differs from torch by less than 1e-0")

    # Corrected labels: scored on the correction, and beside it on the dataset's own mask.
    def correct(row: dict[str, Any]) -> dict[str, Any]:
        if row["fold"] == "test" and json.loads(row["target"])["class"] == "biceps":
            whole = encode_png(np.full((48, 40), 255, np.uint8))
            row |= {"tier": "gold_corrected", "original_blob": row["blob"], "blob": whole}
        return row

    rewrite(drawn, correct)
    changed = segmentation.evaluate(drawn, table(drawn), tmp_path / "model", device="cpu").metrics
    assert changed["miou_on_original_truth"] == pytest.approx(scores["miou"])
    assert changed["miou"] < scores["miou"]
    assert changed["images_with_corrections"] == 4

    # Labels that a model proposed are no truth: their images are left out, and counted.
    def edit(row: dict[str, Any]) -> dict[str, Any]:
        return row | ({"tier": "edited"} if row["sample_id"].endswith("07") else {})

    rewrite(drawn, edit)
    fewer = segmentation.evaluate(drawn, table(drawn), tmp_path / "model", device="cpu").metrics
    assert (fewer["n"], fewer["images_left_out_not_gold"]) == (2, 2)

    # The same folder labels anyone's media.
    image, _ = picture(3, 9, 96, 120)
    (tmp_path / "photo.png").write_bytes(encode_png(image))
    write_video(tmp_path / "clip.mp4", [image] * 18, 12)
    model = Segmenter(tmp_path / "model", "cpu")
    found = list(segment_media([tmp_path / "photo.png", tmp_path / "clip.mp4"], model, tmp_path / "out"))
    mask = cv2.imread(str(tmp_path / "out" / "photo_mask.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (96, 120)
    assert found[0].share["biceps"] == pytest.approx(float((mask == 1).mean()))
    assert sum(1 for _ in read_video(tmp_path / "out" / "clip_overlay.mp4")) == 18
    expected = "Pixel Value, Class\n0, background\n1, biceps\n2, triceps\n3, calf\n"
    assert (tmp_path / "out" / "_classes.csv").read_text() == expected


def test_an_overlay_colours_what_was_marked_and_nothing_else() -> None:
    image = np.full((200, 200, 3), 100, np.uint8)
    labels = np.zeros((200, 200), np.uint8)
    labels[20:60, 120:180] = 1
    picture = overlay(image, labels, CLASSES)
    assert np.all(image == 100)
    assert np.all((picture[30:50, 130:170] != 100).any(-1))
    assert np.all(picture[80:120, 120:180] == 100)


@pytest.mark.real
def test_real_photos_pass_through_the_stages(project: Project, shared_data: Path) -> None:
    """Plumbing only: the masks are limb capsules drawn by a program, and two steps teach nothing."""
    source = "roboflow"
    shutil.copytree(shared_data / "roboflow" / "pseudo_muscles_png_mask_semantic", project.raw(source))
    index_source(project, source, load_source(project, source), 64)
    check_source(project, source)
    build_split(project, source, load_params(project).split)
    build_seed(project, "muscle_mask", source, None)
    path = {source: project.seed("muscle_mask", source) / "table.parquet"}
    own = load_params(project).train.model_copy(update={"segmentation": params(max_steps=2)})
    folder = project.model("segmentation") / "bootstrap"
    segmentation.fit(project, path, own, folder, "cpu")
    assert json.loads((folder / "card.json").read_text())["data_kind"] == "real"
    scores = segmentation.evaluate(project, path, folder, device="cpu").metrics
    folds = read_rows(project.split(source) / "split.parquet", "split")
    assert scores["n"] == sum(row["fold"] == "test" for row in folds) > 0
    assert 0 < scores["baseline"]["miou"] < 0.3
    rows = segmentation.propose(project, folder, "muscle_mask", source, "cpu")
    assert len({row["sample_id"] for row in rows}) == 72


# --- bad input -------------------------------------------------------------------------------------------------------


def fit(project: Project, out: Path, **changes: Any) -> None:
    own = load_params(project).train
    segmentation.fit(project, table(project), own.model_copy(update={"segmentation": params(**changes)}), out, "cpu")


def test_a_table_without_training_images_is_one_sentence(drawn: Project, tmp_path: Path) -> None:
    rewrite(drawn, lambda row: row | {"fold": "test"})
    assert message(lambda: fit(drawn, tmp_path / "m")) == (
        f"{table(drawn)[SOURCE]}: expected images with labels in the fold train, found none. "
        "Check class_map, the split and repset curate."
    )
    assert not (tmp_path / "m").exists()


def test_an_unknown_class_is_one_sentence(drawn: Project, tmp_path: Path) -> None:
    rewrite(drawn, lambda row: row | {"target": row["target"].replace("calf", "soleus")})
    assert message(lambda: fit(drawn, tmp_path / "m")) == (
        f"{table(drawn)[SOURCE]}: expected the classes background, biceps, triceps, calf, found 'soleus' in "
        f"{SOURCE}/00. Map it to one of them with class_map in pipelines/{SOURCE}.yaml, and index again."
    )


def test_an_image_that_the_index_lacks_is_one_sentence(drawn: Project, tmp_path: Path) -> None:
    rewrite(drawn, lambda row: row | {"target": row["target"].replace("v1", "gone")})
    assert message(lambda: fit(drawn, tmp_path / "m")) == (
        f"{drawn.index(SOURCE)}/frames.parquet: expected an image of {SOURCE}/00 gone, found none. "
        "Run repset index and repset curate again, so that both speak of the same images."
    )


def test_a_fold_without_gold_is_one_sentence(drawn: Project, tmp_path: Path) -> None:
    rewrite(drawn, lambda row: row | {"tier": "accepted"})
    assert message(lambda: segmentation.evaluate(drawn, table(drawn), tmp_path, device="cpu")) == (
        f"{table(drawn)[SOURCE]}: expected gold labels in the fold test, found none. Check the split and repset curate."
    )


def test_a_size_that_the_network_cannot_halve_five_times_is_refused(drawn: Project, tmp_path: Path) -> None:
    text = message(lambda: fit(drawn, tmp_path / "m", size_px=100), ConfigError)
    assert text == "segmentation.size_px: expected a multiple of 32, found 100."


def test_an_unknown_encoder_is_refused() -> None:
    text = message(lambda: build(SHAPE | {"encoder": "resnet35"}), ConfigError)
    assert text == "encoder: expected one that segmentation-models-pytorch knows, found 'resnet35'."


def test_weights_that_cannot_be_had_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: Any, **options: Any) -> None:
        raise OSError("no route to the hub.\nsecond line")

    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", offline)
    assert message(lambda: build(SHAPE | {"encoder": "resnet34"}, "imagenet"), RepsetError) == (
        "encoder_weights 'imagenet' of resnet34 cannot be had (no route to the hub). Connect to the network for the "
        "first run, take an encoder whose weights are installed (tu-tf_efficientnet_lite0), "
        "or set encoder_weights: null."
    )


def test_a_model_is_built_without_asking_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", lambda *a, **k: pytest.fail("asked"))
    assert build(SHAPE)(torch.zeros(1, 3, 64, 64, dtype=torch.uint8)).shape == (1, 4, 64, 64)


def test_models_and_pairs_that_are_not_there_are_named(project: Project) -> None:
    assert message(lambda: load_model("segmentaton"), RepsetError) == (
        "segmentaton: no such model. Models: segmentation, exercise."
    )
    text = message(lambda: stages.preannotate(project, "form", SOURCE), ConfigError)
    assert text.startswith(f"form {SOURCE}: no such pair in the profile sample. Pairs: muscle_mask sample_roboflow, ")
    missing = project.curated("muscle_mask", SOURCE) / "table.parquet"
    assert message(lambda: stages.train_model(project, "segmentation", "train")) == (
        f"{missing}: expected the table curated, found no file. Run the stage that writes it, for example: dvc repro."
    )


def test_media_that_cannot_be_segmented_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    for name in ("a.png", "a.jpg"):
        (tmp_path / name).write_bytes(b"")
    assert message(lambda: media_files([tmp_path / "empty"])) == (
        f"{tmp_path}/empty: expected images or videos, found none. Name a folder with media, or the files themselves."
    )
    assert message(lambda: media_files([tmp_path / "gone.png"])) == (
        f"{tmp_path}/gone.png: expected an image, a video or a folder, found nothing. Check the path."
    )
    assert "found '.txt'. Convert it or leave it out." in message(lambda: media_files([tmp_path / "notes.txt"]))
    assert message(lambda: media_files([tmp_path])) == (
        f"{tmp_path}/a.png: expected another name than, found {tmp_path}/a.jpg. "
        "Rename one, since outputs are named after the stem."
    )
