"""Traffic signs and number plates, drawn as the real European ones look."""

from __future__ import annotations

import string
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int, int]

SIZE = 128
_FINE = 512
RED: Colour = (190, 22, 28, 255)
BLUE: Colour = (20, 80, 165, 255)
WHITE: Colour = (240, 240, 238, 255)
BLACK: Colour = (14, 14, 16, 255)
YELLOW: Colour = (248, 190, 30, 255)
GREEN: Colour = (10, 105, 65, 255)
GREY: Colour = (120, 120, 122, 255)

SPEEDS = (20, 30, 50, 60, 70, 80, 90, 100, 120, 130)
PLATE_COUNT = 64
BOARD_COUNT = 12


def _blank() -> Picture:
    return np.zeros((_FINE, _FINE, 4), np.uint8)


def _disc(picture: Picture, colour: Colour, radius: float) -> None:
    cv2.circle(picture, (256, 256), int(radius * 256), colour, -1, cv2.LINE_AA)


def _shape(picture: Picture, points: list[tuple[float, float]], colour: Colour) -> None:
    cv2.fillPoly(picture, [np.array(np.array(points) * _FINE, np.int32)], colour, cv2.LINE_AA)


def _strokes(picture: Picture, points: list[tuple[float, float]], colour: Colour,
             width: float) -> None:
    cv2.polylines(picture, [np.array(np.array(points) * _FINE, np.int32)], False, colour,
                  int(width * _FINE), cv2.LINE_AA)


def _text(picture: Picture, text: str, colour: Colour, *, height: float, y: float = .5,
          x: float = .5, bold: float = .05, squeeze: float = 1.0) -> None:
    scale = height * _FINE / 21
    thickness = max(1, int(bold * _FINE * height / .4))
    (width, tall), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    at = (int(x * _FINE - width / 2), int(y * _FINE + tall / 2))
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA)


def _arrow(picture: Picture, tail: list[tuple[float, float]], tip: tuple[float, float],
           colour: Colour = WHITE, width: float = .11) -> None:
    _strokes(picture, [*tail, tip], colour, width)
    a, b = np.array(tail[-1]), np.array(tip)
    along = (b - a) / np.linalg.norm(b - a)
    across = np.array([-along[1], along[0]])
    head = [tuple(b + along * width * 1.2), tuple(b + across * width * 1.27),
            tuple(b - across * width * 1.27)]
    _shape(picture, head, colour)


def _ban(inner: Colour = WHITE) -> Picture:
    picture = _blank()
    _disc(picture, WHITE, .985)
    _disc(picture, RED, .96)
    _disc(picture, inner, .72)
    return picture


def _order() -> Picture:
    picture = _blank()
    _disc(picture, WHITE, .985)
    _disc(picture, BLUE, .95)
    return picture


def _warning() -> Picture:
    picture = _blank()
    _shape(picture, [(.5, .045), (.99, .91), (.01, .91)], WHITE)
    _shape(picture, [(.5, .07), (.97, .90), (.03, .90)], RED)
    _shape(picture, [(.5, .26), (.815, .815), (.185, .815)], WHITE)
    return picture


def _car_mark(picture: Picture, x: float, y: float, colour: Colour) -> None:
    _shape(picture, [(x - .15, y + .09), (x - .15, y), (x - .10, y - .02), (x - .07, y - .11),
                     (x + .07, y - .11), (x + .10, y - .02), (x + .15, y), (x + .15, y + .09)],
           colour)
    for s in (-1, 1):
        _shape(picture, [(x + s * .14, y + .08), (x + s * .08, y + .08), (x + s * .08, y + .14),
                         (x + s * .14, y + .14)], colour)


def _truck_mark(picture: Picture, x: float, y: float, colour: Colour) -> None:
    _shape(picture, [(x - .2, y + .08), (x - .2, y - .14), (x + .06, y - .14), (x + .06, y + .08)],
           colour)
    _shape(picture, [(x + .08, y + .08), (x + .08, y - .08), (x + .16, y - .08), (x + .21, y),
                     (x + .21, y + .08)], colour)
    for dx in (-.12, .13):
        cv2.circle(picture, (int((x + dx) * 512), int((y + .1) * 512)), 22, colour, -1)


def _walker(picture: Picture, x: float, y: float, colour: Colour, size: float = 1.0) -> None:
    p = lambda dx, dy: (x + dx * size, y + dy * size)  # noqa: E731
    cv2.circle(picture, tuple(int(v * 512) for v in p(.0, -.22)), int(23 * size), colour, -1)
    _strokes(picture, [p(0, -.14), p(-.01, .05)], colour, .085 * size)
    _strokes(picture, [p(-.01, .05), p(.06, .15), p(.11, .26)], colour, .055 * size)
    _strokes(picture, [p(-.01, .05), p(-.05, .16), p(-.12, .25)], colour, .055 * size)
    _strokes(picture, [p(0, -.13), p(.12, .0)], colour, .04 * size)
    _strokes(picture, [p(0, -.13), p(-.10, .02)], colour, .04 * size)


