"""By what an engine is judged when it runs in another arithmetic: the figures it is judged by everywhere else.

Every figure is a share (0 to 1) of which more is better:

- road detectors: mean AP (IoU 0.50 to 0.95) over the groups of the evaluation pictures whose classes they know;
- face detectors: AP on all held-back pictures of faces (labelled by hand, or what YuNet finds at 640x640), and the
  mean F1 over their sets at the score limit of `engines.figures.faces`;
- lane networks: agreement with the reference on the held-back clips, and F1 of lines on the rendered ones;
- classifiers: accuracy on crops that neither trained nor set the temperature.

A detector of anything else is judged by its own FP32 findings of 0.5 and more, which stand for the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from engines.crop_sets import ClassifierRecipe, Labelled, judging
from engines.data.faces import FaceSample
from engines.data.sets import judged_sets
from engines.face_figures import agreement, labelled_by_hand
from engines.figures import crops, faces, lanes
from engines.figures.road import renamed
from engines.quantize import calibration_pictures
from engines.recipe import read_table
from engines.validate import MIN_SCORE, judge
from perception.backends import Engine, open_engine
from perception.card import EngineCard
from perception.errors import InputError
from perception.evaluation.detection import ROAD_GROUPS, Figures, Group, Truth, evaluate
from perception.models.anchor_free import AnchorFree
from perception.models.classifier import Classifier
from perception.models.detector import FAMILIES, Detector
from perception.models.lanes import LaneFinder, twinlitenet_card
from perception.models.yunet import yunet_card
from perception.types import Detections, Frame

Scores = dict[str, float]
Detect = Callable[[Frame], Detections]
RECIPES = Path(__file__).parent / "recipes"
SURE = 0.5  # score from which a finding of FP32 stands for the truth
OTHER_PICTURES = 80
LANE_FRAMES = 72  # of each clip: with 24, figures of the same quality differ by half a point


def score(engine: Engine, card: EngineCard, base: Engine, *, shared: str | Path) -> Scores:
    """Figures of an engine, by name.

    Args:
        engine: to be judged.
        card: of the FP32 file, or of the public checkpoint that it is.
        base: the same network in FP32.
        shared: the folder with data, clips and reference weights.

    Raises:
        InputError: what it is judged by is not there.
    """
    shared = Path(shared)
    if card.family == "classifier":
        return _classifier(Classifier(engine), card.name)
    if card.task == "lanes":
        return _lanes(LaneFinder(engine, engine.card or card, pixels=lanes.FAST), shared)
    assert card.family in FAMILIES
    family = None if engine.card else card.family
    detect = Detector(engine, family=family, min_score=MIN_SCORE).model
    if card.task == "road":
        return {"AP": road(renamed(detect), judged_sets((str(shared / "data/road"),)), card)}
    if card.task == "face":
        return face(detect, face_sets(str(shared)), limit=faces.LIMITS.get(card.name, SURE))
    sure = Detector(base, family=None if base.card else card.family, min_score=SURE).model
    pictures = calibration_pictures(shared / "data/road", OTHER_PICTURES)
    found = by_itself(detect, sure, [read_picture(path) for path in pictures])
    return {"AP": float(np.mean([figure.ap for figure in found.values()]))}


def road(detect: Detect, sets: dict[str, list[Truth]], card: EngineCard) -> float:
    """Mean AP over the groups of which the detector knows a class (COCO's stop sign is a traffic sign)."""
    known = {"traffic_sign" if name == "stop_sign" else name for name in card.classes}
    groups = {group.name for group in ROAD_GROUPS if known & set(group.classes)}
    found = judge(sets, detect)
    return float(np.mean([f.ap for name, f in found.items() if name.split("/")[1] in groups]))


def by_itself(detect: Detect, sure: Detect, frames: Sequence[Frame]) -> dict[str, Figures]:
    """Figures by class of a detector, with what `sure` finds as the truth."""
    truths, found = [], []
    for frame in frames:
        wanted = sure(frame)
        labels = tuple(wanted.classes[k] for k in wanted.class_id)
        path = Path(str(frame.path))
        truths.append(Truth(path, frame.size, wanted.xyxy, labels, tuple(wanted.classes)))
        found.append(detect(frame))
    groups = [Group(name, (name,), (name,), ((name,),)) for name in found[0].classes]
    return evaluate(truths, found, groups)


FaceSets = dict[str, tuple[list[FaceSample], list[Frame]]]


@lru_cache(maxsize=1)
def face_sets(shared: str) -> FaceSets:
    """The pictures that judge faces, by set, with their labels."""
    engine = open_engine(
        Path(shared) / "weights/yunet_n_dynamic.onnx", backend="onnxruntime", precision="fp32"
    )
    teach = AnchorFree(
        engine, yunet_card(engine), min_score=faces.TRUTH_SCORE, pixels=faces.TRUTH_PIXELS
    )
    by_hand = labelled_by_hand(Path(shared) / "data/faces")
    sets: FaceSets = {"labelled": (by_hand, [Frame(sample.read()) for sample in by_hand])}
    for name, frames in faces.judged_frames(Path(shared)).items():
        sets[name] = [faces.taught(frame, teach(frame)) for frame in frames], frames
    return sets


def face(detect: Detect, sets: FaceSets, *, limit: float) -> Scores:
    """AP over all pictures, and the mean of the sets' F1 at a score limit."""
    truths, found, shares = [], [], []
    for samples, frames in sets.values():
        mine = [detect(frame) for frame in frames]
        shares.append(agreement(samples, mine, min_score=limit).f1)
        found += mine
        for sample, frame in zip(samples, frames, strict=True):
            labels = ("face",) * len(sample.xyxy)
            truths.append(Truth(sample.path, frame.size, sample.xyxy, labels, ("face",)))
    group = Group("face", ("face",), ("face",), (("face",),))
    return {"AP": evaluate(truths, found, [group])["face"].ap, "F1": float(np.mean(shares))}


def _lanes(finder: LaneFinder, shared: Path) -> Scores:
    teacher = open_engine(
        shared / "weights/twinlitenet_360x640.onnx", backend="onnxruntime", precision="fp32"
    )
    theirs = LaneFinder(teacher, twinlitenet_card(teacher))
    clips = [shared / "clips" / f"{name}.mp4" for name in lanes.HELD_OUT]
    found = lanes.mean([lanes.agreement(clip, finder, theirs, LANE_FRAMES) for clip in clips])
    drawn = [lanes.truth_figures(clip, finder, LANE_FRAMES).f1 for clip in lanes.RENDERED]
    return {**asdict(found), "rendered_f1": float(np.mean(drawn))}


def _classifier(classifier: Classifier, name: str) -> Scores:
    return {
        f"accuracy, {key}": accuracy(classifier, chosen)
        for key, chosen in judging_crops(name).items()
        if key not in ("rejects", "jittered")
    }


@lru_cache(maxsize=2)
def judging_crops(name: str) -> dict[str, Labelled]:
    """The judging sets of a committed classifier."""
    return judging(read_table(ClassifierRecipe, RECIPES / f"{name}.toml"))


def accuracy(classifier: Classifier, chosen: Labelled) -> float:
    """Share of crops whose likeliest class is the right one."""
    return crops.judge(classifier, chosen).accuracy


def read_picture(path: Path) -> Frame:
    """A picture file as a frame."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f"{path}: the picture cannot be decoded")
    return Frame(np.asarray(image, np.uint8), path=str(path))


def typical_input(engine: Engine, card: EngineCard) -> npt.NDArray[Any]:
    """What the engine is given for one 16:9 picture, or for two crops: what its speed is measured on."""
    rng = np.random.default_rng(0)
    if card.family == "classifier":
        width, height = card.input.size
        return rng.random((2, 3, height, width), np.float32)
    frame = Frame(rng.integers(0, 256, (720, 1280, 3), np.uint8))
    if card.task == "lanes":
        model: Any = LaneFinder(engine, engine.card or card, pixels=lanes.FAST)
    else:
        model = Detector(engine, family=None if engine.card else card.family).model
    tensor, _ = model.preprocessor(frame.size)(frame)
    return np.array(tensor)
