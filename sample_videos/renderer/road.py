"""The road: its bends, its lines and what lies beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .camera import Camera
from .geometry import Floats

MAX_LINES, MAX_CROSSINGS = 10, 6


@dataclass(frozen=True, slots=True)
class Line:
    """A painted line along the road.

    Attributes:
        place: metres to the right of the centre line.
        width: metres.
        dash, period: length painted of each period; 0 paints all.
        yellow: yellow instead of white.
    """

    place: float
    width: float = 0.15
    dash: float = 0.0
    period: float = 0.0
    yellow: bool = False


@dataclass(slots=True)
class Road:
    """A flat road that bends as a sum of sines along z.

    Attributes:
        waves: (3, 3) amplitude in metres, wavenumber per metre, phase.
        edges: sideways limits of the asphalt.
        lines: the painted lines.
        crossings: (z, half length, kind, sideways); kind 0 road, 1 zebra, 2 stop line.
        paving: width of the paving on the left and on the right.
        built_up: 0 grass beyond the paving, 1 paving.
        tone: brightness of the asphalt, its patchiness, where paint wears off.
        grass: colour of the grass.
        bare: share of bare soil.
    """

    waves: Floats = field(default_factory=lambda: np.zeros((3, 3), np.float32))
    edges: tuple[float, float] = (-3.75, 3.75)
    lines: list[Line] = field(default_factory=list)
    crossings: list[tuple[float, float, float, float]] = field(default_factory=list)
    paving: tuple[float, float] = (0.0, 0.0)
    built_up: float = 0.0
    tone: tuple[float, float, float] = (0.12, 0.6, 0.75)
    grass: tuple[float, float, float] = (0.09, 0.13, 0.035)
    bare: float = 0.3

    def centre(self, z: NDArray[np.floating] | float) -> NDArray[np.float64]:
        """Return x of the centre line at z."""
        place = np.asarray(z, np.float64)[..., None]
        a, k, p = self.waves.astype(np.float64).T
        return np.sum(a * np.sin(place * k + p), axis=-1)

    def heading(self, z: NDArray[np.floating] | float) -> NDArray[np.float64]:
        """Return the direction of the road at z in radians to the right."""
        place = np.asarray(z, np.float64)[..., None]
        a, k, p = self.waves.astype(np.float64).T
        return np.arctan(np.sum(a * k * np.cos(place * k + p), axis=-1))

    def at(self, sideways: float, z: float) -> tuple[float, float, float]:
        """Return x, z and heading of a place `sideways` metres right of the centre line."""
        heading = float(self.heading(z))
        x = float(self.centre(z)) + sideways * np.cos(heading)
        return x, z - sideways * np.sin(heading), heading

    def path(self, sideways: float, start: float, end: float, step: float = 2.0) -> Floats:
        """Return (N, 2) x and z of a line beside the centre line."""
        z = np.arange(start, end + step, step)
        heading = self.heading(z)
        x = self.centre(z) + sideways * np.cos(heading)
        return np.stack([x, z - sideways * np.sin(heading)], axis=1).astype(np.float32)

    def lanes(self, camera: Camera, *, reach: float = 90.0) -> list[dict[str, object]]:
        """Return the lane lines in the picture: side -1 left of the camera, 1 right, then 2 ..."""
        result: list[dict[str, object]] = []
        ego = float((camera.x - self.centre(camera.z)) * np.cos(self.heading(camera.z)))
        places = sorted(self._single_places())
        left = [p for p in places if p < ego][::-1]
        right = [p for p in places if p >= ego]
        blocked = [(z, h) for z, h, kind, _ in self.crossings if kind == 0]
        for sign, group in ((-1, left), (1, right)):
            for rank, place in enumerate(group[:2]):
                end = camera.z + reach
                for z, half in blocked:
                    if z + half > camera.z + 3:
                        end = min(end, z - half)
                path = self.path(place, camera.z + 1.0, end, 1.0) if end > camera.z + 4 else []
                if len(path) < 2:
                    continue
                world = np.stack([path[:, 0], np.zeros(len(path)), path[:, 1]], axis=1)
                pixels, depth = camera.project(world)
                points = _inside(pixels[depth > 0.5], camera.size)
                if len(points) >= 2:
                    result.append(
                        {"side": sign * (rank + 1), "points": np.round(points, 1).tolist()}
                    )
        return result

    def _single_places(self) -> list[float]:
        """Return the places of the lines, double lines taken as one."""
        places: list[float] = []
        for place in sorted(line.place for line in self.lines):
            if places and place - places[-1] < 0.6:
                places[-1] = (places[-1] + place) / 2
            else:
                places.append(place)
        return places


def _inside(points: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Cut a polyline to the picture and drop points that add nothing."""
    width, height = size
    dense: list[NDArray[np.float64]] = []
    for a, b in pairwise(points):
        steps = max(2, min(60, int(np.hypot(*(b - a)) / 6)))
        dense.extend(a + (b - a) * s for s in np.linspace(0, 1, steps, endpoint=False))
    if not dense:
        return np.zeros((0, 2))
    line = np.array([*dense, points[-1]])
    keep = (line[:, 0] >= 0) & (line[:, 0] < width) & (line[:, 1] >= 0) & (line[:, 1] < height)
    line = line[keep]
    if len(line) < 2:
        return line
    step = np.hypot(*np.diff(line, axis=0).T)
    distance = np.concatenate([[0.0], np.cumsum(step)])
    count = max(2, min(16, int(distance[-1] / 12)))
    wanted = np.linspace(0, distance[-1], count)
    return np.stack([np.interp(wanted, distance, line[:, i]) for i in (0, 1)], axis=1)
