"""The anchor-free face detector: YuNet's shape, so that its public weights can start it.

Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 2023: pairs of a
pointwise and a depthwise convolution, a small top-down pyramid at strides 8, 16 and 32, one such pair per
output. 73,840 parameters. The code is the project's own; there are no normalisations, since the public
file has them folded into its convolutions.

The network takes BGR pictures, (B, 3, H, W) float 0..255, H and W multiples of 32, and returns
(B, cells, 16) raw numbers, strides 8, 16, 32, each row by row: cx and cy in cells from the cell's corner,
log w and log h in units of the stride, logits of objectness and of the class, then x and y of five
landmarks like cx and cy: the eye and later the mouth's corner at the picture's left come first.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.nets.yolox import folded_layers
from perception.errors import EngineError

STRIDES = (8, 16, 32)
WIDTH = 64
LANDMARKS = 5


class Pair(nn.Module):
    """Pointwise, then depthwise 3x3."""

    def __init__(self, channels_in: int, channels_out: int, *, relu: bool = True) -> None:
        super().__init__()
        self.point = nn.Conv2d(channels_in, channels_out, 1)
        self.depth = nn.Conv2d(channels_out, channels_out, 3, padding=1, groups=channels_out)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.depth(self.point(x))
        return functional.relu(x) if self.relu else x


class Head(nn.Module):
    """The outputs of one level."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = Pair(WIDTH, WIDTH)
        self.classes = Pair(WIDTH, 1, relu=False)
        self.box = Pair(WIDTH, 4, relu=False)
        self.objectness = Pair(WIDTH, 1, relu=False)
        self.landmarks = Pair(WIDTH, 2 * LANDMARKS, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shared(x)
        parts = [self.box(x), self.objectness(x), self.classes(x), self.landmarks(x)]
        return torch.cat(parts, dim=1).flatten(2)


class FaceFreeNet(nn.Module):
    """See the module's description."""

    folded = True

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.stem_pair = Pair(16, 16)
        self.stage4 = nn.Sequential(
            Pair(16, 16), Pair(16, WIDTH), Pair(WIDTH, WIDTH), Pair(WIDTH, WIDTH)
        )
        self.stage8, self.stage16, self.stage32 = (
            nn.Sequential(Pair(WIDTH, WIDTH), Pair(WIDTH, WIDTH)) for _ in STRIDES
        )
        self.laterals = nn.ModuleList([Pair(WIDTH, WIDTH) for _ in STRIDES])
        self.heads = nn.ModuleList([Head() for _ in STRIDES])

    def fold(self) -> None:
        """Nothing to fold."""

    def forward(self, pictures: Tensor) -> Tensor:
        x = self.stem_pair(functional.relu(self.stem(pictures)))
        x = self.stage4(functional.max_pool2d(x, 2))
        eight = self.stage8(functional.max_pool2d(x, 2))
        sixteen = self.stage16(functional.max_pool2d(eight, 2))
        coarse = self.laterals[2](self.stage32(functional.max_pool2d(sixteen, 2)))
        middle = self.laterals[1](sixteen + functional.interpolate(coarse, scale_factor=2.0))
        fine = self.laterals[0](eight + functional.interpolate(middle, scale_factor=2.0))
        outputs = [head(x) for head, x in zip(self.heads, (fine, middle, coarse), strict=True)]
        return torch.cat(outputs, dim=2).transpose(1, 2)


def load_yunet(net: FaceFreeNet, path: str | Path) -> None:
    """Copy the public YuNet file (Apache-2.0) into `net`.

    Raises:
        EngineError: the file holds another network.
    """
    pairs = [net.stem_pair, *net.stage4, *net.stage8, *net.stage16, *net.stage32]
    pairs += [net.laterals[2], net.laterals[1], net.laterals[0]]
    for part in ("shared", "classes", "box", "objectness", "landmarks"):
        pairs += [getattr(head, part) for head in net.heads]
    order = [net.stem, *(layer for pair in pairs for layer in (pair.point, pair.depth))]
    layers = folded_layers(path)
    if len(order) != len(layers):
        raise EngineError(f"{path}: expected {len(order)} convolutions, but it has {len(layers)}")
    for number, (layer, (weight, bias)) in enumerate(zip(order, layers, strict=True)):
        if tuple(layer.weight.shape) != weight.shape:
            raise EngineError(
                f"{path}: convolution {number} must have weight {tuple(layer.weight.shape)}, "
                f"but has {weight.shape}"
            )
        layer.weight.data.copy_(torch.from_numpy(weight.copy()))
        assert layer.bias is not None
        layer.bias.data.copy_(torch.from_numpy(bias.copy()))
