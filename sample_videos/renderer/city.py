"""A random city street."""

from __future__ import annotations

import numpy as np

from .builder import Builder
from .camera import Camera
from .model import Model
from .road import Line, Road
from .scene import Weather
from .signs import SIGN_NAMES
from .street import kerb
from .traffic import bends, crowd, houses, parked, pavement_things, queue, random_model, start


def city(
    camera: Camera, weather: Weather, models: dict[str, Model], rng: np.random.Generator
) -> Builder:
    """Return a city street with houses, pavements, parked cars and perhaps a crossing."""
    per_side = int(rng.choice([1, 1, 2]))
    width = float(rng.uniform(2.9, 3.5))
    parking = [2.2 if rng.random() < 0.65 else 0.0 for _ in range(2)]
    left, right = -per_side * width - parking[0], per_side * width + parking[1]
    paving = (float(rng.uniform(2, 4.5)), float(rng.uniform(2, 4.5)))
    lines = [Line(0.0, 0.13, *((3.0, 6.0) if rng.random() < 0.6 else (0.0, 0.0)))]
    for side in (-1, 1):
        lines += [Line(side * width * i, 0.12, 3.0, 9.0) for i in range(1, per_side)]
        if parking[(side + 1) // 2] or rng.random() < 0.3:
            lines.append(
                Line(
                    side * (per_side * width + (0 if parking[(side + 1) // 2] else -0.2)),
                    0.12,
                    *((0, 0) if rng.random() < 0.6 else (1.0, 2.0)),
                )
            )
    crossings: list[tuple[float, float, float, float]] = []
    junction = camera.z + float(rng.uniform(14, 70)) if rng.random() < 0.6 else 1e6
    half = float(rng.uniform(4, 8))
    if junction < 1e5:
        crossings.append((junction, half, 0, 0))
        crossings.append((junction - half - 2.5, 1.6, 1, 0))
        crossings.append((junction + half + 2.5, 1.6, 1, 0))
        crossings.append((junction - half - 5.5, 0.2, 2, right))
    elif rng.random() < 0.5:
        place = camera.z + float(rng.uniform(8, 40))
        crossings.append((place, 1.8, 1, 0))
    road = Road(
        bends(rng, strength=1.2),
        (left, right),
        lines,
        crossings,
        paving,
        1.0,
        tone=(
            float(rng.uniform(0.07, 0.19)),
            float(rng.uniform(0.2, 1)),
            float(rng.uniform(0.5, 0.95)),
        ),
    )
    ego_lane = per_side - 1 if rng.random() < 0.6 else 0
    ego = width * (ego_lane + 0.5)
    builder = start(camera, road, weather, models, rng, ego=ego + float(rng.normal(0, 0.15)))
    lit = weather.name not in ("day", "overcast", "low_sun")
    z0 = camera.z
    free = (junction - half, junction + half)
    gap = float(rng.choice([8, 18, 40]))
    more = {"buses": 0.07, "motorcycles": 0.11, "trucks": 0.10, "lamps": lit}
    for index in range(per_side):
        lane = width * (index + 0.5)
        queue(
            builder,
            lane,
            near=z0 + (7 if index == ego_lane else 1),
            far=z0 + 100,
            gap=gap,
            speed=9,
            **more,
        )
        queue(builder, -lane, near=z0 + 3, far=z0 + 120, gap=gap, speed=-9, **more)
    for index, side in enumerate((-1, 1)):
        edge = abs((left, right)[index])
        if parking[index]:
            parked(
                builder,
                side * (edge - 1.1),
                float(rng.uniform(0.3, 0.95)),
                backwards=side < 0,
                free=free,
            )
        for number, (a, b) in enumerate(((z0 - 12, free[0]), (free[1], z0 + 220))):
            if b > a + 3 and a < z0 + 200:
                builder.strip(
                    f"kerb{side}{number}", "solid", kerb(road, side * edge, a, min(b, z0 + 220))
                )
        pave = paving[index]
        crowd(builder, side * (edge + pave / 2), pave * 0.4, int(rng.poisson(5)), 55)
        houses(builder, side, edge + pave + 0.3, free, green=rng.random() < 0.2)
        pavement_things(builder, side, edge, pave, free)
    _city_signs(builder, right, left, junction, half)
    for _ in range(int(rng.poisson(2.3))):
        side = 1 if rng.random() < 0.65 else -1
        edge = right if side > 0 else -left
        place = edge - (parking[(side + 1) // 2] + 0.6) if rng.random() < 0.7 else edge + 0.8
        builder.add(
            builder.actor(
                "bicycle",
                side * place,
                z0 + float(rng.uniform(5, 45)),
                speed=4.5 * side,
                turn=float(rng.normal(0, 0.05)),
                lamps=lit,
            )
        )
    zebra = [c for c in crossings if c[2] == 1]
    if zebra and rng.random() < 0.75:
        for _ in range(int(rng.integers(1, 6))):
            place, deep = zebra[0][0], zebra[0][1]
            builder.add(
                builder.actor(
                    "person",
                    float(rng.uniform(left, right)),
                    place + float(rng.uniform(-deep, deep)),
                    across=float(rng.choice([-1.3, 1.3])),
                )
            )
    elif rng.random() < 0.3:
        builder.add(
            builder.actor(
                "person",
                float(rng.uniform(left, right)),
                z0 + float(rng.uniform(8, 30)),
                across=1.2,
            )
        )
    if junction < 1e5 and rng.random() < 0.6:
        for _ in range(int(rng.integers(1, 3))):
            name = random_model(rng, trucks=0.1, buses=0.06, motorcycles=0.14)
            across = float(rng.choice([-1, 1]))
            builder.add(
                builder.actor(
                    name,
                    float(rng.uniform(-14, 14)),
                    junction + across * 1.7,
                    turn=across * np.pi / 2,
                    speed=0.01,
                    lamps=lit,
                )
            )
    return builder


def _city_signs(builder: Builder, right: float, left: float, junction: float, half: float) -> None:
    rng, z0 = builder.rng, builder.origin
    if junction < 1e5 and rng.random() < 0.65:
        state = str(rng.choice(["red", "yellow", "green", "red_yellow"], p=[0.42, 0.1, 0.42, 0.06]))
        z = junction - half - (0 if rng.random() < 0.5 else 4.5)
        builder.signal(right + 0.5, z, state)
        if rng.random() < 0.6:
            builder.signal(right + 0.7, z, state, height=5.2, arm=right * 0.7)
        if rng.random() < 0.6:
            builder.signal(left - 0.5, z, state)
        if rng.random() < 0.5:
            builder.signal(right + 0.5, junction + half + 1, state, height=2.7)
        if rng.random() < 0.3:
            builder.signal(left - 0.5, junction + half + 1, "off", away=True)
    elif junction < 1e5:
        builder.sign(
            str(rng.choice(["stop", "yield", "priority_road", "no_entry"])),
            right + 0.5,
            junction - half - 3,
            size=float(rng.uniform(0.6, 0.9)),
        )
    for _ in range(int(rng.integers(1, 6))):
        builder.sign(
            str(rng.choice(SIGN_NAMES)),
            (right + 0.5) if rng.random() < 0.75 else left - 0.5,
            z0 + float(rng.uniform(7, 60)),
            size=float(rng.uniform(0.5, 0.8)),
            height=float(rng.uniform(2.0, 2.9)),
            turn=float(rng.normal(0, 0.15)),
        )
