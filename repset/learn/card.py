"""A model on disk: `weights.safetensors` and `card.json`, which says what the weights are and where they come from.

No pickle is ever read: weights are safetensors, everything else is JSON. The two files are checked against each
other when they are loaded, so that weights under another model's card are an error and not a bad score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from repset.errors import DataError
from repset.params import load_source
from repset.project import Project
from repset.records import atomic_path, read_json, sha256_bytes, sha256_file, write_json

CARD, WEIGHTS = "card.json", "weights.safetensors"
VERSION = 1
_AGAIN = "Train the model again: dvc repro"


@dataclass(frozen=True)
class Card:
    """What a model folder says about itself (`card.json`, same keys).

    Attributes:
        model: name in repset.learn.MODELS.
        architecture: what is needed to build the networks without weights or network access.
        classes: class names in the order of the output channels.
        skeleton: name in repset.landmarks.SKELETONS, None for a model of images.
        params: the params it was trained with, as in the params file.
        seed: of the training.
        data: source → `{"table_sha256": …, "train": n, "validation": n}` (n: items of the fold), from `table_facts`.
        data_kind: "rendered sample" | "real" | "rendered and real".
        training: steps and epochs done, the chosen epoch and its validation scores.
        weights_sha256: of weights.safetensors; also the `origin_hash` of the model's proposals. '' until saved.
    """

    model: str
    architecture: dict[str, Any]
    classes: tuple[str, ...]
    skeleton: str | None
    params: dict[str, Any]
    seed: int
    data: dict[str, Any]
    data_kind: str
    training: dict[str, Any]
    weights_sha256: str = ""


def data_kind(project: Project, sources: Sequence[str]) -> str:
    """What the sources are: "rendered sample", "real", or "rendered and real". Every score carries it."""
    rendered = [load_source(project, source).rendered for source in sources]
    if any(rendered):
        return "rendered sample" if all(rendered) else "rendered and real"
    return "real"


def table_facts(path: Path, counts: Mapping[str, int]) -> dict[str, Any]:
    """The entry of one source in `Card.data`: the table's hash and how many items of each fold were used."""
    return {"table_sha256": sha256_file(path), **counts}


def save_model(folder: Path, state: Mapping[str, torch.Tensor], card: Card) -> Card:
    """Write both files; returns the card with the weights' hash.

    The bytes depend on the tensors alone: no file metadata (its order is not stable), tensors sorted by name.
    Several networks go into one file with a prefix each, as a torch.nn.ModuleDict names them.
    """
    tensors = {name: state[name].detach().cpu().contiguous() for name in sorted(state)}
    data = save(tensors)
    card = Card(**{**_members(card), "weights_sha256": sha256_bytes(data)})
    with atomic_path(folder / WEIGHTS) as temporary:
        temporary.write_bytes(data)
    write_json(folder / CARD, {"version": VERSION, **asdict(card)})
    return card


def load_card(folder: Path, model: str, classes: Sequence[str] | None = None) -> Card:
    """The card of a model folder.

    Args:
        model: the model it must be; classes: the class names it must have, in order (None: any).
    Raises: DataError if the card is missing, of another model or version, or has other classes.
    """
    path = folder / CARD
    data = read_json(path)
    keys = {"version", *(f.name for f in fields(Card))}
    if not isinstance(data, dict) or set(data) != keys:
        found = sorted(data) if isinstance(data, dict) else type(data).__name__
        raise DataError(path, f"a model card with the keys {sorted(keys)}", f"{found}", _AGAIN)
    if data.pop("version") != VERSION:
        raise DataError(path, f"a model card of version {VERSION}", "another version", _AGAIN)
    card = Card(**{**data, "classes": tuple(data["classes"])})
    if card.model != model:
        raise DataError(path, f"a card of the model {model}", f"one of {card.model}", "Name the folder of this model")
    if classes is not None and card.classes != tuple(classes):
        raise DataError(path, f"the classes {', '.join(classes)}", f"{', '.join(card.classes)}", _AGAIN)
    return card


def load_weights(folder: Path, card: Card) -> dict[str, torch.Tensor]:
    """The tensors that belong to `card`, on the CPU.

    Raises: DataError if the file is missing, is not safetensors (a pickle is refused unread) or has another hash.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise DataError(path, "the model's weights", "no file", _AGAIN)
    data = path.read_bytes()
    try:
        tensors: dict[str, torch.Tensor] = load(data)
    except SafetensorError as error:
        what = "a pickle or zip file" if data[:2] in (b"PK", b"\x80\x02", b"\x80\x04") else "something else"
        raise DataError(path, "weights in safetensors format", what, _AGAIN) from error
    if (found := sha256_bytes(data)) != card.weights_sha256:
        raise DataError(path, f"SHA-256 {card.weights_sha256[:12]}… as its card says", f"{found[:12]}…", _AGAIN)
    return tensors


def load_into(network: torch.nn.Module, folder: Path, card: Card) -> None:
    """Put the folder's weights into `network`. Raises: DataError if names or shapes differ."""
    try:
        network.load_state_dict(load_weights(folder, card))
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise DataError(folder / WEIGHTS, "the tensors of the network on its card", first, _AGAIN) from error


def _members(card: Card) -> dict[str, Any]:
    return {f.name: getattr(card, f.name) for f in fields(card)}
