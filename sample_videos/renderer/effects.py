"""What a real camera adds: exposure, bloom, blur, fringes, vignette, noise, rain on the glass."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Lens:
    """How the camera renders light.

    Attributes:
        exposure: factor on the light.
        contrast: slope of the tone curve.
        tint: factors on red, green and blue.
        saturation: 1 keeps colours.
        bloom: share of bright light that spreads.
        vignette: darkening in the corners.
        fringe: pixels by which red and blue part at the corners, per 1000 px.
        noise: standard deviation at mid grey, in 8-bit steps.
        blur: pixels of blur.
        zoom: motion blur outwards, as a share of the distance from the middle.
        sharpen: strength of edge sharpening.
    """

    exposure: float = 1.0
    contrast: float = 1.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    saturation: float = 1.0
    bloom: float = 0.04
    vignette: float = 0.22
    fringe: float = 0.6
    noise: float = 2.0
    blur: float = 0.0
    zoom: float = 0.0
    sharpen: float = 0.3


def _bloomed(light: Image, amount: float) -> Image:
    height, width = light.shape[:2]
    small = cv2.resize(
        np.minimum(light, 12.0), (width // 4, height // 4), interpolation=cv2.INTER_AREA
    )
    bright = np.maximum(small - 0.9, 0)
    near = cv2.GaussianBlur(bright, (0, 0), width / 260)
    far = cv2.GaussianBlur(bright, (0, 0), width / 60)
    halo = cv2.resize(near * 0.65 + far * 0.35, (width, height), interpolation=cv2.INTER_LINEAR)
    return light + amount * 6 * halo


def _zoomed(light: Image, share: float, centre: tuple[float, float]) -> Image:
    total = light.copy()
    for step in (1, 2, 3):
        factor = 1 + share * step / 3
        matrix = np.array(
            [[factor, 0, centre[0] * (1 - factor)], [0, factor, centre[1] * (1 - factor)]],
            np.float32,
        )
        total += cv2.warpAffine(
            light, matrix, (light.shape[1], light.shape[0]), borderMode=cv2.BORDER_REPLICATE
        )
    return total / 4


def _tone(light: Image, contrast: float) -> Image:
    """Map light to display values 0 to 1 with a soft shoulder, then the display's gamma."""
    x = np.maximum(light, 0)
    shoulder = x * (1 + x * 0.16) / (1 + x * 0.95)
    display = np.power(np.clip(shoulder, 0, 1), 1 / 2.2, dtype=np.float32)
    if contrast != 1.0:
        display = np.clip((display - 0.45) * contrast + 0.45, 0, 1)
    return display


