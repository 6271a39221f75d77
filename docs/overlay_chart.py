"""Draw docs/overlay.png: every class colour, the labels, the pictograms, on dark, middle and bright ground.

Run from the repository's root: ``python docs/overlay_chart.py``.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from perception.render import CLASS_COLOURS, Overlay
from perception.types import Detections, Frame, FrameResult, Lane, Lanes, Tracks

SIGNS = (
    "speed_50 speed_100 end_80 stop yield no_entry priority_road no_overtaking keep_right road_work"
)
LIGHTS = ("red", "yellow", "green", "off")


def main() -> None:
    """Write the chart."""
    width, height = 1280, 720
    ground = np.zeros((height, width, 3), np.uint8)
    ground[:] = np.linspace(25, 225, width)[None, :, None].astype(np.uint8)
    names = tuple(CLASS_COLOURS)
    rows: list[tuple[str, tuple[float, float, float, float], dict[str, str]]] = []
    for n, name in enumerate(names):
        x, y = 200 + 180 * (n % 6), 60 + 110 * (n // 6)
        rows.append((name, (x, y, x + 110, y + 62), {}))
    for n, sign in enumerate(SIGNS.split()):
        x = 200 + 106 * n
        rows.append(("traffic_sign", (x, 300, x + 30, 330), {"sign": sign}))
    for n, light in enumerate(LIGHTS):
        x = 1100 - 110 * n
        rows.append(("traffic_light", (x, 370, x + 22, 420), {"light": light}))
    rows.append(("car", (260, 470, 400, 560), {}))
    rows.append(("truck", (900, 450, 1060, 590), {}))
    boxes = np.array([box for _, box, _ in rows], np.float32)
    class_id = np.array([names.index(name) for name, _, _ in rows])
    count = len(rows)
    predicted = count - 2
    overlay = Overlay(clock=iter(np.arange(1000) / 62.0).__next__)
    for step in range(40):
        offset = np.zeros_like(boxes)
        offset[-2:] = (step - 39) * np.array([[4, -1.2, 4, -1.2], [-4, -1.2, -4, -1.2]])
        seen = np.array([row for row in range(count) if row != predicted])
        detection = np.full(count, -1)
        detection[seen] = np.arange(count - 1)
        result = FrameResult(Frame(ground, pts=72_000 + 40 * step))
        result.detections["road"] = Detections(
            (boxes + offset)[seen], np.full(count - 1, 0.9), class_id[seen], names
        )
        result.tracks["road"] = Tracks(
            track_id=np.arange(1, count + 1),
            xyxy=boxes + offset,
            velocity=np.zeros((count, 2)),
            age=np.ones(count),
            detection=detection,
            score=np.full(count, 0.9),
            class_id=class_id,
            classes=names,
            attributes={row + 1: dict(extra) for row, (_, _, extra) in enumerate(rows)},
        )
        result.lanes = Lanes(
            lines=(
                Lane(np.array([[430, 715], [560, 560], [625, 440]], np.float32), -1, 0.9),
                Lane(np.array([[860, 715], [730, 560], [665, 440]], np.float32), 1, 0.9),
                Lane(np.array([[1180, 715], [860, 540], [700, 440]], np.float32), 2, 0.9),
            ),
            drivable=(np.array([[430, 720], [628, 436], [662, 436], [860, 720]], np.float32),),
        )
        picture = overlay.bgr(result)
    path = Path(__file__).with_name("overlay.png")
    cv2.imwrite(str(path), picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
