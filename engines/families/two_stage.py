"""The two-stage road detector: see `engines.nets.two_stage`; data and teacher are the road detector's."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from engines import checkpoint
from engines.data.loader import Batch, Loader
from engines.engine import TorchEngine
from engines.families import road
from engines.graph import RELATIVE, trained_card, write_graph
from engines.initial import exported_card, load_checkpoint, load_exported
from engines.nets.loss import detection_loss
from engines.nets.two_stage import PROPOSALS, TwoStageNet, indexed, logit
from engines.nets.two_stage_loss import second_stage_loss, with_labels
from engines.recipe import Recipe
from engines.validate import MIN_SCORE, VEHICLES, mean_ap50
from engines.validate import judge as judge_sets
from perception.card import EngineCard, InputSpec
from perception.errors import ConfigError, EngineError, unknown
from perception.models.two_stage import TwoStage
from perception.types import F32

HEADS = ("merge.", "head.")
SIZE = (640, 384)  # of the exported engine's input
# Of the second stage in a score's logarithm: the square root of the product (arXiv:2103.07461, section 4). A stacked
# network's second score has the first in it already, so half of what it changes counts: measured, 0.35 to 0.7 do
# equally well, and all of it overstates what is small and far.
SHARE = 0.5
sheet = road.sheet


def build(recipe: Recipe) -> TwoStageNet:
    """`[net]` of the recipe: `proposals`, `stacked` of the network, `size` (width, height) of the export."""
    known = ("proposals", "size", "stacked")
    for name in recipe.net:
        if name not in known:
            raise ConfigError(f"[net]: {unknown('key', name, known)}")
    return TwoStageNet(
        len(recipe.classes),
        proposals=recipe.net.get("proposals", PROPOSALS),
        stacked=recipe.net.get("stacked", False),
    )


def loader(recipe: Recipe, share: tuple[int, int]) -> Loader:
    return road.loader(recipe, share)


def losses(
    net: nn.Module,
    batch: Batch,
    *,
    device: torch.device,
    bf16: bool,
    add_up: Callable[[Tensor], Tensor],
) -> dict[str, Tensor]:
    """Both stages' losses; the second's alone where the first is frozen."""
    assert isinstance(net, TwoStageNet)
    pictures, targets, size = batch
    inputs = pictures.float().contiguous(memory_format=torch.channels_last)
    learns = any(parameter.requires_grad for parameter in net.road.parameters())
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        with torch.set_grad_enabled(learns):
            levels, raw = net.first(inputs)
        raw = raw.float()
        with torch.no_grad():
            boxes, scores = net.propose(raw, size)
        # A label has no first score to add to.
        proposals = boxes.unbind() if net.stacked else with_labels(boxes, targets, size)
        logits, corrections = net.second(net.merge(levels), indexed(proposals))
    logits = logits.float()
    if net.stacked:
        logits = logits + logit(scores).flatten(0, 1)
    again = second_stage_loss(proposals, logits, corrections.float(), targets, add_up=add_up)
    found = {f"second_{name}": value for name, value in again.items() if name != "total"}
    found["total"] = again["total"]
    if learns:
        once = detection_loss(raw, targets, size, add_up=add_up)
        found["total"] = found["total"] + once.pop("total")
        found |= once
    return found


def start(net: TwoStageNet, path: str, recipe: Recipe, loader: Loader) -> None:
    """From a checkpoint or an engine of this family, or of the road's, which becomes the first stage."""
    if not path.endswith(".onnx"):
        content = checkpoint.load(path)
        if content["folded"] and not recipe.train.folded:
            raise ConfigError(
                f"{path}: its normalisations are merged into its convolutions; set train.folded = true, "
                "or export it and start from the ONNX file"
            )
        whole = content["recipe"].get("family") == "two_stage"
        load_checkpoint(net if whole else net.road, path, recipe.classes)
        return
    card = exported_card(path)
    whole = card is not None and card.family == "two_stage"
    load_exported(
        net if whole else net.road, path, recipe.classes, lambda: road.first_pictures(loader)
    )


