"""The anchor-free face detector with landmarks: see `engines.nets.face_free` and `engines.data.faces`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engines.data.face_pictures import Settings
from engines.data.faces import FaceBatch, FaceLoader, load_labels
from engines.engine import TorchEngine
from engines.face_figures import judge_faces, judged_faces
from engines.families import forward
from engines.graph import parity, trained_card, write_any_size
from engines.initial import start_from
from engines.nets.face_free import LANDMARKS, STRIDES, FaceFreeNet, load_yunet
from engines.nets.face_loss import free_loss
from engines.pictures import draw_faces
from engines.recipe import Recipe
from perception.card import EngineCard, InputSpec
from perception.models.anchor_free import AnchorFree

COLUMNS = 6 + 2 * LANDMARKS
MIN_SCORE = 0.15  # while judging; the best limit is looked for above it
PARITY_SIZES = ((1, 640, 384), (1, 320, 256), (2, 320, 480))
TRAINING = [
    {"name": "drivers: drowsiness, activity (Roboflow)", "licence": "CC BY 4.0", "use": "training"},
    {"name": "incluit_video1, incluit_video3", "licence": "Apache-2.0", "use": "training"},
    {"name": "intel face-demographics clip", "licence": "CC BY 4.0", "use": "training"},
    {
        "name": "road pictures (highway, street view, GTSDB, signs, lights, plates)",
        "licence": "CC BY 4.0 (GTSDB and signs as claimed), MIT",
        "use": "training, mostly as pictures without faces",
    },
]
DATA = [
    {
        "name": "YuNet checkpoint (Shiqi Yu et al.), trained on WIDER FACE",
        "licence": "Apache-2.0",
        "use": "initial weights, teacher",
    },
    *TRAINING,
]


def card() -> EngineCard:
    """What the decoder must know of a `FaceFreeNet`."""
    return EngineCard(
        name="face_free",
        family="anchor_free",
        task="face",
        classes=("face",),
        input=InputSpec(size=(640, 384), colour="bgr", fit="letterbox", pad=114, multiple=32),
        decoder={
            "strides": list(STRIDES),
            "objectness": True,
            "activated": False,
            "keypoints": LANDMARKS,
            "max_iou": 0.3,
        },
        licence="Apache-2.0",
    )


def build(recipe: Recipe) -> FaceFreeNet:
    return FaceFreeNet()


def loader(recipe: Recipe, share: tuple[int, int]) -> FaceLoader:
    teacher = recipe.teacher
    samples = load_labels(
        teacher.labels, recipe.data.paths, sure=teacher.sure, unsure=teacher.unsure
    )
    return FaceLoader(
        samples,
        weights=recipe.data.weights,
        batch=recipe.train.batch,
        sizes=recipe.train.sizes,
        settings=Settings(**recipe.augment),
        seed=recipe.seed,
        cache_side=recipe.data.cache_side,
        share=share,
    )


def losses(
    net: torch.nn.Module,
    batch: FaceBatch,
    *,
    device: torch.device,
    bf16: bool,
    add_up: Callable[[Tensor], Tensor],
) -> dict[str, Tensor]:
    pictures, faces, size = batch
    raw = forward(net, pictures.float(), device=device, bf16=bf16)
    return free_loss(raw, faces, size, add_up=add_up)


def start(net: FaceFreeNet, path: str, recipe: Recipe, loader: FaceLoader | None) -> None:
    """From a checkpoint, an engine of ours, or the public YuNet file."""
    start_from(net, path, recipe.classes, public=lambda: load_yunet(net, path))


def judge(recipe: Recipe, net: torch.nn.Module) -> tuple[float, dict[str, float]]:
    """Mean F1 over what is held back, at the best score limit."""
    ours = card()
    engine = TorchEngine(net, ours, {"predictions": (-1, -1, COLUMNS)})
    detect = AnchorFree(engine, ours, min_score=MIN_SCORE, pixels=recipe.validate.pixels)
    return judge_faces(detect, sets_of(recipe))


def sets_of(recipe: Recipe) -> dict[str, Any]:
    """What judges."""
    teacher = recipe.teacher
    return judged_faces(
        teacher.labels, recipe.data.paths, teacher.sure, teacher.unsure, recipe.validate.pictures
    )


def sheet(batch: Any) -> npt.NDArray[np.uint8]:
    return draw_faces(batch[0], batch[1])


def write(net: FaceFreeNet, output: Path, recipe: Recipe, metric: dict[str, float]) -> str:
    """One file with a dynamic batch, height and width (multiples of 32)."""
    ours = trained_card(card(), net, recipe, data=DATA, metric=metric)
    write_any_size(net, output, ours, name="predictions", axes={0: "batch", 1: "cells"})
    return parity(net, output, PARITY_SIZES)
