"""Judge a network in training with the code that judges the product."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from perception.card import EngineCard, InputSpec
from perception.errors import InputError
from perception.evaluation.detection import Figures, Truth, evaluate
from perception.models.anchor_free import AnchorFree
from perception.types import Detections, Frame

# Low enough for a whole precision-recall curve.
MIN_SCORE = 0.02
VEHICLES = ["car", "truck", "bus"]


def road_card(classes: Sequence[str]) -> EngineCard:
    """What the decoder must know of a `RoadNet`."""
    return EngineCard(
        name="road",
        family="anchor_free",
        task="road",
        classes=tuple(classes),
        input=InputSpec(size=(640, 384), colour="bgr", fit="letterbox", pad=114, multiple=32),
        decoder={
            "strides": [8, 16, 32],
            "objectness": True,
            "activated": False,
            "max_iou": 0.5,
            "nms_groups": [VEHICLES],
        },
        licence="Apache-2.0",
    )


def read(truth: Truth) -> Frame:
    """The picture of a truth."""
    image = cv2.imread(str(truth.path), cv2.IMREAD_COLOR)
    if image is None:
        problem = "cannot be decoded" if truth.path.is_file() else "does not exist"
        raise InputError(f"{truth.path}: the picture {problem}; check the data folder")
    return Frame(np.asarray(image, np.uint8), path=str(truth.path))


def detect_all(
    truths: Sequence[Truth],
    detect: AnchorFree | Callable[[Frame], Detections],
    frames: Sequence[Frame] | None = None,
) -> list[Detections]:
    """Detections of every picture."""
    if frames is None:
        return [detect(read(truth)) for truth in truths]
    return [detect(frame) for frame in frames]


def judge(
    sets: dict[str, list[Truth]],
    detect: AnchorFree | Callable[[Frame], Detections],
    frames: dict[str, list[Frame]] | None = None,
) -> dict[str, Figures]:
    """Figures named "set/group"."""
    figures = {}
    for name, truths in sets.items():
        found = detect_all(truths, detect, frames[name] if frames else None)
        for group, figure in evaluate(truths, found).items():
            figures[f"{name}/{group}"] = figure
    return figures


def mean_ap50(found: dict[str, Figures]) -> tuple[float, dict[str, float]]:
    """(mean AP50 over sets and groups, figures by name)."""
    figures = {}
    for name, figure in found.items():
        for key in ("ap50", "ap", "recall"):
            figures[f"{name}/{key}"] = float(getattr(figure, key))
    return float(np.mean([figure.ap50 for figure in found.values()])), figures