def judge(recipe: Recipe, net: nn.Module) -> tuple[float, dict[str, float]]:
    """Mean AP50 over sets and groups."""
    sets, frames = road.judged(recipe.data.paths, recipe.validate.pictures)
    card = two_stage_card(recipe.classes)
    outputs = {"detections": (-1, -1, 4 + 2 * len(recipe.classes))}
    detector = TwoStage(
        TorchEngine(net, card, outputs), card, min_score=MIN_SCORE, pixels=recipe.validate.pixels
    )
    return mean_ap50(judge_sets(sets, detector, frames))


def two_stage_card(classes: tuple[str, ...], size: tuple[int, int] = SIZE) -> EngineCard:
    """What the decoder must know."""
    return EngineCard(
        name="road_two_stage",
        family="two_stage",
        task="road",
        classes=tuple(classes),
        input=InputSpec(size=size, colour="bgr", fit="letterbox", pad=114, multiple=32),
        decoder={"second": SHARE, "max_iou": 0.5, "nms_groups": [VEHICLES]},
        licence="Apache-2.0",
    )


def write(net: TwoStageNet, output: Path, recipe: Recipe, metric: dict[str, float]) -> str:
    """One file whose every shape is a constant."""
    net = copy.deepcopy(net).cpu().eval()
    net.size = tuple(recipe.net.get("size", SIZE))
    card = two_stage_card(recipe.classes, net.size)
    card = trained_card(card, net, recipe, data=road.sources(recipe), metric=metric)
    write_static(net, output, card)
    return parity(net, output)


def write_static(net: TwoStageNet, output: Path, card: EngineCard) -> None:
    """The graph of a network with a fixed `size`, for one picture."""
    assert net.size is not None
    width, height = net.size
    with warnings.catch_warnings():
        # torchvision looks at the shape of its boxes while it is traced: a constant here.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        example = torch.zeros(1, 3, height, width)
        write_graph(net, output, card, example=example, name="detections", axes={})


@torch.no_grad()
def parity(net: TwoStageNet, path: Path, *, pictures: int = 3) -> str:
    """Compare ONNX Runtime with torch on random pictures; a Markdown table.

    Rows are proposals in the order of their scores. Where two scores differ by less than the arithmetic's last
    digits, so does their order, and the last place may go to another cell: each row is compared with the one
    that is nearest to it, and the last places are left out.

    Raises:
        EngineError: a row differs by more than `RELATIVE` of its scale; the file is removed.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert net.size is not None
    width, height = net.size
    scale = np.ones(session.get_outputs()[0].shape[2], np.float32)
    scale[:4] = max(width, height)
    lines = ["| picture | size | largest difference, of scale |", "| --- | --- | --- |"]
    rng = np.random.default_rng(0)
    for number in range(pictures):
        small = rng.uniform(0, 255, (1, 3, height // 32, width // 32)).astype(np.float32)
        picture = nn.functional.interpolate(
            torch.from_numpy(small), size=(height, width), mode="bicubic"
        ).clamp(0, 255)
        wanted = net(picture)[0].numpy() / scale
        found = session.run(None, {"images": picture.numpy()})[0][0] / scale
        if found.shape != wanted.shape:
            raise EngineError(
                f"{path}: the output must have shape {wanted.shape}, but has {found.shape}"
            )
        share = _farthest(wanted, found)
        lines.append(f"| {number} | {width}x{height} | {share:.2e} |")
        if not share <= RELATIVE:
            path.unlink()
            raise EngineError(
                f"{path}: differs from torch by {share:.1e} of the output's scale, more than "
                f"{RELATIVE}; the file was removed"
            )
    return "\n".join(lines)


def _farthest(wanted: F32, found: F32) -> float:
    """Largest distance of a row of `wanted` from its nearest of `found`, but for a tenth of the last rows."""
    kept = wanted[: len(wanted) * 9 // 10]
    distances = np.abs(kept[:, None] - found[None]).max(axis=2)
    return float(distances.min(axis=1).max())
