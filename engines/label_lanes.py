"""Lane and drivable-area masks by a teacher: `python -m engines.label_lanes -o runs/lanes-data --teacher FILE`.

The teacher is the public TwinLiteNet checkpoint (Che et al. 2023, arXiv:2307.10705; MIT), run on each
picture and on its mirror image, at the size it was made for. Its probabilities are kept, not its
decisions. Rendered scenes carry their own truth, which is put over the teacher's answer (`with_truth`).

Writes, per picture, NAME.webp (`PICTURE` pixels) and NAME.png (`MASK` pixels: drivable area above lane
paint, probabilities 0..255 in 16 steps), and index.json with the source of each.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
from tqdm import tqdm

from engines.data.splits import trainable
from perception.errors import EngineError, InputError, PerceptionError
from perception.types import F32, U8

PICTURE = (576, 324)
MASK = (320, 180)
TEACHER = (640, 360)
# Width to height of the cameras whose pictures a source squeezed to a square.
SQUEEZED = {"gtsdb": 1.7}
# Least share of drivable pixels: below, a picture of these sources is no view of a road.
LEAST_ROAD = {"highway": 0.15, "streetview": 0.12, "signs_road": 0.12, "lights_korea": 0.06}
# Sources that are many and hardly ever seen from a car: every second picture will do.
HALF = ("highway", "streetview", "signs_road")
LINE_WIDTH = 6  # pixels of `TEACHER` that the teacher paints a line wide, near or far


@dataclass(frozen=True)
class View:
    """One picture to label, `TEACHER` pixels; `truth` is (lane lines by side, asphalt) if known."""

    name: str
    source: str
    image: U8
    truth: tuple[dict[int, npt.NDArray[np.float64]], U8] | None = None


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.label_lanes", description=__doc__)
    parser.add_argument("-o", "--output", required=True, help="folder of pictures and masks")
    parser.add_argument("--teacher", required=True, help="twinlitenet_360x640.onnx")
    parser.add_argument("--pictures", nargs="*", default=[], help="folders with annotations.json")
    parser.add_argument("--clips", nargs="*", default=[], metavar="FILE:EVERY", help="videos")
    parser.add_argument("--rendered", help="folder of `render.py --train --masks`")
    parser.add_argument("--first", type=int, default=0, help="of the rendered pictures")
    parser.add_argument("--most", type=int, default=0, help="rendered pictures; 0 for all")
    parser.add_argument("--quality", type=int, default=72, help="of the WebP pictures")
    arguments = parser.parse_args(argv)
    try:
        views = [pictures(Path(path)) for path in arguments.pictures]
        views += [clip(text) for text in arguments.clips]
        if arguments.rendered:
            views.append(rendered(Path(arguments.rendered), arguments.first, arguments.most))
        teacher = Teacher(arguments.teacher)
        kept = write(views, teacher, Path(arguments.output), arguments.quality)
    except PerceptionError as error:
        print(f"engines.label_lanes: {error}", file=sys.stderr)
        return 2
    print(f"{kept} pictures: {arguments.output}")
    return 0


class Teacher:
    """TwinLiteNet: pictures of `TEACHER` pixels -> probabilities of drivable area and lane paint."""

    def __init__(self, path: str | Path, *, threads: int = 1) -> None:
        if not Path(path).is_file():
            raise InputError(f"{path}: no such teacher")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in self.session.get_outputs()]
        if names != ["da", "ll"]:
            raise EngineError(
                f"{path}: must have outputs da and ll as TwinLiteNet has, but {names}"
            )

    def __call__(self, image: U8) -> F32:
        """(H, W, 3) BGR -> (2, H, W)."""
        tensor = image[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255
        outputs = self.session.run(None, {"images": tensor})
        logits = np.stack([output[0, 1] - output[0, 0] for output in outputs])
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def frame_of(image: U8, source: str) -> U8:
    """The widest 16:9 part of a picture, a little below its middle, at `TEACHER` pixels."""
    height, width = image.shape[:2]
    if source in SQUEEZED:
        image = np.asarray(cv2.resize(image, (640, round(640 / SQUEEZED[source]))), np.uint8)
        height, width = image.shape[:2]
    wide, high = TEACHER
    side = min(width, height * wide / high)
    part_w, part_h = round(side), round(side * high / wide)
    x, y = (width - part_w) // 2, round((height - part_h) * 0.45)
    part = image[y : y + part_h, x : x + part_w]
    method = cv2.INTER_AREA if part_w > wide else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(part, TEACHER, interpolation=method), np.uint8)


def pictures(folder: Path) -> Iterator[View]:
    """The training pictures of a COCO folder."""
    path = folder / "annotations.json"
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    for number, entry in enumerate(json.loads(path.read_text(encoding="utf-8"))["images"]):
        if entry["source"] in HALF and number % 2:
            continue
        file = folder / entry["file_name"]
        source, group = entry["source"], str(entry.get("group", entry["id"]))
        if entry["split"] != "train" or not trainable(source, group, file):
            continue
        image = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if image is None:
            raise InputError(f"{file}: the picture cannot be decoded")
        name = f"{source}_{file.stem}"
        yield View(name, source, frame_of(np.asarray(image, np.uint8), source))


def clip(text: str) -> Iterator[View]:
    """Every n-th frame of "FILE:n"."""
    # PyAV is not needed where only the labelled pictures are used.
    from perception.sources import open_source

    path, _, every = text.rpartition(":")
    source = open_source(path)
    name = Path(path).stem
    try:
        for frame in source:
            if frame.index % int(every) == 0:
                image = frame_of(frame.image, name)
                yield View(f"{name}_{frame.index:05d}", name, image)
    finally:
        source.close()


def rendered(folder: Path, first: int = 0, most: int = 0) -> Iterator[View]:
    """Rendered scenes with their masks."""
    content = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    entries: list[dict[str, Any]] = content["images"][first:]
    for entry in entries[:most] if most else entries:
        file = folder / entry["file_name"]
        image = cv2.imread(str(file), cv2.IMREAD_COLOR)
        area = cv2.imread(str(file.with_suffix(".drivable.png")), cv2.IMREAD_GRAYSCALE)
        if image is None or area is None:
            raise InputError(
                f"{file}: the picture or its .drivable.png is missing; render with --masks"
            )
        height, width = image.shape[:2]
        # The scene at 16:9: a strip at the top is cut off, never the road before the bonnet.
        high = round(width * TEACHER[1] / TEACHER[0])
        top, scale = height - high, TEACHER[0] / width
        image = np.asarray(cv2.resize(image[top:], TEACHER, interpolation=cv2.INTER_AREA), np.uint8)
        area = np.asarray(
            cv2.resize(area[top:], TEACHER, interpolation=cv2.INTER_NEAREST), np.uint8
        )
        lines = {
            lane["side"]: (np.array(lane["points"]) - [0, top]) * scale for lane in entry["lanes"]
        }
        yield View(f"rendered_{file.stem}", "rendered", image, (lines, area))


def with_truth(found: F32, lines: dict[int, npt.NDArray[np.float64]], area: U8) -> F32:
    """The teacher's answer to a rendered scene, corrected by what is known.

    Both masks stay what the teacher means by them: a line is one stroke of `LINE_WIDTH` through its
    dashes, and oncoming lanes are not drivable. Known lines are added where nothing hides them, what is
    no asphalt is never drivable, and the asphalt between the lines beside us always is.
    """
    found = found.copy()
    asphalt = area > 127
    found[0][~asphalt] = 0
    if -1 in lines and 1 in lines:
        own = np.zeros(area.shape, np.uint8)
        outline = np.concatenate([lines[-1], lines[1][::-1]])
        cv2.fillPoly(own, [np.round(outline).astype(np.int32)], 255)
        found[0][asphalt & (own > 0)] = 1
    paint = np.zeros(area.shape, np.uint8)
    for line in lines.values():
        stroke = np.round(line * 16).astype(np.int32)[:, None]
        cv2.polylines(paint, [stroke], False, 255, LINE_WIDTH, cv2.LINE_AA, 4)
    seen = cv2.dilate(area, np.ones((5, 5), np.uint8))
    paint[seen < 128] = 0
    found[1] = np.maximum(found[1], paint.astype(np.float32) / 255)
    return found


def write(views: Iterable[Iterable[View]], teacher: Teacher, folder: Path, quality: int) -> int:
    """Label and write; returns the number of pictures kept."""
    folder.mkdir(parents=True, exist_ok=True)
    index_path = folder / "index.json"
    index: dict[str, str] = {}
    if index_path.is_file():
        index = json.loads(index_path.read_text(encoding="utf-8"))
    for group in views:
        for view in tqdm(group, unit="picture", disable=not sys.stderr.isatty()):
            found = teacher(view.image)
            if (found[0] > 0.5).mean() < LEAST_ROAD.get(view.source, 0.0):
                continue
            if view.truth is not None:
                found = with_truth(found, *view.truth)
            else:
                mirrored = teacher(np.ascontiguousarray(view.image[:, ::-1]))
                found = (found + mirrored[..., ::-1]) / 2
            small = [cv2.resize(mask, MASK, interpolation=cv2.INTER_AREA) for mask in found]
            steps = np.round(np.concatenate(small) * 15).astype(np.uint8) * 17
            picture = cv2.resize(view.image, PICTURE, interpolation=cv2.INTER_AREA)
            cv2.imwrite(
                str(folder / f"{view.name}.webp"), picture, [cv2.IMWRITE_WEBP_QUALITY, quality]
            )
            cv2.imwrite(str(folder / f"{view.name}.png"), steps, [cv2.IMWRITE_PNG_COMPRESSION, 9])
            index[view.name] = view.source
        index_path.write_text(json.dumps(index), encoding="utf-8")
    return len(index)


if __name__ == "__main__":
    sys.exit(main())
