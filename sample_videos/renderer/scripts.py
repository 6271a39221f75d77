"""The drives of the sample clips: who is where, and when."""

from __future__ import annotations

from typing import Any

import numpy as np

from .builder import Builder, travelled
from .camera import Camera
from .geometry import extruded
from .road import Line, Road
from .scene import Weather
from .street import barrier, guard_rail, kerb
from .vehicles import Model
from .worlds import crowd, greenery, houses, parked, pavement_things, start

CITY_PACE = ((0.0, 9.0), (3.2, 9.0), (6.6, 0.0), (11.3, 0.0), (15.0, 7.8))
NIGHT_PACE = ((0.0, 14.0), (5.0, 14.0), (7.5, 9.5), (9.0, 9.5), (12.0, 13.0))
Pace = tuple[tuple[float, float], ...]

__all__ = ["CITY_PACE", "NIGHT_PACE", "city_street", "day_highway", "night_rain", "travelled"]


def _waves(*rows: tuple[float, float, float]) -> np.ndarray:
    """Return road waves of (amplitude m, length m, phase), moved to pass the origin straight."""
    return np.array([(a, 2 * np.pi / length, p) for a, length, p in rows], np.float32)


def day_highway(camera: Camera, models: dict[str, Model], seed: int, time: float) -> Builder:
    """Return a sunny motorway of three lanes: lorries, a bus, a motorcycle that overtakes."""
    rng = np.random.default_rng([seed, 1])
    weather = Weather("day", (-.45, .62, -.35), clouds=(.38, 1.5, 2.3), sun=(3.0, 2.8, 2.45), haze_density=.0011,
                      skyline=.45)
    width, shoulder = 3.5, 2.6
    right = .5 + 3 * width
    lines = [Line(.5, .2), Line(right, .28), *[Line(.5 + width * i, .17, 6.0, 18.0)
                                               for i in (1, 2)]]
    road = Road(_waves((7.0, 900, .4), (2.0, 520, 2.0), (0, 300, 0)), (-.5, right + shoulder),
                lines, tone=(.135, .75, .86), grass=(.10, .14, .036), bare=.35)
    builder = start(camera, road, weather, models, rng, ego=camera.x)
    builder.origin = 0.0
    far = 760.0
    middle = -2.4
    half = (right + shoulder) / 2
    builder.strip("other_road", "solid", extruded(
        [(-half, .012), (half, .012)], road.path(middle - half, -40, far, 8.0)).painted(
            (.13, .128, .124)))
    for place in (middle - .5, middle - right):
        builder.strip(f"line{place:.0f}", "solid", extruded(
            [(-.1, .02), (.1, .02)], road.path(place, -20, far, 8.0)).painted((.58, .58, .56)))
    builder.strip("median", "solid", barrier(road, -1.35, -20, far))
    edge = right + shoulder + .6
    builder.strip("rail", "solid", guard_rail(road, edge, -20, far))
    for z in np.arange(0, 620, 4.0):
        builder.prop("post", edge + .06, float(z))
    for z in np.arange(25, 620, 50.0):
        builder.prop("delineator", edge + .9, float(z))
    greenery(builder, 1, edge + 4, 5.0, far=far)
    greenery(builder, -1, right + shoulder + 7, 4.5, far=far)
    _highway_signs(builder, edge, right)
    lanes = [.5 + width * (i + .5) for i in range(3)]
    cars: list[tuple[str, float, float, float, dict[str, Any]]] = [
        ("semi1", lanes[2], 34, 24.3, {"paint": (.08, .16, .40), "load": (.80, .80, .78)}),
        ("sedan", lanes[1], 30, 27.6, {"paint": (.42, .43, .44), "brake": (5.0, 6.4)}),
        ("crossover", lanes[1], 66, 28.3, {"paint": (.03, .03, .035)}),
        ("hatchback", lanes[0], -16, 31.0, {"paint": (.36, .02, .02)}),
        ("wagon", lanes[0], 22, 29.8, {"paint": (.78, .78, .77)}),
        ("motorcycle", lanes[0] + .3, -48, 34.0, {"paint": (.60, .25, .03), "lamps": True}),
        ("box_truck1", lanes[2], 92, 24.6, {"paint": (.75, .75, .74), "load": (.62, .45, .08)}),
        ("coach", lanes[2], 128, 25.2, {"paint": (.10, .22, .42)}),
        ("van", lanes[2], 62, 25.8, {"paint": (.80, .80, .80)}),
        ("tanker", lanes[2], 175, 23.6, {"paint": (.60, .10, .06)}), ("minivan", lanes[1], 118, 28.0, {}),
        ("hatchback", lanes[0], 92, 30.5, {"paint": (.035, .07, .19)}),
        ("semi3", lanes[2], 225, 24.5, {}), ("sedan", lanes[1], 190, 27.8, {}),
    ]
    for name, lane, z, speed, more in cars:
        builder.add(builder.actor(name, lane, z, speed=speed, **more), time)
    names = ["sedan", "compact", "semi0", "suv", "tall_van", "estate", "box_truck2", "city_car",
             "coach", "crossover", "semi4", "pickup", "saloon", "people_carrier", "tanker", "wagon"]
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
    for z, name in ((62.0, "speed_120"), (150.0, "no_overtaking_trucks"), (292.0, "speed_100"),
                    (380.0, "curve_right")):
        builder.sign(name, edge + .8, z, size=1.0, height=2.2)
        if name != "curve_right":
            builder.sign(name, -1.35, z, size=.8, height=2.0)
    builder.board(edge + 3.0, 112.0, 3.4, 2.6, 3.2)
    for place in (edge + 2.0, edge + 4.0):
        builder.prop("pole", place, 111.7, scale=(1, 2.6, 1))


