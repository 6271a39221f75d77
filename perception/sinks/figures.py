"""How a live run is doing, over its last seconds: for the page, for Prometheus and for a watchdog."""

from __future__ import annotations

import threading
from collections import Counter, deque
from time import monotonic
from typing import Any

import numpy as np

from perception.types import FrameResult

SAMPLES = 250
EVENTS = 20
# Results that stay away for so long are a fault.
SILENCE_S = 10.0
QUANTILES = (0.5, 0.95, 0.99)
COUNTS = ("decoded", "corrupt", "dropped", "stale", "inferred", "written")


class Figures:
    """Rates, ages and stage times of the last SAMPLES results, and the last EVENTS events."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = self._last = monotonic()
        self._at: deque[float] = deque(maxlen=SAMPLES)
        self._ages: deque[float] = deque(maxlen=SAMPLES)
        self._stages: dict[str, deque[float]] = {}
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS)
        self._objects: Counter[str] = Counter()
        self._results = 0
        self._age_sum = 0.0

    def add(self, result: FrameResult) -> None:
        with self._lock:
            self._last = monotonic()
            self._at.append(self._last)
            self._ages.append(result.latency)
            self._results += 1
            self._age_sum += result.latency
            for name, seconds in result.timings.items():
                self._stages.setdefault(name, deque(maxlen=SAMPLES)).append(seconds)
            for event in result.events:
                self._events.append(
                    {"kind": event.kind, "time": round(event.time, 3), **event.data}
                )
            # With a tracker only what it confirmed, as in the overlay.
            self._objects = Counter(
                item.class_name
                for item in result.objects
                if not item.predicted and (item.track_id is not None or not result.tracks)
            )

    def as_dict(self) -> dict[str, Any]:
        with self._lock:
            return {
                "up_s": round(monotonic() - self._begun, 1),
                "last_result_s": round(monotonic() - self._last, 3),
                "fps": round(self._fps(), 2),
                "age_ms": _milliseconds(self._ages),
                "stages_ms": {name: _milliseconds(kept) for name, kept in self._stages.items()},
                "objects": dict(self._objects),
                "events": list(self._events)[::-1],
            }

    def health(self) -> tuple[bool, str]:
        """Whether results come, and a sentence about it."""
        silent_s = monotonic() - self._last
        if silent_s <= SILENCE_S:
            return True, "ok"
        return False, f"no result for {silent_s:.0f} s"

    def prometheus(self, counts: dict[str, Any], viewers: int) -> str:
        """Everything in Prometheus's text format 0.0.4.

        Args:
            counts: of the run: frames by COUNTS, and "connected" and "reconnects" where there is a connection.
            viewers: of the page.
        """
        lines: list[str] = []

        def family(name: str, kind: str, text: str, samples: list[tuple[str, float]]) -> None:
            lines.append(f"# HELP perception_{name} {text}")
            lines.append(f"# TYPE perception_{name} {kind}")
            lines.extend(f"perception_{name}{labels} {value:.10g}" for labels, value in samples)

        frames = [(f'{{state="{name}"}}', float(counts[name])) for name in COUNTS if name in counts]
        family("frames_total", "counter", "Frames by what became of them.", frames)
        with self._lock:
            ages = _quantiles(self._ages)
            samples = [*ages, ("_sum", self._age_sum), ("_count", float(self._results))]
            family(
                "result_age_seconds", "summary", "From a frame's arrival to its result.", samples
            )
            stages = [
                (labels.replace("{", f'{{stage="{name}",'), value)
                for name, kept in self._stages.items()
                for labels, value in _quantiles(kept)
            ]
            family("stage_seconds", "summary", "Time of each stage for a frame.", stages)
            family("results_per_second", "gauge", "Over the last results.", [("", self._fps())])
            found = [(f'{{class="{name}"}}', float(n)) for name, n in self._objects.items()]
            family("objects", "gauge", "Objects on the newest frame.", found)
            silent = [("", monotonic() - self._last)]
            family("last_result_seconds", "gauge", "Time since the newest result.", silent)
        for name, kind, text in (
            ("connected", "gauge", "1 while the source is connected."),
            ("reconnects", "counter", "How often the source was connected again."),
        ):
            if name in counts:
                metric = f"{name}_total" if kind == "counter" else name
                family(metric, kind, text, [("", float(counts[name]))])
        family("viewers", "gauge", "Who watch the page.", [("", float(viewers))])
        return "\n".join(lines) + "\n"

    def _fps(self) -> float:
        # Over at least two results, and up to now: a run that stands still has a rate that falls.
        if len(self._at) < 2:
            return 0.0
        return (len(self._at) - 1) / max(
            self._at[-1] - self._at[0], monotonic() - self._at[0], 1e-9
        )


def _quantiles(kept: deque[float]) -> list[tuple[str, float]]:
    if not kept:
        return []
    values = np.quantile(np.fromiter(kept, float), QUANTILES)
    return [(f'{{quantile="{q}"}}', float(v)) for q, v in zip(QUANTILES, values, strict=True)]


def _milliseconds(kept: deque[float]) -> dict[str, float]:
    names = ("p50", "p95", "p99")
    return {
        name: round(1000 * value, 2)
        for name, (_, value) in zip(names, _quantiles(kept), strict=False)
    }
