"""The lane network: lane paint and drivable area of a road picture, a slimmed TwinLiteNet.

TwinLiteNet (Che et al. 2023, arXiv:2307.10705) is ESPNet's encoder (Mehta et al. 2018, arXiv:1803.06815)
with dual attention and two small decoders. Seven tenths of its time go into one 131-channel convolution,
an attention over all pairs of places and activations that no runtime fuses. Here

- that convolution is two thin ones around a core of `CORE` channels (Kim et al. 2016, arXiv:1511.06530),
  and the widest of the others has a thin one before it;
- the attention over places is gone (in the published weights its factor is 4e-20), the one over channels
  is a fixed mixture that its convolution takes in, so every place is computed from its surroundings alone
  and any input size will do;
- parametric rectifiers are plain ones (their published slopes are near zero);
- layers have 16, 32 or 128 channels, of which processors compute 16 at a time; the picture averaged to
  half and quarter size is no longer put beside them;
- the decoders end at half resolution with one logit each.

`engines.nets.twinlite` starts it from the public weights. The code is the project's own.

Pictures are RGB (B, 3, H, W) float 0..1, H and W multiples of 32; the result is (B, 2, H/2, W/2) logits:
drivable area, lane paint.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

FIRST = 16
CORE = 32
GATHER = 64
DEEP = 128
OUTPUTS = ("drivable", "lane")
STRIDE = 2
EPS = 1e-3


class ConvUnit(nn.Module):
    """Convolution, batch normalisation, rectifier; `fold` merges the first two."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, act: bool = True
    ) -> None:
        super().__init__()
        self.conv: nn.Conv2d = nn.Conv2d(
            channels_in, channels_out, kernel, stride, kernel // 2, bias=False
        )
        self.norm: nn.Module = nn.BatchNorm2d(channels_out, eps=EPS)
        self.act: nn.Module = nn.ReLU(inplace=True) if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))

    @torch.no_grad()
    def fold(self) -> None:
        """Make the normalisation, with the statistics it has, part of the convolution."""
        norm = self.norm
        if not isinstance(norm, nn.BatchNorm2d):
            return
        assert norm.running_var is not None and norm.running_mean is not None
        factor = norm.weight / (norm.running_var + norm.eps).sqrt()
        self.conv.weight.mul_(factor[:, None, None, None])
        self.conv.bias = nn.Parameter(norm.bias - norm.running_mean * factor)
        self.norm = nn.Identity()


