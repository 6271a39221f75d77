"""A recording played as a camera would play it: at its own rate, whether anybody keeps up or not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic, time

from perception.sources import Source
from perception.types import Frame


class ReplaySource:
    """Hands out another source's frames when their time has come; frames then get old like a camera's.

    Args:
        source: of video with times; closed with this one.

    """

    live = True

    def __init__(self, source: Source) -> None:
        self.info = source.info
        self._source = source
        self._closing = threading.Event()

    @property
    def decoded(self) -> int:
        return self._source.decoded

    @property
    def corrupt(self) -> int:
        return self._source.corrupt

    @property
    def claimed(self) -> int | None:
        return self._source.claimed

    @property
    def damage(self) -> list[str]:
        return self._source.damage

    def __iter__(self) -> Iterator[Frame]:
        begin = None
        for frame in self._source:
            if begin is None:
                begin = monotonic() - frame.time
            due = begin + frame.time
            # A frame that is ready late has been due all the while: its age says so.
            if self._closing.wait(max(0.0, due - monotonic())):
                return
            frame.arrived = due
            frame.wall = time() - (monotonic() - due)
            yield frame

    def close(self) -> None:
        """Idempotent, from any thread; ends a wait for a frame's time."""
        self._closing.set()
        self._source.close()
