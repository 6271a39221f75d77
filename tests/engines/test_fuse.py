"""Looks at one picture, joined."""

from __future__ import annotations

import numpy as np
import pytest

from engines.fuse import Look, fuse

GROUPS = np.array([0, 0, 2])
SIZE = (400, 300)
BOTH = np.array([True, True, True])


def look(*items: tuple[list[float], float, int], knows: object = BOTH) -> Look:
    return Look(
        np.array([box for box, _, _ in items], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in items], np.float32),
        np.array([kind for _, _, kind in items], np.intp),
        np.asarray(knows),
    )


def test_two_looks_at_one_object_are_one_box_between_them() -> None:
    one = look(([10, 10, 30, 30], 0.8, 2))
    two = look(([12, 10, 32, 30], 0.4, 2))
    xyxy, score, kind = fuse([one, two], GROUPS, SIZE)
    np.testing.assert_allclose(xyxy, [[10 + 2 / 3, 10, 30 + 2 / 3, 30]], rtol=1e-5)
    assert score.tolist() == pytest.approx([0.6])
    assert kind.tolist() == [2]


def test_a_small_object_needs_half_of_the_views_and_a_large_one_all() -> None:
    seen = [look(([10, 10, 30, 30], 0.8, 2), ([100, 50, 300, 200], 0.8, 2)) for _ in range(2)]
    _, score, _ = fuse([*seen, look(), look()], GROUPS, SIZE)
    assert score.tolist() == pytest.approx([0.8, 0.4])


def test_two_kinds_of_one_object_come_out_twice_the_likelier_with_the_score_of_both() -> None:
    one = look(([10, 10, 30, 30], 0.8, 0))
    two = look(([10, 10, 30, 30], 0.6, 1))
    xyxy, score, kind = fuse([one, two], GROUPS, SIZE)
    assert kind.tolist() == [0, 1] and len(xyxy) == 2
    assert score.tolist() == pytest.approx([0.7, 0.3])


def test_views_that_cannot_see_a_class_do_not_count() -> None:
    blind = look(knows=[True, True, False])
    _, score, _ = fuse([look(([10, 10, 30, 30], 0.8, 2)), blind], GROUPS, SIZE)
    assert score.tolist() == pytest.approx([0.8])


def test_neighbours_stay_apart_and_nothing_is_nothing() -> None:
    xyxy, _, _ = fuse([look(([0, 0, 20, 20], 0.9, 2), ([15, 0, 35, 20], 0.8, 2))], GROUPS, SIZE)
    assert len(xyxy) == 2
    assert len(fuse([look()], GROUPS, SIZE)[0]) == 0
