"""The road detector's loss, made for pictures of which only some classes are labelled.

The score of a class is p = sigmoid(objectness) * sigmoid(class), as the decoder computes it, and the
loss is put on that product, per class: a class that is unknown in a picture then costs nothing there,
and objectness, which all classes share, learns only through the classes that are known.

Classes: varifocal loss (Zhang et al., arXiv:2008.13367, equation 2): a cell that learns a box wants
p = IoU of its box, with weight IoU; any other wants 0, with weight ALPHA * p ** GAMMA.
Boxes: 1 - GIoU (Rezatofighi et al., arXiv:1902.09630).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from torchvision.ops import generalized_box_iou_loss

from engines.nets.assign import assign_batch
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


@dataclass(frozen=True)
class Packed:
    """The targets of a batch of B pictures, padded to the longest.

    Attributes:
        xyxy: (B, M, 4), allowed: (B, M, C) bool, real: (B, M) bool, False for padding.
        known: (B, C) bool.
        ignore: (B, K, 4), ignore_classes: (B, K, C) bool, False for padding.
    """

    xyxy: Tensor
    allowed: Tensor
    real: Tensor
    known: Tensor
    ignore: Tensor
    ignore_classes: Tensor

    def to(self, device: torch.device | str) -> Packed:
        return Packed(*[getattr(self, item.name).to(device) for item in fields(self)])


def pack(targets: Sequence[Target]) -> Packed:
    """Stack targets: few large tensors reach a GPU sooner than many small ones."""

    def padded(parts: list[Tensor]) -> Tensor:
        return pad_sequence(parts, batch_first=True)

    return Packed(
        xyxy=padded([target.xyxy for target in targets]),
        allowed=padded([target.allowed for target in targets]),
        real=padded([torch.ones_like(target.xyxy[:, 0], dtype=torch.bool) for target in targets]),
        known=torch.stack([target.known for target in targets]),
        ignore=padded([target.ignore for target in targets]),
        ignore_classes=padded([target.ignore_classes for target in targets]),
    )


def log_score(raw: Tensor) -> Tensor:
    """Logarithm of p (..., C) of raw predictions (..., 5 + C)."""
    return functional.logsigmoid(raw[..., 4:5]) + functional.logsigmoid(raw[..., 5:])


def detection_loss(
    raw: Tensor,
    targets: Sequence[Target],
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
    batch = pack(targets).to(raw.device)
    boxes = boxes_of(raw, corners, strides)
    log_p = log_score(raw)
    probability = log_p.detach().exp()
    goal = torch.zeros_like(probability)
    weight = ALPHA * probability.pow(GAMMA) * _trusted(batch, (corners + 0.5) * strides[:, None])
    found = assign_batch(
        boxes.detach(), probability, batch.xyxy, batch.allowed, batch.real, corners, strides
    )
    rows, cells, quality = found.pictures, found.cells, found.iou.clamp(min=MIN_TARGET)
    allowed = batch.allowed[rows, found.labels]
    best = probability[rows, cells].masked_fill(~allowed, -1.0).argmax(-1)
    # Of several classes that a label leaves open, the likeliest learns; the others are left alone.
    weight[rows, cells] = weight[rows, cells].masked_fill(allowed, 0.0)
    weight[rows, cells, best] = quality
    goal[rows, cells, best] = quality
    truth = batch.xyxy[rows, found.labels]
    box_loss = (generalized_box_iou_loss(boxes[rows, cells], truth) * quality).sum()
    total = quality.sum()
    if add_up is not None:
        total = add_up(total)
    total = total.clamp(min=1.0)
    log_not = torch.log(-torch.expm1(log_p.clamp(max=-1e-6)))
    classes = -(weight * (goal * log_p + (1 - goal) * log_not)).sum() / total
    # Without any box to learn, the sum is 0 and still belongs to the graph.
    box = (box_loss + raw.sum() * 0) / total
    return {
        "total": classes + BOX_WEIGHT * box,
        "classes": classes.detach(),
        "boxes": box.detach(),
        "cells": torch.tensor(float(len(cells))),
    }


def _trusted(batch: Packed, centre: Tensor) -> Tensor:
    """(B, A, C) 1.0 where the absence of a label means absence of the object, else 0.0."""
    inside = (
        (centre[:, None] > batch.ignore[:, None, :, :2])
        & (centre[:, None] < batch.ignore[:, None, :, 2:])
    ).all(-1)
    unknown = inside.float() @ batch.ignore_classes.float()
    return batch.known.float()[:, None] * (unknown == 0)
