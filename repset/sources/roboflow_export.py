"""Reads an unpacked or zipped Roboflow export: PNG masks for semantic segmentation, or COCO segmentation.

On disk: `<split>/<stem>.rf.<hash>.jpg` beside `<same>_mask.png` (8 bit, pixel = class number) and one `_classes.csv`
a split, or beside one `_annotations.coco.json`. Class numbers are Roboflow's own order, so classes are mapped by
name, split by split. Copies that augmentation made of one photo share the stem and are folded into one sample.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from repset.errors import ConfigError, DataError
from repset.params import SourceSpec
from repset.records import sha256_bytes
from repset.sources.coco import CocoFile, read_coco
from repset.sources.roboflow_readme import READMES, read_provenance
from repset.sources.tree import Tree
from repset.sources.untrusted import read_csv_bytes
from repset.sources.writer import IndexWriter, check_image, decode_index_mask, digest
from repset.video import encode_png

BACKGROUND = "background"
CLASSES, COCO = "_classes.csv", "_annotations.coco.json"
EXPECTED = f"a Roboflow export (train/, valid/, test/ with {CLASSES} or {COCO})"
_SPLITS = {"train": "train", "valid": "validation", "test": "test"}
_IMAGE = re.compile(r"^(?P<stem>.+?)(?:\.rf\.(?P<hash>[0-9A-Za-z]+))?\.(?:jpg|jpeg|png)$", re.IGNORECASE)
_MASK = "_mask.png"

Masks = dict[str, npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Shot:
    """One image file: a photo, or an augmented copy of it."""

    name: str  # in the tree
    split: str  # official split
    stem: str
    variant: str  # Roboflow's hash, '' where the name has none


def wanted(name: str) -> bool:
    """Files the reader uses."""
    return PurePosixPath(name).name in (CLASSES, COCO, *READMES) or _IMAGE.match(name) is not None


def essential(name: str) -> bool:
    """A file without which there is nothing to read."""
    return PurePosixPath(name).name in (CLASSES, COCO)


def read(tree: Tree, spec: SourceSpec, out: IndexWriter, progress: Callable[[Iterable[str]], Iterator[str]]) -> None:
    """Put every photo with its copies and masks into `out`.

    Raises: DataError naming the file: an unknown class, a mask of another size or with an unknown value, a missing
        mask, an unreadable image.
    """
    names = tree.names()
    folders = {str(PurePosixPath(name).parent): name for name in names if essential(name)}
    if not folders:
        raise DataError(tree.where, EXPECTED, "neither file", "Export it as png-mask-semantic and pull that")
    _check_class_map(spec, out.source)
    readers = {folder: _reader(tree, set(names), name, spec, out.source) for folder, name in folders.items()}
    listings = sorted(name for name in folders.values() if PurePosixPath(name).name == CLASSES)
    _check_same_classes(tree, listings, spec, out.source)
    photos: dict[str, list[Shot]] = {}
    for shot in _shots(tree, names, folders, out):
        photos.setdefault(shot.stem, []).append(shot)
    images: Counter[str] = Counter()
    straddling: list[str] = []
    for stem in progress(sorted(photos)):
        with out.item(stem):
            images.update(_add_photo(tree, photos[stem], readers, out))
            if len({shot.split for shot in photos[stem]}) > 1:
                straddling.append(stem)
    out.notes |= {
        "images": sum(len(shots) for shots in photos.values()),
        "images_with_class": dict(sorted(images.items())),
        "photos_in_several_splits": straddling,  # copies on both sides: their official split is left null
        "copies_of_a_photo": max((len(shots) for shots in photos.values()), default=0),
        "provenance": read_provenance(tree, names),
    }


def _shots(tree: Tree, names: list[str], folders: dict[str, str], out: IndexWriter) -> Iterator[Shot]:
    images: set[str] = set()
    for name in names:
        path = PurePosixPath(name)
        match = _IMAGE.match(path.name)
        if str(path.parent) not in folders or match is None or path.name.endswith(_MASK):
            continue
        split = _SPLITS.get(path.parent.name)
        if split is None:
            where = tree.at(str(path.parent))
            raise DataError(where, "a folder train, valid or test", path.parent.name, "Export it with its splits")
        images.add(_mask_name(name))
        yield Shot(name, split, match["stem"], match["hash"] or "")
    if not images:
        raise DataError(tree.where, "images beside the class list", "none", "Export it again with its images")
    for name in names:
        if name.endswith(_MASK) and name not in images and str(PurePosixPath(name).parent) in folders:
            with out.item(name):
                raise DataError(
                    tree.at(name), "an image of the same name", "a mask alone", "Remove it or add its image"
                )


def _mask_name(image: str) -> str:
    return image[: image.rindex(".")] + _MASK


def _add_photo(tree: Tree, shots: list[Shot], readers: dict[str, "_Reader"], out: IndexWriter) -> Counter[str]:
    """All copies of one photo as one sample; returns in how many images each class is seen."""
    seen: Counter[str] = Counter()
    loaded = []
    for shot in sorted(shots, key=lambda shot: (shot.variant, shot.name)):
        data = tree.read(shot.name)
        size = check_image(data, tree.at(shot.name))
        loaded.append((shot, data, size, readers[str(PurePosixPath(shot.name).parent)](shot.name, size)))
    variants = Counter(shot.variant for shot, *_ in loaded)
    if double := sorted(variant for variant, count in variants.items() if count > 1):
        copies = ", ".join(shot.name for shot, *_ in loaded if shot.variant == double[0])
        raise DataError(tree.where, "one file for each copy of a photo", copies, "Remove all but one")
    sample_id = out.sample_id(shots[0].stem)
    for shot, data, _, masks in loaded:
        out.shards.add(sample_id, 0, shot.variant, PurePosixPath(shot.name).name, data)
        for label, mask in sorted(masks.items()):
            seen[label] += 1
            png = encode_png(np.where(mask, 255, 0).astype(np.uint8))
            out.rows["masks"].append(
                dict(sample_id=sample_id, variant=shot.variant, person=0, label=label, png=png, origin="dataset")
            )
    splits = {shot.split for shot in shots}
    (width, height) = loaded[0][2]
    out.add_sample(
        shots[0].stem,
        kind="image",
        width=width,
        height=height,
        frames=1,
        group=shots[0].stem,
        official_split=splits.pop() if len(splits) == 1 else None,
        media_sha256=digest([sha256_bytes(data) for _, data, *_ in loaded]),
    )
    return seen


_Reader = Callable[[str, tuple[int, int]], Masks]
"""From an image's name and (width, height) to its masks by canonical label, background and empty ones left out."""


