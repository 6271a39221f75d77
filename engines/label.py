"""Let teachers label what data sources leave open: `python -m engines.label DATA -o LABELS.json`.

The teacher is the public YOLOX-nano checkpoint (Megvii, Apache-2.0), run on the whole picture at several
sizes, the larger ones showing small objects at twice their size (what overlapping crops would show), and
mirrored. `--student` adds a road engine of ours, which also knows signs and plates. What all views say
together is one score (`engines.fuse`); the recipe's `[teacher]` decides which scores count as labels and
which only as "unknown here".
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from engines.data.coco import Sample, load_coco
from engines.families.road import write_onnx
from engines.fuse import Look, fuse
from engines.nets.road import RoadNet
from engines.nets.yolox import COCO_ROWS, load_yolox
from engines.validate import VEHICLES, road_card
from perception.backends import Engine, open_engine
from perception.errors import ConfigError, InputError, PerceptionError
from perception.geometry import nms
from perception.models.anchor_free import COCO_CLASSES
from perception.types import F32, ROAD_CLASSES

TAUGHT = tuple(name for name in ROAD_CLASSES if name in COCO_ROWS and name != "traffic_sign")
MIN_SCORE = 0.1
# Pixels of each view's input; a mirrored view is marked by a minus.
TEACHER_VIEWS = (250_000, -700_000)
STUDENT_VIEWS = (330_000, -600_000)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.label", description=__doc__)
    parser.add_argument("data", nargs="+", help="folders or json files with labelled pictures")
    parser.add_argument("-o", "--output", required=True, help="labels, JSON; what is there stays")
    parser.add_argument("--teacher", required=True, help="yolox_nano.onnx")
    parser.add_argument("--student", help="a road engine of ours, as a second teacher")
    parser.add_argument("--views", type=int, nargs="+", default=list(TEACHER_VIEWS))
    parser.add_argument("--student-views", type=int, nargs="+", default=list(STUDENT_VIEWS))
    parser.add_argument("--sources", nargs="+", help="only pictures of these sources")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--stretched", nargs="*", default=["gtsdb"], help="sources squeezed to a square from 1.7:1"
    )
    arguments = parser.parse_args(argv)
    try:
        samples = [s for path in arguments.data for s in load_coco(path, ROAD_CLASSES)]
        samples = [s for s in samples if s.split == "train"]
        if arguments.sources:
            have = sorted({s.source for s in samples})
            samples = [s for s in samples if s.source in arguments.sources]
            if not samples:
                raise ConfigError(f"--sources: no such pictures; there are {', '.join(have)}")
        views = teacher_views(arguments.teacher, arguments.views, threads=arguments.threads)
        if arguments.student:
            views += student_views(
                arguments.student, arguments.student_views, threads=arguments.threads
            )
        label = Labeller(views)
        output = Path(arguments.output)
        labels = json.loads(output.read_text(encoding="utf-8")) if output.is_file() else {}
        for sample in tqdm(samples, unit="picture", disable=not sys.stderr.isatty()):
            aspect = 1.7 if sample.source in arguments.stretched else 1.0
            labels[f"{sample.path.parent.name}/{sample.path.name}"] = label(sample, aspect)
        output.write_text(json.dumps(labels), encoding="utf-8")
    except PerceptionError as error:
        print(f"engines.label: {error}", file=sys.stderr)
        return 2
    print(f"{sum(map(len, labels.values()))} boxes in {len(labels)} pictures: {arguments.output}")
    return 0


@dataclass(frozen=True)
class View:
    """A network at one size.

    Attributes:
        columns: (K,) of the network's classes that are wanted.
        kinds: (K,) what each is in `ROAD_CLASSES`.
    """

    engine: Engine
    pixels: int
    mirrored: bool
    columns: npt.NDArray[np.intp]
    kinds: npt.NDArray[np.intp]

    def look(self, image: npt.NDArray[np.uint8], aspect: float) -> Look:
        """What this view finds, in the picture's pixels; `aspect` undoes a squeeze of the width."""
        height, width = image.shape[:2]
        scale = (self.pixels / (width * aspect * height)) ** 0.5
        size = [max(32, round(side * scale / 32) * 32) for side in (width * aspect, height)]
        resized = cv2.resize(image, (size[0], size[1]), interpolation=cv2.INTER_LINEAR)
        if self.mirrored:
            resized = resized[:, ::-1]
        tensor = np.ascontiguousarray(resized.transpose(2, 0, 1)[None], np.float32)
        raw = self.engine.infer({self.engine.inputs[0].name: tensor})
        rows = raw[self.engine.outputs[0].name][0]
        score = _sigmoid(rows[:, 4:5]) * _sigmoid(rows[:, 5 + self.columns])
        row, kind = np.nonzero(score > MIN_SCORE)
        found = _boxes(rows, size[0], size[1])[row]
        if self.mirrored:
            found[:, [0, 2]] = size[0] - found[:, [2, 0]]
        found *= np.array([width / size[0], height / size[1]] * 2, np.float32)
        keep = nms(found, score[row, kind], kind, max_iou=0.6)[:200]
        knows = np.zeros(len(ROAD_CLASSES), bool)
        knows[self.kinds] = True
        return Look(found[keep], score[row, kind][keep], self.kinds[kind[keep]], knows)


