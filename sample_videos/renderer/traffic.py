"""What fills a road and its sides: queues, parked cars, people, greenery, houses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .builder import Builder
from .camera import Camera
from .model import Model
from .people import random_looks
from .road import Road
from .scene import Scene, Weather
from .street import HOUSES

CAR_WEIGHTS = {
    "hatchback": 12,
    "sedan": 10,
    "wagon": 8,
    "suv": 12,
    "minivan": 4,
    "van": 5,
    "pickup": 4,
    "city_car": 7,
    "compact": 9,
    "saloon": 6,
    "small_sedan": 6,
    "estate": 5,
    "crossover": 10,
    "large_suv": 5,
    "people_carrier": 3,
    "small_van": 3,
    "tall_van": 4,
}


CARS = tuple(CAR_WEIGHTS)


CAR_SHARE = np.array(list(CAR_WEIGHTS.values())) / sum(CAR_WEIGHTS.values())


TRUCKS = (*(f"box_truck{i}" for i in range(6)), *(f"semi{i}" for i in range(6)), "tipper", "tanker")


BUSES = ("city_bus", "coach")


MOTORCYCLES = ("motorcycle", "tourer", "scooter")


GREENS = (
    (0.085, 0.13, 0.032),
    (0.12, 0.15, 0.04),
    (0.17, 0.16, 0.06),
    (0.06, 0.10, 0.03),
    (0.20, 0.18, 0.08),
)


def random_model(
    rng: np.random.Generator,
    *,
    trucks: float = 0.15,
    buses: float = 0.03,
    motorcycles: float = 0.03,
) -> str:
    """Return the name of a random vehicle model."""
    draw = rng.random()
    if draw < trucks:
        return str(rng.choice(TRUCKS))
    if draw < trucks + buses:
        return str(rng.choice(BUSES))
    if draw < trucks + buses + motorcycles:
        return str(rng.choice(MOTORCYCLES))
    return str(rng.choice(CARS, p=CAR_SHARE))


def bends(rng: np.random.Generator, *, strength: float) -> np.ndarray:
    """Return road waves; the road passes the origin straight ahead, nearly."""
    waves = np.zeros((3, 3), np.float32)
    for row in waves:
        length = rng.uniform(250, 900)
        number = 2 * np.pi / length
        row[:] = (strength * rng.normal() * (length / 400) ** 2, number, rng.uniform(0, 6.28))
    return waves


def start(
    camera: Camera,
    road: Road,
    weather: Weather,
    models: dict[str, Model],
    rng: np.random.Generator,
    *,
    ego: float,
) -> Builder:
    """Return a builder whose camera stands in the lane at `ego`, looking along the road."""
    x, z, heading = road.at(ego, camera.z)
    camera = replace(camera, x=x, z=z, heading=heading + camera.heading)
    return Builder(Scene(camera, road, weather), models, rng, origin=camera.z)


def lanes_of(count: int, width: float, first: float) -> list[float]:
    """Return the middles of `count` lanes from `first` to the right."""
    return [first + width * (i + 0.5) for i in range(count)]


def queue(
    builder: Builder,
    lane: float,
    *,
    near: float,
    far: float,
    gap: float,
    speed: float,
    trucks: float,
    lamps: bool,
    buses: float = 0.03,
    motorcycles: float = 0.03,
) -> None:
    """Fill a lane with traffic from `near` to `far`."""
    rng = builder.rng
    z = near + rng.exponential(gap * 0.6)
    while z < far:
        name = random_model(rng, trucks=trucks, buses=buses, motorcycles=motorcycles)
        length = builder.models[name].length
        z += length / 2
        actor = builder.actor(
            name,
            lane + rng.normal(0, 0.15),
            z,
            speed=speed * rng.uniform(0.9, 1.1),
            lamps=lamps or rng.random() < 0.25,
        )
        actor.turn = float(rng.normal(0, 0.012))
        if speed > 0 and rng.random() < 0.2:
            actor.brake = (-1.0, 1.0)
        builder.add(actor)
        z += length / 2 + 4 + rng.exponential(gap)


def greenery(
    builder: Builder,
    side: int,
    start_at: float,
    density: float,
    *,
    far: float = 220,
    near: float = 2.0,
) -> None:
    """Scatter trees and bushes beside the road."""
    rng = builder.rng
    conifers = rng.random() < 0.3
    count = int(rng.poisson(density * 26))
    for _ in range(count):
        z = builder.origin + near + (far - near) * rng.random() ** 1.4
        sideways = side * (start_at + rng.gamma(1.5, 7))
        x, deep, _ = builder.road.at(sideways, z)
        bush = rng.random() < 0.3
        layer = int(
            rng.integers(9, 12)
            if bush
            else rng.integers(6, 9)
            if conifers and rng.random() < 0.8
            else rng.integers(0, 6)
        )
        height = rng.uniform(1.5, 4) if bush else rng.uniform(5, 15)
        builder.tree(x, deep, float(height), layer, wide=float(rng.uniform(0.8, 1.3)))


def crowd(builder: Builder, sideways: float, wide: float, count: int, far: float) -> None:
    """Put people on a pavement."""
    rng = builder.rng
    for _ in range(count):
        z = builder.origin + 4 + far * rng.random() ** 1.3
        place = sideways + rng.uniform(-wide, wide)
        actor = builder.actor("person", place, z, speed=float(rng.choice([-1.3, 1.3, 0.0])))
        actor.turn = float(rng.normal(0, 0.2) if actor.speed else rng.uniform(-3.1, 3.1))
        actor.gait = "run" if rng.random() < 0.06 else "walk"
        builder.add(actor)
        if rng.random() < 0.3:
            friend = replace(
                actor,
                identity=builder.take(),
                sideways=place + 0.6,
                z=z + 0.1,
                looks=random_looks(rng),
                seed=actor.seed + 1,
            )
            builder.add(friend)


def parked(
    builder: Builder,
    sideways: float,
    share: float,
    *,
    backwards: bool,
    free: tuple[float, float],
    far: float = 90,
) -> None:
    """Park vehicles along the road, but for the gap `free`."""
    rng = builder.rng
    z = builder.origin + rng.uniform(2, 9)
    while z < builder.origin + far:
        if rng.random() < share and not free[0] - 4 < z < free[1] + 4:
            name = random_model(rng, trucks=0.05, buses=0, motorcycles=0.02)
            length = builder.models[name].length
            z += length / 2
            actor = builder.actor(
                name, sideways + rng.normal(0, 0.1), z, backwards=backwards ^ (rng.random() < 0.15)
            )
            actor.turn = float(rng.normal(0, 0.03))
            if actor.kind != "motorcycle":
                builder.add(actor)
            z += length / 2 + rng.uniform(0.6, 1.6)
        else:
            z += rng.uniform(4, 12)


def houses(
    builder: Builder,
    side: int,
    edge: float,
    free: tuple[float, float],
    *,
    green: bool = False,
    far: float = 190,
) -> None:
    """Line one side of a street with houses, but for the gap `free`."""
    rng, z0 = builder.rng, builder.origin
    if green:
        greenery(builder, side, edge + 1, 1.6, far=150)
        return
    z = z0 - 10.0
    while z < z0 + far:
        index = int(rng.integers(len(HOUSES)))
        width = HOUSES[index][0]
        if z + width > free[0] - 1 and z < free[1] + 1:
            z = free[1] + 2
        builder.house(side * edge, z + width / 2, index, side=side)
        z += width + (0.0 if rng.random() < 0.7 else float(rng.uniform(2, 9)))


def pavement_things(
    builder: Builder,
    side: int,
    edge: float,
    pave: float,
    free: tuple[float, float],
    *,
    far: float = 130,
) -> None:
    """Put trees, lamps, bins and benches on a pavement."""
    rng, z0 = builder.rng, builder.origin
    spacing = float(rng.uniform(9, 22))
    kind = rng.random()
    for z in np.arange(z0 + rng.uniform(3, 12), z0 + far, spacing):
        if free[0] - 1 < z < free[1] + 1:
            continue
        if kind < 0.6:
            x, deep, _ = builder.road.at(side * (edge + 0.9), float(z))
            builder.tree(x, deep, float(rng.uniform(4.5, 8)), int(rng.integers(0, 6)))
    for z in np.arange(z0 + rng.uniform(2, 25), z0 + far + 30, 30.0):
        if not free[0] - 1 < z < free[1] + 1:
            builder.lamp_post(side * (edge + 0.5), float(z), side=side)
    for _ in range(int(rng.integers(0, 6))):
        z = z0 + float(rng.uniform(3, 60))
        if not free[0] - 1 < z < free[1] + 1:
            builder.prop(
                str(rng.choice(["bin", "bench", "bollard", "cone", "shelter"])),
                side * (edge + min(pave - 0.3, 1.1)),
                z,
                turn=np.pi / 2 * (1 if side > 0 else -1) + np.pi / 2,
                tint=(0.08, 0.15, 0.10),
            )
