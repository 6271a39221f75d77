"""How many frames a second a pipeline really reaches on this machine, and what limits it.

Every part is measured alone, then all of them together, in rounds that take turns, so that a machine whose
speed drifts slows all of them alike; figures are medians over the rounds. CPU time is that of the whole
process, all threads, as the operating system counts it.
"""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from perception.assemble import open_run
from perception.config import Config
from perception.errors import InputError
from perception.runner import Report, quantiles_ms
from perception.sources import open_source
from perception.types import Frame, FrameResult

WARM_UP_CALLS = 5
ENCODED_FRAMES = 100


@dataclass(slots=True)
class Part:
    """One part's figures, a value per round.

    Attributes:
        wall_ms, cpu_ms: per frame.
    """

    name: str
    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    @property
    def fps(self) -> float:
        return 1000 / statistics.median(self.wall_ms)

    @property
    def cpu(self) -> float:
        """Median CPU milliseconds per frame."""
        return statistics.median(self.cpu_ms)

    def as_dict(self) -> dict[str, Any]:
        return {
            "fps": round(self.fps, 2),
            "wall_ms": [round(value, 3) for value in self.wall_ms],
            "cpu_ms": [round(value, 3) for value in self.cpu_ms],
        }


@dataclass(slots=True)
class Benchmark:
    """The result of `measure`.

    Attributes:
        parts: by name: decode, one per engine, encode (each alone), then end_to_end.
        stages: milliseconds per stage inside the last end-to-end round: p50, p95, p99, max.
    """

    source: str
    size: tuple[int, int]
    frames: int
    parts: dict[str, Part]
    stages: dict[str, dict[str, float]]
    latency: dict[str, float]
    first_result_s: float | None

    @property
    def bare(self) -> list[Part]:
        return [part for name, part in self.parts.items() if name != "end_to_end"]

    @property
    def overhead(self) -> float:
        """CPU time end to end over the sum of the bare parts."""
        return self.parts["end_to_end"].cpu / sum(part.cpu for part in self.bare)

    @property
    def limit(self) -> str:
        """What bounds the frame rate, in one sentence."""
        cores = os.cpu_count() or 1
        together = sum(part.cpu for part in self.bare)
        cpu_bound = 1000 * cores / together
        slowest = min(self.bare, key=lambda part: part.fps)
        reached = self.parts["end_to_end"].fps
        if slowest.fps < cpu_bound:
            return (
                f"bounded by {slowest.name}, which alone reaches {slowest.fps:.1f} fps; "
                f"end to end reaches {reached / slowest.fps:.0%} of that"
            )
        largest = max(self.bare, key=lambda part: part.cpu)
        return (
            f"bounded by the {cores} cores: the bare parts take {together:.1f} ms of CPU a frame "
            f"({largest.name} {largest.cpu / together:.0%}), so at most {cpu_bound:.1f} fps; "
            f"end to end reaches {reached / cpu_bound:.0%} of that"
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "schema": "perception-bench/1",
            "machine": machine(),
            "source": self.source,
            "size": list(self.size),
            "frames": self.frames,
            "parts": {name: part.as_dict() for name, part in self.parts.items()},
            "stages_ms": self.stages,
            "latency_ms": self.latency,
            "first_result_s": self.first_result_s,
            "cpu_overhead": round(self.overhead, 4),
            "limit": self.limit,
        }

    def table(self) -> str:
        """The figures as text."""
        width, height = self.size
        lines = [f"{self.source}  {width}x{height}, {self.frames} frames a round", ""]
        lines.append(f"{'part':<14}{'fps':>9}{'wall ms':>10}{'CPU ms':>10}")
        for part in self.parts.values():
            wall = statistics.median(part.wall_ms)
            lines.append(f"{part.name:<14}{part.fps:>9.1f}{wall:>10.2f}{part.cpu:>10.2f}")
        lines += ["", f"{'stage':<14}{'p50':>9}{'p95':>10}{'p99':>10}{'max':>10}   ms"]
        rows = self.stages | {"latency": self.latency}
        for name, values in rows.items():
            figures = "".join(f"{values[key]:>10.2f}" for key in ("p95", "p99", "max"))
            lines.append(f"{name:<14}{values['p50']:>9.2f}{figures}")
        lines += [
            "",
            f"CPU end to end over the sum of the bare parts: {self.overhead:.2f}",
            self.limit,
        ]
        return "\n".join(lines)


