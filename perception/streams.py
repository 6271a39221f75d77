"""Several sources at once: one engine, and for each stream a tracker, outputs and a ledger of its own.

    with Streams("camera") as streams:
        front = streams.add("rtsp://front/live", jsonl="front.jsonl")
        back = streams.add("rtsp://back/live", jsonl="back.jsonl")
        streams.wait()

Every stream is a `Run` in a thread of its own; they meet only at the engine, where they are served in turn (see
perception.backends.shared). What happens to one changes nothing for the others: a camera that is not there is
tried again, a stream that fails is reported and ends.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from perception.assemble import open_run
from perception.backends.shared import share
from perception.config import DEFAULT, Config, load_config
from perception.errors import InputError, PerceptionError, RunError
from perception.report import Report
from perception.runner import HANDSHAKE_S, Run
from perception.sources import LiveOptions, is_live, open_source
from perception.types import FrameResult

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 20.0


@dataclass(slots=True)
class Stream:
    """One of several streams.

    Attributes:
        number: in the record's "stream".
        source: as it was given; may hold a password.
        run: while it runs, and after; None before its first connection.
        failure: why it ended, or why it is not running yet; None when all is well.
        ended: set when it is over.
    """

    number: int
    source: str
    run: Run | None = None
    failure: PerceptionError | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _opening: bool = False
    _thread: threading.Thread | None = None

    @property
    def report(self) -> Report | None:
        return None if self.run is None else self.run.report

    def stop(self) -> None:
        """Ask it to end after the frame at hand; from any thread."""
        self._stopping.set()
        if self._opening:
            self.ended.set()
        if self.run is not None and not self.ended.is_set():
            self.run.stop()


class Streams:
    """Streams that share their engines. Streams are added and dropped at any time.

    Args:
        config: name of an installed configuration, path of a TOML file, or a `Config`.
        on_result: called with every result, in the thread of its stream.

    Raises:
        ConfigError, InputError, EngineError: the configuration is wrong or an engine cannot be opened.
    """

    def __init__(
        self,
        config: str | Path | Config = DEFAULT,
        *,
        on_result: Callable[[FrameResult], None] | None = None,
    ) -> None:
        if not isinstance(config, Config):
            config = load_config(config)
        self._owner = config.pipeline()
        self._config = _with_engines(config, self._owner.stages)
        self._on_result = on_result
        self._lock = threading.Lock()
        self._streams: dict[int, Stream] = {}
        self._next = 0

    @property
    def streams(self) -> list[Stream]:
        """All that were added and not dropped."""
        with self._lock:
            return list(self._streams.values())

    def __enter__(self) -> Streams:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(
        self,
        source: str | Path,
        *,
        live: LiveOptions | None = None,
        **outputs: Any,
    ) -> Stream:
        """Begin another stream; returns at once, it connects on its own.

        Args:
            source: a video file, a camera or the address of a stream.
            live: options of live sources.
            outputs: as of `perception.assemble.open_run`: output, jsonl, max_age_s, segment_s, page.
        """
        with self._lock:
            stream = Stream(self._next, str(source))
            self._next += 1
            self._streams[stream.number] = stream
        stream._thread = threading.Thread(
            target=self._work,
            args=(stream, source, live or LiveOptions(), outputs),
            name=f"perception-stream-{stream.number}",
            daemon=True,
        )
        stream._thread.start()
        return stream

    def drop(self, stream: Stream) -> Report | None:
        """End a stream, outputs complete, and forget it; the others go on.

        Raises:
            RunError: it does not end.
        """
        stream.stop()
        self._join(stream)
        with self._lock:
            self._streams.pop(stream.number, None)
        return stream.report

    def wait(self, timeout_s: float | None = None) -> bool:
        """Until every stream has ended; False when some still run after `timeout_s`."""
        deadline = None if timeout_s is None else monotonic() + timeout_s
        for stream in self.streams:
            left = None if deadline is None else max(0.0, deadline - monotonic())
            if not stream.ended.wait(left):
                return False
        return True

    def stop(self) -> None:
        """Ask every stream to end; from any thread, for signal handlers."""
        for stream in self.streams:
            stream.stop()

    def close(self) -> None:
        """End every stream and release the engines. Idempotent.

        Raises:
            RunError: a stream does not end.
        """
        self.stop()
        for stream in self.streams:
            self._join(stream)
        self._owner.close()

    def _join(self, stream: Stream) -> None:
        thread = stream._thread
        if thread is not None:
            thread.join(HANDSHAKE_S)
            if stream._opening:
                # It has nothing to complete, and ends by itself when the camera answers or its time is over.
                return
            thread.join(CLOSE_TIMEOUT_S)
            if thread.is_alive():
                raise RunError(f"stream {stream.number} did not end within {CLOSE_TIMEOUT_S:.0f} s")

    def _work(
        self, stream: Stream, source: str | Path, live: LiveOptions, outputs: dict[str, Any]
    ) -> None:
        try:
            run = self._opened(stream, source, live, outputs)
            if run is None:
                stream.failure = None
                return
            stream.run, stream.failure = run, None
            with run:
                if stream._stopping.is_set():
                    run.stop()
                for result in run:
                    if self._on_result is not None:
                        self._on_result(result)
        except PerceptionError as error:
            stream.failure = error
        except Exception as error:
            stream.failure = RunError(f"stream {stream.number}: {type(error).__name__}: {error}")
            stream.failure.__cause__ = error
        finally:
            if stream.failure is not None:
                log.error("stream %d: %s", stream.number, stream.failure)
            stream.ended.set()

    def _opened(
        self, stream: Stream, source: str | Path, live: LiveOptions, outputs: dict[str, Any]
    ) -> Run | None:
        """The run; None when the stream was stopped before there was one.

        Raises:
            PerceptionError: it cannot be opened; for a live source after `reconnect_for_s` of trying.
        """
        from perception.sources.live import (
            waits,
        )  # with the decoder, which a run of files alone brings later

        start = monotonic()
        for wait_s in waits():
            try:
                stream._opening = True
                opened = open_source(source, stream=stream.number, options=live)
                break
            except InputError as error:
                spent_s = monotonic() - start
                given_s = live.reconnect_for_s
                if not is_live(str(source)) or (given_s is not None and spent_s >= given_s):
                    raise
                if stream.failure is None:
                    log.warning("stream %d: %s; trying again", stream.number, error)
                stream.failure = error
            finally:
                stream._opening = False
            if stream._stopping.wait(wait_s):
                return None
        if stream._stopping.is_set():
            opened.close()
            return None
        try:
            return open_run(opened, self._config, **outputs)
        except BaseException:
            opened.close()
            raise


def _with_engines(config: Config, stages: Any) -> Config:
    """The configuration with open, shared engines in place of their names."""
    tables = []
    for table, stage in zip(config.stages, stages, strict=True):
        if hasattr(stage, "engine"):
            table = {**table, "engine": share(stage.engine)}
        tables.append(table)
    return Config(config.where, tuple(tables), config.overlay, config.video)
