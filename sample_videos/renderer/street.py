"""What stands beside a road: poles, lamps, signals, houses, trees, rails."""

from __future__ import annotations

import numpy as np

from .geometry import COLUMNS, Mesh, box, ellipsoid, extruded, from_grid, lathe, merged, tube
from .model import CHROME, GLOSSY, MATT, TINTED
from .road import Road

HOUSES = (
    (12.0, 11.0, 10.0),
    (16.0, 14.0, 12.0),
    (10.0, 17.0, 12.0),
    (20.0, 9.0, 12.0),
    (14.0, 21.0, 14.0),
    (24.0, 26.0, 16.0),
    (11.0, 8.0, 9.0),
    (18.0, 18.0, 12.0),
)
"""Width along the street, height and depth of each house."""

STEEL = (0.36, 0.37, 0.38)
SIGNAL, GLOW = 4, 5
LIGHT_STATES = {"red": 0.0, "yellow": 1.0, "green": 2.0, "red_yellow": 3.0, "off": -1.0}


def _quad(width: float, low: float, high: float) -> Mesh:
    mesh = Mesh(np.zeros((6, COLUMNS), np.float32))
    corners = [(-1, 0), (1, 0), (1, 1), (-1, 0), (1, 1), (-1, 1)]
    for row, (x, y) in zip(mesh.data, corners, strict=True):
        row[:8] = (x * width / 2, low + y * (high - low), 0, 0, 0, 1, (1 - x) / 2, y)
        row[9:] = (1, 1, 1, 0)
    return mesh


def _disc(
    radius: float, centre: tuple[float, float, float], lamp: int, colour: tuple[float, float, float]
) -> Mesh:
    rings = np.array([0.0, 0.5, 0.8, 1.0])[:, None]
    angle = np.linspace(0, 2 * np.pi, 15)[None, :]
    grid = np.stack(
        [
            rings * radius * np.cos(angle) + centre[0],
            rings * radius * np.sin(angle) + centre[1],
            np.full((4, 15), centre[2]),
        ],
        axis=-1,
    )
    uv = np.stack([np.full((4, 15), float(lamp)), np.broadcast_to(rings, (4, 15))], axis=-1)
    return from_grid(grid, uv=uv, smooth=False).painted(colour, SIGNAL)


def _signal() -> Mesh:
    """Make a traffic light of three lamps, 1 m high, that looks along +z, centred at 0."""
    dark = (0.016, 0.018, 0.017)
    parts = [box((0.32, 0.98, 0.18), (0, 0, -0.1)).painted(dark)]
    colours = ((1.0, 0.08, 0.05), (1.0, 0.58, 0.05), (0.10, 0.95, 0.55))
    for lamp, (y, colour) in enumerate(zip((0.31, 0.0, -0.31), colours, strict=True)):
        parts.append(_disc(0.115, (0, y, 0.012), lamp, colour))
        visor = lathe([(0.135, 0.0), (0.135, 0.16)], sides=12).rotated("y", -90)
        keep = visor.data.reshape(-1, 3, COLUMNS)
        keep = keep[keep[:, :, 1].mean(1) > -0.07].reshape(-1, COLUMNS)
        parts.append(Mesh(keep).moved((0, y, 0)).painted(dark))
    return merged(*parts)


def _lamp_post() -> Mesh:
    parts = [
        tube((0, 0, 0), (0, 8.0, 0), 0.09, 0.05).painted(STEEL),
        tube((0, 7.9, 0), (1.6, 8.4, 0), 0.045, 0.035).painted(STEEL),
        box((0.75, 0.10, 0.28), (1.9, 8.42, 0)).painted((0.25, 0.25, 0.26)),
        box((0.6, 0.02, 0.2), (1.9, 8.36, 0)).painted((1.0, 0.78, 0.48), GLOW),
    ]
    return merged(*parts)


def _house(size: tuple[float, float, float]) -> Mesh:
    width, height, depth = size
    mesh = box((depth, height, width), (0, height / 2, 0))
    faces = mesh.data.reshape(6, 6, COLUMNS)
    for axis, pair in enumerate(faces.reshape(3, 2, 6, COLUMNS)):
        spans = ((width, height), (depth, width), (depth, height))[axis]
        pair[..., 6] *= spans[0]
        pair[..., 7] *= spans[1]
    return mesh


def _roof(size: tuple[float, float, float]) -> Mesh:
    width, height, depth = size
    rise = depth * 0.32
    path = np.array([[0, -width / 2 - 0.3], [0, width / 2 + 0.3]])
    slopes = extruded(
        [(-depth / 2 - 0.4, height - 0.2), (0, height + rise), (depth / 2 + 0.4, height - 0.2)],
        path,
    )
    ends = []
    for z in (-width / 2, width / 2):
        grid = np.array(
            [
                [[-depth / 2, height, z], [depth / 2, height, z]],
                [[0, height + rise, z], [0, height + rise, z]],
            ]
        )
        ends.append(from_grid(grid, smooth=False).painted((0.45, 0.42, 0.38)))
    return merged(slopes.painted((1, 1, 1), TINTED), *ends)


def _gantry() -> Mesh:
    """Make a sign bridge over 16 m, its beam 6.2 m up; it spans x from -8 to 8."""
    parts = [box((0.35, 7.4, 0.35), (x, 3.7, 0)) for x in (-8, 8)]
    parts += [box((16, 0.18, 0.18), (0, y, z)) for y in (6.1, 7.1) for z in (-0.3, 0.3)]
    for i in range(16):
        x = -8 + i
        parts.append(tube((x, 6.1, 0.3), (x + 1, 7.1, 0.3), 0.05, sides=4))
        parts.append(tube((x, 7.1, -0.3), (x + 1, 6.1, -0.3), 0.05, sides=4))
    return merged(*parts).painted((0.42, 0.43, 0.44))


