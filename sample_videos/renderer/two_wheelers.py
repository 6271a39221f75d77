"""Motorcycles and bicycles."""

from __future__ import annotations

from .geometry import Mesh, box, ellipsoid, merged, torus, tube
from .model import GLOSSY, MATT, RED_LAMP, WHITE_LAMP, Model

DARK = (0.025, 0.025, 0.025)


def bicycle() -> Model:
    """Make a city bicycle, 1.8 m long."""
    parts: list[Mesh] = []
    rear, front = (0.0, 0.34, -0.52), (0.0, 0.34, 0.55)
    for place in (rear, front):
        parts.append(torus(0.325, 0.026, sides=22, tube_sides=6).moved(place).painted(DARK))
        parts.append(
            torus(0.305, 0.009, sides=22, tube_sides=4).moved(place).painted((0.5, 0.5, 0.5))
        )
        for i in range(7):
            spoke = tube((0, -0.31, 0), (0, 0.31, 0), 0.0035, sides=3).rotated("x", i * 180 / 7)
            parts.append(spoke.moved(place).painted((0.45, 0.45, 0.45)))
    crank, seat, head = (0.0, 0.32, -0.08), (0.0, 0.86, -0.26), (0.0, 0.88, 0.36)
    for a, b in (
        (crank, seat),
        (crank, head),
        ((0, 0.78, -0.24), (0, 0.80, 0.38)),
        (crank, rear),
        ((0, 0.78, -0.24), rear),
        (head, front),
        (head, (0, 1.02, 0.33)),
    ):
        parts.append(tube(a, b, 0.022, sides=6).painted((1, 1, 1), GLOSSY))
    parts.append(tube((-0.29, 1.03, 0.26), (0.29, 1.03, 0.26), 0.015, sides=5).painted(DARK))
    parts.append(box((0.14, 0.06, 0.26), (0, 0.90, -0.28)).painted(DARK))
    parts.append(box((0.16, 0.02, 0.34), (0, 0.72, -0.56)).painted((0.1, 0.1, 0.1)))
    parts.append(
        tube((-0.16, 0.24, -0.08), (0.16, 0.40, -0.08), 0.015, sides=5).painted((0.3, 0.3, 0.3))
    )
    for degrees in (28, 50, 72, 93, 115):
        guard = box((0.05, 0.012, 0.13), (0, 0, 0.36)).rotated("x", -degrees)
        parts.append(guard.moved(rear).painted((0.08, 0.08, 0.08)))
    parts.append(box((0.05, 0.05, 0.03), (0, 0.66, -0.78)).painted((0.4, 0.02, 0.02), RED_LAMP))
    parts.append(
        ellipsoid((0.035, 0.035, 0.03), (0, 0.86, 0.44)).painted((0.6, 0.6, 0.6), WHITE_LAMP)
    )
    return Model(
        "bicycle",
        "bicycle",
        1.8,
        0.6,
        1.1,
        [],
        merged(*parts),
        [],
        [(0, 0.86, 0.45)],
        [(0, 0.66, -0.8)],
    )


