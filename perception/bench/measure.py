"""Measuring: every part alone and all together, in rounds that take turns."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from time import monotonic, perf_counter, process_time
from typing import Any

from perception.assemble import open_run
from perception.bench.figures import (
    DECODE,
    ENCODE,
    END_TO_END,
    OVERLAY,
    RECORD,
    VIDEO,
    Benchmark,
    Part,
    at_once,
)
from perception.bench.scaling import measure_scaling
from perception.config import Config
from perception.errors import InputError, RunError
from perception.machine import machine
from perception.pipeline import Pipeline, Stage
from perception.report import Report, quantiles_ms
from perception.runner import looks_at_once
from perception.sources import Source, open_source
from perception.types import Frame, FrameResult, Planes

# Frames at the start of a measurement that do not count.
WARM_UP_FRAMES = 10
# Decoded frames kept for the parts that are measured without a decoder; 1.4 MB each at 1280x720.
KEPT_FRAMES = 60
STARTS = 3
_FIRST_RESULT = """
import json, sys, time
import perception
from perception.preprocess import one_thread_per_picture
one_thread_per_picture()
where, stages, overlay, video = json.load(sys.stdin)
config = perception.Config(where, tuple(stages), overlay, video)
with perception.open(sys.argv[1], config=config) as run:
    next(iter(run))
    print(time.monotonic(), flush=True)
