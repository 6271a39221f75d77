"""From decoded planes (Y'CbCr 4:2:0) to BGR and back, for every matrix and range a file may use.

Colour conversion is one 3x3 matrix and an offset per picture, so it is one pass of `cv2.transform`; what
costs is bringing the chroma to the size of the luma. A network's input is smaller than the picture:
`planes_to_bgr_resized` shrinks the planes first and converts the few pixels that are left. From twice the input's
size on, halving brings luma and chroma to one size; then the three are resized side by side, in half the time of
one after the other. Of decoded pictures, which nobody changes, they are kept: the next network that looks at the
same frame finds them there.

The luma weights are those of ITU-R BT.601-7 section 2.5.1, BT.709-6 item 3.2 and BT.2020-2 table 4
(non-constant luminance); quantisation as in BT.709-6 item 4.6 for limited range and JFIF 1.02 for full
range. Chroma is taken as sited in the middle of its 2x2 pixels, an error of a quarter pixel at most.
"""

from __future__ import annotations

import threading
import weakref
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from perception.types import U8, Planes

# Picture sizes for which working memory is kept, for each thread.
SIZES_KEPT = 4
# Weights of red and blue in the luma; green is the rest.
LUMA_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}


@lru_cache(maxsize=16)
def _to_bgr_matrix(matrix: str, full_range: bool) -> npt.NDArray[np.float32]:
    """(3, 4) float32: (Y, Cb, Cr, 1) as stored -> (B, G, R) in 0..255."""
    inverse = np.linalg.inv(_to_ycc_matrix(matrix, full_range)[:, :3].astype(np.float64))
    offset = -inverse @ _to_ycc_matrix(matrix, full_range)[:, 3].astype(np.float64)
    return np.concatenate([inverse, offset[:, None]], axis=1).astype(np.float32)


@lru_cache(maxsize=16)
def _to_ycc_matrix(matrix: str, full_range: bool) -> npt.NDArray[np.float32]:
    """(3, 4) float32: (B, G, R, 1) in 0..255 -> (Y, Cb, Cr) as stored."""
    red, blue = LUMA_WEIGHTS[matrix]
    luma = np.array([blue, 1 - red - blue, red])
    chroma_blue = (np.array([1.0, 0, 0]) - luma) / (2 * (1 - blue))
    chroma_red = (np.array([0, 0, 1.0]) - luma) / (2 * (1 - red))
    black, luma_gain, chroma_gain = (0, 1.0, 1.0) if full_range else (16, 219 / 255, 224 / 255)
    rows = np.stack([luma * luma_gain, chroma_blue * chroma_gain, chroma_red * chroma_gain])
    return np.concatenate([rows, [[black], [128], [128]]], axis=1).astype(np.float32)


