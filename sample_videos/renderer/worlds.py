"""Random places to drive through: a motorway, a city street, a country road."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .builder import Builder
from .camera import Camera
from .geometry import extruded
from .people import random_looks
from .road import Line, Road
from .scene import Scene, Weather
from .signs import SIGN_NAMES, SPEEDS
from .street import HOUSES, barrier, guard_rail, kerb, noise_wall
from .vehicles import Model

CAR_WEIGHTS = {"hatchback": 12, "sedan": 10, "wagon": 8, "suv": 12, "minivan": 4, "van": 5, "pickup": 4,
               "city_car": 7, "compact": 9, "saloon": 6, "small_sedan": 6, "estate": 5,
               "crossover": 10, "large_suv": 5, "people_carrier": 3, "small_van": 3, "tall_van": 4}
CARS = tuple(CAR_WEIGHTS)
CAR_SHARE = np.array(list(CAR_WEIGHTS.values())) / sum(CAR_WEIGHTS.values())
TRUCKS = (*(f"box_truck{i}" for i in range(6)), *(f"semi{i}" for i in range(6)), "tipper", "tanker")
BUSES = ("city_bus", "coach")
MOTORCYCLES = ("motorcycle", "tourer", "scooter")
GREENS = ((.085, .13, .032), (.12, .15, .04), (.17, .16, .06), (.06, .10, .03), (.20, .18, .08))


def random_model(rng: np.random.Generator, *, trucks: float = .15, buses: float = .03,
                 motorcycles: float = .03) -> str:
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


def start(camera: Camera, road: Road, weather: Weather, models: dict[str, Model],
          rng: np.random.Generator, *, ego: float) -> Builder:
    """Return a builder whose camera stands in the lane at `ego`, looking along the road."""
    x, z, heading = road.at(ego, camera.z)
    camera = replace(camera, x=x, z=z, heading=heading + camera.heading)
    return Builder(Scene(camera, road, weather), models, rng, origin=camera.z)


def lanes_of(count: int, width: float, first: float) -> list[float]:
    """Return the middles of `count` lanes from `first` to the right."""
    return [first + width * (i + .5) for i in range(count)]


def _queue(builder: Builder, lane: float, *, near: float, far: float, gap: float, speed: float,
           trucks: float, lamps: bool, buses: float = .03, motorcycles: float = .03) -> None:
    """Fill a lane with traffic from `near` to `far`."""
    rng = builder.rng
    z = near + rng.exponential(gap * .6)
    while z < far:
        name = random_model(rng, trucks=trucks, buses=buses, motorcycles=motorcycles)
        length = builder.models[name].length
        z += length / 2
        actor = builder.actor(name, lane + rng.normal(0, .15), z, speed=speed * rng.uniform(.9, 1.1),
                              lamps=lamps or rng.random() < .25)
        actor.turn = float(rng.normal(0, .012))
        if speed > 0 and rng.random() < .2:
            actor.brake = (-1.0, 1.0)
        builder.add(actor)
        z += length / 2 + 4 + rng.exponential(gap)


def greenery(builder: Builder, side: int, start_at: float, density: float, *, far: float = 220,
              near: float = 2.0) -> None:
    """Scatter trees and bushes beside the road."""
    rng = builder.rng
    conifers = rng.random() < .3
    count = int(rng.poisson(density * 26))
    for _ in range(count):
        z = builder.origin + near + (far - near) * rng.random() ** 1.4
        sideways = side * (start_at + rng.gamma(1.5, 7))
        x, deep, _ = builder.road.at(sideways, z)
        bush = rng.random() < .3
        layer = int(rng.integers(9, 12) if bush else rng.integers(6, 9) if conifers
                    and rng.random() < .8 else rng.integers(0, 6))
        height = rng.uniform(1.5, 4) if bush else rng.uniform(5, 15)
        builder.tree(x, deep, float(height), layer, wide=float(rng.uniform(.8, 1.3)))


def highway(camera: Camera, weather: Weather, models: dict[str, Model], rng: np.random.Generator
            ) -> Builder:
    """Return a motorway with two to four lanes each way."""
    count = int(rng.integers(2, 5))
    width = float(rng.uniform(3.4, 3.8))
    shoulder = float(rng.uniform(.6, 3.0))
    right = count * width + .5
    lines = [Line(.5, .2), Line(right, .25)]
    dash, period = ((6.0, 18.0), (6, 12), (3.0, 12.0), (4.0, 12.0))[int(rng.integers(4))]
    lines += [Line(.5 + width * i, .16, dash, period) for i in range(1, count)]
    if rng.random() < .3:
        lines[0] = replace(lines[0], yellow=True)
    road = Road(bends(rng, strength=4.0), (-.4, right + shoulder), lines,
                tone=(float(rng.uniform(.07, .22)), float(rng.uniform(0, 1)),
                      float(rng.uniform(.6, 1.0))),
                grass=GREENS[int(rng.integers(len(GREENS)))], bare=float(rng.random()))
    lanes = lanes_of(count, width, .5)
    ego = int(rng.integers(count))
    builder = start(camera, road, weather, models, rng, ego=lanes[ego] + float(rng.normal(0, .2)))
    lit = weather.name not in ("day", "overcast", "low_sun")
    dense = float(rng.choice([14, 26, 50]))
    trucks = float(rng.uniform(.08, .4))
    # The other carriageway lies left of the middle; its asphalt is a strip of its own.
    other = road.path(-2.2 - right / 2 - shoulder / 2, camera.z - 30, camera.z + 500, 8.0)
    half = (right + shoulder) / 2
    tone = road.tone[0]
    builder.strip("other_road", "solid", extruded([(-half, .012), (half, .012)], other).painted(
        (tone, tone * .985, tone * .96)))
    for place in (-2.4 - .3, -2.4 - right):
        builder.strip(f"other_line{place:.1f}", "solid", extruded(
            [(-.1, .02), (.1, .02)], road.path(place, camera.z - 30, camera.z + 300, 8.0)).painted(
                (.6, .6, .58)))
    for index, lane in enumerate(lanes):
        near = 9.0 if index == ego else -6.0
        _queue(builder, lane, near=camera.z + near, far=camera.z + 170, gap=dense, speed=28,
               trucks=trucks if index >= count - 2 else trucks * .2, lamps=lit)
        _queue(builder, -2.4 - lane, near=camera.z + 3, far=camera.z + 200, gap=dense * 1.3,
               speed=-28, trucks=trucks, lamps=lit)
    if rng.random() < .6:
        builder.strip("median", "solid", barrier(road, -1.3, camera.z - 20, camera.z + 260))
    else:
        builder.strip("median", "solid", guard_rail(road, -1.0, camera.z - 20, camera.z + 260))
        for z in np.arange(0, 120, 4.0):
            builder.prop("post", -1.05, camera.z + z)
    edge = right + shoulder + .5
    style = rng.random()
    if style < .6:
        builder.strip("rail", "solid", guard_rail(road, edge, camera.z - 10, camera.z + 260))
        for z in np.arange(2, 120, 4.0):
            builder.prop("post", edge + .06, camera.z + z)
    elif style < .8:
        builder.strip("wall", "solid", noise_wall(road, edge + 1.5, camera.z - 20, camera.z + 260))
    for z in np.arange(25, 160, 50.0):
        builder.prop("delineator", edge - .3, camera.z + z)
    greenery(builder, 1, edge + 3, float(rng.uniform(.3, 2)))
    greenery(builder, -1, right + shoulder + 6, float(rng.uniform(.3, 2)))
    if rng.random() < .45:
        z = camera.z + float(rng.uniform(22, 120))
        builder.prop("gantry", right / 2 + .3, z, scale=(float(right + shoulder + 2) / 16, 1, 1))
        for lane in lanes[:: 2 if width * count > 9 else 1]:
            builder.board(lane, z, float(rng.uniform(2.8, 4.5)), float(rng.uniform(1.8, 2.6)), 6.9)
    for _ in range(int(rng.integers(0, 4))):
        name = str(rng.choice([f"speed_{v}" for v in SPEEDS[3:]] + [
            "no_overtaking", "no_overtaking_trucks", "end_of_limits", "danger", "road_works"]))
        side = edge + .7 if rng.random() < .75 else -1.2
        builder.sign(name, side, camera.z + float(rng.uniform(12, 80)),
                     size=float(rng.uniform(.75, 1.2)), height=float(rng.uniform(1.8, 2.8)))
    if rng.random() < .3:
        z = camera.z + float(rng.uniform(40, 110))
        builder.board(edge + 2.5, z, 3.2, 2.4, 3.2)
    if weather.night and rng.random() < .5:
        for z in np.arange(10, 200, 38.0):
            builder.lamp_post(edge + .9, camera.z + z, side=1)
    return builder


def crowd(builder: Builder, sideways: float, wide: float, count: int, far: float) -> None:
    """Put people on a pavement."""
    rng = builder.rng
    for _ in range(count):
        z = builder.origin + 4 + far * rng.random() ** 1.3
        place = sideways + rng.uniform(-wide, wide)
        actor = builder.actor("person", place, z, speed=float(rng.choice([-1.3, 1.3, 0.0])))
        actor.turn = float(rng.normal(0, .2) if actor.speed else rng.uniform(-3.1, 3.1))
        actor.gait = "run" if rng.random() < .06 else "walk"
        builder.add(actor)
        if rng.random() < .3:
            friend = replace(actor, identity=builder.take(), sideways=place + .6, z=z + .1,
                             looks=random_looks(rng), seed=actor.seed + 1)
            builder.add(friend)


def parked(builder: Builder, sideways: float, share: float, *, backwards: bool,
           free: tuple[float, float], far: float = 90) -> None:
    """Park vehicles along the road, but for the gap `free`."""
    rng = builder.rng
    z = builder.origin + rng.uniform(2, 9)
    while z < builder.origin + far:
        if rng.random() < share and not free[0] - 4 < z < free[1] + 4:
            name = random_model(rng, trucks=.05, buses=0, motorcycles=.02)
            length = builder.models[name].length
            z += length / 2
            actor = builder.actor(name, sideways + rng.normal(0, .1), z,
                                  backwards=backwards ^ (rng.random() < .15))
            actor.turn = float(rng.normal(0, .03))
            if actor.kind != "motorcycle":
                builder.add(actor)
            z += length / 2 + rng.uniform(.6, 1.6)
        else:
            z += rng.uniform(4, 12)


def city(camera: Camera, weather: Weather, models: dict[str, Model], rng: np.random.Generator
         ) -> Builder:
    """Return a city street with houses, pavements, parked cars and perhaps a crossing."""
    per_side = int(rng.choice([1, 1, 2]))
    width = float(rng.uniform(2.9, 3.5))
    parking = [2.2 if rng.random() < .65 else 0.0 for _ in range(2)]
    left, right = -per_side * width - parking[0], per_side * width + parking[1]
    paving = (float(rng.uniform(2, 4.5)), float(rng.uniform(2, 4.5)))
    lines = [Line(0.0, .13, *((3.0, 6.0) if rng.random() < .6 else (0.0, 0.0)))]
    for side in (-1, 1):
        lines += [Line(side * width * i, .12, 3.0, 9.0) for i in range(1, per_side)]
        if parking[(side + 1) // 2] or rng.random() < .3:
            lines.append(Line(side * (per_side * width + (0 if parking[(side + 1) // 2] else -.2)),
                              .12, *((0, 0) if rng.random() < .6 else (1.0, 2.0))))
    crossings: list[tuple[float, float, float, float]] = []
    junction = camera.z + float(rng.uniform(14, 70)) if rng.random() < .6 else 1e6
    half = float(rng.uniform(4, 8))
    if junction < 1e5:
        crossings.append((junction, half, 0, 0))
        crossings.append((junction - half - 2.5, 1.6, 1, 0))
        crossings.append((junction + half + 2.5, 1.6, 1, 0))
        crossings.append((junction - half - 5.5, .2, 2, right))
    elif rng.random() < .5:
        place = camera.z + float(rng.uniform(8, 40))
        crossings.append((place, 1.8, 1, 0))
    road = Road(bends(rng, strength=1.2), (left, right), lines, crossings, paving, 1.0,
                tone=(float(rng.uniform(.07, .19)), float(rng.uniform(.2, 1)),
                      float(rng.uniform(.5, .95))))
    ego_lane = per_side - 1 if rng.random() < .6 else 0
    ego = width * (ego_lane + .5)
    builder = start(camera, road, weather, models, rng, ego=ego + float(rng.normal(0, .15)))
    lit = weather.name not in ("day", "overcast", "low_sun")
    z0 = camera.z
    free = (junction - half, junction + half)
    gap = float(rng.choice([8, 18, 40]))
    more = {"buses": .07, "motorcycles": .11, "trucks": .10, "lamps": lit}
    for index in range(per_side):
        lane = width * (index + .5)
        _queue(builder, lane, near=z0 + (7 if index == ego_lane else 1), far=z0 + 100, gap=gap,
               speed=9, **more)
        _queue(builder, -lane, near=z0 + 3, far=z0 + 120, gap=gap, speed=-9, **more)
    for index, side in enumerate((-1, 1)):
        edge = abs((left, right)[index])
        if parking[index]:
            parked(builder, side * (edge - 1.1), float(rng.uniform(.3, .95)), backwards=side < 0,
                    free=free)
        for number, (a, b) in enumerate(((z0 - 12, free[0]), (free[1], z0 + 220))):
            if b > a + 3 and a < z0 + 200:
                builder.strip(f"kerb{side}{number}", "solid", kerb(road, side * edge, a,
                                                                   min(b, z0 + 220)))
        pave = paving[index]
        crowd(builder, side * (edge + pave / 2), pave * .4, int(rng.poisson(5)), 55)
        houses(builder, side, edge + pave + .3, free, green=rng.random() < .2)
        pavement_things(builder, side, edge, pave, free)
    _city_signs(builder, right, left, junction, half)
    for _ in range(int(rng.poisson(2.3))):
        side = 1 if rng.random() < .65 else -1
        edge = right if side > 0 else -left
        place = edge - (parking[(side + 1) // 2] + .6) if rng.random() < .7 else edge + .8
        builder.add(builder.actor("bicycle", side * place, z0 + float(rng.uniform(5, 45)),
                                  speed=4.5 * side, turn=float(rng.normal(0, .05)), lamps=lit))
    zebra = [c for c in crossings if c[2] == 1]
    if zebra and rng.random() < .75:
        for _ in range(int(rng.integers(1, 6))):
            place, deep = zebra[0][0], zebra[0][1]
            builder.add(builder.actor(
                "person", float(rng.uniform(left, right)), place + float(rng.uniform(-deep, deep)),
                across=float(rng.choice([-1.3, 1.3]))))
    elif rng.random() < .3:
        builder.add(builder.actor("person", float(rng.uniform(left, right)),
                                  z0 + float(rng.uniform(8, 30)), across=1.2))
    if junction < 1e5 and rng.random() < .6:
        for _ in range(int(rng.integers(1, 3))):
            name = random_model(rng, trucks=.1, buses=.06, motorcycles=.14)
            across = float(rng.choice([-1, 1]))
            builder.add(builder.actor(name, float(rng.uniform(-14, 14)), junction + across * 1.7,
                                      turn=across * np.pi / 2, speed=.01, lamps=lit))
    return builder


def houses(builder: Builder, side: int, edge: float, free: tuple[float, float], *,
           green: bool = False, far: float = 190) -> None:
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
        z += width + (0.0 if rng.random() < .7 else float(rng.uniform(2, 9)))


def pavement_things(builder: Builder, side: int, edge: float, pave: float,
                    free: tuple[float, float], *, far: float = 130) -> None:
    """Put trees, lamps, bins and benches on a pavement."""
    rng, z0 = builder.rng, builder.origin
    spacing = float(rng.uniform(9, 22))
    kind = rng.random()
    for z in np.arange(z0 + rng.uniform(3, 12), z0 + far, spacing):
        if free[0] - 1 < z < free[1] + 1:
            continue
        if kind < .6:
            x, deep, _ = builder.road.at(side * (edge + .9), float(z))
            builder.tree(x, deep, float(rng.uniform(4.5, 8)), int(rng.integers(0, 6)))
    for z in np.arange(z0 + rng.uniform(2, 25), z0 + far + 30, 30.0):
        if not free[0] - 1 < z < free[1] + 1:
            builder.lamp_post(side * (edge + .5), float(z), side=side)
    for _ in range(int(rng.integers(0, 6))):
        z = z0 + float(rng.uniform(3, 60))
        if not free[0] - 1 < z < free[1] + 1:
            builder.prop(str(rng.choice(["bin", "bench", "bollard", "cone", "shelter"])),
                         side * (edge + min(pave - .3, 1.1)), z,
                         turn=np.pi / 2 * (1 if side > 0 else -1) + np.pi / 2,
                         tint=(.08, .15, .10))


def _city_signs(builder: Builder, right: float, left: float, junction: float, half: float) -> None:
    rng, z0 = builder.rng, builder.origin
    if junction < 1e5 and rng.random() < .65:
        state = str(rng.choice(["red", "yellow", "green", "red_yellow"], p=[.42, .1, .42, .06]))
        z = junction - half - (0 if rng.random() < .5 else 4.5)
        builder.signal(right + .5, z, state)
        if rng.random() < .6:
            builder.signal(right + .7, z, state, height=5.2, arm=right * .7)
        if rng.random() < .6:
            builder.signal(left - .5, z, state)
        if rng.random() < .5:
            builder.signal(right + .5, junction + half + 1, state, height=2.7)
        if rng.random() < .3:
            builder.signal(left - .5, junction + half + 1, "off", away=True)
    elif junction < 1e5:
        builder.sign(str(rng.choice(["stop", "yield", "priority_road", "no_entry"])), right + .5,
                     junction - half - 3, size=float(rng.uniform(.6, .9)))
    for _ in range(int(rng.integers(1, 6))):
        builder.sign(str(rng.choice(SIGN_NAMES)), (right + .5) if rng.random() < .75 else left - .5,
                     z0 + float(rng.uniform(7, 60)), size=float(rng.uniform(.5, .8)),
                     height=float(rng.uniform(2.0, 2.9)), turn=float(rng.normal(0, .15)))


def rural(camera: Camera, weather: Weather, models: dict[str, Model], rng: np.random.Generator
          ) -> Builder:
    """Return a country road of two lanes."""
    width = float(rng.uniform(2.8, 3.6))
    lines = [Line(-width, .13), Line(width, .13)] if rng.random() < .75 else []
    yellow = bool(rng.random() < .25)
    if rng.random() < .85:
        dash = (3.0, 9.0) if rng.random() < .6 else (0.0, 0.0)
        lines.append(Line(0.0, .13, *dash, yellow))
    edge = width + float(rng.uniform(.2, 1.2))
    road = Road(bends(rng, strength=9.0), (-edge, edge), lines,
                tone=(float(rng.uniform(.08, .22)), float(rng.uniform(.2, 1)),
                      float(rng.uniform(.5, .95))),
                grass=GREENS[int(rng.integers(len(GREENS)))], bare=float(rng.random()))
    builder = start(camera, road, weather, models, rng, ego=width / 2 + float(rng.normal(0, .15)))
    lit = weather.name not in ("day", "overcast", "low_sun")
    z0 = camera.z
    gap = float(rng.choice([20, 45, 90]))
    _queue(builder, width / 2, near=z0 + 8, far=z0 + 160, gap=gap, speed=20, trucks=.2, lamps=lit,
           motorcycles=.14)
    _queue(builder, -width / 2, near=z0 + 4, far=z0 + 180, gap=gap, speed=-20, trucks=.2, lamps=lit,
           motorcycles=.14)
    for side in (-1, 1):
        greenery(builder, side, edge + 2.5, float(rng.uniform(.4, 3)))
        if rng.random() < .25:
            builder.strip(f"rail{side}", "solid", guard_rail(road, side * (edge + .8), z0 - 10,
                                                             z0 + 200))
        for z in np.arange(z0 + 12, z0 + 140, 45.0):
            builder.prop("delineator", side * (edge + .6), float(z))
        if rng.random() < .5:
            for z in np.arange(z0 + rng.uniform(4, 30), z0 + 220, 38.0):
                builder.prop("mast", side * (edge + 4), float(z))
        for _ in range(int(rng.integers(0, 3))):
            builder.house(side * (edge + float(rng.uniform(7, 26))), z0 + float(rng.uniform(15, 150)),
                          int(rng.choice([0, 3, 6])), side=side)
    for _ in range(int(rng.integers(0, 4))):
        builder.sign(str(rng.choice(SIGN_NAMES)), edge + float(rng.uniform(.6, 1.5)),
                     z0 + float(rng.uniform(8, 70)), size=float(rng.uniform(.6, .95)),
                     height=float(rng.uniform(1.7, 2.6)))
    for _ in range(int(rng.poisson(.8))):
        builder.add(builder.actor("bicycle", edge - .6, z0 + float(rng.uniform(7, 50)), speed=5.0,
                                  lamps=lit))
    for _ in range(int(rng.poisson(.6))):
        builder.add(builder.actor("person", (edge + .5) * float(rng.choice([-1, 1])),
                                  z0 + float(rng.uniform(6, 40)),
                                  speed=float(rng.choice([-1.3, 1.3]))))
    return builder


WORLDS = {"highway": highway, "city": city, "rural": rural}
