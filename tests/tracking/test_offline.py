import numpy as np
import pytest

from perception.tracking.kalman import BoxFilter
from perception.tracking.offline import History, both_sides, refine, smooth


def history(frames, evidence, *, noise=0.0):
    frames = np.asarray(frames)
    rng = np.random.default_rng(0)
    x = 100 + 6.0 * frames + noise * rng.normal(size=len(frames))
    return History(
        frame=frames,
        time=frames / 10,
        xyxy=np.stack([x, x * 0 + 100, x + 50, x * 0 + 130], axis=1),
        evidence=np.broadcast_to(np.asarray(evidence, float), len(frames)).copy(),
        score=np.full(len(frames), 0.9),
    )


def test_evidence_counts_from_both_sides_and_fades():
    value = both_sides(history(range(5), [0, 0, 1, 0, 0]), memory_s=0.2)
    assert value == pytest.approx(np.exp([-1, -0.5, 0, -0.5, -1]))


def test_smoothing_is_nearer_to_the_truth_than_what_was_detected():
    frames = np.arange(40)
    noisy = history(frames, 1, noise=2.0)
    boxes = smooth(noisy, frames / 10, BoxFilter())
    truth = 100 + 6.0 * frames
    assert np.abs(boxes[:, 0] - truth).mean() < 0.7 * np.abs(noisy.xyxy[:, 0] - truth).mean()


def test_a_gap_is_bridged_on_the_path_between_its_ends():
    frames = np.arange(20)
    there = np.delete(frames, range(8, 13))
    path = refine(history(there, 1), frames, frames / 10, (1000, 400), BoxFilter())
    assert path.frame.tolist() == frames.tolist()
    assert path.xyxy[10] == pytest.approx([160, 100, 210, 130], abs=1)


def test_a_gap_too_long_to_know_is_left_open():
    frames = np.arange(60)
    there = np.delete(frames, range(20, 40))
    path = refine(history(there, 1), frames, frames / 10, (1000, 400), BoxFilter())
    assert path.frame.tolist() == there.tolist()


def test_an_object_of_weak_evidence_is_not_believed():
    frames = np.arange(10)
    assert refine(history(frames, -0.2), frames, frames / 10, (1000, 400), BoxFilter()) is None
