"""Small pictograms of traffic signs, as they look on European roads (Vienna Convention, 1968)."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from perception.render.font import line_metrics, text_mask
from perception.render.palette import BGR
from perception.render.shapes import convex, disc, rounded
from perception.render.sprites import Layer

F32 = npt.NDArray[np.float32]

_RED: BGR = (38, 30, 214)
_BLUE: BGR = (178, 84, 16)
_YELLOW: BGR = (30, 200, 250)
_WHITE: BGR = (250, 252, 252)
_BLACK: BGR = (22, 18, 16)
_GREY: BGR = (120, 112, 104)

_SPEED = re.compile(r"^(end_)?(?:of_)?(?:speed_?)?(?:limit_?)?(\d{1,3})(?:_?km_?h)?$")
_MANDATORY = ("turn_", "keep_", "ahead", "straight", "go_", "mandatory", "roundabout")
_PROHIBITING = ("no_", "prohibit")
_WARNINGS = frozenset(
    [
        "general_caution",
        "bumpy_road",
        "slippery_road",
        "road_work",
        "roadworks",
        "road_works",
        "priority_at_next_crossing",
        "traffic_signals",
        "pedestrians",
        "children",
        "children_crossing",
        "bicycles",
        "bicycles_crossing",
        "snow",
        "ice",
        "wild_animals",
        "animals",
        "double_curve",
        "narrows_right",
        "road_narrows",
        "crossroads",
        "dangerous_curve_left",
        "dangerous_curve_right",
        "curve_left",
        "curve_right",
    ]
)


def has_pictogram(kind: str) -> bool:
    """Whether there is a pictogram for this kind of sign."""
    return _family(kind) != "unknown"


def sign_layers(kind: str, side: int) -> list[Layer]:
    """The pictogram of a sign as layers to paint, or none when there is none for its kind.

    Args:
        kind: "speed_50", "end_80", "stop", "yield", "no_entry", "priority_road" and the like.
        side: width and height, pixels.
    """
    family, middle = _family(kind), side / 2

    def circle(share: float) -> F32:
        return disc(side, side, middle, middle, middle * share)

    if family == "speed":
        number = _number(kind)
        cap = max(5, round(side * (0.46 if len(number) < 3 else 0.34)))
        return [(circle(1), _RED), (circle(0.76), _WHITE), (_centred(number, cap, side), _BLACK)]
    if family == "end":
        layers: list[Layer] = [(circle(1), _GREY), (circle(0.84), _WHITE)]
        if number := _number(kind):
            cap = max(5, round(side * (0.46 if len(number) < 3 else 0.34)))
            layers.append((_centred(number, cap, side), _GREY))
        corners = [(0.76, 0.12), (0.88, 0.24), (0.24, 0.88), (0.12, 0.76)]
        return [*layers, (_polygon(side, corners) * circle(1), _GREY)]
    if family == "stop":
        outer = _polygon(side, [(0.5 + 0.54 * x, 0.5 + 0.54 * y) for x, y in _octagon()])
        inner = _polygon(side, [(0.5 + 0.47 * x, 0.5 + 0.47 * y) for x, y in _octagon()])
        word = _centred("STOP", max(4, round(side * 0.27)), side, tracking=-1)
        return [(outer, _BLACK), (inner, _RED), (word, _WHITE)]
    if family == "yield":
        return [(_triangle(side, 0.0, down=True), _RED), (_triangle(side, 0.17, down=True), _WHITE)]
    if family == "no_entry":
        bar = rounded(side, side, 1, inset=side * 0.18)
        bar[: round(side * 0.39)] = bar[side - round(side * 0.39) :] = 0
        return [(circle(1), _RED), (bar, _WHITE)]
    if family == "priority":
        return [(_diamond(side, s), c) for s, c in ((0.5, _BLACK), (0.41, _WHITE), (0.28, _YELLOW))]
    if family == "prohibiting":
        layers = [(circle(1), _RED), (circle(0.76), _WHITE)]
        if "overtak" in kind or "passing" in kind:
            cars = ((0.35, _RED), (0.65, _BLACK))
            layers += [(disc(side, side, side * x, middle, side * 0.13), c) for x, c in cars]
        return layers
    if family == "mandatory":
        return [(circle(1), _BLUE), (_arrow(kind, side), _WHITE)]
    if family == "warning":
        mark = _centred("!", max(4, round(side * 0.36)), side, down=side * 0.1)
        return [(_triangle(side, 0.0), _RED), (_triangle(side, 0.17), _WHITE), (mark, _BLACK)]
    return []


@lru_cache(maxsize=256)
def _family(kind: str) -> str:
    speed = _SPEED.match(kind)
    if speed:
        return "end" if speed.group(1) else "speed"
    if kind in ("stop", "yield", "no_entry"):
        return kind
    if kind == "give_way":
        return "yield"
    if kind in ("priority", "priority_road"):
        return "priority"
    if kind.startswith("end_"):
        return "end"
    if kind.startswith(_PROHIBITING):
        return "prohibiting"
    if kind.startswith(_MANDATORY):
        return "mandatory"
    if kind in _WARNINGS or kind.startswith(("danger", "warning")):
        return "warning"
    return "unknown"


def _number(kind: str) -> str:
    speed = _SPEED.match(kind)
    return speed.group(2) if speed else ""


def _polygon(side: int, corners: list[tuple[float, float]]) -> F32:
    return convex(side, side, [(side * x, side * y) for x, y in corners])


def _octagon() -> list[tuple[float, float]]:
    angles = np.radians(np.arange(8) * 45 + 22.5)
    return list(zip(np.cos(angles).tolist(), np.sin(angles).tolist(), strict=True))


def _diamond(side: int, half: float) -> F32:
    return _polygon(
        side, [(0.5, 0.5 - half), (0.5 + half, 0.5), (0.5, 0.5 + half), (0.5 - half, 0.5)]
    )


def _triangle(side: int, inset: float, *, down: bool = False) -> F32:
    left, right = 1.3 * inset, 1 - 1.3 * inset
    base, tip = 0.94 - 0.62 * inset, 0.06 + 1.5 * inset
    if down:
        return _polygon(side, [(left, 1 - base), (right, 1 - base), (0.5, 1 - tip)])
    return _polygon(side, [(0.5, tip), (right, base), (left, base)])


def _arrow(kind: str, side: int) -> F32:
    """An arrow: up, left or right, or slanting down for keep left and keep right."""
    angle = 0.0
    if "right" in kind:
        angle = 135.0 if kind.startswith("keep") else 90.0
    elif "left" in kind:
        angle = 225.0 if kind.startswith("keep") else 270.0
    c, s = float(np.cos(np.radians(angle))), float(np.sin(np.radians(angle)))

    def turned(corners: list[tuple[float, float]]) -> F32:
        return _polygon(side, [(0.5 + x * c - y * s, 0.5 + x * s + y * c) for x, y in corners])

    head = turned([(0, -0.34), (0.24, -0.04), (-0.24, -0.04)])
    shaft = turned([(-0.075, -0.1), (0.075, -0.1), (0.075, 0.32), (-0.075, 0.32)])
    return np.maximum(head, shaft)


def _centred(text: str, cap: int, side: int, *, down: float = 0.0, tracking: int = 0) -> F32:
    """Text with the middle of its capitals in the middle of a square; what is too wide is cut."""
    letters = [text_mask(c, cap, weight=1.15) for c in text] if tracking else []
    mask = text_mask(text, cap, weight=1.15)
    if letters:
        mask = np.concatenate([m[:, : m.shape[1] + tracking] for m in letters], axis=1)
    ascent, _ = line_metrics(cap)
    top = max(0, (side - cap + 1) // 2 - (ascent - cap) + round(down))
    mask = mask[: side - top]
    extra = max(0, mask.shape[1] - side)
    mask = mask[:, extra // 2 : mask.shape[1] - (extra - extra // 2)]
    left = (side - mask.shape[1]) // 2
    out = np.zeros((side, side), np.float32)
    out[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    return out
