"""Every error a user can meet, as one small tree.

PerceptionError
├── RequestError          the request was wrong: exit status 2
│   ├── ConfigError       a configuration file or a value in it (also a ValueError)
│   └── InputError        a source or output that cannot be what was asked (also an OSError)
└── RunError              the run itself failed: exit status 1
    ├── SourceError       reading a source failed
    ├── SinkError         writing a result failed
    ├── StageError        a stage of the pipeline failed
    └── EngineError       an engine could not be opened, built or run

Messages say what was expected, what came, where, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PerceptionError(Exception):
    """Base of every error raised on purpose by this package."""


class RequestError(PerceptionError):
    """The request cannot be met as it was asked."""


class ConfigError(RequestError, ValueError):
    """A configuration is broken or names something unknown."""


class InputError(RequestError, OSError):
    """A source or an output path cannot be used."""


class RunError(PerceptionError):
    """The run started and then failed."""


class SourceError(RunError):
    """Reading from a source failed."""


class SinkError(RunError):
    """Writing a result failed."""


class StageError(RunError):
    """A stage of the pipeline failed; the cause is chained."""


class EngineError(RunError):
    """An engine could not be opened, built or run."""


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Say that a name is unknown and offer the nearest one, or the list.

    >>> unknown("backend", "onnx", ["onnxruntime", "tensorrt"])
    "unknown backend 'onnx': did you mean 'onnxruntime'?"
    """
    choices = sorted(known)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    if near:
        return f"unknown {what} {name!r}: did you mean {near[0]!r}?"
    return f"unknown {what} {name!r}: choose one of {', '.join(choices) or '(none installed)'}"
