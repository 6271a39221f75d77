"""Motorcycles and bicycles."""

from __future__ import annotations

from .geometry import Mesh, box, ellipsoid, merged, torus, tube
from .vehicles import GLOSSY, MATT, RED_LAMP, WHITE_LAMP, Model

DARK = (0.025, 0.025, 0.025)


def bicycle() -> Model:
    """Make a city bicycle, 1.8 m long."""
    parts: list[Mesh] = []
    rear, front = (0.0, 0.34, -0.52), (0.0, 0.34, 0.55)
    for place in (rear, front):
        parts.append(torus(.325, .026, sides=22, tube_sides=6).moved(place).painted(DARK))
        parts.append(torus(.305, .009, sides=22, tube_sides=4).moved(place).painted((.5, .5, .5)))
        for i in range(7):
            spoke = tube((0, -.31, 0), (0, .31, 0), .0035, sides=3).rotated("x", i * 180 / 7)
            parts.append(spoke.moved(place).painted((.45, .45, .45)))
    crank, seat, head = (0.0, .32, -.08), (0.0, .86, -.26), (0.0, .88, .36)
    for a, b in ((crank, seat), (crank, head), ((0, .78, -.24), (0, .80, .38)), (crank, rear),
                 ((0, .78, -.24), rear), (head, front), (head, (0, 1.02, .33))):
        parts.append(tube(a, b, .022, sides=6).painted((1, 1, 1), GLOSSY))
    parts.append(tube((-.29, 1.03, .26), (.29, 1.03, .26), .015, sides=5).painted(DARK))
    parts.append(box((.14, .06, .26), (0, .90, -.28)).painted(DARK))
    parts.append(box((.16, .02, .34), (0, .72, -.56)).painted((.1, .1, .1)))
    parts.append(tube((-.16, .24, -.08), (.16, .40, -.08), .015, sides=5).painted((.3, .3, .3)))
    for degrees in (28, 50, 72, 93, 115):
        guard = box((.05, .012, .13), (0, 0, .36)).rotated("x", -degrees)
        parts.append(guard.moved(rear).painted((.08, .08, .08)))
    parts.append(box((.05, .05, .03), (0, .66, -.78)).painted((.4, .02, .02), RED_LAMP))
    parts.append(ellipsoid((.035, .035, .03), (0, .86, .44)).painted((.6, .6, .6), WHITE_LAMP))
    return Model("bicycle", "bicycle", 1.8, .6, 1.1, [], merged(*parts), [],
                 [(0, .86, .45)], [(0, .66, -.8)])


def motorcycle(name: str = "motorcycle", *, scooter: bool = False) -> Model:
    """Make a motorcycle, or a scooter with a leg shield and a top box."""
    parts: list[Mesh] = []
    radius, fat, base = (.22, .06, .62) if scooter else (.25, .065, .70)
    hub = radius + fat
    for z in (-base, base):
        parts.append(torus(radius, fat, sides=22, tube_sides=8).moved((0, hub, z)).painted(DARK))
        parts.append(tube((-.03, hub, z), (.03, hub, z), radius * .8, sides=14)
                     .painted((.22, .22, .23)))
    paint = (1.0, 1.0, 1.0)
    if scooter:
        parts.append(ellipsoid((.19, .24, .46), (0, .58, -.42)).painted(paint, GLOSSY))
        parts.append(box((.42, .62, .07), (0, .66, .40)).rotated("x", 0).painted(paint, GLOSSY))
        parts.append(box((.34, .06, .55), (0, .30, .05)).painted(DARK))
        parts.append(ellipsoid((.16, .07, .40), (0, .82, -.36)).painted(DARK))
        parts.append(ellipsoid((.17, .14, .16), (0, 1.02, .46)).painted(paint, GLOSSY))
        parts.append(box((.40, .32, .38), (0, 1.05, -.80)).painted(DARK))
        parts.append(ellipsoid((.10, .09, .34), (0, hub + .16, base)).painted(paint, GLOSSY))
    else:
        parts.append(ellipsoid((.17, .16, .30), (0, .86, .14)).painted(paint, GLOSSY))
        parts.append(ellipsoid((.16, .07, .40), (0, .82, -.40)).painted(DARK))
        parts.append(ellipsoid((.11, .11, .26), (0, .86, -.72)).painted(paint, GLOSSY))
        parts.append(box((.34, .36, .44), (0, .46, .06)).painted((.12, .12, .12)))
        parts.append(ellipsoid((.20, .26, .20), (0, .98, .56)).painted(paint, GLOSSY))
        parts.append(ellipsoid((.15, .20, .06), (0, 1.18, .58)).painted((.04, .05, .06), GLOSSY))
        parts.append(ellipsoid((.19, .24, .34), (0, .62, .34)).painted(paint, GLOSSY))
        parts.append(ellipsoid((.08, .05, .30), (0, hub + radius + fat - .12, base))
                     .painted(paint, GLOSSY))
        for s in (-1, 1):
            parts.append(tube((s * .16, .42, -.35), (s * .20, .55, -.95), .055, .065)
                         .painted((.35, .35, .36)))
            if name == "tourer":
                parts.append(box((.20, .36, .48), (s * .34, .66, -.72)).painted((.05, .05, .05)))
        parts.append(tube((0, .40, -.1), (0, hub, -base), .06, sides=6).painted((.1, .1, .1)))
    for s in (-1, 1):
        parts.append(tube((s * .09, hub, base), (s * .10, .98, .46), .03).painted((.3, .3, .3)))
        parts.append(tube((s * .06, 1.06, .44), (s * .37, 1.08, .30), .018).painted(DARK))
        parts.append(tube((s * .26, 1.07, .36), (s * .36, 1.30, .40), .008, sides=4).painted(DARK))
        parts.append(ellipsoid((.075, .045, .02), (s * .38, 1.31, .40)).painted(DARK))
        parts.append(ellipsoid((.03, .02, .02), (s * .20, .82, -.92)).painted((.7, .3, .02)))
    parts.append(ellipsoid((.09, .08, .05), (0, .98, .74 if not scooter else .6))
                 .painted((.6, .6, .6), WHITE_LAMP))
    rear = -.99 if not scooter else -.86
    parts.append(box((.16, .07, .04), (0, .84, rear)).painted((.45, .01, .01), RED_LAMP))
    parts.append(box((.16, .26, .02), (0, .62, rear + .01)).painted(DARK, MATT))
    return Model(name, "motorcycle", 2.1, .8, 1.3, [], merged(*parts),
                 [((0, .62, rear - .015), 180.0)], [(0, .98, .75)], [(0, .84, rear)])