def _reader(tree: Tree, have: set[str], listing: str, spec: SourceSpec, source: str) -> _Reader:
    if PurePosixPath(listing).name == COCO:
        coco = read_coco(tree.read(listing), tree.at(listing))
        labels = {key: _label(name, spec, source, tree.at(listing)) for key, name in coco.categories.items()}
        return lambda image, size: _coco_masks(coco, labels, tree.at(image), PurePosixPath(image).name, size)
    values = _class_values(tree.read(listing), tree.at(listing), spec, source)
    return lambda image, size: _png_masks(tree, have, _mask_name(image), values, size)


def _coco_masks(coco: CocoFile, labels: dict[int, str | None], where: str, image: str, size: tuple[int, int]) -> Masks:
    masks: Masks = {}
    for category, mask in coco.masks(image, size, where):
        label = labels[category]
        if label is not None and mask.any():
            masks[label] = masks[label] | mask if label in masks else mask
    return masks


def _png_masks(tree: Tree, have: set[str], name: str, values: dict[int, str | None], size: tuple[int, int]) -> Masks:
    where = tree.at(name)
    if name not in have:
        raise DataError(where, "a mask beside its image", "no such file", "Export it again, or add the mask")
    mask = decode_index_mask(tree.read(name), where)
    if mask.shape[::-1] != size:
        found = f"{mask.shape[1]} × {mask.shape[0]}"
        raise DataError(where, f"a mask of {size[0]} × {size[1]} px, as its image", found, "Export both again together")
    present = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    masks: Masks = {}
    for value in present.tolist():
        if value not in values:
            known = ", ".join(str(v) for v in sorted(values))
            raise DataError(where, f"pixel values that {CLASSES} lists ({known})", str(value), "Add its row there")
        label = values[value]
        if label is not None:
            here = mask == value
            masks[label] = masks[label] | here if label in masks else here
    return masks


