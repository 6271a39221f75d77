"""Labels as sprites: a rounded chip in the class colour with dark text, and small signs and lamps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from perception.render.font import line_metrics, text_mask
from perception.render.palette import BGR, INK, LIGHT_COLOURS, PAPER
from perception.render.shapes import disc, rounded
from perception.render.signs import sign_layers
from perception.render.sprites import ColourSpace, Layer, Sprite
from perception.render.style import Style

F32 = npt.NDArray[np.float32]


def chip(
    space: ColourSpace,
    style: Style,
    text: str,
    bgr: BGR,
    *,
    sign: str = "",
    light: str = "",
    quiet: bool = False,
) -> Sprite:
    """A label.

    Args:
        space: of the canvases it is for.
        style: sizes.
        text: may be empty when there is a pictogram.
        bgr: the class's colour.
        sign: kind of a traffic sign; its pictogram stands before the text.
        light: state of a traffic light; a lamp stands before the text, on a dark chip.
        quiet: dark with coloured text, for objects that are only predicted.
    """
    height, pad = style.chip_height, style.pad_x
    ground, ink = (INK, bgr) if quiet else (INK, PAPER) if light else (bgr, INK)
    side = height - 2 if sign else round(height * 0.62)
    picture: list[Layer] = []
    if sign:
        picture = sign_layers(sign, side)
    elif light:
        lamp = LIGHT_COLOURS.get(light, LIGHT_COLOURS["off"])
        picture = [(disc(side, side, side / 2, side / 2, side / 2), lamp)]
    words = text_mask(text, style.cap, weight=1.08)
    before = pad // 2 + 1 + side if picture else 0
    after = words.shape[1] + (pad // 2 if picture else pad) + pad if text else pad // 2 + 1
    width = before + after
    opacity = np.float32(0.8 if quiet else 0.94)
    layers: list[Layer] = [(rounded(width, height, height * 0.28) * opacity, ground)]
    for mask, colour in picture:
        layers.append((_inset(mask, width, height, pad // 2 + 1, (height - side) // 2), colour))
    if text:
        ascent, _ = line_metrics(style.cap)
        left = before + (pad // 2 if picture else pad)
        layers.append((_inset(words, width, height, left, style.pad_y - (ascent - style.cap)), ink))
    return Sprite.compose(space, layers)


def panel_text(space: ColourSpace, text: str, cap: int, bgr: BGR, weight: float) -> Sprite:
    """Bare text as a sprite."""
    return Sprite.compose(space, [(text_mask(text, cap, weight=weight), bgr)])


def point(space: ColourSpace, side: int, bgr: BGR) -> Sprite:
    """A dot with a dark rim, for a keypoint."""
    middle = side / 2
    rim = disc(side, side, middle, middle, middle) * np.float32(0.55)
    return Sprite.compose(space, [(rim, INK), (disc(side, side, middle, middle, middle - 1), bgr)])


def _inset(mask: F32, width: int, height: int, x: int, y: int) -> F32:
    """The mask inside a larger empty picture; rows and columns that stick out are cut."""
    out = np.zeros((height, width), np.float32)
    source = mask[max(0, -y) : height - y, max(0, -x) : width - x]
    top, left = max(0, y), max(0, x)
    out[top : top + source.shape[0], left : left + source.shape[1]] = source
    return out
