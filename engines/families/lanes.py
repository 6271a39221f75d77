"""Lane paint and drivable area: see `engines.nets.lanes` and `engines.data.lanes`.

A student of the public TwinLiteNet checkpoint, which also starts it: the masks are that teacher's
probabilities (`python -m engines.label_lanes`), and the loss asks for them, not for decisions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from engines.data.augment import Settings
from engines.data.lanes import LaneBatch, LaneData, LaneLoader, Moves
from engines.engine import TorchEngine
from engines.families import forward
from engines.graph import parity, trained_card, write_any_size
from engines.initial import exported_card, load_checkpoint
from engines.nets.lanes import OUTPUTS, STRIDE, LanesNet
from engines.nets.twinlite import TwinLite, load_lanes, load_twinlite
from engines.nets.twinlite_fit import TAPS, refit
from engines.recipe import Recipe
from perception.card import EngineCard, InputSpec
from perception.errors import ConfigError
from perception.evaluation.lanes import mask_f1, mask_iou
from perception.models.lanes import LaneFinder
from perception.types import Frame

log = logging.getLogger(__name__)
HEADS = ("head.",)
SIZE = (640, 352)
PARITY_SIZES = ((1, 640, 352), (1, 512, 288), (2, 320, 480))
LINES, OVERLAP = 4.0, 0.5  # weights of lane paint, and of its overlap, beside the drivable area
PICTURES = 50  # that the start is fitted on
TOLERANCE = 8.0 / 640  # of the picture's width
DATA = [
    {
        "name": "TwinLiteNet checkpoint (Che et al.), trained on BDD100K",
        "licence": "MIT",
        "use": "initial weights, teacher",
    },
    {
        "name": "recordings of Udacity's self-driving car course",
        "licence": "MIT",
        "use": "training",
    },
    {"name": "GTSDB (fotchi re-publication)", "licence": "CC BY 4.0 as claimed", "use": "training"},
    {"name": "plates day ride (lucian)", "licence": "MIT", "use": "training"},
    {"name": "traffic lights, Korea (tl_kr)", "licence": "CC BY 4.0", "use": "training"},
    {"name": "road traffic (RF100), Roboflow", "licence": "CC BY 4.0", "use": "training"},
    {"name": "highway (utidar), Roboflow Universe", "licence": "CC BY 4.0", "use": "training"},
    {"name": "speed signs on the road", "licence": "CC BY 4.0 as claimed", "use": "training"},
    {"name": "scenes of sample_videos/render.py", "licence": "Apache-2.0", "use": "training"},
]


def lanes_card() -> EngineCard:
    """What the decoder must know of a `LanesNet`."""
    return EngineCard(
        name="lanes",
        family="lanes",
        task="lanes",
        classes=OUTPUTS,
        input=InputSpec(size=SIZE, colour="rgb", std=(255.0,) * 3, fit="letterbox", pad=114),
        decoder={"stride": STRIDE},
        licence="Apache-2.0; started from TwinLiteNet, MIT",
    )


def build(recipe: Recipe) -> LanesNet:
    if recipe.classes != OUTPUTS:
        raise ConfigError(f"recipe {recipe.name!r}: classes must be {list(OUTPUTS)}")
    return LanesNet()


def loader(recipe: Recipe, share: tuple[int, int]) -> LaneLoader:
    known = {item.name for item in fields(Moves)}
    moves = {key: value for key, value in recipe.augment.items() if key in known}
    rest = {key: value for key, value in recipe.augment.items() if key not in known}
    return LaneLoader(
        LaneData(_folder(recipe), recipe.data.weights),
        batch=recipe.train.batch,
        sizes=recipe.train.sizes,
        moves=Moves(**moves),
        settings=Settings(**rest),
        seed=recipe.seed,
        share=share,
    )


def _folder(recipe: Recipe) -> str:
    if len(recipe.data.paths) != 1:
        raise ConfigError(
            f"recipe {recipe.name!r}: data.paths must name one folder that "
            "engines.label_lanes wrote"
        )
    return recipe.data.paths[0]


def losses(
    net: torch.nn.Module,
    batch: LaneBatch,
    *,
    device: torch.device,
    bf16: bool,
    add_up: Callable[[Tensor], Tensor],
) -> dict[str, Tensor]:
    """Cross-entropy to the teacher's probabilities; of the thin lines also their overlap.

    The overlap is the soft Dice loss (Milletari et al. 2016, arXiv:1606.04797), picture by picture.
    """
    logits = forward(net, batch.pictures.float() / 255, device=device, bf16=bf16)
    wanted = batch.masks.float() / 255
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    # Below the entropy of the teacher itself nothing can be learned: zero is then perfect.
    entropy = entropy - functional.binary_cross_entropy(wanted, wanted, reduction="none")
    pictures = add_up(torch.tensor(float(len(logits)), device=logits.device))
    each = entropy.mean(dim=(2, 3)).sum(dim=0) / pictures
    found, line = logits[:, 1].sigmoid(), wanted[:, 1]
    both = (found * line).sum(dim=(1, 2))
    sizes = (found**2).sum(dim=(1, 2)) + (line**2).sum(dim=(1, 2))
    overlap = (1 - (2 * both + 1) / (sizes + 1)).sum() / pictures
    return {
        "total": each[0] + LINES * each[1] + OVERLAP * overlap,
        "drivable": each[0],
        "lane": each[1],
        "overlap": overlap,
    }


def start(net: LanesNet, path: str, recipe: Recipe, loader: LaneLoader) -> None:
    """From a checkpoint, an engine of ours, or the public TwinLiteNet file."""
    if not path.endswith(".onnx"):
        load_checkpoint(net, path, recipe.classes)
        return
    drawn = loader.data.pick(np.random.default_rng(recipe.seed), PICTURES)
    images = [cv2.resize(image, (640, 360)) for image in drawn]
    pictures = np.stack([image[..., ::-1].transpose(2, 0, 1) for image in images])
    pictures = pictures.astype(np.float32) / 255
    if exported_card(path) is None:
        twin = TwinLite(path, more=[tap for tap, _ in TAPS.values()])
        kept = load_twinlite(net, twin, pictures[: PICTURES // 2])
        for layer, (before, after) in refit(net, twin, pictures, kept).items():
            log.info("%s: %.3f of the teacher's variance, %.3f fitted", layer, before, after)
    else:
        load_lanes(net, path, pictures)


def judge(recipe: Recipe, net: torch.nn.Module) -> tuple[float, dict[str, float]]:
    """Agreement with the teacher's masks on the sources that are not trained on.

    The score is the mean of the drivable area's IoU and the lanes' F1.
    """
    card = lanes_card()
    engine = TorchEngine(net, card, {"masks": (-1, len(OUTPUTS), -1, -1)})
    finder = LaneFinder(engine, card, pixels=recipe.validate.pixels)
    figures: dict[str, list[float]] = {}
    for source, image, masks in _judged(
        _folder(recipe), tuple(recipe.data.weights), recipe.validate.pictures
    ):
        found = finder.masks(Frame(image))
        size = masks.shape[1], masks.shape[0]
        area, lane = (
            cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR) > 0.5
            for mask in (found.drivable, found.lane)
        )
        truth = masks > 127
        figures.setdefault(f"{source}/drivable_iou", []).append(mask_iou(area, truth[..., 0]))
        f1 = mask_f1(lane, truth[..., 1], tolerance=TOLERANCE * size[0])
        figures.setdefault(f"{source}/lane_f1", []).append(f1)
    if not figures:
        raise ConfigError(
            f"recipe {recipe.name!r}: every source is trained on, so nothing is left to judge by"
        )
    means = {name: float(np.mean(values)) for name, values in sorted(figures.items())}
    return float(np.mean(list(means.values()))), means


@lru_cache(maxsize=1)
def _judged(
    folder: str, trained: tuple[str, ...], most: int
) -> list[tuple[str, npt.NDArray[np.uint8], npt.NDArray[np.uint8]]]:
    """(source, picture, masks) of what is not trained on, kept in memory."""
    data = LaneData(folder, {})
    found = []
    for source in sorted(set(data.index.values()) - set(trained)):
        names = sorted(name for name, of in data.index.items() if of == source)
        step = max(1, len(names) // most) if most else 1
        found += [(source, *data.read(name)) for name in names[::step]]
    return found


def sheet(batch: Any) -> npt.NDArray[np.uint8]:
    """RGB pictures of a batch with the masks it asks for: green drivable, red lanes."""
    tiles = []
    for picture, masks in list(zip(batch.pictures, batch.masks, strict=True))[:8]:
        tile = picture.permute(1, 2, 0).cpu().numpy().astype(np.float32)
        size = tile.shape[1], tile.shape[0]
        for mask, colour in zip(masks.cpu().numpy(), ((0, 200, 0), (255, 0, 0)), strict=True):
            share = cv2.resize(mask, size).astype(np.float32)[..., None] / 255 * 0.5
            tile = tile * (1 - share) + np.array(colour, np.float32) * share
        tiles.append(tile.astype(np.uint8))
    while len(tiles) % 2:
        tiles.append(np.zeros_like(tiles[0]))
    half = len(tiles) // 2
    return np.concatenate([np.concatenate(tiles[:half], 1), np.concatenate(tiles[half:], 1)], 0)


def write(net: LanesNet, output: Path, recipe: Recipe, metric: dict[str, float]) -> str:
    """One file with a dynamic batch, height and width (multiples of 32)."""
    card = trained_card(lanes_card(), net, recipe, data=DATA, metric=metric)
    axes = {0: "batch", 2: "mask_height", 3: "mask_width"}
    write_any_size(net, output, card, name="masks", axes=axes)
    return parity(net, output, PARITY_SIZES)
