"""The face detector with anchors: see `engines.nets.face_anchor` and `engines.data.faces`."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from engines.data.faces import FaceBatch, FaceLoader
from engines.engine import TorchEngine
from engines.face_figures import judge_faces
from engines.families import forward
from engines.families.face_free import MIN_SCORE, PARITY_SIZES, TRAINING, loader, sets_of, sheet
from engines.graph import parity, trained_card, write_any_size
from engines.initial import start_from
from engines.nets.face_anchor import (
    MEAN,
    SIZES,
    STD,
    STRIDES,
    VARIANCES,
    FaceAnchorNet,
    load_ultralight,
)
from engines.nets.face_loss import anchor_loss
from engines.recipe import Recipe
from perception.card import EngineCard, InputSpec
from perception.models.anchors import Anchors, anchor_boxes

__all__ = ["build", "judge", "loader", "losses", "sheet", "start", "write"]

DATA = [
    {
        "name": "Ultra-Light-Fast-Generic-Face-Detector RFB-320 (Linzaer), trained on WIDER FACE",
        "licence": "MIT",
        "use": "initial weights",
    },
    {
        "name": "YuNet checkpoint (Shiqi Yu et al.), trained on WIDER FACE",
        "licence": "Apache-2.0",
        "use": "teacher",
    },
    *TRAINING,
]


def card() -> EngineCard:
    """What the decoder must know of a `FaceAnchorNet`."""
    return EngineCard(
        name="face_anchor",
        family="anchors",
        task="face",
        classes=("face",),
        input=InputSpec(
            size=(640, 384),
            colour="rgb",
            mean=(MEAN,) * 3,
            std=(STD,) * 3,
            fit="letterbox",
            pad=114,
            multiple=32,
        ),
        decoder={
            "strides": list(STRIDES),
            "sizes": [list(sizes) for sizes in SIZES],
            "variances": list(VARIANCES),
            "max_iou": 0.3,
            "max_inside": 0.7,
        },
        licence="Apache-2.0",
    )


def build(recipe: Recipe) -> FaceAnchorNet:
    return FaceAnchorNet()


def losses(
    net: torch.nn.Module,
    batch: FaceBatch,
    *,
    device: torch.device,
    bf16: bool,
    add_up: Callable[[Tensor], Tensor],
) -> dict[str, Tensor]:
    pictures, faces, size = batch
    raw = forward(net, (pictures.flip(1).float() - MEAN) / STD, device=device, bf16=bf16)
    return anchor_loss(raw, faces, _anchors(size, device), VARIANCES, add_up=add_up)


@lru_cache(maxsize=16)
def _anchors(size: tuple[int, int], device: torch.device) -> Tensor:
    return torch.from_numpy(anchor_boxes(size, STRIDES, SIZES)).to(device)


def start(net: FaceAnchorNet, path: str, recipe: Recipe, loader: FaceLoader | None) -> None:
    """From a checkpoint, an engine of ours, or the public Ultra-Light RFB file."""
    start_from(net, path, recipe.classes, public=lambda: load_ultralight(net, path))


def judge(recipe: Recipe, net: torch.nn.Module) -> tuple[float, dict[str, float]]:
    """Mean F1 over what is held back, at the best score limit."""
    ours = card()
    engine = TorchEngine(net, ours, {"predictions": (-1, -1, 5)})
    detect = Anchors(engine, ours, min_score=MIN_SCORE, pixels=recipe.validate.pixels)
    return judge_faces(detect, sets_of(recipe))


def write(net: FaceAnchorNet, output: Path, recipe: Recipe, metric: dict[str, float]) -> str:
    """One file with a dynamic batch, height and width (multiples of 32)."""
    ours = trained_card(card(), net, recipe, data=DATA, metric=metric)
    write_any_size(net, output, ours, name="predictions", axes={0: "batch", 1: "anchors"})
    return parity(net, output, PARITY_SIZES)