def city_street(camera: Camera, models: dict[str, Model], seed: int, time: float) -> Builder:
    """Return a street with a signal: we stop, people cross, we go on."""
    rng = np.random.default_rng([seed, 2])
    weather = Weather("day", (.55, .66, -.25), clouds=(.45, 1.5, 5.1), sun=(3.0, 2.8, 2.45), haze_density=.0013,
                      skyline=.3, ground=(.27, .255, .23))
    width = 3.4
    right = width + 2.2
    left = -width - 2.2
    junction, half = 62.0, 6.0
    stop_line = junction - half - 5.6
    lines = [Line(0.0, .13, 3.0, 6.0), Line(width, .12), Line(-width, .12)]
    crossings = [(junction, half, 0.0, 0.0), (junction - half - 2.8, 1.8, 1.0, 0.0),
                 (junction + half + 2.8, 1.8, 1.0, 0.0), (stop_line, .22, 2.0, width),
                 (junction + half + 5.6, .22, 2.0, -width)]
    road = Road(_waves((.9, 420, .5), (0, 300, 0), (0, 300, 0)), (left, right), lines, crossings,
                (3.6, 3.2), 1.0, tone=(.125, .9, .82))
    builder = start(camera, road, weather, models, rng, ego=camera.x)
    builder.origin = -4.0
    free = (junction - half, junction + half)
    for side, edge, pave in ((-1, -left, 3.6), (1, right, 3.2)):
        for number, (a, b) in enumerate(((-20, free[0]), (free[1], 260.0))):
            builder.strip(f"kerb{side}{number}", "solid", kerb(road, side * edge, a, b))
        houses(builder, side, edge + pave + .3, free, far=250)
        pavement_things(builder, side, edge, pave, free, far=160)
        for a, b in ((2.0, stop_line - 6), (free[1] + 10, 160.0)):
            builder.origin = a
            parked(builder, side * (edge - 1.1), .92 if side > 0 else .8, backwards=side < 0,
                   free=(1e6, 1e6), far=b - a)
        builder.origin = -4.0
    state = ("green" if time < 2.6 else "yellow" if time < 4.0 else "red" if time < 10.3
             else "red_yellow" if time < 11.2 else "green")
    builder.signal(right + .45, stop_line + .6, state)
    builder.signal(right + .7, stop_line + 1.0, state, height=5.3, arm=right * .72)
    builder.signal(left - .5, stop_line + .6, state)
    builder.signal(right + .5, junction + half + 1.0, state)
    for name, side, z, size in (
            ("speed_50", right + .5, 13.0, .62), ("no_stopping", left - .5, 20.0, .55),
            ("crosswalk", right + .5, 29.0, .62), ("priority_road", right + .5, 40.0, .62),
            ("no_entry", left - .6, junction + half + 7, .65), ("speed_30", right + .5, 88.0, .65),
            ("no_parking", right + .5, 104.0, .55), ("yield", right + 3.0, junction + half + 1.5, .8),
            ("bicycle_path", left - .5, 35.0, .55), ("stop", left - 2.9, junction - half - .5, .75)):
        builder.sign(name, side, z, size=size)
    _city_traffic(builder, time, junction, half, stop_line)
    for side, edge in ((-1, -left), (1, right)):
        _walkers(builder, time, side * (edge + 1.7), 22 if side > 0 else 18)
    return builder


