"""The drive of city_street.mp4: who is where, and when."""

from __future__ import annotations

import numpy as np

from .builder import Builder
from .camera import Camera
from .drive_parts import Pace, walkers, waves
from .model import Model
from .road import Line, Road
from .scene import Weather
from .street import kerb
from .traffic import houses, parked, pavement_things, start

CITY_PACE = ((0.0, 9.0), (3.2, 9.0), (6.6, 0.0), (11.3, 0.0), (15.0, 7.8))


def city_street(camera: Camera, models: dict[str, Model], seed: int, time: float) -> Builder:
    """Return a street with a signal: we stop, people cross, we go on."""
    rng = np.random.default_rng([seed, 2])
    weather = Weather(
        "day",
        (0.55, 0.66, -0.25),
        clouds=(0.45, 1.5, 5.1),
        sun=(3.0, 2.8, 2.45),
        haze_density=0.0013,
        skyline=0.3,
        ground=(0.27, 0.255, 0.23),
    )
    width = 3.4
    right = width + 2.2
    left = -width - 2.2
    junction, half = 62.0, 6.0
    stop_line = junction - half - 5.6
    lines = [Line(0.0, 0.13, 3.0, 6.0), Line(width, 0.12), Line(-width, 0.12)]
    crossings = [
        (junction, half, 0.0, 0.0),
        (junction - half - 2.8, 1.8, 1.0, 0.0),
        (junction + half + 2.8, 1.8, 1.0, 0.0),
        (stop_line, 0.22, 2.0, width),
        (junction + half + 5.6, 0.22, 2.0, -width),
    ]
    road = Road(
        waves((0.9, 420, 0.5), (0, 300, 0), (0, 300, 0)),
        (left, right),
        lines,
        crossings,
        (3.6, 3.2),
        1.0,
        tone=(0.125, 0.9, 0.82),
    )
    builder = start(camera, road, weather, models, rng, ego=camera.x)
    builder.origin = -4.0
    free = (junction - half, junction + half)
    for side, edge, pave in ((-1, -left, 3.6), (1, right, 3.2)):
        for number, (a, b) in enumerate(((-20, free[0]), (free[1], 260.0))):
            builder.strip(f"kerb{side}{number}", "solid", kerb(road, side * edge, a, b))
        houses(builder, side, edge + pave + 0.3, free, far=250)
        pavement_things(builder, side, edge, pave, free, far=160)
        for a, b in ((2.0, stop_line - 6), (free[1] + 10, 160.0)):
            builder.origin = a
            parked(
                builder,
                side * (edge - 1.1),
                0.92 if side > 0 else 0.8,
                backwards=side < 0,
                free=(1e6, 1e6),
                far=b - a,
            )
        builder.origin = -4.0
    state = (
        "green"
        if time < 2.6
        else "yellow"
        if time < 4.0
        else "red"
        if time < 10.3
        else "red_yellow"
        if time < 11.2
        else "green"
    )
    builder.signal(right + 0.45, stop_line + 0.6, state)
    builder.signal(right + 0.7, stop_line + 1.0, state, height=5.3, arm=right * 0.72)
    builder.signal(left - 0.5, stop_line + 0.6, state)
    builder.signal(right + 0.5, junction + half + 1.0, state)
    for name, side, z, size in (
        ("speed_50", right + 0.5, 13.0, 0.62),
        ("no_stopping", left - 0.5, 20.0, 0.55),
        ("crosswalk", right + 0.5, 29.0, 0.62),
        ("priority_road", right + 0.5, 40.0, 0.62),
        ("no_entry", left - 0.6, junction + half + 7, 0.65),
        ("speed_30", right + 0.5, 88.0, 0.65),
        ("no_parking", right + 0.5, 104.0, 0.55),
        ("yield", right + 3.0, junction + half + 1.5, 0.8),
        ("bicycle_path", left - 0.5, 35.0, 0.55),
        ("stop", left - 2.9, junction - half - 0.5, 0.75),
    ):
        builder.sign(name, side, z, size=size)
    _city_traffic(builder, time, junction, half, stop_line)
    for side, edge in ((-1, -left), (1, right)):
        walkers(builder, time, side * (edge + 1.7), 22 if side > 0 else 18)
    return builder


def _city_traffic(
    builder: Builder, time: float, junction: float, half: float, stop_line: float
) -> None:
    """Add the cars ahead and oncoming, those who cross, cyclists and people on the zebra."""
    width = 3.4
    ahead: Pace = ((0, 9.5), (9, 10.0))
    builder.add(
        builder.actor("hatchback", 1.7, 34.0, pace=ahead, speed=9.0, paint=(0.36, 0.02, 0.02)), time
    )
    builder.add(
        builder.actor(
            "city_bus", 1.7, 98.0, pace=((0, 7.0), (8, 3.0), (14, 7.0)), speed=7.0, brake=(3.0, 7.0)
        ),
        time,
    )
    # The first two come through; the others wait at their line, then go.
    waits: Pace = ((0, -8.5), (3.4, -8.5), (6.2, 0), (11.4, 0), (15, -8.0))
    far_line = junction + half + 5.6
    stop_at = far_line + 8.5 * 3.4 + 8.5 * 1.4 + 3.0
    gap = 0.0
    builder.add(builder.actor("suv", -1.7, 42.0, speed=-9.0), time)
    builder.add(builder.actor("van", -1.7, 66.0, speed=-9.0), time)
    for name in ("sedan", "box_truck0", "wagon", "hatchback", "minivan"):
        length = builder.models[name].length
        gap += length / 2
        builder.add(
            builder.actor(name, -1.7, stop_at + gap, pace=waits, speed=-8.0, lamps=name == "wagon"),
            time,
        )
        gap += length / 2 + 2.2
    for index, (name, begin, sign) in enumerate(
        (
            ("suv", 4.6, 1),
            ("hatchback", 6.0, -1),
            ("scooter", 7.0, 1),
            ("sedan", 7.6, -1),
            ("box_truck4", 9.4, 1),
            ("crossover", 9.6, -1),
        )
    ):
        actor = builder.actor(
            name,
            -sign * 30.0,
            junction - sign * 2.0,
            across=sign * 9.5,
            turn=sign * np.pi / 2,
            waits=(0.0, begin - 0.8 * (index % 2)),
        )
        actor.speed = 0.0
        if begin - 0.8 < time < begin + 7:
            builder.add(actor, time)
    zebra = junction - half - 2.8
    walkers = (
        (-6.2, 1.65, 4.1),
        (-6.8, 1.55, 4.2),
        (6.1, -1.6, 4.0),
        (6.7, -1.5, 4.4),
        (-6.0, 1.8, 5.0),
        (6.4, -1.55, 4.2),
        (-7.5, 1.7, 4.7),
    )
    for index, (place, across, begin) in enumerate(walkers):
        actor = builder.actor(
            "person", place, zebra + (index - 3) * 0.48, across=across, waits=(0.0, begin)
        )
        builder.add(actor, time)
    builder.add(builder.actor("bicycle", width + 0.0 - 0.35, 16.0, speed=5.2), time)
    builder.add(builder.actor("bicycle", -width + 0.3, 40.0, speed=-4.8), time)
    builder.add(builder.actor("bicycle", width - 0.3, 84.0, speed=4.0), time)
    builder.add(builder.actor("motorcycle", -1.5, 27.0, speed=-9.5, lamps=True), time)