def street_meshes() -> dict[str, tuple[str, Mesh]]:
    """Return the meshes: name to (program, mesh)."""
    meshes: dict[str, tuple[str, Mesh]] = {
        "tree": ("foliage", _quad(1, 0, 1)),
        "sign": ("sign", _quad(1, -0.5, 0.5)),
        "sign_pole": ("solid", tube((0, 0, 0), (0, 1, 0), 0.032, sides=7).painted(STEEL, CHROME)),
        "pole": ("solid", tube((0, 0, 0), (0, 1, 0), 0.07, 0.06).painted((0.10, 0.11, 0.11))),
        "signal": ("solid", _signal()),
        "lamp_post": ("solid", _lamp_post()),
        "gantry": ("solid", _gantry()),
        "post": ("solid", box((0.10, 0.75, 0.12), (0, 0.37, 0)).painted(STEEL)),
        "delineator": (
            "solid",
            merged(
                box((0.12, 0.9, 0.06), (0, 0.45, 0)).painted((0.8, 0.8, 0.79)),
                box((0.125, 0.2, 0.065), (0, 0.78, 0)).painted((0.02, 0.02, 0.02)),
            ),
        ),
        "bollard": (
            "solid",
            merged(
                tube((0, 0, 0), (0, 0.95, 0), 0.06).painted((0.05, 0.05, 0.05)),
                tube((0, 0.75, 0), (0, 0.85, 0), 0.062).painted((0.7, 0.7, 0.7)),
            ),
        ),
        "bin": (
            "solid",
            merged(tube((0, 0.1, 0), (0, 1.0, 0), 0.24, 0.28, sides=12).painted((1, 1, 1), GLOSSY)),
        ),
        "bench": (
            "solid",
            merged(
                *[box((1.6, 0.05, 0.12), (0, 0.45, z)) for z in (-0.15, 0, 0.15)],
                *[box((1.6, 0.12, 0.04), (0, y, -0.28)) for y in (0.65, 0.85)],
                *[box((0.08, 0.45, 0.4), (x, 0.22, 0)) for x in (-0.6, 0.6)],
            ).painted((0.20, 0.12, 0.06)),
        ),
        "cone": (
            "solid",
            merged(
                tube((0, 0, 0), (0, 0.7, 0), 0.16, 0.03, sides=12).painted((0.85, 0.16, 0.03)),
                tube((0, 0.3, 0), (0, 0.45, 0), 0.118, 0.084, sides=12).painted((0.85, 0.85, 0.85)),
                box((0.4, 0.04, 0.4), (0, 0.02, 0)).painted((0.85, 0.16, 0.03)),
            ),
        ),
        "shelter": (
            "solid",
            merged(
                box((1.6, 0.12, 4.0), (0, 2.5, 0)).painted((0.12, 0.13, 0.14)),
                box((0.03, 1.9, 3.6), (0.7, 1.3, 0)).painted((0.1, 0.1, 0.1), 3),
                *[box((0.08, 2.5, 0.08), (0.7, 1.25, z)).painted(STEEL) for z in (-1.9, 1.9)],
                box((0.4, 0.06, 2.2), (0.45, 0.48, 0)).painted((0.3, 0.2, 0.1)),
            ),
        ),
        "mast": (
            "solid",
            merged(
                tube((0, 0, 0), (0, 9, 0), 0.12, 0.09).painted((0.22, 0.17, 0.12)),
                box((1.8, 0.1, 0.1), (0, 8.6, 0)).painted((0.22, 0.17, 0.12)),
            ),
        ),
        "rock": (
            "solid",
            ellipsoid((1, 0.6, 1), rings=5, sides=7).painted((0.3, 0.28, 0.25), MATT),
        ),
    }
    for index, size in enumerate(HOUSES):
        meshes[f"house{index}"] = ("facade", _house(size))
        meshes[f"roof{index}"] = ("solid", _roof(size))
    return meshes


def guard_rail(road: Road, sideways: float, start: float, end: float) -> Mesh:
    """Make the corrugated beam of a guard rail along the road."""
    profile = [
        (0, 0.46),
        (0.07, 0.50),
        (0.07, 0.56),
        (0, 0.60),
        (0, 0.63),
        (0.07, 0.67),
        (0.07, 0.73),
        (0, 0.77),
    ]
    if sideways > 0:
        profile = [(-x, y) for x, y in profile]
    return extruded(profile, road.path(sideways, start, end, 4.0)).painted(
        (0.40, 0.41, 0.42), CHROME
    )


def barrier(road: Road, sideways: float, start: float, end: float) -> Mesh:
    """Make a concrete barrier along the road."""
    profile = [
        (-0.30, 0),
        (-0.28, 0.10),
        (-0.13, 0.30),
        (-0.09, 0.85),
        (0.09, 0.85),
        (0.13, 0.30),
        (0.28, 0.10),
        (0.30, 0),
    ]
    return extruded(profile, road.path(sideways, start, end, 4.0)).painted((0.36, 0.35, 0.33))


def kerb(road: Road, sideways: float, start: float, end: float) -> Mesh:
    """Make a kerb stone strip along the road."""
    half = 0.09
    profile = [(-half, 0), (-half, 0.12), (half, 0.13), (half, 0)]
    return extruded(profile, road.path(sideways, start, end, 2.0)).painted((0.36, 0.355, 0.34))


def noise_wall(road: Road, sideways: float, start: float, end: float) -> Mesh:
    """Make a wall along the road, 3.5 m high."""
    profile = [(-0.15, 0), (-0.15, 3.5), (0.15, 3.5), (0.15, 0)]
    return extruded(profile, road.path(sideways, start, end, 4.0)).painted((0.30, 0.31, 0.27))
