"""A pipeline is a list of stages, checked once, called in order. No threads here.

A stage may rest: with `every_s` it runs at most every so many seconds of stream time. On the frames between,
what it writes is marked in `FrameResult.skipped`: detections are empty there (a tracker predicts), lanes are
the last ones.

The work on a frame has three steps, so that a run may look at several frames at once: `plan` (in the frames' order)
says which stages rest, `look` (in any order, in any thread) does what needs this frame alone, which is nearly all of
a network's work, and `finish` (in order) does the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import Any, Protocol

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


class LookingStage(Stage, Protocol):
    """A stage whose costly part needs one frame alone, not what was before it.

    Calling it is `tell(result, look(result.frame))`.

    Attributes:
        together: whether `look` may run in several threads at once.
    """

    together: bool

    def look(self, frame: Frame) -> Any:
        """What is on the frame."""
        ...

    def tell(self, result: FrameResult, seen: Any) -> None:
        """Put what `look` saw into the result; in the frames' order."""
        ...


@dataclass(slots=True)
class Work:
    """The work on one frame, between its steps.

    Attributes:
        resting: names of stages that rest on this frame.
        seen: by name of a stage: what its `look` returned, and the seconds it took.
        failure: of a look.
    """

    frame: Frame
    resting: frozenset[str] = frozenset()
    seen: dict[str, tuple[Any, float]] = field(default_factory=dict)
    failure: StageError | PerceptionError | None = None


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

    @property
    def looks_together(self) -> bool:
        """Whether several frames may be looked at at once, and there is something to gain."""
        return any(map(_looks_together, self.stages))

    def __call__(self, frame: Frame) -> FrameResult:
        """Run every stage on a frame.

        Raises:
            StageError: a stage failed; names the stage and the frame, the cause is chained.
        """
        return self.finish(self.plan(frame))

    def plan(self, frame: Frame) -> Work:
        """Which stages rest on a frame; called once for every frame, in their order."""
        resting = (name for name, rest in self._rests.items() if not rest.is_due(frame))
        return Work(frame, frozenset(resting))

    def look(self, work: Work) -> None:
        """What the stages that may look together see on this frame; in any thread. A failure waits for `finish`."""
        for stage in self.stages:
            if not _looks_together(stage) or stage.name in work.resting:
                continue
            start = perf_counter()
            try:
                seen = stage.look(work.frame)  # type: ignore[attr-defined]
            except PerceptionError as error:
                work.failure = error
                return
            except Exception as error:
                work.failure = _failed(stage, work.frame, error)
                return
            work.seen[stage.name] = seen, perf_counter() - start

    def finish(self, work: Work) -> FrameResult:
        """The result of a frame; called once for every frame, in their order.

        Raises:
            StageError: a stage failed; names the stage and the frame, the cause is chained.
        """
        if work.failure is not None:
            raise work.failure
        frame = work.frame
        result = FrameResult(frame)
        for stage in self.stages:
            rest = self._rests.get(stage.name)
            if rest is not None and stage.name in work.resting:
                rest.fill(stage, result)
                continue
            start = perf_counter()
            seconds = 0.0
            try:
                if stage.name in work.seen:
                    seen, seconds = work.seen[stage.name]
                    stage.tell(result, seen)  # type: ignore[attr-defined]
                else:
                    stage(result)
            except PerceptionError:
                raise
            except Exception as error:
                raise _failed(stage, frame, error) from error
            result.timings[stage.name] = seconds + perf_counter() - start
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


def _looks_together(stage: Stage) -> bool:
    return getattr(stage, "together", False)


def _failed(stage: Stage, frame: Frame, error: Exception) -> StageError:
    failure = StageError(
        f"stage {stage.name!r} failed on frame {frame.index} "
        f"({frame.time:.3f} s): {type(error).__name__}: {error}"
    )
    failure.__cause__ = error
    return failure


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

    def is_due(self, frame: Frame) -> bool:
        """Whether the stage runs on this frame; the next rest is counted from here."""
        passed = frame.time - self._last_s
        # Time that goes back is another recording, or a camera that was connected again.
        if 0 <= passed < self._every_s - EARLY_S:
            return False
        self._last_s = frame.time
        return True

    def fill(self, stage: Stage, result: FrameResult) -> None:
        """What stands for the stage's results on a frame on which it rests."""
        for task, classes in self._classes.items():
            result.detections[task] = Detections.empty(classes)
        if "lanes" in stage.writes:
            result.lanes = self._lanes
        result.skipped |= frozenset(stage.writes)

    def ran(self, stage: Stage, result: FrameResult) -> None:
        """Remember what the stage said on this frame."""
        for written in stage.writes:
            if written == "lanes":
                self._lanes = result.lanes
            else:
                task = written.partition(".")[2]
                self._classes[task] = result.detections[task].classes
