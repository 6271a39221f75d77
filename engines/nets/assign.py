"""SimOTA: which cells learn which labelled box.

Ge et al., "YOLOX", arXiv:2107.08430, section 2.1 (SimOTA) and Ge et al., "OTA: Optimal Transport
Assignment", arXiv:2103.14259, section 3.3 (dynamic k). The code is the project's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

CENTRE_RADIUS = 2.5  # cells, around a box's centre
TOP_IOU = 10  # candidates whose IoU sum gives k
IOU_WEIGHT = 3.0
OUTSIDE = 1e5


@dataclass(frozen=True)
class Assignment:
    """`cells` (P,) learn the boxes `labels` (P,); `iou` (P,) is that of their present prediction."""

    cells: Tensor
    labels: Tensor
    iou: Tensor


@torch.no_grad()
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
    device = predicted.device
    if len(truth) == 0:
        empty = torch.zeros(0, dtype=torch.long, device=device)
        return Assignment(empty, empty, torch.zeros(0, device=device))
    centre = (corners + 0.5) * strides[:, None]
    offset = centre[None] - (truth[:, None, :2] + truth[:, None, 2:]) / 2
    near = (offset.abs() < CENTRE_RADIUS * strides[None, :, None]).all(-1)
    inside = ((centre[None] > truth[:, None, :2]) & (centre[None] < truth[:, None, 2:])).all(-1)
    # Candidates: cells inside or near any box. Those both inside and near their box come first.
    candidates = (near | inside).any(0).nonzero().squeeze(1)
    preferred = (near & inside)[:, candidates]
    overlap = box_iou(truth, predicted[candidates])
    score = torch.where(
        allowed[:, None, :], probability[None, candidates], probability.new_zeros(())
    ).amax(-1)
    # Class cost: cross entropy of the best allowed class; the others add the same for every box.
    other = (-torch.log1p(-probability[candidates].clamp(max=1 - 1e-6))).sum(-1)
    chosen = score.clamp(1e-6, 1 - 1e-6)
    class_cost = other[None] + torch.log1p(-chosen) - torch.log(chosen)
    cost = class_cost - IOU_WEIGHT * torch.log(overlap.clamp(min=1e-8)) + OUTSIDE * ~preferred
    number = min(TOP_IOU, len(candidates))
    ks = overlap.topk(number, dim=1).values.sum(1).int().clamp(min=1)
    match = torch.zeros_like(cost, dtype=torch.bool)
    order = cost.argsort(dim=1)[:, : int(ks.max())]
    rank = torch.arange(order.shape[1], device=device)
    match.scatter_(1, order, rank[None] < ks[:, None])
    # A cell wanted by several boxes goes to the cheapest.
    several = match.sum(0) > 1
    if several.any():
        best = cost[:, several].argmin(0)
        match[:, several] = False
        match[best, several.nonzero().squeeze(1)] = True
    labels, columns = match.nonzero(as_tuple=True)
    return Assignment(candidates[columns], labels, overlap[labels, columns])
