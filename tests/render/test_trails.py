"""Trails: bounded memory, stream time, and a path that is where the object was."""

from __future__ import annotations

import numpy as np
import pytest

from perception.render.canvas import Canvas
from perception.render.trails import Trails, draw_trails


def test_a_path_holds_few_points_whatever_the_frame_rate() -> None:
    trails = Trails(1.5)
    for n in range(20_000):
        trails.update(n / 1000, [("a", float(n), 0.0)])
    (path,) = trails.paths(["a"])
    assert 8 <= len(path) <= 14
    assert path[-1].tolist() == [19999, 0]
    assert path[0, 0] == pytest.approx(19999 - 1500, abs=150)


def test_a_track_is_forgotten_when_it_has_not_been_seen_for_a_while() -> None:
    trails = Trails(1.0)
    for n in range(5000):
        trails.update(n * 0.1, [(n, 1.0, 2.0)])
    assert len(trails) <= 12


def test_a_track_that_comes_back_in_time_keeps_its_path() -> None:
    trails = Trails(2.0)
    trails.update(0.0, [("a", 0.0, 0.0)])
    trails.update(1.0, [])
    trails.update(1.5, [("a", 9.0, 9.0)])
    assert len(trails.paths(["a"])[0]) == 2


def test_time_that_goes_back_starts_anew() -> None:
    trails = Trails(2.0)
    trails.update(10.0, [("a", 0.0, 0.0)])
    trails.update(0.0, [("b", 0.0, 0.0)])
    assert len(trails) == 1


def test_an_unknown_track_has_an_empty_path() -> None:
    trails = Trails(2.0)
    trails.update(0.0, [("a", 5.0, 6.0)])
    none, one = trails.paths(["b", "a"])
    assert none.shape == (0, 2) and one.tolist() == [[5, 6]]
    assert Trails(2.0).paths(["b"])[0].shape == (0, 2)


def test_smoothing_does_not_mix_tracks() -> None:
    trails = Trails(5.0)
    for n in range(10):
        trails.update(n * 0.4, [("a", 0.0, 0.0), ("b", 900.0, 900.0)])
    first, second = trails.paths(["a", "b"])
    assert (first == 0).all() and (second == 900).all()


def test_a_trail_is_dense_at_its_end_and_faint_at_its_start() -> None:
    canvas = Canvas.from_bgr(np.zeros((100, 300, 3), np.uint8))
    path = np.stack([np.linspace(20, 280, 14), np.full(14, 50)], axis=1).astype(np.float32)
    draw_trails(canvas, [path], [(255, 255, 255)], 3)
    along = canvas.to_bgr()[:, :, 0].max(axis=0)
    assert 0 < along[40] < along[150] < along[260]


def test_an_object_that_stands_still_has_no_trail() -> None:
    canvas = Canvas.from_bgr(np.zeros((100, 300, 3), np.uint8))
    path = (
        np.full((14, 2), 50, np.float32)
        + np.float32(0.3) * np.arange(14, dtype=np.float32)[:, None]
    )
    draw_trails(canvas, [path, np.zeros((0, 2), np.float32)], [(255, 255, 255)] * 2, 3)
    assert not canvas.to_bgr().any()
