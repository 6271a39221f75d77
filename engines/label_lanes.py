"""Lane and drivable-area masks by a teacher: `python -m engines.label_lanes -o runs/lanes-data ...`.

The teacher is the public TwinLiteNet checkpoint (Che et al. 2023, arXiv:2307.10705; MIT), run on each
picture and on its mirror image, at the size it was made for. Its probabilities are kept, not its
decisions. Rendered scenes carry their own truth, which is put over the teacher's answer (`with_truth`).

Two steps, which may run on two machines. Given pictures, clips or rendered scenes, they are put into the
folder: NAME.webp (`TEACHER` pixels), of rendered scenes NAME.truth.png, and index.json with the source of
each. Given a teacher, every picture without masks gets NAME.png (`MASK` pixels: drivable area above lane
paint, probabilities 0..255 in 16 steps).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
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

F64 = npt.NDArray[np.float64]

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
    truth: tuple[dict[int, F64], U8] | None = None


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.label_lanes", description=__doc__)
    parser.add_argument("-o", "--output", required=True, help="folder of pictures and masks")
    parser.add_argument("--pictures", nargs="*", default=[], help="folders with annotations.json")
    parser.add_argument("--sources", nargs="*", help="of those pictures; all if not given")
    parser.add_argument("--clips", nargs="*", default=[], metavar="FILE:EVERY", help="videos")
    parser.add_argument("--rendered", help="folder of `render.py --train --masks`")
    parser.add_argument("--most", type=int, default=0, help="rendered pictures; 0 for all")
    parser.add_argument("--quality", type=int, default=70, help="of the WebP pictures")
    parser.add_argument("--teacher", help="twinlitenet_360x640.onnx: label what has no masks")
    parser.add_argument("--processes", type=int, default=1, help="that label")
    arguments = parser.parse_args(argv)
    folder = Path(arguments.output)
    try:
        views = [pictures(Path(path), arguments.sources) for path in arguments.pictures]
        views += [clip(text) for text in arguments.clips]
        if arguments.rendered:
            views.append(rendered(Path(arguments.rendered), arguments.most))
        if views:
            collect(views, folder, arguments.quality)
        if arguments.teacher:
            label(folder, arguments.teacher, arguments.processes)
        count = len(read_index(folder))
    except PerceptionError as error:
        print(f"engines.label_lanes: {error}", file=sys.stderr)
        return 2
    print(f"{count} pictures: {folder}")
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


def pictures(folder: Path, sources: Sequence[str] | None = None) -> Iterator[View]:
    """The training pictures of a COCO folder, of these sources."""
    path = folder / "annotations.json"
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    for number, entry in enumerate(json.loads(path.read_text(encoding="utf-8"))["images"]):
        file = folder / entry["file_name"]
        source, group = entry["source"], str(entry.get("group", entry["id"]))
        if sources is not None and source not in sources:
            continue
        if source in HALF and number % 2:
            continue
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


def rendered(folder: Path, most: int = 0) -> Iterator[View]:
    """Rendered scenes with their masks."""
    content = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    entries: list[dict[str, Any]] = content["images"]
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


def truth_masks(lines: dict[int, F64], area: U8) -> U8:
    """What is known of a rendered scene, (3, h, w) at `MASK` pixels: asphalt, our lane, visible lines."""
    own, paint = np.zeros(area.shape, np.uint8), np.zeros(area.shape, np.uint8)
    if -1 in lines and 1 in lines:
        outline = np.concatenate([lines[-1], lines[1][::-1]])
        cv2.fillPoly(own, [np.round(outline).astype(np.int32)], 255)
        own[area < 128] = 0
    for line in lines.values():
        stroke = np.round(line * 16).astype(np.int32)[:, None]
        cv2.polylines(paint, [stroke], False, 255, LINE_WIDTH, cv2.LINE_AA, 4)
    paint[cv2.dilate(area, np.ones((5, 5), np.uint8)) < 128] = 0
    masks = [cv2.resize(mask, MASK, interpolation=cv2.INTER_AREA) for mask in (area, own, paint)]
    return np.stack(masks).astype(np.uint8)


def with_truth(found: F32, truth: U8) -> F32:
    """The teacher's answer to a rendered scene, corrected by what is known.

    Both masks stay what the teacher means by them: a line is one stroke of `LINE_WIDTH` through its
    dashes, and oncoming lanes are not drivable. Known lines are added where nothing hides them, what is
    no asphalt is never drivable, and our own lane always is.

    Args:
        found: (2, h, w) probabilities.
        truth: of `truth_masks`.
    """
    asphalt, own, paint = truth.astype(np.float32) / 255
    area = np.maximum(np.minimum(found[0], asphalt), own)
    return np.stack([area, np.maximum(found[1], paint)])


def read_index(folder: Path) -> dict[str, str]:
    """Sources by name of picture."""
    path = folder / "index.json"
    if not path.is_file():
        raise InputError(f"{path}: no such file; name pictures, clips or rendered scenes")
    index: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return index


def collect(views: Iterable[Iterable[View]], folder: Path, quality: int) -> None:
    """Put pictures into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "index.json"
    index = read_index(folder) if path.is_file() else {}
    for group in views:
        for view in group:
            file = folder / f"{view.name}.webp"
            cv2.imwrite(str(file), view.image, [cv2.IMWRITE_WEBP_QUALITY, quality])
            if view.truth is not None:
                masks = truth_masks(*view.truth)
                cv2.imwrite(
                    str(file.with_suffix(".truth.png")),
                    masks.reshape(-1, MASK[0]),
                    [cv2.IMWRITE_PNG_COMPRESSION, 9],
                )
            index[view.name] = view.source
        path.write_text(json.dumps(index), encoding="utf-8")


