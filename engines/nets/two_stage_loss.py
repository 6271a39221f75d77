"""The second stage's loss, for pictures of which only some classes are labelled.

A proposal that overlaps a labelled box by MATCH_IOU or more learns that box (Ren et al., "Faster R-CNN",
arXiv:1506.01497, section 3.1.2; the box head's rule of Mask R-CNN, arXiv:1703.06870, section 3.1: 0.5), every other
one learns that it is nothing. No sampling: the number of proposals is small and fixed, and varifocal loss (Zhang et
al., arXiv:2008.13367, equation 2) keeps the easy ones down. The target of a class is the IoU of the corrected box, so
that of two proposals on one object the better placed one scores higher. Labelled boxes, moved a little, are
proposals too, as in the usual implementations: what the first stage misses is learnt all the same.

As in `engines.nets.loss`: a class that is unknown in a picture, or in a region of it, costs nothing there, and of
several classes that a label leaves open the likeliest learns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import box_iou, generalized_box_iou_loss

from engines.nets.loss import ALPHA, BOX_WEIGHT, GAMMA, MIN_TARGET, Target
from engines.nets.two_stage import inside, refine

MATCH_IOU = 0.5
MOVE = 0.15  # most a labelled box is moved and grown, of its sides, to be a proposal
COVERED = 0.5  # share of a proposal inside a region that makes it unknown


def with_labels(boxes: Tensor, targets: Sequence[Target], size: tuple[int, int]) -> list[Tensor]:
    """The proposals of every picture (R, 4), its labelled boxes among them, moved a little.

    Args:
        boxes: (B, P, 4) proposals.
        targets: one per picture.
        size: (width, height) of the input.
    """
    found = []
    for own, target in zip(boxes, targets, strict=True):
        sides = (target.xyxy[:, 2:] - target.xyxy[:, :2]).repeat(1, 2)
        moved = target.xyxy + (torch.rand_like(target.xyxy) * 2 - 1) * MOVE * sides
        found.append(torch.cat([own, inside(moved, size)]))
    return found


def second_stage_loss(
    proposals: Sequence[Tensor],
    logits: Tensor,
    corrections: Tensor,
    targets: Sequence[Target],
    *,
    add_up: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, Tensor]:
    """Losses of a batch.

    Args:
        proposals: of each picture, (R_i, 4) xyxy in input pixels.
        logits: (R, C) float32 of all of them, picture by picture.
        corrections: (R, 4) float32, see `engines.nets.two_stage.refine`.
        targets: one per picture.
        add_up: sums what there is to learn over the processes that share the batch.

    Returns:
        "total" to differentiate, and its parts "classes" and "boxes" and the number of proposals that learn a
        box, "cells".
    """
    own, picture = _joined(proposals)
    truth, of = _joined([target.xyxy for target in targets])
    refined = refine(own, corrections)
    probability = logits.detach().sigmoid()
    goal = torch.zeros_like(logits)
    weight = ALPHA * probability.pow(GAMMA) * _trusted(own, picture, targets)
    total, box = logits.new_zeros(()), corrections.sum() * 0
    positive = picture.new_zeros(0)
    if len(truth):
        overlap = box_iou(own, truth).masked_fill(picture[:, None] != of[None], 0.0)
        overlap, label = overlap.max(dim=1)
        positive = (overlap >= MATCH_IOU).nonzero().squeeze(1)
        label = label[positive]
        mine = refined[positive]
        quality = _paired_iou(mine.detach(), truth[label]).clamp(min=MIN_TARGET)
        allowed = torch.cat([target.allowed for target in targets])[label]
        best = probability[positive].masked_fill(~allowed, -1.0).argmax(-1)
        weight[positive] = weight[positive].masked_fill(allowed, 0.0)
        weight[positive, best] = quality
        goal[positive, best] = quality
        box = box + (generalized_box_iou_loss(mine, truth[label]) * quality).sum()
        total = quality.sum()
    if add_up is not None:
        total = add_up(total)
    total = total.clamp(min=1.0)
    entropy = functional.binary_cross_entropy_with_logits(logits, goal, reduction="none")
    classes = (weight * entropy).sum() / total
    box = box / total
    return {
        "total": classes + BOX_WEIGHT * box,
        "classes": classes.detach(),
        "boxes": box.detach(),
        "cells": torch.tensor(float(len(positive))),
    }


def _joined(boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Boxes of all pictures (R, 4), and the number of each one's picture (R,)."""
    device = boxes[0].device
    counts = torch.tensor([len(item) for item in boxes], device=device)
    picture = torch.arange(len(boxes), device=device).repeat_interleave(
        counts, output_size=sum(len(item) for item in boxes)
    )
    return torch.cat(list(boxes)), picture


def _trusted(boxes: Tensor, picture: Tensor, targets: Sequence[Target]) -> Tensor:
    """(R, C) 1.0 where the absence of a label means absence of the object, else 0.0."""
    trusted = torch.stack([target.known for target in targets])[picture].float()
    regions, of = _joined([target.ignore for target in targets])
    if len(regions) == 0:
        return trusted
    corner = torch.maximum(boxes[:, None, :2], regions[None, :, :2])
    far = torch.minimum(boxes[:, None, 2:], regions[None, :, 2:])
    common = (far - corner).clamp(min=0).prod(-1)
    own = (boxes[:, 2:] - boxes[:, :2]).prod(-1).clamp(min=1e-6)
    covered = (common > COVERED * own[:, None]) & (picture[:, None] == of[None])
    classes = torch.cat([target.ignore_classes for target in targets]).float()
    return trusted * (covered.float() @ classes == 0)


def _paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU (N,) of each pair of rows."""
    common = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0)
    overlap = common.prod(-1)
    areas = (a[:, 2:] - a[:, :2]).prod(-1) + (b[:, 2:] - b[:, :2]).prod(-1)
    return overlap / (areas - overlap).clamp(min=1e-6)
