"""A made-up drive that has everything a tracker meets; and, as a command, the golden file of its tracks.

    python -m tests.tracking.sequence tests/tracking/sequence.json

writes what the tracker of this checkout says. The file in the repository is from the tracker before it was made
faster: only what tracks are meant to be may change it.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from perception.tracking import Tracker
from perception.types import Detections

SIZE = (1280, 720)
CLASSES = ("car", "truck", "person")
FRAMES = 100


def frames() -> Iterator[tuple[float, Detections]]:
    """Times and detections: objects that cross and hide, noise, doubles, false alarms, a turn, a pause."""
    # Python's own generator, whose numbers are promised to stay.
    draw = random.Random(7)
    objects = [
        {
            "x": draw.uniform(0, 1280),
            "y": draw.uniform(300, 500),
            "vx": draw.uniform(-120, 120),
            "side": draw.uniform(18, 110),
            "grows": draw.uniform(-0.2, 0.3),
            "kind": draw.choice([0, 0, 0, 1, 2]),
        }
        for _ in range(16)
    ]
    time, turn = 0.0, 0.0
    for number in range(FRAMES):
        time += 0.5 if number == 80 else 1 / 15
        turn += 70.0 if number == 40 else 0.0
        boxes, scores, kinds = [], [], []
        for i, thing in enumerate(objects):
            side = thing["side"] * (1 + thing["grows"] * time)
            x, y = thing["x"] + thing["vx"] * time + turn, thing["y"]
            hidden = draw.random() < 0.08 or 50 + i <= number < 56 + i
            noise = [draw.gauss(0, 0.02 * side) for _ in range(4)]
            if hidden or not -side < x < SIZE[0] + side:
                continue
            kind = thing["kind"]
            if kind < 2 and draw.random() < 0.15:
                kind = 1 - kind
            box = [x - side * 0.7, y - side / 2, x + side * 0.7, y + side / 2]
            score = min(0.98, max(0.06, draw.gauss(0.62, 0.25)))
            for times in range(2 if draw.random() < 0.06 else 1):
                boxes.append([a + b + 2 * times for a, b in zip(box, noise, strict=True)])
                scores.append(score * 0.8**times)
                kinds.append(kind if times == 0 or kind == 2 else 1 - kind)
        for _ in range(draw.choice([0, 0, 1, 3])):
            x, y, side = draw.uniform(0, 1200), draw.uniform(200, 600), draw.uniform(10, 60)
            boxes.append([x, y, x + side, y + side])
            scores.append(draw.uniform(0.05, 0.5))
            kinds.append(draw.choice([0, 1, 2]))
        xyxy = np.array(boxes, np.float32).reshape(-1, 4)
        limit = np.array([*SIZE, *SIZE], np.float32)
        yield (
            time,
            Detections(
                np.clip(xyxy, 0, limit),
                np.array(scores, np.float32),
                np.array(kinds, np.int32),
                CLASSES,
            ),
        )


def tracked() -> list[dict[str, list[float]]]:
    """Tracks of each frame: ids, rows of detections, classes, and left edges to a tenth of a pixel."""
    tracker = Tracker()
    found = []
    for time, detections in frames():
        tracks = tracker(detections, time, size=SIZE)
        found.append(
            {
                "id": tracks.track_id.tolist(),
                "detection": tracks.detection.tolist(),
                "class": tracks.class_id.tolist(),
                "left": [round(float(x), 1) for x in tracks.xyxy[:, 0]],
            }
        )
    return found


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(frame, separators=(",", ":")) for frame in tracked())
    Path(sys.argv[1]).write_text(f"[\n{lines}\n]\n")