def label(folder: Path, teacher: str, processes: int) -> None:
    """Give every picture without masks its masks; pictures that show no road leave the index."""
    index = read_index(folder)
    waiting = [name for name in sorted(index) if not (folder / f"{name}.png").is_file()]
    jobs = [(str(folder), name, index[name], teacher) for name in waiting]
    bar = tqdm(total=len(jobs), unit="picture", disable=not sys.stderr.isatty())
    if processes > 1:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=context) as pool:
            kept = list(pool.map(_label, jobs, chunksize=8))
    else:
        kept = []
        for job in jobs:
            kept.append(_label(job))
            bar.update()
    bar.close()
    for name, good in zip(waiting, kept, strict=True):
        if not good:
            del index[name]
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


@lru_cache(maxsize=1)
def _teacher(path: str) -> Teacher:
    return Teacher(path)


def _label(job: tuple[str, str, str, str]) -> bool:
    """Write the masks of one picture; False when it shows no road."""
    folder, name, source, path = job
    file = Path(folder) / f"{name}.webp"
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{file}: the picture is missing or broken; collect it again")
    image = np.asarray(cv2.resize(image, TEACHER), np.uint8)
    teacher = _teacher(path)
    found = teacher(image)
    if (found[0] > 0.5).mean() < LEAST_ROAD.get(source, 0.0):
        return False
    mirrored = teacher(np.ascontiguousarray(image[:, ::-1]))
    found = (found + mirrored[..., ::-1]) / 2
    small = np.stack([cv2.resize(mask, MASK, interpolation=cv2.INTER_AREA) for mask in found])
    known = file.with_suffix(".truth.png")
    if known.is_file():
        truth = cv2.imread(str(known), cv2.IMREAD_GRAYSCALE)
        if truth is None:
            raise InputError(f"{known}: is broken; collect the scene again")
        small = with_truth(small, np.asarray(truth, np.uint8).reshape(3, MASK[1], MASK[0]))
    steps = np.round(small.reshape(-1, MASK[0]) * 15).astype(np.uint8) * 17
    cv2.imwrite(str(file.with_suffix(".png")), steps, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return True


if __name__ == "__main__":
    sys.exit(main())
