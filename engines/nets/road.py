"""The road detector's network: a one-stage, anchor-free detector of YOLOX-nano's shape.

CSPDarknet with depthwise separable convolutions, a path-aggregation pyramid at strides 8, 16 and 32 and
a decoupled head (Ge et al., "YOLOX: Exceeding YOLO Series in 2021", arXiv:2107.08430, section 2).
Width 0.25, depth 0.33, so that the public YOLOX-nano checkpoint (Megvii, Apache-2.0) can start it: see
`engines.nets.yolox`. The code is the project's own.

The network takes BGR pictures, (B, 3, H, W) float 0..255, H and W multiples of 32, and returns
(B, cells, 5 + classes) raw numbers per cell, strides 8, 16, 32, each row by row:
cx and cy in cells from the cell's corner, log w and log h in units of the stride, then logits of
objectness and of each class. A class's score is sigmoid(objectness) * sigmoid(class).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

STRIDES = (8, 16, 32)
BN_EPS = 1e-3
BN_MOMENTUM = 0.1
WIDTHS = (16, 32, 64, 128, 256)
HEAD_WIDTH = 64
# Share of cells that hold an object before any training; the bias of a fresh class starts there
# (Lin et al., "Focal Loss for Dense Object Detection", arXiv:1708.02002, section 3.3).
PRIOR = 0.01


class ConvUnit(nn.Module):
    """Convolution, batch normalisation, activation; `fold` merges the first two."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        self.norm: nn.Module = nn.BatchNorm2d(channels_out, eps=BN_EPS, momentum=BN_MOMENTUM)
        self.act = nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))

    @torch.no_grad()
    def fold(self) -> None:
        """Make the normalisation, with the statistics it has, part of the convolution."""
        if not isinstance(self.norm, nn.BatchNorm2d):
            return
        norm, conv = self.norm, self.conv
        assert norm.running_var is not None and norm.running_mean is not None
        factor = norm.weight / (norm.running_var + norm.eps).sqrt()
        conv.weight.mul_(factor[:, None, None, None])
        conv.bias = nn.Parameter(norm.bias - norm.running_mean * factor)
        self.norm = nn.Identity()


def separable(channels_in: int, channels_out: int, *, stride: int = 1) -> nn.Sequential:
    """A depthwise 3x3 and a pointwise unit."""
    return nn.Sequential(
        ConvUnit(channels_in, channels_in, 3, stride=stride, groups=channels_in),
        ConvUnit(channels_in, channels_out, 1),
    )


class Bottleneck(nn.Module):
    """1x1, then depthwise separable 3x3, with or without a short cut."""

    def __init__(self, channels: int, *, shortcut: bool) -> None:
        super().__init__()
        self.first = ConvUnit(channels, channels, 1)
        self.second = separable(channels, channels)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.first(x))
        return y + x if self.shortcut else y


