"""SimOTA: which cells learn which labelled box.

Ge et al., "YOLOX", arXiv:2107.08430, section 2.1 (SimOTA) and Ge et al., "OTA: Optimal Transport
Assignment", arXiv:2103.14259, section 3.3 (dynamic k). The code is the project's own: all pictures of a batch
at once, without a loop that a GPU would wait in.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CENTRE_RADIUS = 2.5  # cells, around a box's centre
TOP_IOU = 10  # candidates whose IoU sum gives k
IOU_WEIGHT = 3.0
OUTSIDE = 1e5


@dataclass(frozen=True)
class Assignment:
    """`cells` (P,) learn the boxes `labels` (P,); `iou` (P,) is that of their present prediction.

    Of a batch, `pictures` (P,) says in which picture.
    """

    cells: Tensor
    labels: Tensor
    iou: Tensor
    pictures: Tensor


def assign(
    predicted: Tensor,
    probability: Tensor,
    truth: Tensor,
    allowed: Tensor,
    corners: Tensor,
    strides: Tensor,
) -> Assignment:
    """Assign cells of one picture.

    Args:
        predicted: (A, 4) xyxy in input pixels, every cell's present box.
        probability: (A, C) every cell's present class scores.
        truth: (M, 4) labelled boxes.
        allowed: (M, C) bool, the classes each may be.
        corners: (A, 2), strides: (A,): see `engines.nets.road.grid`.
    """
    real = torch.ones(1, len(truth), dtype=torch.bool, device=predicted.device)
    return assign_batch(
        predicted[None], probability[None], truth[None], allowed[None], real, corners, strides
    )


@torch.no_grad()
def assign_batch(
    predicted: Tensor,
    probability: Tensor,
    truth: Tensor,
    allowed: Tensor,
    real: Tensor,
    corners: Tensor,
    strides: Tensor,
) -> Assignment:
    """Assign cells of B pictures; see `assign`.

    Args:
        predicted: (B, A, 4); probability: (B, A, C).
        truth: (B, M, 4), allowed: (B, M, C), padded.
        real: (B, M) bool, which rows of `truth` are no padding.
    """
    if truth.shape[1] == 0:
        empty = torch.zeros(0, dtype=torch.long, device=predicted.device)
        return Assignment(empty, empty, torch.zeros(0, device=predicted.device), empty)
    centre = (corners + 0.5) * strides[:, None]
    # (B, M, A) from here on.
    x, y = centre[:, 0], centre[:, 1]
    left, top, right, bottom = (side[..., None] for side in truth.unbind(-1))
    reach = CENTRE_RADIUS * strides
    near = ((x - (left + right) / 2).abs() < reach) & ((y - (top + bottom) / 2).abs() < reach)
    inside = (x > left) & (x < right) & (y > top) & (y < bottom)
    # Candidates: cells inside or near any box. Those both inside and near their box come first.
    near, inside = near & real[..., None], inside & real[..., None]
    candidate = (near | inside).any(1, keepdim=True) & real[..., None]
    overlap = _overlaps(truth, predicted) * candidate
    score = torch.zeros_like(overlap)
    for column in range(probability.shape[-1]):
        mine = probability[:, None, :, column] * allowed[:, :, None, column]
        torch.maximum(score, mine, out=score)
    # Class cost: cross entropy of the best allowed class; the others add the same for every box.
    other = (-torch.log1p(-probability.clamp(max=1 - 1e-6))).sum(-1)
    chosen = score.clamp(1e-6, 1 - 1e-6)
    class_cost = other[:, None] + torch.log1p(-chosen) - torch.log(chosen)
    cost = class_cost - IOU_WEIGHT * torch.log(overlap.clamp(min=1e-8))
    cost = cost + OUTSIDE * ~(near & inside)
    cost = cost.masked_fill(~candidate, float("inf"))
    number = min(TOP_IOU, cost.shape[-1])
    ks = overlap.topk(number, dim=-1).values.sum(-1).int().clamp(min=1)
    price, order = cost.topk(number, dim=-1, largest=False)
    rank = torch.arange(number, device=cost.device)
    match = torch.zeros_like(cost, dtype=torch.bool)
    match.scatter_(-1, order, (rank < ks[..., None]) & price.isfinite())
    # A cell wanted by several boxes goes to the cheapest.
    several = match.sum(1) > 1
    label = torch.where(several, cost.argmin(1), match.int().argmax(1))
    pictures, cells = match.any(1).nonzero(as_tuple=True)
    labels = label[pictures, cells]
    return Assignment(cells, labels, overlap[pictures, labels, cells], pictures)


def _overlaps(truth: Tensor, predicted: Tensor) -> Tensor:
    """IoU of (B, M, 4) with (B, A, 4): (B, M, A)."""
    left, top, right, bottom = (side[..., None] for side in truth.unbind(-1))
    x1, y1, x2, y2 = (side[:, None] for side in predicted.unbind(-1))
    width = (torch.minimum(right, x2) - torch.maximum(left, x1)).clamp(min=0)
    height = (torch.minimum(bottom, y2) - torch.maximum(top, y1)).clamp(min=0)
    both = width * height
    union = (right - left) * (bottom - top) + (x2 - x1) * (y2 - y1) - both
    return both / union.clamp(min=1e-9)
