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
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from perception.errors import EngineError

OLDEST = (8, 6)
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
    """

    trt: Any
    version: str
    major: int
    logger: Any
    errors: deque[str] = field(default_factory=deque)

    @property
    def strongly_typed(self) -> bool:
        """True where precision comes from the network's own types, False where from builder flags."""
        return self.major >= 10

    def why(self, fallback: str = "TensorRT gave no reason") -> str:
        """What TensorRT said since the last call, in one line; forgets it."""
        said = "; ".join(dict.fromkeys(" ".join(text.split()) for text in self.errors))
        self.errors.clear()
        return said or fallback


def installed_version() -> str | None:
    """TensorRT's version, or None where it is not installed or cannot be loaded."""
    try:
        return load_api().version
    except EngineError:
        return None


def load_api() -> Api:
    """Import TensorRT.

    Raises:
        EngineError: not installed, not loadable, or older than 8.6.
    """
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
    logger = _logger(trt, errors)
    # TensorRT's own plugins (EfficientNMS_TRT and the like) are known to the parser only after this.
    trt.init_libnvinfer_plugins(logger, "")
    return Api(trt, version, numbers[0], logger, errors)


def _logger(trt: Any, errors: deque[str]) -> Any:
    """A logger that keeps errors for our own messages and hands the rest to `logging`."""
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

    return Logger()
