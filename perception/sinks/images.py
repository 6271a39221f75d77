"""Pictures with the overlay, one for each picture of the source, under the same names in another folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from perception.errors import InputError, SinkError
from perception.sources import SourceInfo
from perception.types import U8, FrameResult

# What OpenCV writes; other pictures become PNG.
WRITTEN = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
JPEG_QUALITY = 92

Draw = Callable[[FrameResult], U8]


class ImagesSink:
    """Writes a picture for every result into a folder, made if it does not exist.

    Names are those of the source's pictures (frame_000012.png for video frames). Two pictures of the same
    name, from two folders, are told apart by a number. An input is never overwritten.

    Args:
        folder: where the pictures go.
        draw: what to write for a result, (H, W, 3) BGR; by default the frame as it is.

    Raises:
        InputError: the folder cannot be made or written to.
    """

    def __init__(self, folder: str | Path, *, draw: Draw | None = None) -> None:
        self.folder = Path(folder).expanduser()
        self._draw = draw
        self.written = 0
        self._used: set[str] = set()
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder}: must be a folder for pictures, but is a file")
        existing = self.folder
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        if not os.access(existing, os.W_OK):
            raise InputError(f"{self.folder}: {existing} is not writable; choose another place")

    def open(self, info: SourceInfo) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be made ({error.strerror})") from error

    def write(self, result: FrameResult) -> None:
        """Write one picture.

        Raises:
            InputError: it would overwrite the picture it was made from.
            SinkError: the disk is full or gone.
        """
        image: U8 = result.frame.image if self._draw is None else self._draw(result)
        target = self.folder / self._name(result)
        source = result.frame.path
        if source is not None and target.exists() and target.samefile(source):
            raise InputError(
                f"{target}: would overwrite the input picture; give another output folder"
            )
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        made, data = cv2.imencode(target.suffix, image, quality)
        if not made:
            raise SinkError(f"{target}: the picture could not be encoded")
        try:
            np.asarray(data).tofile(target)
        except OSError as error:
            raise SinkError(f"{target}: cannot be written ({error.strerror})") from error
        self.written += 1

    def finish(self, report: dict[str, Any]) -> None:
        """Nothing: pictures have no place for a report."""

    def close(self) -> None:
        """Nothing to close."""

    def _name(self, result: FrameResult) -> str:
        source = result.frame.path
        if source is None:
            return f"frame_{result.frame.index:06d}.png"
        path = Path(source)
        suffix = path.suffix if path.suffix.lower() in WRITTEN else ".png"
        name, number = path.stem + suffix, 1
        while name in self._used:
            number += 1
            name = f"{path.stem}_{number}{suffix}"
        self._used.add(name)
        return name
