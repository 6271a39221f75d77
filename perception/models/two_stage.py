"""Two-stage detectors: a fixed number of proposals, each scored twice, from one engine.

The network's output is (B, proposals, 4 + 2 * classes): xyxy in input pixels, then every class's score by the
first stage and by the second, in 0..1. The two are one score by a weighted geometric mean (Zhou et al.,
"Probabilistic two-stage detection", arXiv:2103.07461, section 4), and suppression is done here, on the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from perception.backends import Engine
from perception.card import EngineCard
from perception.geometry import clip, nms
from perception.models.candidates import check_columns, suppression_groups, wanted_columns
from perception.models.pictures import PictureEngine
from perception.preprocess import Mapping
from perception.types import Detections, Frame


class TwoStage:
    """A detector around an engine of family "two_stage".

    Args:
        engine: the engine.
        card: says how to prepare and decode; decoder settings: "second" (0..1), the second stage's share of the
            score's logarithm, "max_iou" and "nms_groups".
        min_score: detections below are dropped.
        max_iou: for non-maximum suppression; None takes the card's.
        pixels: for a network that takes any input size: most pixels of the input.
        classes: keep only these; None keeps all.

    Raises:
        EngineError: the engine's output is not what the family says.
    """

    def __init__(
        self,
        engine: Engine,
        card: EngineCard,
        *,
        min_score: float = 0.3,
        max_iou: float | None = None,
        pixels: int | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        self.engine = engine
        self.card = card
        self.min_score = min_score
        self.classes = card.classes
        settings = card.decoder
        self.max_iou = float(max_iou if max_iou is not None else settings.get("max_iou", 0.5))
        self._second = float(settings["second"])
        self._group = suppression_groups(card.classes, settings.get("nms_groups", []))
        self._wanted = wanted_columns(card.classes, classes)
        self._output = check_columns(engine, 4 + 2 * len(card.classes), card.classes)
        self._pictures = PictureEngine(engine, card, pixels=pixels)
        self.input_size = self._pictures.input_size
        self.preprocessor = self._pictures.preprocessor

    def __call__(self, frame: Frame) -> Detections:
        """Detect on one frame."""
        outputs, _, mapping = self._pictures(frame)
        return self.decode(outputs[self._output][0], mapping, frame.size)

    def decode(
        self, raw: npt.NDArray[Any], mapping: Mapping, source: tuple[int, int]
    ) -> Detections:
        """Raw output (proposals, 4 + 2 * classes) of one picture -> detections in source pixels."""
        number = len(self.classes)
        first = np.clip(raw[:, 4 : 4 + number].astype(np.float32), 0, 1)
        second = np.clip(raw[:, 4 + number :].astype(np.float32), 0, 1)
        by_class = first ** (1 - self._second) * second**self._second
        if self._wanted is not None:
            by_class = np.where(self._wanted, by_class, -1.0)
        class_id = by_class.argmax(axis=1).astype(np.int32)
        score = by_class[np.arange(len(raw)), class_id]
        rows = np.flatnonzero(score >= self.min_score)
        xyxy = mapping.to_source(raw[rows, :4].astype(np.float32))
        keep = nms(xyxy, score[rows], self._group[class_id[rows]], max_iou=self.max_iou)
        xyxy = clip(xyxy[keep], source)
        visible = (xyxy[:, 2:] - xyxy[:, :2] > 0).all(axis=1)
        kept = rows[keep[visible]]
        return Detections(xyxy[visible], score[kept], class_id[kept], self.classes)
