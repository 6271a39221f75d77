"""What can be trained: one module per family of networks, chosen by a recipe's `family`.

`engines.train` and `engines.export` know nothing about networks, data or losses; a family's module does.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from engines.recipe import Recipe
from perception.errors import ConfigError, unknown


class Loader(Protocol):
    """Makes batches: nested tuples, lists, dicts and dataclasses of tensors."""

    def batch(self, number: int) -> Any:
        """This process's share of batch `number`, a function of the recipe's seed and the number."""


class Family(Protocol):
    """What a family's module defines, as functions.

    It may have, besides: `HEADS`, prefixes of parameter names that learn at `train.head_rate` (default
    "heads."), and `sheet(batch)`, an RGB picture of a batch to look at.
    """

    def build(self, recipe: Recipe) -> nn.Module:
        """A fresh network in train mode. It may have `fold()`, which merges its normalisations."""

    def loader(self, recipe: Recipe, share: tuple[int, int]) -> Loader:
        """Batches for process `share[0]` of `share[1]` that train together."""

    def losses(
        self,
        net: nn.Module,
        batch: Any,
        *,
        device: Any,
        bf16: bool,
        add_up: Callable[[Tensor], Tensor],
    ) -> dict[str, Tensor]:
        """Losses of a batch, already on `device`: "total" is differentiated, the others are noted.

        `add_up` sums over the processes that share the batch; a mean must be divided by such a sum.
        """

    def start(self, net: nn.Module, path: str, recipe: Recipe, loader: Loader) -> None:
        """Take over weights: a checkpoint, an exported engine of ours, or a public file.

        Raises:
            PerceptionError: the file holds another network or other classes.
        """

    def judge(self, recipe: Recipe, net: nn.Module) -> tuple[float, dict[str, float]]:
        """(score that chooses the best checkpoint, figures by name), with the product's decoder."""

    def write(self, net: nn.Module, output: Path, recipe: Recipe, metric: dict[str, float]) -> str:
        """Write the ONNX file with its card; returns the parity report in Markdown.

        Raises:
            EngineError: ONNX Runtime computes something else than torch.
        """


def forward(net: nn.Module, inputs: Tensor, *, device: torch.device, bf16: bool) -> Tensor:
    """A network's output in float32, computed in BF16 where that is asked for."""
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        raw: Tensor = net(inputs.contiguous(memory_format=torch.channels_last))
    return raw.float()


def find_family(name: str) -> Family:
    """The module of a family.

    Raises:
        ConfigError: no such family.
    """
    names = sorted(item.name for item in pkgutil.iter_modules(__path__))
    if name not in names:
        raise ConfigError(unknown("family", name, names))
    return cast(Family, importlib.import_module(f"engines.families.{name}"))
