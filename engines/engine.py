"""A torch network as an `Engine`, so that training is measured by the code the product runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from perception.backends import TensorSpec
from perception.card import EngineCard


class TorchEngine:
    """See `perception.backends.Engine`.

    Args:
        net: returns one tensor, or as many as there are outputs.
        card: of the engine it will be.
        outputs: shapes by name, -1 for what varies.
    """

    backend = "torch"

    def __init__(
        self, net: torch.nn.Module, card: EngineCard, outputs: Mapping[str, tuple[int, ...]]
    ) -> None:
        self.net = net
        self.card: EngineCard | None = card
        self.path = Path(f"{card.name} (in training)")
        self.device = next(net.parameters()).device
        self._outputs = dict(outputs)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return (TensorSpec("images", np.dtype(np.float32), (-1, 3, -1, -1)),)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return tuple(
            TensorSpec(name, np.dtype(np.float32), shape) for name, shape in self._outputs.items()
        )

    @torch.no_grad()
    def infer(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        training = self.net.training
        self.net.eval()
        pictures = torch.from_numpy(feeds["images"]).to(self.device)
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        # Pictures come in many shapes: a search for the fastest kernels of each would take far longer.
        search = torch.backends.cudnn.benchmark
        torch.backends.cudnn.benchmark = False
        raw = self.net(pictures)
        torch.backends.cudnn.benchmark = search
        self.net.train(training)
        tensors = [raw] if isinstance(raw, torch.Tensor) else raw
        return {
            name: tensor.float().cpu().numpy()
            for name, tensor in zip(self._outputs, tensors, strict=True)
        }

    def close(self) -> None:
        pass
