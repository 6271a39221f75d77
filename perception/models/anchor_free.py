"""One-stage anchor-free detectors with one prediction per grid cell: our own, and the YOLOX family.

The network's output is raw; decoding is numpy and only touches the few cells that pass the score limit.
Grid decoding after Ge et al., "YOLOX: Exceeding YOLO Series in 2021", section 2.1 (anchor-free).
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
from perception.geometry import clip, nms
from perception.models.candidates import (
    MAX_CANDIDATES,
    MAX_DETECTIONS,
    check_columns,
    logit,
    suppression_groups,
    wanted_columns,
)
from perception.models.pictures import PictureEngine
from perception.models.yunet import joined
from perception.preprocess import Mapping
from perception.types import F32, Detections, Frame

# COCO's 80 class names in its order, with underscores; the road classes bear our own names.
COCO_CLASSES = tuple(
    "person bicycle car motorcycle airplane bus train truck boat traffic_light fire_hydrant stop_sign "
    "parking_meter bench bird cat dog horse sheep cow elephant bear zebra giraffe backpack umbrella "
    "handbag tie suitcase frisbee skis snowboard sports_ball kite baseball_bat baseball_glove skateboard "
    "surfboard tennis_racket bottle wine_glass cup fork knife spoon bowl banana apple sandwich orange "
    "broccoli carrot hot_dog pizza donut cake chair couch potted_plant bed dining_table toilet tv laptop "
    "mouse remote keyboard cell_phone microwave oven toaster sink refrigerator book clock vase scissors "
    "teddy_bear hair_drier toothbrush".split()
)


def yolox_card(engine: Engine) -> EngineCard:
    """The card of a public YOLOX export, which carries none.

    Source: Megvii-BaseDetection/YOLOX demo/ONNXRuntime: BGR 0..255, picture top left, padding 114,
    sigmoid inside the graph, class-agnostic suppression at IoU 0.45.
    """
    shape = engine.inputs[0].shape
    if (
        len(shape) != 4
        or min(shape[2:]) < 0
        or engine.outputs[0].shape[-1] != 5 + len(COCO_CLASSES)
    ):
        raise EngineError(
            f"{engine.path}: a YOLOX export must have a fixed 4-d input and 85 output columns, "
            f"but has input {shape} and output {engine.outputs[0].shape}"
        )
    return EngineCard(
        name=engine.path.stem,
        family="yolox",
        task="road",
        classes=COCO_CLASSES,
        input=InputSpec(size=(shape[3], shape[2]), fit="letterbox_top_left"),
        decoder={
            "strides": [8, 16, 32],
            "objectness": True,
            "activated": True,
            "max_iou": 0.45,
            "nms_groups": [list(COCO_CLASSES)],
        },
        licence="Apache-2.0",
    )


class AnchorFree:
    """A detector around an engine of family "anchor_free", "yolox" or "yunet".

    The card's decoder says: `strides`; `objectness`, whether there is a column of it; `activated`,
    whether scores went through a sigmoid already; `root`, whether a score is the root of objectness
    times class; `keypoints`, how many pairs of x and y follow the classes; `max_iou`; `nms_groups`.

    Args:
        engine: the engine; its card says how to prepare and decode.
        card: for an engine without one.
        min_score: detections below are dropped.
        max_iou: for non-maximum suppression; None takes the card's.
        pixels: for a network that takes any input size: most pixels of the input. None: as many as the
            card's default size has. The input gets the source's shape.
        classes: keep only these; None keeps all.

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
        self.engine = engine
        self.card = card
        self.min_score = min_score
        self.classes = card.classes
        self._output = engine.outputs[0].name
        settings = card.decoder
        self.max_iou = float(max_iou if max_iou is not None else settings.get("max_iou", 0.6))
        self._strides = tuple(settings["strides"])
        self._objectness = bool(settings["objectness"])
        self._activated = bool(settings["activated"])
        self._group = suppression_groups(card.classes, settings.get("nms_groups", []))
        self._wanted = wanted_columns(card.classes, classes)
        self._points = int(settings.get("keypoints", 0))
        self._root = bool(settings.get("root", False))
        self._first = 5 if self._objectness else 4
        if card.family != "yunet":  # whose several outputs are joined first
            expected = self._first + len(card.classes) + 2 * self._points
            check_columns(engine, expected, card.classes, points=self._points)
        self._pictures = PictureEngine(engine, card, pixels=pixels, trims=True)
        self.input_size = self._pictures.input_size
        self.preprocessor = self._pictures.preprocessor

    def __call__(self, frame: Frame) -> Detections:
        """Detect on one frame."""
        outputs, size, mapping = self._pictures(frame)
        raw = joined(outputs) if self.card.family == "yunet" else outputs[self._output][0]
        return self.decode(raw, size, mapping, frame.size)

    def decode(
        self,
        raw: npt.NDArray[Any],
        input_size: tuple[int, int],
        mapping: Mapping,
        source: tuple[int, int],
    ) -> Detections:
        """Raw output (cells, columns) of one picture -> detections in source pixels."""
        rows, score, class_id = self._candidates(raw)
        grid, stride = _grid(input_size, self._strides)
        if len(grid) != len(raw):
            raise EngineError(
                f"{self.engine.path}: output must have {len(grid)} cells for an input of "
                f"{input_size[0]}x{input_size[1]}, but has {len(raw)}"
            )
        boxes, cells = raw[rows, :4].astype(np.float32), stride[rows]
        centre = (boxes[:, :2] + grid[rows]) * cells
        half = np.exp(np.minimum(boxes[:, 2:4], 10)) * cells / 2
        np.subtract(centre, half, out=boxes[:, :2])
        np.add(centre, half, out=boxes[:, 2:])
        xyxy = mapping.to_source(boxes)
        keep = nms(xyxy, score, self._group[class_id], max_iou=self.max_iou)[:MAX_DETECTIONS]
        xyxy = clip(xyxy[keep], source)
        visible = (xyxy[:, 2:] - xyxy[:, :2] > 0).all(axis=1)
        keep = keep[visible]
        kept = rows[keep]
        points = self._keypoints(raw[kept], grid[kept], stride[kept], score[keep], mapping)
        return Detections(xyxy[visible], score[keep], class_id[keep], self.classes, points)

    def _keypoints(
        self, raw: npt.NDArray[Any], corner: F32, stride: F32, score: F32, mapping: Mapping
    ) -> F32:
        """(N, K, 3) of the rows kept; a point is as sure as its object."""
        if not self._points:
            return np.zeros((len(raw), 0, 3), np.float32)
        first = self._first + len(self.classes)
        points = raw[:, first:].astype(np.float32).reshape(len(raw), self._points, 2)
        places = mapping.points_to_source((points + corner[:, None]) * stride[:, None])
        sure = np.broadcast_to(score[:, None, None], (*places.shape[:2], 1))
        return np.concatenate([places, sure], axis=2)

    def _candidates(
        self, raw: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[np.intp], F32, npt.NDArray[np.int32]]:
        """Rows, scores and classes of the cells over the score limit, best MAX_CANDIDATES only."""
        # A score that is a root of the product needs less of the product.
        limit = self.min_score**2 if self._root else self.min_score
        if not self._activated:
            limit = logit(limit)
        if self._objectness:
            # The product with a class probability can only be lower, so this filter loses nothing.
            rows = np.flatnonzero(raw[:, 4] >= limit)
        else:
            rows = np.flatnonzero(raw[:, 4 : 4 + len(self.classes)].max(axis=1) >= limit)
        by_class = raw[rows, self._first : self._first + len(self.classes)].astype(np.float32)
        if self._wanted is not None:
            by_class = np.where(self._wanted, by_class, -np.inf)
        class_id = by_class.argmax(axis=1).astype(np.int32)
        score = by_class[np.arange(len(rows)), class_id]
        if not self._activated:
            score = _sigmoid(score)
        if self._objectness:
            objectness = raw[rows, 4].astype(np.float32)
            score = score * (objectness if self._activated else _sigmoid(objectness))
            score = np.sqrt(np.maximum(score, 0)) if self._root else score
        keep = np.flatnonzero(score >= self.min_score)
        if len(keep) > MAX_CANDIDATES:
            keep = keep[np.argsort(-score[keep], kind="stable")[:MAX_CANDIDATES]]
        return rows[keep], score[keep].astype(np.float32), class_id[keep]


def _sigmoid(x: F32) -> F32:
    return np.asarray(1 / (1 + np.exp(-x)), np.float32)


@lru_cache(maxsize=16)
def _grid(input_size: tuple[int, int], strides: tuple[int, ...]) -> tuple[F32, F32]:
    """Cell corners (cells, 2) in cells and strides (cells, 1), level by level, row by row."""
    width, height = input_size
    cells, sizes = [], []
    for stride in strides:
        x, y = np.meshgrid(np.arange(width // stride), np.arange(height // stride))
        level = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
        cells.append(level)
        sizes.append(np.full((len(level), 1), stride, np.float32))
    return np.concatenate(cells), np.concatenate(sizes)
