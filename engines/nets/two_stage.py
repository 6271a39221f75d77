"""The two-stage road detector: proposals, then a second look at each of a fixed number of them.

First stage: the one-stage detector (`engines.nets.road`) proposes. Second stage: features of the three
pyramid levels, brought to one map, are cut out under every proposal (RoIAlign) and a small box head scores
the classes again and corrects the box.

- Ren et al., "Faster R-CNN", arXiv:1506.01497: proposals, box head, class-agnostic corrections.
- He et al., "Mask R-CNN", arXiv:1703.06870, section 3: RoIAlign.
- Liu et al., "Path Aggregation Network", arXiv:1803.01534, section 3.2: every proposal sees all levels.
- Bolya et al., "YOLACT", arXiv:1904.02689, section 3.4: suppression of duplicates as one matrix ("Fast NMS").
- Zhou et al., "Probabilistic two-stage detection", arXiv:2103.07461: a one-stage detector proposes, and both
  stages' scores count.

Every shape is fixed by the input's size, the batch and the number of proposals: nothing in the graph depends on
what is in the picture, so TensorRT can take it. The last suppression of duplicates is the decoder's.

The network takes what `RoadNet` takes and returns (B, proposals, 4 + 2 * classes): xyxy in input pixels, the
first stage's score of every class, the second stage's score of every class, all in 0..1. Best proposal first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import roi_align

from engines.nets.road import PRIOR, STRIDES, WIDTHS, ConvUnit, RoadNet, boxes_of, grid, separable

PROPOSALS = 128
CANDIDATES = 300  # best cells, among which duplicates are looked for
# IoU with a better candidate that makes a duplicate. Faster R-CNN (section 3.3) takes 0.7; here the last suppression
# comes after the second stage, and cars in a row overlap.
SAME = 0.8
# A duplicate ranks behind anything of a twentieth of its score: the fixed number of proposals is spent on
# different objects, and what is left of it on second boxes of the same.
DUPLICATE = 0.05
CHANNELS = 64  # of the map that proposals are cut from
POOLED = 7  # cells a side of a proposal's features
# Samples a side in each of those cells: "results are not sensitive to how many points are sampled"
# (Mask R-CNN, section 3), and on a CPU they cost more than the box head.
SAMPLES = 1
HIDDEN = 192
LEAST = 1e-4  # a first score that counts as none
# Fast R-CNN's scale of corrections (arXiv:1504.08083, section 2.3; the usual deviations 0.1 and 0.2).
SHIFT, GROWTH = 0.1, 0.2


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
        stacked: the box head's logits are added to those of the first stage's scores: it learns what the first
            stage got wrong. Otherwise it scores by itself, and the decoder joins both.

    Attributes:
        size: (width, height) of the input, for an export whose every shape is a constant; None takes
            any size that is a multiple of 32.
    """

    def __init__(self, classes: int, *, proposals: int = PROPOSALS, stacked: bool = False) -> None:
        super().__init__()
        self.road = RoadNet(classes)
        self.merge = Merge()
        self.head = BoxHead(classes)
        self.stacked = stacked
        if stacked:  # no opinion at first
            nn.init.zeros_(self.head.classes.weight)
            nn.init.zeros_(self.head.classes.bias)
        self.proposals = proposals
        self.folded = False
        self.size: tuple[int, int] | None = None

    def fold(self) -> None:
        """Merge every normalisation into its convolution."""
        self.road.fold()
        for module in self.head.modules():
            if isinstance(module, ConvUnit):
                module.fold()
        self.folded = True

    def forward(self, pictures: Tensor) -> Tensor:
        size = self.size or (pictures.shape[3], pictures.shape[2])
        levels, raw = self.first(pictures)
        boxes, scores = self.propose(raw, size)
        logits, corrections = self.second(self.merge(levels), indexed(boxes.unbind()))
        refined = refine(boxes, corrections.reshape(-1, self.proposals, 4))
        logits = logits.reshape(-1, self.proposals, scores.shape[2])
        if self.stacked:
            logits = logits + logit(scores)
        return torch.cat([refined, scores, logits.sigmoid()], dim=2)

    def first(self, pictures: Tensor) -> tuple[list[Tensor], Tensor]:
        """Pyramid levels, and raw numbers per cell (B, cells, 5 + C) as `RoadNet` returns them."""
        levels = self.road.pyramid(*self.road.backbone(pictures))
        outputs = [head(level) for head, level in zip(self.road.heads, levels, strict=True)]
        return levels, torch.cat(outputs, dim=2).transpose(1, 2)

    def propose(self, raw: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Boxes (B, P, 4) inside the picture and first scores (B, P, C) of the best cells, best first."""
        corners, strides = grid(*size, device=raw.device)
        boxes = inside(boxes_of(raw, corners, strides), size)
        scores = raw[..., 4:5].sigmoid() * raw[..., 5:].sigmoid()
        rows = torch.cat([boxes, scores], dim=2)
        number = min(CANDIDATES, int(raw.shape[1]))
        rows = taken(rows, scores.amax(dim=2).topk(number, dim=1).indices)
        best = rows[..., 4:].amax(dim=2)
        twice = overlaps(rows[..., :4]).triu(1).amax(dim=1) > SAME
        rank = torch.where(twice, best * DUPLICATE, best)
        rows = taken(rows, rank.topk(self.proposals, dim=1).indices)
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


def inside(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (..., 4) cut to an input of (width, height)."""
    x, y = boxes[..., 0::2].clamp(0, size[0]), boxes[..., 1::2].clamp(0, size[1])
    return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], dim=-1)


