"""MOTChallenge text: one box a line, `frame,id,left,top,width,height[,score,class,visibility...]`.

The same layout holds detections (id -1), truth (column 7 says whether the box counts, column 8 is its
class) and tracks. Columns that are missing or -1 mean "not given".
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from perception.errors import InputError

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

LAYOUT = "frame,id,left,top,width,height,score"
# Whole numbers beyond this are not exact in a file that may have gone through floating point.
LARGEST = 2**53


@dataclass(frozen=True, slots=True)
class BoxTable:
    """The rows of one file, sorted by frame; rows of one frame keep the order of the file.

    Attributes:
        path: where they came from, for messages.
        frame: (N,) int64.
        object_id: (N,) int64, -1 where not given.
        xyxy: (N, 4) float64, pixels.
        score: (N,) float64, column 7; 1 where the file has no such column.
        class_id: (N,) int64, column 8, -1 where not given.
        line: (N,) int64, line number in the file, from 1.
    """

    path: str
    frame: I64
    object_id: I64
    xyxy: F64
    score: F64
    class_id: I64
    line: I64

    def __len__(self) -> int:
        return len(self.frame)

    def frames(self) -> Iterable[tuple[int, slice]]:
        """Every frame number that has rows, ascending, with the slice of its rows."""
        numbers, starts = np.unique(self.frame, return_index=True)
        ends = [*starts[1:].tolist(), len(self)][: len(starts)]
        for number, start, end in zip(numbers.tolist(), starts.tolist(), ends, strict=True):
            yield number, slice(start, end)


def read_mot(path: str | Path, *, in_order: bool = False, unique_ids: bool = False) -> BoxTable:
    """Read and check a file.

    Args:
        path: the file.
        in_order: frame numbers must not go back (detections are read as they came).
        unique_ids: an id may be on a frame once; rows without an id (below 0) are not compared.

    Raises:
        InputError: no such file, or a line that is not what it must be; names file and line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file; expected lines of {LAYOUT}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    rows: list[list[float]] = []
    lines: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        rows.append(_parse(path, number, line))
        lines.append(number)
        if in_order and len(rows) > 1 and rows[-1][0] < rows[-2][0]:
            raise InputError(
                f"{path}, line {number}: frame {rows[-1][0]:.0f} comes after frame "
                f"{rows[-2][0]:.0f}; sort the lines by frame"
            )
    table = np.array(rows, np.float64).reshape(len(rows), 8)
    order = np.argsort(table[:, 0], kind="stable")
    table = table[order]
    xyxy = table[:, 2:6].copy()
    xyxy[:, 2:] += xyxy[:, :2]
    result = BoxTable(
        path=str(path),
        frame=table[:, 0].astype(np.int64),
        object_id=table[:, 1].astype(np.int64),
        xyxy=xyxy,
        score=table[:, 6].copy(),
        class_id=table[:, 7].astype(np.int64),
        line=np.array(lines, np.int64)[order],
    )
    if unique_ids:
        _check_unique(result)
    return result


def _parse(path: str | Path, number: int, line: str) -> list[float]:
    """The first eight columns of a line, checked."""
    where = f"{path}, line {number}"
    cells = line.split(",")
    try:
        values = [float(cell) for cell in cells]
    except ValueError:
        values = []
    if not 6 <= len(values) <= 64:
        raise InputError(
            f"{where}: expected at least six numbers, {LAYOUT}, but the line is {_shown(line)}"
        )
    if not all(math.isfinite(value) for value in values):
        raise InputError(f"{where}: every number must be finite, but the line is {_shown(line)}")
    for name, value in (("frame", values[0]), ("id", values[1])):
        if value != int(value) or abs(value) > LARGEST:
            raise InputError(
                f"{where}: {name} must be a whole number, but is {cells[0 if name == 'frame' else 1].strip()}"
            )
    if values[0] < 0:
        raise InputError(f"{where}: frame must be 0 or more, but is {values[0]:.0f}")
    if values[4] < 0 or values[5] < 0:
        raise InputError(
            f"{where}: width and height must not be negative, but are {values[4]:g} and {values[5]:g}"
        )
    score = values[6] if len(values) > 6 else 1.0
    class_id = values[7] if len(values) > 7 else -1.0
    return [*values[:6], score, float(int(class_id)) if abs(class_id) < LARGEST else -1.0]


def _shown(line: str) -> str:
    return repr(line if len(line) <= 80 else line[:77] + "...")


def _check_unique(table: BoxTable) -> None:
    named = np.flatnonzero(table.object_id >= 0)
    order = named[np.lexsort((table.line[named], table.object_id[named], table.frame[named]))]
    same = (np.diff(table.frame[order]) == 0) & (np.diff(table.object_id[order]) == 0)
    if same.any():
        first = int(np.flatnonzero(same)[0])
        row = order[first + 1]
        raise InputError(
            f"{table.path}, line {table.line[row]}: id {table.object_id[row]} is on frame "
            f"{table.frame[row]} a second time (first in line {table.line[order[first]]})"
        )


def write_mot(path: str | Path, frame: I64, track_id: I64, xyxy: F64, score: F64) -> None:
    """Write tracks, one line a box: `frame,id,left,top,width,height,score,-1,-1,-1`.

    Args:
        path: the file; its folder must exist.
        frame: (N,), ascending.
        track_id: (N,).
        xyxy: (N, 4) pixels, written to 1/100.
        score: (N,).

    Raises:
        InputError: the file cannot be written.
    """
    sides = xyxy[:, 2:] - xyxy[:, :2]
    lines = [
        f"{f},{i},{x:.2f},{y:.2f},{w:.2f},{h:.2f},{s:.6g},-1,-1,-1\n"
        for f, i, (x, y), (w, h), s in zip(
            frame.tolist(),
            track_id.tolist(),
            xyxy[:, :2].tolist(),
            sides.tolist(),
            score.tolist(),
            strict=True,
        )
    ]
    try:
        Path(path).write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
