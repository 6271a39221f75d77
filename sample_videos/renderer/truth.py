"""Turns identities at pixels into boxes with class, visibility and truncation."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .draw import Drawing
from .scene import Scene


def visible_boxes(identities: NDArray[np.uint16]) -> dict[int, tuple[list[int], int]]:
    """Return the box [x1, y1, x2, y2] (end exclusive) and pixel count of every identity."""
    rows, columns = np.nonzero(identities)
    who = identities[rows, columns].astype(np.int64)
    if not len(who):
        return {}
    count = np.bincount(who)
    size = len(count)
    low_x = np.full(size, 1 << 30)
    low_y, high_x, high_y = low_x.copy(), np.zeros(size, int), np.zeros(size, int)
    np.minimum.at(low_x, who, columns)
    np.minimum.at(low_y, who, rows)
    np.maximum.at(high_x, who, columns)
    np.maximum.at(high_y, who, rows)
    return {
        int(i): (
            [int(low_x[i]), int(low_y[i]), int(high_x[i]) + 1, int(high_y[i]) + 1],
            int(count[i]),
        )
        for i in np.flatnonzero(count)
    }


def objects(
    scene: Scene,
    drawing: Drawing,
    *,
    min_pixels: int = 12,
    min_visibility: float = 0.08,
    min_plate: tuple[int, int] = (10, 4),
) -> list[dict[str, Any]]:
    """Return the things that can be seen, with true boxes.

    Args:
        scene: the scene that was drawn.
        drawing: its drawing.
        min_pixels: things with fewer visible pixels are left out.
        min_visibility: things less visible than this are left out.
        min_plate: least width and height of a plate's box.
    """
    boxes = visible_boxes(drawing.identities)
    for identity, thing in scene.things.items():
        if thing.parent and identity in boxes:
            box, count = boxes[identity]
            if thing.parent in boxes:
                other, total = boxes[thing.parent]
                merged = [
                    *np.minimum(box[:2], other[:2]).tolist(),
                    *np.maximum(box[2:], other[2:]).tolist(),
                ]
                boxes[thing.parent] = (merged, total + count)
    found: list[dict[str, Any]] = []
    for identity, (box, count) in sorted(boxes.items()):
        thing = scene.things.get(identity)
        if thing is None or count < min_pixels:
            continue
        whole, outside = drawing.alone.get(identity, (float(count), 0.0))
        visibility = min(1.0, count / max(whole, 1.0))
        if visibility > 0.94:
            visibility = 1.0
        width, height = box[2] - box[0], box[3] - box[1]
        if visibility < min_visibility:
            continue
        if thing.class_name == "plate" and (
            width < min_plate[0] or height < min_plate[1] or visibility < 0.5
        ):
            continue
        if min(width, height) < 3:
            continue
        found.append(
            {
                "id": identity,
                "class": thing.class_name,
                "xyxy": [float(v) for v in box],
                "visibility": round(visibility, 2),
                "truncated": round(max(0.0, outside), 2),
                "attributes": dict(thing.attributes),
            }
        )
    return found


def masks(scene: Scene, drawing: Drawing) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the drivable asphalt and the lane paint as (H, W) masks of 0 and 255."""
    camera, road = scene.camera, scene.road
    width, height = camera.size
    drivable = np.zeros((height, width), np.uint8)
    paint = np.zeros((height, width), np.uint8)
    z = camera.z + np.geomspace(1.2, 160, 60)

    def strip(
        target: NDArray[np.uint8], left: float, right: float, along: NDArray[np.floating]
    ) -> None:
        heading = road.heading(along)
        for a, b in zip(range(len(along) - 1), range(1, len(along)), strict=True):
            corners = []
            for index, side in ((a, left), (a, right), (b, right), (b, left)):
                corners.append(
                    [
                        float(road.centre(along[index])) + side * np.cos(heading[index]),
                        0.0,
                        along[index] - side * np.sin(heading[index]),
                    ]
                )
            pixels, depth = camera.project(np.array(corners))
            if (depth > 0.3).all():
                cv2.fillConvexPoly(target, np.round(pixels).astype(np.int32), 255)

    strip(drivable, *road.edges, z)
    for line in road.lines:
        half = line.width / 2
        if not line.dash:
            strip(paint, line.place - half, line.place + half, z)
            continue
        first = np.floor(z[0] / line.period) * line.period
        for start in np.arange(first, z[-1], line.period):
            strip(
                paint,
                line.place - half,
                line.place + half,
                np.linspace(max(start, z[0]), max(start + line.dash, z[0] + 0.1), 4),
            )
    hidden = drawing.identities > 0
    drivable[hidden] = 0
    paint[hidden] = 0
    return drivable, paint
