"""Frames and results made of numbers, for the tests of the renderer."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from perception.colour import bgr_to_planes, planes_to_bgr
from perception.types import ROAD_CLASSES, U8, Detections, Frame, FrameResult, Planes, Tracks

CLASSES = (*ROAD_CLASSES, "face", "vehicle")


def picture(width: int, height: int, *, seed: int = 0) -> U8:
    """A smooth (height, width, 3) BGR picture with some dark and some bright parts."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def planes(width: int, height: int, *, matrix: str = "bt709", full_range: bool = False) -> Planes:
    """The same as planes that cannot be written to, as a decoder hands them out."""
    made = bgr_to_planes(picture(width, height), matrix=matrix, full_range=full_range)
    for plane in (made.y, made.u, made.v):
        plane.flags.writeable = False
    return made


def frame(source: Planes | U8, *, time: float = 0.0, path: str | None = None) -> Frame:
    """A frame of planes or of a BGR picture, at this time."""
    pts, base = round(time * 1000), Fraction(1, 1000)
    if isinstance(source, Planes):
        return Frame(planes=source, to_bgr=planes_to_bgr, pts=pts, time_base=base, path=path)
    return Frame(source, pts=pts, time_base=base, path=path)


def result(
    shown: Frame,
    boxes: Sequence[Sequence[float]] = (),
    names: Sequence[str] = (),
    *,
    ids: Sequence[int] | None = None,
    predicted: Sequence[int] = (),
    attributes: dict[int, dict[str, Any]] | None = None,
    score: float = 0.9,
) -> FrameResult:
    """A result whose objects are tracks when `ids` is given; `predicted` rows have no detection."""
    made = FrameResult(shown)
    n = len(boxes)
    xyxy = np.array(boxes, np.float32).reshape(n, 4)
    class_id = np.array([CLASSES.index(name) for name in names], np.int32)
    seen = np.array([row for row in range(n) if row not in predicted], np.int64)
    made.detections["road"] = Detections(
        xyxy[seen], np.full(len(seen), score), class_id[seen], CLASSES
    )
    if ids is not None:
        detection = np.full(n, -1)
        detection[seen] = np.arange(len(seen))
        made.tracks["road"] = Tracks(
            track_id=np.array(ids),
            xyxy=xyxy,
            velocity=np.zeros((n, 2)),
            age=np.ones(n),
            detection=detection,
            score=np.full(n, score),
            class_id=class_id,
            classes=CLASSES,
            attributes=attributes or {},
        )
    return made


def crowd(n: int, width: int, height: int, *, seed: int = 0) -> tuple[list[list[float]], list[str]]:
    """Boxes of many sizes, some of them over each other and over the picture's edge."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform([-0.05, 0.1], [1.0, 0.9], (n, 2)) * [width, height]
    size = rng.uniform(0.01, 0.2, (n, 1)) * height * rng.uniform(0.6, 1.6, (n, 2))
    boxes = np.concatenate([corner, corner + size], axis=1)
    return boxes.tolist(), [CLASSES[i] for i in rng.integers(0, len(CLASSES), n)]
