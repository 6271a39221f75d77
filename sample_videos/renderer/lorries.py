"""Lorries, tankers, tippers and buses."""

from __future__ import annotations

import numpy as np

from .bodies import BODIES, Body, shell
from .geometry import COLUMNS, Mesh, box, ellipsoid, lathe, merged, tube
from .model import CHROME, RED_LAMP, TINTED, Model
from .wheels import wheel, wheels_of


def _cargo(
    size: tuple[float, float, float], floor: float, centre: float, layers: dict[str, int]
) -> Mesh:
    """Make a load box with its pictures: sides along z, doors at the rear."""
    width, height, length = size
    mesh = box(size, (0, floor + height / 2, centre))
    data = mesh.data.reshape(-1, 6, COLUMNS)
    for face in data:
        normal = face[0, 3:6]
        if abs(normal[0]) > 0.5:
            along = (face[:, 2] - centre) / length + 0.5
            face[:, 6] = along if normal[0] > 0 else 1 - along
            face[:, 7] = (face[:, 1] - floor) / height
            face[:, 8] = layers["side"]
        elif normal[2] < -0.5:
            face[:, 6] = face[:, 0] / width + 0.5
            face[:, 7] = (face[:, 1] - floor) / height
            face[:, 8] = layers["rear"]
        else:
            face[:, 6:8] = 0.5
            face[:, 8] = layers["top"]
    return mesh


def box_truck(
    name: str, load: float, style: int, layers: dict[str, dict[str, int]], coarse: bool
) -> Model:
    cab = BODIES["cab"]
    total = cab.length + 0.12 + load
    front = total / 2 - cab.length / 2
    body = [shell(cab, layers["cab"], stations=4 if coarse else 20).moved((0, 0, front))]
    centre = -total / 2 + load / 2
    body.append(_cargo((2.5, 2.5, load), 1.02, centre, layers[f"cargo{style}"]))
    solid = [*wheels_of(cab, truck=True, shift=front, coarse=coarse)]
    rear = wheel(0.5, 0.5, truck=True, coarse=coarse)
    for z in (-total / 2 + 1.6,):
        solid += [rear.moved((0.97, 0.5, z)), rear.rotated("y", 180).moved((-0.97, 0.5, z))]
    dark = (0.03, 0.03, 0.03)
    solid.append(box((0.9, 0.28, total - 0.6), (0, 0.82, -0.2)).painted(dark))
    solid.append(box((2.3, 0.16, 0.08), (0, 0.52, -total / 2 + 0.1)).painted((0.10, 0.10, 0.10)))
    for s in (-1, 1):
        solid.append(
            box((0.5, 0.45, 1.1), (s * 0.95, 0.72, front - 1.9)).painted((0.12, 0.12, 0.12))
        )
        solid.append(
            box((0.03, 0.5, 2.2), (s * 1.2, 0.68, -total / 2 + 3.6)).painted((0.2, 0.2, 0.2))
        )
        solid.append(
            box((0.36, 0.14, 0.05), (s * 0.95, 0.86, -total / 2 - 0.01)).painted(
                (0.45, 0.01, 0.01), RED_LAMP
            )
        )
        solid.append(box((0.55, 0.55, 0.03), (s * 0.95, 0.42, -total / 2 + 0.75)).painted(dark))
        solid.append(
            box((0.40, 0.13, 0.03), (s * 0.55, 0.60, -total / 2 + 0.04)).painted((0.6, 0.25, 0.02))
        )
        solid.append(
            box((0.14, 0.42, 0.22), (s * 1.36, 2.0, front + 0.75)).painted((0.02, 0.02, 0.02))
        )
    half = total / 2
    return Model(
        name,
        "truck",
        total,
        2.5,
        3.55,
        body,
        merged(*solid),
        [((0, 0.62, half + 0.03), 0), ((0, 0.70, -half - 0.03), 180)],
        [(s * 0.95, 0.84, half) for s in (-1, 1)],
        [(s * 0.95, 0.86, -half) for s in (-1, 1)],
    )


