"""Training pictures: one picture or four in a mosaic, moved, scaled and spoilt as cameras spoil them.

Everything is drawn from the generator handed in, so a batch is a function of its seed. numpy and OpenCV
on uint8: about ten times faster on a CPU than the same on float tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch

from engines.data.coco import Sample
from engines.data.paste import Patches
from engines.nets.loss import Target

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
PAD = 114
MIN_SIDE = 4.0  # pixels; a smaller box is nothing to learn from
MIN_VISIBLE = 0.35  # share of a box inside the picture; below it, the place is ignored


@dataclass(frozen=True)
class Settings:
    """How much is changed; probabilities unless said otherwise.

    Attributes:
        mosaic: of four pictures instead of one.
        zoom: (least, most) size of a picture relative to fitting the input.
        flip: of mirroring, for pictures without signs and plates.
        light: of changed brightness, contrast and colours.
        night, rain, blur, noise, compression, coarse: of each kind of damage.
        aspect: spread of the logarithm of a picture's change of shape.
        stretched: width over height that a source's square pictures had before they were squeezed;
            `stay_squeezed` is the probability of leaving one as it is.
        never_flip: sources with text or signs that may be unlabelled.
        paste: of signs and lights copied in from other pictures (`engines.data.paste`).
    """

    mosaic: float = 0.5
    zoom: tuple[float, float] = (0.6, 1.8)
    flip: float = 0.5
    light: float = 0.8
    night: float = 0.08
    rain: float = 0.06
    blur: float = 0.12
    noise: float = 0.12
    compression: float = 0.2
    coarse: float = 0.1
    aspect: float = 0.1
    stretched: dict[str, float] | None = None
    stay_squeezed: float = 0.3
    never_flip: tuple[str, ...] = ()
    paste: float = 0.0


def make_picture(
    draw: Callable[[np.random.Generator], tuple[Sample, U8]],
    rng: np.random.Generator,
    size: tuple[int, int],
    settings: Settings,
    *,
    one_sided: tuple[int, ...] = (),
    patches: Patches | None = None,
) -> tuple[U8, Target]:
    """One training picture of `size` (width, height) and what is known about it.

    Args:
        draw: picks a sample and its picture.
        one_sided: class columns that must not be mirrored.
        patches: to paste from.
    """
    width, height = size
    canvas = np.full((height, width, 3), PAD, np.uint8)
    if rng.random() < settings.mosaic:
        x, y = int(rng.uniform(0.3, 0.7) * width), int(rng.uniform(0.3, 0.7) * height)
        tiles = [(0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)]
    else:
        tiles = [(0, 0, width, height)]
    parts = []
    for tile in tiles:
        sample, image = draw(rng)
        parts.append(_place(canvas, tile, sample, image, rng, settings, one_sided))
    known = np.ones(parts[0][2].shape, bool)
    ignore, ignore_classes = [part[3] for part in parts], [part[4] for part in parts]
    if len(tiles) == 1:
        known = parts[0][2]
    else:
        # Tiles know different classes: each one's ignorance is a region.
        for tile, part in zip(tiles, parts, strict=True):
            ignore.append(np.array([tile], np.float32))
            ignore_classes.append(~part[2][None])
    boxes = np.concatenate([part[0] for part in parts])
    allowed = np.concatenate([part[1] for part in parts])
    if patches and rng.random() < settings.paste:
        taken = np.concatenate([boxes, *[part[3] for part in parts]])
        pasted, kinds = patches.paste(canvas, taken, rng)
        boxes, allowed = np.concatenate([boxes, pasted]), np.concatenate([allowed, kinds])
    target = Target(
        xyxy=torch.from_numpy(boxes),
        allowed=torch.from_numpy(allowed),
        known=torch.from_numpy(known),
        ignore=torch.from_numpy(np.concatenate(ignore)),
        ignore_classes=torch.from_numpy(np.concatenate(ignore_classes)),
    )
    return spoil(canvas, rng, settings), target


def _place(
    canvas: U8,
    tile: tuple[int, int, int, int],
    sample: Sample,
    image: U8,
    rng: np.random.Generator,
    settings: Settings,
    one_sided: tuple[int, ...],
) -> tuple[F32, npt.NDArray[np.bool_], npt.NDArray[np.bool_], F32, npt.NDArray[np.bool_]]:
    """Draw one sample into its tile; returns boxes, allowed, known, ignore, ignore_classes."""
    x1, y1, x2, y2 = tile
    tile_width, tile_height = x2 - x1, y2 - y1
    height, width = image.shape[:2]
    squeezed = (settings.stretched or {}).get(sample.source, 1.0)
    if rng.random() < settings.stay_squeezed:
        squeezed = 1.0
    aspect = squeezed * np.exp(rng.normal(0, settings.aspect))
    shown = width * aspect
    fit = min(tile_width / shown, tile_height / height)
    cover = max(tile_width / shown, tile_height / height)
    low, high = settings.zoom
    zoom = np.exp(rng.uniform(np.log(low), np.log(high)))
    scale = (cover * fit) ** 0.5 * zoom
    scale_x, scale_y = scale * aspect, scale
    move_x = x1 + rng.uniform(*sorted((0.0, tile_width - width * scale_x)))
    move_y = y1 + rng.uniform(*sorted((0.0, tile_height - height * scale_y)))
    flip = (
        sample.source not in settings.never_flip
        and not sample.allowed[:, list(one_sided)].any()
        and rng.random() < settings.flip
    )
    if flip:
        image = image[:, ::-1]
    if scale < 0.6:
        # Averaging first keeps small things from falling between the sampled pixels.
        smaller = (max(1, round(width * scale_x)), max(1, round(height * scale_y)))
        image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
        matrix = np.array([[1, 0, move_x - x1], [0, 1, move_y - y1]], np.float32)
    else:
        matrix = np.array([[scale_x, 0, move_x - x1], [0, scale_y, move_y - y1]], np.float32)
    canvas[y1:y2, x1:x2] = cv2.warpAffine(
        np.ascontiguousarray(image), matrix, (tile_width, tile_height), borderValue=(PAD,) * 3
    )
    by, shift = np.array([scale_x, scale_y] * 2), np.array([move_x, move_y] * 2)
    boxes, ignore = sample.xyxy, sample.ignore
    if flip:
        boxes, ignore = _mirrored(boxes, sample.size[0]), _mirrored(ignore, sample.size[0])
    # The file may differ from the size its labels were made for.
    by = by * np.array([width / sample.size[0], height / sample.size[1]] * 2)
    limit = np.array(tile, np.float32)
    whole = boxes * by + shift
    cut = _cut(whole, limit)
    sides, whole_sides = cut[:, 2:] - cut[:, :2], whole[:, 2:] - whole[:, :2]
    visible = sides.clip(0).prod(1) / whole_sides.prod(1).clip(1e-6)
    good = (visible >= MIN_VISIBLE) & (sides >= MIN_SIDE).all(1)
    doubtful = ~good & (sides > 0).all(1)
    regions = _cut(ignore * by + shift, limit)
    seen = (regions[:, 2:] > regions[:, :2]).all(1)
    return (
        cut[good].astype(np.float32),
        sample.allowed[good],
        sample.known,
        np.concatenate([regions[seen], cut[doubtful]]).astype(np.float32),
        np.concatenate([sample.ignore_classes[seen], sample.allowed[doubtful]]),
    )


def _mirrored(xyxy: F32, width: int) -> F32:
    return np.stack([width - xyxy[:, 2], xyxy[:, 1], width - xyxy[:, 0], xyxy[:, 3]], axis=1)


def _cut(xyxy: F32, limit: F32) -> F32:
    return np.stack(
        [
            xyxy[:, 0].clip(limit[0], limit[2]),
            xyxy[:, 1].clip(limit[1], limit[3]),
            xyxy[:, 2].clip(limit[0], limit[2]),
            xyxy[:, 3].clip(limit[1], limit[3]),
        ],
        axis=1,
    )


def spoil(image: U8, rng: np.random.Generator, settings: Settings) -> U8:
    """Light, colour, night, rain, blur, noise, resolution and compression."""
    height, width = image.shape[:2]
    if rng.random() < settings.coarse:
        factor = rng.uniform(0.45, 0.8)
        small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        image = np.asarray(cv2.resize(small, (width, height)), np.uint8)
    night = rng.random() < settings.night
    if rng.random() < settings.light or night:
        image = _light(image, rng, night=night)
    if rng.random() < settings.rain:
        image = _rain(image, rng)
    if rng.random() < settings.blur:
        image = _blur(image, rng)
    if rng.random() < settings.noise or night:
        small_noise = rng.normal(0, rng.uniform(2, 10), (height, width, 1)).astype(np.int16)
        image = np.clip(image.astype(np.int16) + small_noise, 0, 255).astype(np.uint8)
    if rng.random() < settings.compression:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 75))]
        image = np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], 1), np.uint8)
    return image


def _light(image: U8, rng: np.random.Generator, *, night: bool) -> U8:
    """Brightness, contrast, gamma and a colour cast as one table per channel; saturation."""
    ramp = np.arange(256) / 255
    gain = rng.uniform(0.35, 0.75) if night else rng.uniform(0.65, 1.35)
    gamma = rng.uniform(1.2, 2.0) if night else np.exp(rng.uniform(-0.35, 0.35))
    contrast = rng.uniform(0.7, 1.3)
    cast = rng.uniform(0.85, 1.15, 3)
    curve = (ramp**gamma - 0.45) * contrast + 0.45
    table = np.clip(curve[:, None] * gain * cast[None] * 255, 0, 255).astype(np.uint8)
    image = np.asarray(cv2.LUT(image, table[None]), np.uint8)
    if rng.random() < 0.5:
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        share = rng.uniform(-0.4, 0.9)
        image = np.asarray(cv2.addWeighted(image, 1 - share, grey, share, 0), np.uint8)
    return image


def _rain(image: U8, rng: np.random.Generator) -> U8:
    """Grey air, then either falling streaks or drops on the windscreen."""
    height, width = image.shape[:2]
    air = rng.uniform(0, 0.4)
    grey = np.full_like(image, int(rng.uniform(90, 180)))
    image = np.asarray(cv2.addWeighted(image, 1 - air, grey, air, 0), np.uint8)
    if rng.random() < 0.6:
        return _drops(image, rng)
    streaks = np.zeros((height, width), np.uint8)
    slant = rng.normal(0, 0.3)
    for _ in range(int(rng.integers(40, 200))):
        x, y, length = rng.integers(width), rng.integers(height), rng.integers(5, 25)
        end = (int(x + slant * length), int(y + length))
        cv2.line(streaks, (int(x), int(y)), end, int(rng.integers(80, 200)), 1)
    soft = cv2.cvtColor(cv2.blur(streaks, (2, 2)), cv2.COLOR_GRAY2BGR)
    return np.asarray(cv2.addWeighted(image, 1.0, soft, 0.4, 0), np.uint8)


def _drops(image: U8, rng: np.random.Generator) -> U8:
    """Drops on the glass: each shows the scene upside down, dark at the top, and has a soft rim."""
    height, width = image.shape[:2]
    lens = cv2.GaussianBlur(image[::-1], (0, 0), 3)
    shade = np.zeros((height, width), np.float32)
    mask = np.zeros((height, width), np.float32)
    unit = max(height, width) / 400
    for _ in range(int(np.exp(rng.uniform(np.log(30), np.log(500))))):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        wide = rng.gamma(1.5, 1.3) * unit + 1
        axes = (max(1, int(wide)), max(1, int(wide * rng.uniform(0.8, 1.6))))
        cv2.ellipse(mask, (x, y), axes, 0, 0, 360, 1.0, -1)
        cv2.ellipse(shade, (x, y), axes, 0, 180, 360, -45.0, -1)
        cv2.ellipse(shade, (x, y), axes, 0, 0, 180, 40.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), 0.8 * unit)[..., None] * rng.uniform(0.5, 0.95)
    shade = cv2.GaussianBlur(shade, (0, 0), 1.0 * unit)[..., None]
    drops = lens.astype(np.float32) + shade
    return np.clip(image * (1 - mask) + drops * mask, 0, 255).astype(np.uint8)


def _blur(image: U8, rng: np.random.Generator) -> U8:
    """Out of focus, or moved during exposure."""
    if rng.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.6)), np.uint8)
    length = int(rng.integers(3, 8))
    kernel = np.zeros((length, length), np.float32)
    angle = rng.uniform(0, np.pi)
    middle = (length - 1) / 2
    reach = np.array([np.cos(angle), np.sin(angle)]) * middle
    start, end = np.round(middle - reach).astype(int), np.round(middle + reach).astype(int)
    cv2.line(kernel, tuple(map(int, start)), tuple(map(int, end)), 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)
