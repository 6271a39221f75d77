"""Train an engine: `python -m engines.train engines/recipes/road.toml --work runs/road`.

Killed and started again with the same recipe and work folder, it goes on where it was, bit for bit:
batches are a function of (seed, step), everything else is in the checkpoint.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from engines import checkpoint
from engines.data.augment import Settings
from engines.data.loader import Loader
from engines.data.sets import judged_sets, training_samples
from engines.ema import RunningMean
from engines.engine import TorchEngine
from engines.nets.loss import detection_loss
from engines.nets.road import RoadNet
from engines.nets.yolox import load_yolox, restore_normalisation
from engines.pictures import draw_targets
from engines.recipe import Recipe, load_recipe
from engines.validate import MIN_SCORE, judge, read, road_card
from perception.errors import ConfigError, PerceptionError, RunError, unknown
from perception.models.anchor_free import AnchorFree

COLUMNS = ("step", "loss", "classes", "boxes", "cells", "rate", "pictures_per_s")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.train", description=__doc__)
    parser.add_argument("recipe", help="TOML file")
    parser.add_argument("--work", required=True, help="folder of checkpoints and logs")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--init", help="start from this checkpoint instead of the recipe's")
    parser.add_argument("--minutes", type=float, help="stop then; the same command goes on")
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE")
    arguments = parser.parse_args(argv)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        recipe = load_recipe(arguments.recipe, arguments.set)
        train(
            recipe,
            Path(arguments.work),
            device=choose_device(arguments.device),
            init=arguments.init or recipe.train.init,
            minutes=arguments.minutes,
        )
    except PerceptionError as error:
        print(f"engines.train: {error}", file=sys.stderr)
        return 1 if isinstance(error, RunError) else 2
    return 0


def choose_device(name: str) -> torch.device:
    """The device; "auto" takes the GPU where there is one."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: torch sees no GPU here; use --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def train(
    recipe: Recipe,
    work: Path,
    *,
    device: torch.device,
    init: str = "",
    minutes: float | None = None,
) -> Path:
    """Train until the recipe's steps are done or the time is up.

    Returns:
        The checkpoint to go on from (or to export), `work`/last.pt.

    Raises:
        RunError: the loss is not finite; last.pt is the last good state.
        ConfigError: the work folder belongs to another recipe.
    """
    plan = recipe.train
    torch.manual_seed(recipe.seed)
    loader = Loader(
        training_samples(recipe),
        weights=recipe.data.weights,
        classes=recipe.classes,
        batch=plan.batch,
        sizes=plan.sizes,
        settings=Settings(**recipe.augment),
        seed=recipe.seed,
        cache_side=recipe.data.cache_side,
    )
    net = RoadNet(len(recipe.classes))
    last = work / "last.pt"
    resumed = checkpoint.load(last) if last.is_file() else None
    if resumed is None and init:
        start_from(net, init, recipe.classes, loader)
    if plan.folded:
        net.fold()
    net.to(device, memory_format=torch.channels_last)
    optimiser = make_optimiser(net, rate=plan.rate, decay=plan.decay, head_rate=plan.head_rate)
    mean = RunningMean(net, decay=plan.ema)
    step, best = 0, -1.0
    if resumed is not None:
        if resumed["recipe_sha256"] != recipe.sha256:
            raise ConfigError(
                f"{last}: was made by another recipe; choose another --work, or --init {last} to "
                "start from its weights"
            )
        net.load_state_dict(resumed["net"])
        mean.net.load_state_dict(resumed["mean"])
        optimiser.load_state_dict(resumed["optimiser"])
        torch.set_rng_state(resumed["torch_rng"])
        step, best = resumed["step"], resumed["best"]
    work.mkdir(parents=True, exist_ok=True)

    def state() -> dict[str, Any]:
        return {
            "net": net.state_dict(),
            "mean": mean.net.state_dict(),
            "optimiser": optimiser.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "step": step,
            "best": best,
            "classes": list(recipe.classes),
            "folded": net.folded,
            "name": recipe.name,
            "recipe_sha256": recipe.sha256,
        }

    sets = judged_sets(recipe.data.paths)
    if recipe.validate.pictures:
        sets = {name: chosen[: recipe.validate.pictures] for name, chosen in sets.items()}
    frames = {name: [read(truth) for truth in chosen] for name, chosen in sets.items()}
    writer = SummaryWriter(str(work / "tensorboard"))
    log = _Log(work / "train.csv", COLUMNS, step)
    scores = _Log(work / "validation.csv", ("step", "set", "group", "ap50", "ap", "recall"), step)
    started = mark = time.monotonic()
    bar = tqdm(total=plan.steps, initial=step, unit="step", disable=not sys.stderr.isatty())
    accumulate = plan.accumulate
    batches = loader.batches(step * accumulate, plan.steps * accumulate)
    net.train()
    freeze(net, plan.frozen)
    sums: dict[str, float] = {}
    try:
        while step < plan.steps:
            rate = learning_rate(step, plan.steps, plan.warmup, plan.rate, plan.last)
            for group in optimiser.param_groups:
                group["lr"] = rate * group["factor"]
            optimiser.zero_grad(set_to_none=True)
            for _ in range(accumulate):
                pictures, targets, size = next(batches)
                pictures = pictures.to(device).float().contiguous(
                    memory_format=torch.channels_last
                )
                with torch.autocast(device.type, torch.bfloat16, enabled=plan.bf16):
                    raw = net(pictures)
                losses = detection_loss(raw.float(), [t.to(device) for t in targets], size)
                if not torch.isfinite(losses["total"]):
                    raise RunError(
                        f"step {step}: the loss is {losses['total'].item()}; the last good state is "
                        f"{last}; lower train.rate or look at the data"
                    )
                (losses["total"] / accumulate).backward()
                for name, value in losses.items():
                    sums[name] = sums.get(name, 0.0) + float(value.detach())
            norm = torch.nn.utils.clip_grad_norm_(net.parameters(), plan.clip)
            if not torch.isfinite(norm):
                raise RunError(
                    f"step {step}: the gradient is {norm.item()}; the last good state is {last}; "
                    "lower train.rate"
                )
            optimiser.step()
            mean.update(net, step)
            step += 1
            bar.update()
            if step % 20 == 0 or step == plan.steps:
                number = (20 if step % 20 == 0 else step % 20) * accumulate
                now = time.monotonic()
                row = {
                    "step": step,
                    "loss": sums["total"] / number,
                    "classes": sums["classes"] / number,
                    "boxes": sums["boxes"] / number,
                    "cells": sums["cells"] / number / plan.batch,
                    "rate": rate,
                    "pictures_per_s": number * plan.batch / (now - mark),
                }
                mark, sums = now, {}
                log.add(row)
                for name in COLUMNS[1:]:
                    writer.add_scalar(f"train/{name}", row[name], step)
                bar.set_postfix(loss=f"{row['loss']:.3f}")
            over = minutes is not None and time.monotonic() - started > minutes * 60
            if step % recipe.validate.every == 0 or step == plan.steps or over:
                writer.add_image(
                    "train/pictures", draw_targets(pictures, targets), step, dataformats="HWC"
                )
                figures = validate(mean.net, recipe, sets, frames)
                for name, figure in figures.items():
                    set_name, group_name = name.split("/")
                    values = (figure.ap50, figure.ap, figure.recall)
                    names = ("ap50", "ap", "recall")
                    scores.add(
                        {
                            "step": step,
                            "set": set_name,
                            "group": group_name,
                            **dict(zip(names, values, strict=True)),
                        }
                    )
                    writer.add_scalar(f"ap50/{name}", figure.ap50, step)
                score = float(np.mean([figure.ap50 for figure in figures.values()]))
                print(
                    f"step {step}: mean AP50 {score:.4f}; "
                    + ", ".join(f"{n} {f.ap50:.3f}" for n, f in figures.items()),
                    flush=True,
                )
                improved = score > best
                best = max(best, score)
                checkpoint.save(last, state())
                if improved:
                    checkpoint.save(work / "best.pt", state())
                mark = time.monotonic()
            if over:
                print(f"stopped after {minutes:g} minutes at step {step}; the same command goes on")
                break
    finally:
        batches.close()
        bar.close()
        writer.close()
    return last


