"""What a build is doing: TensorRT's phases (10 and later), or what its log says it is timing (8.6)."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from perception.backends.trt_version import Api
from perception.errors import EngineError

TICK_S = 0.2
# Lines of TensorRT's log at its finest level, the same from 8.4 on; what stands before the layer's name differs.
_TIMING = re.compile(r"^-+ Timing Runner: (?P<layer>.+) \((?P<kind>\w+)(?:\[\w+\])?\)\s*$")
_NEXT_LAYER = re.compile(r"^=+ Computing costs for\b")
_LAYERS_LEFT = re.compile(r"^After [\w\- ]+: (?P<count>\d+) layers\s*$")
_NO_KERNEL = re.compile(r"No low-precision conv kernel.*Failing node: (?P<node>.+?)\s*$", re.S)
_TIMED = re.compile(r"^Formats and tactics selection completed\b")
LONGEST_NAME = 60  # characters of a layer's name that are shown


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """What a build is doing.

    Attributes:
        phase: TensorRT's own words; "timing LAYER (KIND)" where only its log says (8.6), or "building".
        share: 0..1 of the outermost phase, or of the layers that are timed; None where neither is known.
        elapsed_s: since the build began.
    """

    phase: str
    share: float | None
    elapsed_s: float

    @property
    def what(self) -> str:
        """Phase and share."""
        return self.phase if self.share is None else f"{self.phase}, {self.share:.0%}"

    def __str__(self) -> str:
        return f"{self.what}, {self.elapsed_s:.0f} s"


class Watch:
    """Runs a build in a thread, tells the caller about it, and stops it on Ctrl-C.

    Attributes:
        stop: set when TensorRT should give up.
        stop_s: how long to wait for a build that was told to stop.
        ended: True once the build's thread has returned.
        without_kernel: layers for which TensorRT has no kernel in the precision of the network.
    """

    def __init__(self, progress: Callable[[BuildProgress], None] | None) -> None:
        self._progress = progress
        self._start = monotonic()
        self.stop = False
        self.stop_s = 0.0
        self.ended = False
        self.without_kernel: list[str] = []
        self._phases: dict[str, tuple[str | None, int, int]] = {}
        self._phased = False  # TensorRT tells of phases itself
        self._lock = threading.Lock()
        self._at: tuple[str, float] | None = None  # what is timed, and since when
        self._spent: dict[str, float] = {}
        self._layers = self._timed = 0

    def run(self, work: Callable[[], Any]) -> Any:
        """Do `work` in a thread, telling the caller about it until it ends.

        Raises:
            EngineError: it failed.
        """
        result: list[Any] = []
        failure: list[BaseException] = []

        def target() -> None:
            try:
                result.append(work())
            except BaseException as error:
                failure.append(error)

        # A daemon: a build that cannot be stopped must not keep a program alive that was told to end.
        thread = threading.Thread(target=target, name="tensorrt-build", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(TICK_S)
                self._tell()
        except BaseException:
            self.stop = True
            thread.join(self.stop_s)
            raise
        finally:
            self.ended = not thread.is_alive()
            self._leave(monotonic())
        if failure:
            raise EngineError(f"TensorRT failed while building: {failure[0]}") from failure[0]
        return result[0]

    def _tell(self) -> None:
        if self._progress is not None:
            phase, share = self.where()
            self._progress(BuildProgress(phase, share, monotonic() - self._start))

    def where(self) -> tuple[str, float | None]:
        """The innermost phase, and the share done of the outermost."""
        with self._lock:
            phases, at = dict(self._phases), self._at
            layers, timed = self._layers, self._timed
        if not phases and self._phased:
            return "building", None
        if not phases:
            share = min(1.0, timed / layers) if layers and timed else None
            return (f"timing {at[0]}" if at is not None else "building"), share
        share, innermost = 0.0, "building"
        parent: str | None = None
        weight = 1.0
        while True:
            inner = next((name for name, phase in phases.items() if phase[0] == parent), None)
            if inner is None:
                return innermost, min(1.0, share)
            _, steps, done = phases.pop(inner)
            share += weight * min(1.0, done / max(steps, 1))
            weight /= max(steps, 1)
            innermost = parent = inner

    def phase_start(self, name: str, parent: str | None, steps: int) -> None:
        with self._lock:
            self._phased = True
            self._phases[name] = (parent, steps, 0)

    def step_complete(self, name: str, step: int) -> bool:
        with self._lock:
            if name in self._phases:
                parent, steps, _ = self._phases[name]
                self._phases[name] = (parent, steps, step + 1)
        return not self.stop

    def phase_finish(self, name: str) -> None:
        with self._lock:
            self._phases.pop(name, None)

    def hear(self, line: str) -> None:
        """A line of TensorRT's log, from the thread that builds."""
        timing = _TIMING.match(line)
        if timing is not None:
            self._leave(monotonic(), f"{_short(timing['layer'])} ({timing['kind']})")
        elif _NEXT_LAYER.match(line):
            with self._lock:
                self._timed += 1
        elif _TIMED.match(line):
            self._leave(monotonic())
        else:
            self._hear_rarer(line)

    def _hear_rarer(self, line: str) -> None:
        left, missing = _LAYERS_LEFT.match(line), _NO_KERNEL.search(line)
        if left is not None and not self._timed:
            with self._lock:
                self._layers = int(left["count"])
        if missing is not None and missing["node"] not in self.without_kernel:
            self.without_kernel.append(missing["node"])

    def _leave(self, now: float, to: str | None = None) -> None:
        """Book the time since the last change on what was timed, and go on with `to`."""
        with self._lock:
            if self._at is not None:
                name, since = self._at
                self._spent[name] = self._spent.get(name, 0.0) + now - since
            self._at = None if to is None else (to, now)

    def slowest(self, count: int = 5) -> list[tuple[str, float]]:
        """What took longest to time: (layer and kind of kernel, seconds); empty where the log did not say."""
        with self._lock:
            found = sorted(self._spent.items(), key=lambda item: -item[1])
        return [(name, seconds) for name, seconds in found[:count] if seconds >= 0.1]


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 3]}..."


def monitor(api: Api, watch: Watch) -> Any:
    """Tells `watch` what TensorRT is doing, and TensorRT when to stop; None where 8.6 cannot."""
    trt = api.trt
    if api.major >= 10:

        class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                trt.IProgressMonitor.__init__(self)

            def phase_start(
                self, phase_name: str, parent_phase: str | None, num_steps: int
            ) -> None:
                watch.phase_start(phase_name, parent_phase, num_steps)

            def step_complete(self, phase_name: str, step: int) -> bool:
                return watch.step_complete(phase_name, step)

            def phase_finish(self, phase_name: str) -> None:
                watch.phase_finish(phase_name)

        return Monitor()
    return None
