"""Judge a detector on the rendered clips: `python -m engines.clips sample_videos/*.mp4`.

No picture of the clips is trained on. One working point, vehicles (car, truck and bus as one), IoU 0.5;
vehicles lower than 24 pixels of the 720 are not asked for, nor such of which less than 30 % can be seen.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from perception.backends import open_engine
from perception.errors import InputError, PerceptionError
from perception.evaluation.detection import ROAD_GROUPS, Truth, precision_recall_at
from perception.models.anchor_free import AnchorFree
from perception.sources import open_source
from perception.types import Detections

ROAD = Path(__file__).parent / "weights" / "road.onnx"
MIN_HEIGHT = 24.0
MIN_VISIBILITY = 0.3
PIXELS = (184_320, 245_760, 368_640)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.clips", description=__doc__)
    parser.add_argument("clips", nargs="+", help="MP4 files with their truth in a .json beside")
    parser.add_argument("--engine", default=str(ROAD))
    parser.add_argument("--min-score", type=float, default=0.3)
    parser.add_argument("--every", type=int, default=5, help="frames")
    parser.add_argument("--pixels", type=int, nargs="+", default=list(PIXELS))
    arguments = parser.parse_args(argv)
    vehicle = next(group for group in ROAD_GROUPS if group.name == "vehicle")
    person = next(group for group in ROAD_GROUPS if group.name == "person")
    print("| clip | pixels | precision | recall | person recall |\n| --- | --- | --- | --- | --- |")
    try:
        engine = open_engine(arguments.engine, backend="onnxruntime", threads=2)
        assert engine.card is not None
        for pixels in arguments.pixels:
            detector = AnchorFree(engine, engine.card, min_score=arguments.min_score, pixels=pixels)
            for clip in arguments.clips:
                truths, found = run(Path(clip), detector, arguments.every)
                point = {"min_score": arguments.min_score, "min_height": MIN_HEIGHT}
                precision, recall = precision_recall_at(truths, found, vehicle, **point)
                _, people = precision_recall_at(truths, found, person, **point)
                name = Path(clip).stem
                print(f"| {name} | {pixels} | {precision:.3f} | {recall:.3f} | {people:.3f} |")
    except PerceptionError as error:
        print(f"engines.clips: {error}", file=sys.stderr)
        return 2
    return 0


def run(clip: Path, detector: AnchorFree, every: int) -> tuple[list[Truth], list[Detections]]:
    """Truth and detections of every `every`-th frame."""
    frames = read_truth(clip)
    truths, found = [], []
    source = open_source(clip)
    try:
        for frame in source:
            if frame.index % every == 0 and frame.index in frames:
                truths.append(frames[frame.index])
                found.append(detector(frame))
    finally:
        source.close()
    return truths, found


def read_truth(clip: Path) -> dict[int, Truth]:
    """Truth by frame number, from the JSON file beside a clip.

    An object that is hardly visible is kept with a height of no interest, so it is neither asked for nor
    a false alarm.
    """
    path = clip.with_suffix(".json")
    if not path.is_file():
        raise InputError(f"{path}: no such file; the truth lies beside the clip")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    truths = {}
    for frame in content["frames"]:
        boxes = []
        for item in frame["objects"]:
            x1, y1, x2, y2 = item["xyxy"]
            hidden = item.get("visibility", 1.0) < MIN_VISIBILITY
            boxes.append([x1, y1, x2, min(y2, y1 + MIN_HEIGHT - 1) if hidden else y2])
        truths[int(frame["frame"])] = Truth(
            path=clip,
            size=(int(content["width"]), int(content["height"])),
            xyxy=np.array(boxes, np.float32).reshape(-1, 4),
            labels=tuple(item["class"] for item in frame["objects"]),
            labelled=tuple(content["classes"]),
            source="rendered",
        )
    return truths


if __name__ == "__main__":
    sys.exit(main())
