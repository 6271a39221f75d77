"""A small classifier of square crops: signs, lights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CropNet(nn.Module):
    """Pictures (B, 3, S, S), normalised as the card says -> logits (B, classes).

    Plain 3x3 convolutions with batch normalisation and ReLU, three halvings, then a mean or a dense layer.

    Args:
        classes: number of classes.
        width: channels of the first layer.
        side: of the input, for a head that knows where things are (signs differ by small shapes in
            fixed places); None for a mean over all places.
    """

    def __init__(self, classes: int, *, width: int = 16, side: int | None = None) -> None:
        super().__init__()
        channels = [3, width, 2 * width, 4 * width, 4 * width, 6 * width]
        strides = [1, 2, 2, 1, 2]
        layers: list[nn.Module] = []
        for c_in, c_out, stride in zip(channels, channels[1:], strides, strict=False):
            layers += [
                nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False),
                nn.BatchNorm2d(c_out),
                nn.ReLU(inplace=True),
            ]
        self.features = nn.Sequential(*layers)
        self.drop = nn.Dropout(0.2)
        self.places: nn.Module | None = None
        if side is not None:
            cells = (-(-side // 8)) ** 2
            self.places = nn.Sequential(
                nn.Flatten(), nn.Linear(channels[-1] * cells, 8 * width), nn.ReLU(inplace=True)
            )
        last = channels[-1] if side is None else 8 * width
        self.classes = nn.Linear(last, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = x.mean((2, 3)) if self.places is None else self.places(x)
        return self.classes(self.drop(x))


@torch.no_grad()
def cool(net: CropNet, temperature: float) -> None:
    """Divide the logits by `temperature` (Guo et al., arXiv:1706.04599), inside the last layer."""
    net.classes.weight.div_(temperature)
    net.classes.bias.div_(temperature)
