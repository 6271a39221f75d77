"""A bounded queue between two threads that cannot hang."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Aborted(Exception):
    """The other side of a channel is gone."""


class Channel(Generic[T]):
    """A bounded queue between two threads that cannot hang: closing or aborting wakes both sides.

    Args:
        capacity: most items waiting.
        drop_oldest: when full, `put` drops the oldest waiting item instead of waiting.
    """

    def __init__(self, capacity: int, *, drop_oldest: bool = False) -> None:
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._drop_oldest = drop_oldest
        self._changed = threading.Condition()
        self._closed = False
        self._aborted = False
        self.dropped = 0
        self.lost = 0

    def put(self, item: T) -> None:
        """Hand an item over; waits while full unless `drop_oldest`.

        Raises:
            Aborted: nobody will ever take it.
        """
        with self._changed:
            while len(self._items) >= self._capacity and not (self._aborted or self._closed):
                if self._drop_oldest:
                    self._items.popleft()
                    self.dropped += 1
                else:
                    self._changed.wait()
            if self._aborted or self._closed:
                raise Aborted
            self._items.append(item)
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        """Take items until the channel is closed and empty.

        Raises:
            Aborted: the channel was aborted; waiting items are lost.
        """
        while True:
            with self._changed:
                while not self._items and not (self._closed or self._aborted):
                    self._changed.wait()
                if self._aborted:
                    raise Aborted
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item

    def close(self) -> None:
        """No more items will come; waiting ones can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Wake both sides with `Aborted`; items still waiting are counted in `lost`."""
        with self._changed:
            self._aborted = True
            self.lost += len(self._items)
            self._items.clear()
            self._changed.notify_all()
