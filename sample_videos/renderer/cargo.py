"""Paints the load boxes of lorries."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .canvas import DARK, FINE, HEIGHT, LAMP, WIDTH, Canvas


def cargo(view: str, style: int) -> NDArray[np.uint8]:
    """Return the livery of a load box: plain, banded, lettered or a curtain with straps."""
    rng = np.random.default_rng(style + 40)
    canvas = Canvas((0, 1), 1.0)
    ink = (0, 0, 0, int(rng.choice([6, 20, 60, 110, 170])))
    if view == "side":
        if style % 4 == 1:
            canvas.rectangle(0, 0.25, 1, 0.42, ink)
        if style % 4 == 2:
            for x in np.linspace(0.02, 0.98, 24):
                canvas.line([(x, 0.03), (x, 0.97)], (170, 0, 0, 50), 3)
        if style % 4 in (1, 3):
            _lettered(canvas, rng, 0.52, ink)
        if style == 4:
            for x in np.linspace(0.005, 0.995, 60):
                canvas.line([(x, 0.02), (x, 0.98)], (175, 0, 0, 20), 4)
        if style == 5:
            canvas.polygon([(0, 0), (0.45, 0), (0.25, 1), (0, 1)], ink)
            _lettered(canvas, rng, 0.45, (0, 0, 0, 150))
        canvas.rectangle(0, 0, 1, 0.035, DARK)
        for x in np.linspace(0.06, 0.94, 8):
            canvas.rectangle(x - 0.006, 0.036, x + 0.006, 0.05, (0, 0, 0, 150))
    elif view == "rear":
        canvas.line([(0.5, 0.05), (0.5, 0.95)], (20, 0, 0, 6), 8)
        for x in (0.17, 0.36, 0.64, 0.83):
            canvas.line([(x, 0.06), (x, 0.95)], (60, 0, 0, 120), 9)
            for y in (0.07, 0.93):
                canvas.rectangle(x - 0.02, y - 0.015, x + 0.02, y + 0.015, (0, 0, 0, 90))
            canvas.rectangle(x - 0.015, 0.30, x + 0.08, 0.325, (0, 0, 0, 110))
        for y in (0.2, 0.5, 0.8):
            for x in (0.035, 0.965):
                canvas.rectangle(x - 0.03, y - 0.012, x + 0.03, y + 0.012, (0, 0, 0, 60))
        frame = (110, 0, 0, 45)
        canvas.rectangle(0, 0.965, 1, 1, frame)
        canvas.rectangle(0, 0, 0.03, 1, frame)
        canvas.rectangle(0.97, 0, 1, 1, frame)
        canvas.rectangle(0, 0, 1, 0.055, (0, 0, 0, 30))
        if style % 3 == 0:
            _lettered(canvas, rng, 0.62, ink, size=3.6)
        # Reflecting outline and the red and white marker boards.
        for x in (0.05, 0.87):
            canvas.rectangle(x, 0.09, x + 0.08, 0.13, LAMP)
    return canvas.finished()


def _lettered(
    canvas: Canvas, rng: np.random.Generator, y: float, ink: tuple[int, ...], size: float = 4.6
) -> None:
    """Write a made-up name across a load box."""
    word = "".join(rng.choice(list("ABDEKLMNORSTU"), 6))
    flipped = np.ascontiguousarray(canvas.pixels[::-1])
    cv2.putText(
        flipped,
        word,
        (int(WIDTH * FINE * 0.16), int(HEIGHT * FINE * (1 - y))),
        cv2.FONT_HERSHEY_DUPLEX,
        size,
        ink,
        20,
    )
    canvas.pixels = np.ascontiguousarray(flipped[::-1])
