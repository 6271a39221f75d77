"""What a training run tells: progress, CSV files, TensorBoard, and the figures of its validation."""

from __future__ import annotations

import csv
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from engines.recipe import Recipe

EVERY = 20  # steps per line of train.csv
SHOWN = 12  # figures in the log's line
log = logging.getLogger(__name__)


class Journal:
    """Logs of one run in its work folder; a resumed run goes on in the same files."""

    def __init__(self, recipe: Recipe, work: Path, step: int) -> None:
        self.recipe, self.work = recipe, work
        work.mkdir(parents=True, exist_ok=True)
        self._start = step
        self._writer = SummaryWriter(str(work / "tensorboard"))
        self._losses: Table | None = None
        self._figures = Table(work / "validation.csv", ("step", "figure", "value"), step)
        self._bar = tqdm(
            total=recipe.train.steps, initial=step, unit="step", disable=not sys.stderr.isatty()
        )
        self._sums: dict[str, float] = {}
        self._steps, self._since = 0, time.monotonic()

    def note(self, step: int, losses: Mapping[str, float], rate: float) -> None:
        """One step is done; every few steps, a line."""
        self._bar.update()
        self._steps += 1
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        plan = self.recipe.train
        if step % EVERY and step != plan.steps:
            return
        now = time.monotonic()
        row = {name: value / self._steps for name, value in self._sums.items()}
        row = {"loss": row.pop("total"), **row, "rate": rate}
        row["pictures_per_s"] = self._steps * plan.batch * plan.accumulate / (now - self._since)
        if self._losses is None:
            self._losses = Table(self.work / "train.csv", ("step", *row), self._start)
        self._losses.add({"step": step, **row})
        for name, value in row.items():
            self._writer.add_scalar(f"train/{name}", value, step)
        self._bar.set_postfix(loss=f"{row['loss']:.3f}")
        self._sums, self._steps, self._since = {}, 0, now

    def judged(self, step: int, score: float, figures: Mapping[str, float]) -> None:
        """Note what validation found."""
        for name, value in figures.items():
            self._figures.add({"step": step, "figure": name, "value": value})
            self._writer.add_scalar(f"figures/{name}", value, step)
        self._writer.add_scalar("figures/score", score, step)
        each = ", ".join(f"{name} {value:.3f}" for name, value in list(figures.items())[:SHOWN])
        log.info("step %d: score %.4f; %s", step, score, each)
        self._since = time.monotonic()

    def show(self, step: int, sheet: npt.NDArray[np.uint8]) -> None:
        """Keep an RGB picture of a batch."""
        self._writer.add_image("train/pictures", sheet, step, dataformats="HWC")

    def close(self) -> None:
        self._bar.close()
        self._writer.close()


class Table:
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

    def add(self, row: Mapping[str, Any]) -> None:
        short = {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()}
        with self.path.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, self.columns).writerow(short)
