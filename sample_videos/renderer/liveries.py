"""Paints what a vehicle shows from its sides: windows, lamps, doors, grille, wheel arches.

A livery is a picture of weights, not of colours: red = body paint, green = glass, blue = lamp,
alpha = brightness of what is left (black plastic to chrome). So one picture serves all colours.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .bodies import Body

WIDTH, HEIGHT = 256, 256
_FINE = 3

PAINT, GLASS, LAMP = (255, 0, 0, 128), (0, 255, 0, 20), (0, 0, 255, 200)
BLACK, DARK, CHROME = (0, 0, 0, 8), (0, 0, 0, 22), (0, 0, 0, 170)


class Canvas:
    """A livery picture that is drawn in metres: x along the view, y up."""

    def __init__(self, x_range: tuple[float, float], height: float) -> None:
        """Start with plain paint over the whole view."""
        self.pixels = np.empty((HEIGHT * _FINE, WIDTH * _FINE, 4), np.uint8)
        self.pixels[:] = PAINT
        self.x_range, self.height = x_range, height

    def _at(self, points: object) -> NDArray[np.int32]:
        place = np.asarray(points, np.float64)
        low, high = self.x_range
        x = (place[..., 0] - low) / (high - low) * WIDTH * _FINE
        y = place[..., 1] / self.height * HEIGHT * _FINE
        return np.round(np.stack([x, y], -1)).astype(np.int32)

    def polygon(self, points: object, colour: tuple[int, ...]) -> None:
        """Fill a polygon."""
        cv2.fillPoly(self.pixels, [self._at(points)], colour)

    def rectangle(self, x0: float, y0: float, x1: float, y1: float,
                  colour: tuple[int, ...]) -> None:
        """Fill a rectangle."""
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour)

    def line(self, points: object, colour: tuple[int, ...], thickness: int = 3) -> None:
        """Draw a line; `thickness` is in fine pixels."""
        cv2.polylines(self.pixels, [self._at(points)], False, colour, thickness)

    def disc(self, x: float, y: float, radius: float, colour: tuple[int, ...]) -> None:
        """Fill a circle."""
        angle = np.linspace(0, 2 * np.pi, 40)
        self.polygon(np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1), colour)

    def finished(self) -> NDArray[np.uint8]:
        """Return the (HEIGHT, WIDTH, 4) picture, row 0 at the bottom."""
        return cv2.resize(self.pixels, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def _windows(canvas: Canvas, body: Body, *, until: float, pillars: list[float]) -> None:
    """Draw the side windows from the windscreen back to z = until."""
    half = body.length / 2
    z = np.linspace(until, half - 0.5, 120)
    low = body.belt + 0.035
    high = np.minimum(body.top(z) - 0.10, body.height - 0.13)
    # The front lower corner starts where the windscreen meets the shoulder.
    keep = high > low + 0.03
    z, high = z[keep], high[keep]
    if len(z) < 2:
        return
    frame = np.concatenate([np.stack([z, high + 0.03], 1), [(z[-1] + .05, low - .02)],
                            [(z[0], low - .02)]])
    canvas.polygon(frame, BLACK)
    canvas.polygon(np.concatenate([np.stack([z, high], 1), [(z[-1], low)], [(z[0], low)]]), GLASS)
    for pillar in pillars:
        canvas.rectangle(pillar - 0.045, low - 0.01, pillar + 0.045, body.height - 0.12, BLACK)


def _side(body: Body, rng: np.random.Generator) -> NDArray[np.uint8]:
    half = body.length / 2
    canvas = Canvas((-half, half), body.height + 0.05)
    low = body.floor
    canvas.rectangle(-half, 0, half, low + 0.09, DARK)
    seam = (90, 0, 0, 10)
    if body.kind in ("car", "van", "pickup"):
        front_door = half - body.length * (0.30 if body.kind != "van" else 0.24)
        doors = [front_door, front_door - 1.08, front_door - 1.98]
        if body.kind == "van":
            doors = [front_door, front_door - 1.15, front_door - 2.3]
        rear = {"car": -half + 0.42, "van": doors[1] + 0.05, "pickup": -half + 1.95}[body.kind]
        if body.shape == "sedan":
            rear = -half + 0.95
        _windows(canvas, body, until=rear, pillars=[doors[1], *([doors[2]] if body.kind == "car"
                                                                else [])])
        for z in doors:
            canvas.line([(z, low + 0.14), (z, body.belt)], seam)
        canvas.line([(-half + 0.3, body.belt * 0.72), (half - 0.3, body.belt * 0.72)],
                    (200, 0, 0, 60), 4)
        for z in doors[1:]:
            canvas.rectangle(z + 0.08, body.belt - 0.16, z + 0.26, body.belt - 0.12,
                             (120, 0, 0, 60))
        canvas.polygon([(half, body.belt - .30), (half - .42, body.belt - .22),
                        (half - .30, body.belt - .38), (half, body.belt - .46)], LAMP)
        canvas.rectangle(-half, body.belt - .28, -half + .24, body.belt - .02, LAMP)
    elif body.kind == "cab":
        canvas.polygon([(half - .25, body.belt), (half - 1.25, body.belt - .1),
                        (half - 1.25, body.height * .84), (half - .35, body.height * .84)], GLASS)
        canvas.line([(half - 1.3, .8), (half - 1.3, body.height * .86)], seam)
        canvas.rectangle(half - 1.0, .45, half - .1, .62, BLACK)
        canvas.rectangle(half - .15, .75, half, 1.0, LAMP)
    elif body.kind == "bus":
        top = body.height - 0.38
        canvas.rectangle(-half + .3, body.belt - .05, half - .15, top + .05, BLACK)
        for z in np.arange(-half + .4, half - 1.2, 1.45):
            canvas.rectangle(z, body.belt, z + 1.38, top, GLASS)
        canvas.rectangle(half - 1.15, body.belt - .15, half - .1, top, GLASS)
        if body.name == "city_bus":
            for door in (half - 1.9, half - 6.4, half - 10.2):
                canvas.rectangle(door, .4, door + 1.2, top, BLACK)
                canvas.rectangle(door + .06, .5, door + .57, top - .05, GLASS)
                canvas.rectangle(door + .63, .5, door + 1.14, top - .05, GLASS)
        canvas.line([(-half, .9), (half, .9)], seam)
        canvas.rectangle(half - .2, .6, half, .85, LAMP)
        canvas.rectangle(-half, .7, -half + .12, 1.3, LAMP)
    for distance in body.wheels:
        z = half - distance
        canvas.disc(z, body.wheel_radius, body.wheel_radius * 1.17, BLACK)
        canvas.rectangle(z - body.wheel_radius * 1.1, 0, z + body.wheel_radius * 1.1,
                         body.wheel_radius, BLACK)
    return canvas.finished()


def _screen(canvas: Canvas, body: Body, *, low: float, high: float, inset: float = 0.07) -> None:
    bottom = float(body.half_width(0, low)) - inset
    top = float(body.half_width(0, high)) - inset
    canvas.polygon([(-bottom - .03, low - .04), (bottom + .03, low - .04), (top + .03, high + .03),
                    (-top - .03, high + .03)], BLACK)
    canvas.polygon([(-bottom, low), (bottom, low), (top, high), (-top, high)], GLASS)


def _front(body: Body, rng: np.random.Generator) -> NDArray[np.uint8]:
    w = body.width / 2
    canvas = Canvas((-w, w), body.height + 0.05)
    low, belt = body.floor, body.belt
    if body.kind in ("car", "van", "pickup"):
        cowl = belt + 0.05
        _screen(canvas, body, low=cowl, high=body.height - 0.09)
        nose = float(body.profile[0][1])
        canvas.polygon([(-w * .62, nose - .13), (w * .62, nose - .13), (w * .5, nose - .30),
                        (-w * .5, nose - .30)], BLACK)
        for y in np.linspace(nose - .27, nose - .16, 3):
            canvas.line([(-w * .56, y), (w * .56, y)], (0, 0, 0, 70), 3)
        canvas.disc(0, nose - .19, .06, CHROME)
        shape = rng.integers(3)
        for s in (-1, 1):
            inner, outer = w * (.60, .66, .55)[shape], w * .96
            canvas.polygon([(s * inner, nose - .07), (s * outer, nose - .02),
                            (s * outer, nose - .20), (s * (inner + .03), nose - .21)], BLACK)
            canvas.polygon([(s * (inner + .03), nose - .09), (s * (outer - .03), nose - .05),
                            (s * (outer - .02), nose - .18), (s * (inner + .06), nose - .19)], LAMP)
            canvas.polygon([(s * w * .62, low + .20), (s * w * .92, low + .24),
                            (s * w * .88, low + .08), (s * w * .60, low + .08)], BLACK)
        canvas.rectangle(-w * .55, low + .06, w * .55, low + .20, BLACK)
        canvas.rectangle(-w, 0, w, low + .06, DARK)
    elif body.kind == "cab":
        _screen(canvas, body, low=belt - .05, high=body.height * .81, inset=.08)
        canvas.rectangle(-w * .72, 1.0, w * .72, belt - .28, BLACK)
        for y in np.linspace(1.06, belt - .34, 5):
            canvas.line([(-w * .68, y), (w * .68, y)], (0, 0, 0, 60), 5)
        canvas.disc(0, belt - .2, .08, CHROME)
        canvas.rectangle(-w, .42, w, .98, (150, 0, 0, 30))
        canvas.rectangle(-w, .3, w, .5, DARK)
        for s in (-1, 1):
            canvas.polygon([(s * w * .58, .72), (s * w * .95, .72), (s * w * .95, .95),
                            (s * w * .62, .92)], LAMP)
        canvas.line([(-w * .9, body.height * .84), (w * .9, body.height * .84)], BLACK, 10)
    else:
        top = body.height - .5
        canvas.polygon([(-w * .95, belt - .15), (w * .95, belt - .15), (w * .92, top),
                        (-w * .92, top)], GLASS)
        canvas.rectangle(-.02, belt, .02, top, BLACK)
        canvas.rectangle(-w * .8, top + .04, w * .8, top + .36, BLACK)
        for x in np.arange(-w * .55, w * .5, .16):
            if rng.random() < .8:
                canvas.rectangle(x, top + .12, x + .1, top + .28, (0, 0, 0, 150))
        for s in (-1, 1):
            canvas.polygon([(s * w * .58, .62), (s * w * .95, .66), (s * w * .95, .90),
                            (s * w * .62, .84)], LAMP)
        canvas.rectangle(-w, .2, w, .48, DARK)
    return canvas.finished()


def _rear(body: Body, rng: np.random.Generator) -> NDArray[np.uint8]:
    w = body.width / 2
    canvas = Canvas((-w, w), body.height + 0.05)
    low, belt = body.floor, body.belt
    if body.kind in ("car", "pickup"):
        tail = belt + (.14 if body.shape == "sedan" else .06)
        _screen(canvas, body, low=tail, high=body.height - .12, inset=.11)
        upright = body.shape in ("suv", "minivan", "wagon", "hatchback")
        style = rng.integers(4)
        for s in (-1, 1):
            if style == 0 and upright:
                shape = [(.80, belt - .28), (.99, belt - .28), (.97, belt + .16), (.84, belt + .12)]
            elif style == 1:
                shape = [(.52, belt - .20), (.99, belt - .24), (.99, belt - .02), (.60, belt - .04)]
            elif style == 2:
                shape = [(.68, belt - .28), (.99, belt - .28), (.99, belt - .01), (.72, belt - .03)]
            else:
                shape = [(.62, belt - .16), (.99, belt - .30), (.99, belt), (.62, belt - .02)]
            canvas.polygon([(s * w * x, y) for x, y in shape], LAMP)
            canvas.rectangle(s * w * .78, low + .16, s * w * .92, low + .20, LAMP)
        if style == 3:
            canvas.rectangle(-w * .62, belt - .08, w * .62, belt - .05, LAMP)
        canvas.line([(-w * .8, belt - .36), (w * .8, belt - .36)], (70, 0, 0, 10), 4)
        canvas.rectangle(-.30, belt - .26, .30, belt - .10, (130, 0, 0, 30))
        canvas.disc(0, belt - .03, .045, CHROME)
        canvas.rectangle(-w, 0, w, low + .14, DARK)
        canvas.rectangle(-w * .9, low + .12, w * .9, low + .17, BLACK)
        for s in (-1, 1):
            canvas.disc(s * w * .6, low + .06, .04, CHROME)
        canvas.rectangle(-.14, body.height - .13, .14, body.height - .10, LAMP)
    elif body.kind == "van":
        for s in (-1, 1):
            if rng.random() < .6:
                canvas.polygon([(s * .05, belt + .1), (s * w * .8, belt + .1),
                                (s * w * .74, body.height - .25), (s * .05, body.height - .25)],
                               GLASS)
            canvas.rectangle(s * w * .87, belt - .35, s * w * .99, belt + .15, LAMP)
        canvas.line([(0, low + .2), (0, body.height - .1)], (60, 0, 0, 10), 4)
        canvas.rectangle(-w, 0, w, low + .22, DARK)
    elif body.kind == "bus":
        canvas.rectangle(-w * .8, body.belt + .25, w * .8, body.height - .5, GLASS)
        canvas.rectangle(-w * .6, .7, w * .6, 1.15, (140, 0, 0, 30))
        for y in np.linspace(.72, 1.12, 5):
            canvas.line([(-w * .58, y), (w * .58, y)], BLACK, 3)
        for s in (-1, 1):
            canvas.rectangle(s * w * .84, .75, s * w * .96, 1.45, LAMP)
        canvas.rectangle(-w, .2, w, .5, DARK)
    return canvas.finished()


def paint(body: Body, view: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the livery of a body from one of `bodies.VIEWS`: (HEIGHT, WIDTH, 4) uint8."""
    if view == "side":
        return _side(body, rng)
    if view == "front":
        return _front(body, rng)
    if view == "rear":
        return _rear(body, rng)
    return Canvas((-1, 1), 1.0).finished()