def motorcycle(name: str = "motorcycle", *, scooter: bool = False) -> Model:
    """Make a motorcycle, or a scooter with a leg shield and a top box."""
    parts: list[Mesh] = []
    radius, fat, base = (0.22, 0.06, 0.62) if scooter else (0.25, 0.065, 0.70)
    hub = radius + fat
    for z in (-base, base):
        parts.append(torus(radius, fat, sides=22, tube_sides=8).moved((0, hub, z)).painted(DARK))
        parts.append(
            tube((-0.03, hub, z), (0.03, hub, z), radius * 0.8, sides=14).painted(
                (0.22, 0.22, 0.23)
            )
        )
    paint = (1.0, 1.0, 1.0)
    if scooter:
        parts.append(ellipsoid((0.19, 0.24, 0.46), (0, 0.58, -0.42)).painted(paint, GLOSSY))
        parts.append(
            box((0.42, 0.62, 0.07), (0, 0.66, 0.40)).rotated("x", 0).painted(paint, GLOSSY)
        )
        parts.append(box((0.34, 0.06, 0.55), (0, 0.30, 0.05)).painted(DARK))
        parts.append(ellipsoid((0.16, 0.07, 0.40), (0, 0.82, -0.36)).painted(DARK))
        parts.append(ellipsoid((0.17, 0.14, 0.16), (0, 1.02, 0.46)).painted(paint, GLOSSY))
        parts.append(box((0.40, 0.32, 0.38), (0, 1.05, -0.80)).painted(DARK))
        parts.append(ellipsoid((0.10, 0.09, 0.34), (0, hub + 0.16, base)).painted(paint, GLOSSY))
    else:
        parts.append(ellipsoid((0.17, 0.16, 0.30), (0, 0.86, 0.14)).painted(paint, GLOSSY))
        parts.append(ellipsoid((0.16, 0.07, 0.40), (0, 0.82, -0.40)).painted(DARK))
        parts.append(ellipsoid((0.11, 0.11, 0.26), (0, 0.86, -0.72)).painted(paint, GLOSSY))
        parts.append(box((0.34, 0.36, 0.44), (0, 0.46, 0.06)).painted((0.12, 0.12, 0.12)))
        parts.append(ellipsoid((0.20, 0.26, 0.20), (0, 0.98, 0.56)).painted(paint, GLOSSY))
        parts.append(
            ellipsoid((0.15, 0.20, 0.06), (0, 1.18, 0.58)).painted((0.04, 0.05, 0.06), GLOSSY)
        )
        parts.append(ellipsoid((0.19, 0.24, 0.34), (0, 0.62, 0.34)).painted(paint, GLOSSY))
        parts.append(
            ellipsoid((0.08, 0.05, 0.30), (0, hub + radius + fat - 0.12, base)).painted(
                paint, GLOSSY
            )
        )
        for s in (-1, 1):
            parts.append(
                tube((s * 0.16, 0.42, -0.35), (s * 0.20, 0.55, -0.95), 0.055, 0.065).painted(
                    (0.35, 0.35, 0.36)
                )
            )
            if name == "tourer":
                parts.append(
                    box((0.20, 0.36, 0.48), (s * 0.34, 0.66, -0.72)).painted((0.05, 0.05, 0.05))
                )
        parts.append(tube((0, 0.40, -0.1), (0, hub, -base), 0.06, sides=6).painted((0.1, 0.1, 0.1)))
    for s in (-1, 1):
        parts.append(
            tube((s * 0.09, hub, base), (s * 0.10, 0.98, 0.46), 0.03).painted((0.3, 0.3, 0.3))
        )
        parts.append(tube((s * 0.06, 1.06, 0.44), (s * 0.37, 1.08, 0.30), 0.018).painted(DARK))
        parts.append(
            tube((s * 0.26, 1.07, 0.36), (s * 0.36, 1.30, 0.40), 0.008, sides=4).painted(DARK)
        )
        parts.append(ellipsoid((0.075, 0.045, 0.02), (s * 0.38, 1.31, 0.40)).painted(DARK))
        parts.append(
            ellipsoid((0.03, 0.02, 0.02), (s * 0.20, 0.82, -0.92)).painted((0.7, 0.3, 0.02))
        )
    parts.append(
        ellipsoid((0.09, 0.08, 0.05), (0, 0.98, 0.74 if not scooter else 0.6)).painted(
            (0.6, 0.6, 0.6), WHITE_LAMP
        )
    )
    rear = -0.99 if not scooter else -0.86
    parts.append(box((0.16, 0.07, 0.04), (0, 0.84, rear)).painted((0.45, 0.01, 0.01), RED_LAMP))
    parts.append(box((0.16, 0.26, 0.02), (0, 0.62, rear + 0.01)).painted(DARK, MATT))
    return Model(
        name,
        "motorcycle",
        2.1,
        0.8,
        1.3,
        [],
        merged(*parts),
        [((0, 0.62, rear - 0.015), 180.0)],
        [(0, 0.98, 0.75)],
        [(0, 0.84, rear)],
    )