def photograph(
    light: Image, size: tuple[int, int], lens: Lens, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the (H, W, 3) BGR picture that the camera takes of (H', W', 3) RGB light."""
    picture = light
    if lens.bloom:
        picture = _bloomed(picture * lens.exposure, lens.bloom)
    else:
        picture = picture * lens.exposure
    if (picture.shape[1], picture.shape[0]) != size:
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    width, height = size
    if lens.zoom:
        picture = _zoomed(picture, lens.zoom, (width / 2, height * 0.47))
    if lens.blur > 0.2:
        picture = cv2.GaussianBlur(picture, (0, 0), lens.blur)
    y = (np.arange(height, dtype=np.float32) - height / 2)[:, None] / (width / 2)
    x = (np.arange(width, dtype=np.float32) - width / 2)[None, :] / (width / 2)
    corner = x * x + y * y
    picture = picture * (1 - lens.vignette * corner)[..., None] * np.array(lens.tint, np.float32)
    display = _tone(picture, lens.contrast)
    if lens.saturation != 1.0:
        grey = display @ np.array([0.30, 0.59, 0.11], np.float32)
        display = grey[..., None] + (display - grey[..., None]) * lens.saturation
    if lens.fringe:
        channels = list(cv2.split(display))
        for index, sign in ((0, 1.0), (2, -1.0)):
            factor = 1 + sign * lens.fringe / 1000
            matrix = np.array(
                [[factor, 0, width / 2 * (1 - factor)], [0, factor, height / 2 * (1 - factor)]],
                np.float32,
            )
            channels[index] = cv2.warpAffine(
                channels[index], matrix, size, borderMode=cv2.BORDER_REPLICATE
            )
        display = cv2.merge(channels)
    if lens.sharpen:
        soft = cv2.GaussianBlur(display, (0, 0), 1.1)
        display = display + lens.sharpen * (display - soft)
    if lens.noise:
        grain = rng.standard_normal((height, width, 1), np.float32)
        colour = rng.standard_normal((height // 2, width // 2, 3), np.float32)
        colour = cv2.resize(colour, size, interpolation=cv2.INTER_LINEAR)
        strength = lens.noise / 255 * (1.25 - 0.6 * display)
        display = display + strength * (grain * 0.8 + colour * 0.6)
    return np.ascontiguousarray(np.clip(display * 255 + 0.5, 0, 255).astype(np.uint8)[..., ::-1])


def rain_streaks(light: Image, rng: np.random.Generator, *, count: int, brightness: float) -> Image:
    """Return the light with falling drops drawn as short soft streaks."""
    height, width = light.shape[:2]
    veil = np.zeros((height, width), np.float32)
    for _ in range(count):
        near = rng.random() ** 2
        x, y = rng.random() * width, rng.random() * height
        length = (0.015 + 0.06 * near) * height
        lean = (x / width - 0.5) * 0.8 + rng.normal(0, 0.06)
        end = (int(x + lean * length), int(y + length))
        cv2.line(
            veil,
            (int(x), int(y)),
            end,
            float(0.25 + 0.5 * near),
            1 + int(near * width / 700),
            cv2.LINE_AA,
        )
    veil = cv2.GaussianBlur(veil, (0, 0), max(0.6, width / 1600))
    local = cv2.blur(cv2.resize(light, (width // 8, height // 8)), (9, 9))
    local = cv2.resize(local, (width, height)) * 0.5 + brightness
    return light + veil[..., None] * local * 0.35


@dataclass(slots=True)
class Windscreen:
    """Drops of water on the glass that bend the picture.

    Attributes:
        drops: (N, 4) x, y (0 to 1), radius as a share of the width, seconds of age.
    """

    drops: NDArray[np.float64]

    @classmethod
    def random(cls, rng: np.random.Generator, count: int) -> Windscreen:
        """Return a wet windscreen."""
        drops = np.column_stack(
            [
                rng.random(count),
                rng.random(count),
                rng.gamma(2.0, 0.0016, count) + 0.0012,
                rng.random(count) * 3,
            ]
        )
        return cls(drops)

    def seen_through(self, light: Image) -> Image:
        """Return the light as it comes through the drops."""
        height, width = light.shape[:2]
        result = light.copy()
        blurred = cv2.GaussianBlur(light, (0, 0), width / 300)
        for x, y, radius, _ in self.drops:
            r = int(max(2, radius * width))
            cx, cy = int(x * width), int(y * height)
            if cx - r < 1 or cy - r < 1 or cx + r >= width - 1 or cy + r >= height - 1:
                continue
            grid = np.mgrid[-r : r + 1, -r : r + 1].astype(np.float32)
            distance = np.hypot(grid[0], grid[1]) / r
            # A drop is a strong lens: it shows a wide, upside-down piece of the scene.
            map_x = np.clip(cx - grid[1] * 5.0, 0, width - 1)
            map_y = np.clip(cy - grid[0] * 5.0, 0, height - 1)
            inner = cv2.remap(blurred, map_x, map_y, cv2.INTER_LINEAR)
            inner = inner * (1.05 - 0.45 * distance[..., None] ** 3)
            mask = (np.clip((1.0 - distance) * 2.2, 0, 1) * 0.75)[..., None]
            patch = result[cy - r : cy + r + 1, cx - r : cx + r + 1]
            result[cy - r : cy + r + 1, cx - r : cx + r + 1] = patch * (1 - mask) + inner * mask
        return result
