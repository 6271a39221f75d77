from __future__ import annotations

import numpy as np
import pytest

from perception.tracking.votes import Votes


def answer(winner: int, score: float, classes: int = 3) -> np.ndarray:
    rest = (1 - score) / (classes - 1)
    return np.where(np.arange(classes) == winner, score, rest).astype(np.float32)


def test_before_the_first_vote_nothing_leads() -> None:
    np.testing.assert_allclose(Votes(4, memory_s=1).scores, 0.25)


def test_the_same_answer_again_makes_no_surer() -> None:
    votes = Votes(3, memory_s=10)
    for number in range(50):
        votes.add(answer(1, 0.7), number * 0.1)
    assert votes.winner == (1, pytest.approx(0.7, abs=1e-4))


def test_many_right_answers_outvote_a_sure_wrong_one() -> None:
    votes = Votes(3, memory_s=10)
    votes.add(answer(0, 0.999), 0.0)
    for number in range(4):
        votes.add(answer(2, 0.8), 0.1 * number)
    assert votes.winner[0] == 2


def test_an_old_vote_counts_less_by_the_seconds_not_by_the_frames() -> None:
    slow, fast = Votes(2, memory_s=0.5), Votes(2, memory_s=0.5)
    slow.add(answer(0, 0.9, 2), 0.0)
    slow.add(answer(1, 0.9, 2), 1.0)
    fast.add(answer(0, 0.9, 2), 0.0)
    fast.add(answer(1, 0.9, 2), 0.04)
    assert slow.winner[0] == fast.winner[0] == 1
    assert slow.winner[1] > 0.8 > 0.55 > fast.winner[1]


def test_a_light_that_changes_is_followed_within_three_tenths_of_a_second() -> None:
    votes = Votes(3, memory_s=0.15)
    time = 0.0
    while time < 5:
        votes.add(answer(0, 0.95), time)
        time += 0.1
    changed = time
    while votes.winner != (1, pytest.approx(0.6, abs=0.4)) or votes.winner[1] < 0.6:
        votes.add(answer(1, 0.95), time)
        time += 0.1
    # From the change to the answer, and up to one interval until the first look.
    assert time - 0.1 - changed + 0.1 <= 0.3


def test_a_heavier_vote_counts_more() -> None:
    votes = Votes(2, memory_s=10)
    votes.add(answer(0, 0.9, 2), 0.0, weight=0.1)
    votes.add(answer(1, 0.9, 2), 0.0, weight=1.0)
    assert votes.winner[0] == 1
