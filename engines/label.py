"""Let a teacher label what data sources leave open: `python -m engines.label DATA -o LABELS.json`.

The teacher is the public YOLOX-nano checkpoint (Megvii, Apache-2.0), run on the whole picture at two
sizes, the larger one showing small objects at twice their size (what overlapping crops would show).
The recipe's `[teacher]` decides which scores count as labels and which only as "unknown here".
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from engines.data.coco import Sample, load_coco
from engines.nets.road import RoadNet, boxes_of, grid
from engines.nets.yolox import COCO_ROWS, load_yolox
from perception.errors import PerceptionError
from perception.geometry import nms
from perception.types import ROAD_CLASSES

TAUGHT = tuple(name for name in ROAD_CLASSES if name in COCO_ROWS and name != "traffic_sign")
MIN_SCORE = 0.1


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.label", description=__doc__)
    parser.add_argument("data", nargs="+", help="folders or json files with labelled pictures")
    parser.add_argument("-o", "--output", required=True, help="labels, JSON")
    parser.add_argument("--teacher", required=True, help="yolox_nano.onnx")
    parser.add_argument(
        "--pixels", type=int, nargs="+", default=[250_000, 700_000], help="of each run"
    )
    parser.add_argument(
        "--stretched", nargs="*", default=["gtsdb"], help="sources squeezed to a square from 1.7:1"
    )
    arguments = parser.parse_args(argv)
    try:
        teacher = Teacher(arguments.teacher, pixels=arguments.pixels)
        samples = [s for path in arguments.data for s in load_coco(path, ROAD_CLASSES)]
        samples = [s for s in samples if s.split == "train"]
        labels = {}
        for sample in tqdm(samples, unit="picture", disable=not sys.stderr.isatty()):
            aspect = 1.7 if sample.source in arguments.stretched else 1.0
            labels[f"{sample.path.parent.name}/{sample.path.name}"] = teacher(sample, aspect)
        Path(arguments.output).write_text(json.dumps(labels), encoding="utf-8")
    except PerceptionError as error:
        print(f"engines.label: {error}", file=sys.stderr)
        return 2
    print(f"{sum(map(len, labels.values()))} boxes in {len(labels)} pictures: {arguments.output}")
    return 0


class Teacher:
    """YOLOX-nano at several input sizes."""

    def __init__(self, path: str | Path, *, pixels: Sequence[int]) -> None:
        self.net = RoadNet(80)
        load_yolox(self.net, path)
        self.net.eval().to(memory_format=torch.channels_last)
        self.pixels = pixels
        self.columns = [5 + COCO_ROWS[name] for name in TAUGHT]

    @torch.no_grad()
    def __call__(self, sample: Sample, aspect: float = 1.0) -> list[dict[str, object]]:
        """Boxes in the picture's own pixels; `aspect` undoes a squeeze of the width."""
        image = sample.read()
        height, width = image.shape[:2]
        boxes, scores, kinds = [], [], []
        for pixels in self.pixels:
            scale = (pixels / (width * aspect * height)) ** 0.5
            size = [max(32, round(side * scale / 32) * 32) for side in (width * aspect, height)]
            resized = cv2.resize(image, (size[0], size[1]), interpolation=cv2.INTER_LINEAR)
            tensor = torch.from_numpy(resized).permute(2, 0, 1)[None].float()
            raw = self.net(tensor.contiguous(memory_format=torch.channels_last))[0]
            score = raw[:, 4:5].sigmoid() * raw[:, self.columns].sigmoid()
            row, kind = (score > MIN_SCORE).nonzero(as_tuple=True)
            found = boxes_of(raw, *grid(size[0], size[1]))[row].numpy()
            back = np.array([width / size[0], height / size[1]] * 2, np.float32)
            boxes.append(found * back)
            scores.append(score[row, kind].numpy())
            kinds.append(kind.numpy())
        xyxy, score, kind = np.concatenate(boxes), np.concatenate(scores), np.concatenate(kinds)
        keep = nms(xyxy.astype(np.float32), score, kind, max_iou=0.55)[:200]
        limit = np.array([width, height] * 2, np.float32)
        return [
            {
                "class": TAUGHT[kind[row]],
                "score": round(float(score[row]), 3),
                "xyxy": [round(float(v), 1) for v in np.clip(xyxy[row], 0, limit)],
            }
            for row in keep
        ]


if __name__ == "__main__":
    sys.exit(main())
