"""One-stage detectors with anchors: every cell of every level corrects boxes of given sizes.

Liu et al., "SSD: Single Shot MultiBox Detector", arXiv:1512.02325, section 2.2: with an anchor of centre a
and side s, and variances v, the box has centre a + d * v0 * s and sides s * exp(d * v1). Anchors are
square, as in detectors of faces (Zhang et al., "S3FD", arXiv:1708.05237, table 1).

Two layouts: ours, one output (N, anchors, 4 + classes) of raw numbers; and the public
Ultra-Light-Fast-Generic-Face-Detector (MIT), which decodes in its graph: `scores` and `boxes` in 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from perception.backends import Engine
from perception.card import EngineCard, InputSpec
from perception.errors import EngineError
from perception.geometry import clip, nms, outermost
from perception.models.candidates import (
    MAX_DETECTIONS,
    best_rows,
    check_columns,
    logit,
    wanted_columns,
)
from perception.models.pictures import Outputs, PictureEngine
from perception.preprocess import Mapping
from perception.types import F32, Detections, Frame


def ultralight_card(engine: Engine) -> EngineCard:
    """The card of a public Ultra-Light-Fast-Generic-Face-Detector export (RFB-320 and its kin).

    Source: Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB: RGB, (pixel - 127) / 128, the picture
    stretched to the input, suppression at IoU 0.3.
    """
    names = [spec.name for spec in engine.outputs]
    shape = engine.inputs[0].shape
    if sorted(names) != ["boxes", "scores"] or min(shape[2:]) < 0:
        raise EngineError(
            f"{engine.path}: an Ultra-Light export must have a fixed input and the outputs scores and "
            f"boxes, but has input {shape} and outputs {', '.join(names)}"
        )
    return EngineCard(
        name=engine.path.stem,
        family="ultralight",
        task="face",
        classes=("face",),
        input=InputSpec(
            size=(shape[3], shape[2]),
            colour="rgb",
            mean=(127.0, 127.0, 127.0),
            std=(128.0, 128.0, 128.0),
            fit="stretch",
        ),
        decoder={"max_iou": 0.3},
        licence="MIT",
    )


class Anchors:
    """A detector around an engine of family "anchors" or "ultralight".

    The card's decoder says: `strides`, `sizes` (of the anchors of each stride, pixels), `variances`,
    `max_iou`; `max_inside`, the share of a box that may lie in a better one.

    Args:
        engine, card, min_score, max_iou, pixels, classes: as for `perception.models.anchor_free`.

    Raises:
        EngineError: the engine's outputs are not what the family says.
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
        self.engine, self.card = engine, card
        self.min_score = min_score
        self.classes = card.classes
        self.max_iou = float(max_iou if max_iou is not None else card.decoder.get("max_iou", 0.4))
        self._max_inside = float(card.decoder.get("max_inside", 1.0))
        self._ready = card.family == "ultralight"
        self._wanted = wanted_columns(card.classes, classes)
        self._output = ""
        if not self._ready:
            self._output = check_columns(engine, 4 + len(card.classes), card.classes)
        self._pictures = PictureEngine(engine, card, pixels=pixels)
        self.input_size = self._pictures.input_size
        self.preprocessor = self._pictures.preprocessor

    def __call__(self, frame: Frame) -> Detections:
        """Detect on one frame."""
        outputs, size, mapping = self._pictures(frame)
        if self._ready:
            xyxy, score = self._decoded(outputs, size)
            class_id = np.zeros(len(score), np.int32)
        else:
            xyxy, score, class_id = self._decode(outputs[self._output][0], size)
        return self._detections(mapping.to_source(xyxy), score, class_id, frame.size)

    def decode(
        self,
        raw: npt.NDArray[Any],
        input_size: tuple[int, int],
        mapping: Mapping,
        source: tuple[int, int],
    ) -> Detections:
        """Raw output (anchors, 4 + classes) of one picture -> detections in source pixels."""
        xyxy, score, class_id = self._decode(raw, input_size)
        return self._detections(mapping.to_source(xyxy), score, class_id, source)

    def _decode(
        self, raw: npt.NDArray[Any], size: tuple[int, int]
    ) -> tuple[F32, F32, npt.NDArray[np.int32]]:
        settings = self.card.decoder
        anchors = anchor_boxes(
            size, tuple(settings["strides"]), tuple(map(tuple, settings["sizes"]))
        )
        if len(anchors) != len(raw):
            raise EngineError(
                f"{self.engine.path}: output must have {len(anchors)} anchors for an input of "
                f"{size[0]}x{size[1]}, but has {len(raw)}"
            )
        logits = raw[:, 4:]
        if self._wanted is not None:
            logits = np.where(self._wanted, logits, -np.inf)
        best = logits.max(axis=1)
        rows = np.flatnonzero(best >= logit(self.min_score))
        rows, best = best_rows(rows, best[rows])
        deltas, near = raw[rows, :4].astype(np.float32), anchors[rows]
        centre_variance, size_variance = settings["variances"]
        centre = near[:, :2] + deltas[:, :2] * centre_variance * near[:, 2:]
        half = near[:, 2:] * np.exp(np.minimum(deltas[:, 2:] * size_variance, 10)) / 2
        xyxy = np.concatenate([centre - half, centre + half], axis=1)
        score = np.asarray(1 / (1 + np.exp(-best.astype(np.float32))), np.float32)
        return xyxy, score, logits[rows].argmax(axis=1).astype(np.int32)

    def _decoded(self, outputs: Outputs, size: tuple[int, int]) -> tuple[F32, F32]:
        score = outputs["scores"][0, :, 1]
        rows = np.flatnonzero(score >= self.min_score)
        rows, score = best_rows(rows, score[rows])
        scale = np.array([*size, *size], np.float32)
        return outputs["boxes"][0, rows].astype(np.float32) * scale, score.astype(np.float32)

    def _detections(
        self, xyxy: F32, score: F32, class_id: npt.NDArray[np.int32], source: tuple[int, int]
    ) -> Detections:
        keep = nms(xyxy, score, class_id, max_iou=self.max_iou)[:MAX_DETECTIONS]
        if self._max_inside < 1:
            keep = keep[outermost(xyxy[keep], max_inside=self._max_inside)]
        xyxy = clip(xyxy[keep], source)
        visible = (xyxy[:, 2:] - xyxy[:, :2] > 0).all(axis=1)
        keep = keep[visible]
        return Detections(xyxy[visible], score[keep], class_id[keep], self.classes)


@lru_cache(maxsize=16)
def anchor_boxes(
    size: tuple[int, int], strides: tuple[int, ...], sizes: tuple[tuple[float, ...], ...]
) -> F32:
    """(anchors, 4) centre x, centre y, width, height in pixels of an input of (width, height).

    Level by level, row by row, size by size. A level has as many cells as fit with the last one cut off,
    spread evenly over the input.
    """
    width, height = size
    levels = []
    for stride, sides in zip(strides, sizes, strict=True):
        columns, rows = -(-width // stride), -(-height // stride)
        x = (np.arange(columns) + 0.5) * (width / columns)
        y = (np.arange(rows) + 0.5) * (height / rows)
        level = np.zeros((rows, columns, len(sides), 4), np.float32)
        level[..., 0], level[..., 1] = x[None, :, None], y[:, None, None]
        level[..., 2] = level[..., 3] = np.array(sides, np.float32)
        levels.append(level.reshape(-1, 4))
    return np.concatenate(levels)
