"""The figures of a benchmark: what they are, what they say, as JSON and as a table."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from perception.bench.scaling import Scaling
from perception.report import quantiles_ms

SCHEMA = "perception-bench/2"
DECODE, ENCODE, OVERLAY = "decode", "encode", "overlay"
END_TO_END, RECORD, VIDEO = "end to end", "with record", "with video"
WHOLE = (END_TO_END, RECORD, VIDEO)


def at_once(engine: str, looks: int) -> str:
    """Name of the part that is an engine called from several threads."""
    return f"{engine} x{looks}"


@dataclass(slots=True)
class Part:
    """One part's figures, a value per round.

    Attributes:
        wall_ms, cpu_ms: per frame.
        memory_mb: the process's memory at the end of the round.
        samples: seconds of single calls, where the part is called frame by frame.
    """

    name: str
    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    samples: list[float] = field(default_factory=list)

    @property
    def fps(self) -> float:
        return 1000 / statistics.median(self.wall_ms)

    @property
    def cpu(self) -> float:
        """Median CPU milliseconds per frame."""
        return statistics.median(self.cpu_ms)

    @property
    def spread(self) -> float:
        """How far apart the rounds' wall times are, as a share of their median."""
        return (max(self.wall_ms) - min(self.wall_ms)) / statistics.median(self.wall_ms)

    def as_dict(self) -> dict[str, Any]:
        return {
            "fps": round(self.fps, 2),
            "spread": round(self.spread, 4),
            "wall_ms": [round(value, 3) for value in self.wall_ms],
            "cpu_ms": [round(value, 3) for value in self.cpu_ms],
            "memory_mb": [round(value, 1) for value in self.memory_mb],
            "call_ms": quantiles_ms(self.samples),
        }


