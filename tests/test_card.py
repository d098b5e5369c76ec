"""A model folder: the same bytes for the same weights, and no foreign weights or classes."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from repset.errors import DataError
from repset.learn import card as cards
from repset.project import Project

pytestmark = pytest.mark.train

CARD = cards.Card(
    model="segmentation",
    architecture={"width": 3},
    classes=("background", "biceps"),
    skeleton=None,
    params={"batch": 2},
    seed=7,
    data={"sample_roboflow": {"table_sha256": "ab", "train": 3, "validation": 1}},
    data_kind="rendered sample",
    training={"steps": 2},
)


def network(width: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(width, 2)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, cards.Card]:
    """A folder with a card and weights."""
    return tmp_path, cards.save_model(tmp_path, network().state_dict(), CARD)


def test_what_was_saved_is_loaded(saved: tuple[Path, cards.Card]) -> None:
    folder, card = saved
    assert cards.load_card(folder, "segmentation", ("background", "biceps")) == card
    empty = nn.Linear(3, 2)
    cards.load_into(empty, folder, card)
    assert torch.equal(empty.weight, network().state_dict()["weight"])


def test_bytes_depend_on_the_tensors_alone(tmp_path: Path) -> None:
    state = network().state_dict()
    for name, order in (("a", list(state)), ("b", list(reversed(state)))):
        cards.save_model(tmp_path / name, {key: state[key] for key in order}, CARD)
    for name in ("weights.safetensors", "card.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def message(call: Callable[[], object]) -> str:
    with pytest.raises(DataError) as caught:
        call()
    return str(caught.value)


def test_a_wrong_class_list_is_refused(saved: tuple[Path, cards.Card]) -> None:
    folder, _ = saved
    assert message(lambda: cards.load_card(folder, "segmentation", ("background", "calf"))) == (
        f"{folder}/card.json: expected the classes background, calf, found background, biceps. "
        "Train the model again: dvc repro."
    )


def test_another_models_card_is_refused(saved: tuple[Path, cards.Card]) -> None:
    folder, _ = saved
    assert message(lambda: cards.load_card(folder, "exercise")) == (
        f"{folder}/card.json: expected a card of the model exercise, found one of segmentation. "
        "Name the folder of this model."
    )


def test_a_card_with_an_unknown_key_is_refused(saved: tuple[Path, cards.Card]) -> None:
    folder, _ = saved
    data = json.loads((folder / "card.json").read_text())
    del data["seed"]
    (folder / "card.json").write_text(json.dumps(data))
    text = message(lambda: cards.load_card(folder, "segmentation"))
    assert text.startswith(f"{folder}/card.json: expected a model card with the keys ['architecture', ")


def test_weights_of_another_training_are_refused(saved: tuple[Path, cards.Card]) -> None:
    folder, card = saved
    cards.save_model(folder / "other", nn.Linear(3, 2).state_dict(), CARD)
    other = (folder / "other" / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(other)
    assert message(lambda: cards.load_weights(folder, card)) == (
        f"{folder}/weights.safetensors: expected SHA-256 {card.weights_sha256[:12]}… as its card says, "
        f"found {cards.sha256_bytes(other)[:12]}…. Train the model again: dvc repro."
    )


class Trap:
    """Unpickling this would fail the test."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return pytest.fail, ("a pickle was executed",)


@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_a_pickle_is_refused_unread(saved: tuple[Path, cards.Card], how: str) -> None:
    folder, card = saved
    path = folder / "weights.safetensors"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Trap()))
    else:
        torch.save({"weight": Trap()}, path)
    assert message(lambda: cards.load_weights(folder, card)) == (
        f"{path}: expected weights in safetensors format, found a pickle or zip file. Train the model again: dvc repro."
    )


def test_missing_files_are_named(tmp_path: Path, saved: tuple[Path, cards.Card]) -> None:
    folder, card = saved
    (folder / "weights.safetensors").unlink()
    assert message(lambda: cards.load_weights(folder, card)) == (
        f"{folder}/weights.safetensors: expected the model's weights, found no file. Train the model again: dvc repro."
    )
    assert message(lambda: cards.load_card(tmp_path / "none", "segmentation")) == (
        f"{tmp_path}/none/card.json: expected a JSON file, found no file. Run the stage that writes it."
    )


def test_tensors_of_another_shape_are_refused(saved: tuple[Path, cards.Card]) -> None:
    folder, card = saved
    text = message(lambda: cards.load_into(network(4), folder, card))
    assert text.startswith(
        f"{folder}/weights.safetensors: expected the tensors of the network on its card, found size mis"
    )


def test_every_score_says_what_the_data_is(project: Project) -> None:
    for name, rendered in (("drawn", "true"), ("filmed", "false")):
        text = f"family: roboflow\nrendered: {rendered}\norigin: somewhere.zip\n"
        (project.pipelines / f"{name}.yaml").write_text(text)
    assert cards.data_kind(project, ["drawn"]) == "rendered sample"
    assert cards.data_kind(project, ["filmed"]) == "real"
    assert cards.data_kind(project, ["drawn", "filmed"]) == "rendered and real"
