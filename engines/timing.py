"""Engines opened for figures, and what they cost by themselves: medians over runs on one 16:9 picture."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perception.backends import Engine, open_engine
from perception.card import EngineCard
from perception.errors import InputError
from perception.types import Detections, Frame

SOURCE = (1280, 720)  # of the picture whose shape the inputs get


@dataclass(frozen=True)
class Candidate:
    """A detector at one setting: its input is `size` (width, height); `runs` is how often it runs per picture."""

    name: str
    engine: Engine
    detect: Callable[[Frame], Detections]
    size: tuple[int, int]
    runs: int = 1


def open_judged(path: str | Path, *, threads: int) -> Engine:
    """An engine on ONNX Runtime, in the precision of its file: "auto" may take INT8, or another runtime."""
    return open_engine(path, backend="onnxruntime", threads=threads)


def open_ours(path: str | Path, *, threads: int) -> tuple[Engine, EngineCard]:
    """As `open_judged`, with the card.

    Raises:
        InputError: no such file, or it carries no card.
    """
    engine = open_judged(path, threads=threads)
    if engine.card is None:
        raise InputError(f"{path}: carries no card; export it with python -m engines.export")
    return engine, engine.card


def milliseconds(
    engines: Sequence[tuple[Engine, tuple[int, int]]], *, runs: int = 40
) -> list[float]:
    """Median time of a run of each engine at an input of (width, height).

    They take turns, so that all meet the same machine.
    """
    feeds = [
        {engine.inputs[0].name: np.full((1, 3, height, width), 114, np.float32)}
        for engine, (width, height) in engines
    ]
    times: list[list[float]] = [[] for _ in feeds]
    for _ in range(runs):
        for (engine, _), feed, row in zip(engines, feeds, times, strict=True):
            start = time.perf_counter()
            engine.infer(feed)
            row.append(time.perf_counter() - start)
    return [statistics.median(row) * 1e3 for row in times]


def costs(candidates: Sequence[Candidate], *, runs: int = 40) -> dict[str, float]:
    """Milliseconds per picture by name."""
    found = milliseconds([(one.engine, one.size) for one in candidates], runs=runs)
    return {one.name: each * one.runs for one, each in zip(candidates, found, strict=True)}
