"""Losses of the two face detectors.

Scores: varifocal loss (Zhang et al., arXiv:2008.13367, equation 2): what learns a face wants the IoU of its
box as score, with that as weight; the rest wants 0, with weight ALPHA * p ** GAMMA, and nothing where a
face may be that nobody labelled. Boxes: 1 - GIoU (Rezatofighi et al., arXiv:1902.09630). Landmarks:
smooth L1 of the distance over the face's size (Deng et al., "RetinaFace", arXiv:1905.00641, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import generalized_box_iou_loss

from engines.data.faces import Faces
from engines.nets.assign import assign_batch
from engines.nets.loss import ALPHA, BOX_WEIGHT, GAMMA, MIN_TARGET, log_score
from engines.nets.road import boxes_of, grid

POINT_WEIGHT = 1.0
POINT_SOFT = 0.05  # of the face's size; smaller errors count by their square
POSITIVE = 0.35  # IoU of an anchor with a face that it learns
FORCED = 3  # anchors that every face gets, if they overlap it by
FORCED_FROM = 0.15


def free_loss(
    raw: Tensor, faces: Faces, size: tuple[int, int], *, add_up: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """Losses of `engines.nets.face_free`; cells learn faces by SimOTA (`engines.nets.assign`).

    Args:
        raw: (B, cells, 16) float32.
        size: (width, height) of the input.
        add_up: sums what there is to learn over the processes that share the batch.
    """
    corners, strides = grid(*size, device=raw.device)
    boxes = boxes_of(raw, corners, strides)
    log_p = log_score(raw[..., :6])
    probability = log_p.detach().exp()
    one_class = faces.real[..., None]
    found = assign_batch(
        boxes.detach(), probability, faces.xyxy, one_class, faces.real, corners, strides
    )
    rows, cells = found.pictures, found.cells
    centre = (corners + 0.5) * strides[:, None]
    weight = ALPHA * probability[..., 0].pow(GAMMA) * ~_inside(centre, faces.ignore)
    truth = faces.xyxy[rows, found.labels]
    quality = found.iou.clamp(min=MIN_TARGET)
    box = (generalized_box_iou_loss(boxes[rows, cells], truth) * quality).sum()
    points = raw[rows, cells, 6:].unflatten(-1, (-1, 2))
    places = (points + corners[cells, None]) * strides[cells, None, None]
    sides = (truth[:, 2:] - truth[:, :2]).mean(-1).clamp(min=1.0)
    error = (places - faces.landmarks[rows, found.labels]) / sides[:, None, None]
    zero = torch.zeros_like(error)
    apart = functional.smooth_l1_loss(error, zero, beta=POINT_SOFT, reduction="none")
    marks = (apart.mean((1, 2)) * quality).sum()
    total = add_up(quality.sum()).clamp(min=1.0)
    log_not = torch.log(-torch.expm1(log_p.clamp(max=-1e-6)))
    scores = _scores(log_p[..., 0], log_not[..., 0], weight, rows, cells, quality) / total
    nothing = raw.sum() * 0
    box, marks = (box + nothing) / total, (marks + nothing) / total
    return {
        "total": scores + BOX_WEIGHT * box + POINT_WEIGHT * marks,
        "scores": scores.detach(),
        "boxes": box.detach(),
        "landmarks": marks.detach(),
    }


def anchor_loss(
    raw: Tensor,
    faces: Faces,
    anchors: Tensor,
    variances: tuple[float, float],
    *,
    add_up: Callable[[Tensor], Tensor],
) -> dict[str, Tensor]:
    """Losses of `engines.nets.face_anchor`.

    An anchor learns the face it overlaps most, from an IoU of POSITIVE on; every face gets its FORCED
    nearest anchors besides, so that tiny faces and those between two sizes learn too ("S3FD",
    arXiv:1708.05237, section 3.2).

    Args:
        raw: (B, A, 5) float32.
        anchors: (A, 4) centre and sides, pixels.
    """
    boxes = decoded(raw[..., :4], anchors, variances)
    placed = torch.cat(
        [anchors[:, :2] - anchors[:, 2:] / 2, anchors[:, :2] + anchors[:, 2:] / 2], 1
    )
    rows, cells, labels = match_anchors(placed, faces.xyxy, faces.real)
    truth = faces.xyxy[rows, labels]
    mine = boxes[rows, cells]
    quality = _iou(mine.detach(), truth).clamp(min=MIN_TARGET)
    box = (generalized_box_iou_loss(mine, truth) * quality).sum()
    logit = raw[..., 4]
    log_p, log_not = functional.logsigmoid(logit), functional.logsigmoid(-logit)
    weight = ALPHA * log_p.detach().exp().pow(GAMMA) * ~_inside(anchors[:, :2], faces.ignore)
    total = add_up(quality.sum()).clamp(min=1.0)
    scores = _scores(log_p, log_not, weight, rows, cells, quality) / total
    box = (box + raw.sum() * 0) / total
    return {
        "total": scores + BOX_WEIGHT * box,
        "scores": scores.detach(),
        "boxes": box.detach(),
    }


def decoded(deltas: Tensor, anchors: Tensor, variances: tuple[float, float]) -> Tensor:
    """Corrections (..., A, 4) of anchors -> xyxy in pixels."""
    centre = anchors[:, :2] + deltas[..., :2] * variances[0] * anchors[:, 2:]
    half = anchors[:, 2:] * (deltas[..., 2:] * variances[1]).clamp(max=10).exp() / 2
    return torch.cat([centre - half, centre + half], dim=-1)


@torch.no_grad()
def match_anchors(anchors: Tensor, truth: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(picture, anchor, face) of what learns; anchors (A, 4) and truth (B, M, 4) are xyxy.

    Args:
        real: (B, M) bool, which rows of `truth` are no padding.
    """
    if truth.shape[1] == 0:
        none = torch.zeros(0, dtype=torch.long, device=truth.device)
        return none, none, none
    overlap = _iou(anchors[None, :, None], truth[:, None]) * real[:, None]
    best, label = overlap.max(dim=2)
    value, anchor = overlap.topk(min(FORCED, overlap.shape[1]), dim=1)
    # The best of the forced ones is written last: it wins where two faces want one anchor.
    for rank in reversed(range(value.shape[1])):
        wanted = value[:, rank] > FORCED_FROM
        picture, face = wanted.nonzero(as_tuple=True)
        chosen = anchor[picture, rank, face]
        label[picture, chosen] = face
        best[picture, chosen] = 1.0
    pictures, cells = (best >= POSITIVE).nonzero(as_tuple=True)
    return pictures, cells, label[pictures, cells]


def _scores(
    log_p: Tensor, log_not: Tensor, weight: Tensor, rows: Tensor, cells: Tensor, quality: Tensor
) -> Tensor:
    """Varifocal loss, summed; `weight` is that of what learns no face."""
    goal = torch.zeros_like(log_p)
    goal[rows, cells] = quality
    weight = weight.clone()
    weight[rows, cells] = quality
    return -(weight * (goal * log_p + (1 - goal) * log_not)).sum()


def _inside(centre: Tensor, places: Tensor) -> Tensor:
    """(B, A): whether a centre (A, 2) lies in one of its picture's places (B, K, 4)."""
    low, high = places[:, None, :, :2], places[:, None, :, 2:]
    return ((centre[:, None] > low) & (centre[:, None] < high)).all(-1).any(-1)


def _iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes (..., 4) that broadcast."""
    corner = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    both = corner.clamp(min=0).prod(-1)
    areas = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1)
    return both / (areas - both).clamp(min=1e-9)