def machine() -> dict[str, Any]:
    """What was measured on."""
    processor = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        models = [row for row in info.read_text().splitlines() if row.startswith("model name")]
        processor = models[0].split(":", 1)[1].strip() if models else processor
    return {
        "cpu": processor,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def measure(
    source: str | Path,
    config: Config,
    *,
    rounds: int = 3,
    frames: int = 300,
    decode: str = "auto",
    progress: Callable[[str], None] | None = None,
) -> Benchmark:
    """Measure a configuration on a video file, overlay video and record included.

    Args:
        rounds: how often every part is measured; figures are medians.
        frames: most frames per round.
        decode: where the file is decoded: "auto", "cpu" or "nvdec".
        progress: called with the name of what is measured next.

    Raises:
        InputError: the source has no frame, or is not a video file.
    """
    with_first = open_source(source, decode=decode)
    try:
        if with_first.info.kind != "video":
            raise InputError(f"{source}: a benchmark needs a video file")
        pictures: list[Frame] = list(islice(iter(with_first), min(frames, ENCODED_FRAMES)))
    finally:
        with_first.close()
    if not pictures:
        raise InputError(f"{source}: there is no frame to measure with")
    pipeline = config.pipeline()
    models = {
        f"{stage.name} engine": stage.model for stage in pipeline.stages if hasattr(stage, "model")
    }
    parts = {name: Part(name) for name in ("decode", *models, "encode", "end_to_end")}
    report: Report | None = None
    try:
        for stage in pipeline.stages:
            for _ in range(WARM_UP_CALLS if hasattr(stage, "model") else 0):
                stage(FrameResult(pictures[0]))
        with tempfile.TemporaryDirectory() as folder:
            for number in range(rounds):
                label = f"round {number + 1} of {rounds}: "
                for name, part in parts.items():
                    if progress is not None:
                        progress(label + name)
                    if name == "decode":
                        count = _timed(part, partial(_decode, source, frames, decode))
                    elif name == "encode":
                        _timed(part, partial(_encode, source, config, pictures, Path(folder)))
                    elif name in models:
                        _timed(part, partial(_infer, models[name], pictures))
                    else:
                        report = _end_to_end(part, source, config, frames, Path(folder), decode)
    finally:
        pipeline.close()
    assert report is not None
    return Benchmark(
        source=Path(source).name,
        size=pictures[0].size,
        frames=count,
        parts=parts,
        stages={name: quantiles_ms(values) for name, values in report.stages.items()},
        latency=quantiles_ms(report.latency),
        first_result_s=report.first_result_s,
    )


def _timed(part: Part, work: Callable[[], int]) -> int:
    wall, cpu = perf_counter(), process_time()
    count = work()
    part.wall_ms.append((perf_counter() - wall) * 1000 / count)
    part.cpu_ms.append((process_time() - cpu) * 1000 / count)
    return count


def _decode(source: str | Path, frames: int, decode: str) -> int:
    opened = open_source(source, decode=decode)
    try:
        return sum(1 for _ in islice(iter(opened), frames))
    finally:
        opened.close()


def _infer(model: Any, pictures: list[Frame]) -> int:
    """The network alone, on a prepared tensor."""
    tensor, _ = model.preprocessor(pictures[0].size)(pictures[0])
    feeds = {model.engine.inputs[0].name: tensor}
    for _ in pictures:
        model.engine.infer(feeds)
    return len(pictures)


def _encode(source: str | Path, config: Config, pictures: list[Frame], folder: Path) -> int:
    """The encoder alone, on decoded pictures without an overlay."""
    from perception.sinks.video import VideoSink

    opened = open_source(source)
    try:
        sink = VideoSink(folder / "encoded.mp4", **({"audio": False} | config.video))
        sink.open(opened.info)
        for frame in pictures:
            sink.write(FrameResult(frame))
        sink.finish({})
        sink.close()
    finally:
        opened.close()
    return len(pictures)


def _end_to_end(
    part: Part, source: str | Path, config: Config, frames: int, folder: Path, decode: str
) -> Report:
    start = perf_counter()
    opened = open_source(source, decode=decode)
    run = open_run(opened, config, output=folder / "overlay.mp4", jsonl=folder / "record.jsonl")
    # Engines load once per run of hours; loading them is start-up, not frame rate.
    wall, cpu = perf_counter(), process_time()
    with run:
        count = sum(1 for _ in islice(run, frames))
    part.wall_ms.append((perf_counter() - wall) * 1000 / count)
    part.cpu_ms.append((process_time() - cpu) * 1000 / count)
    run.report.first_result_s = (run.report.first_result_s or 0) + wall - start
    return run.report
