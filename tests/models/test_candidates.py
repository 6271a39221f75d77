"""What every decoder does alike."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from perception.backends import TensorSpec
from perception.errors import EngineError
from perception.models.candidates import (
    MAX_CANDIDATES,
    best_rows,
    check_columns,
    logit,
    suppression_groups,
    wanted_columns,
)


def engine(columns: int) -> Any:
    output = TensorSpec("predictions", np.dtype(np.float32), (-1, -1, columns))
    return SimpleNamespace(path=Path("some.onnx"), outputs=(output,))


def test_columns_must_fit_the_classes_where_the_engine_says_how_many_it_has() -> None:
    assert check_columns(engine(7), 7, ("a", "b")) == "predictions"
    assert check_columns(engine(-1), 7, ("a", "b")) == "predictions"
    with pytest.raises(
        EngineError, match=r"some.onnx: output must have 7 columns for 2 classes, but has 8"
    ):
        check_columns(engine(8), 7, ("a", "b"))
    with pytest.raises(EngineError, match="for 1 classes and 5 keypoints, but has 6"):
        check_columns(engine(6), 16, ("face",), points=5)


def test_the_best_rows_are_kept_and_few_rows_keep_their_order() -> None:
    rows, score = best_rows(np.array([4, 9]), np.array([0.2, 0.8]))
    assert rows.tolist() == [4, 9] and score.tolist() == [0.2, 0.8]
    many = np.arange(MAX_CANDIDATES + 10)
    rows, score = best_rows(many, many / len(many))
    assert rows.tolist() == many[:9:-1].tolist()
    assert (np.diff(score) < 0).all()


def test_classes_left_out_are_no_columns() -> None:
    assert wanted_columns(("car", "bus"), None) is None
    found = wanted_columns(("car", "bus"), ["bus"])
    assert found is not None and found.tolist() == [False, True]


def test_a_logit_is_where_the_sigmoid_crosses_and_finite_at_the_ends() -> None:
    assert 1 / (1 + np.exp(-logit(0.3))) == pytest.approx(0.3)
    assert np.isfinite([logit(0.0), logit(1.0)]).all()


def test_classes_named_together_share_a_group() -> None:
    groups = suppression_groups(("car", "person", "truck"), [["truck", "car", "tram"]])
    assert groups[0] == groups[2] != groups[1]
