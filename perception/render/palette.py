"""Fixed colours, one per class, that stay apart for colour-blind eyes.

The hues start from Okabe and Ito's palette ("Color Universal Design", 2008). They were then moved, within
narrow limits per class, to make the smallest CIELAB distance between any two classes as large as possible
for normal sight and for simulated protanopia and deuteranopia (Machado, Oliveira, Fernandes 2009,
severity 1). The result keeps every pair at least 24 apart in all three; a test holds it there.

Every colour is light enough (L* >= 54) to carry dark text.
"""

from __future__ import annotations

import zlib

BGR = tuple[int, int, int]


def _bgr(rgb: str) -> BGR:
    return int(rgb[4:6], 16), int(rgb[2:4], 16), int(rgb[0:2], 16)


CLASS_COLOURS: dict[str, BGR] = {
    "car": _bgr("46C6F9"),  # sky blue
    "truck": _bgr("E99200"),  # orange
    "bus": _bgr("00C56D"),  # bluish green
    "motorcycle": _bgr("C15EA5"),  # reddish purple
    "bicycle": _bgr("5884FF"),  # blue
    "person": _bgr("FFF43C"),  # yellow
    "traffic_light": _bgr("D15F2E"),  # vermilion
    "traffic_sign": _bgr("FDFFFF"),  # white
    "plate": _bgr("A9FE75"),  # lime
    "face": _bgr("FFE5BA"),  # cream
    "vehicle": _bgr("BBB7B4"),  # grey
}

INK: BGR = _bgr("0C1016")  # text on class colours, panels, halos
PAPER: BGR = _bgr("F4F7FA")  # text on dark panels
DIM: BGR = _bgr("A3AFBC")  # second-rank text on dark panels
DRIVABLE: BGR = _bgr("35C98B")

LIGHT_COLOURS: dict[str, BGR] = {
    "red": _bgr("FF3B30"),
    "yellow": _bgr("FFC400"),
    "amber": _bgr("FFC400"),
    "green": _bgr("1FD65F"),
    "off": _bgr("5A6470"),
}

LANE_COLOURS: dict[str, BGR] = {
    "left": _bgr("46C6F9"),  # the ego lane's left line
    "right": _bgr("FFB02E"),  # the ego lane's right line
    "outer": _bgr("D9E1E8"),  # every line further out
}

_SPARE = tuple(
    CLASS_COLOURS[name] for name in ("car", "truck", "bus", "motorcycle", "bicycle", "person")
)

_SHORT_NAMES = {
    "traffic_light": "light",
    "traffic_sign": "sign",
    "motorcycle": "moto",
    "bicycle": "bike",
}


def class_colour(name: str) -> BGR:
    """The colour of a class; a class without one of its own gets a fixed one by its name.

    >>> class_colour("car") == CLASS_COLOURS["car"]
    True
    """
    known = CLASS_COLOURS.get(name)
    return known if known is not None else _SPARE[zlib.crc32(name.encode()) % len(_SPARE)]


def short_name(name: str) -> str:
    """The class name as it stands on a label.

    >>> short_name("traffic_light"), short_name("parking_meter")
    ('light', 'parking meter')
    """
    return _SHORT_NAMES.get(name, name.replace("_", " "))


def lane_colour(side: int) -> BGR:
    """The colour of a lane line: -1 left of ego, +1 right of ego, further out neutral."""
    return LANE_COLOURS[{-1: "left", 1: "right"}.get(side, "outer")]
