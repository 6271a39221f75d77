from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("torchvision")

from engines.crop_sets import Labelled
from engines.figures import crops
from perception.models.classifier import Classifier


def test_a_classifier_is_judged_as_the_product_runs_it(colour_engine: Path) -> None:
    classifier = Classifier(colour_engine, backend="onnxruntime")
    pictures = np.zeros((4, 16, 16, 3), np.uint8)
    pictures[:2, ..., 2] = 255
    pictures[2, ..., 1] = 255
    found = crops.judge(classifier, Labelled(pictures, np.array([0, 1, 1, 2])))
    assert found.accuracy == pytest.approx(2 / 3) and found.rejected == 1
    assert crops.milliseconds(classifier, runs=2) > 0


@pytest.mark.slow
def test_the_committed_classifiers_are_as_good_as_their_cards_say(shared: Path) -> None:
    for name in crops.NAMES:
        text = crops.classifier_report(name)
        row = next(line for line in text.splitlines() if line.startswith("| judge |"))
        card = Classifier(crops.ENGINES / "weights" / f"{name}.onnx", backend="onnxruntime").card
        assert float(row.split("|")[2].split()[0]) == pytest.approx(
            card.metric["accuracy"], abs=0.002
        )