class Spread(nn.Module):
    """ESPNet's spatial pyramid: one thin convolution seen at five dilations, summed up step by step.

    Args:
        thin: channels of the first convolution.
        first, width: channels of the undilated and of each dilated convolution.
        shortcut: add the input.
    """

    def __init__(
        self,
        channels_in: int,
        *,
        thin: int,
        first: int,
        width: int,
        stride: int = 1,
        shortcut: bool = True,
    ) -> None:
        super().__init__()
        kernel = 3 if stride == 2 else 1
        self.reduce = nn.Conv2d(channels_in, thin, kernel, stride, kernel // 2, bias=False)
        self.plain = nn.Conv2d(thin, first, 3, padding=1, bias=False)
        self.dilated = nn.ModuleList(
            nn.Conv2d(thin, width, 3, padding=d, dilation=d, bias=False) for d in (2, 4, 8, 16)
        )
        self.norm = nn.BatchNorm2d(first + 4 * width, eps=EPS)
        self.act = nn.ReLU(inplace=True)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        thin = self.reduce(x)
        parts = [self.plain(thin)]
        total = None
        for layer in self.dilated:
            wider = layer(thin)
            total = wider if total is None else total + wider
            parts.append(total)
        joined = torch.cat(parts, dim=1)
        return self.act(self.norm(joined + x if self.shortcut else joined))


class Rise(nn.Module):
    """A 2x2 transposed convolution to twice the size, normalised and rectified."""

    def __init__(self, channels_in: int, channels_out: int, *, groups: int = 1) -> None:
        super().__init__()
        self.deconv = nn.ConvTranspose2d(
            channels_in, channels_out, 2, stride=2, groups=groups, bias=False
        )
        self.norm: nn.Module = nn.BatchNorm2d(channels_out, eps=EPS)
        self.act = nn.ReLU(inplace=True)
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.deconv(x)))

    @torch.no_grad()
    def fold(self) -> None:
        """As `ConvUnit.fold`."""
        norm = self.norm
        if not isinstance(norm, nn.BatchNorm2d):
            return
        assert norm.running_var is not None and norm.running_mean is not None
        factor = norm.weight / (norm.running_var + norm.eps).sqrt()
        weight = self.deconv.weight
        inputs, per_group = weight.shape[:2]
        # Rows of a transposed convolution's weight are inputs, so its outputs are scaled group by group.
        scale = factor.view(self.groups, 1, per_group).expand(-1, inputs // self.groups, -1)
        weight.mul_(scale.reshape(inputs, per_group)[:, :, None, None])
        self.deconv.bias = nn.Parameter(norm.bias - norm.running_mean * factor)
        self.norm = nn.Identity()


class LanesNet(nn.Module):
    """See the module's description."""

    def __init__(self) -> None:
        super().__init__()
        self.first = ConvUnit(3, FIRST, 3, stride=2)
        self.second = ConvUnit(FIRST, FIRST, 3)
        self.down2 = Spread(FIRST, thin=12, first=16, width=12, stride=2, shortcut=False)
        self.level2 = nn.ModuleList(Spread(64, thin=12, first=16, width=12) for _ in range(2))
        self.squeeze = ConvUnit(DEEP, CORE, 1, act=False)
        self.core = ConvUnit(CORE, CORE, 3, act=False)
        self.widen = ConvUnit(CORE, DEEP, 1)
        self.down3 = Spread(DEEP, thin=28, first=28, width=25, stride=2, shortcut=False)
        self.level3 = nn.ModuleList(Spread(DEEP, thin=28, first=28, width=25) for _ in range(3))
        self.gather = ConvUnit(2 * DEEP, GATHER, 1, act=False)
        self.join = ConvUnit(GATHER, 32, 3)
        self.context = ConvUnit(32, 64, 3)
        self.merge = ConvUnit(64, 32, 1)
        # Both decoders side by side: the first half of the channels is the drivable area's.
        self.rise1 = Rise(32, 32)
        self.rise2 = Rise(32, 16, groups=2)
        self.head = nn.Conv2d(16, len(OUTPUTS), 1, groups=2)

    def forward(self, pictures: Tensor) -> Tensor:
        x = self.down2(self.second(self.first(pictures)))
        deep = x
        for block in self.level2:
            deep = block(deep)
        x = self.widen(self.core(self.squeeze(torch.cat([deep, x], dim=1))))
        x = self.down3(x)
        deep = x
        for block in self.level3:
            deep = block(deep)
        x = self.join(self.gather(torch.cat([x, deep], dim=1)))
        x = self.merge(self.context(x))
        return self.head(self.rise2(self.rise1(x)))

    def fold(self) -> None:
        """Merge every normalisation that follows a convolution into it, for the export."""
        for module in self.modules():
            if isinstance(module, (ConvUnit, Rise)):
                module.fold()

    @property
    def folded(self) -> bool:
        """Whether `fold` was called."""
        return not isinstance(self.first.norm, nn.BatchNorm2d)


def settle(net: LanesNet, pictures: Tensor) -> None:
    """Give normalisations that are only a bias the statistics of pictures; the function stays.

    Args:
        pictures: (N, 3, H, W), as the network takes them.
    """
    sums: dict[ConvUnit | Rise, list[tuple[Tensor, Tensor]]] = {}
    hooks = []
    for unit in net.modules():
        if isinstance(unit, (ConvUnit, Rise)) and _untouched(unit.norm):

            def note(_: nn.Module, __: object, y: Tensor, unit: ConvUnit | Rise = unit) -> None:
                moments = y.mean(dim=(0, 2, 3)), (y**2).mean(dim=(0, 2, 3))
                sums.setdefault(unit, []).append(moments)

            layer = unit.conv if isinstance(unit, ConvUnit) else unit.deconv
            hooks.append(layer.register_forward_hook(note))
    training = net.training
    net.eval()
    for picture in pictures:
        net(picture[None])
    net.train(training)
    for hook in hooks:
        hook.remove()
    for unit, moments in sums.items():
        norm = unit.norm
        assert isinstance(norm, nn.BatchNorm2d)
        mean = torch.stack([first for first, _ in moments]).mean(dim=0)
        variance = torch.stack([second for _, second in moments]).mean(dim=0) - mean**2
        variance = variance.clamp(min=1e-6)
        norm.running_mean = mean
        norm.running_var = variance
        factor = norm.weight / (1 + norm.eps) ** 0.5
        norm.weight.copy_(factor * (variance + norm.eps).sqrt())
        norm.bias.add_(factor * mean)


def _untouched(norm: nn.Module) -> bool:
    """Whether a normalisation has no statistics yet: mean 0, variance 1."""
    if not isinstance(norm, nn.BatchNorm2d):
        return False
    assert norm.running_mean is not None and norm.running_var is not None
    return bool((norm.running_mean == 0).all() and (norm.running_var == 1).all())
