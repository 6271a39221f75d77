from itertools import permutations

import numpy as np
import pytest

from perception.tracking.assignment import match


@pytest.mark.parametrize("seed", range(8))
def test_total_weight_is_the_greatest_there_is(seed):
    scipy_optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(seed)
    for _ in range(100):
        rows, columns = rng.integers(0, 14, 2)
        weight = rng.random((rows, columns)) * (rng.random((rows, columns)) < rng.random())
        if seed % 2:
            weight = np.round(weight * 4) / 4  # many ties
        weight -= 0.1 * (rng.random(weight.shape) < 0.2)
        a, b = match(weight)
        assert len(set(a)) == len(a) and len(set(b)) == len(b)
        assert (weight[a, b] > 0).all()
        c, d = scipy_optimize.linear_sum_assignment(-np.maximum(weight, 0))
        assert weight[a, b].sum() == pytest.approx(np.maximum(weight, 0)[c, d].sum(), abs=1e-9)


def test_a_large_crowd_is_solved_exactly():
    scipy_optimize = pytest.importorskip("scipy.optimize")
    weight = np.random.default_rng(1).random((150, 120))
    a, b = match(weight)
    c, d = scipy_optimize.linear_sum_assignment(-weight)
    assert weight[a, b].sum() == pytest.approx(weight[c, d].sum())


def test_pairs_without_positive_weight_are_left_alone():
    a, b = match(np.array([[0.0, -1.0], [0.0, 2.0]]))
    assert a.tolist() == [1]
    assert b.tolist() == [1]


@pytest.mark.parametrize("shape", [(0, 0), (3, 0), (0, 3), (2, 2)])
def test_nothing_to_match_gives_no_pairs(shape):
    a, b = match(np.zeros(shape))
    assert len(a) == len(b) == 0


def test_one_far_better_pair_does_not_cost_a_second_one():
    # Greedy would take 0.9 and leave 0.1; together 0.8 + 0.8 is more.
    a, b = match(np.array([[0.9, 0.8], [0.8, 0.1]]))
    assert dict(zip(a.tolist(), b.tolist(), strict=True)) == {0: 1, 1: 0}


@pytest.mark.parametrize("seed", range(4))
def test_small_problems_are_solved_as_by_trying_everything(seed):
    rng = np.random.default_rng(seed)
    for _ in range(300):
        rows, columns = rng.integers(1, 5, 2)
        weight = rng.integers(-2, 9, (rows, columns)) / 4  # many ties, many pairs not allowed
        a, b = match(weight)
        assert a.tolist() == sorted(set(a.tolist())) and len(set(b.tolist())) == len(b)
        assert (weight[a, b] > 0).all()
        gain = np.zeros((4, 4))
        gain[:rows, :columns] = np.maximum(weight, 0)
        best = max(gain[range(4), order].sum() for order in permutations(range(4)))
        assert weight[a, b].sum() == best