def cargo(view: str, style: int) -> NDArray[np.uint8]:
    """Return the livery of a load box: plain, banded, lettered or a curtain with straps."""
    rng = np.random.default_rng(style + 40)
    canvas = Canvas((0, 1), 1.0)
    ink = (0, 0, 0, int(rng.choice([6, 20, 60, 110, 170])))
    if view == "side":
        if style % 4 == 1:
            canvas.rectangle(0, .25, 1, .42, ink)
        if style % 4 == 2:
            for x in np.linspace(.02, .98, 24):
                canvas.line([(x, .03), (x, .97)], (170, 0, 0, 50), 3)
        if style % 4 in (1, 3):
            _lettered(canvas, rng, .52, ink)
        if style == 4:
            for x in np.linspace(.005, .995, 60):
                canvas.line([(x, .02), (x, .98)], (175, 0, 0, 20), 4)
        if style == 5:
            canvas.polygon([(0, 0), (.45, 0), (.25, 1), (0, 1)], ink)
            _lettered(canvas, rng, .45, (0, 0, 0, 150))
        canvas.rectangle(0, 0, 1, .035, DARK)
        for x in np.linspace(.06, .94, 8):
            canvas.rectangle(x - .006, .036, x + .006, .05, (0, 0, 0, 150))
    elif view == "rear":
        canvas.line([(.5, .05), (.5, .95)], (20, 0, 0, 6), 8)
        for x in (.17, .36, .64, .83):
            canvas.line([(x, .06), (x, .95)], (60, 0, 0, 120), 9)
            for y in (.07, .93):
                canvas.rectangle(x - .02, y - .015, x + .02, y + .015, (0, 0, 0, 90))
            canvas.rectangle(x - .015, .30, x + .08, .325, (0, 0, 0, 110))
        for y in (.2, .5, .8):
            for x in (.035, .965):
                canvas.rectangle(x - .03, y - .012, x + .03, y + .012, (0, 0, 0, 60))
        frame = (110, 0, 0, 45)
        canvas.rectangle(0, .965, 1, 1, frame)
        canvas.rectangle(0, 0, .03, 1, frame)
        canvas.rectangle(.97, 0, 1, 1, frame)
        canvas.rectangle(0, 0, 1, .055, (0, 0, 0, 30))
        if style % 3 == 0:
            _lettered(canvas, rng, .62, ink, size=3.6)
        # Reflecting outline and the red and white marker boards.
        for x in (.05, .87):
            canvas.rectangle(x, .09, x + .08, .13, LAMP)
    return canvas.finished()


def _lettered(canvas: Canvas, rng: np.random.Generator, y: float, ink: tuple[int, ...],
              size: float = 4.6) -> None:
    """Write a made-up name across a load box."""
    word = "".join(rng.choice(list("ABDEKLMNORSTU"), 6))
    flipped = np.ascontiguousarray(canvas.pixels[::-1])
    cv2.putText(flipped, word, (int(WIDTH * _FINE * .16), int(HEIGHT * _FINE * (1 - y))),
                cv2.FONT_HERSHEY_DUPLEX, size, ink, 20)
    canvas.pixels = np.ascontiguousarray(flipped[::-1])
