"""Decoding on the GPU through a fake PyNvVideoCodec, which has what the real one has."""

from __future__ import annotations

import ast
import gc
import importlib.util
import json
import shutil
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from importlib.machinery import ModuleSpec
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from perception.errors import InputError, RequestError
from perception.sources import file as file_module
from perception.sources import nvdec, open_source
from perception.sources.file import FileSource
from tests.clips import clip, number_in, variable_pts

HERE = Path(__file__).parent
SIZE = (128, 96)


def sibling(path: Path) -> ModuleType:
    name = f"tests_nvdec_{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The fakes of cuda-python and PyNvVideoCodec, installed."""
    backends = HERE.parent / "backends"
    cuda = sibling(backends / "fake_cuda.py").FakeCuda(tmp_path)
    sibling(backends / "fake_modules.py").install(monkeypatch, ModuleType("tensorrt"), cuda)
    return sibling(HERE / "fake_nvdec.py").install(monkeypatch, cuda)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def call(container: str = "mp4", codec: str = "libx264", **options: Any) -> Path:
        path = tmp_path / f"clip.{container}"
        path.write_bytes(clip(container, codec, **options))
        return path

    return call


def planes_of(frame: Any) -> list[Any]:
    return [np.array(getattr(frame.planes, name)) for name in "yuv"]


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("mp4", "libx264", {"codec_options": (("bf", "2"),)}),
        ("matroska", "libx264", {"pts": variable_pts(30), "time_base": Fraction(1, 1000)}),
        ("mpegts", "libx264", {}),
        ("webm", "libvpx-vp9", {"codec_options": (("cpu-used", "8"), ("deadline", "realtime"))}),
        ("mp4", "libx264", {"size": (130, 98)}),
    ],
)
def test_the_same_frames_come_from_the_gpu(
    state: Any, write: Callable[..., Path], container: str, codec: str, options: dict[str, Any]
) -> None:
    path = write(container, codec, **options)
    want = list(FileSource(path, decode="cpu"))
    source = FileSource(path)

    have = list(source)  # all at once: the decoder has long overwritten its own memory
    source.close()

    assert source.decoder == "nvdec"
    assert [f.pts for f in have] == [f.pts for f in want]
    assert [f.size for f in have] == [f.size for f in want]
    for mine, other in zip(have, want, strict=True):
        assert mine.device is not None
        assert all(
            np.array_equal(a, b) for a, b in zip(planes_of(mine), planes_of(other), strict=True)
        )
        assert np.array_equal(mine.image, other.image)
    assert source.corrupt == 0 and source.damage == []


def test_pictures_come_to_the_host_only_when_asked_for(
    state: Any, write: Callable[..., Path]
) -> None:
    source = open_source(str(write()))
    frames = list(source)

    assert state.cuda.calls["cudaMemcpy"] == 0
    assert frames[7].planes is frames[7].planes
    assert state.cuda.calls["cudaMemcpy"] == 2
    assert number_in(frames[7].planes.y) == 7
    assert not frames[7].planes.y.flags.writeable
    source.close()


def test_room_comes_back_and_is_used_again(state: Any, write: Callable[..., Path]) -> None:
    source = FileSource(write(frames=60))
    assert sum(1 for _ in source) == 60
    assert state.cuda.calls["cudaMalloc"] < 8, "a picture that nobody holds is not kept"
    source.close()
    source = FileSource(write(frames=20))
    held = list(islice(source, 3))
    source.close()
    gc.collect()
    assert held[2].planes is not None, "a frame outlives its source"
    del held
    gc.collect()
    assert not state.cuda.memory and not state.open


def test_a_closed_source_leaves_nothing(state: Any, write: Callable[..., Path]) -> None:
    source = FileSource(write())
    frames = iter(source)
    frame = next(frames)
    source.close()
    source.close()
    assert list(frames) == []
    assert number_in(frame.planes.y) == 0
    del frame, frames
    gc.collect()
    assert not state.cuda.memory and not state.cuda.streams and not state.open


def test_frames_are_read_in_another_thread(state: Any, write: Callable[..., Path]) -> None:
    source = FileSource(write())
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.extend(source))
    thread.start()
    thread.join()
    assert len(found) == 30
    source.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"codec": "mpeg4"}, "mpeg4 is not decoded there"),
        ({"pixel_format": "yuv444p"}, "yuv444p are not passed on"),
        ({"size": (129, 97), "pixel_format": "yuv444p"}, "yuv444p"),
        ({"rotation": 90}, "turned"),
    ],
)
def test_what_the_gpu_cannot_do_is_done_on_the_cpu(
    state: Any,
    write: Callable[..., Path],
    caplog: pytest.LogCaptureFixture,
    options: dict[str, Any],
    said: str,
) -> None:
    path = write("mp4", **options)
    with caplog.at_level("DEBUG"):
        source = FileSource(path)

    assert source.decoder == "cpu" and said in caplog.text
    assert next(iter(source)).device is None
    source.close()


