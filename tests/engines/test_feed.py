"""Batches arrive in order, the same from any number of processes; what fails is said."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from engines.data.feed import Feed, moved  # noqa: E402
from perception.errors import RunError  # noqa: E402


@dataclass(frozen=True)
class Note:
    boxes: Any


def make(number: int) -> Any:
    rng = np.random.default_rng((3, number))
    pictures = torch.from_numpy(rng.integers(0, 255, (2, 8, 6, 3), np.uint8)).permute(0, 3, 1, 2)
    return pictures, [Note(torch.full((number % 3, 4), float(number)))], {"size": (6, 8)}


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_come_in_order_whoever_makes_them(workers: int) -> None:
    feed = Feed(make, 5, 12, workers=workers, pin=False)
    got = list(feed)
    assert len(got) == 7
    for number, (pictures, notes, extra) in enumerate(got, 5):
        wanted = make(number)
        assert torch.equal(pictures, wanted[0]) and pictures.stride() == wanted[0].stride()
        assert torch.equal(notes[0].boxes, wanted[1][0].boxes) and extra == {"size": (6, 8)}
    assert moved(got[0], torch.device("cpu")) is got[0]


def test_more_processes_than_batches_is_no_trouble() -> None:
    assert len(list(Feed(make, 0, 2, workers=5, pin=False))) == 2
    assert list(Feed(make, 2, 2, workers=2, pin=False)) == []


def test_processes_start_also_where_opencv_has_threads_at_work() -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        picture = np.zeros((2000, 2000, 3), np.uint8)
        for _ in range(3):
            cv2.GaussianBlur(picture, (9, 9), 2)
            cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)
        found = list(
            Feed(lambda number: (make(number), cv2.getNumThreads()), 0, 6, workers=2, pin=False)
        )
        assert [threads for _, threads in found] == [1] * 6
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def test_an_error_in_a_process_is_raised_here() -> None:
    def broken(number: int) -> Any:
        if number == 3:
            raise RunError("picture 3 is broken")
        return make(number)

    with pytest.raises(RunError, match="picture 3 is broken"):
        list(Feed(broken, 0, 6, workers=2, pin=False))


def test_a_process_that_dies_is_reported() -> None:
    def dies(number: int) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(RunError, match="loader process 0 ended while it made batch 0"):
        list(Feed(dies, 0, 4, workers=2, pin=False))


def test_closing_early_ends_the_processes() -> None:
    feed = Feed(make, 0, 1000, workers=2, pin=False)
    batches = iter(feed)
    next(batches)
    running = list(feed._processes)
    batches.close()
    assert not any(process.is_alive() for process in running)