def _wheel_mark(picture: Picture, x: float, y: float, colour: Colour) -> None:
    for dx in (-.14, .14):
        cv2.circle(picture, (int((x + dx) * 512), int((y + .08) * 512)), 44, colour, 11)
    _strokes(picture, [(x - .14, y + .08), (x - .06, y - .08), (x + .08, y - .08), (x + .14, y + .08)],
             colour, .022)
    _strokes(picture, [(x - .06, y - .08), (x, y + .08), (x + .08, y - .08)], colour, .022)
    _strokes(picture, [(x + .08, y - .08), (x + .06, y - .15), (x + .12, y - .15)], colour, .022)


def _speed(value: int) -> Picture:
    picture = _ban()
    text = str(value)
    _text(picture, text, BLACK, height=.36 if len(text) == 2 else .29, bold=.055)
    return picture


def _ended(draw: Callable[[Picture], None] | None = None) -> Picture:
    picture = _blank()
    _disc(picture, WHITE, .985)
    cv2.circle(picture, (256, 256), 240, BLACK, 6, cv2.LINE_AA)
    if draw:
        draw(picture)
    for shift in (-.07, -.025, .02, .065):
        _strokes(picture, [(.76 + shift, .14), (.24 + shift, .86)], BLACK, .018)
    return picture


def _drawn(name: str) -> Picture:
    """Draw one sign at the fine size."""
    if name.startswith("speed_"):
        return _speed(int(name[6:]))
    if name == "end_speed_80":
        return _ended(lambda p: _text(p, "80", GREY, height=.36, bold=.055))
    if name == "end_of_limits":
        return _ended()
    if name == "end_no_overtaking":
        return _ended(lambda p: (_car_mark(p, .34, .5, GREY), _car_mark(p, .66, .5, GREY)))
    if name == "stop":
        picture = _blank()
        angle = np.pi / 8 + np.arange(8) * np.pi / 4
        for radius, colour in ((.53, WHITE), (.49, RED)):
            _shape(picture, [(.5 + radius * np.cos(a), .5 + radius * np.sin(a)) for a in angle],
                   colour)
        _text(picture, "STOP", WHITE, height=.23, bold=.055)
        return picture
    if name == "yield":
        picture = _blank()
        _shape(picture, [(.5, .96), (.99, .09), (.01, .09)], WHITE)
        _shape(picture, [(.5, .93), (.97, .105), (.03, .105)], RED)
        _shape(picture, [(.5, .70), (.79, .19), (.21, .19)], WHITE)
        return picture
    if name == "priority_road":
        picture = _blank()
        for radius, colour in ((.49, WHITE), (.475, BLACK), (.465, WHITE), (.34, YELLOW)):
            _shape(picture, [(.5, .5 - radius), (.5 + radius, .5), (.5, .5 + radius),
                             (.5 - radius, .5)], colour)
        return picture
    if name == "no_entry":
        picture = _blank()
        _disc(picture, WHITE, .985)
        _disc(picture, RED, .96)
        _shape(picture, [(.17, .41), (.83, .41), (.83, .59), (.17, .59)], WHITE)
        return picture
    if name in ("no_parking", "no_stopping"):
        picture = _blank()
        _disc(picture, RED, .97)
        _disc(picture, BLUE, .76)
        _strokes(picture, [(.23, .23), (.77, .77)], RED, .09)
        if name == "no_stopping":
            _strokes(picture, [(.77, .23), (.23, .77)], RED, .09)
        return picture
    if name in _BANS:
        picture = _ban()
        _BANS[name](picture)
        return picture
    if name in _ORDERS:
        picture = _order()
        _ORDERS[name](picture)
        return picture
    if name in _WARNINGS:
        picture = _warning()
        _WARNINGS[name](picture)
        return picture
    picture = _blank()
    _shape(picture, [(.02, .02), (.98, .02), (.98, .98), (.02, .98)], WHITE)
    _shape(picture, [(.045, .045), (.955, .045), (.955, .955), (.045, .955)], BLUE)
    if name == "parking":
        _text(picture, "P", WHITE, height=.55, bold=.09)
    elif name == "crosswalk":
        _shape(picture, [(.5, .14), (.88, .84), (.12, .84)], WHITE)
        _walker(picture, .5, .57, BLACK, .82)
    elif name == "one_way":
        _arrow(picture, [(.5, .85)], (.5, .3), WHITE, .15)
    return picture


