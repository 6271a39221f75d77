"""Train an engine: `python -m engines.train engines/recipes/road.toml --work runs/road`.

Killed and started again with the same recipe and work folder, it goes on where it was, bit for bit:
batches are a function of (seed, step), everything else is in the checkpoint.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch

from engines import checkpoint
from engines.data.augment import Settings
from engines.data.loader import Batch, Loader
from engines.data.sets import training_samples
from engines.ema import RunningMean
from engines.journal import Journal
from engines.nets.loss import detection_loss
from engines.nets.road import RoadNet
from engines.nets.yolox import load_yolox, restore_normalisation
from engines.recipe import Recipe, load_recipe
from engines.together import join_team
from perception.errors import ConfigError, PerceptionError, RunError, unknown

log = logging.getLogger(__name__)


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
    logging.basicConfig(level=logging.INFO, format="%(message)s")
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
    run = Training(recipe, work, device=device, init=init)
    journal = Journal(recipe, work, run.step) if run.team.leads else None
    plan = recipe.train
    started = time.monotonic()
    batches = run.loader.batches(run.step * plan.accumulate, plan.steps * plan.accumulate)
    try:
        while run.step < plan.steps:
            parts = [next(batches) for _ in range(plan.accumulate)]
            losses, rate = run.take_step(parts)
            over = minutes is not None and time.monotonic() - started > minutes * 60
            over = run.team.agree(over)
            due = run.step % recipe.validate.every == 0 or run.step == plan.steps or over
            if journal is not None:
                journal.note(run.step, losses, rate)
                if due:
                    score = journal.judge(run.step, run.mean.net, parts[-1])
                    run.save(score)
            if over:
                log.info("stopped at step %d; the same command goes on", run.step)
                break
    finally:
        batches.close()
        if journal is not None:
            journal.close()
    return run.last


class Training:
    """Everything that a checkpoint holds, and how one step changes it."""

    def __init__(self, recipe: Recipe, work: Path, *, device: torch.device, init: str) -> None:
        plan = recipe.train
        torch.manual_seed(recipe.seed)
        self.recipe, self.device = recipe, device
        self.last = work / "last.pt"
        self.team = join_team(device, plan.batch)
        self.loader = Loader(
            training_samples(recipe),
            weights=recipe.data.weights,
            classes=recipe.classes,
            batch=plan.batch,
            sizes=plan.sizes,
            settings=Settings(**recipe.augment),
            seed=recipe.seed,
            cache_side=recipe.data.cache_side,
            share=(self.team.rank, self.team.size),
        )
        self.net = RoadNet(len(recipe.classes))
        resumed = checkpoint.load(self.last) if self.last.is_file() else None
        if resumed is None and init:
            start_from(self.net, init, recipe.classes, self.loader)
        if plan.folded:
            self.net.fold()
        self.net.to(device, memory_format=torch.channels_last)
        self.optimiser = make_optimiser(
            self.net, rate=plan.rate, decay=plan.decay, head_rate=plan.head_rate
        )
        self.mean = RunningMean(self.net, decay=plan.ema)
        self.step, self.best = 0, -1.0
        if resumed is not None:
            self._resume(resumed)
        self.net.train()
        freeze(self.net, plan.frozen)

    def _resume(self, content: dict[str, Any]) -> None:
        if content["recipe_sha256"] != self.recipe.sha256:
            raise ConfigError(
                f"{self.last}: was made by another recipe; choose another --work, or "
                f"--init {self.last} to start from its weights"
            )
        self.net.load_state_dict(content["net"])
        self.mean.net.load_state_dict(content["mean"])
        self.optimiser.load_state_dict(content["optimiser"])
        torch.set_rng_state(content["torch_rng"])
        self.step, self.best = content["step"], content["best"]

    def save(self, score: float) -> None:
        """Write last.pt, and best.pt when `score` is the best so far."""
        improved = score > self.best
        self.best = max(self.best, score)
        content = {
            "net": self.net.state_dict(),
            "mean": self.mean.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "step": self.step,
            "best": self.best,
            "classes": list(self.recipe.classes),
            "folded": self.net.folded,
            "name": self.recipe.name,
            "recipe_sha256": self.recipe.sha256,
        }
        checkpoint.save(self.last, content)
        if improved:
            checkpoint.save(self.last.with_name("best.pt"), content)

    def take_step(self, parts: Sequence[Batch]) -> tuple[dict[str, float], float]:
        """One optimiser step over `parts`; returns the mean losses and the learning rate."""
        plan = self.recipe.train
        rate = learning_rate(self.step, plan.steps, plan.warmup, plan.rate, plan.last)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        self.optimiser.zero_grad(set_to_none=True)
        sums: dict[str, float] = {}
        for pictures, targets, size in parts:
            inputs = pictures.to(self.device).float()
            with torch.autocast(self.device.type, torch.bfloat16, enabled=plan.bf16):
                raw = self.net(inputs.contiguous(memory_format=torch.channels_last))
            targets = [target.to(self.device) for target in targets]
            losses = detection_loss(raw.float(), targets, size, add_up=self.team.total)
            (losses["total"] / len(parts)).backward()
            for name, value in losses.items():
                share = float(self.team.total(value.detach())) / len(parts)
                sums[name] = sums.get(name, 0.0) + share
        if not math.isfinite(sums["total"]):
            self._give_up(f"the loss is {sums['total']}")
        self.team.add_gradients(self.net)
        norm = float(torch.nn.utils.clip_grad_norm_(self.net.parameters(), plan.clip))
        if not math.isfinite(norm):
            self._give_up(f"the gradient is {norm}")
        self.optimiser.step()
        self.mean.update(self.net, self.step)
        self.step += 1
        return sums, rate

    def _give_up(self, why: str) -> NoReturn:
        raise RunError(
            f"step {self.step}: {why}; the last good state is {self.last}; "
            "lower train.rate or look at the data"
        )


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
        raise ConfigError(
            f"{path}: has classes {content['classes']}, but the recipe {list(classes)}"
        )
    if content["folded"]:
        net.fold()
    try:
        net.load_state_dict(content["mean"])
    except RuntimeError as error:
        raise ConfigError(f"{path}: is a checkpoint of another net ({error})") from error


if __name__ == "__main__":
    sys.exit(main())
