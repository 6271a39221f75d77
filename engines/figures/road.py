"""The road engine beside the public YOLOX-nano checkpoint.

Accuracy and times are of the files as they are, in FP32 on ONNX Runtime; times as `engines.timing` takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from engines.data.sets import judged_sets
from engines.timing import SOURCE, Candidate, costs, open_judged, open_ours
from engines.validate import MIN_SCORE, judge
from perception.evaluation.detection import Figures, table
from perception.geometry import nms
from perception.models.anchor_free import AnchorFree, yolox_card
from perception.types import Detections, Frame

FAST, FINE = 163_840, 245_760  # pixels of the network's input
ROAD = Path(__file__).parents[1] / "weights" / "road.onnx"
REFERENCE = "../shared/weights/yolox_nano.onnx"
DATA = ("../shared/data/road",)
CROP = 0.6  # side of a crop, of the picture's longer side


def report(
    *,
    threads: int = 1,
    data: Sequence[str] = DATA,
    engine: str | Path = ROAD,
    reference: str | Path | None = REFERENCE,
    pixels: Sequence[int] = (FAST, FINE),
) -> str:
    """Markdown: AP50, AP and milliseconds of the road engine at each setting and of the reference.

    Args:
        threads: of the engines.
        data: folders with annotations.json.
        engine: the road engine.
        reference: the public YOLOX-nano file, None for none.
        pixels: of the network's input, one setting each.
    """
    sets = judged_sets(tuple(data))
    found = candidates(engine, reference, pixels, threads)
    rows = {candidate.name: judge(sets, candidate.detect) for candidate in found}
    return tables(rows, costs(found))


def candidates(
    path: str | Path, reference: str | Path | None, settings: Sequence[int], threads: int
) -> list[Candidate]:
    """The road engine at each setting, then the reference alone and with two crops."""
    found = []
    road, card = open_ours(path, threads=threads)
    for pixels in settings:
        detector = AnchorFree(road, card, min_score=MIN_SCORE, pixels=pixels)
        size = detector.input_size(SOURCE)
        found.append(Candidate(f"road {size[0]}x{size[1]}", road, detector, size))
    if reference is not None:
        nano = open_judged(reference, threads=threads)
        whole = AnchorFree(nano, yolox_card(nano), min_score=MIN_SCORE)
        found.append(Candidate("yolox_nano 416x416", nano, renamed(whole), (416, 416)))
        crops = Crops(renamed(whole))
        found.append(Candidate("yolox_nano whole + 2 crops", nano, crops, (416, 416), runs=3))
    return found


def renamed(detect: Callable[[Frame], Detections]) -> Callable[[Frame], Detections]:
    """COCO's stop sign counts as a traffic sign."""

    def run(frame: Frame) -> Detections:
        found = detect(frame)
        names = tuple("traffic_sign" if n == "stop_sign" else n for n in found.classes)
        return Detections(found.xyxy, found.score, found.class_id, names)

    return run


class Crops:
    """A detector on the whole picture and on two overlapping crops, left and right of the middle."""

    def __init__(self, detect: Callable[[Frame], Detections]) -> None:
        self.detect = detect

    def __call__(self, frame: Frame) -> Detections:
        width, height = frame.size
        side = CROP * max(width, height)
        wide, high = min(width, round(side)), min(height, round(side))
        top = (height - high) // 2
        whole = self.detect(frame)
        parts = [whole]
        for left in (0, width - wide):
            image = np.ascontiguousarray(frame.image[top : top + high, left : left + wide])
            found = self.detect(Frame(image))
            shift = np.array([left, top, left, top], np.float32)
            parts.append(Detections(found.xyxy + shift, found.score, found.class_id, found.classes))
        xyxy = np.concatenate([part.xyxy for part in parts])
        score = np.concatenate([part.score for part in parts])
        kind = np.concatenate([part.class_id for part in parts])
        keep = nms(xyxy, score, max_iou=0.45)
        return Detections(xyxy[keep], score[keep], kind[keep], whole.classes)


def tables(rows: dict[str, dict[str, Figures]], times: dict[str, float]) -> str:
    """Markdown: AP50 of every group, AP of every group, milliseconds."""
    lines = ["AP50", "", table(rows), "", "AP (IoU 0.50 to 0.95)", "", table(rows, figure="ap"), ""]
    counts = next(iter(rows.values()))
    judged = ", ".join(f"{n} {f.objects} in {f.pictures} pictures" for n, f in counts.items())
    lines += [f"Objects judged: {judged}.", ""]
    lines += [f"- {name}: {cost:.1f} ms per picture" for name, cost in times.items()]
    return "\n".join(lines)
