"""Which muscle works where in an image: a network from segmentation-models-pytorch over four classes.

Masks say which muscles are *expected* to move the load in this exercise and phase; no activation was measured.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from repset.errors import ConfigError, DataError, RepsetError
from repset.learn import Confusion, Evaluation, Progress, metrics, silent
from repset.learn import fit as training
from repset.learn.augment import Augmentation
from repset.learn.card import Card, data_kind, save_model, table_facts
from repset.learn.data import (
    BACKGROUND,
    CLASSES,
    TASK,
    Labels,
    MaskedImage,
    MediaReader,
    Probability,
    index_mask,
    read_masked_images,
)
from repset.learn.mask_items import load_items
from repset.learn.muscle_net import MuscleNet, as_onnx, build
from repset.learn.plan import Plan
from repset.learn.segmentation_scores import Tally
from repset.learn.segmenter import BATCH, MODEL, Segmenter, strongest
from repset.params import SegmentationTrain, TrainParams
from repset.project import Project
from repset.records import canonical_json, read_rows, sha256_bytes
from repset.video import Image, encode_png

_SHAPE = ("architecture", "encoder", "encoder_depth", "decoder_channels", "size_px")


def fit(
    project: Project,
    tables: Mapping[str, Path],
    params: TrainParams,
    out: Path,
    device: str = "auto",
    progress: Progress = silent,
) -> None:
    """Train on fold `train` (every augmented sibling an item of its own), choose the epoch by validation mIoU.

    See `repset.learn.Model.fit`. Raises: DataError if a table has no image in the fold `train`.
    """
    own = params.segmentation
    if own.size_px % 32:
        raise ConfigError(f"segmentation.size_px: expected a multiple of 32, found {own.size_px}.")
    images = [item for source, path in tables.items() for item in read_masked_images(path, source, CLASSES)]
    folds = {fold: [item for item in images if item.fold == fold] for fold in ("train", "validation")}
    if not folds["train"]:
        named = ", ".join(str(path) for path in tables.values())
        raise DataError(
            named, "images with labels in the fold train", "none", "Check class_map, the split and repset curate"
        )
    where = training.prepare(params.seed, device)
    shape = {key: value for key, value in own.model_dump(mode="json").items() if key in _SHAPE}
    network = build(shape, own.encoder_weights)
    augment = Augmentation(own, CLASSES)
    learned, conflicts = load_items(project, folds["train"], CLASSES, own.size_px, augment, progress)
    chosen, _ = load_items(project, folds["validation"], CLASSES, own.size_px, None, progress)
    data = {
        source: table_facts(path, {f: sum(i.source == source for i in folds[f]) for f in folds})
        for source, path in tables.items()
    }
    plan = _plan(own, params.seed, {"params": own.model_dump(mode="json"), "data": data})
    if own.class_aware:
        plan = replace(plan, draw=class_aware([set(item.masks) for item in folds["train"]]))
    outcome = training.train(network, learned, chosen, plan, where, project.cache / "fit", out / "history", progress)
    network.load_state_dict(outcome.state)
    onnx, said = _onnx(network.cpu(), own.size_px)
    card = Card(
        model=MODEL,
        architecture=shape,
        classes=CLASSES,
        skeleton=None,
        params=own.model_dump(mode="json"),
        seed=params.seed,
        data=data,
        data_kind=data_kind(project, list(tables)),
        training={**outcome.facts, "pixels_claimed_by_two_classes": conflicts, "onnx": said},
    )
    save_model(out, outcome.state, card, onnx)


def _onnx(network: MuscleNet, size_px: int) -> tuple[bytes | None, str]:
    """The network as ONNX, or None where it has no such form; and what the card says of that."""
    try:
        onnx, off = as_onnx(network, size_px)
    except RepsetError as error:
        return None, f"none: {error}"
    return onnx, f"differs from torch by less than {10 ** np.ceil(np.log10(max(off, 1e-9))):.0e}"


def _plan(own: SegmentationTrain, seed: int, inputs: Any) -> Plan:
    return Plan(
        name=MODEL, inputs=inputs, seed=seed, classes=len(CLASSES), score="miou", batch=own.batch, epochs=own.epochs,
        max_steps=own.max_steps, learning_rate=own.learning_rate, step_epochs=own.step_epochs, gamma=own.gamma,
        weights=(own.background_weight, *(1.0 for _ in CLASSES[1:])), loss=own.loss, weight_decay=own.weight_decay,
        warmup_steps=own.warmup_steps, average=own.average, patience=own.patience,
    )  # fmt: skip


def class_aware(labels: Sequence[set[str]]) -> tuple[float, ...]:
    """How often to draw each item, given its classes: as often as its rarest class needs to be seen as often as the
    others. Items without any class make one share of their own."""
    kinds = [names or {BACKGROUND} for names in labels]
    counts = Counter(name for names in kinds for name in names)
    return tuple(max(1 / counts[name] for name in names) for names in kinds)


def evaluate(
    project: Project,
    tables: Mapping[str, Path],
    folder: Path,
    fold: str = "test",
    device: str = "auto",
    progress: Progress = silent,
) -> Evaluation:
    """IoU, Dice, boundary F1, pixel accuracy and calibration over the fold, at the images' own size, with intervals.

    See `repset.learn.Model.evaluate`. An image counts if all its labels are gold or corrected gold. Scores are on the
    corrected truth; `miou_on_original_truth` is on the dataset's own masks.
    """
    items = [i for source, path in tables.items() for i in read_masked_images(path, source, CLASSES) if i.fold == fold]
    gold = [item for item in items if item.is_gold]
    if not gold:
        named = ", ".join(str(path) for path in tables.values())
        raise DataError(named, f"gold labels in the fold {fold}", "none", "Check the split and repset curate")
    model = Segmenter(folder, device)
    tally, by_source = Tally(CLASSES), {source: Tally(CLASSES) for source in tables}
    original = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    for done, (item, image, labels, p) in enumerate(_labelled(MediaReader(project), gold, model)):
        truth, before = (
            index_mask(masks, CLASSES, image.shape[0], image.shape[1], item.sample_id)[0]
            for masks in (item.masks, item.originals)
        )
        for counts in (tally, by_source[item.source]):
            counts.add(f"{item.source} {item.group}", truth, labels, p)
        original += metrics.confusion(before, labels, len(CLASSES))
        progress(done + 1, len(gold), "scoring images")
    scores = {
        "n": len(gold),
        "samples": len({item.sample_id for item in gold}),
        "images_left_out_not_gold": len(items) - len(gold),
        "images_with_corrections": sum("gold_corrected" in item.tiers for item in gold),
        **tally.scores(),
        "miou_on_original_truth": metrics.mean_present(metrics.iou(original)),
    }
    if len(tables) > 1:
        scores["by_source"] = {source: counts.scores() for source, counts in by_source.items()}
    return Evaluation(scores, {"confusion": Confusion(CLASSES, tally.total, "pixels")})


def propose(
    project: Project,
    folder: Path,
    task: str,
    source: str,
    device: str = "auto",
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """One proposal for each muscle seen in an image, and one `background` row for each image looked at.

    See `repset.learn.Model.propose`. The score speaks of the mean of the image and its mirror image, so that whatever
    they disagree on makes it lower: of a muscle the overlap to be expected (`expected_iou`), since by its overlap a
    mask is right or wrong; of the background, 1 minus the highest probability of any muscle. It is not calibrated.
    """
    if task != TASK:
        raise RepsetError(f"{task}: the model {MODEL} proposes {TASK} only.")
    model = Segmenter(folder, device)
    images, reader = _stored_images(project, source), MediaReader(project)
    rows: list[dict[str, Any]] = []
    for first in range(0, len(images), BATCH):
        batch = images[first : first + BATCH]
        for item, views in zip(batch, model.views([reader.image(item) for item in batch]), strict=True):
            rows += _proposals(item, views, model.card)
            progress(first + len(batch), len(images), "proposing masks")
    return rows


def _proposals(item: MaskedImage, views: Probability, card: Card) -> Iterator[dict[str, Any]]:
    mean = views.mean(0)
    labels, _ = strongest(dict(enumerate(mean)))
    for index, label in enumerate(card.classes):
        mask = labels == index
        if not mask.any() and label != BACKGROUND:
            continue
        blob = None if label == BACKGROUND else encode_png(np.uint8(255) * mask)
        yield {
            "sample_id": item.sample_id,
            "task": TASK,
            "target": canonical_json({"class": label, "person": 0, "variant": item.variant}),
            "value": None,
            "blob": blob,
            "score": round(1 - float(mean[1:].max()) if label == BACKGROUND else expected_iou(mean[index], mask), 6),
            "origin": "model",
            "origin_hash": card.weights_sha256,
            "value_hash": sha256_bytes(blob or b""),
        }


def expected_iou(probability: Probability, mask: npt.NDArray[np.bool_]) -> float:
    """How far a mask overlaps the truth, 0..1, if each pixel is true with its probability: expected intersection over
    expected union. Both (H, W); the mask is not empty."""
    inside = float(probability[mask].sum(dtype=np.float64))
    outside = float(probability[~mask].sum(dtype=np.float64))
    return inside / (np.count_nonzero(mask) + outside)


def _stored_images(project: Project, source: str) -> list[MaskedImage]:
    """Every variant of every image of a source, unlabelled, in the order of its samples table."""
    index = project.index(source)
    variants: dict[str, list[str]] = {}
    for row in read_rows(index / "frames.parquet", "frames", ["sample_id", "variant"]):
        variants.setdefault(row["sample_id"], []).append(row["variant"] or "")
    samples = read_rows(index / "samples.parquet", "samples", ["sample_id"], filters=[("kind", "=", "image")])
    return [
        MaskedImage(source, sample["sample_id"], variant, "")
        for sample in samples
        for variant in sorted(variants.get(sample["sample_id"], []))
    ]


def _labelled(
    reader: MediaReader, items: Sequence[MaskedImage], model: Segmenter
) -> Iterator[tuple[MaskedImage, Image, Labels, Probability]]:
    """Items with their images and the model's answer, decoded a batch at a time."""
    for first in range(0, len(items), BATCH):
        batch = items[first : first + BATCH]
        images = [reader.image(item) for item in batch]
        for item, image, (labels, p) in zip(batch, images, model.label_with_probability(images), strict=True):
            yield item, image, labels, p
