"""Pictures as a source: a folder, a glob or single files, in natural order."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from time import monotonic

import cv2
import numpy as np

from perception.errors import InputError
from perception.sources import PICTURE_SUFFIXES, Colour, SourceInfo
from perception.types import U8, Frame

log = logging.getLogger(__name__)

DAMAGE_KEPT = 20
# Frames made here are sRGB; an output made from them says how its planes were made.
SRGB_AS_BT709 = Colour(primaries=1, trc=13, space=1, range=1)


class ImagesSource:
    """Pictures, each on its own, or with `fps` a sequence in time.

    Orientation tags (EXIF) are applied. A picture that cannot be read is counted in `corrupt`, named in
    `damage` and skipped. In a sequence, a picture whose size differs from the first one's is scaled to it.

    Args:
        paths: files, or folders whose pictures are taken (not those of folders within).
        name: for messages and the record; by default the first path.
        fps: pictures a second; None makes each picture stand alone (`info.kind` is "pictures").
        stream: number of this source in a run with several.

    Raises:
        InputError: there is no picture, or none can be read.
    """

    live = False

    def __init__(
        self,
        paths: Sequence[str | Path],
        *,
        name: str | None = None,
        fps: float | None = None,
        stream: int = 0,
    ) -> None:
        if fps is not None and not 0 < fps <= 1000:
            raise InputError(f"fps must be above 0 and at most 1000, but is {fps:g}")
        self.paths = _pictures([Path(path).expanduser() for path in paths])
        self.stream = stream
        self.decoded = 0
        self.corrupt = 0
        self.damage: list[str] = []
        self._sequence = fps is not None
        self._rescaled = 0
        self._closing = threading.Event()
        self._waiting = iter(self.paths)
        self._first = self._next_readable()
        if self._first is None:
            raise InputError(
                f"{name or self.paths[0]}: none of its {len(self.paths)} pictures can be read"
            )
        size = self._first[1].shape[1], self._first[1].shape[0]
        rate = None if fps is None else Fraction(fps).limit_denominator(1001)
        self.info = SourceInfo(
            name=name or str(self.paths[0]),
            size=size,
            time_base=Fraction(1) if rate is None else 1 / rate,
            rate=rate,
            frames=len(self.paths),
            duration_s=None if rate is None else float(len(self.paths) / rate),
            kind="pictures" if rate is None else "video",
            matrix="bt709",
            colour=SRGB_AS_BT709,
        )

    @property
    def claimed(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Frame]:
        while not self._closing.is_set():
            found = self._first or self._next_readable()
            self._first = None
            if found is None:
                return
            path, image = found
            width, height = self.info.size
            if self._sequence and image.shape[:2] != (height, width):
                self._note(
                    f"{path}: is {image.shape[1]}x{image.shape[0]}; scaled to {width}x{height}"
                )
                image = np.asarray(
                    cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8
                )
            frame = Frame(
                image,
                index=self.decoded,
                # A picture that was skipped leaves its place in time empty.
                pts=self.decoded + self.corrupt,
                time_base=self.info.time_base,
                arrived=monotonic(),
                stream=self.stream,
                path=str(path),
            )
            self.decoded += 1
            yield frame

    def close(self) -> None:
        """Idempotent, from any thread."""
        self._closing.set()

    def _next_readable(self) -> tuple[Path, U8] | None:
        for path in self._waiting:
            try:
                return path, read_picture(path)
            except InputError as error:
                self.corrupt += 1
                self._note(str(error))
        return None

    def _note(self, sentence: str) -> None:
        log.debug(sentence)
        if len(self.damage) < DAMAGE_KEPT:
            self.damage.append(sentence)
        elif len(self.damage) == DAMAGE_KEPT:
            self.damage.append("and more")


def read_picture(path: Path) -> U8:
    """(H, W, 3) uint8 BGR, turned as its EXIF tag says.

    Raises:
        InputError: it cannot be read, or is no picture.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if not data.size:
        raise InputError(f"{path}: the file is empty; there is no picture in it")
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise InputError(f"{path}: is no picture that can be read ({error.err})") from error
    if image is None:
        raise InputError(
            f"{path}: is no picture that can be read; the file is damaged or of another kind"
        )
    return np.asarray(image, np.uint8)


def natural_order(path: Path) -> list[tuple[int, int, str]]:
    """Sort key under which frame2 comes before frame10."""
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part.lower()) for part in parts]


def _pictures(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        try:
            inside = [
                file for file in path.iterdir() if file.is_file() and not file.name.startswith(".")
            ]
        except OSError as error:
            raise InputError(f"{path}: the folder cannot be read ({error.strerror})") from error
        pictures = [file for file in inside if file.suffix.lower() in PICTURE_SUFFIXES]
        if not pictures:
            held = f"{len(inside)} other files" if inside else "nothing"
            raise InputError(
                f"{path}: there is no picture in this folder (it holds {held}); known: "
                f"{', '.join(sorted(PICTURE_SUFFIXES))}. Videos are given by their own paths"
            )
        found += sorted(pictures, key=natural_order)
    return found if any(path.is_dir() for path in paths) else sorted(found, key=natural_order)
