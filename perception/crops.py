"""Crops of a picture for a classifier: a box with a margin, brought to the network's size in one step.

A crop is taken at the source's own resolution, from the planes where the frame has them: the rest of the
picture is never converted.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from perception.card import InputSpec
from perception.colour import ycc_to_bgr
from perception.types import F32, U8, Frame, Planes

Size = tuple[int, int]


def cut_boxes(frame: Frame, xyxy: F32, size: Size, *, margin: float = 0.0) -> U8:
    """Crops (N, H, W, 3) uint8 BGR of a frame's boxes (N, 4); see `cut`."""
    width, height = size
    crops = np.empty((len(xyxy), height, width, 3), np.uint8)
    for crop, box in zip(crops, xyxy, strict=True):
        if frame.planes is not None:
            crop[:] = cut_planes(frame.planes, box, size, margin=margin)
        else:
            crop[:] = cut(frame.image, box, size, margin=margin)
    return crops


def cut(image: U8, box: F32, size: Size, *, margin: float = 0.0) -> U8:
    """One crop, (H, W, 3) or (H, W) as the picture is.

    Args:
        image: (h, w, 3) or (h, w) uint8.
        box: (4,) xyxy in pixels; its longer sides are shortened, its aspect is not kept.
        size: (width, height) of the crop.
        margin: added on every side, as a share of the box's width and height.

    Outside the picture its edge goes on. Shrinking averages, growing interpolates.
    """
    x1, y1, x2, y2 = (float(value) for value in box)
    grow_x, grow_y = (x2 - x1) * margin, (y2 - y1) * margin
    left, top = x1 - grow_x, y1 - grow_y
    wide = max(x2 - x1 + 2 * grow_x, 1e-3)
    high = max(y2 - y1 + 2 * grow_y, 1e-3)
    # Bilinear sampling at a whole multiple of the size, then the mean of its cells: without it a large crop
    # is sampled here and there, and thin strokes come and go.
    inner = size[0] * max(1, math.ceil(wide / size[0])), size[1] * max(1, math.ceil(high / size[1]))
    scale_x, scale_y = inner[0] / wide, inner[1] / high
    # Pixel centres lie at integer + 0.5 for us and at integers for OpenCV.
    matrix = np.array(
        [
            [scale_x, 0, (0.5 - left) * scale_x - 0.5],
            [0, scale_y, (0.5 - top) * scale_y - 0.5],
        ],
        np.float64,
    )
    crop = cv2.warpAffine(
        image, matrix, inner, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    if inner != size:
        crop = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    return np.asarray(crop, np.uint8)


def cut_planes(planes: Planes, box: F32, size: Size, *, margin: float = 0.0) -> U8:
    """As `cut`, (H, W, 3) BGR, from planes."""
    half = np.asarray(np.asarray(box) / 2, np.float32)
    parts = [
        cut(planes.y, box, size, margin=margin),
        cut(planes.u, half, size, margin=margin),
        cut(planes.v, half, size, margin=margin),
    ]
    return ycc_to_bgr(np.dstack(parts), matrix=planes.matrix, full_range=planes.full_range)


def whole(image: U8) -> F32:
    """The box (4,) of a whole picture."""
    return np.array([0, 0, image.shape[1], image.shape[0]], np.float32)


def as_input(crops: U8, spec: InputSpec) -> F32:
    """Crops (N, H, W, 3) uint8 BGR -> the network's input (N, 3, H, W) float32."""
    ordered = crops[..., ::-1] if spec.colour == "rgb" else crops
    values = (ordered.astype(np.float32) - np.array(spec.mean, np.float32)) / np.array(
        spec.std, np.float32
    )
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))
