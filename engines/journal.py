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
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from engines.data.loader import Batch
from engines.data.sets import judged_sets
from engines.engine import TorchEngine
from engines.nets.road import RoadNet
from engines.pictures import draw_targets
from engines.recipe import Recipe
from engines.validate import MIN_SCORE, judge, read, road_card
from perception.models.anchor_free import AnchorFree

EVERY = 20  # steps per line of train.csv
LOSSES = ("loss", "classes", "boxes", "cells", "rate", "pictures_per_s")
FIGURES = ("ap50", "ap", "recall")
log = logging.getLogger(__name__)


class Journal:
    """Logs of one run in its work folder; a resumed run goes on in the same files."""

    def __init__(self, recipe: Recipe, work: Path, step: int) -> None:
        self.recipe = recipe
        sets = judged_sets(recipe.data.paths)
        if recipe.validate.pictures:
            sets = {name: chosen[: recipe.validate.pictures] for name, chosen in sets.items()}
        self._sets = sets
        self._frames = {name: [read(truth) for truth in chosen] for name, chosen in sets.items()}
        work.mkdir(parents=True, exist_ok=True)
        self._writer = SummaryWriter(str(work / "tensorboard"))
        self._losses = Table(work / "train.csv", ("step", *LOSSES), step)
        self._figures = Table(work / "validation.csv", ("step", "set", "group", *FIGURES), step)
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
        pictures = plan.batch * plan.accumulate
        row = {
            "loss": self._sums["total"] / self._steps,
            "classes": self._sums["classes"] / self._steps,
            "boxes": self._sums["boxes"] / self._steps,
            "cells": self._sums["cells"] / self._steps / pictures,
            "rate": rate,
            "pictures_per_s": self._steps * pictures / (now - self._since),
        }
        self._losses.add({"step": step, **row})
        for name, value in row.items():
            self._writer.add_scalar(f"train/{name}", value, step)
        self._bar.set_postfix(loss=f"{row['loss']:.3f}")
        self._sums, self._steps, self._since = {}, 0, now

    def judge(self, step: int, net: RoadNet, batch: Batch) -> float:
        """Judge `net` and note its figures; returns their mean AP50."""
        sheet = draw_targets(batch[0], batch[1])
        self._writer.add_image("train/pictures", sheet, step, dataformats="HWC")
        card = road_card(self.recipe.classes)
        engine = TorchEngine(net, card, columns=5 + len(self.recipe.classes))
        detector = AnchorFree(engine, card, min_score=MIN_SCORE, pixels=self.recipe.validate.pixels)
        figures = judge(self._sets, detector, self._frames)
        for name, figure in figures.items():
            set_name, group = name.split("/")
            values = {key: getattr(figure, key) for key in FIGURES}
            self._figures.add({"step": step, "set": set_name, "group": group, **values})
            self._writer.add_scalar(f"ap50/{name}", figure.ap50, step)
        score = float(np.mean([figure.ap50 for figure in figures.values()]))
        each = ", ".join(f"{name} {figure.ap50:.3f}" for name, figure in figures.items())
        log.info("step %d: mean AP50 %.4f; %s", step, score, each)
        self._since = time.monotonic()
        return score

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
