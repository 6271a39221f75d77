"""Train an engine: `python -m engines.train engines/recipes/road.toml --work runs/road`.

Killed and started again with the same recipe and work folder, it goes on where it was, bit for bit:
batches are a function of (seed, step), everything else is in the checkpoint. What is trained is the
business of the recipe's family (`engines.families`).
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
from torch import Tensor, nn

from engines import checkpoint
from engines.data.feed import Feed, moved
from engines.ema import RunningMean
from engines.families import find_family
from engines.journal import Journal
from engines.recipe import Recipe, load_recipe
from engines.together import join_team
from perception.errors import ConfigError, PerceptionError, RunError, unknown

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.train", description=__doc__)
    parser.add_argument("recipe", help="TOML file")
    parser.add_argument("--work", required=True, help="folder of checkpoints and logs")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--init", help="start from this checkpoint or engine, not the recipe's")
    parser.add_argument("--minutes", type=float, help="stop then; the same command goes on")
    parser.add_argument(
        "--anneal",
        action="store_true",
        help="with --minutes: the learning rate has fallen by then, however many steps are done; "
        "such a run cannot be repeated bit for bit",
    )
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--workers", type=int, help="processes that make batches")
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        recipe = load_recipe(arguments.recipe, arguments.set)
        device = choose_device(arguments.device)
        if device.type == "cuda":
            # Few input sizes, each many times: the search for the fastest kernels pays.
            torch.backends.cudnn.benchmark = True
        train(
            recipe,
            Path(arguments.work),
            device=device,
            init=arguments.init or recipe.train.init,
            minutes=arguments.minutes,
            workers=recipe.data.workers if arguments.workers is None else arguments.workers,
            anneal=arguments.anneal,
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
    workers: int = 0,
    anneal: bool = False,
) -> Path:
    """Train until the recipe's steps are done or the time is up.

    Args:
        workers: processes that make batches; 0 for a thread.
        anneal: the learning rate follows the clock where that is ahead of the steps.

    Returns:
        The checkpoint to go on from (or to export), `work`/last.pt.

    Raises:
        RunError: the loss is not finite; last.pt is the last good state.
        ConfigError: the work folder belongs to another recipe.
    """
    started = time.monotonic()
    run = Training(recipe, work, device=device, init=init, workers=workers)
    plan = recipe.train
    journal = None
    try:
        if run.team.leads:
            journal = Journal(recipe, work, run.step)
        batches = iter(run.feed)
        if plan.steps == 0 and journal is not None:
            score, figures = run.family.judge(recipe, run.mean.net)
            journal.judged(0, score, figures)
            run.save(score)
        while run.step < plan.steps:
            parts = [next(batches) for _ in range(plan.accumulate)]
            share = (time.monotonic() - started) / (minutes * 60) if anneal and minutes else 0.0
            run.take_step(parts, least=share)
            over = minutes is not None and time.monotonic() - started > minutes * 60
            over = run.team.agree(over)
            due = run.step % recipe.validate.every == 0 or run.step == plan.steps or over
            # The device is left to work on one step while the next is prepared.
            for step, losses, rate in run.numbers(keep=0 if due else 1):
                if journal is not None:
                    journal.note(step, losses, rate)
            if due and journal is not None:
                score, figures = run.family.judge(recipe, run.mean.net)
                journal.judged(run.step, score, figures)
                if hasattr(run.family, "sheet"):
                    journal.show(run.step, run.family.sheet(parts[-1]))
                run.save(score)
            if over:
                log.info("stopped at step %d; the same command goes on", run.step)
                break
    finally:
        run.feed.close()
        if journal is not None:
            journal.close()
    return run.last


class Training:
    """Everything that a checkpoint holds, and how one step changes it."""

    def __init__(
        self, recipe: Recipe, work: Path, *, device: torch.device, init: str, workers: int = 0
    ) -> None:
        plan = recipe.train
        torch.manual_seed(recipe.seed)
        self.recipe, self.device = recipe, device
        self.family = find_family(recipe.family)
        self.last = work / "last.pt"
        self.team = join_team(device, plan.batch)
        resumed = checkpoint.load(self.last) if self.last.is_file() else None
        if resumed is not None and resumed["recipe_sha256"] != recipe.sha256:
            raise ConfigError(
                f"{self.last}: was made by another recipe; choose another --work, or "
                f"--init {self.last} to start from its weights"
            )
        self.step, self.best = 0, -1.0
        if resumed is not None:
            self.step, self.best = resumed["step"], resumed["best"]
        loader = self.family.loader(recipe, (self.team.rank, self.team.size))
        # Before the network runs: see `engines.data.feed`.
        self.feed = Feed(
            loader.batch,
            self.step * plan.accumulate,
            plan.steps * plan.accumulate,
            workers=workers,
            pin=device.type == "cuda",
        )
        try:
            self.net = self.family.build(recipe)
            if resumed is None and init:
                self.family.start(self.net, init, recipe, loader)
            if plan.folded:
                self.net.fold()
            self.net.to(device, memory_format=torch.channels_last)
            self.optimiser = make_optimiser(
                self.net,
                rate=plan.rate,
                decay=plan.decay,
                head_rate=plan.head_rate,
                heads=getattr(self.family, "HEADS", ("heads.",)),
            )
            self.mean = RunningMean(self.net, decay=plan.ema)
            if resumed is not None:
                self._resume(resumed)
            self.net.train()
            freeze(self.net, plan.frozen)
        except BaseException:
            self.feed.close()
            raise
        self._notes: list[_Note] = []

    def _resume(self, content: dict[str, Any]) -> None:
        self.net.load_state_dict(content["net"])
        self.mean.net.load_state_dict(content["mean"])
        self.optimiser.load_state_dict(content["optimiser"])
        torch.set_rng_state(content["torch_rng"])
        if self.device.type == "cuda" and "cuda_rng" in content:
            torch.cuda.set_rng_state(content["cuda_rng"], self.device)

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
            "folded": getattr(self.net, "folded", False),
            "name": self.recipe.name,
            "recipe": self.recipe.content,
            "recipe_sha256": self.recipe.sha256,
        }
        if self.device.type == "cuda":
            content["cuda_rng"] = torch.cuda.get_rng_state(self.device)
        checkpoint.save(self.last, content)
        if improved:
            checkpoint.save(self.last.with_name("best.pt"), content)

    def take_step(self, parts: Sequence[Any], *, least: float = 0.0) -> None:
        """One optimiser step over `parts`; `numbers` tells what came of it.

        `least` is the share of the schedule that is over in any case.
        """
        plan = self.recipe.train
        rate = learning_rate(self.step, plan.steps, plan.warmup, plan.rate, plan.last, least=least)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        self.optimiser.zero_grad(set_to_none=True)
        names, sums = [], torch.zeros((), device=self.device)
        for part in parts:
            losses = self.family.losses(
                self.net,
                moved(part, self.device),
                device=self.device,
                bf16=plan.bf16,
                add_up=self.team.total,
            )
            (losses["total"] / len(parts)).backward()
            names = list(losses)
            sums = sums + torch.stack([losses[n].detach().float().to(self.device) for n in names])
        self.team.add_gradients(self.net)
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), plan.clip)
        self._notes.append(
            _Note(self.step, names, rate, self.team.total(sums) / len(parts), norm, self.device)
        )
        if self.device.type == "cpu":
            self._notes[-1].read()
        self.optimiser.step()
        self.mean.update(self.net, self.step)
        self.step += 1

    def numbers(self, *, keep: int) -> list[tuple[int, dict[str, float], float]]:
        """(steps done, mean losses, learning rate) of the steps that were not told yet, but the last `keep`.

        Raises:
            RunError: a loss or a gradient was not finite.
        """
        told = []
        while len(self._notes) > keep:
            note = self._notes.pop(0)
            losses, norm = note.read()
            for what, value in (("loss", losses["total"]), ("gradient", norm)):
                if not math.isfinite(value):
                    self._give_up(note.step, f"the {what} is {value}")
            told.append((note.step + 1, losses, note.rate))
        return told

    def _give_up(self, step: int, why: str) -> NoReturn:
        raise RunError(
            f"step {step}: {why}; the last good state is {self.last}; "
            "lower train.rate or look at the data"
        )


class _Note:
    """The numbers of a step, on their way from the device, which is not waited for."""

    def __init__(
        self,
        step: int,
        names: Sequence[str],
        rate: float,
        losses: Tensor,
        norm: Tensor,
        device: torch.device,
    ) -> None:
        self.step, self.names, self.rate = step, names, rate
        numbers = torch.cat([losses, norm.detach().float()[None]])
        self._arrived = None
        self._numbers = numbers
        if device.type == "cuda":
            self._numbers = torch.empty(numbers.shape, pin_memory=True)
            self._numbers.copy_(numbers, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    def read(self) -> tuple[dict[str, float], float]:
        """(losses by name, gradient norm)."""
        if self._arrived is not None:
            self._arrived.synchronize()
        *losses, norm = self._numbers.tolist()
        return dict(zip(self.names, losses, strict=True)), norm


def learning_rate(
    step: int, steps: int, warmup: int, highest: float, last: float, *, least: float = 0.0
) -> float:
    """Linear warm-up, then half a cosine down to `highest` * `last`, at least its share `least`."""
    if step < warmup:
        return highest * (step + 1) / warmup
    share = min(1.0, max(least, (step - warmup) / max(1, steps - warmup)))
    return highest * (last + (1 - last) * 0.5 * (1 + math.cos(math.pi * share)))


def freeze(net: nn.Module, names: Sequence[str]) -> None:
    """Keep these parts as they are: no gradients, no new statistics."""
    parts = dict(net.named_modules())
    for name in names:
        if name not in parts:
            raise ConfigError(f"train.frozen: {unknown('part of the network', name, parts)}")
        parts[name].eval().requires_grad_(False)


def make_optimiser(
    net: nn.Module,
    *,
    rate: float,
    decay: float,
    head_rate: float = 1.0,
    heads: Sequence[str] = ("heads.",),
) -> torch.optim.AdamW:
    """AdamW; no decay on normalisations and biases; `heads` start the names of what learns faster."""
    groups = []
    for is_head, factor in ((False, 1.0), (True, head_rate)):
        mine = [p for n, p in net.named_parameters() if n.startswith(tuple(heads)) == is_head]
        heavy = [p for p in mine if p.ndim > 1]
        light = [p for p in mine if p.ndim <= 1]
        groups.append({"params": heavy, "weight_decay": decay, "factor": factor})
        groups.append({"params": light, "weight_decay": 0.0, "factor": factor})
    on_gpu = next(net.parameters()).is_cuda
    return torch.optim.AdamW(groups, lr=rate, fused=on_gpu)


if __name__ == "__main__":
    sys.exit(main())
