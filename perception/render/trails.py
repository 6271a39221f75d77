"""Where tracked objects have been: a short line that fades with age."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from itertools import chain, compress

import numpy as np
import numpy.typing as npt

from perception.render.canvas import Canvas
from perception.render.palette import BGR

F32 = npt.NDArray[np.float32]

_POINTS = 14  # kept per track, whatever the frame rate
_OPACITY = (0.28, 0.52, 0.8)  # from the oldest third to the newest


class Trails:
    """The recent path of every track, by stream time.

    Memory is bounded: at most 14 points per track, and a track is forgotten `seconds` after it was last
    seen.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._paths: dict[Hashable, deque[tuple[float, float, float]]] = {}
        self._now = -np.inf

    def __len__(self) -> int:
        return len(self._paths)

    def update(self, time: float, anchors: Iterable[tuple[Hashable, float, float]]) -> None:
        """Add where each track is now.

        Args:
            time: seconds of the stream. When it goes back, as a new file or a loop does, all is forgotten.
            anchors: key of the track, x, y in pixels.
        """
        if time < self._now:
            self._paths.clear()
        self._now = time
        for key, x, y in anchors:
            path = self._paths.get(key)
            if path is None:
                path = self._paths[key] = deque(maxlen=_POINTS)
            # The newest point always follows the object; it becomes a lasting one when it is old enough.
            if len(path) > 1 and path[-1][0] - path[-2][0] < self.seconds / (_POINTS - 2):
                path.pop()
            path.append((time, x, y))
        oldest = time - self.seconds
        for key in [key for key, path in self._paths.items() if path[-1][0] < oldest]:
            del self._paths[key]
        for path in self._paths.values():
            while path[0][0] < oldest:
                path.popleft()

    def paths(self, keys: Iterable[Hashable]) -> list[F32]:
        """Where each of these tracks has been: (K, 2) float32 pixels, oldest first, lightly smoothed."""
        found = [self._paths.get(key, ()) for key in keys]
        if not any(found):
            return [np.zeros((0, 2), np.float32)] * len(found)
        points = np.array(list(chain.from_iterable(found)), np.float32)[:, 1:]
        lengths = np.array([len(path) for path in found])
        ends = np.cumsum(lengths)
        smooth = points.copy()  # detector noise must not make the lines tremble
        smooth[1:-1] = 0.5 * points[1:-1] + 0.25 * (points[:-2] + points[2:])
        borders = np.concatenate([ends - 1, (ends - lengths)[lengths > 0]])
        smooth[borders] = points[borders]  # where a path ends it stays as it is
        return [
            smooth[end - count : end]
            for end, count in zip(ends.tolist(), lengths.tolist(), strict=True)
        ]


def draw_trails(canvas: Canvas, paths: list[F32], colours: list[BGR], width: int) -> None:
    """Draw paths, oldest point first, that fade towards their oldest ends.

    A path hardly longer than it is wide is left out.

    Args:
        canvas: to draw on.
        paths: each (K, 2) float32 pixels.
        colours: one per path.
        width: of a box's outline, pixels.
    """
    long = [
        len(path) > len(_OPACITY) and float(np.abs(path[-1] - path[0]).max()) >= 4 * width
        for path in paths
    ]
    canvas.comets(list(compress(paths, long)), list(compress(colours, long)), width + 1, _OPACITY)
