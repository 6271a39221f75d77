"""How well the pipeline does on the rendered sample clips, against their truth.

    python benchmarks/samples.py [--config dashcam] [--json OUT]

Protocol: vehicles are car, truck and bus, taken as one class. Truth counts when it is at least 24 px tall and
at least a quarter of it is visible; other vehicles in the truth are neither missed nor false. A detection matches
the truth it overlaps most, at IoU 0.5 or more, best score first, each truth once. Precision is over detections at
least 24 px tall. An id switch is a truth object whose matched track id differs from the one it had last.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import perception
from perception.geometry import iou

SAMPLES = Path(__file__).resolve().parents[1] / "sample_videos"
VEHICLES = frozenset({"car", "truck", "bus"})
MIN_HEIGHT = 24.0
MIN_VISIBILITY = 0.25
MIN_IOU = 0.5


@dataclass
class Score:
    """Counts over a clip."""

    clip: str
    truth: int = 0
    found: int = 0
    detections: int = 0
    false: int = 0
    switches: int = 0
    object_seconds: float = 0.0

    def figures(self) -> dict[str, float]:
        return {
            "recall": self.found / max(1, self.truth),
            "precision": 1 - self.false / max(1, self.detections),
            "switches_per_100_object_seconds": 100 * self.switches / max(1e-9, self.object_seconds),
        }


def boxes(rows: list[Any]) -> np.ndarray:
    return np.array([row["xyxy"] for row in rows], np.float32).reshape(-1, 4)


def score_clip(clip: Path, truth: dict[str, Any], config: str) -> Score:
    score = Score(clip.name)
    last_track: dict[int, int] = {}
    frames = {entry["frame"]: entry["objects"] for entry in truth["frames"]}
    with perception.open(clip, config=config) as run:
        for result in run:
            objects = [row for row in frames[result.frame.index] if row["class"] in VEHICLES]
            true_boxes = boxes(objects)
            counts = [
                box[3] - box[1] >= MIN_HEIGHT and row.get("visibility", 1) >= MIN_VISIBILITY
                for row, box in zip(objects, true_boxes, strict=True)
            ]
            found = [
                row for row in result.objects if row.class_name in VEHICLES and not row.predicted
            ]
            matched = dict(
                match(np.array([row.xyxy for row in found]).reshape(-1, 4), found, true_boxes)
            )
            score.truth += int(sum(counts))
            score.object_seconds += float(sum(counts)) / truth["fps"]
            for i, row in enumerate(found):
                tall = row.xyxy[3] - row.xyxy[1] >= MIN_HEIGHT
                score.detections += int(tall)
                if i not in matched:
                    score.false += int(tall)
                    continue
                score.found += int(counts[matched[i]])
                if row.track_id is not None:
                    identity = objects[matched[i]]["id"]
                    score.switches += int(last_track.get(identity, row.track_id) != row.track_id)
                    last_track[identity] = row.track_id
    return score


def match(xyxy: np.ndarray, found: list[Any], true_boxes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs (detection, truth), best score first."""
    overlap = iou(xyxy.astype(np.float32), true_boxes)
    for i in sorted(range(len(found)), key=lambda i: -found[i].score):
        if overlap.shape[1] and overlap[i].max() >= MIN_IOU:
            j = int(overlap[i].argmax())
            overlap[:, j] = 0
            yield i, j


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", default="dashcam")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    scores = []
    print(f"{'clip':<20}{'recall':>8}{'precision':>11}{'switches / 100 object-s':>25}{'boxes':>8}")
    for clip in sorted(SAMPLES.glob("*.mp4")):
        truth = json.loads(clip.with_suffix(".json").read_text())
        score = score_clip(clip, truth, options.config)
        scores.append(score)
        f = score.figures()
        print(
            f"{clip.stem:<20}{f['recall']:>8.3f}{f['precision']:>11.3f}"
            f"{f['switches_per_100_object_seconds']:>25.2f}{score.truth:>8}"
        )
    if options.json:
        rows = [asdict(score) | score.figures() for score in scores]
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
