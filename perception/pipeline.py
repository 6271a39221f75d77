"""A pipeline is a list of stages, checked once, called in order. No threads here."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic, perf_counter
from typing import Protocol

from perception.errors import ConfigError, PerceptionError, StageError
from perception.types import Frame, FrameResult


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

    Raises:
        ConfigError: two stages share a name, or one reads what no earlier stage writes.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = tuple(stages)
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

    def __call__(self, frame: Frame) -> FrameResult:
        """Run every stage on a frame.

        Raises:
            StageError: a stage failed; names the stage and the frame, the cause is chained.
        """
        result = FrameResult(frame)
        for stage in self.stages:
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
