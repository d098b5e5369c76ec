"""Which muscle works where in an image: a U-Net from segmentation-models-pytorch over four classes.

Masks say which muscles are *expected* to move the load in this exercise and phase; no activation was measured.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import segmentation_models_pytorch as smp
import torch

from repset.errors import ConfigError, DataError, RepsetError
from repset.learn import Confusion, Evaluation, Progress, metrics, silent
from repset.learn import fit as training
from repset.learn.augment import Augmentation
from repset.learn.card import Card, data_kind, load_card, load_into, save_model, table_facts
from repset.learn.data import (
    BACKGROUND,
    TASK,
    Labels,
    MaskedImage,
    MediaReader,
    Square,
    index_mask,
    load_items,
    read_masked_images,
)
from repset.params import SegmentationTrain, TrainParams
from repset.project import Project
from repset.records import canonical_json, read_rows, sha256_bytes
from repset.video import Image, encode_png

MODEL = "segmentation"
CLASSES = (BACKGROUND, "biceps", "triceps", "calf")
"""Class names in the order of the output channels, the same for every training, so that folders can be compared."""

Probability = npt.NDArray[np.float32]

_BATCH = 16


class MuscleNet(torch.nn.Module):
    """(N, 3, S, S) uint8 RGB → (N, C, S, S) logits. S is a multiple of 32.

    Pixels are standardised with ImageNet's mean and deviation, which the encoder's published weights expect.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, encoder: str, encoder_weights: str | None, classes: int) -> None:
        super().__init__()
        self.unet = smp.Unet(encoder, encoder_weights=encoder_weights, classes=classes)
        for name, values in (("mean", (0.485, 0.456, 0.406)), ("deviation", (0.229, 0.224, 0.225))):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.unet((images / 255 - self.mean) / self.deviation)
        return logits


def build(encoder: str, encoder_weights: str | None, classes: int = len(CLASSES)) -> MuscleNet:
    """The network, freshly drawn from torch's generator.

    Raises: ConfigError for an unknown encoder; RepsetError if published weights were asked for and cannot be had.
    """
    if encoder not in smp.encoders.get_encoder_names():
        raise ConfigError(f"encoder: expected one that segmentation-models-pytorch knows, found {encoder!r}.")
    try:
        return MuscleNet(encoder, encoder_weights, classes)
    except Exception as error:
        if encoder_weights is None:
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise RepsetError(
            f"encoder_weights {encoder_weights!r} of {encoder} cannot be had ({reason}). "
            "Connect to the network for the first training, or set encoder_weights: null."
        ) from error


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
    network = build(own.encoder, own.encoder_weights)
    learned, conflicts = load_items(project, folds["train"], CLASSES, own.size_px, Augmentation(own), progress)
    chosen, _ = load_items(project, folds["validation"], CLASSES, own.size_px, None, progress)
    data = {
        source: table_facts(path, {f: sum(i.source == source for i in folds[f]) for f in folds})
        for source, path in tables.items()
    }
    plan = _plan(own, params.seed, {"params": own.model_dump(), "data": data})
    outcome = training.train(network, learned, chosen, plan, where, project.cache / "fit", out / "history", progress)
    card = Card(
        model=MODEL,
        architecture={"network": "smp.Unet", "encoder": own.encoder, "size_px": own.size_px},
        classes=CLASSES,
        skeleton=None,
        params=own.model_dump(),
        seed=params.seed,
        data=data,
        data_kind=data_kind(project, list(tables)),
        training={**outcome.facts, "pixels_claimed_by_two_classes": conflicts},
    )
    save_model(out, outcome.state, card)


def _plan(own: SegmentationTrain, seed: int, inputs: Any) -> training.Plan:
    return training.Plan(
        name=MODEL, inputs=inputs, seed=seed, classes=len(CLASSES), score="miou", batch=own.batch, epochs=own.epochs,
        max_steps=own.max_steps, learning_rate=own.learning_rate, step_epochs=own.step_epochs, gamma=own.gamma,
        weights=(own.background_weight, *(1.0 for _ in CLASSES[1:])),
    )  # fmt: skip