class Labeller:
    """Views whose findings are joined."""

    def __init__(self, views: Sequence[View]) -> None:
        self.views = views
        self._groups = np.arange(len(ROAD_CLASSES))
        self._groups[[ROAD_CLASSES.index(name) for name in VEHICLES]] = 0

    def __call__(self, sample: Sample, aspect: float = 1.0) -> list[dict[str, object]]:
        """Boxes in the picture's own pixels, best first."""
        image = sample.read()
        height, width = image.shape[:2]
        looks = [view.look(image, aspect) for view in self.views]
        xyxy, score, kind = fuse(looks, self._groups, (width, height))
        limit = np.array([width, height] * 2, np.float32)
        return [
            {
                "class": ROAD_CLASSES[kind[row]],
                "score": round(float(score[row]), 3),
                "xyxy": [round(float(v), 1) for v in np.clip(xyxy[row], 0, limit)],
            }
            for row in np.flatnonzero(score > MIN_SCORE)[:200]
        ]


def teacher_views(path: str | Path, pixels: Sequence[int], *, threads: int = 1) -> list[View]:
    """YOLOX-nano at these input sizes (negative: mirrored), its classes that are ours."""
    net = RoadNet(len(COCO_CLASSES))
    load_yolox(net, path)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "teacher.onnx"
        # The public file has a fixed input; ours takes any.
        write_onnx(net.eval(), file, road_card(COCO_CLASSES))
        engine = open_engine(file, backend="onnxruntime", threads=threads)
    columns = np.array([COCO_ROWS[name] for name in TAUGHT])
    kinds = np.array([ROAD_CLASSES.index(name) for name in TAUGHT])
    return [View(engine, abs(size), size < 0, columns, kinds) for size in pixels]


def student_views(path: str | Path, pixels: Sequence[int], *, threads: int = 1) -> list[View]:
    """An engine of ours at these input sizes (negative: mirrored)."""
    engine = open_engine(path, backend="onnxruntime", threads=threads)
    if engine.card is None or engine.card.family != "anchor_free":
        raise InputError(f"{path}: is no road engine of ours")
    kinds = np.array([ROAD_CLASSES.index(name) for name in engine.card.classes])
    columns = np.arange(len(kinds))
    return [View(engine, abs(size), size < 0, columns, kinds) for size in pixels]


def _boxes(rows: F32, width: int, height: int) -> F32:
    """Raw predictions (cells, 4+) -> xyxy in input pixels; see `engines.nets.road`."""
    parts = []
    start = 0
    for stride in (8, 16, 32):
        x, y = np.meshgrid(np.arange(width // stride), np.arange(height // stride))
        cells = rows[start : start + x.size, :4]
        start += x.size
        centre = (cells[:, :2] + np.stack([x.ravel(), y.ravel()], axis=1)) * stride
        half = np.exp(cells[:, 2:4].clip(max=10)) * stride / 2
        parts.append(np.concatenate([centre - half, centre + half], axis=1))
    return np.concatenate(parts).astype(np.float32)


def _sigmoid(x: F32) -> F32:
    return np.asarray(1 / (1 + np.exp(-x)), np.float32)


if __name__ == "__main__":
    sys.exit(main())
