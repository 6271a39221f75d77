"""The road detector: see `engines.nets.road`, `engines.nets.loss` and `engines.data`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engines.data.augment import Settings
from engines.data.loader import Batch, Loader
from engines.data.sets import judged_sets, training_samples
from engines.engine import TorchEngine
from engines.families import forward
from engines.graph import parity, trained_card, write_any_size
from engines.initial import start_from
from engines.nets.loss import detection_loss
from engines.nets.road import RoadNet
from engines.nets.yolox import load_yolox, restore_normalisation
from engines.pictures import draw_targets
from engines.recipe import Recipe
from engines.validate import MIN_SCORE, mean_ap50, read, road_card
from engines.validate import judge as judge_sets
from perception.card import EngineCard
from perception.evaluation.detection import Truth
from perception.models.anchor_free import AnchorFree
from perception.types import Frame

# (batch, width, height) at which the export must agree with torch.
PARITY_SIZES = ((1, 640, 384), (1, 416, 256), (2, 320, 480))
STATISTICS = 8  # batches over which restored normalisations are measured
# What the card says of each data source.
START = {
    "name": "YOLOX-nano checkpoint (Megvii), trained on COCO",
    "licence": "Apache-2.0",
    "use": "initial weights, teacher for unlabelled classes",
}
DATA = {
    "highway": ("highway (utidar), Roboflow Universe", "CC BY 4.0"),
    "streetview": ("road traffic (RF100), Roboflow", "CC BY 4.0"),
    "gtsdb": ("GTSDB (fotchi re-publication)", "CC BY 4.0 as claimed"),
    "signs_road": ("speed signs on the road", "CC BY 4.0 as claimed"),
    "lights_korea": ("traffic lights, Korea (tl_kr)", "CC BY 4.0"),
    "plates": ("plates day ride (lucian)", "MIT"),
    "clips": ("highway clips (Udacity CarND, muchlisin)", "MIT"),
    "rendered": ("scenes of sample_videos/render.py", "Apache-2.0"),
}


def build(recipe: Recipe) -> RoadNet:
    return RoadNet(len(recipe.classes))


def loader(recipe: Recipe, share: tuple[int, int]) -> Loader:
    return Loader(
        training_samples(recipe),
        weights=recipe.data.weights,
        classes=recipe.classes,
        batch=recipe.train.batch,
        sizes=recipe.train.sizes,
        settings=Settings(**recipe.augment),
        seed=recipe.seed,
        cache_side=recipe.data.cache_side,
        share=share,
    )


def losses(
    net: torch.nn.Module,
    batch: Batch,
    *,
    device: torch.device,
    bf16: bool,
    add_up: Callable[[Tensor], Tensor],
) -> dict[str, Tensor]:
    pictures, targets, size = batch
    raw = forward(net, pictures.float(), device=device, bf16=bf16)
    return detection_loss(raw, targets, size, add_up=add_up)


def start(net: RoadNet, path: str, recipe: Recipe, loader: Loader) -> None:
    """From a checkpoint, an engine of ours, or the public YOLOX-nano file."""

    def public() -> None:
        load_yolox(net, path, recipe.classes)
        # With real statistics the normalisations can go on learning.
        restore_normalisation(net, first_pictures(loader))

    start_from(net, path, recipe.classes, public=public, pictures=lambda: first_pictures(loader))


def first_pictures(loader: Loader) -> Iterator[Tensor]:
    """(B, 3, H, W) float batches over which restored normalisations are measured."""
    return (loader.batch(number)[0].float() for number in range(STATISTICS))


def judge(recipe: Recipe, net: torch.nn.Module) -> tuple[float, dict[str, float]]:
    """Mean AP50 over sets and groups."""
    sets, frames = judged(recipe.data.paths, recipe.validate.pictures)
    card = road_card(recipe.classes)
    engine = TorchEngine(net, card, {"predictions": (-1, -1, 5 + len(recipe.classes))})
    detector = AnchorFree(engine, card, min_score=MIN_SCORE, pixels=recipe.validate.pixels)
    return mean_ap50(judge_sets(sets, detector, frames))


@lru_cache(maxsize=1)
def judged(
    paths: tuple[str, ...], most: int
) -> tuple[dict[str, list[Truth]], dict[str, list[Frame]]]:
    """What is judged, with its pictures, which stay in memory."""
    sets = judged_sets(paths)
    if most:
        sets = {name: chosen[:most] for name, chosen in sets.items()}
    return sets, {name: [read(truth) for truth in chosen] for name, chosen in sets.items()}


def sheet(batch: Any) -> npt.NDArray[np.uint8]:
    return draw_targets(batch[0], batch[1])


def sources(recipe: Recipe) -> list[dict[str, str]]:
    """What the recipe trains on, for the card."""
    used = [name for name, weight in recipe.data.weights.items() if weight > 0]
    named = [DATA.get(name, (name, "see the recipe")) for name in used]
    return [START, *({"name": n, "licence": licence, "use": "training"} for n, licence in named)]


def write(net: RoadNet, output: Path, recipe: Recipe, metric: dict[str, float]) -> str:
    """One file with a dynamic batch, height and width (multiples of 32)."""
    card = trained_card(road_card(recipe.classes), net, recipe, data=sources(recipe), metric=metric)
    write_onnx(net, output, card)
    return parity(net, output, PARITY_SIZES)


def write_onnx(net: RoadNet, output: str | Path, card: EngineCard) -> None:
    """The network's graph with its card."""
    write_any_size(net, output, card, name="predictions", axes={0: "batch", 1: "cells"})
