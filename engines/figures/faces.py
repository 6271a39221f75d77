"""The face engines beside the public YuNet and Ultra-Light RFB.

No picture judged here was trained on. What YuNet finds at 640x640 pixels stands for the truth where nothing is
labelled by hand; agreement is the F1 of matching it at IoU 0.5, over all faces of a set. Everything runs on ONNX
Runtime in FP32; times are as `engines.timing` takes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from engines.data.faces import CLIP_TRAINS, FaceSample, held_back
from engines.face_figures import Agreement, agreement, labelled_by_hand, landmark_error
from engines.label_faces import pictures_of
from engines.timing import SOURCE, Candidate, costs, open_judged, open_ours
from perception.backends import Engine
from perception.errors import InputError
from perception.models.anchor_free import AnchorFree
from perception.models.anchors import Anchors, ultralight_card
from perception.models.yunet import yunet_card
from perception.sources import open_source
from perception.types import Detections, Frame

WEIGHTS = Path(__file__).parents[1] / "weights"
SHARED = Path("../shared")
CLIPS = (
    "incluit_video1.mp4",
    "incluit_video3.mp4",
    "intel_face-demographics-walking-and-pause.gif",
)
EVERY_S = 0.4
ROAD_EVERY = 3
FAST, FINE = 245_760, 409_600  # pixels of the network's input
TRUTH_PIXELS, TRUTH_SCORE = 409_600, 0.6  # 640x640
LIMITS = {"face_free": 0.45, "face_anchor": 0.88, "yunet": 0.6, "ultralight": 0.7}


def report(
    *, threads: int = 1, shared: str | Path = SHARED, engines: Sequence[str | Path] | None = None
) -> str:
    """Markdown: agreement, faces found, false alarms, milliseconds.

    Args:
        threads: of the engines.
        shared: the folder with data, clips and weights.
        engines: face_free.onnx and face_anchor.onnx; None takes the committed ones.
    """
    shared = Path(shared)
    frames = judged_frames(shared)
    truth_engine = open_judged(shared / "weights/yunet_n_dynamic.onnx", threads=threads)
    teach = AnchorFree(
        truth_engine, yunet_card(truth_engine), min_score=TRUTH_SCORE, pixels=TRUTH_PIXELS
    )
    sets = {
        name: ([taught(frame, teach(frame)) for frame in chosen], chosen)
        for name, chosen in frames.items()
    }
    by_hand = labelled_by_hand(shared / "data/faces")
    sets = {"labelled": (by_hand, [Frame(sample.read()) for sample in by_hand]), **sets}
    paths = engines or (WEIGHTS / "face_free.onnx", WEIGHTS / "face_anchor.onnx")
    rows, marks = {}, {}
    taught_sets = ("driver", "clips", "road")
    judged = candidates(paths, shared, threads)
    for candidate in judged:
        found = {n: [candidate.detect(f) for f in frames] for n, (_, frames) in sets.items()}
        rows[candidate.name] = {
            name: agreement(samples, found[name], min_score=0.0)
            for name, (samples, _) in sets.items()
        }
        marks[candidate.name] = landmark_error(
            [sample for name in taught_sets for sample in sets[name][0]],
            [item for name in taught_sets for item in found[name]],
        )
    return tables(rows, costs(judged), marks)


def judged_frames(shared: Path) -> dict[str, list[Frame]]:
    """Held-back pictures by set."""
    found: dict[str, list[Frame]] = {"unlabelled": [], "driver": [], "clips": [], "road": []}
    for folder in ("faces", "driver", "road"):
        every = ROAD_EVERY if folder == "road" else 1
        for path, entry in pictures_of(shared / "data" / folder)[::every]:
            held = held_back(folder, entry["group"], entry["split"])
            name = "unlabelled" if folder == "faces" else folder
            if held and entry["source"] != "labelled":
                image = cv2.imread(str(path), cv2.IMREAD_COLOR)
                if image is None:
                    raise InputError(f"{path}: the picture cannot be decoded; check the folder")
                found[name].append(Frame(np.asarray(image, np.uint8), path=str(path)))
    for clip in CLIPS:
        found["clips"] += last_frames(shared / "clips" / clip)
    return found


def last_frames(clip: Path) -> list[Frame]:
    """Frames every EVERY_S seconds of the part of a clip that is not trained on."""
    source = open_source(clip)
    kept, due = [], 0.0
    try:
        for frame in source:
            if frame.time >= due:
                kept.append(Frame(frame.image.copy()))
                due += EVERY_S
    finally:
        source.close()
    return kept[int(np.ceil(CLIP_TRAINS * len(kept))) + 1 :]


def taught(frame: Frame, found: Detections) -> FaceSample:
    """What the teacher found, as labels."""
    return FaceSample(
        path=Path(frame.path or "frame"),
        folder="",
        source="",
        held=True,
        xyxy=found.xyxy,
        landmarks=found.keypoints[..., :2],
        ignore=np.zeros((0, 4), np.float32),
    )


def candidates(paths: Sequence[str | Path], shared: Path, threads: int) -> list[Candidate]:
    """Our engines, then the public ones."""
    found = []
    for path in paths:
        engine, card = open_ours(path, threads=threads)
        kind = AnchorFree if card.family == "anchor_free" else Anchors
        found += [_candidate(card.name, engine, kind, card, pixels) for pixels in (FAST, FINE)]
    yunet = open_judged(shared / "weights/yunet_n_dynamic.onnx", threads=threads)
    found.append(_candidate("yunet", yunet, AnchorFree, yunet_card(yunet)))
    ultralight = open_judged(shared / "weights/ultralight_rfb_320.onnx", threads=threads)
    found.append(_candidate("ultralight", ultralight, Anchors, ultralight_card(ultralight)))
    return found


def _candidate(
    name: str, engine: Engine, kind: type, card: object, pixels: int = FAST
) -> Candidate:
    detect = kind(engine, card, min_score=LIMITS[name], pixels=pixels)
    size = detect.input_size(SOURCE)
    return Candidate(f"{name} {size[0]}x{size[1]}", engine, detect, size)


def tables(
    rows: dict[str, dict[str, Agreement]], times: dict[str, float], marks: dict[str, float]
) -> str:
    """One line per engine: faces labelled by hand, then per set F1, recall and false alarms a picture."""
    names = [name for name in next(iter(rows.values())) if name != "labelled"]
    head = ["engine", "labelled: found", "false alarms", *names, "landmarks", "ms"]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " --- |" * (len(head) - 1)]
    for engine, figures in rows.items():
        by_hand = figures["labelled"]
        cells = [engine, f"{by_hand.right} of {by_hand.right + by_hand.missed}"]
        cells.append(f"{by_hand.alarms:.2f}")
        cells += [
            f"{figures[n].f1:.3f} ({figures[n].recall:.2f}, {figures[n].alarms:.2f})" for n in names
        ]
        cells.append("-" if np.isnan(marks[engine]) else f"{marks[engine]:.1%}")
        lines.append("| " + " | ".join([*cells, f"{times[engine]:.1f}"]) + " |")
    first = next(iter(rows.values()))
    judged = ", ".join(
        f"{name} {f.right + f.missed} in {f.pictures} pictures" for name, f in first.items()
    )
    lines += [
        "",
        "Sets: agreement with YuNet as F1 (recall, false alarms a picture). Landmarks: mean distance from "
        f"YuNet's, of the face's side. Faces judged: {judged}.",
        "Score limits: " + ", ".join(f"{name} {limit}" for name, limit in LIMITS.items()) + ".",
    ]
    return "\n".join(lines)
