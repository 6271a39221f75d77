from __future__ import annotations

import numpy as np
import pytest

from perception.geometry import area, clip, iou, nms, outermost


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_iou_of_known_pairs() -> None:
    a = boxes((0, 0, 10, 10))
    b = boxes((0, 0, 10, 10), (5, 0, 15, 10), (20, 20, 30, 30), (0, 0, 0, 0))
    assert iou(a, b)[0] == pytest.approx([1, 1 / 3, 0, 0])


def test_two_empty_boxes_have_iou_zero_not_nan() -> None:
    empty = boxes((3, 3, 3, 3))
    assert iou(empty, empty)[0, 0] == 0


def test_a_box_that_is_no_number_overlaps_nothing() -> None:
    broken = boxes((0, 0, np.nan, 10), (np.nan, np.nan, np.nan, np.nan), (0, 0, 10, 10))
    assert iou(broken, boxes((0, 0, 10, 10)))[:, 0].tolist() == [0, 0, 1]


def test_area_of_an_inverted_box_is_zero() -> None:
    assert area(boxes((10, 10, 0, 20)))[0] == 0


def naive_nms(xyxy: np.ndarray, score: np.ndarray, group: np.ndarray, max_iou: float) -> list[int]:
    kept: list[int] = []
    for row in np.argsort(-score, kind="stable"):
        if all(
            group[row] != group[k] or iou(xyxy[[row]], xyxy[[k]])[0, 0] <= max_iou for k in kept
        ):
            kept.append(int(row))
    return kept


@pytest.mark.parametrize("seed", range(20))
def test_nms_equals_the_naive_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 60, (80, 2))
    xyxy = np.concatenate([corner, corner + rng.uniform(5, 40, (80, 2))], axis=1).astype(np.float32)
    score = rng.integers(0, 20, 80).astype(np.float32) / 20
    group = rng.integers(0, 3, 80)
    assert nms(xyxy, score, group, max_iou=0.4).tolist() == naive_nms(xyxy, score, group, 0.4)


def test_nms_of_nothing_is_nothing() -> None:
    assert len(nms(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), max_iou=0.5)) == 0


def test_nms_without_groups_is_one_group() -> None:
    xyxy = boxes((0, 0, 10, 10), (1, 0, 11, 10))
    assert nms(xyxy, np.array([0.5, 0.9], np.float32), max_iou=0.5).tolist() == [1]


def test_clip_cuts_to_the_picture() -> None:
    assert clip(boxes((-5, 2, 700, 500)), (640, 480)).tolist() == [[0, 2, 640, 480]]


def test_a_box_inside_a_better_one_is_dropped_but_not_one_in_a_dropped_one() -> None:
    boxes = np.array(
        [[0, 0, 40, 40], [10, 10, 20, 20], [30, 0, 70, 40], [15, 15, 45, 22], [12, 12, 18, 18]],
        np.float32,
    )
    assert outermost(boxes, max_inside=0.7).tolist() == [0, 2]
    assert outermost(boxes, max_inside=0.9).tolist() == [0, 2, 3]
    assert outermost(boxes[:0], max_inside=0.7).tolist() == []
    chain = np.array([[0, 0, 100, 10], [80, 0, 104, 10], [84, 0, 106, 10]], np.float32)
    assert outermost(chain, max_inside=0.8).tolist() == [0, 2], "what is dropped drops nothing"
