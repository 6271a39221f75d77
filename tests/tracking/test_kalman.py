import numpy as np
import pytest

from perception.tracking.kalman import BoxFilter, measure, to_xyxy


def box(cx, cy, w, h):
    return np.array([[cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]])


def follow(boxes, dt, motion=None):
    motion = motion or BoxFilter()
    states = motion.start(boxes[0])
    for seen in boxes[1:]:
        states = motion.update(motion.predict(states, dt), seen)
    return states, motion


def test_measure_and_its_inverse_give_the_box_back():
    boxes = np.array([[1.0, 2.0, 30.0, 50.0], [0.0, 0.0, 5.0, 4.0]])
    assert to_xyxy(measure(boxes)) == pytest.approx(boxes)


def test_velocity_is_per_second_whatever_the_frame_rate():
    for dt in (1 / 30, 0.1, 0.2):
        times = np.arange(0, 3, dt)
        states, _ = follow([box(100 + 60 * t, 50, 40, 30) for t in times], dt)
        assert states.velocity[0, 0] == pytest.approx(60, rel=0.02)


def test_an_object_that_nears_at_a_steady_rate_is_predicted_to_grow_on():
    # Log size grows linearly: 20 % a second.
    times = np.arange(0, 3, 0.1)
    boxes = [box(100, 50, 40 * np.exp(0.2 * t), 30 * np.exp(0.2 * t)) for t in times]
    states, motion = follow(boxes, 0.1)
    ahead = motion.predict(states, 0.5).xyxy[0]
    assert ahead[2] - ahead[0] == pytest.approx(40 * np.exp(0.2 * 3.4), rel=0.01)


def test_one_prediction_over_a_gap_equals_many_small_ones():
    states, motion = follow([box(100 + 5 * i, 50, 40, 30) for i in range(10)], 0.1)
    once = motion.predict(states, 0.6)
    often = states
    for _ in range(6):
        often = motion.predict(often, 0.1)
    assert often.position == pytest.approx(once.position)
    assert often.variance == pytest.approx(once.variance)


def test_the_filter_equals_the_textbook_matrices():
    motion = BoxFilter(measured=0.1, acceleration=0.7, start_velocity=0.4)
    seen = [box(10, 20, 30, 40), box(13, 20, 30, 40), box(18, 21, 31, 40)]
    dt = 0.2
    states = motion.start(seen[0])
    x = np.array([10.0, 0.0])
    p = np.diag([0.1**2, 0.4**2])
    f = np.array([[1, dt], [0, 1]])
    q = 0.7**2 * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
    h = np.array([[1.0, 0.0]])
    for z, b in ((13.0, seen[1]), (18.0, seen[2])):
        states = motion.update(motion.predict(states, dt), b)
        x, p = f @ x, f @ p @ f.T + q
        k = p @ h.T / (h @ p @ h.T + 0.1**2)
        x, p = x + (k * (z - h @ x)).ravel(), (np.eye(2) - k @ h) @ p
    assert states.position[0, 0] == pytest.approx(x[0])
    assert states.velocity[0, 0] == pytest.approx(x[1])
    assert states.variance[0] == pytest.approx([p[0, 0], p[0, 1], p[1, 1]])
