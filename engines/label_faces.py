"""Let YuNet label faces: `python -m engines.label_faces FOLDER... --teacher yunet_n_dynamic.onnx -o LABELS.json`.

The teacher (Apache-2.0) looks at every picture of the folders at several sizes and mirrored; what all looks
say together is one score (`engines.fuse`), landmarks are the mean of the looks'. YuNet also takes wheels and
lamps for faces, and with them in its labels so would the pupil: a second net (`--second`, Ultra-Light RFB, MIT)
looks at each face alone, enlarged, and its score is kept beside. The recipe decides which scores count as labels
and which only as "unknown here". The same folders give the same file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from engines.fuse import SAME, Look, fuse
from perception.backends import open_engine
from perception.errors import InputError, PerceptionError
from perception.geometry import iou
from perception.models.anchor_free import AnchorFree
from perception.models.anchors import Anchors, ultralight_card
from perception.models.yunet import yunet_card
from perception.types import F32, Detections, Frame

MIN_SCORE = 0.2
# Pixels of each view's input; every view is also mirrored.
VIEWS = (80_000, 250_000, 700_000)
LARGEST = 3.0  # times the picture's own pixels: more shows nothing new
SAVE_EVERY = 200  # pictures
AROUND = (2.2, 3.6)  # of a face's side: the height of the crop that the second net sees
CHECK_IOU = 0.3
PICTURES = (".jpg", ".jpeg", ".png", ".webp")
MIRRORED = [1, 0, 2, 4, 3]  # landmarks of a mirrored face, in the order of the face


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.label_faces", description=__doc__)
    parser.add_argument("folders", nargs="+", help="folders of pictures")
    parser.add_argument("-o", "--output", required=True, help="labels, JSON; what is there stays")
    parser.add_argument("--teacher", required=True, help="yunet_n_dynamic.onnx")
    parser.add_argument("--second", help="ultralight_rfb_320.onnx, which checks every face")
    parser.add_argument("--views", type=int, nargs="+", default=list(VIEWS))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    try:
        teacher = Teacher(arguments.teacher, views=arguments.views, threads=arguments.threads)
        found = [item for folder in arguments.folders for item in pictures_of(Path(folder))]
        check = None
        if arguments.second:
            check = SecondOpinion(arguments.second, threads=arguments.threads)
        images = label(found, teacher, Path(arguments.output), check)
    except PerceptionError as error:
        print(f"engines.label_faces: {error}", file=sys.stderr)
        return 2
    faces = sum(len(image["faces"]) for image in images)
    print(f"{faces} faces in {len(images)} pictures: {arguments.output}")
    return 0


def label(
    pictures: Sequence[tuple[Path, dict[str, Any]]],
    teacher: Teacher,
    output: Path,
    check: SecondOpinion | None = None,
) -> list[dict[str, Any]]:
    """Label what `output` does not have yet; it is written now and then, so that a killed run goes on."""
    done: dict[tuple[str, str], dict[str, Any]] = {}
    if output.is_file():
        entries = json.loads(output.read_text(encoding="utf-8"))["images"]
        done = {(entry["folder"], entry["file_name"]): entry for entry in entries}
    output.parent.mkdir(parents=True, exist_ok=True)
    for number, (path, entry) in enumerate(tqdm(pictures, disable=not sys.stderr.isatty()), 1):
        key = (entry["folder"], entry["file_name"])
        known = done.get(key)
        unchecked = check is not None and any(
            "checked" not in f for f in (known or {}).get("faces", ())
        )
        if known is None or unchecked:
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if image is None:
                raise InputError(f"{path}: the picture cannot be decoded; check the data folder")
            picture = np.asarray(image, np.uint8)
            size = {"width": image.shape[1], "height": image.shape[0]}
            faces = teacher(picture) if known is None else known["faces"]
            if check is not None:
                faces = [{**face, "checked": check(picture, face["xyxy"])} for face in faces]
            done[key] = {**entry, **size, "faces": faces}
        if number % SAVE_EVERY == 0 or number == len(pictures):
            content = json.dumps({"images": [done[key] for key in sorted(done)]})
            waiting = output.with_name(output.name + ".part")
            waiting.write_text(content, encoding="utf-8")
            os.replace(waiting, output)
    return [done[key] for key in sorted(done)]


def pictures_of(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """The pictures under a folder in the order of their names, with what its annotations.json says.

    Raises:
        InputError: no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of pictures")
    listed: dict[str, dict[str, Any]] = {}
    annotations = folder / "annotations.json"
    if annotations.is_file():
        content = json.loads(annotations.read_text(encoding="utf-8"))
        listed = {entry["file_name"]: entry for entry in content["images"]}
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PICTURES:
            name = path.relative_to(folder).as_posix()
            entry = listed.get(name, {})
            facts = {
                "folder": folder.name,
                "file_name": name,
                "source": entry.get("source", path.parent.name),
                "group": str(entry.get("group", name)),
                "split": entry.get("split", ""),
            }
            found.append((path, facts))
    if not found:
        raise InputError(f"{folder}: has no picture ({', '.join(PICTURES)})")
    return found