def test_codecs_and_sizes_of_the_gpu_are_respected(
    state: Any, write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    state.supported = set()
    with caplog.at_level("DEBUG"):
        FileSource(write()).close()
    state.supported, state.largest = {"H264"}, (64, 64)
    with caplog.at_level("DEBUG"):
        FileSource(write()).close()

    assert "this GPU does not decode h264" in caplog.text
    assert "from 48x16 to 64x64, not 128x96" in caplog.text


def test_a_decoder_that_does_not_start_is_one_sentence(
    state: Any, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise RuntimeError("\nPyNvVCException : no session left\nat NvDecoder.cpp:1")

    monkeypatch.setattr(sys.modules["PyNvVideoCodec"], "CreateDecoder", refuse)
    source = FileSource(write())

    assert source.decoder == "cpu"
    assert [number_in(frame.planes.y) for frame in source if frame.planes] == list(range(30))
    gc.collect()
    assert not state.cuda.streams
    with pytest.raises(InputError, match=r"no session left; nor by PyAV there .*--decode cpu"):
        FileSource(write(), decode="nvdec")


def test_a_refused_packet_is_counted_and_told(state: Any, write: Callable[..., Path]) -> None:
    source = FileSource(write(codec_options=(("g", "5"), ("bf", "0"))))
    state.refuse_at = state.packets + 11
    frames = list(source)

    assert len(frames) == 29 and source.corrupt == 1
    assert any("returned error 1" in sentence for sentence in source.damage)
    source.close()


def test_without_the_package_the_cpu_decodes(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with caplog.at_level("DEBUG"):
        source = FileSource(write())

    assert source.decoder == "cpu" and "road-perception[nvdec]" in caplog.text
    source.close()


def test_a_package_without_a_driver_is_one_sentence(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: ModuleSpec(name, None))

    def broken(name: str) -> ModuleType:
        raise RuntimeError("libnvidia-encode.so.1: cannot open\n\n=== TROUBLESHOOTING ===\npages")

    monkeypatch.setattr(nvdec.importlib, "import_module", broken)
    with caplog.at_level("DEBUG"):
        FileSource(write()).close()

    assert "cannot be loaded: libnvidia-encode.so.1: cannot open" in caplog.text
    assert "TROUBLESHOOTING" not in caplog.text


def test_nvdec_without_the_package_decodes_by_pyav(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyAV's own way, with the acceleration left out: this machine has none."""
    asked = []
    real = file_module.opened

    def opened(path: Path, *, hwaccel: Any = None) -> Any:
        asked.append(hwaccel is not None)
        return real(path)

    monkeypatch.setattr(file_module, "opened", opened)
    monkeypatch.setattr(nvdec, "obstacle", lambda *_: "not installed")
    source = FileSource(write(), decode="nvdec")

    assert source.decoder == "nvdec through the host" and asked == [False, True]
    assert [number_in(frame.planes.y) for frame in source if frame.planes] == list(range(30))
    source.close()


def test_cpu_never_looks_for_a_gpu(
    state: Any, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvdec, "obstacle", lambda *_: pytest.fail("looked"))
    assert FileSource(write(), decode="cpu").decoder == "cpu"
    with pytest.raises(RequestError, match="place to decode"):
        FileSource(write(), decode="gpu")


def test_every_name_is_in_the_real_api() -> None:
    """Names behind `nvc.`, of the packet and of the pictures."""
    real = json.loads((HERE / "nvdec_api" / "2.2.4.json").read_text())
    owners = {"given": "PacketData", "picture": "DecodedFrame", "self._decoder": "PyNvDecoder"}
    used: set[str] = set()
    for node in ast.walk(ast.parse(Path(nvdec.__file__).read_text())):
        if isinstance(node, ast.Attribute):
            base = ast.unparse(node.value)
            if base in owners:
                assert node.attr in real[owners[base]], f"{owners[base]} has no {node.attr}"
                used.add(f"{base}.{node.attr}")
            elif base in ("nvc", "self._nvc"):
                assert node.attr in real, f"there is no {node.attr}"
                used.add(node.attr)
    assert len(used) > 10
    assert all(codec in real["cudaVideoCodec"] for codec, _ in nvdec.CODECS.values())


@pytest.mark.slow
def test_the_committed_listing_is_what_the_real_package_says(tmp_path: Path) -> None:
    if shutil.which("gcc") is None or shutil.which("nm") is None:
        pytest.skip("needs gcc and nm, to compile stand-ins for the driver's libraries")
    import subprocess

    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "-q"]
    wanted = ["-d", str(tmp_path), "PyNvVideoCodec==2.2.4"]
    subprocess.run([*command, *wanted], capture_output=True, check=False)
    found = list(tmp_path.glob("*.whl"))
    if not found:
        pytest.skip("the package index does not give PyNvVideoCodec for this interpreter")
    script = sibling(HERE / "nvdec_api.py")

    assert script.listing_of(found[0]) == json.loads(
        (HERE / "nvdec_api" / "2.2.4.json").read_text()
    )
