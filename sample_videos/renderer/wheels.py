"""Wheels of cars and lorries."""

from __future__ import annotations

from .bodies import Body
from .geometry import Mesh, box, lathe, merged


def coarse_wheel(radius: float, width: float) -> Mesh:
    """Make a wheel with few faces, for far away."""
    half = width / 2
    tyre = lathe([(radius * 0.62, half), (radius, half * 0.8), (radius, -half)], sides=9)
    disc = lathe([(0.0, half * 0.6), (radius * 0.62, half)], sides=9)
    return merged(tyre.painted((0.022, 0.022, 0.023)), disc.painted((0.26, 0.26, 0.27)))


def wheel(
    radius: float, width: float, *, spokes: int = 5, truck: bool = False, coarse: bool = False
) -> Mesh:
    """Make a wheel whose outer face looks along +x."""
    if coarse:
        return coarse_wheel(radius, width)
    rim = radius * (0.55 if truck else 0.66)
    half = width / 2
    tyre = lathe(
        [
            (rim, half * 0.9),
            (radius * 0.93, half),
            (radius, half * 0.7),
            (radius, -half * 0.7),
            (radius * 0.93, -half),
            (rim, -half * 0.9),
        ],
        sides=18,
    ).painted((0.022, 0.022, 0.023))
    disc = lathe([(0.0, half * 0.25), (rim, half * 0.25)], sides=16).painted((0.05, 0.05, 0.05))
    ring = lathe(
        [(rim, half * 0.92), (rim * 0.88, half * 0.92), (rim * 0.86, half * 0.4)], sides=18
    ).painted((0.5, 0.5, 0.51))
    parts = [tyre, disc, ring]
    if truck:
        parts.append(
            lathe(
                [
                    (rim * 0.9, half * 0.3),
                    (rim * 0.5, half * 0.5),
                    (rim * 0.35, half * 0.95),
                    (0.0, half),
                ],
                sides=14,
            ).painted((0.32, 0.32, 0.33))
        )
    else:
        for i in range(spokes):
            spoke = box((half * 0.5, rim * 0.95, rim * 0.26), (half * 0.62, rim * 0.48, 0))
            parts.append(spoke.rotated("x", 360 * i / spokes).painted((0.48, 0.48, 0.50)))
        parts.append(
            lathe([(rim * 0.22, half * 0.9), (0, half * 0.95)], sides=8).painted((0.35, 0.35, 0.36))
        )
    return merged(*parts)


def wheels_of(
    body: Body, *, truck: bool = False, shift: float = 0.0, coarse: bool = False
) -> list[Mesh]:
    width = 0.32 if truck else 0.21
    radius = body.wheel_radius
    parts = []
    for distance in body.wheels:
        z = body.length / 2 - distance + shift
        right = wheel(radius, width, truck=truck, coarse=coarse)
        x = body.width / 2 - width / 2 + 0.012
        parts.append(right.moved((x, radius, z)))
        parts.append(right.rotated("y", 180).moved((-x, radius, z)))
    return parts