def learning_rate(step: int, steps: int, warmup: int, highest: float, last: float) -> float:
    """Linear warm-up, then half a cosine down to `highest` * `last`."""
    if step < warmup:
        return highest * (step + 1) / warmup
    share = (step - warmup) / max(1, steps - warmup)
    return highest * (last + (1 - last) * 0.5 * (1 + math.cos(math.pi * share)))


def freeze(net: RoadNet, names: Sequence[str]) -> None:
    """Keep these parts as they are: no gradients, no new statistics."""
    parts = dict(net.named_modules())
    for name in names:
        if name not in parts:
            raise ConfigError(f"train.frozen: {unknown('part of the network', name, parts)}")
        parts[name].eval().requires_grad_(False)


def make_optimiser(
    net: RoadNet, *, rate: float, decay: float, head_rate: float = 1.0
) -> torch.optim.AdamW:
    """AdamW; no decay on normalisations and biases."""
    groups = []
    for is_head, factor in ((False, 1.0), (True, head_rate)):
        mine = [p for n, p in net.named_parameters() if n.startswith("heads.") == is_head]
        heavy = [p for p in mine if p.ndim > 1]
        light = [p for p in mine if p.ndim <= 1]
        groups.append({"params": heavy, "weight_decay": decay, "factor": factor})
        groups.append({"params": light, "weight_decay": 0.0, "factor": factor})
    return torch.optim.AdamW(groups, lr=rate)


def start_from(net: RoadNet, path: str, classes: Sequence[str], loader: Loader) -> None:
    """Weights of the public YOLOX-nano file or of a checkpoint of ours."""
    if path.endswith(".onnx"):
        load_yolox(net, path, classes)
        # With real statistics the normalisations can go on learning.
        batches = [loader.batch(number)[0].float() for number in range(8)]
        restore_normalisation(net, batches)
        return
    content = checkpoint.load(path)
    if content["classes"] != list(classes):
        raise ConfigError(f"{path}: has classes {content['classes']}, but the recipe {list(classes)}")
    if content["folded"]:
        net.fold()
    try:
        net.load_state_dict(content["mean"])
    except RuntimeError as error:
        raise ConfigError(f"{path}: is a checkpoint of another net ({error})") from error


def validate(net: RoadNet, recipe: Recipe, sets: Any, frames: Any) -> dict[str, Any]:
    """Figures of `net` on the judged sets."""
    card = road_card(recipe.classes)
    engine = TorchEngine(net, card, columns=5 + len(recipe.classes))
    detector = AnchorFree(engine, card, min_score=MIN_SCORE, pixels=recipe.validate.pixels)
    return judge(sets, detector, frames)


class _Log:
    """A CSV file that a resumed run goes on with; rows past the resumed step are cut."""

    def __init__(self, path: Path, columns: Sequence[str], step: int) -> None:
        self.path, self.columns = path, columns
        rows = []
        if path.is_file() and step:
            with path.open(encoding="utf-8", newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["step"]) <= step]
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)

    def add(self, row: dict[str, Any]) -> None:
        short = {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()}
        with self.path.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, self.columns).writerow(short)


if __name__ == "__main__":
    sys.exit(main())
