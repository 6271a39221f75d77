"""Resize, pad, colour and normalise on the GPU: one kernel from decoded pixels to the network's input.

It computes what `perception.preprocess.Preprocessor` computes on the host, which stays the check: same
rectangle, bilinear between pixel centres, averages where shrinking leaves pixels out, values rounded to
whole levels before they are normalised. The kernel is CUDA C++ compiled at run time by NVRTC.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from perception.backends.trt_cuda import Stream
from perception.backends.trt_kernel import AREA, BILINEAR, BLOCK, KERNEL, NEAREST, PICTURE, SOURCE
from perception.backends.trt_nvrtc import compile_kernel
from perception.card import InputSpec
from perception.colour import LUMA_WEIGHTS
from perception.preprocess import Mapping, Preprocessor
from perception.types import U8, DevicePicture, Frame, Planes

ALIGNMENT = 256


class DevicePreprocessor:
    """Uploads pictures and prepares them on a stream, into an address of device memory."""

    def __init__(self, stream: Stream, *, capability: str) -> None:
        self._stream = stream
        self._module, self._kernel = compile_kernel(
            stream.cuda, SOURCE, KERNEL, capability=capability
        )
        self._room = 0
        self._device = self._host = 0
        self._view: U8 = np.zeros(0, np.uint8)
        self._places: dict[tuple[InputSpec, tuple[int, int]], Preprocessor] = {}

    def __call__(
        self, frames: Sequence[Frame], spec: InputSpec, size: tuple[int, int], target: int
    ) -> list[Mapping]:
        """Queue everything from upload to the finished input.

        Args:
            frames: of any size.
            size: (width, height) of the network's input.
            target: device address of (len(frames), 3, height, width) float32.

        Returns:
            Per frame, where its pixels went.
        """
        arrays = [array for frame in frames for array in _arrays(frame)]
        head = _aligned(len(frames) * PICTURE.itemsize)
        self._make_room(head + sum(_aligned(array.nbytes) for array in arrays))
        pictures = self._view[: len(frames) * PICTURE.itemsize].view(PICTURE)
        mappings, offset = [], head
        for number, frame in enumerate(frames):
            addresses = []
            for array in _arrays(frame):
                np.copyto(self._view[offset : offset + array.nbytes].reshape(array.shape), array)
                addresses.append(self._device + offset)
                offset += _aligned(array.nbytes)
            mapping, inner = self._place(frame, spec, size)
            out = target + number * 3 * size[0] * size[1] * 4
            pictures[number] = describe(frame, spec, size, inner, addresses, out)[0]
            mappings.append(mapping)
        self._stream.to_device(self._device, self._host, offset)
        grid = (-(-size[0] // BLOCK[0]), -(-size[1] // BLOCK[1]), len(frames))
        self._stream.launch_kernel(self._kernel, grid, BLOCK, (self._device,), (ctypes.c_void_p,))
        return mappings

    def _place(
        self, frame: Frame, spec: InputSpec, size: tuple[int, int]
    ) -> tuple[Mapping, tuple[int, int, int, int]]:
        if (spec, size) not in self._places:
            self._places[spec, size] = Preprocessor(spec, size=size)
        return self._places[spec, size].place(frame.size)

    def _make_room(self, size: int) -> None:
        if size > self._room:
            self._room = size
            self._device = self._stream.device_memory(size)
            self._host, self._view = self._stream.host_memory(size)

    def close(self) -> None:
        if self._module is not None:
            self._stream.synchronize()
            self._stream.cuda.driver.cuModuleUnload(self._module)
            self._module = None


def describe(
    frame: Frame,
    spec: InputSpec,
    size: tuple[int, int],
    inner: tuple[int, int, int, int],
    addresses: Sequence[int],
    out: int,
) -> npt.NDArray[Any]:
    """(1,) `PICTURE`: what the kernel needs to know of one frame.

    Args:
        inner: x, y, width, height of the picture inside the network's input.
        addresses: device addresses of the frame's arrays: its picture, or its y, u and v; none of a frame
            that is on the device already.
        out: device address of the input.
    """
    row = np.zeros(1, PICTURE)
    _, _, width, height = inner
    row["out"], row["out_width"], row["out_height"] = out, *size
    row["x"], row["y"], row["width"], row["height"] = inner
    row["swap"] = spec.colour == "rgb"
    row["pad"], row["mean"] = spec.pad, spec.mean
    row["inverse_std"] = 1 / np.array(spec.std, np.float32)
    if frame.device is not None:
        row["convert"] = 1
        row["matrix"] = to_bgr_matrix(frame.device.matrix, frame.device.full_range).ravel()
        _fill_from_device(row, frame.device, (width, height))
        return row
    planes = frame.planes
    if planes is None:
        shrink = min(width / frame.size[0], height / frame.size[1])
        for channel in range(3):
            plane = row["plane"][:, channel]
            _fill(plane, frame.image.shape[:2], (width, height), addresses[0] + channel, step=3)
            plane["mode"] = AREA if shrink < 0.5 else BILINEAR
    else:
        row["convert"] = 1
        row["matrix"] = to_bgr_matrix(planes.matrix, planes.full_range).ravel()
        for channel, array in enumerate((planes.y, planes.u, planes.v)):
            plane = row["plane"][:, channel]
            _fill(plane, array.shape, (width, height), addresses[channel], step=1)
            _shrink_by_blocks(plane, array.shape, (width, height))
            if channel and (width, height) == planes.size:
                _same_size(plane, planes.matrix, planes.full_range, (width, height))
    return row


def _fill_from_device(
    row: npt.NDArray[Any], picture: DevicePicture, inner: tuple[int, int]
) -> None:
    """The three planes of a picture that is on the device already; its Cb and Cr lie in pairs."""
    width, height = picture.size
    shapes = ((height, width), (height // 2, width // 2), (height // 2, width // 2))
    addresses = (picture.luma, picture.chroma, picture.chroma + 1)
    for channel, (shape, address) in enumerate(zip(shapes, addresses, strict=True)):
        plane = row["plane"][:, channel]
        _fill(plane, shape, inner, address, step=2 if channel else 1)
        plane["pitch"] = picture.pitch
        _shrink_by_blocks(plane, shape, inner)
        if channel and inner == picture.size:
            _same_size(plane, picture.matrix, picture.full_range, inner)


def _same_size(
    plane: npt.NDArray[Any], matrix: str, full_range: bool, size: tuple[int, int]
) -> None:
    """Chroma of a picture that is not resized."""
    # Half exactly, also where an odd size has half a pixel of chroma more.
    plane["scale_x"] = plane["scale_y"] = 0.5
    even = not (size[0] % 2 or size[1] % 2)
    # The one case that the host leaves to OpenCV, which does not interpolate.
    if even and matrix == "bt601" and not full_range:
        plane["mode"] = NEAREST


def _fill(
    plane: npt.NDArray[Any],
    shape: tuple[int, ...],
    size: tuple[int, int],
    address: int,
    *,
    step: int,
) -> None:
    plane["data"], plane["pitch"], plane["step"] = address, shape[1] * step, step
    plane["height"], plane["width"] = shape[:2]
    plane["block"], plane["mode"] = 1, BILINEAR
    plane["scale_x"], plane["scale_y"] = shape[1] / size[0], shape[0] / size[1]


def _shrink_by_blocks(
    plane: npt.NDArray[Any], shape: tuple[int, ...], size: tuple[int, int]
) -> None:
    """Halve as `perception.colour` does: while both sides are even and at least twice what is wanted."""
    height, width = shape[:2]
    block = 1
    while width >= 2 * size[0] and height >= 2 * size[1] and not (width % 2 or height % 2):
        width, height, block = width // 2, height // 2, block * 2
    plane["block"] = block
    plane["scale_x"], plane["scale_y"] = width / size[0], height / size[1]
    plane["mode"] = AREA if max(width / size[0], height / size[1]) >= 2 else BILINEAR


def to_bgr_matrix(matrix: str, full_range: bool) -> npt.NDArray[np.float32]:
    """(3, 4) float32: (Y, Cb, Cr, 1) as stored -> (B, G, R) in 0..255.

    ITU-R BT.709-6 items 3.2 to 3.5 solved for the colours, for any pair of luma weights.
    """
    red, blue = LUMA_WEIGHTS[matrix]
    green = 1 - red - blue
    black, luma, chroma = (0.0, 1.0, 1.0) if full_range else (16.0, 255 / 219, 255 / 224)
    from_blue, from_red = 2 * (1 - blue) * chroma, 2 * (1 - red) * chroma
    rows = np.array(
        [
            [luma, from_blue, 0.0],
            [luma, -from_blue * blue / green, -from_red * red / green],
            [luma, 0.0, from_red],
        ]
    )
    offset = -rows @ np.array([black, 128.0, 128.0])
    return np.concatenate([rows, offset[:, None]], axis=1).astype(np.float32)


def _arrays(frame: Frame) -> tuple[U8, ...]:
    """What must be uploaded."""
    if frame.device is not None:
        return ()
    planes: Planes | None = frame.planes
    return (frame.image,) if planes is None else (planes.y, planes.u, planes.v)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
