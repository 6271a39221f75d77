"""Training pictures of faces: turned, near or tiny, half hidden, in the dark, and spoilt as cameras do.

Everything is drawn from the generator handed in, so a picture is a function of its seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

from engines.data.augment import Settings as Damage
from engines.data.augment import spoil
from perception.types import F32, U8

MIN_SIDE = 6.0  # pixels; a smaller face is a place where one may be
MIN_VISIBLE = 0.6  # share of a face inside the picture; below it the place is ignored
MIRRORED = [1, 0, 2, 4, 3]


@dataclass(frozen=True)
class FacePicture:
    """A picture with its faces: `xyxy` (M, 4), `landmarks` (M, 5, 2), `ignore` (K, 4), pixels."""

    image: U8
    xyxy: F32
    landmarks: F32
    ignore: F32


@dataclass(frozen=True)
class Settings:
    """How much is changed; probabilities unless said otherwise.

    Attributes:
        mosaic: of four pictures instead of one; of these, `crowd` are of nine.
        zoom: (least, most) size of a picture, relative to the middle between fitting and filling its place.
        turn: standard deviation of the angle, degrees; at most twice that.
        flip: of mirroring.
        grey: of a picture without colour, as infrared cameras give.
        glasses, mask, cover: of dark glasses, a covered mouth, something in front of a face.
        damage: of `engines.data.augment.Settings`.
    """

    mosaic: float = 0.4
    crowd: float = 0.35
    zoom: tuple[float, float] = (0.35, 2.0)
    turn: float = 8.0
    flip: float = 0.5
    grey: float = 0.15
    glasses: float = 0.06
    mask: float = 0.06
    cover: float = 0.1
    damage: dict[str, Any] = field(
        default_factory=lambda: {"night": 0.12, "rain": 0.03, "blur": 0.15, "compression": 0.25}
    )


def make_picture(
    draw: Callable[[np.random.Generator], FacePicture],
    rng: np.random.Generator,
    size: tuple[int, int],
    settings: Settings,
) -> FacePicture:
    """One training picture of `size` (width, height)."""
    width, height = size
    canvas = np.empty((height, width, 3), np.uint8)
    lines = [0.5] if rng.random() < settings.mosaic else []
    if lines and rng.random() < settings.crowd:
        lines = [1 / 3, 2 / 3]
    columns = [0, *(int((x + rng.uniform(-0.15, 0.15)) * width) for x in lines), width]
    rows = [0, *(int((y + rng.uniform(-0.15, 0.15)) * height) for y in lines), height]
    tiles = [
        (left, top, right, bottom)
        for top, bottom in pairwise(rows)
        for left, right in pairwise(columns)
    ]
    parts = [_place(canvas, tile, draw(rng), rng, settings) for tile in tiles]
    xyxy = np.concatenate([part[0] for part in parts])
    landmarks = np.concatenate([part[1] for part in parts])
    ignore = np.concatenate([part[2] for part in parts])
    for box, points in zip(xyxy, landmarks, strict=True):
        _hide(canvas, box, points, rng, settings)
    image = spoil(canvas, rng, Damage(**settings.damage))
    if rng.random() < settings.grey:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return FacePicture(np.asarray(image, np.uint8), xyxy, landmarks, ignore)


def _place(
    canvas: U8,
    tile: tuple[int, int, int, int],
    picture: FacePicture,
    rng: np.random.Generator,
    settings: Settings,
) -> tuple[F32, F32, F32]:
    """Draw a picture into its tile; returns boxes, landmarks and ignored places."""
    left, top, right, bottom = tile
    wide, high = right - left, bottom - top
    image = picture.image
    height, width = image.shape[:2]
    low, high_zoom = settings.zoom
    scale = (wide / width * high / height) ** 0.5
    scale *= float(np.exp(rng.uniform(np.log(low), np.log(high_zoom))))
    angle = float(np.clip(rng.normal(0, settings.turn), -2 * settings.turn, 2 * settings.turn))
    flip = rng.random() < settings.flip
    # Where the picture's middle goes: anywhere that leaves the tile as full as it can be.
    reach_x, reach_y = abs(wide - width * scale) / 2, abs(high - height * scale) / 2
    middle_x = wide / 2 + rng.uniform(-reach_x, reach_x)
    middle_y = high / 2 + rng.uniform(-reach_y, reach_y)
    turn = np.deg2rad(angle)
    cosine, sine = np.cos(turn) * scale, np.sin(turn) * scale
    matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0]], np.float64)
    if flip:
        matrix[:, 0] *= -1
    matrix[:, 2] = (middle_x, middle_y) - matrix[:, :2] @ (width / 2, height / 2)
    source = image
    by = matrix
    if scale < 0.6:
        # Averaging first keeps small faces from falling between the sampled pixels.
        smaller = (max(1, round(width * scale)), max(1, round(height * scale)))
        source = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
        by = matrix.copy()
        by[:, :2] = matrix[:, :2] @ np.diag([width / smaller[0], height / smaller[1]])
    colour = (114.0,) * 3 if rng.random() < 0.5 else tuple(rng.uniform(0, 255, 3).tolist())
    canvas[top:bottom, left:right] = cv2.warpAffine(
        np.ascontiguousarray(source), by.astype(np.float32), (wide, high), borderValue=colour
    )
    matrix[:, 2] += (left, top)
    limit = np.array([left, top, right, bottom], np.float32)
    boxes = _turned(picture.xyxy, matrix, turn, scale)
    points = picture.landmarks @ matrix[:, :2].T + matrix[:, 2]
    if flip:
        points = points[:, MIRRORED]
    cut = _cut(boxes, limit)
    sides = cut[:, 2:] - cut[:, :2]
    visible = sides.clip(0).prod(1) / (boxes[:, 2:] - boxes[:, :2]).prod(1).clip(1e-6)
    good = (visible >= MIN_VISIBLE) & (sides >= MIN_SIDE).all(1)
    doubtful = ~good & (sides > 0).all(1)
    places = _cut(_turned(picture.ignore, matrix, turn, scale), limit)
    seen = (places[:, 2:] > places[:, :2]).all(1)
    ignore = np.concatenate([places[seen], cut[doubtful]])
    return cut[good].astype(np.float32), points[good].astype(np.float32), ignore.astype(np.float32)


def _turned(xyxy: F32, matrix: np.ndarray[Any, Any], turn: float, scale: float) -> F32:
    """Boxes around the turned ellipses that fill `xyxy`: a head is round, a turned box would be too large."""
    centre = (xyxy[:, :2] + xyxy[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    a, b = ((xyxy[:, 2:] - xyxy[:, :2]) / 2 * scale).T
    cosine, sine = np.cos(turn), np.sin(turn)
    half = np.stack([np.hypot(a * cosine, b * sine), np.hypot(a * sine, b * cosine)], axis=1)
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def _cut(xyxy: F32, limit: F32) -> F32:
    low, high = np.tile(limit[:2], 2), np.tile(limit[2:], 2)
    return np.asarray(np.clip(xyxy, low, high), np.float32)


def _hide(canvas: U8, box: F32, points: F32, rng: np.random.Generator, settings: Settings) -> None:
    """Dark glasses, a mask, or something in front of a face that is large enough to show it."""
    chance = rng.random(3)
    side = float((box[2:] - box[:2]).min())
    if side < 16:
        return
    eyes, mouth, nose = points[:2], points[3:], points[2]
    if chance[0] < settings.glasses and np.linalg.norm(eyes[1] - eyes[0]) > 0.2 * side:
        colour = tuple(rng.uniform(0, 50, 3).tolist())
        along = eyes[1] - eyes[0]
        angle = float(np.rad2deg(np.arctan2(along[1], along[0])))
        size = np.linalg.norm(along) * rng.uniform(0.32, 0.45)
        for eye in eyes:
            axes = (max(1, int(size)), max(1, int(size * rng.uniform(0.6, 0.9))))
            cv2.ellipse(canvas, _whole(eye), axes, angle, 0, 360, colour, -1)
        cv2.line(canvas, _whole(eyes[0]), _whole(eyes[1]), colour, max(1, int(side / 30)))
    if chance[1] < settings.mask:
        colour = tuple(rng.uniform(0, 255, 3).tolist())
        middle = mouth.mean(0) + (mouth.mean(0) - nose) * 0.3
        axes = (max(1, int((box[2] - box[0]) * 0.36)), max(1, int((box[3] - box[1]) * 0.26)))
        cv2.ellipse(canvas, _whole(middle), axes, 0, 0, 360, colour, -1)
    if chance[2] < settings.cover:
        wide, high = (box[2:] - box[:2]) * rng.uniform(0.15, 0.5, 2)
        x = rng.uniform(box[0], max(box[0] + 1, box[2] - wide))
        y = rng.uniform(box[1], max(box[1] + 1, box[3] - high))
        patch = canvas[max(0, int(y)) : int(y + high), max(0, int(x)) : int(x + wide)]
        patch[:] = rng.uniform(0, 255, 3).astype(np.uint8)


def _whole(point: F32) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
