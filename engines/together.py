"""Training on several GPUs or machines: `torchrun --nproc-per-node 2 -m engines.train ...`.

Each process takes its share of every batch. The loss is divided by what all of them have to learn, and gradients
are added up, so that N processes take the same steps as one with the same total batch (but for rounding, and for
normalisations, which see only their own share: fold them, or choose a large batch).
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from perception.errors import ConfigError


@dataclass(frozen=True)
class Team:
    """This process is number `rank` of `size`."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes checkpoints and logs and validates."""
        return self.rank == 0

    def total(self, value: Tensor) -> Tensor:
        """The sum over all processes; not differentiated."""
        if self.size == 1:
            return value
        summed = value.detach().clone()
        distributed.all_reduce(summed)
        return summed

    def add_gradients(self, net: nn.Module) -> None:
        """Add up the gradients of all processes, in one message."""
        if self.size == 1:
            return
        gradients = [p.grad for p in net.parameters() if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()

    def agree(self, value: bool) -> bool:
        """What the leading process says."""
        if self.size == 1:
            return value
        return bool(self.total(torch.tensor(float(value and self.leads))) > 0)


def join_team(device: torch.device, batch: int) -> Team:
    """The team torchrun started, or a team of one.

    Raises:
        ConfigError: the batch cannot be shared out evenly.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Team()
    if batch % size:
        raise ConfigError(f"train.batch must be a multiple of {size} processes, but is {batch}")
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Team(distributed.get_rank(), size)