class CrossStage(nn.Module):
    """Two 1x1 branches, bottlenecks on the first, joined by a 1x1 (CSPNet, arXiv:1911.11929)."""

    def __init__(
        self, channels_in: int, channels_out: int, *, depth: int = 1, shortcut: bool = True
    ) -> None:
        super().__init__()
        hidden = channels_out // 2
        self.main = ConvUnit(channels_in, hidden, 1)
        self.side = ConvUnit(channels_in, hidden, 1)
        self.blocks = nn.Sequential(*[Bottleneck(hidden, shortcut=shortcut) for _ in range(depth)])
        self.join = ConvUnit(2 * hidden, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        # The side branch runs before the blocks: the order in which a checkpoint's layers are listed.
        main, side = self.main(x), self.side(x)
        return self.join(torch.cat([self.blocks(main), side], dim=1))


class PyramidPool(nn.Module):
    """Max pools of 5, 9 and 13 beside the input (spatial pyramid pooling, arXiv:1406.4729)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        hidden = channels_in // 2
        self.reduce = ConvUnit(channels_in, hidden, 1)
        self.pool = nn.MaxPool2d(5, stride=1, padding=2)
        self.join = ConvUnit(4 * hidden, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        # A pool of 9 is a pool of 5 twice, one of 13 three times: a third of the comparisons.
        x = self.reduce(x)
        five = self.pool(x)
        nine = self.pool(five)
        return self.join(torch.cat([x, five, nine, self.pool(nine)], dim=1))


class Backbone(nn.Module):
    """Pictures -> features at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = WIDTHS
        self.stem = ConvUnit(12, c1, 3)
        self.stage2 = nn.Sequential(separable(c1, c2, stride=2), CrossStage(c2, c2))
        self.stage3 = nn.Sequential(separable(c2, c3, stride=2), CrossStage(c3, c3, depth=3))
        self.stage4 = nn.Sequential(separable(c3, c4, stride=2), CrossStage(c4, c4, depth=3))
        self.stage5 = nn.Sequential(
            separable(c4, c5, stride=2), PyramidPool(c5, c5), CrossStage(c5, c5, shortcut=False)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # Focus: 2x2 pixels become channels, order top left, bottom left, top right, bottom right.
        x = torch.cat(
            [x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], dim=1
        )
        eight = self.stage3(self.stage2(self.stem(x)))
        sixteen = self.stage4(eight)
        return eight, sixteen, self.stage5(sixteen)


class Pyramid(nn.Module):
    """Top-down, then bottom-up fusion (path aggregation, arXiv:1803.01534)."""

    def __init__(self) -> None:
        super().__init__()
        _, _, c3, c4, c5 = WIDTHS
        self.lateral5 = ConvUnit(c5, c4, 1)
        self.down4 = CrossStage(2 * c4, c4, shortcut=False)
        self.lateral4 = ConvUnit(c4, c3, 1)
        self.down3 = CrossStage(2 * c3, c3, shortcut=False)
        self.reduce3 = separable(c3, c3, stride=2)
        self.up4 = CrossStage(2 * c3, c4, shortcut=False)
        self.reduce4 = separable(c4, c4, stride=2)
        self.up5 = CrossStage(2 * c4, c5, shortcut=False)
        self.enlarge = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, eight: Tensor, sixteen: Tensor, thirtytwo: Tensor) -> list[Tensor]:
        top = self.lateral5(thirtytwo)
        middle = self.lateral4(self.down4(torch.cat([self.enlarge(top), sixteen], dim=1)))
        fine = self.down3(torch.cat([self.enlarge(middle), eight], dim=1))
        medium = self.up4(torch.cat([self.reduce3(fine), middle], dim=1))
        coarse = self.up5(torch.cat([self.reduce4(medium), top], dim=1))
        return [fine, medium, coarse]


class Head(nn.Module):
    """The decoupled head of one level: classes from one tower, boxes and objectness from the other."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        width = HEAD_WIDTH
        self.stem = ConvUnit(channels, width, 1)
        self.class_tower = nn.Sequential(separable(width, width), separable(width, width))
        self.classes = nn.Conv2d(width, classes, 1)
        self.box_tower = nn.Sequential(separable(width, width), separable(width, width))
        self.box = nn.Conv2d(width, 4, 1)
        self.objectness = nn.Conv2d(width, 1, 1)
        for layer in (self.classes, self.objectness):
            nn.init.constant_(layer.bias, -math.log((1 - PRIOR) / PRIOR))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        classes = self.classes(self.class_tower(x))
        y = self.box_tower(x)
        return torch.cat([self.box(y), self.objectness(y), classes], dim=1).flatten(2)


class RoadNet(nn.Module):
    """See the module's description.

    Args:
        classes: number of classes.
        folded: without normalisations, as `fold` leaves it.
    """

    def __init__(self, classes: int, *, folded: bool = False) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.pyramid = Pyramid()
        self.heads = nn.ModuleList([Head(width, classes) for width in WIDTHS[2:]])
        self.folded = False
        if folded:
            self.fold()

    def fold(self) -> None:
        """Merge every normalisation into its convolution: the same function, a fifth faster to train.

        For fine-tuning, where the statistics are to stay as they are anyway.
        """
        for module in self.modules():
            if isinstance(module, ConvUnit):
                module.fold()
        self.folded = True

    def forward(self, pictures: Tensor) -> Tensor:
        levels = self.pyramid(*self.backbone(pictures))
        outputs = [head(level) for head, level in zip(self.heads, levels, strict=True)]
        return torch.cat(outputs, dim=2).transpose(1, 2)


def grid(width: int, height: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Corners (cells, 2) in cells and strides (cells,) of an input of width x height pixels."""
    corners, strides = [], []
    for stride in STRIDES:
        y, x = torch.meshgrid(
            torch.arange(height // stride), torch.arange(width // stride), indexing="ij"
        )
        corners.append(torch.stack([x.flatten(), y.flatten()], dim=1))
        strides.append(torch.full((corners[-1].shape[0],), stride))
    return torch.cat(corners).float().to(device), torch.cat(strides).float().to(device)


def boxes_of(raw: Tensor, corners: Tensor, strides: Tensor) -> Tensor:
    """Raw numbers (..., cells, 4+) -> xyxy (..., cells, 4) in input pixels."""
    centre = (raw[..., :2] + corners) * strides[:, None]
    half = raw[..., 2:4].clamp(max=10).exp() * strides[:, None] / 2
    return torch.cat([centre - half, centre + half], dim=-1)
