"""What it costs and saves to let the detector rest: `every_s` on the rendered sample clips, against their truth.

    python benchmarks/every_s.py [--json OUT]

Counted is what the overlay shows: tracks, seen or predicted. Protocol as in benchmarks/samples.py: vehicles of at
least 24 px and a quarter visible; IoU 0.5; every frame counts, those on which the detector rests too.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from time import process_time, thread_time
from typing import Any

import numpy as np

import perception
from perception.config import Config, load_config
from perception.machine import machine

sys.path.insert(0, str(Path(__file__).resolve().parent))
from samples import MIN_HEIGHT, MIN_VISIBILITY, SAMPLES, VEHICLES, boxes, match

INTERVALS_S = (0.0, 0.08, 0.12, 0.2)


def resting(config: Config, every_s: float) -> Config:
    """The configuration with its detectors resting, and tracks coasting at least as long."""
    tables = []
    for table in config.stages:
        values = dict(table)
        if values["type"] == "detector":
            values["every_s"] = every_s
        if values["type"] == "tracker":
            values["coast_s"] = max(values.get("coast_s", 0.2), every_s)
        tables.append(values)
    return replace(config, stages=tuple(tables))


def score(clip: Path, config: Config) -> dict[str, float]:
    """Recall, precision and id switches of what is shown, and processor time a frame."""
    truth = json.loads(clip.with_suffix(".json").read_text())
    frames = {entry["frame"]: entry["objects"] for entry in truth["frames"]}
    counted = found_count = shown_count = false = switches = looked = 0
    last: dict[int, int] = {}
    scoring = 0.0
    start = process_time()
    with perception.open(clip, config=config) as run:
        for result in run:
            began = thread_time()
            looked += not result.skipped
            objects = [row for row in frames[result.frame.index] if row["class"] in VEHICLES]
            true_boxes = boxes(objects)
            counts = [
                box[3] - box[1] >= MIN_HEIGHT and row.get("visibility", 1) >= MIN_VISIBILITY
                for row, box in zip(objects, true_boxes, strict=True)
            ]
            shown = [
                row
                for row in result.objects
                if row.class_name in VEHICLES and row.track_id is not None
            ]
            xyxy = np.array([row.xyxy for row in shown]).reshape(-1, 4)
            matched = dict(match(xyxy, shown, true_boxes))
            counted += sum(counts)
            for i, row in enumerate(shown):
                tall = row.xyxy[3] - row.xyxy[1] >= MIN_HEIGHT
                shown_count += tall
                if i not in matched:
                    false += tall
                    continue
                found_count += counts[matched[i]]
                identity = objects[matched[i]]["id"]
                assert row.track_id is not None
                switches += last.get(identity, row.track_id) != row.track_id
                last[identity] = row.track_id
            scoring += thread_time() - began
    spent = process_time() - start - scoring
    return {
        "recall": found_count / max(1, counted),
        "precision": 1 - false / max(1, shown_count),
        "switches": switches,
        "looks": looked / len(frames),
        "cpu_ms": 1000 * spent / len(frames),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", default="dashcam")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    config = load_config(options.config)
    rows: list[dict[str, Any]] = []
    print("| clip | every_s | looks | recall | precision | id switches | CPU ms |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for clip in sorted(SAMPLES.glob("*.mp4")):
        for every_s in INTERVALS_S:
            row = {"clip": clip.stem, "every_s": every_s, **score(clip, resting(config, every_s))}
            rows.append(row)
            print(
                f"| {clip.stem} | {every_s:g} | {row['looks']:.0%} | {row['recall']:.3f} "
                f"| {row['precision']:.3f} | {row['switches']} | {row['cpu_ms']:.1f} |",
                flush=True,
            )
    if options.json is not None:
        report = {"machine": machine(), "config": options.config, "rows": rows}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
