"""Random places to drive through: a motorway, a city street, a country road."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .builder import Builder
from .camera import Camera
from .city import city
from .geometry import extruded
from .model import Model
from .road import Line, Road
from .scene import Weather
from .signs import SIGN_NAMES, SPEEDS
from .street import barrier, guard_rail, noise_wall
from .traffic import GREENS, bends, greenery, lanes_of, queue, start


def highway(
    camera: Camera, weather: Weather, models: dict[str, Model], rng: np.random.Generator
) -> Builder:
    """Return a motorway with two to four lanes each way."""
    count = int(rng.integers(2, 5))
    width = float(rng.uniform(3.4, 3.8))
    shoulder = float(rng.uniform(0.6, 3.0))
    right = count * width + 0.5
    lines = [Line(0.5, 0.2), Line(right, 0.25)]
    dash, period = ((6.0, 18.0), (6, 12), (3.0, 12.0), (4.0, 12.0))[int(rng.integers(4))]
    lines += [Line(0.5 + width * i, 0.16, dash, period) for i in range(1, count)]
    if rng.random() < 0.3:
        lines[0] = replace(lines[0], yellow=True)
    road = Road(
        bends(rng, strength=4.0),
        (-0.4, right + shoulder),
        lines,
        tone=(
            float(rng.uniform(0.07, 0.22)),
            float(rng.uniform(0, 1)),
            float(rng.uniform(0.6, 1.0)),
        ),
        grass=GREENS[int(rng.integers(len(GREENS)))],
        bare=float(rng.random()),
    )
    lanes = lanes_of(count, width, 0.5)
    ego = int(rng.integers(count))
    builder = start(camera, road, weather, models, rng, ego=lanes[ego] + float(rng.normal(0, 0.2)))
    lit = weather.name not in ("day", "overcast", "low_sun")
    dense = float(rng.choice([14, 26, 50]))
    trucks = float(rng.uniform(0.08, 0.4))
    # The other carriageway lies left of the middle; its asphalt is a strip of its own.
    other = road.path(-2.2 - right / 2 - shoulder / 2, camera.z - 30, camera.z + 500, 8.0)
    half = (right + shoulder) / 2
    tone = road.tone[0]
    builder.strip(
        "other_road",
        "solid",
        extruded([(-half, 0.012), (half, 0.012)], other).painted((tone, tone * 0.985, tone * 0.96)),
    )
    for place in (-2.4 - 0.3, -2.4 - right):
        builder.strip(
            f"other_line{place:.1f}",
            "solid",
            extruded(
                [(-0.1, 0.02), (0.1, 0.02)], road.path(place, camera.z - 30, camera.z + 300, 8.0)
            ).painted((0.6, 0.6, 0.58)),
        )
    for index, lane in enumerate(lanes):
        near = 9.0 if index == ego else -6.0
        queue(
            builder,
            lane,
            near=camera.z + near,
            far=camera.z + 170,
            gap=dense,
            speed=28,
            trucks=trucks if index >= count - 2 else trucks * 0.2,
            lamps=lit,
        )
        queue(
            builder,
            -2.4 - lane,
            near=camera.z + 3,
            far=camera.z + 200,
            gap=dense * 1.3,
            speed=-28,
            trucks=trucks,
            lamps=lit,
        )
    if rng.random() < 0.6:
        builder.strip("median", "solid", barrier(road, -1.3, camera.z - 20, camera.z + 260))
    else:
        builder.strip("median", "solid", guard_rail(road, -1.0, camera.z - 20, camera.z + 260))
        for z in np.arange(0, 120, 4.0):
            builder.prop("post", -1.05, camera.z + z)
    edge = right + shoulder + 0.5
    style = rng.random()
    if style < 0.6:
        builder.strip("rail", "solid", guard_rail(road, edge, camera.z - 10, camera.z + 260))
        for z in np.arange(2, 120, 4.0):
            builder.prop("post", edge + 0.06, camera.z + z)
    elif style < 0.8:
        builder.strip("wall", "solid", noise_wall(road, edge + 1.5, camera.z - 20, camera.z + 260))
    for z in np.arange(25, 160, 50.0):
        builder.prop("delineator", edge - 0.3, camera.z + z)
    greenery(builder, 1, edge + 3, float(rng.uniform(0.3, 2)))
    greenery(builder, -1, right + shoulder + 6, float(rng.uniform(0.3, 2)))
    if rng.random() < 0.45:
        z = camera.z + float(rng.uniform(22, 120))
        builder.prop("gantry", right / 2 + 0.3, z, scale=(float(right + shoulder + 2) / 16, 1, 1))
        for lane in lanes[:: 2 if width * count > 9 else 1]:
            builder.board(lane, z, float(rng.uniform(2.8, 4.5)), float(rng.uniform(1.8, 2.6)), 6.9)
    for _ in range(int(rng.integers(0, 4))):
        name = str(
            rng.choice(
                [f"speed_{v}" for v in SPEEDS[3:]]
                + ["no_overtaking", "no_overtaking_trucks", "end_of_limits", "danger", "road_works"]
            )
        )
        side = edge + 0.7 if rng.random() < 0.75 else -1.2
        builder.sign(
            name,
            side,
            camera.z + float(rng.uniform(12, 80)),
            size=float(rng.uniform(0.75, 1.2)),
            height=float(rng.uniform(1.8, 2.8)),
        )
    if rng.random() < 0.3:
        z = camera.z + float(rng.uniform(40, 110))
        builder.board(edge + 2.5, z, 3.2, 2.4, 3.2)
    if weather.night and rng.random() < 0.5:
        for z in np.arange(10, 200, 38.0):
            builder.lamp_post(edge + 0.9, camera.z + z, side=1)
    return builder


def rural(
    camera: Camera, weather: Weather, models: dict[str, Model], rng: np.random.Generator
) -> Builder:
    """Return a country road of two lanes."""
    width = float(rng.uniform(2.8, 3.6))
    lines = [Line(-width, 0.13), Line(width, 0.13)] if rng.random() < 0.75 else []
    yellow = bool(rng.random() < 0.25)
    if rng.random() < 0.85:
        dash = (3.0, 9.0) if rng.random() < 0.6 else (0.0, 0.0)
        lines.append(Line(0.0, 0.13, *dash, yellow))
    edge = width + float(rng.uniform(0.2, 1.2))
    road = Road(
        bends(rng, strength=9.0),
        (-edge, edge),
        lines,
        tone=(
            float(rng.uniform(0.08, 0.22)),
            float(rng.uniform(0.2, 1)),
            float(rng.uniform(0.5, 0.95)),
        ),
        grass=GREENS[int(rng.integers(len(GREENS)))],
        bare=float(rng.random()),
    )
    builder = start(camera, road, weather, models, rng, ego=width / 2 + float(rng.normal(0, 0.15)))
    lit = weather.name not in ("day", "overcast", "low_sun")
    z0 = camera.z
    gap = float(rng.choice([20, 45, 90]))
    queue(
        builder,
        width / 2,
        near=z0 + 8,
        far=z0 + 160,
        gap=gap,
        speed=20,
        trucks=0.2,
        lamps=lit,
        motorcycles=0.14,
    )
    queue(
        builder,
        -width / 2,
        near=z0 + 4,
        far=z0 + 180,
        gap=gap,
        speed=-20,
        trucks=0.2,
        lamps=lit,
        motorcycles=0.14,
    )
    for side in (-1, 1):
        greenery(builder, side, edge + 2.5, float(rng.uniform(0.4, 3)))
        if rng.random() < 0.25:
            builder.strip(
                f"rail{side}", "solid", guard_rail(road, side * (edge + 0.8), z0 - 10, z0 + 200)
            )
        for z in np.arange(z0 + 12, z0 + 140, 45.0):
            builder.prop("delineator", side * (edge + 0.6), float(z))
        if rng.random() < 0.5:
            for z in np.arange(z0 + rng.uniform(4, 30), z0 + 220, 38.0):
                builder.prop("mast", side * (edge + 4), float(z))
        for _ in range(int(rng.integers(0, 3))):
            builder.house(
                side * (edge + float(rng.uniform(7, 26))),
                z0 + float(rng.uniform(15, 150)),
                int(rng.choice([0, 3, 6])),
                side=side,
            )
    for _ in range(int(rng.integers(0, 4))):
        builder.sign(
            str(rng.choice(SIGN_NAMES)),
            edge + float(rng.uniform(0.6, 1.5)),
            z0 + float(rng.uniform(8, 70)),
            size=float(rng.uniform(0.6, 0.95)),
            height=float(rng.uniform(1.7, 2.6)),
        )
    for _ in range(int(rng.poisson(0.8))):
        builder.add(
            builder.actor(
                "bicycle", edge - 0.6, z0 + float(rng.uniform(7, 50)), speed=5.0, lamps=lit
            )
        )
    for _ in range(int(rng.poisson(0.6))):
        builder.add(
            builder.actor(
                "person",
                (edge + 0.5) * float(rng.choice([-1, 1])),
                z0 + float(rng.uniform(6, 40)),
                speed=float(rng.choice([-1.3, 1.3])),
            )
        )
    return builder


WORLDS = {"highway": highway, "city": city, "rural": rural}
