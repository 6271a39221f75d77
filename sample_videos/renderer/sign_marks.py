"""The strokes, shapes and marks that traffic signs are made of."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


Colour = tuple[int, int, int, int]


FINE = 512


RED: Colour = (190, 22, 28, 255)


BLUE: Colour = (20, 80, 165, 255)


WHITE: Colour = (240, 240, 238, 255)


BLACK: Colour = (14, 14, 16, 255)


YELLOW: Colour = (248, 190, 30, 255)


GREEN: Colour = (10, 105, 65, 255)


GREY: Colour = (120, 120, 122, 255)


def blank() -> Picture:
    return np.zeros((FINE, FINE, 4), np.uint8)


def disc(picture: Picture, colour: Colour, radius: float) -> None:
    cv2.circle(picture, (256, 256), int(radius * 256), colour, -1, cv2.LINE_AA)


def shape(picture: Picture, points: list[tuple[float, float]], colour: Colour) -> None:
    cv2.fillPoly(picture, [np.array(np.array(points) * FINE, np.int32)], colour, cv2.LINE_AA)


def strokes(
    picture: Picture, points: list[tuple[float, float]], colour: Colour, width: float
) -> None:
    cv2.polylines(
        picture,
        [np.array(np.array(points) * FINE, np.int32)],
        False,
        colour,
        int(width * FINE),
        cv2.LINE_AA,
    )


def letters(
    picture: Picture,
    text: str,
    colour: Colour,
    *,
    height: float,
    y: float = 0.5,
    x: float = 0.5,
    bold: float = 0.05,
    squeeze: float = 1.0,
) -> None:
    scale = height * FINE / 21
    thickness = max(1, int(bold * FINE * height / 0.4))
    (width, tall), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    at = (int(x * FINE - width / 2), int(y * FINE + tall / 2))
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA)


def arrow(
    picture: Picture,
    tail: list[tuple[float, float]],
    tip: tuple[float, float],
    colour: Colour = WHITE,
    width: float = 0.11,
) -> None:
    strokes(picture, [*tail, tip], colour, width)
    a, b = np.array(tail[-1]), np.array(tip)
    along = (b - a) / np.linalg.norm(b - a)
    across = np.array([-along[1], along[0]])
    head = [
        tuple(b + along * width * 1.2),
        tuple(b + across * width * 1.27),
        tuple(b - across * width * 1.27),
    ]
    shape(picture, head, colour)


def car_mark(picture: Picture, x: float, y: float, colour: Colour) -> None:
    shape(
        picture,
        [
            (x - 0.15, y + 0.09),
            (x - 0.15, y),
            (x - 0.10, y - 0.02),
            (x - 0.07, y - 0.11),
            (x + 0.07, y - 0.11),
            (x + 0.10, y - 0.02),
            (x + 0.15, y),
            (x + 0.15, y + 0.09),
        ],
        colour,
    )
    for s in (-1, 1):
        shape(
            picture,
            [
                (x + s * 0.14, y + 0.08),
                (x + s * 0.08, y + 0.08),
                (x + s * 0.08, y + 0.14),
                (x + s * 0.14, y + 0.14),
            ],
            colour,
        )


def truck_mark(picture: Picture, x: float, y: float, colour: Colour) -> None:
    shape(
        picture,
        [(x - 0.2, y + 0.08), (x - 0.2, y - 0.14), (x + 0.06, y - 0.14), (x + 0.06, y + 0.08)],
        colour,
    )
    shape(
        picture,
        [
            (x + 0.08, y + 0.08),
            (x + 0.08, y - 0.08),
            (x + 0.16, y - 0.08),
            (x + 0.21, y),
            (x + 0.21, y + 0.08),
        ],
        colour,
    )
    for dx in (-0.12, 0.13):
        cv2.circle(picture, (int((x + dx) * 512), int((y + 0.1) * 512)), 22, colour, -1)


def walker(picture: Picture, x: float, y: float, colour: Colour, size: float = 1.0) -> None:
    p = lambda dx, dy: (x + dx * size, y + dy * size)  # noqa: E731
    cv2.circle(picture, tuple(int(v * 512) for v in p(0.0, -0.22)), int(23 * size), colour, -1)
    strokes(picture, [p(0, -0.14), p(-0.01, 0.05)], colour, 0.085 * size)
    strokes(picture, [p(-0.01, 0.05), p(0.06, 0.15), p(0.11, 0.26)], colour, 0.055 * size)
    strokes(picture, [p(-0.01, 0.05), p(-0.05, 0.16), p(-0.12, 0.25)], colour, 0.055 * size)
    strokes(picture, [p(0, -0.13), p(0.12, 0.0)], colour, 0.04 * size)
    strokes(picture, [p(0, -0.13), p(-0.10, 0.02)], colour, 0.04 * size)


def wheel_mark(picture: Picture, x: float, y: float, colour: Colour) -> None:
    for dx in (-0.14, 0.14):
        cv2.circle(picture, (int((x + dx) * 512), int((y + 0.08) * 512)), 44, colour, 11)
    strokes(
        picture,
        [(x - 0.14, y + 0.08), (x - 0.06, y - 0.08), (x + 0.08, y - 0.08), (x + 0.14, y + 0.08)],
        colour,
        0.022,
    )
    strokes(picture, [(x - 0.06, y - 0.08), (x, y + 0.08), (x + 0.08, y - 0.08)], colour, 0.022)
    strokes(
        picture, [(x + 0.08, y - 0.08), (x + 0.06, y - 0.15), (x + 0.12, y - 0.15)], colour, 0.022
    )


def round_arrows(picture: Picture) -> None:
    for start in (0, 120, 240):
        cv2.ellipse(picture, (256, 256), (130, 130), start, 10, 88, WHITE, 40, cv2.LINE_AA)
        angle = np.radians(start + 100)
        centre = np.array([0.5 + 0.254 * np.cos(angle), 0.5 + 0.254 * np.sin(angle)])
        along = np.array([-np.sin(angle), np.cos(angle)])
        out = np.array([np.cos(angle), np.sin(angle)])
        shape(
            picture,
            [tuple(centre + along * 0.10), tuple(centre + out * 0.10), tuple(centre - out * 0.10)],
            WHITE,
        )
