"""Whole vehicles: shell, wheels, mirrors, plates and lamps, put together from their parts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .bodies import BODIES, VIEWS, Body, shell
from .geometry import COLUMNS, Mesh, box, ellipsoid, lathe, merged, rotation, tube

Place = tuple[float, float, float]

MATT, TINTED, CHROME, GLASS, GLOWING, GLOSSY, WHITE_LAMP, RED_LAMP = 0, 1, 2, 3, 5, 7, 8, 9
CARGO_STYLES = 6


@dataclass(slots=True)
class Model:
    """A vehicle that can be placed in a scene.

    Attributes:
        name: what it is called; its meshes are named after it.
        class_name: car, truck, bus, motorcycle or bicycle.
        length, width, height: outer measures in metres.
        body: meshes textured with a livery, by the tint they take (0 cab, 1 load).
        solid: everything else.
        plates: (place, heading in degrees) of the number plates.
        front_lamps, rear_lamps: places of the lamps.
    """

    name: str
    class_name: str
    length: float
    width: float
    height: float
    body: list[Mesh] = field(default_factory=list)
    solid: Mesh = field(default_factory=Mesh)
    plates: list[tuple[Place, float]] = field(default_factory=list)
    front_lamps: list[Place] = field(default_factory=list)
    rear_lamps: list[Place] = field(default_factory=list)


def livery_layers() -> dict[str, dict[str, int]]:
    """Return the layer of every livery picture: body name to view to layer."""
    layers: dict[str, dict[str, int]] = {}
    index = 0
    for name in BODIES:
        layers[name] = {}
        for view in VIEWS:
            layers[name][view] = index
            index += 1
    for style in range(CARGO_STYLES):
        layers[f"cargo{style}"] = {view: index + i for i, view in enumerate(("side", "rear"))}
        layers[f"cargo{style}"]["front"] = layers[f"cargo{style}"]["top"] = layers["hatchback"]["top"]
        index += 2
    return layers


def coarse_wheel(radius: float, width: float) -> Mesh:
    """Make a wheel with few faces, for far away."""
    half = width / 2
    tyre = lathe([(radius * .62, half), (radius, half * .8), (radius, -half)], sides=9)
    disc = lathe([(0.0, half * .6), (radius * .62, half)], sides=9)
    return merged(tyre.painted((.022, .022, .023)), disc.painted((.26, .26, .27)))


def wheel(radius: float, width: float, *, spokes: int = 5, truck: bool = False,
          coarse: bool = False) -> Mesh:
    """Make a wheel whose outer face looks along +x."""
    if coarse:
        return coarse_wheel(radius, width)
    rim = radius * (0.55 if truck else 0.66)
    half = width / 2
    tyre = lathe([(rim, half * .9), (radius * .93, half), (radius, half * .7), (radius, -half * .7),
                  (radius * .93, -half), (rim, -half * .9)], sides=18).painted((.022, .022, .023))
    disc = lathe([(0.0, half * .25), (rim, half * .25)], sides=16).painted((.05, .05, .05))
    ring = lathe([(rim, half * .92), (rim * .88, half * .92), (rim * .86, half * .4)],
                 sides=18).painted((.5, .5, .51))
    parts = [tyre, disc, ring]
    if truck:
        parts.append(lathe([(rim * .9, half * .3), (rim * .5, half * .5), (rim * .35, half * .95),
                            (0.0, half)], sides=14).painted((.32, .32, .33)))
    else:
        for i in range(spokes):
            spoke = box((half * .5, rim * .95, rim * .26), (half * .62, rim * .48, 0))
            parts.append(spoke.rotated("x", 360 * i / spokes).painted((.48, .48, .50)))
        parts.append(lathe([(rim * .22, half * .9), (0, half * .95)], sides=8)
                     .painted((.35, .35, .36)))
    return merged(*parts)


def _wheels(body: Body, *, truck: bool = False, shift: float = 0.0, coarse: bool = False) -> list[Mesh]:
    width = 0.32 if truck else 0.21
    radius = body.wheel_radius
    parts = []
    for distance in body.wheels:
        z = body.length / 2 - distance + shift
        right = wheel(radius, width, truck=truck, coarse=coarse)
        x = body.width / 2 - width / 2 + 0.012
        parts.append(right.moved((x, radius, z)))
        parts.append(right.rotated("y", 180).moved((-x, radius, z)))
    return parts


def _mirrors(body: Body) -> list[Mesh]:
    z = body.length / 2 - body.length * 0.315
    if body.kind == "van":
        z = body.length / 2 - 1.25
    y = body.belt + 0.10
    x = body.width / 2 + 0.06
    return [ellipsoid((.10, .075, .06), (s * x, y, z), rings=5, sides=8).painted((1, 1, 1), GLOSSY)
            for s in (-1, 1)]


def plate_mesh() -> Mesh:
    """Make a number plate, 0.52 by 0.11 m, that looks along +z."""
    mesh = Mesh(np.zeros((6, COLUMNS), np.float32))
    corners = [(-1, -1), (1, -1), (1, 1), (-1, -1), (1, 1), (-1, 1)]
    for row, (x, y) in zip(mesh.data, corners, strict=True):
        row[:8] = (x * .26, y * .056, 0, 0, 0, 1, (1 - x) / 2, (y + 1) / 2)
        row[9:] = (1, 1, 1, 0)
    return mesh


def _car(body: Body, layers: dict[str, dict[str, int]], coarse: bool) -> Model:
    half = body.length / 2
    solid = _wheels(body, coarse=coarse)
    if not coarse:
        solid += _mirrors(body)
    if body.kind == "pickup":
        solid.append(box((1.5, .02, 1.5), (0, 1.135, -half + .98)).painted((.02, .02, .02)))
    solid.append(box((body.width * .86, .10, body.length * .9), (0, body.floor - .02, 0))
                 .painted((.015, .015, .015)))
    front_y = body.floor + .30
    rear_y = body.belt - .18 if body.kind != "van" else .62
    nose = body.profile[0][1] - .13
    lamp_x = body.width * .40
    return Model(
        body.name, "car", body.length, body.width, body.height,
        [shell(body, layers[body.name], stations=8 if coarse else 40)], merged(*solid),
        [((0, front_y, half + .012), 0.0), ((0, rear_y, -half - .012), 180.0)],
        [(s * lamp_x, nose, half) for s in (-1, 1)],
        [(s * lamp_x, body.belt - .14, -half) for s in (-1, 1)],
    )


def _cargo(size: tuple[float, float, float], floor: float, centre: float,
           layers: dict[str, int]) -> Mesh:
    """Make a load box with its pictures: sides along z, doors at the rear."""
    width, height, length = size
    mesh = box(size, (0, floor + height / 2, centre))
    data = mesh.data.reshape(-1, 6, COLUMNS)
    for face in data:
        normal = face[0, 3:6]
        if abs(normal[0]) > .5:
            along = (face[:, 2] - centre) / length + .5
            face[:, 6] = along if normal[0] > 0 else 1 - along
            face[:, 7] = (face[:, 1] - floor) / height
            face[:, 8] = layers["side"]
        elif normal[2] < -.5:
            face[:, 6] = face[:, 0] / width + .5
            face[:, 7] = (face[:, 1] - floor) / height
            face[:, 8] = layers["rear"]
        else:
            face[:, 6:8] = .5
            face[:, 8] = layers["top"]
    return mesh


def _box_truck(name: str, load: float, style: int, layers: dict[str, dict[str, int]],
               coarse: bool) -> Model:
    cab = BODIES["cab"]
    total = cab.length + .12 + load
    front = total / 2 - cab.length / 2
    body = [shell(cab, layers["cab"], stations=4 if coarse else 20).moved((0, 0, front))]
    centre = -total / 2 + load / 2
    body.append(_cargo((2.5, 2.5, load), 1.02, centre, layers[f"cargo{style}"]))
    solid = [*_wheels(cab, truck=True, shift=front, coarse=coarse)]
    rear = wheel(.5, .5, truck=True, coarse=coarse)
    for z in (-total / 2 + 1.6,):
        solid += [rear.moved((.97, .5, z)), rear.rotated("y", 180).moved((-.97, .5, z))]
    dark = (.03, .03, .03)
    solid.append(box((.9, .28, total - .6), (0, .82, -.2)).painted(dark))
    solid.append(box((2.3, .16, .08), (0, .52, -total / 2 + .1)).painted((.10, .10, .10)))
    for s in (-1, 1):
        solid.append(box((.5, .45, 1.1), (s * .95, .72, front - 1.9)).painted((.12, .12, .12)))
        solid.append(box((.03, .5, 2.2), (s * 1.2, .68, -total / 2 + 3.6)).painted((.2, .2, .2)))
        solid.append(box((.36, .14, .05), (s * .95, .86, -total / 2 - .01))
                     .painted((.45, .01, .01), RED_LAMP))
        solid.append(box((.55, .55, .03), (s * .95, .42, -total / 2 + .75)).painted(dark))
        solid.append(box((.40, .13, .03), (s * .55, .60, -total / 2 + .04)).painted((.6, .25, .02)))
        solid.append(box((.14, .42, .22), (s * 1.36, 2.0, front + .75)).painted((.02, .02, .02)))
    half = total / 2
    return Model(name, "truck", total, 2.5, 3.55, body, merged(*solid),
                 [((0, .62, half + .03), 0), ((0, .70, -half - .03), 180)],
                 [(s * .95, .84, half) for s in (-1, 1)],
                 [(s * .95, .86, -half) for s in (-1, 1)])


def _semi(name: str, style: int, layers: dict[str, dict[str, int]], coarse: bool) -> Model:
    cab = BODIES["tall_cab"]
    load = 13.6
    total = 16.4
    front = total / 2 - cab.length / 2
    body = [shell(cab, layers["tall_cab"], stations=4 if coarse else 20).moved((0, 0, front))]
    centre = -total / 2 + load / 2
    body.append(_cargo((2.55, 2.75, load), 1.22, centre, layers[f"cargo{style}"]))
    solid = [*_wheels(cab, truck=True, shift=front, coarse=coarse)]
    wheel_mesh = wheel(.5, .45, truck=True, coarse=coarse)
    for z in (total / 2 - 5.1, -total / 2 + 1.9, -total / 2 + 3.2, -total / 2 + 4.5):
        solid += [wheel_mesh.moved((1.0, .5, z)), wheel_mesh.rotated("y", 180).moved((-1.0, .5, z))]
    dark = (.03, .03, .03)
    solid.append(box((.9, .3, total - 1.0), (0, .95, -.3)).painted(dark))
    solid.append(box((2.4, .16, .1), (0, .52, -total / 2 + .15)).painted((.10, .10, .10)))
    solid.append(box((2.5, .16, .05), (0, 1.14, -total / 2)).painted((.25, .25, .25)))
    for s in (-1, 1):
        solid.append(box((.03, .7, 5.2), (s * 1.22, .82, -.6)).painted((.25, .25, .26)))
        solid.append(box((.45, .5, 1.3), (s * .95, .7, front - 1.9)).painted((.3, .3, .31)))
        solid.append(box((.42, .14, .05), (s * .98, .88, -total / 2 - .02))
                     .painted((.45, .01, .01), RED_LAMP))
        solid.append(box((.55, .6, .03), (s * .98, .45, -total / 2 + 1.1)).painted(dark))
        solid.append(box((.50, .14, .03), (s * .80, .53, -total / 2 + .08)).painted((.6, .30, .02)))
        solid.append(box((.16, .5, .24), (s * 1.37, 2.2, front + .75)).painted((.02, .02, .02)))
    half = total / 2
    return Model(name, "truck", total, 2.55, 3.97, body, merged(*solid),
                 [((0, .62, half + .03), 0), ((0, .70, -half - .04), 180)],
                 [(s * .95, .84, half) for s in (-1, 1)],
                 [(s * .98, .88, -half) for s in (-1, 1)])


def _tanker(layers: dict[str, dict[str, int]], coarse: bool) -> Model:
    """Make a lorry with a polished tank."""
    model = _semi("tanker", 0, layers, coarse)
    half = model.length / 2
    start, end = -half, -half + 12.4
    profile = [(0.0, start), (.6, start + .02), (1.12, start + .22), (1.22, start + .6),
               (1.22, end - .6), (1.12, end - .22), (.6, end - .02), (0.0, end)]
    tank = lathe(profile, sides=14 if coarse else 28).rotated("y", -90).moved((0, 2.35, 0))
    rings = [lathe([(1.225, z), (1.26, z + .02), (1.26, z + .1), (1.225, z + .12)],
                   sides=14 if coarse else 28).rotated("y", -90).moved((0, 2.35, 0))
             for z in np.linspace(start + 1.5, end - 1.5, 4)]
    walk = box((.6, .06, 9.0), (0, 3.6, (start + end) / 2)).painted((.2, .2, .2))
    band = box((2.3, .5, .04), (0, 1.35, start + .1)).painted((.5, .5, .5), TINTED)
    model.solid = merged(model.solid, tank.painted((.8, .8, .82), CHROME),
                         *[ring.painted((.5, .5, .5), CHROME) for ring in rings], walk, band)
    model.body = model.body[:1]
    model.height = 3.75
    return model


def _tipper(layers: dict[str, dict[str, int]], coarse: bool) -> Model:
    model = _box_truck("tipper", 4.6, 0, layers, coarse)
    length = 4.6
    half = model.length / 2
    steel = [box((2.45, 1.25, .06), (0, 1.75, -half + .03)), box((2.45, 1.25, .06),
             (0, 1.75, -half + length)), box((2.45, .08, length), (0, 1.15, -half + length / 2))]
    steel += [box((.06, 1.25, length), (s * 1.2, 1.75, -half + length / 2)) for s in (-1, 1)]
    steel += [box((.1, 1.25, .1), (s * 1.25, 1.75, -half + .3 + i * .95)) for s in (-1, 1)
              for i in range(5)]
    load = ellipsoid((1.15, .55, 2.1), (0, 2.15, -half + length / 2), rings=6, sides=10)
    model.solid = merged(model.solid, *[part.painted((.75, .75, .75), TINTED) for part in steel],
                         load.painted((.20, .15, .10)))
    model.body = model.body[:1]
    model.height = 3.1
    return model


def _bus(body: Body, layers: dict[str, dict[str, int]], coarse: bool) -> Model:
    half = body.length / 2
    solid = _wheels(body, truck=True, coarse=coarse)
    for s in (-1, 1):
        solid.append(box((.18, .45, .2), (s * 1.42, 2.1, half + .12)).painted((.02, .02, .02)))
        solid.append(tube((s * 1.2, 2.5, half), (s * 1.42, 2.3, half + .12), .03)
                     .painted((.02, .02, .02)))
    if body.name == "city_bus":
        solid.append(box((1.8, .25, 3.0), (0, body.height + .08, -1.0)).painted((.6, .6, .6)))
    return Model(body.name, "bus", body.length, body.width, body.height,
                 [shell(body, layers[body.name], stations=3 if coarse else 24)], merged(*solid),
                 [((0, .50, half + .02), 0), ((0, .60, -half - .02), 180)],
                 [(s * .98, .75, half) for s in (-1, 1)],
                 [(s * 1.14, 1.1, -half) for s in (-1, 1)])


def build_models(*, coarse: bool = False) -> dict[str, Model]:
    """Build every four-wheeled model, `coarse` ones for far away."""
    layers = livery_layers()
    models = [_car(body, layers, coarse) for body in BODIES.values()
              if body.kind in ("car", "van", "pickup")]
    models += [_bus(BODIES["city_bus"], layers, coarse),
               _bus(BODIES["coach"], layers, coarse)]
    models += [_box_truck(f"box_truck{i}", load, i, layers, coarse)
               for i, load in enumerate((4.4, 6.2, 5.4, 7.2, 6.8, 5.0))]
    models += [_semi(f"semi{i}", i, layers, coarse) for i in range(CARGO_STYLES)]
    models.append(_tipper(layers, coarse))
    models.append(_tanker(layers, coarse))
    return {model.name: model for model in models}


PLATE_TURN = {0.0: np.eye(4, dtype=np.float32), 180.0: rotation("y", 180)}
"""Matrices of plates that look ahead and back."""
