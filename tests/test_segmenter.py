"""A trained folder at work without torch: what it loads, what it refuses, and what it does where there is no ONNX."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from repset.errors import DataError, RepsetError
from repset.learn.card import Card, load_arrays, load_card, load_weights, save_model
from repset.learn.data import CLASSES
from repset.learn.muscle_net import ByTorch, as_onnx, build
from repset.learn.segmentation import _onnx
from repset.learn.segmenter import MODEL, ByOnnx, Segmenter
from repset.video import encode_png

pytestmark = pytest.mark.train

SHAPE: dict[str, Any] = {
    "architecture": "Unet", "encoder": "mobilenet_v2", "encoder_depth": 5, "decoder_channels": None,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A drawn network, saved with its ONNX form."""
    return saved(tmp_path / "model", SHAPE)


def saved(folder: Path, shape: dict[str, Any]) -> Path:
    torch.manual_seed(5)
    network = build(shape).eval()
    onnx, said = _onnx(network, 64)
    card = Card(MODEL, shape | {"size_px": 64}, CLASSES, None, {"mirror_views": True}, 5, {}, "real", {"onnx": said})
    save_model(folder, network.state_dict(), card, onnx)
    return folder


def photo() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 255, (90, 120, 3), np.uint8)


def test_photos_are_segmented_without_torch(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(encode_png(photo()))
    code = (
        "import sys\nfrom repset.cli import cli\n"
        f"cli(['segment', 'photo.png', '--model', {str(folder)!r}, '--out', 'out'], standalone_mode=False)\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'lightning', 'segmentation_models_pytorch')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out" / "photo_mask.png").is_file()


def test_on_a_processor_onnx_runtime_answers_as_torch_does(folder: Path) -> None:
    images = np.random.default_rng(1).uniform(0, 255, (5, 3, 64, 64)).astype(np.float32)
    model = Segmenter(folder, "cpu")
    assert isinstance(model.network, ByOnnx)
    by_torch = ByTorch(folder, model.card, "cpu")(images)
    assert np.abs(model.network(images) - by_torch).max() < 1e-4
    assert by_torch.sum(1) == pytest.approx(np.ones((5, 64, 64)), abs=1e-5)


def test_its_answers_do_not_hang_on_the_number_of_threads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(1).uniform(0, 255, (3, 3, 64, 64)).astype(np.float32)
    answers = []
    for threads in (1, 2, 5):
        monkeypatch.setattr("repset.learn.card.cores", lambda threads=threads: threads)
        answers.append(Segmenter(folder, "cpu").network(images))
    assert all(np.array_equal(answers[0], other) for other in answers[1:])


def test_a_network_without_an_onnx_form_is_run_by_torch(tmp_path: Path) -> None:
    """PSPNet pools to sizes that torch's exporter cannot write."""
    shape = SHAPE | {"architecture": "PSPNet"}
    with pytest.raises(RepsetError, match=r"^PSPNet cannot be written as ONNX \(Unsupported: .*adaptive_avg_pool2d"):
        as_onnx(build(shape).eval(), 64)
    model = Segmenter(saved(tmp_path / "model", shape), "cpu")
    assert isinstance(model.network, ByTorch)
    assert model.card.training["onnx"].startswith("none: PSPNet cannot be written as ONNX")
    assert not (tmp_path / "model" / "network.onnx").exists()
    assert next(model.label([photo()])).shape == (90, 120)


def test_a_folder_of_before_there_was_an_onnx_form_still_works(folder: Path) -> None:
    with_it = next(Segmenter(folder, "cpu").label([photo()]))
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    del card["onnx_sha256"]
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    (folder / "network.onnx").unlink()
    model = Segmenter(folder, "cpu")
    assert isinstance(model.network, ByTorch)
    assert (next(model.label([photo()])) == with_it).mean() > 0.999


def test_a_network_that_is_not_the_cards_is_refused(folder: Path) -> None:
    path = folder / "network.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DataError, match=r"expected SHA-256 .*… as its card says, found .*Train the model again"):
        Segmenter(folder, "cpu")
    path.unlink()
    with pytest.raises(DataError, match=r"network.onnx: expected the model's network, found no file"):
        Segmenter(folder, "cpu")


def test_what_is_no_network_is_refused_though_its_hash_is_the_cards(folder: Path) -> None:
    card = load_card(folder, MODEL)
    save_model(folder, load_weights(folder, card), card, b"nothing of the kind")
    with pytest.raises(DataError, match=r"network.onnx: expected an ONNX network, found "):
        Segmenter(folder, "cpu")


def test_a_network_of_another_size_is_refused(folder: Path) -> None:
    card = load_card(folder, MODEL)
    other, _ = as_onnx(build(SHAPE).eval(), 96)
    save_model(folder, load_weights(folder, card), card, other)
    with pytest.raises(
        DataError, match=r"network.onnx: expected images of 64 px, found .*invalid dimensions for input: images"
    ):
        Segmenter(folder, "cpu")
    other, _ = as_onnx(build(SHAPE, classes=2).eval(), 64)
    save_model(folder, load_weights(folder, card), card, other)
    with pytest.raises(DataError, match=r"probabilities of the shape \(1, 4, 64, 64\), found \(1, 2, 64, 64\)"):
        Segmenter(folder, "cpu")


def test_arrays_are_the_tensors(folder: Path) -> None:
    card = load_card(folder, MODEL)
    tensors, arrays = load_weights(folder, card), load_arrays(folder, card)
    assert set(arrays) == set(tensors)
    assert all(np.array_equal(arrays[name], tensor.numpy()) for name, tensor in tensors.items())
