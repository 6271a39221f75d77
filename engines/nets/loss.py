"""The road detector's loss, made for pictures of which only some classes are labelled.

The score of a class is p = sigmoid(objectness) * sigmoid(class), as the decoder computes it, and the
loss is put on that product, per class: a class that is unknown in a picture then costs nothing there,
and objectness, which all classes share, learns only through the classes that are known.

Classes: varifocal loss (Zhang et al., arXiv:2008.13367, equation 2): a cell that learns a box wants
p = IoU of its box, with weight IoU; any other wants 0, with weight ALPHA * p ** GAMMA.
Boxes: 1 - GIoU (Rezatofighi et al., arXiv:1902.09630).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import generalized_box_iou_loss

from engines.nets.assign import assign
from engines.nets.road import boxes_of, grid

ALPHA = 0.75
GAMMA = 2.0
BOX_WEIGHT = 2.5
MIN_TARGET = 0.1  # a fresh network's IoU of 0 would never raise a score


@dataclass(frozen=True)
class Target:
    """What is known about one picture, in input pixels.

    Attributes:
        xyxy: (M, 4).
        allowed: (M, C) bool.
        known: (C,) bool.
        ignore: (K, 4) with ignore_classes (K, C) bool.
    """

    xyxy: Tensor
    allowed: Tensor
    known: Tensor
    ignore: Tensor
    ignore_classes: Tensor

    def to(self, device: torch.device | str) -> Target:
        parts = (self.xyxy, self.allowed, self.known, self.ignore, self.ignore_classes)
        return Target(*[part.to(device) for part in parts])


def log_score(raw: Tensor) -> Tensor:
    """Logarithm of p (..., C) of raw predictions (..., 5 + C)."""
    return functional.logsigmoid(raw[..., 4:5]) + functional.logsigmoid(raw[..., 5:])


def detection_loss(
    raw: Tensor,
    targets: list[Target],
    size: tuple[int, int],
    *,
    add_up: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, Tensor]:
    """Losses of a batch.

    Args:
        raw: (B, A, 5 + C) float32.
        targets: one per picture.
        size: (width, height) of the input.
        add_up: sums what there is to learn over the processes that share the batch.

    Returns:
        "total" to differentiate, and its parts "classes" and "boxes" and the number of "cells" that
        learn a box.
    """
    corners, strides = grid(*size, device=raw.device)
    boxes = boxes_of(raw, corners, strides)
    log_p = log_score(raw)
    probability = log_p.detach().exp()
    goal = torch.zeros_like(probability)
    weight = ALPHA * probability.pow(GAMMA)
    box_losses, total = [], raw.new_zeros(())
    centre = (corners + 0.5) * strides[:, None]
    for row, target in enumerate(targets):
        weight[row] *= _trusted(target, centre)
        found = assign(
            boxes[row].detach(), probability[row], target.xyxy, target.allowed, corners, strides
        )
        if len(found.cells) == 0:
            continue
        cells, quality = found.cells, found.iou.clamp(min=MIN_TARGET)
        allowed = target.allowed[found.labels]
        scores = probability[row, cells].masked_fill(~allowed, -1.0)
        best = scores.argmax(-1)
        # Of several classes that a label leaves open, the likeliest learns; the others are left alone.
        weight[row, cells] = weight[row, cells].masked_fill(allowed, 0.0)
        weight[row, cells, best] = quality
        goal[row, cells, best] = quality
        box_losses.append(
            generalized_box_iou_loss(boxes[row, cells], target.xyxy[found.labels]) * quality
        )
        total = total + quality.sum()
    if add_up is not None:
        total = add_up(total)
    total = total.clamp(min=1.0)
    log_not = torch.log(-torch.expm1(log_p.clamp(max=-1e-6)))
    classes = -(weight * (goal * log_p + (1 - goal) * log_not)).sum() / total
    box = torch.cat(box_losses).sum() / total if box_losses else raw.sum() * 0
    cells = sum(len(item) for item in box_losses)
    return {
        "total": classes + BOX_WEIGHT * box,
        "classes": classes.detach(),
        "boxes": box.detach(),
        "cells": torch.tensor(float(cells)),
    }


def _trusted(target: Target, centre: Tensor) -> Tensor:
    """(A, C) 1.0 where the absence of a label means absence of the object, else 0.0."""
    trusted = target.known.float()[None].repeat(len(centre), 1)
    if len(target.ignore):
        inside = (
            (centre[:, None] > target.ignore[None, :, :2])
            & (centre[:, None] < target.ignore[None, :, 2:])
        ).all(-1)
        unknown = (inside[:, :, None] & target.ignore_classes[None]).any(1)
        trusted = trusted * ~unknown
    return trusted
