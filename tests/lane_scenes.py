"""Drawn roads whose lanes are known, and an engine that reads their colours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from perception.backends import TensorSpec
from perception.card import EngineCard, InputSpec
from perception.types import U8

STRIDE = 2
AWAY = (0.5, 0.45)  # where all lines meet, of the picture


class ColourEngine:
    """Green is drivable, red is lane paint (on green too): (N, 2, H/2, W/2) logits."""

    path = Path("colours.onnx")
    backend = "function"

    def __init__(self, *, size: tuple[int, int] = (320, 192), family: str = "lanes") -> None:
        self.card: EngineCard | None = EngineCard(
            name="colours",
            family=family,
            task="lanes",
            classes=("drivable", "lane"),
            input=InputSpec(size=size, colour="rgb", std=(255.0,) * 3),
            decoder={"stride": STRIDE},
        )
        self.runs = 0
        self.inputs = (TensorSpec("images", np.dtype(np.float32), (-1, 3, -1, -1)),)
        self.outputs = (TensorSpec("masks", np.dtype(np.float32), (-1, 2, -1, -1)),)

    def infer(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        self.runs += 1
        pictures = feeds["images"]
        n, _, height, width = pictures.shape
        cells = pictures.reshape(n, 3, height // STRIDE, STRIDE, width // STRIDE, STRIDE)
        red, green, blue = cells.mean(axis=(3, 5)).transpose(1, 0, 2, 3)
        logits = np.stack([np.maximum(green, red) - blue, red - blue], axis=1) - 0.5
        return {"masks": (20 * logits).astype(np.float32)}

    def close(self) -> None: ...


def line(
    place: float, size: tuple[int, int], *, top: float = 0.5, count: int = 40
) -> npt.NDArray[Any]:
    """Points (count, 2), near to far, of a straight line that meets the lower edge at `place` (of the width)."""
    width, height = size
    y = np.linspace(1.0, top, count)
    x = AWAY[0] + (place - AWAY[0]) * (y - AWAY[1]) / (1 - AWAY[1])
    return np.stack([x * width, y * height], axis=1)


def draw(
    lines: list[npt.NDArray[Any]],
    size: tuple[int, int] = (640, 360),
    *,
    road: tuple[float, float] | None = (0.0, 1.0),
    thickness: float = 1 / 100,
) -> U8:
    """A picture (H, W, 3) BGR of a green road between two places at the lower edge, with red lines."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    if road is not None:
        sides = [line(place, size) for place in road]
        outline = np.concatenate([sides[0], sides[1][::-1]])
        cv2.fillPoly(image, [np.round(outline * 16).astype(np.int32)], (0, 255, 0), cv2.LINE_AA, 4)
    for points in lines:
        # Pixel centres are at integer + 0.5 with us and at integers with OpenCV.
        corners = np.round((points - 0.5) * 16).astype(np.int32)[:, None]
        wide = max(1, round(thickness * width))
        cv2.polylines(image, [corners], False, (0, 0, 255), wide, cv2.LINE_AA, 4)
    return image
