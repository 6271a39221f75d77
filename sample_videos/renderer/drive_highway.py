"""The drive of day_highway.mp4: who is where, and when."""

from __future__ import annotations

from typing import Any

import numpy as np

from .builder import Builder
from .camera import Camera
from .drive_parts import waves
from .geometry import extruded
from .model import Model
from .road import Line, Road
from .scene import Weather
from .street import barrier, guard_rail
from .traffic import greenery, start


def day_highway(camera: Camera, models: dict[str, Model], seed: int, time: float) -> Builder:
    """Return a sunny motorway of three lanes: lorries, a bus, a motorcycle that overtakes."""
    rng = np.random.default_rng([seed, 1])
    weather = Weather(
        "day",
        (-0.45, 0.62, -0.35),
        clouds=(0.26, 1.5, 2.3),
        sun=(3.0, 2.8, 2.45),
        haze_density=0.0011,
        skyline=0.45,
    )
    width, shoulder = 3.5, 2.6
    right = 0.5 + 3 * width
    lines = [
        Line(0.5, 0.2),
        Line(right, 0.28),
        *[Line(0.5 + width * i, 0.17, 6.0, 18.0) for i in (1, 2)],
    ]
    road = Road(
        waves((7.0, 900, 0.4), (2.0, 520, 2.0), (0, 300, 0)),
        (-0.5, right + shoulder),
        lines,
        tone=(0.135, 0.75, 0.86),
        grass=(0.10, 0.14, 0.036),
        bare=0.35,
    )
    builder = start(camera, road, weather, models, rng, ego=camera.x)
    builder.origin = 0.0
    far = 760.0
    middle = -2.4
    half = (right + shoulder) / 2
    builder.strip(
        "other_road",
        "solid",
        extruded([(-half, 0.012), (half, 0.012)], road.path(middle - half, -40, far, 8.0)).painted(
            (0.13, 0.128, 0.124)
        ),
    )
    for place in (middle - 0.5, middle - right):
        builder.strip(
            f"line{place:.0f}",
            "solid",
            extruded([(-0.1, 0.02), (0.1, 0.02)], road.path(place, -20, far, 8.0)).painted(
                (0.58, 0.58, 0.56)
            ),
        )
    builder.strip("median", "solid", barrier(road, -1.35, -20, far))
    edge = right + shoulder + 0.6
    builder.strip("rail", "solid", guard_rail(road, edge, -20, far))
    for z in np.arange(0, 620, 4.0):
        builder.prop("post", edge + 0.06, float(z))
    for z in np.arange(25, 620, 50.0):
        builder.prop("delineator", edge + 0.9, float(z))
    greenery(builder, 1, edge + 4, 5.0, far=far)
    greenery(builder, -1, right + shoulder + 7, 4.5, far=far)
    _highway_signs(builder, edge, right)
    lanes = [0.5 + width * (i + 0.5) for i in range(3)]
    cars: list[tuple[str, float, float, float, dict[str, Any]]] = [
        ("semi1", lanes[2], 34, 24.3, {"paint": (0.08, 0.16, 0.40), "load": (0.80, 0.80, 0.78)}),
        ("sedan", lanes[1], 30, 27.6, {"paint": (0.42, 0.43, 0.44), "brake": (5.0, 6.4)}),
        ("crossover", lanes[1], 66, 28.3, {"paint": (0.03, 0.03, 0.035)}),
        ("hatchback", lanes[0], -16, 31.0, {"paint": (0.36, 0.02, 0.02)}),
        ("wagon", lanes[0], 22, 29.8, {"paint": (0.78, 0.78, 0.77)}),
        ("motorcycle", lanes[0] + 0.3, -48, 34.0, {"paint": (0.60, 0.25, 0.03), "lamps": True}),
        (
            "box_truck1",
            lanes[2],
            92,
            24.6,
            {"paint": (0.75, 0.75, 0.74), "load": (0.62, 0.45, 0.08)},
        ),
        ("coach", lanes[2], 128, 25.2, {"paint": (0.10, 0.22, 0.42)}),
        ("van", lanes[2], 62, 25.8, {"paint": (0.80, 0.80, 0.80)}),
        ("tanker", lanes[2], 175, 23.6, {"paint": (0.60, 0.10, 0.06)}),
        ("minivan", lanes[1], 118, 28.0, {}),
        ("hatchback", lanes[0], 92, 30.5, {"paint": (0.035, 0.07, 0.19)}),
        ("semi3", lanes[2], 225, 24.5, {}),
        ("sedan", lanes[1], 190, 27.8, {}),
    ]
    for name, lane, z, speed, more in cars:
        builder.add(builder.actor(name, lane, z, speed=speed, **more), time)
    names = [
        "sedan",
        "compact",
        "semi0",
        "suv",
        "tall_van",
        "estate",
        "box_truck2",
        "city_car",
        "coach",
        "crossover",
        "semi4",
        "pickup",
        "saloon",
        "people_carrier",
        "tanker",
        "wagon",
    ]
    z = 30.0
    for index in range(46):
        name = names[index % len(names)]
        slow = name.startswith(("semi", "box"))
        lane = lanes[2] if slow else lanes[int(rng.integers(3))]
        z += models[name].length / 2 + float(rng.uniform(4, 26))
        builder.add(builder.actor(name, middle - lane, z, speed=-27.0), time)
        z += models[name].length / 2
    return builder


def _highway_signs(builder: Builder, edge: float, right: float) -> None:
    """Add a sign bridge with boards, a board at the roadside and round signs."""
    z = 205.0
    builder.prop("gantry", 5.8, z, scale=(1.02, 1, 1))
    for place, width in ((2.25, 3.6), (6.6, 4.2), (11.2, 4.0)):
        builder.board(place, z, width, 2.4, 7.0)
    for z, name in (
        (62.0, "speed_120"),
        (150.0, "no_overtaking_trucks"),
        (292.0, "speed_100"),
        (380.0, "curve_right"),
    ):
        builder.sign(name, edge + 0.8, z, size=1.0, height=2.2)
        if name != "curve_right":
            builder.sign(name, -1.35, z, size=0.8, height=2.0)
    builder.board(edge + 3.0, 112.0, 3.4, 2.6, 3.2)
    for place in (edge + 2.0, edge + 4.0):
        builder.prop("pole", place, 111.7, scale=(1, 2.6, 1))
