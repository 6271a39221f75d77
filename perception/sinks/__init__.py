"""Where results go: an overlay video, JSON lines, a window, a page."""

from __future__ import annotations

from typing import Any, Protocol

from perception.sources import SourceInfo
from perception.types import FrameResult


class Sink(Protocol):
    """Takes results in order. `finish` is called once after the last result, `close` always."""

    def open(self, info: SourceInfo) -> None: ...

    def write(self, result: FrameResult) -> None: ...

    def finish(self, report: dict[str, Any]) -> None: ...

    def close(self) -> None: ...
