"""Where labels go: inside the picture, never over each other, off other objects where there is room."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

I32 = npt.NDArray[np.int32]
F32 = npt.NDArray[np.float32]

SLOTS = 9
"""Places tried for a label, best first: above left, above right, below left, below right,
inside top left, inside bottom left, right, left, above with its middle over the box's."""

_SLOT_COST = np.array([0.0, 0.12, 0.10, 0.2, 0.22, 0.3, 0.4, 0.45, 0.15], np.float32)
_COVER_COST = 1.6  # for a label that lies wholly on other objects
_NOWHERE = 1e9


def candidates(boxes: F32, sizes: I32, picture: tuple[int, int], gap: int) -> I32:
    """Every place of every label.

    Args:
        boxes: (N, 4) xyxy, what the labels belong to.
        sizes: (N, 2) width, height of the labels.
        picture: (width, height).
        gap: pixels between box and label.

    Returns:
        (N, SLOTS, 4) int32 xyxy. They are moved sideways or up and down by as much as keeps them inside the
        picture, if they fit at all.
    """
    limit = np.array(picture, np.float32)
    box = np.clip(boxes, 0, np.concatenate([limit, limit]))
    x1, y1, x2, y2 = box.T
    width, height = sizes.T.astype(np.float32)
    left, right = x1, x2 - width
    above, below = y1 - gap - height, y2 + gap
    places = np.stack(
        [
            np.stack(
                [
                    left,
                    right,
                    left,
                    right,
                    x1 + gap,
                    x1 + gap,
                    x2 + gap,
                    x1 - gap - width,
                    (x1 + x2 - width) / 2,
                ],
                1,
            ),
            np.stack([above, above, below, below, y1 + gap, y2 - gap - height, y1, y1, above], 1),
        ],
        axis=2,
    )
    room = np.maximum(limit - sizes, 0)
    corner = np.clip(np.rint(places), 0, np.floor(room)[:, None, :]).astype(np.int32)
    return np.concatenate([corner, corner + sizes[:, None, :]], axis=2)


def place_labels(
    boxes: F32,
    sizes: I32,
    picture: tuple[int, int],
    *,
    gap: int = 1,
    previous: Sequence[int] | None = None,
    loyalty: Sequence[float] | None = None,
    obstacles: Sequence[tuple[int, int, int, int]] = (),
) -> tuple[I32, I32]:
    """Choose a place for each label, first come first served.

    Args:
        boxes: (N, 4) xyxy of the objects, the most important first.
        sizes: (N, 2) width and height of their labels.
        picture: (width, height).
        gap: pixels between a box and its label.
        previous: slot of each label on the frame before, -1 for none.
        loyalty: how much better than that slot another one must be, per label; a first slot that is free
            beats the worst free one by about 0.45. What is negative counts as 0.
        obstacles: xyxy rectangles that no label may touch.

    Returns:
        (N, 4) int32 rectangles and (N,) int32 slots. A label for which there is no room has the slot -1
        and a rectangle of zeros. The others lie inside the picture and do not overlap.
    """
    n = len(boxes)
    boxes = np.asarray(boxes, np.float32).reshape(n, 4)
    sizes = np.asarray(sizes, np.int32).reshape(n, 2)
    chosen, slots = np.zeros((n, 4), np.int32), np.full(n, -1, np.int32)
    if n == 0:
        return chosen, slots
    rects = candidates(boxes, sizes, picture, gap)
    cost = _SLOT_COST + _COVER_COST * _covered(rects, boxes) + _moved(rects, boxes, sizes, gap)
    if previous is not None and loyalty is not None:
        kept = np.asarray(previous, np.int32)
        rows = np.flatnonzero(kept >= 0)
        cost[rows, kept[rows]] -= np.maximum(np.asarray(loyalty, np.float32)[rows], 0)
    cost[(rects[..., 2] > picture[0]) | (rects[..., 3] > picture[1])] = _NOWHERE
    # Lists from here on: a look at one rectangle after the other is quicker than arrays for so few of them.
    orders, costs = np.argsort(cost, axis=1, kind="stable").tolist(), cost.tolist()
    taken = list(obstacles)
    for row, places in enumerate(rects.tolist()):
        for slot in orders[row]:
            if costs[row][slot] >= _NOWHERE:
                break
            if _is_free(places[slot], taken):
                taken.append(places[slot])
                chosen[row], slots[row] = places[slot], slot
                break
    return chosen, slots


def _is_free(rect: Sequence[int], taken: Sequence[Sequence[int]]) -> bool:
    """Whether a rectangle overlaps none of others."""
    a, b, c, d = rect
    for x1, y1, x2, y2 in taken:  # noqa: SIM110 (a generator takes twice as long)
        if a < x2 and c > x1 and b < y2 and d > y1:
            return False
    return True


def _covered(rects: I32, boxes: F32) -> F32:
    """(N, SLOTS) share of each place that lies on other objects; a part counts once per object."""
    place = rects.astype(np.float32)[:, :, None, :]
    wide = np.minimum(place[..., 2], boxes[:, 2]) - np.maximum(place[..., 0], boxes[:, 0])
    high = np.minimum(place[..., 3], boxes[:, 3]) - np.maximum(place[..., 1], boxes[:, 1])
    shared = np.maximum(wide, 0) * np.maximum(high, 0)
    own = np.arange(len(boxes))
    shared[own, :, own] = 0
    size = rects[..., 2:] - rects[..., :2]
    area = np.maximum(size[..., 0] * size[..., 1], 1)
    return np.asarray(np.minimum(shared.sum(axis=2) / area, 1.0), np.float32)


def _moved(rects: I32, boxes: F32, sizes: I32, gap: int) -> F32:
    """(N, SLOTS) cost of places above or below a box that the picture's edge pushed onto it."""
    height = np.maximum(sizes[:, 1], 1).astype(np.float32)[:, None]
    cost = np.zeros(rects.shape[:2], np.float32)
    above, below = [0, 1, 8], [2, 3]
    cost[:, above] = np.maximum(rects[:, above, 3] + gap - 1 - boxes[:, 1, None], 0) / height
    cost[:, below] = np.maximum(boxes[:, 3, None] - rects[:, below, 1] + gap - 1, 0) / height
    return cost