def semi(name: str, style: int, layers: dict[str, dict[str, int]], coarse: bool) -> Model:
    cab = BODIES["tall_cab"]
    load = 13.6
    total = 16.4
    front = total / 2 - cab.length / 2
    body = [shell(cab, layers["tall_cab"], stations=4 if coarse else 20).moved((0, 0, front))]
    centre = -total / 2 + load / 2
    body.append(_cargo((2.55, 2.75, load), 1.22, centre, layers[f"cargo{style}"]))
    solid = [*wheels_of(cab, truck=True, shift=front, coarse=coarse)]
    wheel_mesh = wheel(0.5, 0.45, truck=True, coarse=coarse)
    for z in (total / 2 - 5.1, -total / 2 + 1.9, -total / 2 + 3.2, -total / 2 + 4.5):
        solid += [
            wheel_mesh.moved((1.0, 0.5, z)),
            wheel_mesh.rotated("y", 180).moved((-1.0, 0.5, z)),
        ]
    dark = (0.03, 0.03, 0.03)
    solid.append(box((0.9, 0.3, total - 1.0), (0, 0.95, -0.3)).painted(dark))
    solid.append(box((2.4, 0.16, 0.1), (0, 0.52, -total / 2 + 0.15)).painted((0.10, 0.10, 0.10)))
    solid.append(box((2.5, 0.16, 0.05), (0, 1.14, -total / 2)).painted((0.25, 0.25, 0.25)))
    for s in (-1, 1):
        solid.append(box((0.03, 0.7, 5.2), (s * 1.22, 0.82, -0.6)).painted((0.25, 0.25, 0.26)))
        solid.append(box((0.45, 0.5, 1.3), (s * 0.95, 0.7, front - 1.9)).painted((0.3, 0.3, 0.31)))
        solid.append(
            box((0.42, 0.14, 0.05), (s * 0.98, 0.88, -total / 2 - 0.02)).painted(
                (0.45, 0.01, 0.01), RED_LAMP
            )
        )
        solid.append(box((0.55, 0.6, 0.03), (s * 0.98, 0.45, -total / 2 + 1.1)).painted(dark))
        solid.append(
            box((0.50, 0.14, 0.03), (s * 0.80, 0.53, -total / 2 + 0.08)).painted((0.6, 0.30, 0.02))
        )
        solid.append(
            box((0.16, 0.5, 0.24), (s * 1.37, 2.2, front + 0.75)).painted((0.02, 0.02, 0.02))
        )
    half = total / 2
    return Model(
        name,
        "truck",
        total,
        2.55,
        3.97,
        body,
        merged(*solid),
        [((0, 0.62, half + 0.03), 0), ((0, 0.70, -half - 0.04), 180)],
        [(s * 0.95, 0.84, half) for s in (-1, 1)],
        [(s * 0.98, 0.88, -half) for s in (-1, 1)],
    )


def tanker(layers: dict[str, dict[str, int]], coarse: bool) -> Model:
    """Make a lorry with a polished tank."""
    model = semi("tanker", 0, layers, coarse)
    half = model.length / 2
    start, end = -half, -half + 12.4
    profile = [
        (0.0, start),
        (0.6, start + 0.02),
        (1.12, start + 0.22),
        (1.22, start + 0.6),
        (1.22, end - 0.6),
        (1.12, end - 0.22),
        (0.6, end - 0.02),
        (0.0, end),
    ]
    tank = lathe(profile, sides=14 if coarse else 28).rotated("y", -90).moved((0, 2.35, 0))
    rings = [
        lathe(
            [(1.225, z), (1.26, z + 0.02), (1.26, z + 0.1), (1.225, z + 0.12)],
            sides=14 if coarse else 28,
        )
        .rotated("y", -90)
        .moved((0, 2.35, 0))
        for z in np.linspace(start + 1.5, end - 1.5, 4)
    ]
    walk = box((0.6, 0.06, 9.0), (0, 3.6, (start + end) / 2)).painted((0.2, 0.2, 0.2))
    band = box((2.3, 0.5, 0.04), (0, 1.35, start + 0.1)).painted((0.5, 0.5, 0.5), TINTED)
    model.solid = merged(
        model.solid,
        tank.painted((0.8, 0.8, 0.82), CHROME),
        *[ring.painted((0.5, 0.5, 0.5), CHROME) for ring in rings],
        walk,
        band,
    )
    model.body = model.body[:1]
    model.height = 3.75
    return model


def tipper(layers: dict[str, dict[str, int]], coarse: bool) -> Model:
    model = box_truck("tipper", 4.6, 0, layers, coarse)
    length = 4.6
    half = model.length / 2
    steel = [
        box((2.45, 1.25, 0.06), (0, 1.75, -half + 0.03)),
        box((2.45, 1.25, 0.06), (0, 1.75, -half + length)),
        box((2.45, 0.08, length), (0, 1.15, -half + length / 2)),
    ]
    steel += [box((0.06, 1.25, length), (s * 1.2, 1.75, -half + length / 2)) for s in (-1, 1)]
    steel += [
        box((0.1, 1.25, 0.1), (s * 1.25, 1.75, -half + 0.3 + i * 0.95))
        for s in (-1, 1)
        for i in range(5)
    ]
    load = ellipsoid((1.15, 0.55, 2.1), (0, 2.15, -half + length / 2), rings=6, sides=10)
    model.solid = merged(
        model.solid,
        *[part.painted((0.75, 0.75, 0.75), TINTED) for part in steel],
        load.painted((0.20, 0.15, 0.10)),
    )
    model.body = model.body[:1]
    model.height = 3.1
    return model


def bus(body: Body, layers: dict[str, dict[str, int]], coarse: bool) -> Model:
    half = body.length / 2
    solid = wheels_of(body, truck=True, coarse=coarse)
    for s in (-1, 1):
        solid.append(
            box((0.18, 0.45, 0.2), (s * 1.42, 2.1, half + 0.12)).painted((0.02, 0.02, 0.02))
        )
        solid.append(
            tube((s * 1.2, 2.5, half), (s * 1.42, 2.3, half + 0.12), 0.03).painted(
                (0.02, 0.02, 0.02)
            )
        )
    if body.name == "city_bus":
        solid.append(box((1.8, 0.25, 3.0), (0, body.height + 0.08, -1.0)).painted((0.6, 0.6, 0.6)))
    return Model(
        body.name,
        "bus",
        body.length,
        body.width,
        body.height,
        [shell(body, layers[body.name], stations=3 if coarse else 24)],
        merged(*solid),
        [((0, 0.50, half + 0.02), 0), ((0, 0.60, -half - 0.02), 180)],
        [(s * 0.98, 0.75, half) for s in (-1, 1)],
        [(s * 1.14, 1.1, -half) for s in (-1, 1)],
    )
