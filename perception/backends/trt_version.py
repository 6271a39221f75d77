"""Which TensorRT is installed, and what differs between 8.6, 10.x and 11.x.

One rule keeps the backend true for all of them: a name that some version lacks is only touched inside
``if api.major >= N:`` (or ``<``, with its ``else``). A test reads these files, takes the branches that
each version takes, and looks every name up in that version's real API.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from perception.backends.trt_cuda import load_lazily
from perception.errors import EngineError

OLDEST = (8, 6)
# Element types of tensors that numpy has, by TensorRT's names.
NUMPY_TYPES = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
    "UINT8": np.uint8,
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Api:
    """A loaded TensorRT.

    Attributes:
        trt: the module.
        version: as the module says ("10.16.1.11").
        major: 8, 10 or 11.
        logger: the one logger handed to everything TensorRT makes.
        errors: what TensorRT last reported as errors, oldest first.
        listeners: called with every line of TensorRT's log, down to its finest level, from its own threads.
    """

    trt: Any
    version: str
    major: int
    logger: Any
    errors: deque[str] = field(default_factory=deque)
    listeners: list[Callable[[str], None]] = field(default_factory=list)

    @property
    def strongly_typed(self) -> bool:
        """True where precision comes from the network's own types, False where from builder flags."""
        return self.major >= 10

    def why(self, fallback: str = "TensorRT gave no reason") -> str:
        """What TensorRT said since the last call, in one line; forgets it."""
        said = "; ".join(dict.fromkeys(" ".join(text.split()) for text in self.errors))
        self.errors.clear()
        return said or fallback


def numpy_type(dtype: Any) -> np.dtype[Any]:
    """The numpy type of a TensorRT element type; its own `nptype` fails with a TypeError that names no type.

    Raises:
        EngineError: numpy has no such type.
    """
    if dtype.name not in NUMPY_TYPES:
        raise EngineError(
            f"an input or output has the type {dtype.name}, which numpy has not: export it in FP32"
        )
    return np.dtype(NUMPY_TYPES[dtype.name])


def installed_version() -> str | None:
    """TensorRT's version, or None where it is not installed or cannot be loaded."""
    try:
        return load_api().version
    except EngineError:
        return None


def load_api() -> Api:
    """Import TensorRT, with lazy loading of CUDA's kernels (see `perception.backends.trt_cuda.load_lazily`).

    Raises:
        EngineError: not installed, not loadable, or older than 8.6.
    """
    load_lazily()
    if importlib.util.find_spec("tensorrt") is None:
        raise EngineError(
            "TensorRT is not installed: `pip install 'road-perception[tensorrt]'` on a server; on Jetson "
            "it comes with JetPack, so make the environment with `python3 -m venv --system-site-packages`"
        )
    try:
        module = importlib.import_module("tensorrt")
    except Exception as error:  # a broken install raises anything from ImportError to OSError
        raise EngineError(
            f"TensorRT is installed but cannot be loaded ({error}); `perception doctor` says what is missing"
        ) from error
    return _api(module)


@lru_cache(maxsize=8)
def _api(trt: Any) -> Api:
    version = str(trt.__version__)
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST:
        raise EngineError(
            f"TensorRT must be {OLDEST[0]}.{OLDEST[1]} or newer, but is {version}; "
            "update it (on Jetson: JetPack 6)"
        )
    errors: deque[str] = deque(maxlen=8)
    listeners: list[Callable[[str], None]] = []
    logger = _logger(trt, errors, listeners)
    # TensorRT's own plugins (EfficientNMS_TRT and the like) are known to the parser only after this.
    trt.init_libnvinfer_plugins(logger, "")
    return Api(trt, version, numbers[0], logger, errors, listeners)


def _logger(trt: Any, errors: deque[str], listeners: list[Callable[[str], None]]) -> Any:
    """A logger that keeps errors for our own messages and hands the rest to `logging` and to listeners."""
    bad = (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR)

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            if severity in bad:
                errors.append(msg)
            elif severity == trt.ILogger.WARNING:
                _log.info("TensorRT: %s", msg)
            elif severity == trt.ILogger.INFO:
                _log.debug("TensorRT: %s", msg)
            for listener in listeners:
                listener(msg)

    return Logger()
