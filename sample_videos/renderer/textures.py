"""Noise and foliage pictures that the shaders sample."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

NOISE_SIZE = 512
TREE_SIZE = 512
TREE_COUNT = 12


def _smooth_noise(
    rng: np.random.Generator, size: int, octaves: tuple[int, ...], fade: float = 0.55
) -> NDArray[np.float32]:
    """Return tiling noise, 0 to 1, with a grid of each of `octaves` cells."""
    total = np.zeros((size, size), np.float32)
    weight = 1.0
    for cells in octaves:
        grid = rng.random((cells, cells)).astype(np.float32)
        padded = np.pad(grid, 2, mode="wrap")
        scale = size / cells
        fine = cv2.resize(padded, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        start = int(2 * scale)
        total += weight * fine[start : start + size, start : start + size]
        weight *= fade
    total -= total.min()
    return total / total.max()


def noise_picture() -> NDArray[np.uint8]:
    """Return (NOISE_SIZE, NOISE_SIZE, 4): grain, clouds, broad clouds, cracks. It tiles."""
    rng = np.random.default_rng(3)
    size = NOISE_SIZE
    grain = 0.55 * rng.random((size, size)).astype(np.float32) + 0.45 * _smooth_noise(
        rng, size, (64, 128, 256), 0.8
    )
    cloud = _smooth_noise(rng, size, (8, 16, 32, 64, 128))
    broad = _smooth_noise(rng, size, (4, 8, 16, 32))
    cracks = np.zeros((size, size), np.uint8)
    for _ in range(9):
        place = rng.random(2) * size
        angle = rng.random() * 2 * np.pi
        for _ in range(int(rng.integers(20, 60))):
            angle += rng.normal(0, 0.5)
            after = place + 7 * np.array([np.cos(angle), np.sin(angle)])
            a, b = place.astype(int), after.astype(int)
            for dx in (-size, 0, size):
                for dy in (-size, 0, size):
                    cv2.line(
                        cracks,
                        (int(a[0] + dx), int(a[1] + dy)),
                        (int(b[0] + dx), int(b[1] + dy)),
                        255,
                        1,
                        cv2.LINE_AA,
                    )
            place = after
    # Stretch to the full range, so that thresholds in the shaders mean shares.
    channels = [grain, cloud, broad]
    stretched = [
        np.clip((c - np.quantile(c, 0.01)) / (np.quantile(c, 0.99) - np.quantile(c, 0.01)), 0, 1)
        * 255
        for c in channels
    ]
    return np.ascontiguousarray(
        np.stack([*(c.astype(np.uint8) for c in stretched), cracks], axis=-1)
    )


def _leaves(
    picture: NDArray[np.uint8],
    rng: np.random.Generator,
    centre: tuple[float, float],
    radii: tuple[float, float],
    count: int,
    tone: NDArray[np.float64],
) -> None:
    count *= 3
    r = np.sqrt(rng.random(count)) * (1 + 0.12 * rng.standard_normal(count))
    angle = rng.random(count) * 2 * np.pi
    x = (centre[0] + radii[0] * r * np.cos(angle)) * 2
    y = (centre[1] + radii[1] * r * np.sin(angle)) * 2
    height = 0.5 - r * np.sin(angle) / 2
    bright = (0.42 + 0.62 * height + rng.normal(0, 0.20, count)) * (0.8 + 0.2 * r)
    hue = 1 + rng.normal(0, 0.06, (count, 3))
    colours = np.clip(tone * bright[:, None] * hue, 8, 250).astype(int)
    sizes = rng.integers(2, 7, count)
    turns = rng.random(count) * 180
    for row in range(count):
        cv2.ellipse(
            picture,
            (int(x[row]), int(y[row])),
            (int(sizes[row]), int(sizes[row] * 0.6)),
            turns[row],
            0,
            360,
            (*colours[row].tolist(), 255),
            -1,
        )


def foliage_pictures() -> NDArray[np.uint8]:
    """Return (TREE_COUNT, TREE_SIZE, TREE_SIZE, 4): broad trees, conifers, then bushes."""
    pictures = []
    size = TREE_SIZE
    for index in range(TREE_COUNT):
        rng = np.random.default_rng(100 + index)
        picture = np.zeros((size, size, 4), np.uint8)
        tone = np.array([rng.uniform(75, 120), rng.uniform(105, 140), rng.uniform(45, 70)])
        bark = np.array([72, 60, 48]) * rng.uniform(0.7, 1.1)
        if index < 6:
            cv2.fillPoly(
                picture,
                [np.array([(244, 511), (268, 511), (262, 240), (250, 240)])],
                (*bark.tolist(), 255),
            )
            for _ in range(7):
                end = (int(rng.uniform(120, 392)), int(rng.uniform(120, 300)))
                begin = (256, int(rng.uniform(260, 380)))
                cv2.line(picture, begin, end, (*bark.tolist(), 255), 5)
            for _ in range(int(rng.integers(9, 15))):
                angle, r = rng.random() * 2 * np.pi, rng.random() ** 0.5
                centre = (128 + 78 * r * np.cos(angle), 96 + 66 * r * np.sin(angle))
                _leaves(
                    picture,
                    rng,
                    centre,
                    (rng.uniform(24, 44), rng.uniform(20, 36)),
                    330,
                    tone * rng.uniform(0.75, 1.1),
                )
        elif index < 9:
            tone *= np.array([0.6, 0.75, 0.7])
            cv2.line(picture, (256, 511), (256, 120), (*bark.tolist(), 255), 9)
            for y in np.linspace(14, 225, 30):
                wide = 6 + (y - 10) * 0.36 * rng.uniform(0.75, 1.1)
                _leaves(
                    picture,
                    rng,
                    (128, y + 8),
                    (wide, 10),
                    int(60 + wide * 3),
                    tone * rng.uniform(0.8, 1.1),
                )
        else:
            for _ in range(8):
                centre = (rng.uniform(50, 206), rng.uniform(120, 210))
                _leaves(
                    picture,
                    rng,
                    centre,
                    (rng.uniform(30, 50), rng.uniform(30, 60)),
                    380,
                    tone * rng.uniform(0.7, 1.0),
                )
            _leaves(picture, rng, (128, 225), (118, 34), 900, tone * 0.6)
        pictures.append(np.ascontiguousarray(picture[::-1]))
    return np.stack(pictures)
