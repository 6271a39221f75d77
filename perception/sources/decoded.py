"""From a decoder's frame to planes as shown: pixel format, colour and rotation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import av
import av.video.reformatter
import cv2
import numpy as np

from perception.sources import Colour
from perception.types import U8, Planes

# ITU-T H.273 matrix_coefficients that this project can convert.
MATRICES = {1: "bt709", 4: "bt601", 5: "bt601", 6: "bt601", 7: "bt709", 9: "bt2020", 10: "bt2020"}
RGB = 0
LIMITED, FULL = 1, 2
# The same matrices as libswscale names them; for Y'CbCr to Y'CbCr of one matrix the name does not matter.
SWSCALE = {"bt601": 5, "bt709": 1, "bt2020": 9}
# The tags for planes made here from RGB, which had no matrix of its own.
TAG_OF_MATRIX = {"bt601": 6, "bt709": 1, "bt2020": 9}
HD_HEIGHT = 720


@dataclass(frozen=True, slots=True)
class Orientation:
    """How stored pixels are turned to be shown: transpose first, then mirror."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    def shown(self, size: tuple[int, int]) -> tuple[int, int]:
        return (size[1], size[0]) if self.transpose else size

    def apply(self, plane: U8) -> U8:
        if self.transpose:
            plane = np.asarray(cv2.transpose(plane), np.uint8)
        if self.mirror_x or self.mirror_y:
            code = -1 if self.mirror_x and self.mirror_y else int(self.mirror_x)
            plane = np.asarray(cv2.flip(plane, code), np.uint8)
        return plane


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """From the display matrix of ISO/IEC 14496-12 section 6.2.2, to the nearest quarter turn.

    x shown = a x + c y, y shown = b x + d y, with the matrix stored as a b u c d v x y w.
    """
    side_data: Any = frame.side_data
    data = side_data.get("DISPLAYMATRIX")
    if data is None:
        return Orientation()
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].astype(np.int64).tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(transpose=True, mirror_x=c < 0, mirror_y=b < 0)
    return Orientation(mirror_x=a < 0, mirror_y=d < 0)


class PlanesReader:
    """Turns the frames of one stream into planes, all of the first frame's size and colour.

    Planes of 8-bit 4:2:0 video are views of the decoder's own memory, read-only, which they keep alive.
    Anything else (10 bit, 4:2:2, 4:4:4, RGB, palette) takes one pass of libswscale to 8-bit 4:2:0 of the
    same matrix and range.

    A matrix that the stream does not name is taken as BT.709 from 720 lines up, else BT.601: the rule that
    players follow.

    Attributes:
        size: (width, height) as shown.
        matrix, full_range: of the planes.
        colour: tags for an output that carries the planes.
        rescaled: frames that had another size than the first and were scaled to it.
    """

    def __init__(self, first: av.VideoFrame) -> None:
        self.coded_size = first.width, first.height
        self.orientation = orientation_of(first)
        self._turned = self.orientation != Orientation()
        self.size = self.orientation.shown(self.coded_size)
        self.rescaled = 0
        space = int(first.colorspace)
        rgb = space == RGB or _is_rgb(first.format)
        by_height = "bt709" if min(self.coded_size) >= HD_HEIGHT else "bt601"
        self.matrix = by_height if rgb else MATRICES.get(space, by_height)
        stored_full = "yuvj" in first.format.name or int(first.color_range) == FULL
        self.full_range = stored_full and not rgb
        self.colour = Colour(
            primaries=int(getattr(first, "color_primaries", 2)),
            trc=int(getattr(first, "color_trc", 2)),
            space=TAG_OF_MATRIX[self.matrix] if rgb else space,
            range=LIMITED if rgb else FULL if self.full_range else int(first.color_range),
        )
        self._reformatter = av.video.reformatter.VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> Planes:
        resized = (frame.width, frame.height) != self.coded_size
        self.rescaled += resized
        name = frame.format.name
        if resized or name not in ("yuv420p", "yuvj420p", "nv12"):
            frame = self._reformat(frame)
            name = "yuv420p"
        stored = frame.planes  # made anew each time it is asked for
        y = _view(stored[0])
        if name == "nv12":
            chroma = _view(stored[1], channels=2)
            u, v = np.ascontiguousarray(chroma[..., 0]), np.ascontiguousarray(chroma[..., 1])
        else:
            u, v = _view(stored[1]), _view(stored[2])
        if self._turned:
            y, u, v = (self.orientation.apply(plane) for plane in (y, u, v))
        for plane in (y, u, v):
            # The decoder still refers to this memory for the pictures to come.
            plane.flags.writeable = False
        return Planes(y, u, v, matrix=self.matrix, full_range=self.full_range)

    def _reformat(self, frame: av.VideoFrame) -> av.VideoFrame:
        rgb = _is_rgb(frame.format)
        target = FULL if self.full_range else LIMITED
        full = rgb or "yuvj" in frame.format.name or int(frame.color_range) == FULL
        return self._reformatter.reformat(
            frame,
            width=self.coded_size[0],
            height=self.coded_size[1],
            format="yuv420p",
            src_colorspace=SWSCALE[self.matrix],
            dst_colorspace=SWSCALE[self.matrix],
            src_color_range=FULL if full else LIMITED,
            dst_color_range=target,
        )


def _is_rgb(pixel_format: Any) -> bool:
    return bool(pixel_format.is_rgb) or pixel_format.has_palette


def _view(plane: Any, *, channels: int = 1) -> U8:
    """A plane without its line padding, as a view: (H, W) or (H, W, channels) uint8."""
    stride = plane.line_size
    lines = np.frombuffer(plane, np.uint8).reshape(plane.height, abs(stride))
    if stride < 0:
        lines = lines[::-1]
    pixels = lines[:, : plane.width * channels]
    return pixels if channels == 1 else pixels.reshape(plane.height, plane.width, channels)
