"""The GPU kernel gives what the host path gives: the kernel is compiled for the CPU and run."""

from __future__ import annotations

import gc
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception.backends.trt import TensorRTEngine
from perception.backends.trt_build import build
from perception.backends.trt_cuda import Cuda, Stream
from perception.backends.trt_kernel import KERNEL, PICTURE, SOURCE
from perception.backends.trt_nvrtc import compile_to_cubin
from perception.backends.trt_pictures import PicturePool
from perception.backends.trt_preprocess import (
    DevicePreprocessor,
    to_bgr_matrix,
)
from perception.card import InputSpec
from perception.colour import LUMA_WEIGHTS, bgr_to_planes, planes_to_bgr
from perception.errors import EngineError
from perception.preprocess import Preprocessor
from perception.types import Frame

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="needs g++ to run the kernel"
)
SPEC = InputSpec(size=(64, 32), colour="rgb", mean=(10, 20, 30), std=(50, 60, 70))
RAW = InputSpec(size=(64, 32))  # levels as they are, so that differences are in levels


def picture(width: int, height: int, seed: int = 0) -> Any:
    """Smooth colours with a few edges: something resampling can get wrong."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / a) * np.cos(y / b) for a, b in ((7, 11), (13, 5), (23, 17))]
    image = np.stack(waves, axis=2) * 100 + 128
    image[height // 3 : height // 2, width // 4 : width // 2] = random.integers(0, 255, 3)
    return image.clip(0, 255).astype(np.uint8)


def on_device(fake: Any, frames: list[Frame], spec: InputSpec, size: tuple[int, int]) -> Any:
    stream = Stream(Cuda())
    count = len(frames) * 3 * size[0] * size[1]
    target = stream.device_memory(count * 4)
    prepare = DevicePreprocessor(stream, capability="8.7")
    mappings = prepare(frames, spec, size, target)
    stream.synchronize()
    tensor = np.frombuffer(bytes(fake.cuda.view(target, count * 4)), np.float32)
    prepare.close()
    prepare.close()
    stream.close()
    assert not fake.cuda.memory
    return tensor.reshape(len(frames), 3, size[1], size[0]), mappings


def on_host(frame: Frame, spec: InputSpec, size: tuple[int, int]) -> Any:
    tensor, mapping = Preprocessor(spec, size=size)(frame)
    return tensor[0].copy(), mapping


def as_planes(image: Any, matrix: str, full_range: bool = False) -> Frame:
    planes = bgr_to_planes(image, matrix=matrix, full_range=full_range)
    return Frame(planes=planes, to_bgr=planes_to_bgr)


@needs_compiler
@pytest.mark.parametrize("fit", ["letterbox", "letterbox_top_left", "stretch"])
@pytest.mark.parametrize("source", [(64, 32), (96, 40), (50, 47), (200, 100), (333, 211), (20, 12)])
def test_a_picture_comes_out_as_on_the_host(fake: Any, source: tuple[int, int], fit: str) -> None:
    spec = InputSpec(size=(64, 32), fit=fit)
    frame = Frame(picture(*source))

    (tensor,), (mapping,) = on_device(fake, [frame], spec, (64, 32))
    expected, expected_mapping = on_host(frame, spec, (64, 32))

    assert mapping == expected_mapping
    # OpenCV's bilinear weights have 11 bits: a level at most.
    assert np.abs(tensor - expected).max() <= 1.0
    assert np.abs(tensor - expected).mean() < 0.2


@needs_compiler
@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize(
    "source", [(64, 32), (128, 64), (300, 180), (640, 360), (331, 187), (41, 33)]
)
def test_planes_come_out_as_on_the_host(
    fake: Any, source: tuple[int, int], matrix: str, full_range: bool
) -> None:
    frame = as_planes(picture(*source), matrix, full_range)

    (tensor,), _ = on_device(fake, [frame], RAW, (64, 32))
    expected, _ = on_host(frame, RAW, (64, 32))

    # Three planes rounded apart, and chroma weighs up to 2.1: a few levels in single pixels at edges.
    assert np.abs(tensor - expected).max() <= 4.0
    assert np.abs(tensor - expected).mean() < 0.6


@needs_compiler
def test_mean_std_and_colour_order_are_applied(fake: Any) -> None:
    frame = Frame(np.full((32, 64, 3), (40, 80, 120), np.uint8))

    (tensor,), _ = on_device(fake, [frame], SPEC, (64, 32))

    expected = [(120 - 10) / 50, (80 - 20) / 60, (40 - 30) / 70]
    assert np.allclose(tensor[:, 5, 5], expected, atol=1e-6)
    assert np.abs(tensor - on_host(frame, SPEC, (64, 32))[0]).max() < 1e-6


@needs_compiler
def test_a_batch_of_different_sizes_is_one_launch(fake: Any) -> None:
    frames = [
        Frame(picture(100, 80)),
        as_planes(picture(64, 32, 1), "bt709"),
        Frame(picture(64, 32, 2)),
    ]

    tensor, mappings = on_device(fake, frames, RAW, (64, 32))

    assert fake.cuda.calls["cuLaunchKernel"] == 1
    assert len({mapping.scale for mapping in mappings}) == 2
    for ours, frame in zip(tensor, frames, strict=True):
        assert np.abs(ours - on_host(frame, RAW, (64, 32))[0]).max() <= 4.0


@needs_compiler
def test_a_larger_picture_makes_room_and_smaller_ones_reuse_it(fake: Any) -> None:
    stream = Stream(Cuda())
    target = stream.device_memory(3 * 64 * 32 * 4)
    prepare = DevicePreprocessor(stream, capability="8.7")

    for width in (64, 200, 100, 64):
        prepare([Frame(picture(width, 40))], RAW, (64, 32), target)
        stream.synchronize()

    assert fake.cuda.calls["cudaMalloc"] == 3  # the target, 64 wide, 200 wide
    stream.close()


def test_the_host_and_the_kernel_agree_on_the_layout() -> None:
    assert PICTURE.itemsize == 240
    assert PICTURE.fields is not None
    assert [PICTURE.fields[name][1] for name in ("out", "matrix", "mean")] == [120, 160, 212]


@pytest.mark.parametrize("matrix", sorted(LUMA_WEIGHTS))
@pytest.mark.parametrize(("full_range", "black", "white"), [(False, 16, 235), (True, 0, 255)])
def test_black_and_white_are_exact(matrix: str, full_range: bool, black: int, white: int) -> None:
    conversion = to_bgr_matrix(matrix, full_range)

    assert np.allclose(conversion @ [black, 128, 128, 1], 0, atol=1e-3)
    assert np.allclose(conversion @ [white, 128, 128, 1], 255, atol=1e-3)


@pytest.mark.parametrize("capability", ["7.5", "8.7", "9.0"])
def test_the_kernel_compiles_for_real_gpus(capability: str) -> None:
    pytest.importorskip(
        "cuda.bindings.nvrtc", reason="needs cuda-python's NVRTC", exc_type=ImportError
    )
    try:
        binary = compile_to_cubin(Cuda(), SOURCE, KERNEL, capability=capability)
    except RuntimeError as error:
        pytest.skip(f"cuda-python is here, but not the NVRTC library: {error}")

    assert binary[:4] == b"\x7fELF"


def test_a_kernel_that_does_not_compile_shows_the_compiler_s_words(
    install: Callable[[str], Any],
) -> None:
    install("10.16.1.11")

    with pytest.raises(
        EngineError, match=r"compute 8\.7: prepare.cu\(1\): error: this does not compile$"
    ):
        compile_to_cubin(Cuda(), "this does not compile", "prepare", capability="8.7")


@needs_compiler
@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("source", [(64, 32), (128, 64), (300, 180), (642, 362), (40, 34)])
def test_a_picture_on_the_device_is_prepared_like_the_same_planes(
    fake: Any, source: tuple[int, int], matrix: str
) -> None:
    planes = bgr_to_planes(picture(*source), matrix=matrix)
    pool = PicturePool(Cuda())
    pitch = -(-source[0] // 64) * 64
    staged, address, view = [], pool.stream.device_memory(pitch * source[1] * 3 // 2), None
    view = fake.cuda.view(address, pitch * source[1] * 3 // 2)
    rows = np.frombuffer(view, np.uint8).reshape(-1, pitch)
    rows[: source[1], : source[0]] = planes.y
    rows[source[1] :, : source[0]] = np.stack([planes.u, planes.v], axis=2).reshape(-1, source[0])
    for _ in range(2):
        staged.append(
            pool.keep(
                address, address + pitch * source[1], pitch, source, matrix=matrix, full_range=False
            )
        )
    del view, rows
    on_gpu = [Frame(device=kept, to_bgr=planes_to_bgr) for kept in staged]
    on_host = Frame(planes=planes, to_bgr=planes_to_bgr)

    copies = fake.cuda.calls["cudaMemcpy"]
    stream = Stream(Cuda())
    target = stream.device_memory(3 * 3 * 64 * 32 * 4)
    prepare = DevicePreprocessor(stream, capability="8.7")
    mappings = prepare([*on_gpu, on_host], SPEC, (64, 32), target)
    stream.synchronize()
    tensor = np.frombuffer(bytes(fake.cuda.view(target, 3 * 3 * 64 * 32 * 4)), np.float32)
    first, second, third = tensor.reshape(3, -1)

    assert np.array_equal(first, third) and np.array_equal(second, third)
    assert mappings[0] == mappings[2]
    assert fake.cuda.calls["cudaMemcpy"] == copies, "nothing came to the host"
    down = on_gpu[1].planes
    assert down is not None and np.array_equal(down.v, planes.v)
    prepare.close()
    stream.close()
    pool.close()
    del staged, on_gpu, down
    gc.collect()
    assert not fake.cuda.memory


@needs_compiler
def test_a_thread_of_its_own_can_prepare_pictures(fake: Any, tiny: Path) -> None:
    """A new thread has no CUDA context: the kernel could not be loaded in it."""
    build(tiny, precision="fp32", parity=False)
    image = picture(96, 40)
    with TensorRTEngine(tiny, prepare="gpu") as engine:
        assert engine.card is not None
        spec, found = engine.card.input, []
        threads = [
            threading.Thread(
                target=lambda: found.append(engine.infer_frames([Frame(image)], spec)[0])
            )
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
            thread.join()

    assert len(found) == 2


def test_a_network_that_takes_fp16_gets_its_pictures_from_the_host(
    each: Any, make_tiny: Any
) -> None:
    """The kernel writes float32, twice what such an input has room for."""
    path = make_tiny("half", dtype=np.float16, half_input=True)
    report = build(path, precision="fp16")
    assert report.parity is not None and report.parity["passed"]
    frame = Frame(picture(64, 32))
    with TensorRTEngine(path) as engine:
        assert engine.inputs[0].dtype == np.float16
        outputs, _ = engine.infer_frames([frame], SPEC)
        found = outputs["boxes"].copy()
        tensor, _ = Preprocessor(SPEC, size=(64, 32))(frame)
        wanted = engine.infer({"images": tensor.astype(np.float16)})["boxes"]
        np.testing.assert_array_equal(found, wanted)
