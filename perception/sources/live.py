"""A live source: frames at the pace of a camera, reconnected when the connection is lost.

Whatever ends the connection (the end of the stream, an error, silence) is a disconnect. It is tried again after
0.5 s, then after longer and longer waits up to 10 s, each moved at random by a fifth so that many cameras
behind one switch do not come back in step. The gap is in the record as two events, "disconnect" and "reconnect".
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from time import monotonic, time
from typing import Any

import av

from perception.colour import planes_to_bgr
from perception.errors import InputError, SourceError
from perception.sources import SourceInfo
from perception.sources.connection import Connection, Lost
from perception.sources.decoded import PlanesReader
from perception.types import Event, Frame

log = logging.getLogger(__name__)

TIME_BASE = Fraction(1, 90_000)
# Between two frames of one connection; more is a clock that was set, not a pause.
LONGEST_STEP_S = 10.0
FIRST_WAIT_S, LONGEST_WAIT_S, GROWTH, JITTER = 0.5, 10.0, 1.5, 0.2
KNOCK_S = 0.3, 0.6
# While reconnecting nothing can end a handshake, so it gets little time: a run must stop within 2 s.
QUICK_OPEN_S = 1.5
EVENTS_KEPT = 64


class TimeLine:
    """Makes one clock that never goes back out of the clocks of one connection after the other.

    Within a connection the stream's own time stamps count. Over a gap, and where a stream has none or its
    clock was set, the arrival times do.

    Args:
        paced: False when frames come as fast as they are taken, so that arrival times mean nothing.
    """

    def __init__(self, *, paced: bool = True) -> None:
        self._paced = paced
        self._anchor: tuple[Fraction, int] | None = None
        self._last: int | None = None
        self._arrived = 0.0

    @property
    def last_s(self) -> float:
        return float((self._last or 0) * TIME_BASE)

    def new_connection(self) -> None:
        self._anchor = None

    def __call__(self, stamp: Fraction | None, arrived: float, step_s: float) -> int:
        """The pts of a frame in TIME_BASE, later than all before.

        Args:
            stamp: seconds on the stream's clock; None when it has none.
            arrived: seconds on this machine's clock.
            step_s: the usual time between two frames.
        """
        if self._last is None:
            pts = 0
        else:
            since = arrived - self._arrived if self._paced else step_s
            by_arrival = self._last + max(1, round(since / TIME_BASE))
            pts = by_arrival
            if stamp is not None and self._anchor is not None:
                pts = self._anchor[1] + round((stamp - self._anchor[0]) / TIME_BASE)
                if not 0 < pts - self._last <= LONGEST_STEP_S / TIME_BASE:
                    pts, self._anchor = by_arrival, None
        if stamp is None:
            self._anchor = None
        elif self._anchor is None:
            self._anchor = stamp, pts
        self._last, self._arrived = pts, arrived
        return pts


class LiveSource:
    """Frames from a connection that can be made again.

    The first connection is made, and its first picture decoded, at opening: what cannot be had is said at once.
    Later pictures of another size are scaled to the first one's.

    Args:
        name: for messages and the record, without secrets.
        connect: makes a connection within so many seconds.
        live: True drops the oldest waiting frame when the pipeline is slow; False lets the sender wait.
        reconnect: False makes the end of the stream the end of the source.
        reconnect_for_s: gives up after so many seconds without a connection; None never does.
        open_timeout_s: for the first connection.
        knock: whether the sender's port is open; a cheap question that is asked during long waits, so that a
            sender which comes back is not kept waiting.
        stream: number of this source in a run with several.

    Attributes:
        connected: False while the connection is lost.
        connecting: while a handshake is going on, which nothing can end before its time is over.
        reconnects: how often it was made again.

    Raises:
        InputError: the first connection cannot be made; says why and what to try.
    """

    def __init__(
        self,
        name: str,
        connect: Callable[[float], Connection],
        *,
        live: bool = True,
        reconnect: bool = True,
        reconnect_for_s: float | None = None,
        open_timeout_s: float = 5.0,
        knock: Callable[[], bool] | None = None,
        stream: int = 0,
    ) -> None:
        self.live = live
        self._knock = knock
        self._port_closed = False
        self.stream = stream
        self.decoded = 0
        self.claimed = None
        self.connected = True
        self.connecting = False
        self.reconnects = 0
        self._name = name
        self._connect = connect
        self._reconnect = reconnect
        self._reconnect_for_s = reconnect_for_s
        self._closing = threading.Event()
        self._step_lock = threading.Lock()
        self._events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._lost_s = 0.0
        self._refused = self._flawed = self._skipped = 0
        self._arrived = monotonic()
        self._time = TimeLine(paced=live)
        start = monotonic()
        self._connection: Connection | None = connect(open_timeout_s)
        try:
            self._first = self._next()
        except Lost as lost:
            self.close()
            raise InputError(f"{name}: no picture came ({lost}); is it a video stream?") from None
        except BaseException:
            self.close()
            raise
        if self._first is None:
            self.close()
            raise InputError(f"{name}: no picture came")
        # A camera that is slow to open is given the same time when it comes back.
        self._open_timeout_s = max(QUICK_OPEN_S, 2 * (monotonic() - start))
        self._read = PlanesReader(self._first[0])
        self.info = self._describe(self._connection)

    @property
    def corrupt(self) -> int:
        """Packets that the decoder refused."""
        return self._refused + (self._connection.corrupt if self._connection is not None else 0)

    @property
    def damage(self) -> list[str]:
        """One short sentence for each kind of damage met."""
        sentences = []
        if self.reconnects or not self.connected:
            times = self.reconnects + (not self.connected)
            sentences.append(
                f"the connection was lost {_count(times, 'time')}, "
                f"{self._lost_s:.1f} s without a picture"
            )
        if self.corrupt:
            sentences.append(f"{_count(self.corrupt, 'packet')} could not be decoded")
        skipped = self._skipped + (0 if self._connection is None else self._connection.skipped)
        if skipped:
            sentences.append(
                f"{_count(skipped, 'packet')} skipped: this machine cannot decode the stream in time; "
                "ask the camera for a smaller picture"
            )
        if self._flawed:
            sentences.append(
                f"{_count(self._flawed, 'frame')} decoded with errors, shown as they came"
            )
        if hasattr(self, "_read") and self._read.rescaled:
            sentences.append(
                f"{_count(self._read.rescaled, 'frame')} of another size, scaled to the first one's"
            )
        return sentences

    def take_events(self) -> list[Event]:
        """What happened since the last call, oldest first; from the thread that runs the pipeline."""
        taken = []
        while self._events:
            taken.append(self._events.popleft())
        return taken

    def __iter__(self) -> Iterator[Frame]:
        while not self._closing.is_set():
            reason = None
            try:
                step = self._step()
            except Lost as lost:
                # What follows must not run in here: the next connection would keep this error, and with it
                # the last connection, alive for ever.
                reason = str(lost)
            if reason is None:
                if step is None:
                    return
                yield step
            elif self._closing.is_set() or not self._reconnect:
                return
            else:
                self._back(reason)

    def close(self) -> None:
        """Idempotent, from any thread; ends a waiting read or a wait to reconnect."""
        self._closing.set()
        connection = self._connection
        if connection is not None:
            connection.interrupt()
        with self._step_lock:
            connection, self._connection = self._connection, None
            self._first = None
            if connection is not None:
                self._refused += connection.corrupt
                self._skipped += connection.skipped
                connection.close()

    def _step(self) -> Frame | None:
        with self._step_lock:
            if self._closing.is_set() or self._connection is None:
                return None
            step, self._first = self._first or self._next(), None
            if step is None:
                return None
            return self._frame(*step, self._connection)

    def _next(self) -> tuple[av.VideoFrame, float] | None:
        assert self._connection is not None
        return next(self._connection, None)

    def _frame(self, picture: av.VideoFrame, arrived: float, connection: Connection) -> Frame:
        self._flawed += bool(picture.is_corrupt)
        stamp = None
        if picture.pts is not None and picture.time_base and not connection.stamps_mean_nothing:
            stamp = picture.pts * picture.time_base
        frame = Frame(
            planes=self._read(picture),
            to_bgr=planes_to_bgr,
            index=self.decoded,
            pts=self._time(stamp, arrived, 1 / float(self.info.rate or 25)),
            time_base=TIME_BASE,
            arrived=arrived,
            wall=time() - (monotonic() - arrived),
            stream=self.stream,
        )
        self._arrived = arrived
        self.decoded += 1
        return frame

    def _back(self, reason: str) -> None:
        """Wait and connect again, until it works or the source is closed.

        Raises:
            SourceError: there was no connection for `reconnect_for_s`.
        """
        lost_at, last_s = self._arrived, self._time.last_s
        self.connected = False
        self._events.append(Event("disconnect", last_s, self.decoded, data={"reason": reason}))
        log.warning("%s: connection lost: %s", self._name, reason)
        attempts = 0
        for wait_s in waits():
            self._drop_connection()
            left_s = float("inf")
            if self._reconnect_for_s is not None:
                left_s = self._reconnect_for_s - (monotonic() - lost_at)
            if left_s <= 0:
                self._lost_s += monotonic() - lost_at
                raise SourceError(
                    f"{self._name}: no connection for {self._reconnect_for_s:g} s ({reason}); "
                    "a longer --reconnect-for waits longer"
                )
            if self._wait(min(wait_s, left_s)):
                self._lost_s += monotonic() - lost_at
                return
            attempts += 1
            try:
                # Without the lock: nothing ends a handshake, and nobody who closes is to wait for it.
                self.connecting = True
                connection = self._connect(self._open_timeout_s)
                with self._step_lock:
                    if self._closing.is_set():
                        connection.close()
                        return
                    self._connection = connection
                    self.connecting = False
                    self._first = self._next()
                if self._first is None:
                    continue
            except (Lost, InputError) as error:
                self.connecting = False
                reason = str(error).removeprefix(f"{self._name}: ")
                log.info("%s: %s", self._name, reason)
                continue
            break
        assert self._first is not None
        picture, arrived = self._first
        self.connected = True
        self.reconnects += 1
        self._lost_s += arrived - lost_at
        self._time.new_connection()
        data: dict[str, Any] = {"gap_s": round(arrived - lost_at, 3), "attempts": attempts}
        if (picture.width, picture.height) != self._read.coded_size:
            data["size"] = [picture.width, picture.height]
        self._events.append(Event("reconnect", last_s + arrived - lost_at, self.decoded, data=data))
        log.warning("%s: connected again after %.1f s", self._name, arrived - lost_at)

    def _wait(self, wait_s: float) -> bool:
        """Until the next attempt: the time is over, or a port that was closed is open. True when closing."""
        end = monotonic() + wait_s
        while (left_s := end - monotonic()) > 0:
            if self._closing.wait(min(left_s, random.uniform(*KNOCK_S))):
                return True
            if self._knock is None:
                continue
            if not self._knock():
                self._port_closed = True
            elif self._port_closed:
                self._port_closed = False
                break
        return self._closing.is_set()

    def _drop_connection(self) -> None:
        with self._step_lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                self._refused += connection.corrupt
                self._skipped += connection.skipped
                connection.close()

    def _describe(self, connection: Connection | None) -> SourceInfo:
        assert connection is not None
        return replace(
            connection.describe(self._name, self._read.orientation.transpose),
            size=self._read.size,
            time_base=TIME_BASE,
            matrix=self._read.matrix,
            full_range=self._read.full_range,
            colour=self._read.colour,
        )


def _count(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}s"


def waits() -> Iterator[float]:
    """Seconds to wait before each attempt, without end."""
    wait_s = FIRST_WAIT_S
    while True:
        yield wait_s * random.uniform(1 - JITTER, 1 + JITTER)
        wait_s = min(LONGEST_WAIT_S, wait_s * GROWTH)
