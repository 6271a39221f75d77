"""Paints what a vehicle shows from its sides: windows, lamps, doors, grille, wheel arches.

A livery is a picture of weights, not of colours: red = body paint, green = glass, blue = lamp,
alpha = brightness of what is left (black plastic to chrome). So one picture serves all colours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .bodies import Body
from .canvas import BLACK, DARK, GLASS, LAMP, Canvas

BADGE = (0, 0, 0, 120)


def _windows(canvas: Canvas, body: Body, *, until: float, pillars: list[float]) -> None:
    """Draw the side windows from the windscreen back to z = until."""
    half = body.length / 2
    z = np.linspace(until, half - 0.5, 120)
    low = body.belt + 0.035
    high = np.minimum(body.top(z) - 0.10, body.height - 0.13)
    # The front lower corner starts where the windscreen meets the shoulder.
    keep = high > low + 0.03
    z, high = z[keep], high[keep]
    if len(z) < 2:
        return
    frame = np.concatenate(
        [np.stack([z, high + 0.03], 1), [(z[-1] + 0.05, low - 0.02)], [(z[0], low - 0.02)]]
    )
    canvas.polygon(frame, BLACK)
    canvas.polygon(np.concatenate([np.stack([z, high], 1), [(z[-1], low)], [(z[0], low)]]), GLASS)
    for pillar in pillars:
        canvas.rectangle(pillar - 0.045, low - 0.01, pillar + 0.045, body.height - 0.12, BLACK)


def _side(body: Body, rng: np.random.Generator) -> NDArray[np.uint8]:
    half = body.length / 2
    canvas = Canvas((-half, half), body.height + 0.05)
    low = body.floor
    canvas.rectangle(-half, 0, half, low + 0.09, DARK)
    seam = (90, 0, 0, 10)
    if body.kind in ("car", "van", "pickup"):
        front_door = half - body.length * (0.30 if body.kind != "van" else 0.24)
        doors = [front_door, front_door - 1.08, front_door - 1.98]
        if body.kind == "van":
            doors = [front_door, front_door - 1.15, front_door - 2.3]
        rear = {"car": -half + 0.42, "van": doors[1] + 0.05, "pickup": -half + 1.95}[body.kind]
        if body.shape == "sedan":
            rear = -half + 0.95
        _windows(
            canvas,
            body,
            until=rear,
            pillars=[doors[1], *([doors[2]] if body.kind == "car" else [])],
        )
        for z in doors:
            canvas.line([(z, low + 0.14), (z, body.belt)], seam)
        canvas.line(
            [(-half + 0.3, body.belt * 0.72), (half - 0.3, body.belt * 0.72)], (200, 0, 0, 60), 4
        )
        for z in doors[1:]:
            canvas.rectangle(
                z + 0.08, body.belt - 0.16, z + 0.26, body.belt - 0.12, (120, 0, 0, 60)
            )
        canvas.polygon(
            [
                (half, body.belt - 0.30),
                (half - 0.42, body.belt - 0.22),
                (half - 0.30, body.belt - 0.38),
                (half, body.belt - 0.46),
            ],
            LAMP,
        )
        canvas.rectangle(-half, body.belt - 0.28, -half + 0.24, body.belt - 0.02, LAMP)
    elif body.kind == "cab":
        canvas.polygon(
            [
                (half - 0.25, body.belt),
                (half - 1.25, body.belt - 0.1),
                (half - 1.25, body.height * 0.84),
                (half - 0.35, body.height * 0.84),
            ],
            GLASS,
        )
        canvas.line([(half - 1.3, 0.8), (half - 1.3, body.height * 0.86)], seam)
        canvas.rectangle(half - 1.0, 0.45, half - 0.1, 0.62, BLACK)
        canvas.rectangle(half - 0.15, 0.75, half, 1.0, LAMP)
    elif body.kind == "bus":
        top = body.height - 0.38
        canvas.rectangle(-half + 0.3, body.belt - 0.05, half - 0.15, top + 0.05, BLACK)
        for z in np.arange(-half + 0.4, half - 1.2, 1.45):
            canvas.rectangle(z, body.belt, z + 1.38, top, GLASS)
        canvas.rectangle(half - 1.15, body.belt - 0.15, half - 0.1, top, GLASS)
        if body.name == "city_bus":
            for door in (half - 1.9, half - 6.4, half - 10.2):
                canvas.rectangle(door, 0.4, door + 1.2, top, BLACK)
                canvas.rectangle(door + 0.06, 0.5, door + 0.57, top - 0.05, GLASS)
                canvas.rectangle(door + 0.63, 0.5, door + 1.14, top - 0.05, GLASS)
        canvas.line([(-half, 0.9), (half, 0.9)], seam)
        canvas.rectangle(half - 0.2, 0.6, half, 0.85, LAMP)
        canvas.rectangle(-half, 0.7, -half + 0.12, 1.3, LAMP)
    for distance in body.wheels:
        z = half - distance
        canvas.disc(z, body.wheel_radius, body.wheel_radius * 1.17, BLACK)
        canvas.rectangle(
            z - body.wheel_radius * 1.1, 0, z + body.wheel_radius * 1.1, body.wheel_radius, BLACK
        )
    return canvas.finished()


def _screen(canvas: Canvas, body: Body, *, low: float, high: float, inset: float = 0.07) -> None:
    bottom = float(body.half_width(0, low)) - inset
    top = float(body.half_width(0, high)) - inset
    canvas.polygon(
        [
            (-bottom - 0.03, low - 0.04),
            (bottom + 0.03, low - 0.04),
            (top + 0.03, high + 0.03),
            (-top - 0.03, high + 0.03),
        ],
        BLACK,
    )
    canvas.polygon([(-bottom, low), (bottom, low), (top, high), (-top, high)], GLASS)


def _front(body: Body, rng: np.random.Generator) -> NDArray[np.uint8]:
    w = body.width / 2
    canvas = Canvas((-w, w), body.height + 0.05)
    low, belt = body.floor, body.belt
    if body.kind in ("car", "van", "pickup"):
        cowl = belt + 0.05
        _screen(canvas, body, low=cowl, high=body.height - 0.09)
        nose = float(body.profile[0][1])
        canvas.polygon(
            [
                (-w * 0.62, nose - 0.13),
                (w * 0.62, nose - 0.13),
                (w * 0.5, nose - 0.30),
                (-w * 0.5, nose - 0.30),
            ],
            BLACK,
        )
        for y in np.linspace(nose - 0.27, nose - 0.16, 3):
            canvas.line([(-w * 0.56, y), (w * 0.56, y)], (0, 0, 0, 70), 3)
        canvas.disc(0, nose - 0.19, 0.05, BADGE)
        shape = rng.integers(3)
        for s in (-1, 1):
            inner, outer = w * (0.60, 0.66, 0.55)[shape], w * 0.96
            canvas.polygon(
                [
                    (s * inner, nose - 0.07),
                    (s * outer, nose - 0.02),
                    (s * outer, nose - 0.20),
                    (s * (inner + 0.03), nose - 0.21),
                ],
                BLACK,
            )
            canvas.polygon(
                [
                    (s * (inner + 0.03), nose - 0.09),
                    (s * (outer - 0.03), nose - 0.05),
                    (s * (outer - 0.02), nose - 0.18),
                    (s * (inner + 0.06), nose - 0.19),
                ],
                LAMP,
            )
            canvas.polygon(
                [
                    (s * w * 0.62, low + 0.20),
                    (s * w * 0.92, low + 0.24),
                    (s * w * 0.88, low + 0.08),
                    (s * w * 0.60, low + 0.08),
                ],
                BLACK,
            )
        canvas.rectangle(-w * 0.55, low + 0.06, w * 0.55, low + 0.20, BLACK)
        canvas.rectangle(-w, 0, w, low + 0.06, DARK)
    elif body.kind == "cab":
        _screen(canvas, body, low=belt - 0.05, high=body.height * 0.81, inset=0.08)
        canvas.rectangle(-w * 0.72, 1.0, w * 0.72, belt - 0.28, BLACK)
        for y in np.linspace(1.06, belt - 0.34, 5):
            canvas.line([(-w * 0.68, y), (w * 0.68, y)], (0, 0, 0, 60), 5)
        canvas.disc(0, belt - 0.2, 0.08, BADGE)
        canvas.rectangle(-w, 0.42, w, 0.98, (150, 0, 0, 30))
        canvas.rectangle(-w, 0.3, w, 0.5, DARK)
        for s in (-1, 1):
            canvas.polygon(
                [
                    (s * w * 0.58, 0.72),
                    (s * w * 0.95, 0.72),
                    (s * w * 0.95, 0.95),
                    (s * w * 0.62, 0.92),
                ],
                LAMP,
            )
        canvas.line([(-w * 0.9, body.height * 0.84), (w * 0.9, body.height * 0.84)], BLACK, 10)
    else:
        top = body.height - 0.5
        canvas.polygon(
            [(-w * 0.95, belt - 0.15), (w * 0.95, belt - 0.15), (w * 0.92, top), (-w * 0.92, top)],
            GLASS,
        )
        canvas.rectangle(-0.02, belt, 0.02, top, BLACK)
        canvas.rectangle(-w * 0.8, top + 0.04, w * 0.8, top + 0.36, BLACK)
        for x in np.arange(-w * 0.55, w * 0.5, 0.16):
            if rng.random() < 0.8:
                canvas.rectangle(x, top + 0.12, x + 0.1, top + 0.28, (0, 0, 0, 150))
        for s in (-1, 1):
            canvas.polygon(
                [
                    (s * w * 0.58, 0.62),
                    (s * w * 0.95, 0.66),
                    (s * w * 0.95, 0.90),
                    (s * w * 0.62, 0.84),
                ],
                LAMP,
            )
        canvas.rectangle(-w, 0.2, w, 0.48, DARK)
    return canvas.finished()


def _rear(body: Body, rng: np.random.Generator) -> NDArray[np.uint8]:
    w = body.width / 2
    canvas = Canvas((-w, w), body.height + 0.05)
    low, belt = body.floor, body.belt
    if body.kind in ("car", "pickup"):
        tail = belt + (0.14 if body.shape == "sedan" else 0.06)
        _screen(canvas, body, low=tail, high=body.height - 0.12, inset=0.11)
        upright = body.shape in ("suv", "minivan", "wagon", "hatchback")
        style = rng.integers(4)
        for s in (-1, 1):
            if style == 0 and upright:
                shape = [
                    (0.80, belt - 0.28),
                    (0.99, belt - 0.28),
                    (0.97, belt + 0.16),
                    (0.84, belt + 0.12),
                ]
            elif style == 1:
                shape = [
                    (0.52, belt - 0.20),
                    (0.99, belt - 0.24),
                    (0.99, belt - 0.02),
                    (0.60, belt - 0.04),
                ]
            elif style == 2:
                shape = [
                    (0.68, belt - 0.28),
                    (0.99, belt - 0.28),
                    (0.99, belt - 0.01),
                    (0.72, belt - 0.03),
                ]
            else:
                shape = [
                    (0.62, belt - 0.16),
                    (0.99, belt - 0.30),
                    (0.99, belt),
                    (0.62, belt - 0.02),
                ]
            canvas.polygon([(s * w * x, y) for x, y in shape], LAMP)
            canvas.rectangle(s * w * 0.78, low + 0.16, s * w * 0.92, low + 0.20, LAMP)
        if style == 3:
            canvas.rectangle(-w * 0.62, belt - 0.08, w * 0.62, belt - 0.05, LAMP)
        canvas.line([(-w * 0.8, belt - 0.36), (w * 0.8, belt - 0.36)], (70, 0, 0, 10), 4)
        canvas.rectangle(-0.30, belt - 0.26, 0.30, belt - 0.10, (130, 0, 0, 30))
        canvas.disc(0, belt - 0.03, 0.035, BADGE)
        canvas.rectangle(-w, 0, w, low + 0.14, DARK)
        canvas.rectangle(-w * 0.9, low + 0.12, w * 0.9, low + 0.17, BLACK)
        for s in (-1, 1):
            canvas.disc(s * w * 0.6, low + 0.05, 0.035, (0, 0, 0, 70))
        canvas.rectangle(-0.14, body.height - 0.13, 0.14, body.height - 0.10, LAMP)
    elif body.kind == "van":
        for s in (-1, 1):
            if rng.random() < 0.6:
                canvas.polygon(
                    [
                        (s * 0.05, belt + 0.1),
                        (s * w * 0.8, belt + 0.1),
                        (s * w * 0.74, body.height - 0.25),
                        (s * 0.05, body.height - 0.25),
                    ],
                    GLASS,
                )
            canvas.rectangle(s * w * 0.87, belt - 0.35, s * w * 0.99, belt + 0.15, LAMP)
        canvas.line([(0, low + 0.2), (0, body.height - 0.1)], (60, 0, 0, 10), 4)
        canvas.rectangle(-w, 0, w, low + 0.22, DARK)
    elif body.kind == "bus":
        canvas.rectangle(-w * 0.8, body.belt + 0.25, w * 0.8, body.height - 0.5, GLASS)
        canvas.rectangle(-w * 0.6, 0.7, w * 0.6, 1.15, (140, 0, 0, 30))
        for y in np.linspace(0.72, 1.12, 5):
            canvas.line([(-w * 0.58, y), (w * 0.58, y)], BLACK, 3)
        for s in (-1, 1):
            canvas.rectangle(s * w * 0.84, 0.75, s * w * 0.96, 1.45, LAMP)
        canvas.rectangle(-w, 0.2, w, 0.5, DARK)
    return canvas.finished()


def paint(body: Body, view: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the livery of a body from one of `bodies.VIEWS`: (HEIGHT, WIDTH, 4) uint8."""
    if view == "side":
        return _side(body, rng)
    if view == "front":
        return _front(body, rng)
    if view == "rear":
        return _rear(body, rng)
    return Canvas((-1, 1), 1.0).finished()
