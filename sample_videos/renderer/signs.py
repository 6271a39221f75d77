"""Traffic signs, drawn as the real European ones look."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from .sign_marks import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    RED,
    WHITE,
    YELLOW,
    Colour,
    Picture,
    arrow,
    blank,
    car_mark,
    disc,
    letters,
    round_arrows,
    shape,
    strokes,
    truck_mark,
    walker,
    wheel_mark,
)

SIZE = 128


SPEEDS = (20, 30, 50, 60, 70, 80, 90, 100, 120, 130)


BOARD_COUNT = 12


def _ban(inner: Colour = WHITE) -> Picture:
    picture = blank()
    disc(picture, WHITE, 0.985)
    disc(picture, RED, 0.96)
    disc(picture, inner, 0.72)
    return picture


def _order() -> Picture:
    picture = blank()
    disc(picture, WHITE, 0.985)
    disc(picture, BLUE, 0.95)
    return picture


def _warning() -> Picture:
    picture = blank()
    shape(picture, [(0.5, 0.045), (0.99, 0.91), (0.01, 0.91)], WHITE)
    shape(picture, [(0.5, 0.07), (0.97, 0.90), (0.03, 0.90)], RED)
    shape(picture, [(0.5, 0.26), (0.815, 0.815), (0.185, 0.815)], WHITE)
    return picture


def _speed(value: int) -> Picture:
    picture = _ban()
    text = str(value)
    letters(picture, text, BLACK, height=0.36 if len(text) == 2 else 0.29, bold=0.055)
    return picture


def _ended(draw: Callable[[Picture], None] | None = None) -> Picture:
    picture = blank()
    disc(picture, WHITE, 0.985)
    cv2.circle(picture, (256, 256), 240, BLACK, 6, cv2.LINE_AA)
    if draw:
        draw(picture)
    for shift in (-0.07, -0.025, 0.02, 0.065):
        strokes(picture, [(0.76 + shift, 0.14), (0.24 + shift, 0.86)], BLACK, 0.018)
    return picture


def _drawn(name: str) -> Picture:
    """Draw one sign at the fine size."""
    if name.startswith("speed_"):
        return _speed(int(name[6:]))
    if name == "end_speed_80":
        return _ended(lambda p: letters(p, "80", GREY, height=0.36, bold=0.055))
    if name == "end_of_limits":
        return _ended()
    if name == "end_no_overtaking":
        return _ended(lambda p: (car_mark(p, 0.34, 0.5, GREY), car_mark(p, 0.66, 0.5, GREY)))
    if name == "stop":
        picture = blank()
        angle = np.pi / 8 + np.arange(8) * np.pi / 4
        for radius, colour in ((0.53, WHITE), (0.49, RED)):
            shape(
                picture,
                [(0.5 + radius * np.cos(a), 0.5 + radius * np.sin(a)) for a in angle],
                colour,
            )
        letters(picture, "STOP", WHITE, height=0.23, bold=0.055)
        return picture
    if name == "yield":
        picture = blank()
        shape(picture, [(0.5, 0.96), (0.99, 0.09), (0.01, 0.09)], WHITE)
        shape(picture, [(0.5, 0.93), (0.97, 0.105), (0.03, 0.105)], RED)
        shape(picture, [(0.5, 0.70), (0.79, 0.19), (0.21, 0.19)], WHITE)
        return picture
    if name == "priority_road":
        picture = blank()
        for radius, colour in ((0.49, WHITE), (0.475, BLACK), (0.465, WHITE), (0.34, YELLOW)):
            shape(
                picture,
                [
                    (0.5, 0.5 - radius),
                    (0.5 + radius, 0.5),
                    (0.5, 0.5 + radius),
                    (0.5 - radius, 0.5),
                ],
                colour,
            )
        return picture
    if name == "no_entry":
        picture = blank()
        disc(picture, WHITE, 0.985)
        disc(picture, RED, 0.96)
        shape(picture, [(0.17, 0.41), (0.83, 0.41), (0.83, 0.59), (0.17, 0.59)], WHITE)
        return picture
    if name in ("no_parking", "no_stopping"):
        picture = blank()
        disc(picture, RED, 0.97)
        disc(picture, BLUE, 0.76)
        strokes(picture, [(0.23, 0.23), (0.77, 0.77)], RED, 0.09)
        if name == "no_stopping":
            strokes(picture, [(0.77, 0.23), (0.23, 0.77)], RED, 0.09)
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
    picture = blank()
    shape(picture, [(0.02, 0.02), (0.98, 0.02), (0.98, 0.98), (0.02, 0.98)], WHITE)
    shape(picture, [(0.045, 0.045), (0.955, 0.045), (0.955, 0.955), (0.045, 0.955)], BLUE)
    if name == "parking":
        letters(picture, "P", WHITE, height=0.55, bold=0.09)
    elif name == "crosswalk":
        shape(picture, [(0.5, 0.14), (0.88, 0.84), (0.12, 0.84)], WHITE)
        walker(picture, 0.5, 0.57, BLACK, 0.82)
    elif name == "one_way":
        arrow(picture, [(0.5, 0.85)], (0.5, 0.3), WHITE, 0.15)
    return picture


_BANS: dict[str, Callable[[Picture], object]] = {
    "no_overtaking": lambda p: (car_mark(p, 0.34, 0.5, RED), car_mark(p, 0.66, 0.5, BLACK)),
    "no_overtaking_trucks": lambda p: (
        truck_mark(p, 0.37, 0.5, RED),
        car_mark(p, 0.68, 0.52, BLACK),
    ),
    "no_vehicles": lambda p: None,
    "no_trucks": lambda p: truck_mark(p, 0.5, 0.5, BLACK),
    "no_bicycles": lambda p: wheel_mark(p, 0.5, 0.5, BLACK),
}


_ORDERS: dict[str, Callable[[Picture], object]] = {
    "straight": lambda p: arrow(p, [(0.5, 0.82)], (0.5, 0.34)),
    "turn_right": lambda p: arrow(p, [(0.36, 0.78), (0.36, 0.5)], (0.62, 0.5)),
    "turn_left": lambda p: arrow(p, [(0.64, 0.78), (0.64, 0.5)], (0.38, 0.5)),
    "straight_or_right": lambda p: (
        arrow(p, [(0.40, 0.80)], (0.40, 0.33)),
        arrow(p, [(0.40, 0.60)], (0.66, 0.60), WHITE, 0.09),
    ),
    "straight_or_left": lambda p: (
        arrow(p, [(0.60, 0.80)], (0.60, 0.33)),
        arrow(p, [(0.60, 0.60)], (0.34, 0.60), WHITE, 0.09),
    ),
    "keep_right": lambda p: arrow(p, [(0.30, 0.30)], (0.60, 0.60)),
    "keep_left": lambda p: arrow(p, [(0.70, 0.30)], (0.40, 0.60)),
    "roundabout": round_arrows,
    "bicycle_path": lambda p: wheel_mark(p, 0.5, 0.5, WHITE),
    "footpath": lambda p: walker(p, 0.5, 0.5, WHITE, 1.15),
}


_WARNINGS: dict[str, Callable[[Picture], object]] = {
    "danger": lambda p: letters(p, "!", BLACK, height=0.34, y=0.60, bold=0.08),
    "right_of_way": lambda p: (
        strokes(p, [(0.5, 0.42), (0.5, 0.78)], BLACK, 0.075),
        strokes(p, [(0.36, 0.63), (0.64, 0.63)], BLACK, 0.04),
    ),
    "curve_left": lambda p: strokes(
        p, [(0.56, 0.78), (0.56, 0.62), (0.44, 0.54), (0.44, 0.44)], BLACK, 0.06
    ),
    "curve_right": lambda p: strokes(
        p, [(0.44, 0.78), (0.44, 0.62), (0.56, 0.54), (0.56, 0.44)], BLACK, 0.06
    ),
    "double_curve": lambda p: strokes(
        p, [(0.52, 0.78), (0.44, 0.68), (0.56, 0.57), (0.47, 0.44)], BLACK, 0.05
    ),
    "bumpy_road": lambda p: shape(
        p,
        [
            (0.27, 0.76),
            (0.33, 0.68),
            (0.40, 0.68),
            (0.5, 0.74),
            (0.60, 0.68),
            (0.67, 0.68),
            (0.73, 0.76),
        ],
        BLACK,
    ),
    "slippery_road": lambda p: (
        car_mark(p, 0.5, 0.55, BLACK),
        strokes(p, [(0.42, 0.70), (0.47, 0.74), (0.42, 0.79)], BLACK, 0.025),
        strokes(p, [(0.57, 0.70), (0.62, 0.74), (0.57, 0.79)], BLACK, 0.025),
    ),
    "narrows_right": lambda p: (
        strokes(p, [(0.43, 0.78), (0.43, 0.45)], BLACK, 0.035),
        strokes(p, [(0.62, 0.78), (0.62, 0.66), (0.55, 0.58), (0.55, 0.45)], BLACK, 0.035),
    ),
    "road_works": lambda p: (
        walker(p, 0.45, 0.60, BLACK, 0.62),
        shape(p, [(0.55, 0.78), (0.63, 0.66), (0.72, 0.78)], BLACK),
    ),
    "traffic_signals": lambda p: [
        cv2.circle(p, (256, y), 24, c, -1) for y, c in ((240, RED), (306, YELLOW), (372, GREEN))
    ],
    "pedestrians": lambda p: walker(p, 0.5, 0.61, BLACK, 0.70),
    "children": lambda p: (walker(p, 0.41, 0.63, BLACK, 0.58), walker(p, 0.59, 0.61, BLACK, 0.66)),
    "bicycles": lambda p: wheel_mark(p, 0.5, 0.64, BLACK),
    "snow": lambda p: [
        strokes(
            p,
            [
                (0.5 - 0.13 * np.cos(a), 0.63 - 0.13 * np.sin(a)),
                (0.5 + 0.13 * np.cos(a), 0.63 + 0.13 * np.sin(a)),
            ],
            BLACK,
            0.025,
        )
        for a in (0.5, 1.55, 2.6)
    ],
    "wild_animals": lambda p: (
        strokes(p, [(0.36, 0.60), (0.60, 0.58), (0.66, 0.46)], BLACK, 0.07),
        strokes(p, [(0.38, 0.62), (0.32, 0.77)], BLACK, 0.025),
        strokes(p, [(0.57, 0.60), (0.64, 0.76)], BLACK, 0.025),
    ),
}


SIGN_NAMES: tuple[str, ...] = (
    *(f"speed_{value}" for value in SPEEDS),
    "end_speed_80",
    "end_of_limits",
    "end_no_overtaking",
    "stop",
    "yield",
    "priority_road",
    "no_entry",
    "no_parking",
    "no_stopping",
    *_BANS,
    *_ORDERS,
    *_WARNINGS,
    "parking",
    "crosswalk",
    "one_way",
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
    colour = np.where(solid > 0.05, small[..., :3] / np.maximum(solid, 0.05), 128)
    small[..., :3] = np.clip(colour, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(small[::-1])


def _board(rng: np.random.Generator, index: int) -> Picture:
    """Draw a direction board: white letters on blue or green, or black on yellow or white."""
    back, front = ((BLUE, WHITE), (BLUE, WHITE), (GREEN, WHITE), (YELLOW, BLACK))[index % 4]
    picture = blank()
    picture[:] = front
    cv2.rectangle(picture, (9, 14), (502, 497), back, -1)
    syllables = (
        "ba",
        "ren",
        "stadt",
        "wil",
        "ko",
        "nova",
        "feld",
        "mar",
        "tin",
        "berg",
        "lo",
        "sa",
    )
    rows = int(rng.integers(2, 4))
    for row in range(rows):
        word = "".join(rng.choice(syllables, int(rng.integers(2, 4)))).capitalize()
        y = (row + 0.5) / rows * 0.82 + 0.09
        letters(picture, word[:9], front, height=0.105, y=y, x=0.46, bold=0.03)
        if index % 4 > 1:
            letters(
                picture, str(int(rng.integers(2, 99))), front, height=0.09, y=y, x=0.90, bold=0.03
            )
    if index % 4 < 2:
        arrow(picture, [(0.11, 0.80)], (0.11, 0.34), front, 0.05)
    return picture