def _round_arrows(picture: Picture) -> None:
    for start in (0, 120, 240):
        cv2.ellipse(picture, (256, 256), (130, 130), start, 10, 88, WHITE, 40, cv2.LINE_AA)
        angle = np.radians(start + 100)
        centre = np.array([.5 + .254 * np.cos(angle), .5 + .254 * np.sin(angle)])
        along = np.array([-np.sin(angle), np.cos(angle)])
        out = np.array([np.cos(angle), np.sin(angle)])
        _shape(picture, [tuple(centre + along * .10), tuple(centre + out * .10),
                         tuple(centre - out * .10)], WHITE)


_BANS: dict[str, Callable[[Picture], object]] = {
    "no_overtaking": lambda p: (_car_mark(p, .34, .5, RED), _car_mark(p, .66, .5, BLACK)),
    "no_overtaking_trucks": lambda p: (_truck_mark(p, .37, .5, RED), _car_mark(p, .68, .52, BLACK)),
    "no_vehicles": lambda p: None,
    "no_trucks": lambda p: _truck_mark(p, .5, .5, BLACK),
    "no_bicycles": lambda p: _wheel_mark(p, .5, .5, BLACK),
}
_ORDERS: dict[str, Callable[[Picture], object]] = {
    "straight": lambda p: _arrow(p, [(.5, .82)], (.5, .34)),
    "turn_right": lambda p: _arrow(p, [(.36, .78), (.36, .5)], (.62, .5)),
    "turn_left": lambda p: _arrow(p, [(.64, .78), (.64, .5)], (.38, .5)),
    "straight_or_right": lambda p: (_arrow(p, [(.40, .80)], (.40, .33)),
                                    _arrow(p, [(.40, .60)], (.66, .60), WHITE, .09)),
    "straight_or_left": lambda p: (_arrow(p, [(.60, .80)], (.60, .33)),
                                   _arrow(p, [(.60, .60)], (.34, .60), WHITE, .09)),
    "keep_right": lambda p: _arrow(p, [(.30, .30)], (.60, .60)),
    "keep_left": lambda p: _arrow(p, [(.70, .30)], (.40, .60)),
    "roundabout": _round_arrows,
    "bicycle_path": lambda p: _wheel_mark(p, .5, .5, WHITE),
    "footpath": lambda p: _walker(p, .5, .5, WHITE, 1.15),
}
_WARNINGS: dict[str, Callable[[Picture], object]] = {
    "danger": lambda p: _text(p, "!", BLACK, height=.34, y=.60, bold=.08),
    "right_of_way": lambda p: (_strokes(p, [(.5, .42), (.5, .78)], BLACK, .075),
                               _strokes(p, [(.36, .63), (.64, .63)], BLACK, .04)),
    "curve_left": lambda p: _strokes(p, [(.56, .78), (.56, .62), (.44, .54), (.44, .44)], BLACK, .06),
    "curve_right": lambda p: _strokes(p, [(.44, .78), (.44, .62), (.56, .54), (.56, .44)], BLACK, .06),
    "double_curve": lambda p: _strokes(p, [(.52, .78), (.44, .68), (.56, .57), (.47, .44)], BLACK, .05),
    "bumpy_road": lambda p: _shape(p, [(.27, .76), (.33, .68), (.40, .68), (.5, .74), (.60, .68),
                                       (.67, .68), (.73, .76)], BLACK),
    "slippery_road": lambda p: (_car_mark(p, .5, .55, BLACK),
                                _strokes(p, [(.42, .70), (.47, .74), (.42, .79)], BLACK, .025),
                                _strokes(p, [(.57, .70), (.62, .74), (.57, .79)], BLACK, .025)),
    "narrows_right": lambda p: (_strokes(p, [(.43, .78), (.43, .45)], BLACK, .035),
                                _strokes(p, [(.62, .78), (.62, .66), (.55, .58), (.55, .45)], BLACK,
                                         .035)),
    "road_works": lambda p: (_walker(p, .45, .60, BLACK, .62),
                             _shape(p, [(.55, .78), (.63, .66), (.72, .78)], BLACK)),
    "traffic_signals": lambda p: [cv2.circle(p, (256, y), 24, c, -1) for y, c in
                                  ((240, RED), (306, YELLOW), (372, GREEN))],
    "pedestrians": lambda p: _walker(p, .5, .61, BLACK, .70),
    "children": lambda p: (_walker(p, .41, .63, BLACK, .58), _walker(p, .59, .61, BLACK, .66)),
    "bicycles": lambda p: _wheel_mark(p, .5, .64, BLACK),
    "snow": lambda p: [_strokes(p, [(.5 - .13 * np.cos(a), .63 - .13 * np.sin(a)),
                                    (.5 + .13 * np.cos(a), .63 + .13 * np.sin(a))], BLACK, .025)
                       for a in (0.5, 1.55, 2.6)],
    "wild_animals": lambda p: (_strokes(p, [(.36, .60), (.60, .58), (.66, .46)], BLACK, .07),
                               _strokes(p, [(.38, .62), (.32, .77)], BLACK, .025),
                               _strokes(p, [(.57, .60), (.64, .76)], BLACK, .025)),
}
SIGN_NAMES: tuple[str, ...] = (
    *(f"speed_{value}" for value in SPEEDS), "end_speed_80", "end_of_limits", "end_no_overtaking",
    "stop", "yield", "priority_road", "no_entry", "no_parking", "no_stopping", *_BANS, *_ORDERS,
    *_WARNINGS, "parking", "crosswalk", "one_way",
)
"""Every sign that can be drawn; its place is its layer in the texture."""


