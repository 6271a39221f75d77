"""A small stroke typeface of our own, drawn from lines and arcs at any size.

OpenCV before version 5 has only Hershey fonts and a runtime wheel should not carry a font file. The
letters here are built as road-sign lettering is: strokes of one width with round ends, made of straight
lines and circular arcs. A pixel's coverage comes from its exact distance to the nearest stroke, so text is
evenly anti-aliased at every size without supersampling.

Grid: y up, baseline 0, x-height 5, capitals and digits 7, descenders to -2; strokes are 1 wide, so
centre lines run from 0.5 to 6.5.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]

_BOWL = "A1.5 3 1.5 0 180;L0 3 0 2;A1.5 2 1.5 180 360;L3 2 3 3"
_O = "A1.9 4.6 1.9 0 180;L0 4.6 0 2.4;A1.9 2.4 1.9 180 360;L3.8 2.4 3.8 4.6"
_P = "L0 .5 0 6.5 1.9 6.5;A1.9 4.85 1.65 -90 90;L1.9 3.2 0 3.2"
_S = "A2 5 1.5 35 90;L2 6.5 1.5 6.5;A1.5 5 1.5 90 270;L1.5 3.5 2 3.5;A2 2 1.5 -90 90;L2 .5 1.5 .5;A1.5 2 1.5 215 270"
_ZERO = "A1.7 4.8 1.7 0 180;L0 4.8 0 2.2;A1.7 2.2 1.7 180 360;L3.4 2.2 3.4 4.8"

# L x y x y ...: a line through points. A x y r a b: an arc from angle a to b, degrees anticlockwise.
_STROKES: dict[str, str] = {
    "a": "A1.4 3.1 1.4 0 155;L2.8 3.1 2.8 .5;L2.8 2.75 1.15 2.75;A1.15 1.625 1.125 90 270;L1.15 .5 1.5 .5;A1.5 1.8 1.3 270 360",
    "b": _BOWL + ";L0 6.5 0 .5",
    "c": "A1.5 3 1.5 25 180;L0 3 0 2;A1.5 2 1.5 180 335",
    "d": _BOWL + ";L3 6.5 3 .5",
    "e": "A1.5 3 1.5 0 180;L0 3 0 2;A1.5 2 1.5 180 325;L3 3 3 2.5 0 2.5",
    "f": "A1.9 5.3 1.2 80 180;L.7 5.3 .7 .5;L0 4.5 1.9 4.5",
    "g": _BOWL + ";L3 4.5 3 0;A1.5 0 1.5 205 360",
    "h": "L0 .5 0 6.5;A1.5 3 1.5 0 180;L3 3 3 .5",
    "i": "L.1 .5 .1 4.5;L.1 6.3 .1 6.3",
    "j": "L.9 4.5 .9 -.4;A-.1 -.4 1 270 360;L.9 6.3 .9 6.3",
    "k": "L0 .5 0 6.5;L2.7 4.5 0 1.9;L1.05 2.9 2.9 .5",
    "l": "L0 6.5 0 1.4;A.9 1.4 .9 180 270",
    "m": "L0 .5 0 4.5;A1.2 3.3 1.2 0 180;L2.4 3.3 2.4 .5;A3.6 3.3 1.2 0 180;L4.8 3.3 4.8 .5",
    "n": "L0 .5 0 4.5;A1.5 3 1.5 0 180;L3 3 3 .5",
    "o": _BOWL,
    "p": _BOWL + ";L0 4.5 0 -1.5",
    "q": _BOWL + ";L3 4.5 3 -1.5",
    "r": "L0 .5 0 4.5;A1.5 3 1.5 55 180",
    "s": "A1.7 3.5 1 40 90;L1.7 4.5 1 4.5;A1 3.5 1 90 270;L1 2.5 1.8 2.5;A1.8 1.5 1 -90 90;L1.8 .5 1 .5;A1 1.5 1 220 270",
    "t": "L.7 6 .7 1.6;A1.8 1.6 1.1 180 270;L0 4.5 1.9 4.5",
    "u": "L0 4.5 0 2;A1.5 2 1.5 180 360;L3 4.5 3 .5",
    "v": "L0 4.5 1.5 .5 3 4.5",
    "w": "L0 4.5 1.2 .5 2.4 4.2 3.6 .5 4.8 4.5",
    "x": "L0 4.5 2.8 .5;L2.8 4.5 0 .5",
    "y": "L0 4.5 1.55 .5;L3.1 4.5 .85 -1.5",
    "z": "L0 4.5 2.7 4.5 0 .5 2.7 .5",
    "A": "L0 .5 2 6.5 4 .5;L.7 2.4 3.3 2.4",
    "B": "L0 .5 0 6.5 1.9 6.5;A1.9 5.05 1.45 -90 90;L1.9 3.6 0 3.6;A2 2.05 1.55 -90 90;L2 3.6 1.9 3.6;L2 .5 0 .5",
    "C": "A1.9 4.6 1.9 25 180;L0 4.6 0 2.4;A1.9 2.4 1.9 180 335",
    "D": "L0 .5 0 6.5 1.6 6.5;A1.6 4.5 2 0 90;L3.6 4.5 3.6 2.5;A1.6 2.5 2 -90 0;L1.6 .5 0 .5",
    "E": "L3.1 6.5 0 6.5 0 .5 3.1 .5;L0 3.6 2.7 3.6",
    "F": "L3.1 6.5 0 6.5 0 .5;L0 3.6 2.7 3.6",
    "G": "A1.9 4.6 1.9 25 180;L0 4.6 0 2.4;A1.9 2.4 1.9 180 360;L3.8 2.4 3.8 3.3 2.2 3.3",
    "H": "L0 .5 0 6.5;L3.6 .5 3.6 6.5;L0 3.5 3.6 3.5",
    "I": "L0 .5 0 6.5",
    "J": "L2.4 6.5 2.4 2.1;A.8 2.1 1.6 250 360",
    "K": "L0 .5 0 6.5;L3.5 6.5 0 2.6;L1.2 4 3.7 .5",
    "L": "L0 6.5 0 .5 3 .5",
    "M": "L0 .5 0 6.5 2.2 2.6 4.4 6.5 4.4 .5",
    "N": "L0 .5 0 6.5 3.6 .5 3.6 6.5",
    "O": _O,
    "P": _P,
    "Q": _O + ";L2.5 1.9 3.9 .3",
    "R": _P + ";L1.8 3.2 3.5 .5",
    "S": _S,
    "T": "L0 6.5 3.8 6.5;L1.9 6.5 1.9 .5",
    "U": "L0 6.5 0 2.3;A1.8 2.3 1.8 180 360;L3.6 2.3 3.6 6.5",
    "V": "L0 6.5 1.95 .5 3.9 6.5",
    "W": "L0 6.5 1.4 .5 2.8 6 4.2 .5 5.6 6.5",
    "X": "L0 6.5 3.6 .5;L3.6 6.5 0 .5",
    "Y": "L0 6.5 1.8 3.4 3.6 6.5;L1.8 3.4 1.8 .5",
    "Z": "L0 6.5 3.4 6.5 0 .5 3.4 .5",
    "0": _ZERO,
    "1": "L.5 5.2 2.1 6.5 2.1 .5",
    "2": "A1.7 4.8 1.7 -37 165;L3.06 3.78 .1 .5 3.4 .5",
    "3": "A1.65 5.05 1.45 -90 150;A1.65 2.05 1.55 -150 90;L1.1 3.6 1.65 3.6",
    "4": "L2.5 .5 2.5 6.5 0 2 3.5 2",
    "5": "L3 6.5 .6 6.5 .3 3.42;A1.6 2.25 1.75 -150 138",
    "6": "A1.7 2.2 1.7 0 360;L.228 3.05 2.22 6.5",
    "7": "L0 6.5 3.3 6.5 1.2 .5",
    "8": "A1.7 5.1 1.4 0 360;A1.7 2.1 1.6 0 360",
    "9": "A1.7 4.8 1.7 0 360;L3.172 3.95 1.18 .5",
    ".": "L.1 .6 .1 .6",
    ",": "L.3 .6 0 -.6",
    ":": "L.1 1 .1 1;L.1 4.2 .1 4.2",
    ";": "L.4 4.2 .4 4.2;L.4 .8 .1 -.4",
    "-": "L0 3 1.9 3",
    "+": "L0 3 3 3;L1.5 1.5 1.5 4.5",
    "=": "L0 3.9 2.8 3.9;L0 2.1 2.8 2.1",
    "_": "L0 -.5 3 -.5",
    "/": "L0 -.2 2.6 6.9",
    "\\": "L0 6.9 2.6 -.2",
    "|": "L0 -1 0 7",
    "%": "A.95 5.4 .95 0 360;A4.05 1.6 .95 0 360;L.9 .5 4.1 6.5",
    "(": "A4.6 3 4.6 128 232",
    ")": "A-2.9 3 4.6 -52 52",
    "[": "L1.2 7 0 7 0 -1 1.2 -1",
    "]": "L0 7 1.2 7 1.2 -1 0 -1",
    "<": "L2.7 5 0 3 2.7 1",
    ">": "L0 5 2.7 3 0 1",
    "#": "L.3 1.9 3.7 1.9;L.5 4.6 3.9 4.6;L.9 .5 1.5 6.2;L2.7 .5 3.3 6.2",
    "*": "L0 4 2.2 5.4;L0 5.4 2.2 4;L1.1 6 1.1 3.4",
    "'": "L.1 6.5 .1 5.2",
    '"': "L.1 6.5 .1 5.2;L1.5 6.5 1.5 5.2",
    "!": "L.1 6.5 .1 2.4;L.1 .6 .1 .6",
    "?": "A1.5 5 1.5 -60 160;L2.25 3.7 1.5 2.9 1.5 2.4;L1.5 .6 1.5 .6",
    "&": "A1.7 5.3 1.2 -45 225;L.85 4.45 3.6 .5;L2.5 4.45 .6 3.2;A1.7 2.1 1.6 150 350",
    "°": "A1 5.6 .9 0 360",
    "·": "L.1 3 .1 3",
    "×": "L0 4.2 2.4 1.8;L2.4 4.2 0 1.8",
    "\N{REPLACEMENT CHARACTER}": "L0 .5 0 6.5 3 6.5 3 .5 0 .5",
}
_SPACE_ADVANCE = 2.6
_BEARING = 0.62  # white on each side of a glyph's ink, in grid units
_TABULAR = 4.9  # every digit is this wide with its white, so counters do not wobble
_KERNING = {"r": -0.25, "f": -0.3, "L": -0.2, "T": -0.3}

_Primitive = tuple[str, tuple[float, ...]]


def _primitives(strokes: str) -> list[_Primitive]:
    found: list[_Primitive] = []
    for stroke in strokes.split(";"):
        numbers = tuple(float(part) for part in stroke[1:].split())
        if stroke[0] == "A":
            found.append(("A", numbers))
        else:
            points = [numbers[i : i + 2] for i in range(0, len(numbers), 2)]
            found += [("L", (*a, *b)) for a, b in pairwise(points)]
    return found


def _extent(primitives: list[_Primitive]) -> tuple[float, float]:
    """The leftmost and rightmost x of the centre lines."""
    xs: list[float] = []
    for kind, values in primitives:
        if kind == "L":
            xs += [values[0], values[2]]
        else:
            x, _, r, start, end = values
            angles = np.radians(np.linspace(start, end, 49))
            xs += (x + r * np.cos(angles)).tolist()
    return min(xs), max(xs)


def _distance(kind: str, values: tuple[float, ...], x: F32, y: F32) -> F32:
    """Distance of every point to a segment or an arc, in grid units."""
    if kind == "L":
        x1, y1, x2, y2 = values
        dx, dy = x2 - x1, y2 - y1
        length2 = max(dx * dx + dy * dy, 1e-9)
        t = np.clip(((x - x1) * dx + (y - y1) * dy) / length2, 0.0, 1.0)
        return np.asarray(np.hypot(x - x1 - t * dx, y - y1 - t * dy), np.float32)
    cx, cy, r, start, end = values
    middle, half = np.radians((start + end) / 2), np.radians((end - start) / 2)
    # Fold the plane on the arc's axis: the arc then spans the angles -half..half about 0.
    u = (x - cx) * np.cos(middle) + (y - cy) * np.sin(middle)
    v = np.abs(-(x - cx) * np.sin(middle) + (y - cy) * np.cos(middle))
    on_arc = np.arctan2(v, u) <= half
    to_end = np.hypot(u - r * np.cos(half), v - r * np.sin(half))
    return np.asarray(np.where(on_arc, np.abs(np.hypot(u, v) - r), to_end), np.float32)


@lru_cache(maxsize=2048)
def _glyph(character: str, cap: int, weight: float) -> F32:
    """Coverage (H, W) of one glyph in a cell as high as a line and as wide as its advance."""
    unit = cap / 7.0
    ascent, descent = line_metrics(cap)
    if character == " ":
        return np.zeros((ascent + descent, max(1, round(_SPACE_ADVANCE * unit))), np.float32)
    primitives = _primitives(_STROKES[character])
    left, right = _extent(primitives)
    if character.isdigit():
        advance = _TABULAR
        bearing = (advance - (right - left) - 1) / 2
    else:
        advance = right - left + 1 + 2 * _BEARING + _KERNING.get(character, 0.0)
        bearing = _BEARING
    # The ink starts on a whole pixel: upright stems stay sharp in small text.
    origin = round(bearing * unit) / unit + 0.5 - left
    width = max(1, round(advance * unit))
    x = (np.arange(width, dtype=np.float32) + 0.5) / unit - origin
    y = (ascent - np.arange(ascent + descent, dtype=np.float32) - 0.5) / unit
    grid_x, grid_y = np.meshgrid(x, y)
    nearest = np.full(grid_x.shape, 1e9, np.float32)
    for kind, values in primitives:
        nearest = np.minimum(nearest, _distance(kind, values, grid_x, grid_y))
    coverage = np.clip(0.5 + (weight / 2 - nearest) * unit, 0.0, 1.0).astype(np.float32)
    coverage.flags.writeable = False
    return coverage


def _drawable(text: str) -> str:
    """The text in characters the typeface has: accents dropped, anything else an empty box."""
    if all(c in _STROKES or c == " " for c in text):
        return text
    plain = (c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c if c in _STROKES or c == " " else "\N{REPLACEMENT CHARACTER}" for c in plain)


def line_metrics(cap: int) -> tuple[int, int]:
    """Pixels above and below the baseline of a line of text whose capitals are `cap` pixels high."""
    return cap + 1, round(cap * 2 / 7) + 1


def text_mask(text: str, cap: int, *, weight: float = 1.0) -> F32:
    """Coverage of a line of text.

    Args:
        text: what to write; characters outside the typeface become an empty box.
        cap: height of a capital, pixels.
        weight: stroke width in sevenths of the capital height.

    Returns:
        (H, W) float32 in 0..1; H is the sum of `line_metrics`, the baseline lies at its first value.
    """
    ascent, descent = line_metrics(cap)
    glyphs = [_glyph(c, cap, weight) for c in _drawable(text)]
    if not glyphs:
        return np.zeros((ascent + descent, 0), np.float32)
    return np.concatenate(glyphs, axis=1)