def logit(scores: Tensor) -> Tensor:
    """Of scores in 0..1, kept finite."""
    kept = scores.clamp(LEAST, 1 - LEAST)
    return (kept / (1 - kept)).log()


def taken(rows: Tensor, chosen: Tensor) -> Tensor:
    """Rows (B, N, K) -> those chosen (B, M), (B, M, K)."""
    # One flat gather: the same for a batch of one and of many, and plain enough for any runtime.
    batch, number = int(rows.shape[0]), int(rows.shape[1])
    first = torch.arange(batch, device=rows.device)[:, None] * number
    flat = rows.reshape(batch * number, -1).index_select(0, (chosen + first).reshape(-1))
    return flat.reshape(batch, int(chosen.shape[1]), -1)


def overlaps(boxes: Tensor) -> Tensor:
    """IoU (B, N, N) of the boxes (B, N, 4) of each picture among themselves."""
    # By coordinate: a last axis of two is slow on most runtimes.
    x1, y1, x2, y2 = boxes[:, :, None].unbind(3)
    u1, v1, u2, v2 = boxes[:, None].unbind(3)
    width = (torch.minimum(x2, u2) - torch.maximum(x1, u1)).clamp(min=0)
    height = (torch.minimum(y2, v2) - torch.maximum(y1, v1)).clamp(min=0)
    common = width * height
    area = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1)
    return common / (area - common).clamp(min=1e-6)


def indexed(boxes: Sequence[Tensor]) -> Tensor:
    """Boxes of each picture, (R_i, 4) -> rois (R, 5) whose first column says which picture."""
    rois = [
        torch.cat([own.new_full((int(own.shape[0]), 1), number), own], dim=1)
        for number, own in enumerate(boxes)
    ]
    return torch.cat(rois)


def refine(boxes: Tensor, corrections: Tensor) -> Tensor:
    """Corrected boxes (..., 4): shifts in sides, growth in logarithms (Faster R-CNN, equation 2)."""
    sides = boxes[..., 2:] - boxes[..., :2]
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2 + corrections[..., :2] * SHIFT * sides
    half = sides * (corrections[..., 2:] * GROWTH).clamp(-1, 1).exp() / 2
    return torch.cat([centre - half, centre + half], dim=-1)
