"""Where tracked objects have been: a short line that fades with age."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable

import numpy as np
import numpy.typing as npt

from perception.render.canvas import Canvas
from perception.render.palette import BGR

F32 = npt.NDArray[np.float32]

_POINTS = 20  # kept per track, whatever the frame rate
_OPACITY = (0.28, 0.52, 0.8)  # from the oldest third to the newest


class Trails:
    """The recent path of every track, by stream time.

    Memory is bounded: at most 20 points per track, and a track is forgotten `seconds` after it was last
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

    def path(self, key: Hashable) -> F32:
        """(K, 2) float32, oldest first, lightly smoothed; empty for an unknown track."""
        points = self._paths.get(key)
        if points is None:
            return np.zeros((0, 2), np.float32)
        line = np.array(points, np.float32)[:, 1:]
        if len(line) > 3:  # detector noise must not make the line tremble
            line[1:-1] = 0.5 * line[1:-1] + 0.25 * (line[:-2] + line[2:])
        return line


def draw_trail(canvas: Canvas, path: F32, bgr: BGR, width: int) -> None:
    """Draw a path, oldest point first, that fades towards its oldest end.

    Nothing is drawn when it is hardly longer than it is wide.
    """
    if len(path) <= len(_OPACITY) or float(np.ptp(path, axis=0).max()) < 4 * width:
        return
    canvas.fading_line(path, bgr, width, _OPACITY)
