"""The running mean of a network's weights, which is what is judged and exported."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

RAMP = 300  # steps over which the mean's memory grows, so that a fresh head is not remembered long


class RunningMean:
    """Exponential mean of parameters and of the normalisations' statistics."""

    def __init__(self, net: nn.Module, *, decay: float) -> None:
        self.net = copy.deepcopy(net).eval()
        self.decay = decay
        for parameter in self.net.parameters():
            parameter.requires_grad_(False)

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        """Move towards `net`, more slowly as `step` grows."""
        decay = self.decay * (1 - math.exp(-(step + 1) / RAMP))
        present = net.state_dict()
        ours, theirs = [], []
        for name, value in self.net.state_dict().items():
            if value.dtype.is_floating_point:
                ours.append(value)
                theirs.append(present[name].detach())
            else:
                value.copy_(present[name])
        torch._foreach_lerp_(ours, theirs, 1 - decay)
