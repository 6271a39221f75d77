"""Train a crop classifier: `python -m engines.train_classifier RECIPE.toml --work FOLDER -o ENGINE.onnx`.

Killed and started again with the same recipe and work folder, it goes on where it was: a batch is a function
of (seed, step), everything else is in the checkpoint. Ends with the figures on crops that were not trained
on, and writes the ONNX file with its card.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from engines import checkpoint
from engines.classifier import conclude, normalised, predict
from engines.crop_sets import ClassifierRecipe, CropSets, load
from engines.data.crop_augment import Spoiler, amber
from engines.data.crops import LIGHTS, MIRRORED, Crops
from engines.ema import RunningMean
from engines.nets.crops import CropNet
from engines.recipe import read_table
from engines.train import choose_device, learning_rate
from perception.errors import ConfigError, PerceptionError, RunError, unknown

SAVE_EVERY_S = 60.0
RED, YELLOW = LIGHTS.index("red"), LIGHTS.index("yellow")
log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.train_classifier", description=__doc__)
    parser.add_argument("recipe", help="TOML file")
    parser.add_argument("-o", "--output", required=True, help="the ONNX file")
    parser.add_argument("--work", required=True, help="folder of the checkpoint")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--init", help="start from the running mean of this checkpoint")
    parser.add_argument("--minutes", type=float, help="stop then; the same command goes on")
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--confusion", help="also write the confusion table, as CSV")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        recipe = read_table(ClassifierRecipe, arguments.recipe, arguments.set)
        sets = load(recipe)
        device = choose_device(arguments.device)
        training = Training(recipe, sets, Path(arguments.work), device, init=arguments.init)
        if not training.run(minutes=arguments.minutes):
            log.info("stopped at step %d; the same command goes on", training.step)
            return 0
        text = conclude(
            training.mean.net, recipe, sets, Path(arguments.output), confusion=arguments.confusion
        )
    except PerceptionError as error:
        print(f"engines.train_classifier: {error}", file=sys.stderr)
        return 1 if isinstance(error, RunError) else 2
    print(text)
    return 0


class Training:
    """A net, its optimiser and its batches, resumed from `work`/last.pt where there is one.

    Args:
        recipe: how.
        sets: what is learnt and judged.
        work: folder of the checkpoint.
        device: where.
        init: a checkpoint whose running mean is where a new run starts; None starts from nothing.

    Raises:
        ConfigError: the checkpoint is of another recipe or net, or a share names a source there is none of.
        InputError: there is no such checkpoint.
    """

    def __init__(
        self,
        recipe: ClassifierRecipe,
        sets: CropSets,
        work: Path,
        device: torch.device,
        *,
        init: str | None = None,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.sets, self.device = recipe, sets, device
        self.last = work / "last.pt"
        self.batches = Batches(recipe, sets.train, device)
        self.net = CropNet(
            len(recipe.classes),
            side=recipe.side,
            widths=recipe.widths,
            embedding=recipe.embedding,
            drop=recipe.drop,
        )
        resumes = self.last.is_file()
        if init is not None and not resumes:
            self._start_from(init)
        self.net.to(device, memory_format=torch.channels_last)
        heavy = [p for p in self.net.parameters() if p.ndim > 1]
        light = [p for p in self.net.parameters() if p.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": heavy, "weight_decay": recipe.decay},
                {"params": light, "weight_decay": 0.0},
            ],
            lr=recipe.rate,
        )
        self.mean: RunningMean = RunningMean(self.net, decay=recipe.ema)
        self.step = 0
        if resumes:
            self._resume()
        self.net.train()

    def run(self, *, minutes: float | None = None) -> bool:
        """Train to the end (True) or for so many minutes (False)."""
        begin = saved = time.monotonic()
        steps = self.recipe.steps
        bar = tqdm(total=steps, initial=self.step, unit="step", disable=not sys.stderr.isatty())
        losses: list[Tensor] = []
        while self.step < steps:
            losses.append(self.take_step())
            bar.update()
            now = time.monotonic()
            if self.step % max(1, steps // 20) == 0 or self.step == steps:
                loss = float(torch.stack(losses).mean())
                losses = []
                if not math.isfinite(loss):
                    raise RunError(
                        f"step {self.step}: the loss is {loss}; the last good state is {self.last}; "
                        "lower the rate"
                    )
                log.info("%s", self._note(loss, now - begin))
            if now - saved > SAVE_EVERY_S or self.step == steps:
                self.save()
                saved = now
            if minutes is not None and now - begin > 60 * minutes and self.step < steps:
                self.save()
                return False
        bar.close()
        return True

    def take_step(self) -> Tensor:
        """One optimiser step; returns the loss."""
        recipe = self.recipe
        rate = learning_rate(
            self.step, recipe.steps, min(200, recipe.steps // 10 + 1), recipe.rate, 0.01
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        # Dropout draws from torch's own generator: set by the step, so that a resumed run draws the same.
        torch.manual_seed(hash((recipe.seed, self.step)) % 2**63)
        pictures, labels = self.batches(self.step)
        inputs = normalised(pictures).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = self.net(inputs)
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=recipe.smoothing)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.mean.update(self.net, self.step)
        self.step += 1
        return loss.detach()

    def save(self) -> None:
        """Write last.pt."""
        checkpoint.save(
            self.last,
            {
                "net": self.net.state_dict(),
                "mean": self.mean.net.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "step": self.step,
                "recipe_sha256": self.recipe.sha256,
            },
        )

    def _start_from(self, path: str) -> None:
        try:
            self.net.load_state_dict(checkpoint.load(path)["mean"])
        except RuntimeError as error:
            raise ConfigError(f"{path}: is a checkpoint of another net ({error})") from error

    def _resume(self) -> None:
        content = checkpoint.load(self.last)
        if content["recipe_sha256"] != self.recipe.sha256:
            raise ConfigError(f"{self.last}: was made by another recipe; choose another --work")
        self.net.load_state_dict(content["net"])
        self.mean.net.load_state_dict(content["mean"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.step = content["step"]

    def _note(self, loss: float, seconds: float) -> str:
        net = self.mean.net
        shares = []
        for name, crops in self.sets.judge.items():
            right = predict(net, crops.pictures).argmax(1) == crops.labels
            shares.append(f"{name} {right.mean():.4f}")
        return f"step {self.step}, {seconds:.0f} s: loss {loss:.3f}; right: {', '.join(shares)}"


class Batches:
    """Batches by number: a fixed share of each source, rare classes more often than they come.

    Args:
        recipe: shares, batch, seed.
        sources: training crops.
        device: where they are kept and changed.
    """

    def __init__(
        self, recipe: ClassifierRecipe, sources: Sequence[Crops], device: torch.device
    ) -> None:
        names = [crops.name for crops in sources]
        for name in recipe.shares:
            if name not in names:
                raise ConfigError(f"shares: {unknown('source of crops', name, names)}")
        counts = [round(recipe.batch * recipe.shares.get(name, 0)) for name in names]
        counts[0] += recipe.batch - sum(counts)
        if counts[0] <= 0:
            raise ConfigError(f"shares: nothing is left for {names[0]!r}; lower them")
        self.recipe, self.device = recipe, device
        self.counts = [
            (crops, count) for crops, count in zip(sources, counts, strict=True) if count
        ]
        self._pictures = [torch.from_numpy(crops.pictures).to(device) for crops, _ in self.counts]
        self._chances = [_chances(crops.labels, recipe.balance) for crops, _ in self.counts]
        mirrored = torch.tensor(
            [
                number if recipe.mirror else _number(recipe.classes, MIRRORED.get(name, ""))
                for number, name in enumerate(recipe.classes)
            ]
        )
        self._spoiler = Spoiler(
            recipe.side,
            mirrored,
            quarter_turns=recipe.quarter_turns,
            aspect=recipe.aspect,
            shift=recipe.shift,
            strength=recipe.strength,
        )

    def __call__(self, number: int) -> tuple[Tensor, Tensor]:
        """Pictures (B, 3, S, S) 0..255 and labels (B,) of batch `number`, on the device."""
        rows_of = np.random.default_rng((self.recipe.seed, number))
        rng = torch.Generator()
        rng.manual_seed(int(rows_of.integers(2**62)))
        pictures, labels = [], []
        for (crops, count), stored, chance in zip(
            self.counts, self._pictures, self._chances, strict=True
        ):
            rows = np.searchsorted(chance, rows_of.random(count))
            chosen, known = stored[torch.from_numpy(rows).to(self.device)], crops.labels[rows]
            if self.recipe.amber:
                repaint = (known == RED) & (rows_of.random(count) < self.recipe.amber)
                chosen = amber(chosen, torch.from_numpy(repaint), rng)
                known = np.where(repaint, YELLOW, known)
            moved, now = self._spoiler.moved(
                chosen,
                torch.from_numpy(known),
                rng,
                extent=crops.extent,
                widen=crops.widen,
            )
            pictures.append(moved)
            labels.append(now)
        spoiled = self._spoiler.spoiled(torch.cat(pictures), rng)
        # Whole numbers, as in a picture: in a dark crop the steps between them are large.
        return (spoiled * 255).round(), torch.cat(labels).to(self.device)


def _chances(labels: np.ndarray, balance: float) -> np.ndarray:
    """Cumulative chances (N,): classes by their frequency to the power 1 - `balance`."""
    counts = np.bincount(labels)
    chance = 1.0 / counts[labels] ** balance
    total = np.cumsum(chance / chance.sum())
    total[-1] = 1.0
    return np.asarray(total)


def _number(classes: Sequence[str], name: str) -> int:
    return classes.index(name) if name in classes else -1


if __name__ == "__main__":
    sys.exit(main())
