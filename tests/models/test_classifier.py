from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perception.backends import TensorSpec, open_engine
from perception.card import EngineCard, InputSpec
from perception.errors import ConfigError, EngineError
from perception.models.classifier import MOST_TOGETHER, Classifier, softmax
from perception.types import Frame

RED, GREEN, GREY = (0, 0, 255), (0, 255, 0), (128, 128, 128)


class ScoresEngine:
    """An engine that gives the mean of each crop's red as the logit of class 0, and notes its batches."""

    path = Path("scores.onnx")
    backend = "function"

    def __init__(self, *, batch: int = -1, columns: int = 2, family: str = "classifier") -> None:
        self.card = EngineCard(
            name="scores", family=family, task="sign", classes=("a", "b"),
            input=InputSpec(size=(4, 4), fit="stretch"),
        )  # fmt: skip
        self.inputs = (TensorSpec("images", np.dtype(np.float32), (batch, 3, 4, 4)),)
        self.outputs = (TensorSpec("logits", np.dtype(np.float32), (batch, columns)),)
        self.sizes: list[int] = []
        self.closed = False

    def infer(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        pictures = feeds["images"]
        self.sizes.append(len(pictures))
        red = pictures[:, 2].mean((1, 2)) / 255
        return {"logits": np.stack([red, np.zeros_like(red)], 1).astype(np.float32)}

    def close(self) -> None:
        self.closed = True


def test_crops_of_a_frame_are_scored(colour_engine: Path) -> None:
    image = np.zeros((60, 120, 3), np.uint8)
    image[10:30, 10:30], image[10:30, 50:70], image[10:30, 90:110] = RED, GREEN, GREY
    boxes = np.array([[10, 10, 30, 30], [50, 10, 70, 30], [90, 10, 110, 30]], np.float32)
    classifier = Classifier(colour_engine, backend="onnxruntime")
    scores = classifier(Frame(image), boxes)
    assert scores.argmax(1).tolist() == [0, 1, 2]
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)
    assert classifier.reject == 2
    # The margin of the card shows some of the dark ground, so the score is lower than of the box alone.
    assert scores[0, 0] < classifier(Frame(image), boxes, whole=True)[0, 0]
    classifier.close()


def test_a_network_may_look_at_the_middle_of_a_crop() -> None:
    engine = ScoresEngine()
    engine.card.decoder.update({"margin": 0.1, "zoom": 0.5})
    classifier = Classifier(engine)
    assert classifier.margin == pytest.approx((1.2 * 0.5 - 1) / 2)
    image = np.zeros((40, 40, 3), np.uint8)
    image[10:30, 10:30] = 255
    scores = classifier(Frame(image), np.array([[0, 0, 40, 40]], np.float32), whole=True)
    assert scores[0, 0] == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-4)


def test_no_boxes_give_no_scores(colour_engine: Path) -> None:
    classifier = Classifier(colour_engine, backend="onnxruntime")
    found = classifier(Frame(np.zeros((8, 8, 3), np.uint8)), np.zeros((0, 4), np.float32))
    assert found.shape == (0, 3)


def test_many_crops_run_in_batches() -> None:
    engine = ScoresEngine()
    crops = np.zeros((2 * MOST_TOGETHER + 3, 4, 4, 3), np.uint8)
    assert len(Classifier(engine).scores(crops)) == len(crops)
    assert engine.sizes == [MOST_TOGETHER, MOST_TOGETHER, 3]


def test_an_engine_is_never_given_more_than_it_takes() -> None:
    engine = ScoresEngine()
    engine.most_pictures = 3  # type: ignore[attr-defined]
    assert len(Classifier(engine).scores(np.zeros((7, 4, 4, 3), np.uint8))) == 7
    assert engine.sizes == [3, 3, 1]


def test_an_engine_of_fixed_batch_gets_full_batches() -> None:
    engine = ScoresEngine(batch=2)
    crops = np.zeros((3, 4, 4, 3), np.uint8)
    crops[2] = 255
    scores = Classifier(engine).scores(crops)
    assert engine.sizes == [2, 2] and len(scores) == 3
    assert scores[2, 0] == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-5)


def test_a_detector_is_refused(bright_engine: Path) -> None:
    with pytest.raises(ConfigError, match=r"bright\.onnx is a 'anchor_free' engine, not a classif"):
        Classifier(open_engine(bright_engine, backend="onnxruntime"))


def test_an_output_of_another_width_is_refused() -> None:
    with pytest.raises(EngineError, match=r"output must have shape \(N, 2\) .*but has \(-1, 5\)"):
        Classifier(ScoresEngine(columns=5))


def test_softmax_does_not_overflow() -> None:
    found = softmax(np.array([[1000.0, 0.0], [0.0, 0.0]]))
    np.testing.assert_allclose(found, [[1, 0], [0.5, 0.5]])
