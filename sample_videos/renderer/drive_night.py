"""The drive of night_rain.mp4: who is where, and when."""

from __future__ import annotations

from typing import Any

import numpy as np

from .builder import Builder
from .camera import Camera
from .drive_parts import Pace, walkers, waves
from .model import Model
from .road import Line, Road
from .scene import Weather
from .street import kerb
from .traffic import crowd, houses, start

NIGHT_PACE = ((0.0, 14.0), (5.0, 14.0), (7.5, 9.5), (9.0, 9.5), (12.0, 13.0))


def night_rain(camera: Camera, models: dict[str, Model], seed: int, time: float) -> Builder:
    """Return a wet street at night with lamps, tail lights and oncoming headlights."""
    rng = np.random.default_rng([seed, 3])
    weather = Weather(
        "night_rain",
        (0.3, 0.8, 0.3),
        sun=(0, 0, 0),
        zenith=(0.010, 0.011, 0.017),
        horizon=(0.036, 0.031, 0.032),
        ground=(0.013, 0.012, 0.011),
        haze=(0.024, 0.022, 0.023),
        haze_density=0.0062,
        clouds=(0.7, 0.5, 1.0),
        skyline=0.35,
        wet=0.92,
        night=True,
        beam=2.0,
    )
    width = 3.5
    edge = 2 * width + 0.3
    lines = [
        Line(-0.08, 0.12),
        Line(0.12, 0.12),
        Line(width, 0.14, 4.0, 10.0),
        Line(-width, 0.14, 4.0, 10.0),
        Line(edge - 0.25, 0.15),
        Line(-edge + 0.25, 0.15),
    ]
    zebra = 118.0
    road = Road(
        waves((5.0, 520, 0.7), (1.0, 300, 1.0), (0, 300, 0)),
        (-edge, edge),
        lines,
        [(zebra, 2.0, 1.0, 0.0), (zebra - 4.0, 0.2, 2.0, edge)],
        (2.6, 2.6),
        1.0,
        tone=(0.10, 0.7, 0.80),
    )
    builder = start(camera, road, weather, models, rng, ego=camera.x)
    builder.origin = -6.0
    nowhere = (1e6, 1e6)
    for side in (-1, 1):
        builder.strip(f"kerb{side}", "solid", kerb(road, side * edge, -20, 420))
        houses(builder, side, edge + 5.2, nowhere, far=420)
        for z in np.arange(6 + 14 * (side > 0), 420, 28.0):
            builder.lamp_post(side * (edge + 0.5), float(z), side=side)
        for z in np.arange(12, 380, 19.0):
            x, deep, _ = road.at(side * (edge + 2.8), float(z))
            builder.tree(x, deep, float(rng.uniform(5, 8)), int(rng.integers(0, 6)))
    state = (
        "green"
        if time < 4.6
        else "yellow"
        if time < 6.2
        else "red"
        if time < 8.6
        else ("red_yellow" if time < 9.4 else "green")
    )
    builder.signal(edge + 0.45, zebra - 3.4, state)
    builder.signal(edge + 0.7, zebra - 3.0, state, height=5.3, arm=4.6)
    builder.signal(-edge - 0.5, zebra - 3.4, state)
    for name, side, z in (
        ("speed_50", edge + 0.5, 34.0),
        ("crosswalk", edge + 0.5, 96.0),
        ("priority_road", edge + 0.5, 66.0),
        ("no_overtaking", -edge - 0.4, 52.0),
        ("speed_30", edge + 0.5, 178.0),
        ("pedestrians", edge + 0.5, 82.0),
    ):
        builder.sign(name, side, z, size=0.7)
    lit: dict[str, Any] = {"lamps": True}
    ahead: Pace = ((0, 14), (4.6, 14), (7.2, 9.0), (8.8, 9.0), (12, 13.5))
    for name, lane, z, more in (
        ("sedan", 1.8, 24.0, {"brake": (4.4, 7.4), "pace": ahead}),
        ("suv", 1.8, 44.0, {"brake": (4.0, 7.2), "pace": ahead}),
        (
            "semi1",
            5.3,
            36.0,
            {"pace": ((0, 13.0), (5, 13.0), (8, 9.5), (12, 12.0)), "brake": (4.8, 7.8)},
        ),
        ("hatchback", 5.3, 10.0, {"pace": ((0, 12.6), (5, 12.6), (7.5, 9.5), (12, 13))}),
        ("city_bus", 5.3, 78.0, {"pace": ((0, 12), (4, 12), (7, 9.0), (12, 11))}),
    ):
        builder.add(builder.actor(name, lane, z, speed=13.0, **lit, **more), time)
    z = 26.0
    for index, name in enumerate(
        (
            "hatchback",
            "suv",
            "sedan",
            "van",
            "wagon",
            "box_truck3",
            "hatchback",
            "sedan",
            "city_bus",
            "suv",
            "minivan",
            "sedan",
            "motorcycle",
            "hatchback",
            "suv",
            "sedan",
            "compact",
            "crossover",
            "semi2",
            "city_car",
            "wagon",
            "saloon",
            "tall_van",
            "estate",
            "hatchback",
            "scooter",
            "large_suv",
            "sedan",
            "coach",
            "suv",
        )
    ):
        lane = -1.8 if index % 3 else -5.3
        z += models[name].length / 2 + float(rng.uniform(4, 16))
        builder.add(builder.actor(name, lane, z, speed=-13.5, **lit), time)
        z += models[name].length / 2
    for side in (-1, 1):
        builder.origin = 10.0
        crowd(builder, side * (edge + 2.0), 0.6, 0, 10)
        walkers(builder, time, side * (edge + 1.5), 9)
    builder.add(builder.actor("bicycle", edge - 0.8, 46.0, speed=5.0, lamps=True), time)
    for place, across, begin in ((-7.6, 1.5, 6.4), (7.8, -1.4, 6.8), (8.3, -1.5, 6.6)):
        builder.add(
            builder.actor("person", place, zebra + place * 0.08, across=across, waits=(0.0, begin)),
            time,
        )
    return builder
