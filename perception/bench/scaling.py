"""How the rate grows with threads inside the engine, with the batch, and with streams side by side."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from perception.backends import Engine, open_engine
from perception.config import Config
from perception.machine import usable_cores
from perception.models.detector import Detector
from perception.streams import Streams

BATCHES = (1, 2, 4, 8, 16)
STREAMS = (1, 2, 4, 8)
WARM_UP_CALLS = 2
PICTURES = 16  # run through the engine per measurement


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement.

    Attributes:
        fps: pictures a second, of all together.
        cpu_ms: of one picture.
    """

    count: int
    fps: float
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class Scaling:
    """Points by what was varied: "threads" and "batch" of the first engine alone, "streams" of the pipeline."""

    points: dict[str, tuple[Point, ...]]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            name: [
                {"count": p.count, "fps": round(p.fps, 2), "cpu_ms": round(p.cpu_ms, 3)}
                for p in points
            ]
            for name, points in self.points.items()
        }
        return found | {"notes": list(self.notes)}

    def table(self) -> str:
        lines = [f"{'scaling':<16}{'fps':>9}{'x':>10}{'CPU ms':>10}"]
        for name, points in self.points.items():
            for point in points:
                gain = point.fps / points[0].fps
                lines.append(
                    f"{name + ' ' + str(point.count):<16}{point.fps:>9.1f}{gain:>10.2f}{point.cpu_ms:>10.2f}"
                )
        return "\n".join([*lines, *self.notes])


def measure_scaling(
    source: str | Path,
    config: Config,
    *,
    rounds: int,
    streams: Sequence[int] = STREAMS,
    batches: Sequence[int] = BATCHES,
    progress: Callable[[str], None] = lambda _: None,
) -> Scaling:
    """Measure the first detector's engine over threads and batches, and the pipeline over streams.

    Medians over rounds that take turns. Streams play the whole source without outputs.
    """
    points: dict[str, tuple[Point, ...]] = {}
    notes = []
    pipeline = config.pipeline()
    try:
        detectors: list[Any] = [s for s in pipeline.stages if isinstance(s, Detector)]
        detector: Detector | None = next(iter(detectors), None)
        if detector is None:
            notes.append("no detector in this configuration: threads and batches are not measured")
        else:
            shape = _input_shape(detector, source)
            progress("threads")
            points["threads"] = _over_threads(detector.engine, shape, rounds)
            if detector.engine.inputs[0].shape[0] == -1:
                progress("batches")
                points["batch"] = _over_batches(detector.engine, shape, rounds, batches)
            else:
                notes.append("the network has no batch axis: batches are not measured")
    finally:
        pipeline.close()
    times: dict[int, list[tuple[float, float]]] = {count: [] for count in streams}
    for number in range(rounds):
        for count in streams:
            progress(f"round {number + 1} of {rounds}: {count} streams")
            times[count].append(_side_by_side(source, config, count))
    points["streams"] = tuple(_median(count, values) for count, values in times.items())
    return Scaling(points, tuple(notes))


def _input_shape(detector: Detector, source: str | Path) -> tuple[int, ...]:
    from perception.sources import open_source

    opened = open_source(source)
    try:
        size = opened.info.size
    finally:
        opened.close()
    model: Any = detector.model
    width, height = model.input_size(size)
    return 3, height, width


def _over_threads(engine: Engine, shape: tuple[int, ...], rounds: int) -> tuple[Point, ...]:
    counts = sorted({1, 2, usable_cores()} & set(range(1, usable_cores() + 1)))
    options: dict[str, Any] = {}
    if engine.backend == "openvino":
        options["precision"] = getattr(engine, "precision", "auto")
    elif engine.backend != "onnxruntime":
        return ()
    from perception.backends.choice import Choice

    engines = {
        count: _reopened(Choice(engine.path, engine.backend, options), count) for count in counts
    }
    try:
        tensor = np.full((1, *shape), 114, np.float32)
        return _points({count: (engines[count], tensor) for count in counts}, rounds)
    finally:
        for opened in engines.values():
            opened.close()


def _reopened(choice: Any, threads: int) -> Engine:
    precision = choice.options.get("precision", "fp32")
    return open_engine(choice.path, backend=choice.backend, precision=precision, threads=threads)


def _over_batches(
    engine: Engine, shape: tuple[int, ...], rounds: int, batches: Sequence[int]
) -> tuple[Point, ...]:
    feeds = {count: (engine, np.full((count, *shape), 114, np.float32)) for count in batches}
    return _points(feeds, rounds)


def _points(feeds: dict[int, tuple[Engine, Any]], rounds: int) -> tuple[Point, ...]:
    times: dict[int, list[tuple[float, float]]] = {count: [] for count in feeds}
    for engine, tensor in feeds.values():
        for _ in range(WARM_UP_CALLS):
            engine.infer({engine.inputs[0].name: tensor})
    for _ in range(rounds):
        for count, (engine, tensor) in feeds.items():
            calls = max(1, PICTURES // len(tensor))
            wall, cpu = perf_counter(), process_time()
            for _ in range(calls):
                engine.infer({engine.inputs[0].name: tensor})
            done = calls * len(tensor)
            times[count].append(((perf_counter() - wall) / done, (process_time() - cpu) / done))
    return tuple(_median(count, values) for count, values in times.items())


def _side_by_side(source: str | Path, config: Config, count: int) -> tuple[float, float]:
    """Wall and CPU seconds of one frame, with so many streams of the same source at once."""
    with Streams(config) as streams:
        wall, cpu = perf_counter(), process_time()
        added = [streams.add(source) for _ in range(count)]
        streams.wait()
        spent = perf_counter() - wall, process_time() - cpu
    for stream in added:
        if stream.failure is not None:
            raise stream.failure
    frames = sum(stream.report.ledger.inferred for stream in added if stream.report is not None)
    return spent[0] / frames, spent[1] / frames


def _median(count: int, values: Sequence[tuple[float, float]]) -> Point:
    wall, cpu = (statistics.median(column) for column in zip(*values, strict=True))
    return Point(count, 1 / wall, 1000 * cpu)
