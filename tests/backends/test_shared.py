from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception.backends import FrameEngine, TensorSpec
from perception.backends.shared import Line, SharedEngine, SharedFrameEngine, share


class Doubling:
    """An engine that doubles its input, into a buffer that the next call overwrites."""

    path = Path("doubling.onnx")
    card = None

    def __init__(self, *, backend: str = "tensorrt", batch: int = -1, pause_s: float = 0.0) -> None:
        self.backend = backend
        self.inputs = (TensorSpec("x", np.dtype(np.float32), (batch, 3)),)
        self.outputs = (TensorSpec("y", np.dtype(np.float32), (batch, 3)),)
        self.batches: list[int] = []
        self.inside = self.most_inside = 0
        self.closed = False
        self._buffer = np.zeros((64, 3), np.float32)
        self._pause_s = pause_s
        self._lock = threading.Lock()

    def infer(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        x = feeds["x"]
        with self._lock:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            self.batches.append(len(x))
        if np.isnan(x).any():
            with self._lock:
                self.inside -= 1
            raise ValueError("not a number")
        time.sleep(self._pause_s)
        out = self._buffer[: len(x)]
        out[:] = 2 * x
        with self._lock:
            self.inside -= 1
        return {"y": out}

    def close(self) -> None:
        self.closed = True


def call_all(engine: SharedEngine, inputs: list[np.ndarray]) -> list[Any]:
    """Each from a thread of its own, all at once."""
    values: list[Any] = [None] * len(inputs)
    gate = threading.Barrier(len(inputs))

    def call(number: int) -> None:
        gate.wait()
        try:
            values[number] = engine.infer({"x": inputs[number]})["y"]
        except ValueError as error:
            values[number] = error

    threads = [threading.Thread(target=call, args=(i,)) for i in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return values


def rows(*values: float) -> np.ndarray:
    return np.array([[value] * 3 for value in values], np.float32)


def test_everyone_gets_the_answer_to_the_own_question() -> None:
    engine = Doubling(pause_s=0.005)
    inputs = [rows(*range(i, i + 1 + i % 3)) for i in range(24)]
    for given, answer in zip(inputs, call_all(share(engine), inputs), strict=True):
        np.testing.assert_array_equal(answer, 2 * given)
    assert engine.most_inside == 1, "an engine with borrowed outputs is never entered twice"


def test_what_waits_together_runs_together() -> None:
    engine = Doubling(pause_s=0.05)
    call_all(share(engine), [rows(i) for i in range(9)])
    assert sum(engine.batches) == 9
    assert max(engine.batches) > 1
    assert len(engine.batches) <= 4
    assert max(engine.batches) <= 8


def test_pictures_are_counted_and_not_requests() -> None:
    engine = Doubling(pause_s=0.03)
    engine.most_pictures = 4  # type: ignore[attr-defined]
    inputs = [rows(*range(i, i + 1 + i % 3)) for i in range(12)]
    shared = share(engine)
    for given, answer in zip(inputs, call_all(shared, inputs), strict=True):
        np.testing.assert_array_equal(answer, 2 * given)
    assert sum(engine.batches) == sum(len(given) for given in inputs)
    assert 1 < max(engine.batches) <= 4 == shared.most_pictures


def test_different_shapes_do_not_mix() -> None:
    engine = Doubling(pause_s=0.02)
    shared = share(engine)
    wide = [np.full((1, 3), i, np.float32) for i in range(4)]
    double = [np.full((1, 3), i, np.float64) for i in range(4)]
    for given, answer in zip(wide + double, call_all(shared, wide + double), strict=True):
        np.testing.assert_array_equal(answer, 2 * given)


@pytest.mark.parametrize("engine", [Doubling(batch=1), Doubling(backend="onnxruntime")])
def test_a_network_without_a_batch_axis_or_on_a_cpu_gets_one_at_a_time(engine: Doubling) -> None:
    call_all(share(engine), [rows(i) for i in range(6)])
    assert engine.batches == [1] * 6


def test_a_failure_reaches_those_whose_batch_it_was_and_nobody_else() -> None:
    shared = SharedEngine(Doubling(pause_s=0.01), together=1)  # type: ignore[arg-type]
    answers = call_all(shared, [rows(1), rows(float("nan")), rows(2)])
    np.testing.assert_array_equal(answers[0], rows(2))
    assert isinstance(answers[1], ValueError)
    np.testing.assert_array_equal(answers[2], rows(4))
    np.testing.assert_array_equal(shared.infer({"x": rows(5)})["y"], rows(10))


def test_the_answer_is_the_callers_to_keep() -> None:
    shared = share(Doubling())
    first = shared.infer({"x": rows(1)})["y"]
    shared.infer({"x": rows(7)})
    np.testing.assert_array_equal(first, rows(2))


def test_closing_the_shared_one_leaves_the_engine_open() -> None:
    engine = Doubling()
    share(engine).close()
    assert not engine.closed


def test_first_come_first_served() -> None:
    served: list[int] = []
    line = Line(1, 1)
    busy = threading.Event()
    go = threading.Event()

    def first(works: list[int]) -> list[int]:
        busy.set()
        go.wait(10)
        return works

    def later(works: list[int]) -> list[int]:
        served.extend(works)
        return works

    threads = [threading.Thread(target=line, args=(0, 0, first))]
    threads[0].start()
    busy.wait(10)
    for number in range(1, 6):
        threads.append(threading.Thread(target=line, args=(0, number, later)))
        threads[-1].start()
        while len(line._waiting) < number:
            time.sleep(0.001)
    go.set()
    for thread in threads:
        thread.join(10)
    assert served == [1, 2, 3, 4, 5]


class Pictures(Doubling):
    """An engine that prepares pictures itself: each is a number here."""

    def infer_frames(self, frames: Any, spec: Any) -> tuple[dict[str, Any], list[str]]:
        return self.infer({"x": rows(*[f.number for f in frames])}), [
            f"map {f.number}" for f in frames
        ]


class Numbered:
    def __init__(self, number: int) -> None:
        self.number = number
        self.size = 8, 8


def test_an_engine_that_prepares_pictures_still_does_when_shared() -> None:
    engine = Pictures(pause_s=0.03)
    shared = share(engine)  # type: ignore[arg-type]
    assert isinstance(shared, SharedFrameEngine)
    assert isinstance(shared, FrameEngine)
    assert not isinstance(share(Doubling()), FrameEngine)  # type: ignore[arg-type]
    found: dict[int, Any] = {}

    def call(number: int) -> None:
        found[number] = shared.infer_frames([Numbered(number)], None)  # type: ignore[list-item, arg-type]

    threads = [threading.Thread(target=call, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    for number, (outputs, mappings) in found.items():
        np.testing.assert_array_equal(outputs["y"], rows(2 * number))
        assert mappings == [f"map {number}"]
    assert max(engine.batches) > 1
