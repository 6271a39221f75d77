from __future__ import annotations

import pytest

from perception.card import EngineCard, InputSpec
from perception.errors import EngineError


def card() -> EngineCard:
    return EngineCard(
        name="road",
        family="anchor_free",
        task="road",
        classes=("car", "bus"),
        input=InputSpec(size=(640, 384), mean=(1.0, 2.0, 3.0), fit="stretch"),
        decoder={"strides": [8, 16], "objectness": True},
        data=[{"name": "pictures", "licence": "CC BY 4.0"}],
        licence="Apache-2.0",
        metric={"ap50": 0.5},
        cost={"parameters": 10},
        recipe_sha256="ab" * 32,
    )


def test_a_card_survives_the_journey_through_metadata() -> None:
    assert EngineCard.from_metadata(card().to_metadata(), where="x") == card()


def test_metadata_is_text_only() -> None:
    assert {type(value) for value in card().to_metadata().values()} == {str}


def test_a_file_of_somebody_else_has_no_card() -> None:
    assert EngineCard.from_metadata({"author": "me"}, where="x") is None


@pytest.mark.parametrize("key", ["classes", "input", "family"])
def test_broken_metadata_names_the_file(key: str) -> None:
    metadata = card().to_metadata()
    if key == "family":
        del metadata[key]
    else:
        metadata[key] = "["
    with pytest.raises(
        EngineError, match=r"road\.onnx: the engine's metadata is broken .* export it again"
    ):
        EngineCard.from_metadata(metadata, where="road.onnx")


@pytest.mark.parametrize(
    ("values", "message"), [({"colour": "gbr"}, "colour"), ({"fit": "crop"}, "fit")]
)
def test_unknown_words_in_an_input_are_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=f"{message} must be"):
        InputSpec(size=(1, 1), **values)
