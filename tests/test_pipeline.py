from __future__ import annotations

import numpy as np
import pytest

from perception.errors import ConfigError
from perception.pipeline import Pipeline
from perception.types import Frame, FrameResult


class Step:
    def __init__(
        self, name: str, reads: tuple[str, ...] = (), writes: tuple[str, ...] = ()
    ) -> None:
        self.name, self.reads, self.writes = name, reads, writes
        self.closed = 0

    def __call__(self, result: FrameResult) -> None:
        result.timings.setdefault("order", 0.0)

    def close(self) -> None:
        self.closed += 1
        if self.name == "broken":
            raise OSError("cannot close")


def test_stages_run_in_order_and_are_timed() -> None:
    result = Pipeline([Step("a"), Step("b")])(Frame(np.zeros((2, 2, 3), np.uint8)))
    assert [name for name in result.timings if name != "order"] == ["a", "b"]
    assert result.latency > 0


def test_a_field_must_be_written_before_it_is_read() -> None:
    Pipeline([Step("a", writes=("x",)), Step("b", reads=("x",))])
    with pytest.raises(
        ConfigError, match=r"stage 'b' reads x, which no earlier stage writes .*: nothing"
    ):
        Pipeline([Step("b", reads=("x",)), Step("a", writes=("x",))])


def test_two_stages_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two stages are named 'a'"):
        Pipeline([Step("a"), Step("a")])


def test_all_stages_are_closed_even_when_one_cannot_be() -> None:
    steps = [Step("a"), Step("broken"), Step("c")]
    with pytest.raises(OSError, match="cannot close"):
        Pipeline(steps).close()
    assert [step.closed for step in steps] == [1, 1, 1]
