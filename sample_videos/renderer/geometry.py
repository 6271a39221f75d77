"""Triangle meshes made by code: boxes, tubes, ellipsoids, lofts and extrusions.

World coordinates: x to the right, y up, z forward, in metres. A mesh is an array of triangle
corners; nothing is indexed, so that every corner carries its own normal and texture place.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
COLUMNS = 13
"""Columns of a vertex: position 3, normal 3, texture u v layer 3, colour 3, kind 1."""


@dataclass(slots=True)
class Mesh:
    """Triangle corners, three rows to a triangle.

    Attributes:
        data: (3T, 13) float32, see `COLUMNS`.
    """

    data: Floats = field(default_factory=lambda: np.zeros((0, COLUMNS), np.float32))

    def moved(self, offset: tuple[float, float, float]) -> Mesh:
        """Return a copy moved by `offset`."""
        data = self.data.copy()
        data[:, :3] += np.asarray(offset, np.float32)
        return Mesh(data)

    def scaled(self, factors: tuple[float, float, float]) -> Mesh:
        """Return a copy scaled along the axes, with the normals kept upright."""
        data = self.data.copy()
        scale = np.asarray(factors, np.float32)
        data[:, :3] *= scale
        data[:, 3:6] = _unit(data[:, 3:6] / scale)
        return Mesh(data)

    def rotated(self, axis: str, degrees: float) -> Mesh:
        """Return a copy turned about an axis through the origin."""
        data = self.data.copy()
        turn = rotation(axis, degrees)[:3, :3]
        data[:, :3] = data[:, :3] @ turn.T
        data[:, 3:6] = data[:, 3:6] @ turn.T
        return Mesh(data)

    def painted(self, colour: tuple[float, float, float], kind: float = 0.0) -> Mesh:
        """Return a copy in one colour and of one material kind."""
        data = self.data.copy()
        data[:, 9:12] = colour
        data[:, 12] = kind
        return Mesh(data)


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.maximum(length, 1e-9)).astype(np.float32)


def rotation(axis: str, degrees: float) -> Floats:
    """Return the 4x4 matrix of a turn about the axis x, y or z."""
    angle = np.radians(degrees)
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.eye(4, dtype=np.float32)
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix[i, i], matrix[j, j] = c, c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


def placed(
    x: float, y: float, z: float, *, heading: float = 0.0, scale: tuple[float, ...] = (1, 1, 1)
) -> Floats:
    """Return the 4x4 matrix that scales, turns by `heading` radians to the right, then moves."""
    c, s = np.cos(heading), np.sin(heading)
    sx, sy, sz = scale
    return np.array(
        [[c * sx, 0, s * sz, x], [0, sy, 0, y], [-s * sx, 0, c * sz, z], [0, 0, 0, 1]], np.float32
    )


def merged(*meshes: Mesh) -> Mesh:
    """Join meshes into one."""
    return Mesh(np.concatenate([mesh.data for mesh in meshes]))


def from_grid(
    points: NDArray[np.floating],
    *,
    uv: NDArray[np.floating] | None = None,
    smooth: bool = True,
    outward: NDArray[np.floating] | None = None,
) -> Mesh:
    """Make a mesh of a (rows, columns, 3) grid of points.

    Args:
        points: the grid.
        uv: (rows, columns, 2) texture places.
        smooth: average the normals of neighbouring faces.
        outward: a point inside; normals are turned away from it.
    """
    grid = np.asarray(points, np.float32)
    a, b = grid[:-1, :-1], grid[1:, :-1]
    c, d = grid[1:, 1:], grid[:-1, 1:]
    face = np.cross(c - a, d - b)
    if smooth:
        total = np.zeros_like(grid)
        for rows, columns in (
            (slice(None, -1), slice(None, -1)),
            (slice(1, None), slice(None, -1)),
            (slice(1, None), slice(1, None)),
            (slice(None, -1), slice(1, None)),
        ):
            total[rows, columns] += face
        closed_columns = np.allclose(grid[:, 0], grid[:, -1], atol=1e-5)
        if closed_columns:
            total[:, 0] = total[:, -1] = total[:, 0] + total[:, -1]
        if np.allclose(grid[0], grid[-1], atol=1e-5):
            total[0] = total[-1] = total[0] + total[-1]
        normal = _unit(total)
        corners_normal = [normal[:-1, :-1], normal[1:, :-1], normal[1:, 1:], normal[:-1, 1:]]
    else:
        corners_normal = [_unit(face)] * 4
    corners = [a, b, c, d]
    if uv is None:
        uv = np.zeros((*grid.shape[:2], 2), np.float32)
    texture = np.asarray(uv, np.float32)
    corners_uv = [texture[:-1, :-1], texture[1:, :-1], texture[1:, 1:], texture[:-1, 1:]]
    order = [0, 1, 2, 0, 2, 3]
    count = a.shape[0] * a.shape[1]
    data = np.zeros((count, 6, COLUMNS), np.float32)
    for slot, corner in enumerate(order):
        data[:, slot, 0:3] = corners[corner].reshape(-1, 3)
        data[:, slot, 3:6] = corners_normal[corner].reshape(-1, 3)
        data[:, slot, 6:8] = corners_uv[corner].reshape(-1, 2)
    data[:, :, 9:12] = 1.0
    flat = data.reshape(-1, COLUMNS)
    if outward is not None:
        inside = np.asarray(outward, np.float32)
        wrong = np.sum((flat[:, :3] - inside) * flat[:, 3:6], axis=1) < 0
        if wrong.mean() > 0.5:
            flat[:, 3:6] *= -1
    return Mesh(flat)


def box(size: tuple[float, float, float], centre: tuple[float, float, float] = (0, 0, 0)) -> Mesh:
    """Make a box; the texture runs once over each face."""
    half = np.asarray(size, np.float32) / 2
    faces = []
    square = np.array([[[-1, -1], [1, -1]], [[-1, 1], [1, 1]]], np.float32)
    uv = (square + 1) / 2
    for axis in range(3):
        for sign in (-1.0, 1.0):
            grid = np.zeros((2, 2, 3), np.float32)
            grid[..., axis] = sign
            first, second = ((2, 1), (0, 2), (0, 1))[axis]
            grid[..., first], grid[..., second] = square[..., 0], square[..., 1]
            face = from_grid(grid * half + centre, uv=uv, smooth=False, outward=np.array(centre))
            faces.append(face)
    return merged(*faces)


def ellipsoid(
    radii: tuple[float, float, float],
    centre: tuple[float, float, float] = (0, 0, 0),
    *,
    rings: int = 8,
    sides: int = 12,
) -> Mesh:
    """Make an ellipsoid."""
    v = np.linspace(-np.pi / 2, np.pi / 2, rings + 1)[:, None]
    u = np.linspace(0, 2 * np.pi, sides + 1)[None, :]
    unit = np.stack(
        [np.cos(v) * np.cos(u), np.sin(v) * np.ones_like(u), np.cos(v) * np.sin(u)], axis=-1
    )
    grid = unit * np.asarray(radii) + np.asarray(centre)
    mesh = from_grid(grid, outward=np.asarray(centre))
    normals = (mesh.data[:, :3] - np.asarray(centre, np.float32)) / np.asarray(radii) ** 2
    mesh.data[:, 3:6] = _unit(normals.astype(np.float32))
    return mesh


def lathe(profile: list[tuple[float, float]], *, sides: int = 16) -> Mesh:
    """Turn a profile of (radius, x) pairs about the x axis."""
    pairs = np.asarray(profile, np.float32)
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    grid = np.stack(
        [
            np.broadcast_to(pairs[:, 1:2], (len(pairs), sides + 1)),
            pairs[:, :1] * np.cos(angle),
            pairs[:, :1] * np.sin(angle),
        ],
        axis=-1,
    )
    return from_grid(grid, outward=np.array([pairs[:, 1].mean(), 0, 0]))


def tube(
    start: tuple[float, float, float],
    end: tuple[float, float, float],
    radius: float,
    end_radius: float | None = None,
    *,
    sides: int = 8,
) -> Mesh:
    """Make a closed cylinder or cone between two points."""
    a, b = np.asarray(start, np.float32), np.asarray(end, np.float32)
    along = b - a
    length = float(np.linalg.norm(along)) or 1e-6
    along = along / length
    side = np.cross(along, [0.0, 0.0, 1.0] if abs(along[2]) < 0.9 else [1.0, 0.0, 0.0])
    side = side / np.linalg.norm(side)
    other = np.cross(along, side)
    last = radius if end_radius is None else end_radius
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    ring = np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * other
    wall = from_grid(np.stack([a + ring * radius, b + ring * last]), outward=(a + b) / 2)
    caps = [
        from_grid(
            np.stack([np.repeat(p[None], sides + 1, 0), p + ring * r]),
            smooth=False,
            outward=(a + b) / 2,
        )
        for p, r in ((a, radius), (b, last))
    ]
    return merged(wall, *caps)


def torus(radius: float, thickness: float, *, sides: int = 24, tube_sides: int = 6) -> Mesh:
    """Make a ring about the x axis."""
    u = np.linspace(0, 2 * np.pi, sides + 1)[:, None]
    v = np.linspace(0, 2 * np.pi, tube_sides + 1)[None, :]
    distance = radius + thickness * np.cos(v)
    grid = np.stack(
        [thickness * np.sin(v) * np.ones_like(u), distance * np.cos(u), distance * np.sin(u)], -1
    )
    mesh = from_grid(grid)
    centre = np.concatenate([np.zeros((len(mesh.data), 1)), _unit(mesh.data[:, 1:3]) * radius], 1)
    mesh.data[:, 3:6] = _unit((mesh.data[:, :3] - centre).astype(np.float32))
    return mesh


def extruded(
    profile: list[tuple[float, float]], path: NDArray[np.floating], *, smooth: bool = False
) -> Mesh:
    """Sweep a profile of (sideways, height) pairs along a path of (x, z) points.

    The texture runs with the metres: u along the path, v along the profile.
    """
    pairs = np.asarray(profile, np.float32)
    line = np.asarray(path, np.float32)
    ahead = _unit(np.gradient(line, axis=0).astype(np.float32))
    right = np.stack([ahead[:, 1], -ahead[:, 0]], axis=1)
    ground = line[:, None, :] + right[:, None, :] * pairs[None, :, :1]
    height = np.broadcast_to(pairs[None, :, 1], ground.shape[:2])
    grid = np.stack([ground[..., 0], height, ground[..., 1]], axis=-1)
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    across = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(pairs, axis=0), axis=1))])
    uv = np.stack(np.broadcast_arrays(along[:, None], across[None, :]), axis=-1)
    return from_grid(grid, uv=uv, smooth=smooth)
