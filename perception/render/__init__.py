"""Drawing results on pictures: boxes, labels, trails, lanes and a small panel.

>>> overlay = Overlay()                       # one per stream  # doctest: +SKIP
>>> planes = overlay(result)                  # for the encoder  # doctest: +SKIP
>>> picture = overlay.bgr(result)             # for cv2 and friends  # doctest: +SKIP
"""

from __future__ import annotations

from perception.render.canvas import Canvas
from perception.render.labels import place_labels
from perception.render.overlay import Overlay
from perception.render.palette import CLASS_COLOURS, class_colour
from perception.render.style import Style

__all__ = ["CLASS_COLOURS", "Canvas", "Overlay", "Style", "class_colour", "place_labels"]
