"""Labels as sprites: a rounded chip in the class colour with dark text, and small signs and lamps."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from perception.render.canvas import ColourSpace, Layer, Sprite
from perception.render.font import line_metrics, text_mask
from perception.render.palette import BGR, INK, LIGHT_COLOURS, PAPER
from perception.render.shapes import convex, disc, rounded
from perception.render.style import Style

F32 = npt.NDArray[np.float32]

_RED: BGR = (38, 30, 214)
_BLUE: BGR = (178, 84, 16)
_YELLOW: BGR = (30, 200, 250)
_WHITE: BGR = (250, 252, 252)
_BLACK: BGR = (22, 18, 16)

_SPEED = re.compile(r"^(?:speed(?:_?limit)?_?)?(\d{1,3})(?:_?km_?h)?$")
_END_SPEED = re.compile(r"^end_?(?:of_?)?(?:speed(?:_?limit)?_?)?(\d{1,3})$")


def sign_layers(kind: str, side: int) -> list[Layer] | None:
    """A pictogram of a traffic sign, or None when there is none for this kind.

    Args:
        kind: "speed_50", "end_80", "stop", "yield", "no_entry", "priority_road" and the like.
        side: width and height, pixels.
    """
    kind = kind.lower()
    half = side / 2

    def circle(radius: float) -> F32:
        return disc(side, side, half, half, radius)

    def centred(text: str, cap: int) -> F32:
        return _centred(text_mask(text, cap, weight=1.15), cap, side)

    speed, end_speed = _SPEED.match(kind), _END_SPEED.match(kind)
    if speed or end_speed:
        number = (speed or end_speed).group(1)  # type: ignore[union-attr]
        cap = max(5, round(side * (0.46 if len(number) < 3 else 0.34)))
        if speed:
            return [
                (circle(half), _RED),
                (circle(half * 0.76), _WHITE),
                (centred(number, cap), _BLACK),
            ]
        slash = convex(
            side,
            side,
            [
                (side * 0.74, side * 0.1),
                (side * 0.9, side * 0.26),
                (side * 0.26, side * 0.9),
                (side * 0.1, side * 0.74),
            ],
        )
        return [
            (circle(half), DIM_GREY),
            (circle(half * 0.84), _WHITE),
            (centred(number, cap), DIM_GREY),
            (slash * circle(half), DIM_GREY),
        ]
    if kind == "stop":
        cut = side * 0.293
        octagon = [
            (cut, 0.0),
            (side - cut, 0.0),
            (float(side), cut),
            (float(side), side - cut),
            (side - cut, float(side)),
            (cut, float(side)),
            (0.0, side - cut),
            (0.0, cut),
        ]
        bar = rounded(side, side, 1, inset=side * 0.2)
        bar[: round(side * 0.38)] = bar[side - round(side * 0.38) :] = 0
        return [(convex(side, side, octagon), _RED), (bar, _WHITE)]
    if kind in ("yield", "give_way"):
        return [(_triangle(side, 0.0, down=True), _RED), (_triangle(side, 0.17, down=True), _WHITE)]
    if kind in ("no_entry", "no_vehicles"):
        inner = rounded(side, side, 1, inset=side * 0.18)
        inner[: round(side * 0.38)] = inner[side - round(side * 0.38) :] = 0
        return [
            (circle(half), _RED),
            (inner if kind == "no_entry" else circle(half * 0.76), _WHITE),
        ]
    if kind in ("priority_road", "priority"):
        inner = side * 0.2
        diamond = [(half, 0.0), (float(side), half), (half, float(side)), (0.0, half)]
        small = [(half, inner), (side - inner, half), (half, side - inner), (inner, half)]
        return [(convex(side, side, diamond), _WHITE), (convex(side, side, small), _YELLOW)]
    if kind.startswith(("no_", "prohib")):
        return [(circle(half), _RED), (circle(half * 0.76), _WHITE)]
    if kind.startswith(("turn_", "keep_", "ahead", "straight", "go_", "mandatory", "roundabout")):
        return [(circle(half), _BLUE), *_arrow(kind, side)]
    if kind.startswith("end_"):
        slash = convex(
            side,
            side,
            [
                (side * 0.74, side * 0.1),
                (side * 0.9, side * 0.26),
                (side * 0.26, side * 0.9),
                (side * 0.1, side * 0.74),
            ],
        )
        return [
            (circle(half), DIM_GREY),
            (circle(half * 0.84), _WHITE),
            (slash * circle(half), DIM_GREY),
        ]
    if kind in WARNINGS or kind.startswith(("danger", "warning")):
        return [
            (_triangle(side, 0.0), _RED),
            (_triangle(side, 0.17), _WHITE),
            (centred("!", max(4, round(side * 0.36))), _BLACK),
        ]
    return None


DIM_GREY: BGR = (120, 112, 104)
WARNINGS = frozenset(
    ["general_caution", "bumpy_road", "slippery_road", "road_work", "roadworks", "traffic_signals", "pedestrians", "children", "children_crossing", "bicycles", "bicycles_crossing", "snow", "ice", "wild_animals", "animals", "double_curve", "narrows_right", "road_narrows", "crossroads", "dangerous_curve_left", "dangerous_curve_right", "curve_left", "curve_right"]
)


def _centred(mask: F32, cap: int, side: int) -> F32:
    """Text in the middle of a square, its capitals' middle on the square's; what is too wide is cut."""
    out = np.zeros((side, side), np.float32)
    ascent, _ = line_metrics(cap)
    top = (side - cap + 1) // 2 - (ascent - cap)
    mask = mask[max(0, -top) : side - top]
    extra = max(0, mask.shape[1] - side)
    mask = mask[:, extra // 2 : mask.shape[1] - (extra - extra // 2)]
    left = (side - mask.shape[1]) // 2
    out[max(0, top) : max(0, top) + mask.shape[0], left : left + mask.shape[1]] = mask
    return out


def _triangle(side: int, inset: float, *, down: bool = False) -> F32:
    inset *= side
    top, bottom = (
        side * 0.06 + inset * (0.62 if down else 1.5),
        side * 0.94 - inset * (1.5 if down else 0.62),
    )
    left, right = inset * 1.3, side - inset * 1.3
    if down:
        return convex(side, side, [(left, top), (right, top), (side / 2, bottom)])
    return convex(side, side, [(side / 2, top), (right, bottom), (left, bottom)])


def _arrow(kind: str, side: int) -> list[Layer]:
    """A white arrow: up, left or right, or slanting down for keep left and keep right."""
    angle = 0.0
    if "right" in kind:
        angle = 135.0 if kind.startswith("keep") else 90.0
    elif "left" in kind:
        angle = 225.0 if kind.startswith("keep") else 270.0
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))

    def at(x: float, y: float) -> tuple[float, float]:
        return side * (0.5 + x * c - y * s), side * (0.5 + x * s + y * c)

    head = convex(side, side, [at(0, -0.34), at(0.24, -0.04), at(-0.24, -0.04)])
    shaft = convex(
        side, side, [at(-0.075, -0.1), at(0.075, -0.1), at(0.075, 0.32), at(-0.075, 0.32)]
    )
    return [(np.maximum(head, shaft), _WHITE)]


def chip(
    space: ColourSpace,
    style: Style,
    text: str,
    bgr: BGR,
    *,
    sign: str | None = None,
    light: str | None = None,
    quiet: bool = False,
) -> Sprite:
    """A label.

    Args:
        space: of the canvases it is for.
        style: sizes.
        text: may be empty when there is a pictogram.
        bgr: the class's colour.
        sign: kind of a traffic sign; a pictogram stands before the text when there is one.
        light: state of a traffic light; a lamp stands before the text.
        quiet: dark with coloured text, for objects that are only predicted.
    """
    height = style.chip_height
    picture: list[Layer] = []
    side = height - 2
    if sign is not None:
        picture = sign_layers(sign, side) or []
    elif light is not None:
        side = round(height * 0.78)
        lamp = disc(side, side, side / 2, side / 2, side * 0.36)
        picture = [
            (rounded(side, side, side * 0.3), INK),
            (lamp, LIGHT_COLOURS.get(light, LIGHT_COLOURS["off"])),
        ]
    words = text_mask(text, style.cap, weight=1.08 if not quiet else 1.0)
    before = (style.pad_x // 2 + side) if picture else 0
    width = before + (style.pad_x // 2 if picture and not text else 0)
    if text:
        width += 2 * style.pad_x + words.shape[1] - (style.pad_x // 2 if picture else 0)
    body = rounded(width, height, height * 0.28)
    layers: list[Layer] = [(body * np.float32(0.8 if quiet else 0.94), INK if quiet else bgr)]
    for mask, colour in picture:
        layers.append((_inset(mask, width, height, style.pad_x // 2, (height - side) // 2), colour))
    if text:
        ascent, _ = line_metrics(style.cap)
        left = before + (style.pad_x // 2 if picture else style.pad_x)
        layers.append(
            (
                _inset(words, width, height, left, style.pad_y - (ascent - style.cap)),
                bgr if quiet else INK,
            )
        )
    return Sprite.compose(space, layers)


def panel_text(
    space: ColourSpace, text: str, cap: int, bgr: BGR = PAPER, weight: float = 1.0
) -> Sprite:
    """Bare text as a sprite."""
    return Sprite.compose(space, [(text_mask(text, cap, weight=weight), bgr)])


def _inset(mask: F32, width: int, height: int, x: int, y: int) -> F32:
    """The mask inside a larger empty picture; rows and columns that stick out are cut."""
    out = np.zeros((height, width), np.float32)
    source = mask[max(0, -y) : height - y, max(0, -x) : width - x]
    out[max(0, y) : max(0, y) + source.shape[0], max(0, x) : max(0, x) + source.shape[1]] = source
    return out
