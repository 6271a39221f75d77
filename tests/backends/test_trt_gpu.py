"""The backend on a real GPU with a real TensorRT: `pytest -m gpu`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception.backends.installed import installed_engines
from perception.backends.onnxrt import OnnxRuntimeEngine
from perception.backends.trt import TensorRTEngine
from perception.backends.trt_build import build
from perception.backends.trt_cuda import Cuda
from perception.backends.trt_version import load_api
from perception.colour import planes_to_bgr
from perception.errors import EngineError
from perception.preprocess import Preprocessor
from perception.sources.file import FileSource
from perception.types import Frame

pytestmark = pytest.mark.gpu


def why_not() -> str | None:
    """What this machine lacks, or None."""
    try:
        load_api()
        Cuda().gpu()
    except EngineError as error:
        return str(error)
    if importlib.util.find_spec("onnx") is None:
        return "the onnx package is needed to build plans"
    return None


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reason = why_not()
    if reason:
        pytest.skip(f"needs an NVIDIA GPU with TensorRT: {reason}")
    monkeypatch.setenv("PERCEPTION_CACHE", str(tmp_path / "cache"))


def images(count: int) -> dict[str, Any]:
    return {"images": np.random.default_rng(0).random((count, 3, 32, 64), dtype=np.float32) * 255}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_small_network_runs_in_every_batch(tiny: Path, precision: str) -> None:
    report = build(tiny, precision=precision, batch=4)
    reference = OnnxRuntimeEngine(tiny)

    assert report.parity is not None and report.parity["passed"]
    with TensorRTEngine(tiny) as engine:
        for count in (1, 1, 1, 1, 4, 2, 4, 4, 4, 1):
            want = reference.infer(images(count))["boxes"]
            have = engine.infer(images(count))["boxes"]
            assert np.abs(have - want).max() < (0.01 if precision == "fp32" else 1.0)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_a_plan_of_fixed_shapes_runs_and_its_shapes_are_read_back(
    make_tiny: Callable[..., Path], precision: str, dynamic: bool
) -> None:
    path = make_tiny("fixed", dynamic=dynamic)
    report = build(path, precision=precision, force=True)

    assert report.parity is not None and report.parity["passed"]
    with TensorRTEngine(path) as engine:
        assert engine.inputs[0].shape == (1, 3, 32, 64)
        want = OnnxRuntimeEngine(path).infer(images(1))["boxes"]
        for _ in range(4):
            assert np.abs(engine.infer(images(1))["boxes"] - want).max() < 1.0


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("tactics", ["own", "ready"])
def test_grouped_convolutions_are_built_with_every_choice_of_kernels(
    make_tiny: Callable[..., Path], precision: str, tactics: str
) -> None:
    report = build(make_tiny("grouped", grouped=True), precision=precision, tactics=tactics)

    assert report.parity is not None and report.parity["passed"], report.text()


def test_a_build_says_what_it_is_doing(tiny: Path) -> None:
    told: list[str] = []
    report = build(tiny, progress=lambda what: told.append(what.phase))

    assert any(phase != "building" for phase in told), "neither phases nor the log are understood"
    assert all(seconds > 0 for _, seconds in report.slowest)


def test_a_quantised_network_runs(make_tiny: Callable[..., Path]) -> None:
    path = make_tiny("quantised", quantised=True)

    assert build(path).plan.key.precision == "int8"
    with TensorRTEngine(path) as engine:
        assert engine.infer(images(1))["boxes"].shape == (1, 512, 6)


def test_the_kernel_gives_what_the_host_gives(tiny: Path) -> None:
    build(tiny, precision="fp32", parity=False)
    image = np.random.default_rng(0).integers(0, 255, (36, 64, 3)).astype(np.uint8)
    image = np.kron(image, np.ones((10, 10, 1), np.uint8))
    with TensorRTEngine(tiny, prepare="gpu") as engine:
        assert engine.card is not None
        spec = engine.card.input
        want = engine.infer({"images": Preprocessor(spec)(Frame(image))[0]})["boxes"].copy()
        for _ in range(4):
            have = engine.infer_frames([Frame(image)], spec)[0]["boxes"]
            assert np.abs(have - want).max() < 0.1


def test_installed_engines_build_and_pass_parity() -> None:
    for path in installed_engines().values():
        for precision in ("fp32", "fp16"):
            report = build(path, precision=precision, batch=2)
            assert report.parity is not None and report.parity["passed"], path.name
            assert report.precisions.get(precision, 0) > 0


def test_a_picture_decoded_on_the_gpu_is_prepared_like_one_from_the_host(
    tiny: Path, root: Path
) -> None:
    pytest.importorskip("PyNvVideoCodec", exc_type=Exception)
    build(tiny, precision="fp32", parity=False)
    source = FileSource(root / "sample_videos" / "day_highway.mp4", decode="nvdec")
    if source.decoder != "nvdec":
        source.close()
        pytest.skip("needs PyNvVideoCodec")
    frames = list(islice(source, 8))
    source.close()
    with TensorRTEngine(tiny, prepare="gpu") as engine:
        assert engine.card is not None
        spec = engine.card.input
        for frame in frames:
            have = engine.infer_frames([frame], spec)[0]["boxes"].copy()
            on_host = Frame(planes=frame.planes, to_bgr=planes_to_bgr)
            want = engine.infer_frames([on_host], spec)[0]["boxes"]
            assert np.abs(have - want).max() < 1e-3
