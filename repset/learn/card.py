"""A model on disk: `weights.safetensors` and `card.json`, which says what the weights are and where they come from.

Some have the same network as `network.onnx`, too, for those who run it without torch.

No pickle is ever read: weights are safetensors, everything else is JSON or ONNX. The files are checked against each
other when they are loaded, so that weights under another model's card are an error and not a bad score. Torch is
imported only by what handles weights.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from repset.errors import DataError
from repset.machine import cores
from repset.params import load_source
from repset.project import Project
from repset.records import atomic_path, read_json, sha256_bytes, sha256_file, write_json

if TYPE_CHECKING:
    import torch

CARD, WEIGHTS, ONNX = "card.json", "weights.safetensors", "network.onnx"
VERSION = 1
AGAIN = "Train the model again: dvc repro"


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
        onnx_sha256: of network.onnx; '' where there is none.
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
    onnx_sha256: str = ""


def data_kind(project: Project, sources: Sequence[str]) -> str:
    """What the sources are: "rendered sample", "real", or "rendered and real". Every score carries it."""
    rendered = [load_source(project, source).rendered for source in sources]
    if any(rendered):
        return "rendered sample" if all(rendered) else "rendered and real"
    return "real"


def table_facts(path: Path, counts: Mapping[str, int]) -> dict[str, Any]:
    """The entry of one source in `Card.data`: the table's hash and how many items of each fold were used."""
    return {"table_sha256": sha256_file(path), **counts}


def save_model(folder: Path, state: Mapping[str, "torch.Tensor"], card: Card, onnx: bytes | None = None) -> Card:
    """Write the files; returns the card with their hashes.

    The bytes depend on the tensors alone: no file metadata (its order is not stable), tensors sorted by name.
    Several networks go into one file with a prefix each, as a torch.nn.ModuleDict names them.
    """
    from safetensors.torch import save

    tensors = {name: state[name].detach().cpu().contiguous() for name in sorted(state)}
    data = save(tensors)
    hashes = {"weights_sha256": sha256_bytes(data), "onnx_sha256": sha256_bytes(onnx) if onnx else ""}
    card = Card(**{**_members(card), **hashes})
    for name, content in ((WEIGHTS, data), (ONNX, onnx)):
        if content:
            with atomic_path(folder / name) as temporary:
                temporary.write_bytes(content)
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
    if isinstance(data, dict):
        data.setdefault("onnx_sha256", "")  # cards of before there was one
    keys = {"version", *(f.name for f in fields(Card))}
    if not isinstance(data, dict) or set(data) != keys:
        found = sorted(data) if isinstance(data, dict) else type(data).__name__
        raise DataError(path, f"a model card with the keys {sorted(keys)}", f"{found}", AGAIN)
    if data.pop("version") != VERSION:
        raise DataError(path, f"a model card of version {VERSION}", "another version", AGAIN)
    card = Card(**{**data, "classes": tuple(data["classes"])})
    if card.model != model:
        raise DataError(path, f"a card of the model {model}", f"one of {card.model}", "Name the folder of this model")
    if classes is not None and card.classes != tuple(classes):
        raise DataError(path, f"the classes {', '.join(classes)}", f"{', '.join(card.classes)}", AGAIN)
    return card


def load_weights(folder: Path, card: Card) -> dict[str, "torch.Tensor"]:
    """The tensors that belong to `card`, on the CPU. Raises: DataError, as `load_arrays`."""
    from safetensors.torch import load

    return _loaded(folder, card, load)


def load_arrays(folder: Path, card: Card) -> dict[str, npt.NDArray[Any]]:
    """The same as arrays, without torch.

    Raises: DataError if the file is missing, is not safetensors (a pickle is refused unread) or has another hash.
    """
    from safetensors.numpy import load

    return _loaded(folder, card, load)


def _loaded(folder: Path, card: Card, load: Callable[[bytes], dict[str, Any]]) -> dict[str, Any]:
    from safetensors import SafetensorError

    path = folder / WEIGHTS
    if not path.is_file():
        raise DataError(path, "the model's weights", "no file", AGAIN)
    data = path.read_bytes()
    try:
        tensors = load(data)
    except SafetensorError as error:
        what = "a pickle or zip file" if data[:2] in (b"PK", b"\x80\x02", b"\x80\x04") else "something else"
        raise DataError(path, "weights in safetensors format", what, AGAIN) from error
    _is(path, data, card.weights_sha256)
    return tensors


def load_onnx(folder: Path, card: Card) -> Any:
    """An onnxruntime session, on all cores, of the network that belongs to `card`.

    Raises: DataError if the file is missing, has another hash or is no network.
    """
    import onnxruntime

    path = folder / ONNX
    if not path.is_file():
        raise DataError(path, "the model's network", "no file", AGAIN)
    data = path.read_bytes()
    _is(path, data, card.onnx_sha256)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common base
        raise DataError(path, "an ONNX network", str(error).splitlines()[0], AGAIN) from error


def _is(path: Path, data: bytes, sha256: str) -> None:
    if (found := sha256_bytes(data)) != sha256:
        raise DataError(path, f"SHA-256 {sha256[:12]}… as its card says", f"{found[:12]}…", AGAIN)


def load_into(network: "torch.nn.Module", folder: Path, card: Card) -> None:
    """Put the folder's weights into `network`. Raises: DataError if names or shapes differ."""
    try:
        network.load_state_dict(load_weights(folder, card))
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise DataError(folder / WEIGHTS, "the tensors of the network on its card", first, AGAIN) from error


def _members(card: Card) -> dict[str, Any]:
    return {f.name: getattr(card, f.name) for f in fields(card)}
