"""A pipeline is a list of stages, checked once, called in order. No threads here.

A stage may rest: with `every_s` it runs at most every so many seconds of stream time. On the frames between,
what it writes is marked in `FrameResult.skipped`: detections are empty there (a tracker predicts), lanes are
the last ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from time import monotonic, perf_counter
from typing import Protocol

from perception.errors import ConfigError, PerceptionError, StageError, unknown
from perception.types import Detections, Frame, FrameResult, Lanes

# Time stamps are rounded to their time base: a frame that is early by less than this is on time.
EARLY_S = 2e-3


RESTING = ("detections.", "lanes")


class Stage(Protocol):
    """One step of the work on a frame.

    Attributes:
        name: unique in its pipeline; the key of its timing.
        reads: the fields it needs, written by earlier stages ("detections.road").
        writes: the fields it fills ("tracks.road").
    """

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]

    def __call__(self, result: FrameResult) -> None: ...

    def close(self) -> None: ...


class Pipeline:
    """Stages in order.

    Args:
        stages: in the order in which they run.
        every_s: by name of a stage: the least time between two of its runs, in seconds of the stream. Stages
            that follow objects over time (trackers) must see every frame and cannot rest.

    Raises:
        ConfigError: two stages share a name, one reads what no earlier stage writes, or a rest is not possible.
    """

    def __init__(
        self, stages: Sequence[Stage], *, every_s: Mapping[str, float] | None = None
    ) -> None:
        self.stages = tuple(stages)
        self._rests = {name: _Rest(name, seconds) for name, seconds in (every_s or {}).items()}
        written: set[str] = set()
        names: set[str] = set()
        for stage in self.stages:
            if stage.name in names:
                raise ConfigError(f"two stages are named {stage.name!r}; give one another name")
            missing = [field for field in stage.reads if field not in written]
            if missing:
                raise ConfigError(
                    f"stage {stage.name!r} reads {', '.join(missing)}, which no earlier stage writes "
                    f"(written so far: {', '.join(sorted(written)) or 'nothing'})"
                )
            names.add(stage.name)
            written.update(stage.writes)
            if stage.name in self._rests and any(
                not field.startswith(RESTING) for field in stage.writes
            ):
                raise ConfigError(
                    f"stage {stage.name!r} must run on every frame: every_s is for stages that write "
                    f"{' or '.join(RESTING)}"
                )
        for name in self._rests:
            if name not in names:
                raise ConfigError(f"every_s: {unknown('stage', name, sorted(names))}")

    def __call__(self, frame: Frame) -> FrameResult:
        """Run every stage on a frame.

        Raises:
            StageError: a stage failed; names the stage and the frame, the cause is chained.
        """
        result = FrameResult(frame)
        for stage in self.stages:
            rest = self._rests.get(stage.name)
            if rest is not None and rest.skips(stage, result):
                continue
            start = perf_counter()
            try:
                stage(result)
            except PerceptionError:
                raise
            except Exception as error:
                raise StageError(
                    f"stage {stage.name!r} failed on frame {frame.index} "
                    f"({frame.time:.3f} s): {type(error).__name__}: {error}"
                ) from error
            result.timings[stage.name] = perf_counter() - start
            if rest is not None:
                rest.ran(stage, result)
        result.latency = monotonic() - frame.arrived
        return result

    def close(self) -> None:
        """Close every stage, also when one fails to; the first failure is raised at the end."""
        failure: Exception | None = None
        for stage in self.stages:
            try:
                stage.close()
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure


class _Rest:
    """When a stage runs next, and what stands for its results until then."""

    def __init__(self, name: str, every_s: float) -> None:
        if not 0 <= every_s < math.inf:
            raise ConfigError(
                f"every_s of stage {name!r} must be 0 or more seconds, but is {every_s}"
            )
        self._every_s = every_s
        self._last_s = -math.inf
        self._classes: dict[str, tuple[str, ...]] = {}
        self._lanes: Lanes | None = None

    def skips(self, stage: Stage, result: FrameResult) -> bool:
        """Whether the stage rests on this frame; if so, its fields are filled in."""
        passed = result.frame.time - self._last_s
        # Time that goes back is another recording, or a camera that was connected again.
        if passed < 0 or passed >= self._every_s - EARLY_S:
            return False
        for task, classes in self._classes.items():
            result.detections[task] = Detections.empty(classes)
        if "lanes" in stage.writes:
            result.lanes = self._lanes
        result.skipped |= frozenset(stage.writes)
        return True

    def ran(self, stage: Stage, result: FrameResult) -> None:
        """Remember what the stage said on this frame."""
        self._last_s = result.frame.time
        for field in stage.writes:
            if field == "lanes":
                self._lanes = result.lanes
            else:
                task = field.partition(".")[2]
                self._classes[task] = result.detections[task].classes
