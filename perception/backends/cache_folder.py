"""The folder in which what was made for this machine is kept, and files that are whole or not there."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

from perception.errors import EngineError

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """PERCEPTION_CACHE, or the platform's cache folder for this program."""
    named = os.environ.get("PERCEPTION_CACHE")
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "perception"


def writable_cache() -> Path:
    """`cache_folder()/tensorrt`, made if need be; a temporary folder, with a warning, where it cannot be.

    Raises:
        EngineError: PERCEPTION_CACHE names a folder that cannot be written: it was asked for, so
            nothing else is used instead.
    """
    folder = cache_folder() / "tensorrt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if os.environ.get("PERCEPTION_CACHE"):
            raise EngineError(
                f"the cache folder {folder} (from PERCEPTION_CACHE) cannot be written: {error.strerror}; "
                "name another folder or change its rights"
            ) from error
        return _temporary(folder, str(error.strerror))
    return folder


@lru_cache(maxsize=8)
def _temporary(wanted: Path, reason: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="perception-plans-"))
    _log.warning(
        "the cache folder %s cannot be written (%s): plans go to %s and are built again at the next "
        "start; set PERCEPTION_CACHE to a folder you can write",
        wanted,
        reason,
        folder,
    )
    return folder


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside `path`, then rename over it; on any failure nothing is left.

    Raises:
        EngineError: the file cannot be written.
    """
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            temporary = Path(file.name)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise EngineError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
