"""The public YuNet face detector (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023).

Its export has four outputs at each of three strides; joined, they are what an anchor-free detector of
ours puts out: see `perception.models.anchor_free`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from perception.backends import Engine
from perception.card import EngineCard, InputSpec
from perception.errors import EngineError

STRIDES = (8, 16, 32)
PARTS = ("bbox", "obj", "cls", "kps")
# Input of a file that takes any size.
DEFAULT_SIZE = (640, 384)


def yunet_card(engine: Engine) -> EngineCard:
    """The card of a public YuNet export (face_detection_yunet_2023mar and its kin), which carries none.

    Source: opencv/opencv_zoo and libfacedetection.train: BGR 0..255, padding right and below, score =
    sqrt(cls * obj), suppression at IoU 0.3.
    """
    names = {spec.name for spec in engine.outputs}
    missing = [n for n in (f"{p}_{s}" for p in PARTS for s in STRIDES) if n not in names]
    if missing:
        raise EngineError(
            f"{engine.path}: a YuNet export must have outputs cls_8 to kps_32, but lacks "
            f"{', '.join(missing)}"
        )
    shape = engine.inputs[0].shape
    fixed = min(shape[2:]) > 0
    return EngineCard(
        name=engine.path.stem,
        family="yunet",
        task="face",
        classes=("face",),
        input=InputSpec(
            size=(shape[3], shape[2]) if fixed else DEFAULT_SIZE, fit="letterbox_top_left", pad=0
        ),
        decoder={
            "strides": list(STRIDES),
            "objectness": True,
            "activated": True,
            "root": True,
            "keypoints": 5,
            "max_iou": 0.3,
        },
        licence="Apache-2.0",
    )


def joined(outputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
    """(cells, 16): box, objectness, class, landmarks of the first picture, level by level."""
    levels = [
        np.concatenate([outputs[f"{part}_{stride}"][0] for part in PARTS], axis=1)
        for stride in STRIDES
    ]
    return np.concatenate(levels).astype(np.float32)