def _class_values(data: bytes, where: str, spec: SourceSpec, source: str) -> dict[int, str | None]:
    """Pixel value → canonical label (None: background) from `_classes.csv`."""
    return {value: _label(name, spec, source, where) for value, name in _class_names(data, where).items()}


def _class_names(data: bytes, where: str) -> dict[int, str]:
    """Pixel value → class name. Raises: DataError, also for one name with two values (background aside)."""
    try:
        rows = [row for row in read_csv_bytes(data) if row]
    except ValueError as error:
        found = "a file that is no text"
        raise DataError(where, "the header 'Pixel Value, Class'", found, "Restore the exported file") from error
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    if header[:1] == ["filename"]:
        found = "the table of a multi-label classification export (filename, classes …)"
        raise DataError(where, "the header 'Pixel Value, Class'", found, "Export it as png-mask-semantic")
    if header != ["pixel value", "class"]:
        found = repr(", ".join(header)[:80])
        raise DataError(where, "the header 'Pixel Value, Class'", found, "Restore the exported file")
    names: dict[int, str] = {}
    for number, row in enumerate(rows[1:], 2):
        line, value = f"{where}, line {number}", row[0].strip()
        if len(row) != 2 or not re.fullmatch("[0-9]{1,3}", value) or int(value) > 255 or int(value) in names:
            found = repr(", ".join(row)[:80])
            raise DataError(line, "a new pixel value 0–255 and a class", found, "Restore the exported file")
        plain = _plain(row[1])
        if plain != BACKGROUND and plain in map(_plain, names.values()):
            raise DataError(
                line, "each class once", f"{row[1].strip()!r} again", "Merge the two classes and export again"
            )
        names[int(value)] = row[1]
    return names


def _check_same_classes(tree: Tree, listings: list[str], spec: SourceSpec, source: str) -> None:
    """One export has one list of classes: splits that differ were put together from several. Raises: DataError."""
    labels = [
        {label for label in _class_values(tree.read(name), tree.at(name), spec, source).values() if label is not None}
        for name in listings
    ]
    for name, found in zip(listings, labels, strict=True):
        if differing := sorted(found ^ labels[0]):
            todo = "Export all splits together, or list the class in both"
            difference = f"a difference in {differing[0]!r}"
            raise DataError(tree.at(name), f"the classes of {listings[0]}", difference, todo)


def _check_class_map(spec: SourceSpec, source: str) -> None:
    """A class has one label. Raises: ConfigError."""
    seen: dict[str, str] = {}
    for name, label in (spec.class_map or {}).items():
        if seen.setdefault(_plain(name), label) != label:
            where = f"pipelines/{source}.yaml: class_map"
            raise ConfigError(f"{where}: {name!r} stands for {seen[_plain(name)]} and for {label}. Keep one of them.")


def _label(name: str, spec: SourceSpec, source: str, where: str) -> str | None:
    """Canonical label of a class name, None for background.

    Without a class_map the label is the name itself in lower case with underscores.
    """
    plain = _plain(name)
    if plain == BACKGROUND:
        return None
    if spec.class_map is None:
        return plain
    mapped = {_plain(key): value for key, value in spec.class_map.items()}.get(plain)
    if mapped is None:
        file = f"pipelines/{source}.yaml"
        todo = f'Add it to class_map there: "{name.strip()}: {plain}", or map it to {BACKGROUND}'
        raise DataError(where, f"a class that class_map in {file} names", f"the class {name.strip()!r}", todo)
    return None if mapped == BACKGROUND else mapped


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip().lower())
