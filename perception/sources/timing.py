"""The times of a stream's frames: taken as they are, mended where a file gives none that can be used."""

from __future__ import annotations

import math
from fractions import Fraction

# A jump back in time by more than this is a new recording in the same file, not a slip.
DISCONTINUITY_S = 1.0
# A jump ahead by more than this is no pause of a camera, and more than MP4 can say at 90 kHz.
LONGEST_GAP_S = 6 * 3600.0
# A stream counts as one of constant rate when so many of its gaps are one step long.
CONSTANT_SHARE = 0.8


class TimeStamps:
    """Hands out strictly increasing time stamps and counts what was not as it should be.

    A frame without a time stamp comes one step after the frame before. One that is not later than the frame
    before comes one tick after it. A jump back by more than DISCONTINUITY_S, as where two recordings were
    joined, and one ahead by more than LONGEST_GAP_S are counted on from: all later frames are moved by the
    same amount.

    Args:
        time_base: of the stream.
        rate: average frames per second; 25 is assumed when it is not known.

    Attributes:
        step: ticks from one frame to the next at the average rate.
        last: the last one handed out; None before the first.
        estimated: frames whose time is an estimate.
        jumps: seconds at which time jumped.
    """

    def __init__(self, time_base: Fraction, rate: Fraction | None) -> None:
        self.time_base = time_base
        self.step = max(1, round(1 / (rate or Fraction(25)) / time_base))
        # In ticks, for comparing whole numbers: fractions take longer than all else here.
        self._discontinuity = math.floor(Fraction(DISCONTINUITY_S) / time_base)
        self._longest_gap = math.floor(Fraction(LONGEST_GAP_S) / time_base)
        self.last: int | None = None
        self.estimated = 0
        self.jumps: list[float] = []
        self._shift = 0
        self._guessed = False
        self._gaps = 0
        self._regular_gaps = 0
        self._missing = 0

    def __call__(self, pts: int | None) -> int:
        """The time stamp to use for a frame that came with `pts`."""
        last, guessed = self.last, pts is None
        if pts is None:
            self.estimated += 1
            stamp = 0 if last is None else last + self.step
        elif last is None:
            stamp = pts
        else:
            stamp = pts + self._shift
            if self._guessed and stamp <= last:
                stamp = last + self.step
            elif not -self._discontinuity <= stamp - last <= self._longest_gap:
                self.jumps.append(float(last * self.time_base))
                stamp = last + self.step
            elif stamp <= last:
                self.estimated += 1
                pts, stamp = None, last + 1
            if pts is not None:
                self._shift = stamp - pts
        if last is not None:
            self._count_gap(stamp - last)
        self._guessed = guessed
        self.last = stamp
        return stamp

    def is_spike(self, pts: int | None, following: int | None) -> bool:
        """Whether one damaged time stamp stands out: far ahead of the frame before and of the one after."""
        if following is None:
            return False
        return self.is_far_ahead(pts) and not self.is_far_ahead(following)

    def is_far_ahead(self, pts: int | None) -> bool:
        if pts is None or self.last is None:
            return False
        return pts + self._shift - self.last > self._discontinuity

    @property
    def missing_within(self) -> int:
        """Frames for which there is room in gaps; 0 unless the rate is constant otherwise."""
        constant = self._regular_gaps >= CONSTANT_SHARE * self._gaps
        return self._missing if constant else 0

    def missing_before(self, end: int | None) -> int:
        """Frames for which there is room between the last one and `end` (ticks; None: nobody says)."""
        if end is None or self.last is None:
            return 0
        return max(0, round((end - self.last) / self.step) - 1)

    def _count_gap(self, gap: int) -> None:
        # Containers that count in milliseconds round: a step may be a tick longer or shorter.
        steps = round(gap / self.step)
        self._gaps += 1
        self._regular_gaps += abs(gap - self.step) <= max(1, self.step // 10)
        self._missing += max(0, steps - 1)
