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

from perception.backends.trt_cuda import Stream, compile_kernel
from perception.card import InputSpec
from perception.colour import LUMA_WEIGHTS
from perception.preprocess import Mapping, Preprocessor
from perception.types import U8, DevicePicture, Frame, Planes

KERNEL = "prepare"
BLOCK = (32, 8, 1)
ALIGNMENT = 256
BILINEAR, AREA, NEAREST = 0, 1, 2  # AREA: the mean over the output pixel's rectangle

# One plane of a source: address and geometry, and how it is sampled.
_PLANE = [
    ("data", "<u8"),
    ("pitch", "<i4"),  # bytes from row to row
    ("step", "<i4"),  # bytes from pixel to pixel
    ("width", "<i4"),
    ("height", "<i4"),
    ("block", "<i4"),  # block x block pixels are averaged to one before sampling
    ("mode", "<i4"),  # BILINEAR, AREA or NEAREST
    ("scale_x", "<f4"),  # (blocks of) source pixels per output pixel
    ("scale_y", "<f4"),
]
PICTURE = np.dtype(
    [
        ("plane", np.dtype(_PLANE), (3,)),
        ("out", "<u8"),  # (3, out_height, out_width) float32
        ("out_width", "<i4"),
        ("out_height", "<i4"),
        ("x", "<i4"),  # where the picture lies in it
        ("y", "<i4"),
        ("width", "<i4"),
        ("height", "<i4"),
        ("convert", "<i4"),  # 1: planes are Y, Cb, Cr; 0: B, G, R
        ("swap", "<i4"),  # 1: the network wants R, G, B
        ("matrix", "<f4", (12,)),  # (Y, Cb, Cr, 1) -> (B, G, R)
        ("pad", "<f4"),
        ("mean", "<f4", (3,)),  # in the network's order
        ("inverse_std", "<f4", (3,)),
        ("reserved", "<i4"),
    ]
)
SOURCE = r"""
struct Plane {
  unsigned long long data;
  int pitch, step, width, height, block, mode;
  float scale_x, scale_y;
};

struct Picture {
  Plane plane[3];
  unsigned long long out;
  int out_width, out_height, x, y, width, height, convert, swap;
  float matrix[12];
  float pad;
  float mean[3];
  float inverse_std[3];
  int reserved;
};
static_assert(sizeof(Picture) == 240, "Picture must be what the host writes");

__device__ float whole_level(float value) {
  return fminf(fmaxf(rintf(value), 0.0f), 255.0f);
}

__device__ float block_mean(const Plane& p, int bx, int by) {
  const unsigned char* data = reinterpret_cast<const unsigned char*>(p.data);
  int sum = 0;
  for (int j = 0; j < p.block; ++j) {
    const unsigned char* row = data + (long long)(by * p.block + j) * p.pitch;
    for (int i = 0; i < p.block; ++i) sum += row[(bx * p.block + i) * p.step];
  }
  return (float)sum / (float)(p.block * p.block);
}

// Between the centres of the four nearest (blocks of) pixels; the border pixel is repeated outside.
__device__ float bilinear(const Plane& p, int ox, int oy) {
  const int width = p.width / p.block, height = p.height / p.block;
  float x = (ox + 0.5f) * p.scale_x - 0.5f, y = (oy + 0.5f) * p.scale_y - 0.5f;
  x = fminf(fmaxf(x, 0.0f), (float)(width - 1));
  y = fminf(fmaxf(y, 0.0f), (float)(height - 1));
  const int x0 = (int)x, y0 = (int)y;
  const int x1 = x0 + 1 < width ? x0 + 1 : x0, y1 = y0 + 1 < height ? y0 + 1 : y0;
  const float fx = x - x0, fy = y - y0;
  const float top = block_mean(p, x0, y0) * (1.0f - fx) + block_mean(p, x1, y0) * fx;
  const float bottom = block_mean(p, x0, y1) * (1.0f - fx) + block_mean(p, x1, y1) * fx;
  return top * (1.0f - fy) + bottom * fy;
}

// The mean over the output pixel's rectangle; pixels at its border count by the share inside.
__device__ float area_mean(const Plane& p, int ox, int oy) {
  const unsigned char* data = reinterpret_cast<const unsigned char*>(p.data);
  const float sx = p.scale_x * p.block, sy = p.scale_y * p.block;
  const float left = ox * sx, right = fminf((ox + 1) * sx, (float)p.width);
  const float top = oy * sy, bottom = fminf((oy + 1) * sy, (float)p.height);
  float sum = 0.0f, weight = 0.0f;
  for (int y = (int)top; y < p.height && (float)y < bottom; ++y) {
    const float wy = fminf(bottom, y + 1.0f) - fmaxf(top, (float)y);
    const unsigned char* row = data + (long long)y * p.pitch;
    for (int x = (int)left; x < p.width && (float)x < right; ++x) {
      const float w = wy * (fminf(right, x + 1.0f) - fmaxf(left, (float)x));
      sum += w * row[x * p.step];
      weight += w;
    }
  }
  return weight > 0.0f ? sum / weight : 0.0f;
}

__device__ float nearest(const Plane& p, int ox, int oy) {
  const unsigned char* data = reinterpret_cast<const unsigned char*>(p.data);
  return data[(long long)(int)(oy * p.scale_y) * p.pitch + (int)(ox * p.scale_x) * p.step];
}

__device__ float sample(const Plane& p, int ox, int oy) {
  if (p.mode == 0) return bilinear(p, ox, oy);
  return p.mode == 1 ? area_mean(p, ox, oy) : nearest(p, ox, oy);
}

extern "C" __global__ void prepare(const Picture* pictures) {
  const Picture& t = pictures[blockIdx.z];
  const int ox = blockIdx.x * blockDim.x + threadIdx.x;
  const int oy = blockIdx.y * blockDim.y + threadIdx.y;
  if (ox >= t.out_width || oy >= t.out_height) return;
  float bgr[3] = {t.pad, t.pad, t.pad};
  const int px = ox - t.x, py = oy - t.y;
  if (px >= 0 && py >= 0 && px < t.width && py < t.height) {
    float s[3];
    for (int c = 0; c < 3; ++c) s[c] = whole_level(sample(t.plane[c], px, py));
    for (int c = 0; c < 3; ++c) {
      const float* m = t.matrix + 4 * c;
      bgr[c] = t.convert ? whole_level(m[0] * s[0] + m[1] * s[1] + m[2] * s[2] + m[3]) : s[c];
    }
  }
  float* out = reinterpret_cast<float*>(t.out);
  const long long plane = (long long)t.out_width * t.out_height;
  for (int c = 0; c < 3; ++c) {
    const float value = bgr[t.swap ? 2 - c : c];
    out[c * plane + (long long)oy * t.out_width + ox] = (value - t.mean[c]) * t.inverse_std[c];
  }
}
"""


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
