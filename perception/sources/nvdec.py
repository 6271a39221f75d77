"""Decoding on an NVIDIA GPU by PyNvVideoCodec: the pictures stay in the GPU's memory.

PyAV still reads the file: packets and time stamps, edit lists and damage are the same as on the CPU. Only what
becomes of a packet differs.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

import av
import av.error
import numpy as np
from av.bitstream import BitStreamFilterContext

from perception.backends.trt_cuda import Cuda
from perception.backends.trt_pictures import GpuPicture, PicturePool
from perception.errors import EngineError
from perception.sources.decoding import PictureReader

# FFmpeg's names of what NVDEC decodes, NVIDIA's, and the filter that brings packets into the decoder's form.
CODECS = {
    "h264": ("H264", "h264_mp4toannexb"),
    "hevc": ("HEVC", "hevc_mp4toannexb"),
    "vp9": ("VP9", None),
    "av1": ("AV1", None),
}
FORMATS = ("yuv420p", "yuvj420p", "nv12")
INSTALL = "`pip install 'road-perception[nvdec]'`"


@dataclass(slots=True)
class DecodedPicture:
    """What a packet became: as much of `av.VideoFrame` as a file source needs.

    Attributes:
        pts: of the stream; None when it has none.
        device: the picture.
        is_corrupt: always False: NVDEC does not say.
    """

    pts: int | None
    device: GpuPicture
    is_corrupt: bool = False


def load() -> Any:
    """The module PyNvVideoCodec.

    Raises:
        EngineError: not installed, or it finds no driver or no video libraries.
    """
    if importlib.util.find_spec("PyNvVideoCodec") is None:
        raise EngineError(f"PyNvVideoCodec is not installed: {INSTALL}")
    try:
        return importlib.import_module("PyNvVideoCodec")
    except (
        Exception
    ) as error:  # without the driver's video libraries it raises a RuntimeError of pages
        raise EngineError(f"PyNvVideoCodec cannot be loaded: {_first_line(error)}") from error


def obstacle(stream: Any, first: av.VideoFrame) -> str | None:
    """Why NVDEC cannot decode this stream into pictures that stay on the device, or None.

    Args:
        stream: PyAV's.
        first: its first picture, decoded on the CPU.
    """
    codec = stream.codec_context.name
    if codec not in CODECS:
        return f"{codec} is not decoded there"
    if first.format.name not in FORMATS:
        return f"pictures of {first.format.name} are not passed on from there"
    if first.width % 2 or first.height % 2:
        return f"its size is odd, {first.width}x{first.height}"
    if first.pts is None:
        return "its pictures have no time stamps"
    try:
        nvc = load()
        Cuda().gpu()
        caps = nvc.GetDecoderCaps(codec=getattr(nvc.cudaVideoCodec, CODECS[codec][0]))
    except EngineError as error:
        return str(error)
    except Exception as error:  # cuda-python and PyNvVideoCodec have classes of their own
        return _first_line(error)
    if not caps["supported"]:
        return f"this GPU does not decode {codec}"
    low, high = (caps["width_min"], caps["height_min"]), (caps["width_max"], caps["height_max"])
    size = first.width, first.height
    if not (low[0] <= size[0] <= high[0] and low[1] <= size[1] <= high[1]):
        return (
            f"this GPU decodes {codec} from {low[0]}x{low[1]} to {high[0]}x{high[1]}, "
            f"not {size[0]}x{size[1]}"
        )
    return None


class GpuReader(PictureReader):
    """A `PictureReader` whose pictures are `DecodedPicture`. One pass.

    Args:
        colour: matrix and full_range of the pictures, which the decoder does not say.

    Raises:
        EngineError: the decoder cannot be made.
    """

    def __init__(self, container: Any, stream: Any, colour: tuple[str, bool], *, size: int) -> None:
        super().__init__(container, stream, size=size)
        self._matrix, self._full_range = colour
        self._nvc = load()
        name, bitstream = CODECS[stream.codec_context.name]
        self._filter = None if bitstream is None else BitStreamFilterContext(bitstream, stream)
        self._hidden: set[int] = set()
        self._undated = 0
        self._pool = PicturePool(Cuda())
        try:
            self._decoder: Any = self._nvc.CreateDecoder(
                gpuid=0,
                codec=getattr(self._nvc.cudaVideoCodec, name),
                cudacontext=self._pool.context(),
                cudastream=self._pool.stream.handle,
                usedevicememory=True,
            )
        except Exception as error:
            self._pool.close()
            raise EngineError(f"the decoder cannot be started: {_first_line(error)}") from error

    def close(self) -> None:
        """Let go of the decoder; pictures that somebody still holds stay."""
        super().close()
        if self._decoder is not None:
            self._decoder = None
            self._pool.close()

    def _fed(self, packet: Any) -> list[Any]:
        try:
            found = []
            for piece in self._pieces(packet):
                found += self._decoded(piece)
            if packet is None:
                found += self._decoded(None)
            return found
        except Exception as error:  # PyNvVideoCodec has classes of its own
            self.refused += 1
            self.note(f"the decoder refused a packet ({_first_line(error)})")
            return []

    def _tail(self, packets: list[Any], after: int) -> Any:
        # The decoder has no threads that could lose what they hold.
        yield from ()

    def _pieces(self, packet: Any) -> list[Any]:
        """The packet as the decoder wants it."""
        if packet is not None and getattr(packet, "is_discard", False) and packet.pts is not None:
            self._hidden.add(packet.pts)
        if self._filter is not None:
            return list(self._filter.filter(packet))
        return [] if packet is None else [packet]

    def _decoded(self, piece: Any) -> list[DecodedPicture]:
        """The pictures that come out when this goes in; None asks for what is still inside."""
        given = self._nvc.PacketData()
        data = np.frombuffer(b"" if piece is None else bytes(piece), np.uint8)
        given.bsl, given.bsl_data = len(data), data.ctypes.data if len(data) else 0
        if piece is not None:
            given.pts = self._marked() if piece.pts is None else piece.pts
        found = []
        for picture in self._decoder.Decode(given):
            pts = picture.getPTS()
            if pts not in self._hidden:
                found.append(DecodedPicture(None if pts < UNDATED else pts, self._keep(picture)))
        return found

    def _marked(self) -> int:
        """A time stamp that says that there is none."""
        self._undated += 1
        return UNDATED - self._undated

    def _keep(self, picture: Any) -> GpuPicture:
        """The picture in memory of our own: the decoder overwrites it with its next ones."""
        rows, width = picture.shape
        return self._pool.keep(
            picture.GetPtrToPlane(0),
            picture.GetPtrToPlane(1),
            picture.strides[0],
            (width, rows * 2 // 3),
            matrix=self._matrix,
            full_range=self._full_range,
        )


# Below every time stamp that a container can write.
UNDATED = -(2**62)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
