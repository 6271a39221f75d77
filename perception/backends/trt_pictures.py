"""Decoded pictures in the memory of the GPU: room for them, and the way back to the host."""

from __future__ import annotations

import weakref
from collections import deque

import numpy as np

from perception.backends.trt_cuda import Cuda, Stream
from perception.types import Planes


class GpuPicture:
    """A `perception.types.DevicePicture` in room of a `PicturePool`, which comes back when this one goes."""

    __slots__ = ("__weakref__", "_pool", "chroma", "full_range", "luma", "matrix", "pitch", "size")

    def __init__(
        self, pool: PicturePool, address: int, size: tuple[int, int], matrix: str, full_range: bool
    ) -> None:
        self._pool = pool
        self.luma = address
        self.chroma = address + size[0] * size[1]
        self.pitch = size[0]
        self.size = size
        self.matrix = matrix
        self.full_range = full_range

    def download(self) -> Planes:
        """A copy in host memory, read-only."""
        return self._pool.download(self)


class PicturePool:
    """Keeps copies of decoded pictures on the device for as long as somebody holds them.

    A decoder writes its next pictures over its last ones, while frames wait in channels and for the
    encoder. So each is copied once within the device, which costs a thousandth of decoding it.

    Attributes:
        stream: on which the copies run; work queued on it before, as a decoder's, is waited for.
    """

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self.stream = Stream(cuda)
        self._bytes = 0
        # Given back by finalizers, which run in any thread at any moment: no lock may be needed.
        self._free: deque[tuple[int, int]] = deque()
        self._closed = False

    def context(self) -> int:
        """The CUDA context that the pictures live in."""
        current = self._cuda.call(self._cuda.driver.cuCtxGetCurrent(), "asking for the context")
        return int(current)

    def keep(
        self,
        luma: int,
        chroma: int,
        pitch: int,
        size: tuple[int, int],
        *,
        matrix: str,
        full_range: bool,
    ) -> GpuPicture:
        """Copy a picture of (width, height) whose rows are `pitch` bytes apart.

        Raises:
            EngineError: there is no room on the device.
        """
        width, height = size
        self.stream.use()
        address = self._room(width * height * 3 // 2)
        picture = GpuPicture(self, address, size, matrix, full_range)
        weakref.finalize(picture, self._give_back, address, self._bytes).atexit = False
        self.stream.copy_rows(picture.luma, width, luma, pitch, (width, height))
        self.stream.copy_rows(picture.chroma, width, chroma, pitch, (width, height // 2))
        self.stream.synchronize()
        return picture

    def download(self, picture: GpuPicture) -> Planes:
        """The picture in host memory, from any thread."""
        width, height = picture.size
        luma = np.empty((height, width), np.uint8)
        pairs = np.empty((height // 2, width // 2, 2), np.uint8)
        kind = self._cuda.runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        for array, address in ((luma, picture.luma), (pairs, picture.chroma)):
            copied = self._cuda.runtime.cudaMemcpy(array.ctypes.data, address, array.nbytes, kind)
            self._cuda.call(copied, "bringing a picture to the host")
        planes = luma, np.ascontiguousarray(pairs[..., 0]), np.ascontiguousarray(pairs[..., 1])
        for plane in planes:
            plane.flags.writeable = False
        return Planes(*planes, matrix=picture.matrix, full_range=picture.full_range)

    def close(self) -> None:
        """Free what nobody holds; the rest is freed when it is let go."""
        self._closed = True
        self.stream.close()
        self._empty()

    def _room(self, size: int) -> int:
        if size != self._bytes:
            self._empty()
            self._bytes = size
        try:
            return self._free.popleft()[0]
        except IndexError:
            what = f"taking {size / 2**20:.1f} MiB of device memory for a picture"
            return int(self._cuda.call(self._cuda.runtime.cudaMalloc(size), what))

    def _give_back(self, address: int, size: int) -> None:
        if size == self._bytes:
            self._free.append((address, size))
        else:
            self._cuda.runtime.cudaFree(address)
        if self._closed:
            self._empty()

    def _empty(self) -> None:
        while self._free:
            self._cuda.runtime.cudaFree(self._free.popleft()[0])
