"""What a camera and a detector do to a crop, on whole batches and on the device that trains.

Every random number comes from a generator on the CPU, so a batch is a function of its seed on every device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

# JPEG's luminance table (ITU-T T.81, table K.1), used for every channel: the colours of signs are large.
_TABLE = torch.tensor(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    dtype=torch.float32,
)
_KERNEL = 7


class Spoiler:
    """Moves, turns, relights, blurs and compresses crops.

    Args:
        side: of the crops that come out.
        mirrored: (C,) what each class is when mirrored, -1 for never.
        quarter_turns: share of crops that are laid on their side: lights hang either way, signs never.
        aspect: spread of the aspect (a logarithm).
        shift: spread of the place, in halves of a side.
        strength: of everything, 1 as tuned on GTSRB.
    """

    def __init__(
        self,
        side: int,
        mirrored: Tensor,
        *,
        quarter_turns: float = 0.0,
        aspect: float = 0.06,
        shift: float = 0.1,
        strength: float = 1.0,
    ) -> None:
        self.side = side
        self.mirrored = mirrored
        self.quarter_turns = quarter_turns
        self.aspect = aspect
        self.shift = shift
        self.strength = strength

    def moved(
        self,
        pictures: Tensor,
        labels: Tensor,
        rng: torch.Generator,
        *,
        extent: float,
        widen: float,
    ) -> tuple[Tensor, Tensor]:
        """Crops (B, s, s, 3) uint8 -> (B, 3, S, S) float32 0..1 and their labels, some mirrored."""
        count, device = len(labels), pictures.device
        k = self.strength

        def normal(spread: float, *shape: int) -> Tensor:
            return torch.randn(count, *shape, generator=rng) * (spread * k)

        targets = self.mirrored[labels]
        flip = (torch.rand(count, generator=rng) < 0.5) & (targets >= 0)
        angle = normal(0.1)
        turned = torch.rand(count, generator=rng) < self.quarter_turns
        side_of = torch.randint(0, 2, (count,), generator=rng) * 2 - 1
        angle = angle + turned * side_of * (math.pi / 2)
        scale = torch.exp(normal(0.1)) * widen ** torch.rand(count, generator=rng)
        aspect = torch.exp(normal(self.aspect))
        c, s = torch.cos(angle) * scale, torch.sin(angle) * scale
        shear = normal(0.06)
        matrix = torch.stack([c * aspect, -s + shear, s * aspect, c], 1).view(count, 2, 2)
        matrix[:, :, 0] *= torch.where(flip, -1.0, 1.0)[:, None]
        shift, tilt = normal(self.shift, 2), normal(0.06, 2)
        line = (torch.arange(self.side) + 0.5) * (2 / self.side) - 1
        y, x = torch.meshgrid(line, line, indexing="ij")
        grid = torch.stack([x, y], -1).view(1, -1, 2).to(device)
        matrix, shift, tilt = (value.to(device) for value in (matrix, shift, tilt))
        places = grid @ matrix.transpose(1, 2) + shift[:, None]
        places = places / (1 + (grid @ tilt[:, :, None]))
        places = (places * extent).view(count, self.side, self.side, 2)
        sources = pictures.permute(0, 3, 1, 2).float() / 255
        moved = functional.grid_sample(
            sources, places, mode="bilinear", padding_mode="border", align_corners=False
        )
        return moved, torch.where(flip, targets, labels)

    def spoiled(self, pictures: Tensor, rng: torch.Generator) -> Tensor:
        """Crops (B, 3, S, S) 0..1 -> as a worse camera in another light gives them, 0..1."""
        pictures = self._relit(pictures, rng)
        pictures = _some(pictures, 0.35, rng, self._blurred)
        for _ in range(3):
            pictures = _some(pictures, 0.12, rng, self._shrunk)
        pictures = _some(pictures, 0.3, rng, _compressed)
        noise = torch.rand(len(pictures), 1, 1, 1, generator=rng) * (0.03 * self.strength)
        seed = torch.Generator(pictures.device)
        seed.manual_seed(int(torch.randint(0, 2**62, (), generator=rng)))
        grain = torch.randn(pictures.shape, generator=seed, device=pictures.device)
        pictures = pictures + grain * noise.to(pictures.device)
        return _some(pictures.clamp(0, 1), 0.15, rng, self._covered)

    def _relit(self, pictures: Tensor, rng: torch.Generator) -> Tensor:
        count, device = len(pictures), pictures.device
        k = self.strength

        def factor(spread: float, *shape: int) -> Tensor:
            drawn = torch.exp(torch.randn(count, *shape, generator=rng) * (spread * k))
            return drawn.view(count, *(shape or (1,)), 1, 1).to(device)

        grey = pictures.mean(1, keepdim=True)
        pictures = grey + (pictures - grey) * factor(0.25)
        level = pictures.mean((1, 2, 3), keepdim=True)
        pictures = level + (pictures - level) * factor(0.25)
        pictures = pictures.clamp(1e-3, 1) ** factor(0.3)
        dark = torch.where(torch.rand(count, generator=rng) < 0.12, 0.35, 1.0).view(-1, 1, 1, 1)
        pictures = pictures * factor(0.35) * factor(0.07, 3) * dark.to(device)
        slope = (torch.randn(count, 2, generator=rng) * (0.2 * k)).to(device)
        line = torch.linspace(-1, 1, self.side, device=device)
        light = slope[:, :1, None] * line[:, None] + slope[:, 1:, None] * line[None]
        pictures = pictures * (1 + light[:, None])
        haze = (torch.rand(count, generator=rng) - 0.6).clamp(0).view(-1, 1, 1, 1).to(device)
        tone = torch.rand(count, 1, 1, 1, generator=rng).to(device)
        return (pictures + (tone - pictures) * haze).clamp(0, 1)

    def _blurred(self, pictures: Tensor, rng: torch.Generator) -> Tensor:
        """Out of focus, or moved while the shutter was open."""
        count = len(pictures)
        line = torch.arange(_KERNEL) - _KERNEL // 2
        y, x = torch.meshgrid(line.float(), line.float(), indexing="ij")
        angle = torch.rand(count, 1, 1, generator=rng) * math.pi
        along = x * torch.cos(angle) + y * torch.sin(angle)
        across = y * torch.cos(angle) - x * torch.sin(angle)
        # One Gaussian for both: long and thin is motion, round is focus.
        first = 0.4 + 1.6 * self.strength * torch.rand(count, 1, 1, generator=rng)
        round_ = torch.rand(count, 1, 1, generator=rng) < 0.5
        second = torch.where(round_, first, torch.tensor(0.4))
        kernel = torch.exp(-0.5 * ((along / first) ** 2 + (across / second) ** 2))
        kernel = (kernel / kernel.sum((1, 2), keepdim=True)).to(pictures.device)
        edge = _KERNEL // 2
        padded = functional.pad(pictures, (edge,) * 4, mode="replicate")
        joined = padded.reshape(1, count * 3, *padded.shape[2:])
        weight = kernel[:, None].repeat_interleave(3, 0)
        return functional.conv2d(joined, weight, groups=count * 3).view_as(pictures)

    def _shrunk(self, pictures: Tensor, rng: torch.Generator) -> Tensor:
        """Seen from far: fewer pixels, enlarged again."""
        least = max(4, self.side // 4)
        small = int(torch.randint(least, self.side, (), generator=rng))
        few = functional.interpolate(pictures, (small, small), mode="area")
        return functional.interpolate(
            few, (self.side, self.side), mode="bilinear", align_corners=False
        )

    def _covered(self, pictures: Tensor, rng: torch.Generator) -> Tensor:
        """A leaf, a pole, a sticker: a rectangle of one tone (DeVries and Taylor, arXiv:1708.04552)."""
        count = len(pictures)
        size = (0.12 + 0.23 * torch.rand(count, 2, 1, generator=rng)) * self.side
        corner = torch.rand(count, 2, 1, generator=rng) * (self.side - size)
        line = torch.arange(self.side)
        inside = (line >= corner) & (line < corner + size)
        mask = (inside[:, 0, :, None] & inside[:, 1, None])[:, None].to(pictures.device)
        tone = torch.rand(count, 3, 1, 1, generator=rng).to(pictures.device)
        return torch.where(mask, tone, pictures)


def amber(pictures: Tensor, chosen: Tensor, rng: torch.Generator) -> Tensor:
    """Repaint the `chosen` (B,) crops (B, s, s, 3) uint8 BGR: what is red becomes yellow, grey stays grey."""
    share = (0.7 + 0.25 * torch.rand(len(chosen), 1, 1, generator=rng)) * chosen[:, None, None]
    green, red = pictures[..., 1].float(), pictures[..., 2].float()
    painted = pictures.clone()
    painted[..., 1] = (green + share.to(green.device) * (red - green).clamp(min=0)).byte()
    return painted


def _some(pictures: Tensor, share: float, rng: torch.Generator, change: object) -> Tensor:
    """Change a random share of the crops."""
    count = round(share * len(pictures))
    order = torch.randperm(len(pictures), generator=rng)[:count]
    if not count:
        return pictures
    rows = order.to(pictures.device)
    assert callable(change)
    return pictures.index_copy(0, rows, change(pictures[rows], rng))


def _compressed(pictures: Tensor, rng: torch.Generator) -> Tensor:
    """JPEG's loss: 8x8 blocks' cosine coefficients, rounded by a quality of 15 to 80."""
    count, channels, side, _ = pictures.shape
    if side % 8:
        return pictures
    device = pictures.device
    quality = 15 + 65 * torch.rand(count, generator=rng)
    # The Independent JPEG Group's scale of its tables.
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    steps = (_TABLE[None] * scale[:, None, None]).clamp(min=1).to(device)[:, None, None, None] / 255
    basis = _cosines().to(device)
    cells = side // 8
    blocks = pictures.view(count, channels, cells, 8, cells, 8).permute(0, 1, 2, 4, 3, 5)
    spectrum = basis @ (blocks - 0.5) @ basis.T
    blocks = basis.T @ (torch.round(spectrum / steps) * steps) @ basis + 0.5
    return blocks.permute(0, 1, 2, 4, 3, 5).reshape(count, channels, side, side).clamp(0, 1)


def _cosines() -> Tensor:
    """(8, 8) orthonormal DCT-II."""
    n = torch.arange(8, dtype=torch.float32)
    basis = torch.cos(math.pi / 8 * (n[None] + 0.5) * n[:, None]) * 0.5
    basis[0] /= math.sqrt(2)
    return basis
