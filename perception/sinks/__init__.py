"""Where results go: an overlay video, JSON lines, a window, a page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

from perception.errors import InputError
from perception.sources import SourceInfo
from perception.types import FrameResult


class Sink(Protocol):
    """Takes results in order. `finish` is called once after the last result, `close` always.

    A sink may have `prepare(result)`: what it makes of a result before it writes it. A run over a recording calls it in
    the results' order, in a thread of its own, and hands what it returns to `write` as a second argument.
    """

    def open(self, info: SourceInfo) -> None: ...

    def write(self, result: FrameResult) -> None: ...

    def finish(self, report: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


def check_output(path: str | Path, *, inputs: tuple[str | Path, ...] = ()) -> Path:
    """Refuse an output file that could not be written or would destroy an input; before any work.

    Args:
        path: of the file to be written; replaced if it exists.
        inputs: files that are read in the same run.

    Returns:
        The path.

    Raises:
        InputError: its folder is missing or not writable, it is a folder, or it is one of the inputs
            (also by another name: a link, or another way to the same file).
    """
    output = Path(path).expanduser()
    for source in inputs:
        source = Path(source).expanduser()
        if source.exists() and output.exists() and output.samefile(source):
            raise InputError(
                f"{output}: the output is the same file as the input; choose another name"
            )
    if output.is_dir():
        raise InputError(f"{output}: the output is a folder; give a file name in it")
    folder = output.parent
    if not folder.is_dir():
        raise InputError(f"{output}: its folder {folder} does not exist; make it first")
    target = output if output.exists() else folder
    if not os.access(target, os.W_OK):
        raise InputError(
            f"{output}: {target} is not writable; choose another place or change its rights"
        )
    return output
