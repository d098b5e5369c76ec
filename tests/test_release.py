"""`repset release`: what is exported answers as what was trained, for one item and for many."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from repset.cli import cli
from repset.errors import RepsetError
from repset.params import Params, load_yaml, parse
from repset.project import Project

pytestmark = pytest.mark.train


@pytest.fixture
def trained(project: Project) -> Path:
    """An untrained network of the sample's parameters, saved as a model."""
    from repset.learn.card import Card, save_model
    from repset.learn.data import CLASSES
    from repset.learn.muscle_net import build
    from repset.learn.segmenter import MODEL

    path = project.root / "params.yaml"
    own = parse(Params, load_yaml(path), path).train.segmentation.model_dump(mode="json")
    shape = {key: own[key] for key in ("architecture", "encoder", "encoder_depth", "decoder_channels")} | {
        "size_px": 64
    }
    torch.manual_seed(3)
    folder = project.model("segmentation") / "final"
    card = Card(MODEL, shape, CLASSES, None, own, 3, {}, "rendered sample", {})
    save_model(folder, build(shape).state_dict(), card)
    return folder


def test_segmentation_as_onnx_gives_the_trained_networks_logits(
    project: Project, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    from repset.learn.card import load_card, load_into
    from repset.learn.data import CLASSES
    from repset.learn.muscle_net import build
    from repset.learn.segmenter import MODEL

    monkeypatch.chdir(project.root)
    done = CliRunner().invoke(cli, ["release", "segmentation", "--into", "out"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    facts = json.loads((tmp_path / "out" / "segmentation.json").read_text(encoding="utf-8"))
    assert (facts["size_px"], tuple(facts["classes"])) == (64, CLASSES)
    card = load_card(trained, MODEL, CLASSES)
    network = build(card.architecture)
    load_into(network, trained, card)
    session = onnxruntime.InferenceSession(
        (tmp_path / "out" / "segmentation.onnx").read_bytes(), providers=["CPUExecutionProvider"]
    )
    rng = np.random.default_rng(9)
    for count in (1, 2, 5):
        images = rng.uniform(0, 255, (count, 3, 64, 64)).astype(np.float32)
        with torch.inference_mode():
            wanted = network.eval()(torch.from_numpy(images)).numpy()
        logits, probabilities = session.run(["logits", "probabilities"], {"images": images})
        assert logits.shape == (count, len(CLASSES), 64, 64)
        np.testing.assert_allclose(logits, wanted, atol=1e-3)
        raised = np.exp(wanted - wanted.max(1, keepdims=True))
        np.testing.assert_allclose(probabilities, raised / raised.sum(1, keepdims=True), atol=1e-3)


def test_a_network_that_answers_otherwise_is_not_released(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from repset.learn import export, to_onnx

    monkeypatch.setattr(to_onnx, "difference", lambda *_: 0.5)
    with pytest.raises(RepsetError) as error:
        export.release_segmentation(trained, tmp_path / "out", None)
    assert str(error.value) == (
        f"{trained}: the exported network differs from the trained one by 5.0e-01, allowed is 1e-03. "
        "Check the versions of torch and onnx: repset doctor. Nothing was released."
    )
    assert not (tmp_path / "out").exists()


def test_segmentation_has_no_place_in_the_package(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.root)
    done = CliRunner().invoke(cli, ["release", "segmentation"], standalone_mode=False)
    assert "segmentation needs --into FOLDER" in str(done.exception)