"""


def measure(
    source: str | Path,
    config: Config,
    *,
    rounds: int = 3,
    frames: int = 300,
    decode: str = "auto",
    scaling: bool = False,
    starts: int = STARTS,
    progress: Callable[[str], None] | None = None,
) -> Benchmark:
    """Measure a configuration on a video file, alone, without output, with the record and with the video.

    Args:
        rounds: how often every part is measured; figures are medians.
        frames: most frames per round.
        decode: where the file is decoded: "auto", "cpu" or "nvdec".
        scaling: also over threads, batches and streams.
        starts: how often the time to the first result is measured, each in a process of its own.
        progress: called with the name of what is measured next.

    Raises:
        InputError: the source has no frame, or is not a video file.
    """
    say = progress or (lambda _: None)
    pictures, size = _pictures(source, decode, min(frames, KEPT_FRAMES))
    pipeline = config.pipeline()
    report: Report | None = None
    try:
        with tempfile.TemporaryDirectory() as folder:
            bench = _Bench(
                partial(open_source, source, decode=decode),
                config,
                pipeline,
                pictures,
                frames,
                Path(folder),
            )
            parts = {name: Part(name) for name in bench.parts}
            for number in range(rounds):
                for name, part in parts.items():
                    say(f"round {number + 1} of {rounds}: {name}")
                    _timed(part, bench.parts[name]())
            report, looks = bench.report, bench.looks
            count = bench.count
        engines, settings = bench.engines, bench.settings
    finally:
        pipeline.close()
    say("starting up")
    first = [_first_result(source, config) for _ in range(starts)]
    grown = None
    if scaling:
        grown = measure_scaling(source, config, rounds=rounds, progress=say)
    assert report is not None
    return Benchmark(
        source=Path(source).name,
        size=size,
        frames=count,
        parts=parts,
        engines=engines,
        stages={name: quantiles_ms(values) for name, values in report.stages.items()},
        latency=quantiles_ms(report.latency),
        first_result_s=first,
        settings=settings,
        duty={
            f"{name} engine": len(values) / max(1, report.ledger.inferred)
            for name, values in report.stages.items()
        },
        machine=machine(),
        scaling=grown,
        looks=looks,
    )


class _Bench:
    """The parts of one configuration on one source, each a function that works frame by frame.

    Attributes:
        parts: by name, in the order in which they are measured.
        report: of the last run with video.
    """

    def __init__(
        self,
        opener: Callable[[], Source],
        config: Config,
        pipeline: Pipeline,
        pictures: list[Frame],
        frames: int,
        folder: Path,
    ) -> None:
        self._open, self._config, self._folder = opener, config, folder
        self._pictures, self._frames = pictures, frames
        self.report: Report | None = None
        self.count = 0
        models: list[Any] = [s for s in pipeline.stages if hasattr(s, "model")]
        models = [stage for stage in models if hasattr(stage.model, "preprocessor")]
        self.engines = tuple(f"{stage.name} engine" for stage in models)
        self.settings = {
            stage.name: {
                "file": stage.engine.path.name,
                "backend": stage.engine.backend,
                "precision": getattr(stage.engine, "precision", "fp32"),
                "input": list(stage.model.input_size(pictures[0].size)),
            }
            for stage in models
        }
        # Results as each stage finds them: with what the stages before it said.
        results = [pipeline(frame) for frame in pictures]
        self.parts: dict[str, Callable[[], Iterator[float]]] = {DECODE: self._decode}
        self.looks = looks_at_once(pipeline)
        for stage in models:
            name = f"{stage.name} engine"
            self.parts[name] = partial(self._infer, stage.model)
            if self.looks > 1 and stage.together:
                self.parts[at_once(name, self.looks)] = partial(self._infer_together, stage.model)
        for stage in pipeline.stages:
            self.parts[f"{stage.name} stage"] = partial(self._stage, stage, results)
        self.parts[OVERLAY] = partial(self._draw, results)
        self.parts[ENCODE] = self._encode
        self.parts[END_TO_END] = partial(self._run, END_TO_END)
        self.parts[RECORD] = partial(self._run, RECORD)
        self.parts[VIDEO] = partial(self._run, VIDEO)

    def _decode(self) -> Iterator[float]:
        opened = self._open()
        try:
            for _ in islice(iter(opened), self._frames):
                yield 0.0
        finally:
            opened.close()

    def _infer(self, model: Any) -> Iterator[float]:
        """The network alone, on a prepared tensor."""
        tensor, _ = model.preprocessor(self._pictures[0].size)(self._pictures[0])
        feeds = {model.engine.inputs[0].name: tensor}
        for _ in self._pictures:
            start = perf_counter()
            model.engine.infer(feeds)
            yield perf_counter() - start

    def _infer_together(self, model: Any) -> Iterator[float]:
        """The same from as many threads as a run has for it."""
        tensor, _ = model.preprocessor(self._pictures[0].size)(self._pictures[0])
        feeds = {model.engine.inputs[0].name: tensor}
        with ThreadPoolExecutor(self.looks) as pool:
            calls = range(self.looks * len(self._pictures))
            for _ in pool.map(lambda _: model.engine.infer(feeds), calls):
                yield 0.0

    def _stage(self, stage: Stage, results: list[FrameResult]) -> Iterator[float]:
        """A whole stage: preparing, inferring, decoding; or tracking. Pictures come in their order, again and again."""
        tracker = getattr(stage, "tracker", None)
        if tracker is not None:
            tracker.restart()
        for result in results:
            copy = FrameResult(
                result.frame,
                detections=dict(result.detections),
                tracks=dict(result.tracks),
                lanes=result.lanes,
                skipped=result.skipped,
            )
            start = perf_counter()
            stage(copy)
            yield perf_counter() - start

    def _draw(self, results: list[FrameResult]) -> Iterator[float]:
        from perception.render import Overlay

        overlay = Overlay(**self._config.overlay)
        for result in results:
            start = perf_counter()
            drawn: Planes | None = overlay(result)
            yield perf_counter() - start
            del drawn

    def _encode(self) -> Iterator[float]:
        """The encoder alone, on decoded pictures without an overlay."""
        from perception.sinks.video import VideoSink

        opened = self._open()
        try:
            sink = VideoSink(
                self._folder / "encoded.mp4", **({"audio": False} | self._config.video)
            )
            sink.open(opened.info)
            for frame in self._pictures:
                start = perf_counter()
                sink.write(FrameResult(frame))
                yield perf_counter() - start
            sink.finish({})
            sink.close()
        finally:
            opened.close()

    def _run(self, whole: str) -> Iterator[float]:
        outputs: dict[str, Any] = {}
        if whole != END_TO_END:
            outputs["jsonl"] = self._folder / "record.jsonl"
        if whole == VIDEO:
            outputs["output"] = self._folder / "overlay.mp4"
        run = open_run(self._open(), self._config, **outputs)
        count = 0
        with run:
            for _ in islice(run, self._frames):
                count += 1
                yield 0.0
        self.count = count
        if whole == VIDEO:
            self.report = run.report


def _timed(part: Part, work: Iterator[float]) -> None:
    """One round: the first frames warm up, the rest counts, and so does what finishing takes."""
    gc.collect()
    samples: list[float] = []
    warm = 0
    wall, cpu = perf_counter(), process_time()
    for seconds in work:
        samples.append(seconds)
        if len(samples) == WARM_UP_FRAMES:
            warm = len(samples)
            wall, cpu = perf_counter(), process_time()
    count = len(samples) - warm
    if count < 1:
        raise RunError(
            f"{part.name}: {len(samples)} frames are too few: {WARM_UP_FRAMES} only warm up"
        )
    part.wall_ms.append((perf_counter() - wall) * 1000 / count)
    part.cpu_ms.append((process_time() - cpu) * 1000 / count)
    part.memory_mb.append(_memory_mb())
    part.samples += [value for value in samples[warm:] if value > 0]


def _pictures(source: str | Path, decode: str, count: int) -> tuple[list[Frame], tuple[int, int]]:
    opened = open_source(source, decode=decode)
    try:
        if opened.info.kind != "video":
            raise InputError(f"{source}: a benchmark needs a video file")
        pictures: list[Frame] = list(islice(iter(opened), count))
    finally:
        opened.close()
    if not pictures:
        raise InputError(f"{source}: there is no frame to measure with")
    return pictures, pictures[0].size


def _first_result(source: str | Path, config: Config) -> float:
    """Seconds from starting a process to its first result."""
    tables = json.dumps([config.where, config.stages, config.overlay, config.video])
    start = monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _FIRST_RESULT, str(source)],
        input=tables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RunError(f"starting up failed: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout) - start


def _memory_mb() -> float:
    """Of this process now: resident pages."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
