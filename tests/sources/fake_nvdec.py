"""A PyNvVideoCodec without a GPU, for tests: PyAV decodes on the CPU into a fake GPU's memory.

As the real one it gives pictures four behind, writes new pictures over the last call's, wants packets with start
codes, and has nothing that the committed listing of the real API lacks.
"""

from __future__ import annotations

import ctypes
import enum
import json
import sys
from collections import deque
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np

LISTING = json.loads((Path(__file__).with_name("nvdec_api") / "2.2.4.json").read_text())
BEHIND = 4
PITCH = 256  # rows begin at multiples of this
CODECS = {"H264": "h264", "HEVC": "hevc", "VP9": "vp9"}


@dataclass
class State:
    """What a test tells the fake, and what it was told.

    Attributes:
        supported: codecs that this GPU decodes.
        largest: (width, height).
        refuse_at: number of the packet at which `Decode` fails; None never does.
        packets: that came.
        asked: keyword arguments of `CreateDecoder`.
        open: decoders that live.
    """

    cuda: Any
    supported: set[str] = field(default_factory=lambda: set(CODECS))
    largest: tuple[int, int] = (4096, 4096)
    refuse_at: int | None = None
    packets: int = 0
    asked: dict[str, Any] = field(default_factory=dict)
    open: int = 0


def make(state: State) -> ModuleType:
    """The module."""
    nvc = ModuleType("PyNvVideoCodec")
    nvc.__version__ = LISTING["__version__"]  # type: ignore[attr-defined]
    members = [name for name, kind in LISTING["cudaVideoCodec"].items() if kind == "="]
    codecs = enum.IntEnum("cudaVideoCodec", {name: i for i, name in enumerate(members)})

    class PacketData:
        __slots__ = [name for name, kind in LISTING["PacketData"].items() if kind == "rw"]

    class DecodedFrame:
        def __init__(self, address: int, frame: Any) -> None:
            self._address, self._pts = address, frame.pts
            self._width, self._height = frame.width, frame.height

        @property
        def shape(self) -> tuple[int, int]:
            return self._height * 3 // 2, self._width

        @property
        def strides(self) -> tuple[int, int]:
            return _pitch(self._width), 1

        def GetPtrToPlane(self, plane: int) -> int:
            return self._address + plane * self._height * _pitch(self._width)

        def getPTS(self) -> int:
            return int(self._pts)

    class PyNvDecoder:
        def __init__(self, codec: str) -> None:
            self._context: Any = av.CodecContext.create(codec, "r")
            self._context.thread_count = 1
            self._waiting: deque[Any] = deque()
            self._surfaces: list[tuple[int, Any]] = []
            state.open += 1

        def __del__(self) -> None:
            for address, _ in self._surfaces:
                del state.cuda.memory[address]
            state.open -= 1

        def Decode(self, packet: Any) -> list[Any]:
            if packet.bsl == 0:
                self._waiting += self._context.decode(None)
                behind = 0
            else:
                state.packets += 1
                if state.packets - 1 == state.refuse_at:
                    raise RuntimeError(
                        "PyNvVCException: cuvidParseVideoData returned error 1\nat line 3"
                    )
                data = ctypes.string_at(packet.bsl_data, packet.bsl)
                if self._context.name in ("h264", "hevc"):
                    assert data.startswith((b"\0\0\0\1", b"\0\0\1")), "no start code"
                given = av.Packet(data)
                given.pts = packet.pts
                self._waiting += self._context.decode(given)
                behind = BEHIND
            count = max(0, len(self._waiting) - behind)
            return [
                DecodedFrame(self._write(number, frame), frame)
                for number, frame in enumerate(self._waiting.popleft() for _ in range(count))
            ]

        def _write(self, number: int, frame: Any) -> int:
            """Into the surface of this number, over what the last call left there."""
            pitch = _pitch(frame.width)
            if number == len(self._surfaces):
                buffer = (ctypes.c_uint8 * (pitch * frame.height * 3 // 2))()
                state.cuda.memory[ctypes.addressof(buffer)] = ("device", buffer)
                self._surfaces.append((ctypes.addressof(buffer), buffer))
            address, buffer = self._surfaces[number]
            planes = np.frombuffer(buffer, np.uint8).reshape(-1, pitch)
            stacked = frame.reformat(format="nv12").to_ndarray()
            planes[:, : frame.width] = stacked
            return address

    def create(**options: Any) -> Any:
        known = LISTING["CreateDecoder"].strip("()").split(", ")
        assert set(options) <= set(known), f"CreateDecoder takes {known}"
        assert options["usedevicememory"] and options["cudastream"] in state.cuda.streams
        state.asked.update(options)
        return PyNvDecoder(CODECS[codecs(options["codec"]).name])

    def caps(**options: Any) -> dict[str, int]:
        assert set(options) <= set(LISTING["GetDecoderCaps"].strip("()").split(", "))
        return {
            "supported": int(codecs(options["codec"]).name in state.supported),
            "width_min": 48,
            "height_min": 16,
            "width_max": state.largest[0],
            "height_max": state.largest[1],
        }

    for one in (DecodedFrame, PyNvDecoder):
        public = {name for name in vars(one) if not name.startswith("_")}
        assert public <= set(LISTING[one.__name__]), f"the real {one.__name__} has no {public}"
    values = {
        "CreateDecoder": create,
        "GetDecoderCaps": caps,
        "PacketData": PacketData,
        "cudaVideoCodec": codecs,
    }
    for name, value in values.items():
        assert name in LISTING
        setattr(nvc, name, value)
    return nvc


def install(monkeypatch: Any, cuda: Any) -> State:
    """Put the fake where the sources import the real one from."""
    state = State(cuda)
    module = make(state)
    module.__spec__ = ModuleSpec("PyNvVideoCodec", None)
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", module)
    return state


def _pitch(width: int) -> int:
    return -(-width // PITCH) * PITCH
