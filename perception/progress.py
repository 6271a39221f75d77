"""A progress line for terminals: quiet where standard error is not one."""

from __future__ import annotations

import sys
from time import monotonic
from typing import TextIO

REDRAW_S = 0.1
BAR = 24


class Progress:
    """Frames done, frames per second and time left on one line that is redrawn in place.

    Args:
        total: frames expected; None when the source does not say.
        enabled: None means: only where `stream` is a terminal.
    """

    def __init__(
        self,
        label: str,
        total: int | None,
        *,
        enabled: bool | None = None,
        stream: TextIO | None = None,
    ) -> None:
        self._stream = stream or sys.stderr
        self._label = label
        self._total = total
        self._enabled = self._stream.isatty() if enabled is None else enabled
        self._start = self._drawn = monotonic()
        self._done = 0

    def advance(self) -> None:
        """Count one frame."""
        self._done += 1
        now = monotonic()
        if self._enabled and now - self._drawn >= REDRAW_S:
            self._drawn = now
            self._stream.write("\r" + self.line(now - self._start) + "\x1b[K")
            self._stream.flush()

    def line(self, elapsed_s: float) -> str:
        """The line as it is drawn after `elapsed_s` seconds."""
        rate = self._done / elapsed_s if elapsed_s > 0 else 0.0
        if not self._total:
            return f"{self._label}  {self._done} frames  {rate:.1f} fps"
        share = min(1.0, self._done / self._total)
        filled = round(share * BAR)
        bar = "█" * filled + "░" * (BAR - filled)
        left = max(0.0, self._total - self._done) / rate if rate > 0 else 0.0
        return (
            f"{self._label}  {bar} {share:4.0%}  {self._done}/{self._total}  "
            f"{rate:.1f} fps  {clock(left)} left"
        )

    def end(self) -> None:
        """Remove the line."""
        if self._enabled:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss.

    >>> clock(75)
    '1:15'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