def planes_to_bgr(planes: Planes) -> U8:
    """The whole picture as (H, W, 3) uint8 BGR; a new array."""
    height, width = planes.y.shape
    if planes.matrix == "bt601" and not planes.full_range and not (height % 2 or width % 2):
        # The one case OpenCV has a converter for: four times faster.
        stacked = np.concatenate([planes.y.ravel(), planes.u.ravel(), planes.v.ravel()])
        return np.asarray(
            cv2.cvtColor(stacked.reshape(height * 3 // 2, width), cv2.COLOR_YUV2BGR_I420), np.uint8
        )
    return _convert(planes, (width, height))


def planes_to_bgr_resized(planes: Planes, size: tuple[int, int], *, out: U8 | None = None) -> U8:
    """The picture at another size, as (h, w, 3) uint8 BGR.

    Shrinking averages over the pixels it leaves out (halving until less than a factor of two is left, then
    bilinear), so small things do not flicker or vanish as they do with plain bilinear sampling.

    Args:
        planes: the picture.
        size: (width, height) wanted.
        out: (h, w, 3) uint8 to write to, also a part of a larger picture; None makes a new array.

    Returns:
        `out`, or the new array.
    """
    if size != planes.size:
        return _convert(planes, size, out)
    image = planes_to_bgr(planes)
    if out is None:
        return image
    out[:] = image
    return out


def ycc_to_bgr(stacked: U8, *, matrix: str, full_range: bool) -> U8:
    """Pixels (H, W, 3) of Y, Cb and Cr side by side -> (H, W, 3) uint8 BGR; a new array."""
    return np.asarray(cv2.transform(stacked, _to_bgr_matrix(matrix, full_range)), np.uint8)


class _Scratch(threading.local):
    """Arrays kept between calls, for each thread its own.

    Memory that is new for every picture must be mapped and cleared by the system every time, which costs
    three times as much as the conversion itself.
    """

    def __init__(self) -> None:
        self._sets: dict[tuple[int, int], tuple[U8, U8, U8, U8]] = {}
        self._shrunk: U8 = np.empty((0, 0, 3), np.uint8)
        self._shrunk_of: tuple[weakref.ref[U8], ...] = ()

    def __call__(self, size: tuple[int, int]) -> tuple[U8, U8, U8, U8]:
        """Three planes and a picture of three channels, of `size`."""
        found = self._sets.pop(size, None)
        if found is None:
            shape = size[1], size[0]
            y, u, v = (np.empty(shape, np.uint8) for _ in range(3))
            found = y, u, v, np.empty((*shape, 3), np.uint8)
        self._sets[size] = found
        if len(self._sets) > SIZES_KEPT:
            del self._sets[next(iter(self._sets))]
        return found

    def shrunk(self, planes: Planes, size: tuple[int, int]) -> U8:
        """The planes (h, w, 3) side by side, each halved as often as it takes to `size`; good until the next call."""
        parts = planes.y, planes.u, planes.v
        same = _size(self._shrunk) == size and len(self._shrunk_of) == len(parts)
        if same and all(kept() is part for kept, part in zip(self._shrunk_of, parts, strict=True)):
            return self._shrunk
        if _size(self._shrunk) != size:
            self._shrunk = np.empty((size[1], size[0], 3), np.uint8)
        cv2.merge([_halved(part, size) for part in parts], dst=self._shrunk)
        fixed = not any(part.flags.writeable for part in parts)
        self._shrunk_of = tuple(weakref.ref(part) for part in parts) if fixed else ()
        return self._shrunk


_scratch = _Scratch()


def _convert(planes: Planes, size: tuple[int, int], out: U8 | None = None) -> U8:
    """The picture at `size`: planes halved as often as that goes, resized, then converted."""
    *buffers, stacked = _scratch(size)
    half = _halved_size(planes.y, size)
    if half == _halved_size(planes.u, size):
        stacked = _resize(_scratch.shrunk(planes, half), size, stacked)
    else:
        parts = zip((planes.y, planes.u, planes.v), buffers, strict=True)
        resized = [_resize(_halved(part, size), size, buffer) for part, buffer in parts]
        cv2.merge(resized, dst=stacked)
    matrix = _to_bgr_matrix(planes.matrix, planes.full_range)
    return np.asarray(cv2.transform(stacked, matrix, dst=out), np.uint8)


def _halved_size(plane: U8, size: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of a plane halved until less than a factor of two to `size` is left."""
    width, height = _size(plane)
    while not (width % 2 or height % 2) and width >= 2 * size[0] and height >= 2 * size[1]:
        width, height = width // 2, height // 2
    return width, height


def _halved(plane: U8, size: tuple[int, int]) -> U8:
    """The plane at its `_halved_size`."""
    target = _halved_size(plane, size)
    while _size(plane) != target:
        half = plane.shape[1] // 2, plane.shape[0] // 2
        plane = np.asarray(cv2.resize(plane, half, interpolation=cv2.INTER_AREA), np.uint8)
    return plane


def _resize(picture: U8, size: tuple[int, int], buffer: U8) -> U8:
    """The plane or picture at `size`, in `buffer` unless it has that size already."""
    if _size(picture) == size:
        return picture
    # What is left is less than a factor of two, except for odd sizes, which have no fast halving.
    shrink = max(picture.shape[1] / size[0], picture.shape[0] / size[1])
    method = cv2.INTER_AREA if shrink >= 2 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size, dst=buffer, interpolation=method), np.uint8)


def _size(picture: U8) -> tuple[int, int]:
    return picture.shape[1], picture.shape[0]


def bgr_to_planes(image: U8, *, matrix: str = "bt709", full_range: bool = False) -> Planes:
    """A BGR picture as planes; new arrays.

    Args:
        image: (H, W, 3) uint8 BGR.
        matrix: "bt601", "bt709" or "bt2020".
        full_range: True for 0-255, False for 16-235.
    """
    height, width = image.shape[:2]
    *buffers, stacked = _scratch((width, height))
    cv2.transform(image, _to_ycc_matrix(matrix, full_range), dst=stacked)
    y, u, v = buffers
    cv2.split(stacked, mv=[y, u, v])
    return Planes(y.copy(), _halve(u), _halve(v), matrix=matrix, full_range=full_range)


def _halve(plane: npt.NDArray[np.uint8]) -> U8:
    height, width = plane.shape
    if height % 2 or width % 2:
        plane = np.asarray(
            cv2.copyMakeBorder(plane, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), np.uint8
        )
    half = (width + 1) // 2, (height + 1) // 2
    return np.asarray(cv2.resize(plane, half, interpolation=cv2.INTER_AREA), np.uint8)


def planes_copy(planes: Planes) -> Planes:
    """A copy that may be drawn on; the decoder's own planes are read-only."""
    return Planes(
        planes.y.copy(),
        planes.u.copy(),
        planes.v.copy(),
        matrix=planes.matrix,
        full_range=planes.full_range,
    )


def nv12(planes: Planes) -> tuple[U8, U8]:
    """A copy: luma (H, W) and chroma (ceil(H/2), ceil(W/2), 2), Cb and Cr side by side, in one piece of memory."""
    height, width = planes.y.shape
    high, wide = planes.u.shape
    memory = np.empty(height * width + 2 * high * wide, np.uint8)
    luma = memory[: height * width].reshape(height, width)
    chroma = memory[height * width :].reshape(high, wide, 2)
    luma[:] = planes.y
    cv2.merge([planes.u, planes.v], chroma)
    return luma, chroma


def as_nv12(planes: Planes) -> U8 | None:
    """A picture that lies in memory as `nv12` makes them, as one array (H * 3/2, W), not copied; None of others."""
    height, width = planes.y.shape
    if height % 2 or width % 2 or planes.y.strides != (width, 1):
        return None
    start = planes.y.ctypes.data + height * width
    for number, plane in enumerate((planes.u, planes.v)):
        if plane.strides != (width, 2) or plane.ctypes.data != start + number:
            return None
    return np.lib.stride_tricks.as_strided(planes.y, (height * 3 // 2, width), (width, 1))
