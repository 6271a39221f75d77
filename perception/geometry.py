"""Boxes as arrays: intersection over union, non-maximum suppression, clipping.

Boxes are ``xyxy`` (N, 4) float32 everywhere (see perception.types).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from perception.types import F32

Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]
SMALLEST = np.finfo(np.float32).tiny


def area(xyxy: F32) -> F32:
    """Areas (N,) in square pixels; a box of negative width or height has area 0."""
    sides = xyxy[:, 2:] - xyxy[:, :2]
    np.maximum(sides, 0, out=sides)
    return np.asarray(sides[:, 0] * sides[:, 1], np.float32)


def intersection(a: F32, b: F32) -> F32:
    """Areas of overlap, (N, M)."""
    # Side by side in memory, and filled before they are compared: minimum and maximum of a column with a row
    # are seven times slower.
    ax1, ay1, ax2, ay2 = a.T[:, :, None]
    bx1, by1, bx2, by2 = np.ascontiguousarray(b.T)
    width, height, start = np.empty((3, len(a), len(b)), np.result_type(a, b))
    for side, a1, a2, b1, b2 in ((width, ax1, ax2, bx1, bx2), (height, ay1, ay2, by1, by2)):
        side[:], start[:] = a2, a1
        np.minimum(side, b2, out=side)
        np.maximum(start, b1, out=start)
        side -= start
        # fmax: a box that is no number overlaps nothing.
        np.fmax(side, 0, out=side)
    width *= height
    return np.asarray(width, np.float32)


def iou(a: F32, b: F32) -> F32:
    """Intersection over union of every pair, (N, M) float32 in 0..1; 0 where both boxes are empty."""
    overlap = intersection(a, b)
    size_a = area(a)
    union = size_a[:, None] + (size_a if a is b else area(b))
    union -= overlap
    np.fmax(union, SMALLEST, out=union)
    overlap /= union
    return overlap


def nms(xyxy: F32, score: F32, group: npt.NDArray[Any] | None = None, *, max_iou: float) -> Rows:
    """Greedy non-maximum suppression.

    Args:
        xyxy: (N, 4).
        score: (N,).
        group: (N,) integers; a box only suppresses boxes of its own group. None: one group.
        max_iou: a box that overlaps a better one by more than this is dropped.

    Returns:
        Rows kept, best score first (ties: lower row first, so the result is reproducible).
    """
    order = np.argsort(-score, kind="stable")
    boxes = xyxy[order]
    clash: Bools = iou(boxes, boxes) > max_iou
    if group is not None:
        members = group[order]
        clash &= members[:, None] == members[None, :]
    # A row's clashes as the bits of one number: only boxes that are kept are visited.
    rivals = np.packbits(clash, axis=1, bitorder="little")
    keep: list[int] = []
    waiting = (1 << len(order)) - 1
    while waiting:
        row = (waiting & -waiting).bit_length() - 1
        keep.append(row)
        waiting &= ~(int.from_bytes(rivals[row].tobytes(), "little") | 1 << row)
    return np.asarray(order[keep], np.intp)


def outermost(xyxy: F32, *, max_inside: float) -> Rows:
    """Drop boxes that lie in a better one: an eye in a face, the cab in a lorry.

    Args:
        xyxy: (N, 4), best score first.
        max_inside: a box of which a larger share lies in a better box is dropped.

    Returns:
        Rows kept, in order.
    """
    share = intersection(xyxy, xyxy) / np.maximum(area(xyxy), np.float32(1e-6))[:, None]
    keep = np.ones(len(xyxy), bool)
    for row in np.flatnonzero(np.tril(share > max_inside, -1).any(axis=1)):
        keep[row] = not (share[row, :row][keep[:row]] > max_inside).any()
    return np.flatnonzero(keep)


def clip(xyxy: F32, size: tuple[int, int]) -> F32:
    """Boxes cut to a picture of (width, height)."""
    width, height = size
    limit = np.array([width, height, width, height], np.float32)
    return np.clip(xyxy, np.float32(0), limit)
