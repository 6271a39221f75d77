"""Label places: inside the picture and never over each other."""

from __future__ import annotations

import numpy as np
import pytest

from perception.render.labels import SLOTS, candidates, place_labels

PICTURE = (640, 360)


def overlaps(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [1, 12, 90])
def test_labels_lie_inside_the_picture_and_never_overlap(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform([-60, -60], [640, 360], (n, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(2, 120, (n, 2))], axis=1)
    sizes = np.stack([rng.integers(14, 90, n), np.full(n, 15)], axis=1)
    rects, slots = place_labels(boxes, sizes, PICTURE)
    placed = rects[slots >= 0]
    assert len(placed) >= min(n, 25)
    assert (placed[:, :2] >= 0).all() and (placed[:, 2:] <= PICTURE).all()
    assert np.array_equal(placed[:, 2:] - placed[:, :2], sizes[slots >= 0])
    assert not any(overlaps(a, b) for i, a in enumerate(placed) for b in placed[:i])


def test_a_lonely_label_sits_above_the_left_corner() -> None:
    rects, slots = place_labels([[100, 100, 200, 150]], [[40, 15]], PICTURE, gap=2)
    assert rects.tolist() == [[100, 83, 140, 98]]
    assert slots.tolist() == [0]


def test_a_box_at_the_top_has_its_label_below() -> None:
    rects, _ = place_labels([[100, 0, 200, 50]], [[40, 15]], PICTURE, gap=2)
    assert rects[0, 1] == 52


def test_a_box_as_large_as_the_picture_has_its_label_inside() -> None:
    rects, slots = place_labels([[0, 0, *PICTURE]], [[40, 15]], PICTURE)
    assert slots[0] >= 0
    assert (rects[0, :2] >= 0).all() and (rects[0, 2:] <= PICTURE).all()


def test_a_label_avoids_another_object_where_there_is_room() -> None:
    boxes = np.array([[100, 100, 200, 150], [90, 70, 210, 98]], np.float32)
    rects, _ = place_labels(boxes, [[40, 15], [40, 15]], PICTURE)
    assert not any(overlaps(rect, box) for rect, box in zip(rects, boxes[::-1], strict=True))


def test_labels_keep_off_obstacles() -> None:
    panel = (0, 0, 150, 100)
    rects, slots = place_labels([[50, 105, 90, 140]], [[40, 15]], PICTURE, obstacles=[panel])
    assert slots[0] >= 0 and not overlaps(rects[0], np.array(panel))


def test_the_first_label_wins_and_a_label_without_room_says_so() -> None:
    rects, slots = place_labels([[0, 0, 30, 20]] * 2, [[28, 18]] * 2, (30, 20))
    assert slots[0] >= 0 and slots[1] == -1
    assert rects[1].tolist() == [0, 0, 0, 0]


def test_a_label_larger_than_the_picture_is_not_placed() -> None:
    _, slots = place_labels([[0, 0, 30, 20]], [[31, 8]], (30, 20))
    assert slots.tolist() == [-1]


def test_objects_far_apart_all_get_their_first_choice() -> None:
    boxes = np.array([[50 + 90 * k, 100 + 30 * k, 100 + 90 * k, 140 + 30 * k] for k in range(6)])
    together, slots = place_labels(boxes, [[40, 15]] * 6, PICTURE)
    alone = [place_labels(boxes[k : k + 1], [[40, 15]], PICTURE)[0][0] for k in range(6)]
    assert np.array_equal(together, alone) and not slots.any()


def test_a_loyal_label_stays_and_a_free_one_returns_to_the_best_place() -> None:
    box, size = [[100, 100, 200, 150]], [[40, 15]]
    _, loyal = place_labels(box, size, PICTURE, previous=[2], loyalty=[0.35])
    _, free = place_labels(box, size, PICTURE, previous=[2], loyalty=[-0.1])
    assert (loyal.tolist(), free.tolist()) == ([2], [0])


def test_no_objects_have_no_labels() -> None:
    rects, slots = place_labels(np.zeros((0, 4)), np.zeros((0, 2)), PICTURE)
    assert rects.shape == (0, 4) and slots.shape == (0,)


def test_every_candidate_has_the_size_of_its_label() -> None:
    boxes = np.array([[-50, -50, -10, -10], [630, 350, 700, 400]], np.float32)
    places = candidates(boxes, np.array([[40, 15], [30, 12]], np.int32), PICTURE, 2)
    assert places.shape == (2, SLOTS, 4)
    assert (places[0, :, 2:] - places[0, :, :2] == [40, 15]).all()