def _walkers(builder: Builder, time: float, sideways: float, count: int) -> None:
    """Add people who walk along a pavement."""
    rng = builder.rng
    for _ in range(count):
        z = float(rng.uniform(2, 120))
        actor = builder.actor("person", sideways + float(rng.uniform(-1.1, 1.1)), z,
                              speed=float(rng.choice([-1.35, 1.25, -1.1, 0.0])))
        actor.turn = float(rng.uniform(-2, 2)) if not actor.speed else 0.0
        if 54 < z < 70:
            actor.z += 22
        builder.add(actor, time)


def _city_traffic(builder: Builder, time: float, junction: float, half: float,
                  stop_line: float) -> None:
    """Add the cars ahead and oncoming, those who cross, cyclists and people on the zebra."""
    width = 3.4
    ahead: Pace = ((0, 9.5), (9, 10.0))
    builder.add(builder.actor("hatchback", 1.7, 34.0, pace=ahead, speed=9.0,
                              paint=(.36, .02, .02)), time)
    builder.add(builder.actor("city_bus", 1.7, 98.0, pace=((0, 7.0), (8, 3.0), (14, 7.0)),
                              speed=7.0, brake=(3.0, 7.0)), time)
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
        builder.add(builder.actor(name, -1.7, stop_at + gap, pace=waits, speed=-8.0,
                                  lamps=name == "wagon"), time)
        gap += length / 2 + 2.2
    for index, (name, begin, sign) in enumerate((("suv", 4.6, 1), ("hatchback", 6.0, -1),
                                                 ("scooter", 7.0, 1), ("sedan", 7.6, -1),
                                                 ("box_truck4", 9.4, 1), ("crossover", 9.6, -1))):
        actor = builder.actor(name, -sign * 30.0, junction - sign * 2.0, across=sign * 9.5,
                              turn=sign * np.pi / 2, waits=(0.0, begin - .8 * (index % 2)))
        actor.speed = 0.0
        if begin - .8 < time < begin + 7:
            builder.add(actor, time)
    zebra = junction - half - 2.8
    walkers = ((-6.2, 1.65, 4.1), (-6.8, 1.55, 4.2), (6.1, -1.6, 4.0), (6.7, -1.5, 4.4),
               (-6.0, 1.8, 5.0), (6.4, -1.55, 4.2), (-7.5, 1.7, 4.7))
    for index, (place, across, begin) in enumerate(walkers):
        actor = builder.actor("person", place, zebra + (index - 3) * .48, across=across,
                              waits=(0.0, begin))
        builder.add(actor, time)
    builder.add(builder.actor("bicycle", width + .0 - .35, 16.0, speed=5.2), time)
    builder.add(builder.actor("bicycle", -width + .3, 40.0, speed=-4.8), time)
    builder.add(builder.actor("bicycle", width - .3, 84.0, speed=4.0), time)
    builder.add(builder.actor("motorcycle", -1.5, 27.0, speed=-9.5, lamps=True), time)


