from __future__ import annotations

import numpy as np
import pytest

from perception.models.lane_lines import Stroke
from perception.tracking.lanes import LaneSmoother
from perception.types import F32

STEP = 0.04


def area(level: float = 1.0) -> F32:
    return np.full((100, 200), level, np.float32)


def stroke(
    shift: float = 0.0, *, noise: float = 0.0, score: float = 0.9, top: int = 50, seed: int = 0
) -> Stroke:
    rows = np.arange(top, 100)
    x = 100 - (rows - 45) + shift + noise * np.random.default_rng(seed).normal(size=len(rows))
    return Stroke(top, x.astype(np.float32), score)


def test_what_is_seen_first_is_shown_at_once() -> None:
    shown, drivable = LaneSmoother()(3.0, [stroke()], area())
    assert len(shown) == 1 and np.allclose(shown[0].x, stroke().x)
    assert np.allclose(drivable, 1)


def test_noise_is_smoothed() -> None:
    smoother = LaneSmoother()
    errors = []
    for index in range(50):
        shown, _ = smoother(index * STEP, [stroke(noise=1.0, seed=index)], area())
        errors.append(float(np.abs(shown[0].x - stroke().x).mean()))
    assert np.mean(errors[20:]) < 0.45, "single frames are off by 0.8"


def test_common_motion_is_followed_without_lag() -> None:
    smoother = LaneSmoother()
    for index in range(30):
        shown, _ = smoother(index * STEP, [stroke(2.0 * index)], area())
    assert np.abs(shown[0].x - stroke(2.0 * 29).x).max() < 0.8


def test_smoothing_is_by_seconds_not_by_frames() -> None:
    values = []
    for step in (0.02, 0.1):
        smoother = LaneSmoother()
        smoother(0.0, [stroke()], area(0.0))
        for time in np.arange(step, 0.2 + 1e-9, step):
            _, drivable = smoother(float(time), [stroke()], area(1.0))
        values.append(float(drivable.mean()))
    assert abs(values[0] - values[1]) < 0.01


def test_one_missed_frame_does_not_make_a_line_blink() -> None:
    smoother = LaneSmoother()
    for index in range(20):
        seen = [] if index == 15 else [stroke()]
        shown, _ = smoother(index * STEP, seen, area())
        assert len(shown) == 1


def test_a_line_that_is_gone_goes() -> None:
    smoother = LaneSmoother()
    for index in range(10):
        smoother(index * STEP, [stroke()], area())
    counts = [len(smoother((10 + index) * STEP, [], area())[0]) for index in range(25)]
    assert counts[0] == 1 and counts[-1] == 0
    assert counts == sorted(counts, reverse=True)


def test_one_false_line_does_not_flash_up() -> None:
    smoother = LaneSmoother()
    for index in range(20):
        seen = [stroke()] + ([stroke(60, score=0.6)] if index == 10 else [])
        shown, _ = smoother(index * STEP, seen, area())
        assert len(shown) == 1


def test_a_new_line_appears_within_a_fifth_of_a_second() -> None:
    smoother = LaneSmoother()
    for index in range(10):
        smoother(index * STEP, [stroke()], area())
    counts = [
        len(smoother((10 + index) * STEP, [stroke(), stroke(60)], area())[0]) for index in range(5)
    ]
    assert counts[-1] == 2


@pytest.mark.parametrize("later", [-1.0, 30.0])
def test_time_that_goes_back_or_jumps_starts_afresh(later: float) -> None:
    smoother = LaneSmoother()
    for index in range(10):
        smoother(2.0 + index * STEP, [stroke()], area(1.0))
    shown, drivable = smoother(2.0 + later, [stroke(50)], area(0.0))
    assert len(shown) == 1 and np.allclose(shown[0].x, stroke(50).x)
    assert np.allclose(drivable, 0)


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="settle_s must be at least 0"):
        LaneSmoother(settle_s=-1)
