"""Keeping up with a live stream that comes faster than this machine can decode it.

Packets that are not read in time wait in the system's buffers, where no frame policy sees them: the delay grows,
and every frame looks fresh. The sign of it is that reading never has to wait. Then only key frames are decoded,
and not too many of those, until a read has to wait again; from the next key frame on everything is decoded.
"""

from __future__ import annotations

from collections import deque

WINDOW_S = 1.0
# Reading that takes less of the time than this is not waiting, it is only reading.
BUSY_SHARE = 0.05
# A read that takes longer than this had nothing to read.
WAITED_S = 0.005
# While behind: so long between two decoded key frames.
KEY_EVERY_S = 0.2
# Streams without key frames exist; a picture with errors is better than none.
LONGEST_WITHOUT_KEY_S = 3.0


class CatchUp:
    """Decides of each packet whether it is decoded.

    Attributes:
        skipped: packets that were not.
        behind: True while only key frames are decoded.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self.behind = False
        self._caught_up = False
        self._last_key = float("-inf")
        self._reads: deque[tuple[float, float]] = deque()
        self._read_s = 0.0

    def __call__(self, now: float, read_s: float, key: bool) -> bool:
        """Whether to decode the packet that was just read.

        Args:
            now: monotonic seconds.
            read_s: how long reading it took.
            key: whether it can be decoded without the ones before.
        """
        self._note(now, read_s)
        if not self.behind:
            if not self._is_busy(now):
                return True
            self.behind, self._caught_up = True, False
            self._last_key = now
        if read_s > WAITED_S:
            self._caught_up = True
        if (self._caught_up and key) or now - self._last_key > LONGEST_WITHOUT_KEY_S:
            self.behind = False
            self._reads.clear()
            self._read_s = 0.0
            return True
        if key and now - self._last_key >= KEY_EVERY_S:
            self._last_key = now
            return True
        self.skipped += 1
        return False

    def _note(self, now: float, read_s: float) -> None:
        self._reads.append((now, read_s))
        self._read_s += read_s
        while len(self._reads) > 2 and self._reads[1][0] <= now - WINDOW_S:
            self._read_s -= self._reads.popleft()[1]

    def _is_busy(self, now: float) -> bool:
        span_s = now - self._reads[0][0]
        return span_s >= WINDOW_S and self._read_s < BUSY_SHARE * span_s