def night_rain(camera: Camera, models: dict[str, Model], seed: int, time: float) -> Builder:
    """Return a wet street at night with lamps, tail lights and oncoming headlights."""
    rng = np.random.default_rng([seed, 3])
    weather = Weather("night_rain", (.3, .8, .3), sun=(0, 0, 0), zenith=(.010, .011, .017),
                      horizon=(.036, .031, .032), ground=(.013, .012, .011),
                      haze=(.024, .022, .023), haze_density=.0062, clouds=(.7, .5, 1.0),
                      skyline=.35, wet=.92, night=True, beam=2.0)
    width = 3.5
    edge = 2 * width + .3
    lines = [Line(-.08, .12), Line(.12, .12), Line(width, .14, 4.0, 10.0),
             Line(-width, .14, 4.0, 10.0), Line(edge - .25, .15), Line(-edge + .25, .15)]
    zebra = 118.0
    road = Road(_waves((5.0, 520, .7), (1.0, 300, 1.0), (0, 300, 0)), (-edge, edge), lines,
                [(zebra, 2.0, 1.0, 0.0), (zebra - 4.0, .2, 2.0, edge)], (2.6, 2.6), 1.0,
                tone=(.10, .7, .80))
    builder = start(camera, road, weather, models, rng, ego=camera.x)
    builder.origin = -6.0
    nowhere = (1e6, 1e6)
    for side in (-1, 1):
        builder.strip(f"kerb{side}", "solid", kerb(road, side * edge, -20, 420))
        houses(builder, side, edge + 5.2, nowhere, far=420)
        for z in np.arange(6 + 14 * (side > 0), 420, 28.0):
            builder.lamp_post(side * (edge + .5), float(z), side=side)
        for z in np.arange(12, 380, 19.0):
            x, deep, _ = road.at(side * (edge + 2.8), float(z))
            builder.tree(x, deep, float(rng.uniform(5, 8)), int(rng.integers(0, 6)))
    state = "green" if time < 4.6 else "yellow" if time < 6.2 else "red" if time < 8.6 else (
        "red_yellow" if time < 9.4 else "green")
    builder.signal(edge + .45, zebra - 3.4, state)
    builder.signal(edge + .7, zebra - 3.0, state, height=5.3, arm=4.6)
    builder.signal(-edge - .5, zebra - 3.4, state)
    for name, side, z in (("speed_50", edge + .5, 34.0), ("crosswalk", edge + .5, 96.0),
                          ("priority_road", edge + .5, 66.0), ("no_overtaking", -edge - .4, 52.0),
                          ("speed_30", edge + .5, 178.0), ("pedestrians", edge + .5, 82.0)):
        builder.sign(name, side, z, size=.7)
    lit: dict[str, Any] = {"lamps": True}
    ahead: Pace = ((0, 14), (4.6, 14), (7.2, 9.0), (8.8, 9.0), (12, 13.5))
    for name, lane, z, more in (
            ("sedan", 1.8, 24.0, {"brake": (4.4, 7.4), "pace": ahead}),
            ("suv", 1.8, 44.0, {"brake": (4.0, 7.2), "pace": ahead}),
            ("semi1", 5.3, 36.0, {"pace": ((0, 13.0), (5, 13.0), (8, 9.5), (12, 12.0)),
                                  "brake": (4.8, 7.8)}),
            ("hatchback", 5.3, 10.0, {"pace": ((0, 12.6), (5, 12.6), (7.5, 9.5), (12, 13))}),
            ("city_bus", 5.3, 78.0, {"pace": ((0, 12), (4, 12), (7, 9.0), (12, 11))})):
        builder.add(builder.actor(name, lane, z, speed=13.0, **lit, **more), time)
    z = 26.0
    for index, name in enumerate(("hatchback", "suv", "sedan", "van", "wagon", "box_truck3",
                                  "hatchback", "sedan", "city_bus", "suv", "minivan", "sedan",
                                  "motorcycle", "hatchback", "suv", "sedan", "compact", "crossover",
                                  "semi2", "city_car", "wagon", "saloon", "tall_van", "estate",
                                  "hatchback", "scooter", "large_suv", "sedan", "coach", "suv")):
        lane = -1.8 if index % 3 else -5.3
        z += models[name].length / 2 + float(rng.uniform(4, 16))
        builder.add(builder.actor(name, lane, z, speed=-13.5, **lit), time)
        z += models[name].length / 2
    for side in (-1, 1):
        builder.origin = 10.0
        crowd(builder, side * (edge + 2.0), .6, 0, 10)
        _walkers(builder, time, side * (edge + 1.5), 9)
    builder.add(builder.actor("bicycle", edge - .8, 46.0, speed=5.0, lamps=True), time)
    for place, across, begin in ((-7.6, 1.5, 6.4), (7.8, -1.4, 6.8), (8.3, -1.5, 6.6)):
        builder.add(builder.actor("person", place, zebra + place * .08, across=across,
                                  waits=(0.0, begin)), time)
    return builder