class Teacher:
    """YuNet at several input sizes, each also mirrored."""

    def __init__(self, path: str | Path, *, views: Sequence[int], threads: int = 1) -> None:
        engine = open_engine(path, backend="onnxruntime", threads=threads)
        card = yunet_card(engine)
        self._views = {
            pixels: AnchorFree(engine, card, min_score=MIN_SCORE, pixels=pixels) for pixels in views
        }

    def __call__(self, image: np.ndarray[Any, np.dtype[np.uint8]]) -> list[dict[str, Any]]:
        """Faces of a BGR picture, best first: xyxy, score, landmarks (5, 2), in pixels."""
        height, width = image.shape[:2]
        mirrored = np.ascontiguousarray(image[:, ::-1])
        smallest = min(self._views)
        seen = []
        for pixels, look in self._views.items():
            if pixels == smallest or pixels <= LARGEST * width * height:
                seen.append(look(Frame(image)))
                seen.append(_mirrored(look(Frame(mirrored)), width))
        looks = [Look(d.xyxy, d.score, np.zeros(len(d), np.intp), np.ones(1, bool)) for d in seen]
        boxes, scores, _ = fuse(looks, np.zeros(1, np.intp), (width, height))
        all_boxes = np.concatenate([d.xyxy for d in seen])
        all_scores = np.concatenate([d.score for d in seen])
        points = np.concatenate([d.keypoints[..., :2].reshape(-1, 5, 2) for d in seen])
        faces = []
        for box, score in zip(boxes, scores, strict=True):
            if score >= MIN_SCORE:
                faces.append(
                    {
                        "xyxy": _rounded(box),
                        "score": round(float(score), 3),
                        "landmarks": _rounded(_landmarks(box, all_boxes, all_scores, points)),
                    }
                )
        return faces


class SecondOpinion:
    """Ultra-Light RFB on a face alone, at two sizes."""

    def __init__(self, path: str | Path, *, threads: int = 1) -> None:
        engine = open_engine(path, backend="onnxruntime", threads=threads)
        self._detect = Anchors(engine, ultralight_card(engine), min_score=0.05)

    def __call__(self, image: np.ndarray[Any, np.dtype[np.uint8]], xyxy: Sequence[float]) -> float:
        """The best score of a face at this place, 0..1."""
        x1, y1, x2, y2 = xyxy
        side = max(x2 - x1, y2 - y1, 4.0)
        centre = ((x1 + x2) / 2, (y1 + y2) / 2)
        best = 0.0
        for around in AROUND:
            # The network's input is 4:3; a crop of this shape is not squeezed.
            high = around * side
            scale = 240 / high
            matrix = np.array(
                [[scale, 0, 160 - centre[0] * scale], [0, scale, 120 - centre[1] * scale]]
            )
            crop = cv2.warpAffine(
                image, matrix, (320, 240), flags=cv2.INTER_LINEAR, borderValue=(114, 114, 114)
            )
            found = self._detect(Frame(np.asarray(crop, np.uint8)))
            place = np.array([[x1, y1, x2, y2]]) * scale + np.tile(matrix[:, 2], 2)
            near = iou(found.xyxy, place.astype(np.float32))[:, 0] > CHECK_IOU
            best = max(best, float(found.score[near].max(initial=0.0)))
        return round(best, 3)


def _landmarks(box: F32, boxes: F32, scores: F32, points: F32) -> F32:
    """Mean over the looks' faces that lie on this one, by score."""
    near = iou(box[None], boxes)[0]
    mine = near > min(SAME, float(near.max()) * 0.99)
    return np.asarray(np.average(points[mine], axis=0, weights=scores[mine]), np.float32)


def _mirrored(found: Detections, width: int) -> Detections:
    xyxy = found.xyxy[:, [2, 1, 0, 3]] * (-1, 1, -1, 1) + (width, 0, width, 0)
    points = found.keypoints
    if len(found):
        points = points[:, MIRRORED] * (-1, 1, 1) + (width, 0, 0)
    return Detections(xyxy, found.score, found.class_id, found.classes, points.astype(np.float32))


def _rounded(values: F32) -> Any:
    return np.round(values.astype(float), 1).tolist()


if __name__ == "__main__":
    sys.exit(main())