def sign_pictures() -> Picture:
    """Return (signs, SIZE, SIZE, 4) pictures, row 0 at the bottom, then the direction boards."""
    pictures = [_drawn(name) for name in SIGN_NAMES]
    rng = np.random.default_rng(7)
    pictures += [_board(rng, index) for index in range(BOARD_COUNT)]
    return np.stack([_small(p) for p in pictures])


def _small(picture: Picture, size: tuple[int, int] = (SIZE, SIZE)) -> Picture:
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    solid = small[..., 3:].astype(np.float32) / 255
    # Area sampling darkens colours towards the transparent outside: undo that.
    colour = np.where(solid > .05, small[..., :3] / np.maximum(solid, .05), 128)
    small[..., :3] = np.clip(colour, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(small[::-1])


def _board(rng: np.random.Generator, index: int) -> Picture:
    """Draw a direction board: white letters on blue or green, or black on yellow or white."""
    back, front = ((BLUE, WHITE), (BLUE, WHITE), (GREEN, WHITE), (YELLOW, BLACK))[index % 4]
    picture = _blank()
    picture[:] = front
    cv2.rectangle(picture, (9, 14), (502, 497), back, -1)
    syllables = ("ba", "ren", "stadt", "wil", "ko", "nova", "feld", "mar", "tin", "berg", "lo", "sa")
    rows = int(rng.integers(2, 4))
    for row in range(rows):
        word = "".join(rng.choice(syllables, int(rng.integers(2, 4)))).capitalize()
        y = (row + .5) / rows * .82 + .09
        _text(picture, word[:9], front, height=.105, y=y, x=.46, bold=.03)
        if index % 4 > 1:
            _text(picture, str(int(rng.integers(2, 99))), front, height=.09, y=y, x=.90, bold=.03)
    if index % 4 < 2:
        _arrow(picture, [(.11, .80)], (.11, .34), front, .05)
    return picture


def plate_pictures() -> Picture:
    """Return (PLATE_COUNT, 32, 128, 4) pictures of number plates, row 0 at the bottom."""
    rng = np.random.default_rng(11)
    plates = []
    for index in range(PLATE_COUNT):
        picture = np.zeros((128, 512, 4), np.uint8)
        back = ((236, 236, 232, 255), (238, 238, 236, 255), (240, 200, 40, 255))[
            2 if index % 7 == 3 else index % 2]
        picture[:] = BLACK
        cv2.rectangle(picture, (5, 5), (506, 122), back, -1)
        left = 20
        if index % 3:
            cv2.rectangle(picture, (5, 5), (52, 122), BLUE, -1)
            cv2.circle(picture, (28, 42), 14, YELLOW, 4)
            cv2.putText(picture, str(rng.choice(list("DFIEPBANS"))), (15, 108),
                        cv2.FONT_HERSHEY_SIMPLEX, 1.1, WHITE, 4, cv2.LINE_AA)
            left = 66
        letters = string.ascii_uppercase.replace("I", "").replace("O", "").replace("Q", "")
        text = ("".join(rng.choice(list(letters), 2)) + " " + "".join(
            rng.choice(list("0123456789"), 3)) + " " + "".join(rng.choice(list(letters), 2)))
        width = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 2.6, 11)[0][0]
        strip = np.zeros((128, width + 20, 4), np.uint8)
        strip[:] = back
        cv2.putText(strip, text, (10, 94), cv2.FONT_HERSHEY_SIMPLEX, 2.6, BLACK, 11, cv2.LINE_AA)
        picture[12:116, left:500] = cv2.resize(strip, (500 - left, 128),
                                               interpolation=cv2.INTER_AREA)[12:116]
        plates.append(np.ascontiguousarray(
            cv2.resize(picture, (128, 32), interpolation=cv2.INTER_AREA)[::-1]))
    return np.stack(plates)
