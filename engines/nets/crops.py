"""A small classifier of square crops: signs, lights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class CropNet(nn.Module):
    """Pictures (B, 3, S, S), normalised as the card says -> logits (B, classes).

    3x3 convolutions with batch normalisation, a residual one (He et al., arXiv:1512.03385) after every
    halving but the first, and a global depthwise convolution at the end (Chen et al., MobileFaceNets,
    arXiv:1804.07573): it weighs every place by itself, where a mean forgets which stroke was where, and
    has a hundredth of a dense layer's parameters.

    Args:
        classes: number of classes.
        widths: channels at S, S/2, S/4 and S/8.
        side: S, a multiple of 8.
        embedding: length of the vector before the last layer.
        drop: share of it that is dropped in training.
    """

    def __init__(
        self,
        classes: int,
        *,
        side: int,
        widths: tuple[int, int, int, int] = (24, 48, 96, 128),
        embedding: int = 256,
        drop: float = 0.2,
    ) -> None:
        super().__init__()
        if side % 8:
            raise ValueError(f"side must be a multiple of 8, but is {side}")
        a, b, c, d = widths
        self.features = nn.Sequential(
            _convolution(3, a),
            _convolution(a, b, stride=2),
            _convolution(b, c, stride=2),
            Residual(c),
            _convolution(c, d, stride=2),
            Residual(d),
            _convolution(d, embedding, kernel=1),
        )
        self.places = nn.Sequential(
            nn.Conv2d(embedding, embedding, side // 8, groups=embedding, bias=False),
            nn.BatchNorm2d(embedding),
        )
        self.drop = nn.Dropout(drop)
        self.classes = nn.Linear(embedding, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classes(self.drop(self.places(self.features(x)).flatten(1)))


class Residual(nn.Module):
    """x + convolution(x), as many channels out as in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.inner(x))


def _convolution(c_in: int, c_out: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(c_out),
        nn.ReLU(inplace=True),
    )


@torch.no_grad()
def cool(net: CropNet, temperature: float) -> None:
    """Divide the logits by `temperature` (Guo et al., arXiv:1706.04599), inside the last layer."""
    net.classes.weight.div_(temperature)
    net.classes.bias.div_(temperature)
