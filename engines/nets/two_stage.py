"""The two-stage road detector: proposals, then a second look at each of a fixed number of them.

First stage: the one-stage detector (`engines.nets.road`) proposes. Second stage: features of the three
pyramid levels, brought to one map, are cut out under every proposal (RoIAlign) and a small box head scores
the classes again and corrects the box.

- Ren et al., "Faster R-CNN", arXiv:1506.01497: proposals, box head, class-agnostic corrections.
- He et al., "Mask R-CNN", arXiv:1703.06870, section 3: RoIAlign.
- Liu et al., "Path Aggregation Network", arXiv:1803.01534, section 3.2: every proposal sees all levels.
- Zhou et al., "Objects as Points", arXiv:1904.07850, section 3: a local maximum instead of suppression.
- Zhou et al., "Probabilistic two-stage detection", arXiv:2103.07461: a one-stage detector proposes, and both
  stages' scores count.

Every shape is fixed by the input's size, the batch and the number of proposals: nothing in the graph depends on
what is in the picture, so TensorRT can take it. Suppression of duplicates is the decoder's.

The network takes what `RoadNet` takes and returns (B, proposals, 4 + 2 * classes): xyxy in input pixels, the
first stage's score of every class, the second stage's score of every class, all in 0..1. Best proposal first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import roi_align

from engines.nets.road import PRIOR, STRIDES, WIDTHS, RoadNet, boxes_of, grid, separable

PROPOSALS = 128
CHANNELS = 64  # of the map that proposals are cut from
POOLED = 7  # cells a side of a proposal's features
SAMPLES = 2  # a side, in each of those cells
HIDDEN = 192
# A cell that is no local maximum ranks behind peaks of a twentieth of its score: the fixed number of
# proposals is spent on different objects, and what is left of it on their neighbours.
NO_PEAK = 0.05
# Fast R-CNN's scale of corrections (arXiv:1504.08083, section 2.3; the usual deviations 0.1 and 0.2).
BOX_SCALE = (0.1, 0.1, 0.2, 0.2)


class Merge(nn.Module):
    """Three pyramid levels -> one map of CHANNELS at stride 8."""

    def __init__(self) -> None:
        super().__init__()
        self.laterals = nn.ModuleList([nn.Conv2d(width, CHANNELS, 1) for width in WIDTHS[2:]])

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        merged = self.laterals[0](levels[0])
        for number in (1, 2):
            coarse = self.laterals[number](levels[number])
            merged = merged + functional.interpolate(
                coarse, scale_factor=float(2**number), mode="bilinear", align_corners=False
            )
        return merged


class BoxHead(nn.Module):
    """Features of proposals (R, CHANNELS, 7, 7) -> class logits (R, C) and box corrections (R, 4)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.tower = nn.Sequential(
            separable(CHANNELS, CHANNELS), separable(CHANNELS, CHANNELS, stride=2)
        )
        side = (POOLED + 1) // 2
        self.hidden = nn.Linear(CHANNELS * side * side, HIDDEN)
        self.act = nn.SiLU(inplace=True)
        self.classes = nn.Linear(HIDDEN, classes)
        self.box = nn.Linear(HIDDEN, 4)
        nn.init.constant_(self.classes.bias, float(torch.logit(torch.tensor(PRIOR))))
        nn.init.normal_(self.classes.weight, std=0.01)
        # No correction at first: the proposals' boxes are good already.
        nn.init.zeros_(self.box.weight)
        nn.init.zeros_(self.box.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.act(self.hidden(self.tower(x).flatten(1)))
        return self.classes(x), self.box(x)


class TwoStageNet(nn.Module):
    """See the module's description.

    Args:
        classes: number of classes.
        proposals: looked at twice, per picture.
        folded: first stage without normalisations, as `fold` leaves it.
    """

    def __init__(
        self, classes: int, *, proposals: int = PROPOSALS, folded: bool = False
    ) -> None:
        super().__init__()
        self.road = RoadNet(classes, folded=folded)
        self.merge = Merge()
        self.head = BoxHead(classes)
        self.proposals = proposals

    @property
    def folded(self) -> bool:
        """Whether the first stage has no normalisations of its own any more."""
        return self.road.folded

    def fold(self) -> None:
        """Merge the first stage's normalisations into its convolutions."""
        self.road.fold()

    def forward(self, pictures: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """`size`: (width, height) of the input, for an export whose every shape is a constant."""
        size = size or (pictures.shape[3], pictures.shape[2])
        levels, raw = self.first(pictures)
        boxes, scores = self.propose(raw, size)
        batch = boxes.shape[0]
        logits, corrections = self.second(self.merge(levels), indexed(boxes))
        refined = refine(boxes, corrections.reshape(batch, self.proposals, 4))
        again = logits.reshape(batch, self.proposals, -1).sigmoid()
        return torch.cat([refined, scores, again], dim=2)

    def first(self, pictures: Tensor) -> tuple[list[Tensor], Tensor]:
        """Pyramid levels, and raw numbers per cell (B, cells, 5 + C) as `RoadNet` returns them."""
        levels = self.road.pyramid(*self.road.backbone(pictures))
        outputs = [head(level) for head, level in zip(self.road.heads, levels, strict=True)]
        return levels, torch.cat(outputs, dim=2).transpose(1, 2)

    def propose(self, raw: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Boxes (B, P, 4) inside the picture and first scores (B, P, C) of the best cells, best first."""
        corners, strides = grid(*size, device=raw.device)
        limit = torch.tensor([size[0], size[1]] * 2, dtype=raw.dtype, device=raw.device)
        boxes = torch.minimum(boxes_of(raw, corners, strides).clamp(min=0), limit)
        scores = raw[..., 4:5].sigmoid() * raw[..., 5:].sigmoid()
        best = scores.amax(dim=2)
        rank = torch.where(best >= highest_near(best, size), best, best * NO_PEAK)
        chosen = rank.topk(self.proposals, dim=1).indices
        rows = torch.cat([boxes, scores], dim=2)
        rows = rows.gather(1, chosen[:, :, None].expand(-1, -1, rows.shape[2]))
        return rows[..., :4], rows[..., 4:]

    def second(self, merged: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits (R, C) and corrections (R, 4) of rois (R, 5): picture of the batch, xyxy."""
        features = roi_align(
            merged,
            rois,
            (POOLED, POOLED),
            spatial_scale=1 / STRIDES[0],
            sampling_ratio=SAMPLES,
            aligned=True,
        )
        logits, corrections = self.head(features)
        return logits, corrections


def highest_near(best: Tensor, size: tuple[int, int]) -> Tensor:
    """The highest score (B, cells) among each cell and its eight neighbours on its level."""
    found, start = [], 0
    for stride in STRIDES:
        width, height = size[0] // stride, size[1] // stride
        level = best[:, start : start + width * height].reshape(-1, 1, height, width)
        found.append(functional.max_pool2d(level, 3, stride=1, padding=1).flatten(1))
        start += width * height
    return torch.cat(found, dim=1)


def indexed(boxes: Tensor) -> Tensor:
    """Boxes (B, P, 4) -> rois (B * P, 5) whose first column says which picture."""
    batch, number = int(boxes.shape[0]), int(boxes.shape[1])
    picture = torch.arange(batch, dtype=boxes.dtype, device=boxes.device)
    picture = picture[:, None].expand(batch, number).reshape(-1, 1)
    return torch.cat([picture, boxes.reshape(-1, 4)], dim=1)


def refine(boxes: Tensor, corrections: Tensor) -> Tensor:
    """Corrected boxes (..., 4): shifts in sides, growth in logarithms (Faster R-CNN, equation 2)."""
    scaled = corrections * torch.tensor(BOX_SCALE, dtype=boxes.dtype, device=boxes.device)
    sides = boxes[..., 2:] - boxes[..., :2]
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2 + scaled[..., :2] * sides
    half = sides * scaled[..., 2:].clamp(-1, 1).exp() / 2
    return torch.cat([centre - half, centre + half], dim=-1)