@dataclass(slots=True)
class Benchmark:
    """The result of `measure`.

    Attributes:
        parts: by name: decode, one per engine and per other stage, overlay, encode (each alone), then the whole:
            end to end without output, with the record, with record and overlay video.
        engines: names of the parts that are engines alone, called from one thread.
        looks: frames that the engines look at at once in the whole runs; above one, there is a part "NAME xLOOKS" for
            each engine, called from so many threads.
        stages: milliseconds per stage inside the last run with video: p50, p95, p99, max; `latency` too.
        first_result_s: from the start of a fresh process to its first result, one value per start.
        settings: by engine: file, backend, input size.
        duty: by engine: on which share of the frames it runs (`every_s`); 1 where nothing is said.
    """

    source: str
    size: tuple[int, int]
    frames: int
    parts: dict[str, Part]
    engines: tuple[str, ...]
    stages: dict[str, dict[str, float]]
    latency: dict[str, float]
    first_result_s: list[float]
    settings: dict[str, Any]
    machine: dict[str, Any]
    duty: dict[str, float] = field(default_factory=dict)
    scaling: Scaling | None = None
    looks: int = 1

    @property
    def cores(self) -> int:
        return int(self.machine["cores"])

    def bare(self, whole: str) -> list[Part]:
        """The parts that a whole run cannot do without: decoder and engines, and the encoder for a video.

        Per frame of the source: an engine that rests on every other frame costs half.
        """
        names = [DECODE, *self.engines, *([ENCODE] if whole == VIDEO else [])]
        found = []
        for name in names:
            part, share = self.parts[name], self.duty.get(name, 1.0)
            wall, cpu = ([v * share for v in times] for times in (part.wall_ms, part.cpu_ms))
            found.append(Part(name, wall, cpu))
        return found

    def overhead(self, whole: str) -> float:
        """CPU time of a whole run over the sum of its bare parts."""
        return self.parts[whole].cpu / sum(part.cpu for part in self.bare(whole))

    def bound(self, whole: str) -> tuple[float, str]:
        """The highest frame rate the bare parts allow, and what sets it."""
        together = sum(part.cpu for part in self.bare(whole))
        by_cores = 1000 * self.cores / together
        slowest = min(map(self._at_its_best, self.bare(whole)), key=lambda part: part.fps)
        if slowest.fps < by_cores:
            return slowest.fps, slowest.name
        return by_cores, f"{self.cores} cores"

    def _at_its_best(self, part: Part) -> Part:
        """An engine as fast as several threads call it."""
        several = self.parts.get(at_once(part.name, self.looks))
        if several is None:
            return part
        share = self.duty.get(part.name, 1.0)
        return Part(part.name, [v * share for v in several.wall_ms], part.cpu_ms)

    @property
    def limit(self) -> str:
        """What bounds the frame rate, in one sentence."""
        whole = VIDEO
        most, by = self.bound(whole)
        reached = self.parts[whole].fps
        if by in self.parts:
            return (
                f"bounded by {by}, which alone reaches {most:.1f} fps; "
                f"end to end with video reaches {reached / most:.0%} of that"
            )
        bare = self.bare(whole)
        together = sum(part.cpu for part in bare)
        largest = max(bare, key=lambda part: part.cpu)
        return (
            f"bounded by the {self.cores} cores: the bare parts take {together:.1f} ms of CPU a frame "
            f"({largest.name} {largest.cpu / together:.0%}), so at most {most:.1f} fps; "
            f"end to end with video reaches {reached / most:.0%} of that"
        )

    @property
    def engine_share(self) -> float | None:
        """Frame rate without output over the rate of the engines alone in one thread; None without an engine."""
        return self._share(self.bare(END_TO_END))

    @property
    def engines_share(self) -> float | None:
        """The same over the rate of the engines alone in as many threads as the run has for them."""
        return self._share([self._at_its_best(part) for part in self.bare(END_TO_END)])

    def _share(self, parts: list[Part]) -> float | None:
        if not self.engines:
            return None
        alone = sum(statistics.median(p.wall_ms) for p in parts if p.name in self.engines)
        return self.parts[END_TO_END].fps * alone / 1000

    def as_dict(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "machine": self.machine,
            "source": self.source,
            "size": list(self.size),
            "frames": self.frames,
            "engines": self.settings,
            "parts": {name: part.as_dict() for name, part in self.parts.items()},
            "bare": [part.name for part in self.bare(VIDEO)],
            "duty": {name: round(share, 4) for name, share in self.duty.items()},
            "stages_ms": self.stages,
            "latency_ms": self.latency,
            "first_result_s": [round(value, 3) for value in self.first_result_s],
            "cpu_overhead": {name: round(self.overhead(name), 4) for name in WHOLE},
            "bound_fps": {name: round(self.bound(name)[0], 2) for name in WHOLE},
            "engine_share": _rounded(self.engine_share),
            "engines_share": _rounded(self.engines_share),
            "looks": self.looks,
            "limit": self.limit,
            "scaling": None if self.scaling is None else self.scaling.as_dict(),
        }

    def table(self) -> str:
        """The figures as text."""
        width, height = self.size
        lines = [f"{self.source}  {width}x{height}, {self.frames} frames a round", ""]
        lines.append(
            f"{'part':<16}{'fps':>9}{'wall ms':>10}{'spread':>9}{'CPU ms':>9}{'memory MB':>11}"
        )
        for part in self.parts.values():
            wall = statistics.median(part.wall_ms)
            memory = f"{max(part.memory_mb):>11.0f}" if part.memory_mb else ""
            lines.append(
                f"{part.name:<16}{part.fps:>9.1f}{wall:>10.2f}{part.spread:>9.0%}{part.cpu:>9.2f}{memory}"
            )
        lines += ["", f"{'call':<16}{'p50':>9}{'p95':>10}{'p99':>10}{'max':>10}   ms"]
        alone = {
            name: quantiles_ms(part.samples) for name, part in self.parts.items() if part.samples
        }
        running = {f"{name}, running": values for name, values in self.stages.items()}
        for name, values in (alone | running | {"latency": self.latency}).items():
            if values:
                figures = "".join(f"{values[key]:>10.2f}" for key in ("p95", "p99", "max"))
                lines.append(f"{name:<16}{values['p50']:>9.2f}{figures}")
        lines.append("")
        if self.first_result_s:
            lines.append(
                f"first result {statistics.median(self.first_result_s):.2f} s after the start of a process"
            )
        if self.engine_share is not None:
            share = f"without output at {self.engine_share:.0%} of the rate of the engine alone"
            if self.looks > 1:
                share += f" in one thread, {self.engines_share:.0%} of that in {self.looks} threads"
            lines.append(share)
        lines += [
            f"CPU with video over the sum of the bare parts: {self.overhead(VIDEO):.2f}; "
            f"without output: {self.overhead(END_TO_END):.2f}",
            self.limit,
        ]
        if self.scaling is not None:
            lines += ["", self.scaling.table()]
        return "\n".join(lines)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