class Segmenter:
    """A trained folder, ready to label images of any size. Raises: DataError if the folder holds no such model."""

    def __init__(self, folder: Path, device: str = "auto") -> None:
        self.card = load_card(folder, MODEL, CLASSES)
        self._device = training.prepare(self.card.seed, device)
        self._size_px = int(self.card.architecture["size_px"])
        network = build(self.card.architecture["encoder"], None)
        load_into(network, folder, self.card)
        self._network = network.to(self._device).eval()

    def label(self, images: Sequence[Image]) -> Iterator[tuple[Labels, Probability]]:
        """For each BGR image its (H, W) class indices and the (H, W) probability 0..1 of the named class.

        The network looks at the image fitted into its square; its answer is scaled back to the image's own pixels.
        The probability is the network's own and not calibrated.
        """
        for first in range(0, len(images), _BATCH):
            batch = images[first : first + _BATCH]
            squares = [Square(self._size_px, image.shape[0], image.shape[1]) for image in batch]
            fitted = np.stack([square.image(image)[..., ::-1] for square, image in zip(squares, batch, strict=True)])
            with torch.inference_mode():
                logits = self._network(torch.from_numpy(fitted.transpose(0, 3, 1, 2).copy()).to(self._device)).cpu()
                for square, one in zip(squares, logits, strict=True):
                    rows, columns = square.fitted
                    full = torch.nn.functional.interpolate(
                        one[None, :, :rows, :columns], (square.height, square.width), mode="bilinear"
                    )[0]
                    p, labels = full.softmax(0).max(0)
                    yield labels.to(torch.uint8).numpy(), p.numpy()


def evaluate(
    project: Project,
    tables: Mapping[str, Path],
    folder: Path,
    fold: str = "test",
    device: str = "auto",
    progress: Progress = silent,
) -> Evaluation:
    """IoU, Dice and pixel accuracy over all pixels of the fold, at the images' own size.

    See `repset.learn.Model.evaluate`. An image counts if all its labels are gold or corrected gold. Scores are on the
    corrected truth; `miou_on_original_truth` is on the dataset's own masks.
    """
    items = [i for source, path in tables.items() for i in read_masked_images(path, source, CLASSES) if i.fold == fold]
    gold = [item for item in items if item.is_gold]
    if not gold:
        named = ", ".join(str(path) for path in tables.values())
        raise DataError(named, f"gold labels in the fold {fold}", "none", "Check the split and repset curate")
    model = Segmenter(folder, device)
    corrected = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    original = corrected.copy()
    by_source = {source: corrected.copy() for source in tables}
    for done, (item, image, labels, _) in enumerate(_labelled(MediaReader(project), gold, model)):
        truth, before = (
            index_mask(masks, CLASSES, image.shape[0], image.shape[1], item.sample_id)[0]
            for masks in (item.masks, item.originals)
        )
        counts = metrics.confusion(truth, labels, len(CLASSES))
        corrected += counts
        by_source[item.source] += counts
        original += metrics.confusion(before, labels, len(CLASSES))
        progress(done + 1, len(gold), "scoring images")
    scores = {
        "n": len(gold),
        "samples": len({item.sample_id for item in gold}),
        "images_left_out_not_gold": len(items) - len(gold),
        "images_with_corrections": sum("gold_corrected" in item.tiers for item in gold),
        **metrics.segmentation_scores(corrected, CLASSES),
        "miou_on_original_truth": metrics.mean_present(metrics.iou(original)),
    }
    if len(tables) > 1:
        scores["by_source"] = {s: metrics.segmentation_scores(counts, CLASSES) for s, counts in by_source.items()}
    return Evaluation(scores, {"confusion": Confusion(CLASSES, corrected, "pixels")})


def propose(
    project: Project,
    folder: Path,
    task: str,
    source: str,
    device: str = "auto",
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """One proposal for each muscle seen in an image, and one `background` row for each image looked at.

    See `repset.learn.Model.propose`. The score is the mean probability over the mask's pixels (background row: over
    all pixels that are background), not calibrated.
    """
    if task != TASK:
        raise RepsetError(f"{task}: the model {MODEL} proposes {TASK} only.")
    model = Segmenter(folder, device)
    images = _stored_images(project, source)
    rows: list[dict[str, Any]] = []
    for done, (item, _, labels, p) in enumerate(_labelled(MediaReader(project), images, model)):
        rows += _proposals(item, labels, p, model.card)
        progress(done + 1, len(images), "proposing masks")
    return rows


def _proposals(item: MaskedImage, labels: Labels, p: Probability, card: Card) -> Iterator[dict[str, Any]]:
    for index, label in enumerate(card.classes):
        mask = labels == index
        if not mask.any() and label != BACKGROUND:
            continue
        blob = None if label == BACKGROUND else encode_png(mask.astype(np.uint8) * 255)
        yield {
            "sample_id": item.sample_id,
            "task": TASK,
            "target": canonical_json({"class": label, "person": 0, "variant": item.variant}),
            "value": None,
            "blob": blob,
            "score": round(float(p[mask].mean(dtype=np.float64)), 6) if mask.any() else 0.0,
            "origin": "model",
            "origin_hash": card.weights_sha256,
            "value_hash": sha256_bytes(blob or b""),
        }


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
    for first in range(0, len(items), _BATCH):
        batch = items[first : first + _BATCH]
        images = [reader.image(item) for item in batch]
        for item, image, (labels, p) in zip(batch, images, model.label(images), strict=True):
            yield item, image, labels, p
