"""Real-time video perception for driving footage: results on the right frame, at the right time.

    >>> import perception
    >>> for result in perception.open("drive.mp4"):
    ...     for thing in result.objects:
    ...         print(result.frame.time, thing.class_name, thing.track_id, thing.xyxy)

With an overlay video and a record, and the report of where every frame went:

    >>> run = perception.open("drive.mp4", output="overlay.mp4", jsonl="record.jsonl")
    >>> report = run.drain()
    >>> print(report.ledger, report.fps)

`result.frame.image` is the picture (BGR, read-only), `result.detections["road"]` and
`result.tracks["road"]` are arrays, `run.info` says what the source is. The command ``perception`` does
the same from a shell. Importing this package loads nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from perception.errors import (
    ConfigError,
    EngineError,
    InputError,
    PerceptionError,
    RequestError,
    RunError,
    SinkError,
    SourceError,
    StageError,
)
from perception.types import (
    Detections,
    Event,
    Frame,
    FrameResult,
    Lane,
    Lanes,
    ObjectView,
    Planes,
    Tracks,
)

if TYPE_CHECKING:
    from perception.assemble import open
    from perception.backends import Engine, open_engine
    from perception.config import Config, load_config
    from perception.pipeline import Pipeline, Stage
    from perception.report import Ledger, Report
    from perception.runner import Run, run
    from perception.sources import LiveOptions
    from perception.streams import Streams

__version__ = "0.1.0"

# Loaded on first use, so that `import perception` stays instant and needs none of what they need.
_LAZY = {
    "open": "perception.assemble",
    "Engine": "perception.backends",
    "open_engine": "perception.backends",
    "Config": "perception.config",
    "load_config": "perception.config",
    "Pipeline": "perception.pipeline",
    "Stage": "perception.pipeline",
    "Ledger": "perception.report",
    "Report": "perception.report",
    "Run": "perception.runner",
    "run": "perception.runner",
    "LiveOptions": "perception.sources",
    "Streams": "perception.streams",
}

__all__ = [
    "Config",
    "ConfigError",
    "Detections",
    "Engine",
    "EngineError",
    "Event",
    "Frame",
    "FrameResult",
    "InputError",
    "Lane",
    "Lanes",
    "Ledger",
    "LiveOptions",
    "ObjectView",
    "PerceptionError",
    "Pipeline",
    "Planes",
    "Report",
    "RequestError",
    "Run",
    "RunError",
    "SinkError",
    "SourceError",
    "Stage",
    "StageError",
    "Streams",
    "Tracks",
    "load_config",
    "open",
    "open_engine",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'perception' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
