"""Fakes of TensorRT and cuda-python, and small networks for them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from perception.card import EngineCard, InputSpec


def load_sibling(name: str) -> ModuleType:
    """A module that lies beside this file."""
    full = f"tests_backends_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[full] = module
        spec.loader.exec_module(module)
    return sys.modules[full]


@dataclass
class Fake:
    """The fakes that are installed for a test."""

    version: str
    cuda: Any
    trt: Any

    @property
    def state(self) -> Any:
        return self.trt.state


VERSIONS = ("8.6.0", "10.16.1.11", "11.4.0.106")


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compiled kernels are kept for the session."""
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture
def install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kernels: Path
) -> Callable[[str], Fake]:
    """Install the fakes of one TensorRT version, with a cache folder of their own."""
    pytest.importorskip("onnx")
    monkeypatch.setenv("PERCEPTION_CACHE", str(tmp_path / "cache"))
    tensorrt, cuda_module = load_sibling("fake_tensorrt"), load_sibling("fake_cuda")

    def install_version(version: str) -> Fake:
        cuda = cuda_module.FakeCuda(kernels)
        trt = tensorrt.make(version, tensorrt.State(cuda=cuda))
        load_sibling("fake_modules").install(monkeypatch, trt, cuda)
        return Fake(version, cuda, trt)

    return install_version


@pytest.fixture(params=VERSIONS)
def each(request: pytest.FixtureRequest, install: Callable[[str], Fake]) -> Fake:
    """The fakes, once for every TensorRT version."""
    return install(request.param)


@pytest.fixture
def fake(install: Callable[[str], Fake]) -> Fake:
    """The fakes of TensorRT 10."""
    return install("10.16.1.11")


CARD = EngineCard(
    name="tiny",
    family="anchor_free",
    task="road",
    classes=("car",),
    input=InputSpec(size=(64, 32), colour="rgb", mean=(10, 20, 30), std=(50, 60, 70), multiple=16),
)


def write_tiny(
    path: Path,
    *,
    dynamic: bool = True,
    card: EngineCard | None = CARD,
    quantised: bool = False,
    grouped: bool = False,
    half_input: bool = False,
    dtype: Any = np.float32,
    seed: int = 0,
) -> Path:
    """A small convolutional network: images (N, 3, H, W) -> boxes (N, cells, 6) float32.

    Two convolutions and, after them, box arithmetic that FP16 could not hold: values in the thousands.
    """
    from onnx import TensorProto, checker, helper, numpy_helper, save

    random = np.random.default_rng(seed)
    node = helper.make_node

    def weights(name: str, *shape: int) -> Any:
        return numpy_helper.from_array((random.standard_normal(shape) * 0.2).astype(dtype), name)

    groups = 2 if grouped else 1
    initialisers = [
        weights("w1", 8, 3, 3, 3),
        weights("b1", 8),
        weights("w2", 6, 8 // groups, 1, 1),
        numpy_helper.from_array(np.array(2048.5, np.float32), "far"),
        numpy_helper.from_array(np.array([0, 6, -1], np.int64), "flat"),
    ]
    first, kernel = "images", "w1"
    nodes = []
    if quantised:
        initialisers += [
            numpy_helper.from_array(np.array(0.05, np.float32), "scale"),
            numpy_helper.from_array(np.array(0, np.int8), "zero"),
        ]
        for name in ("images", "w1"):
            nodes.append(node("QuantizeLinear", [name, "scale", "zero"], [f"q_{name}"]))
            nodes.append(node("DequantizeLinear", [f"q_{name}", "scale", "zero"], [f"dq_{name}"]))
        first, kernel = "dq_images", "dq_w1"
    half = np.dtype(dtype) == np.float16
    if half and not half_input:
        nodes.append(node("Cast", ["images"], ["images16"], to=TensorProto.FLOAT16))
        first = "images16"
    nodes += [
        node(
            "Conv", [first, kernel, "b1"], ["c1"], strides=[2, 2], pads=[1, 1, 1, 1], name="conv1"
        ),
        node("Relu", ["c1"], ["r1"], name="relu1"),
        node("Conv", ["r1", "w2"], ["c2"], group=groups, name="conv2"),
    ]
    last = "c2"
    if half:
        nodes.append(node("Cast", ["c2"], ["c2_32"], to=TensorProto.FLOAT))
        last = "c2_32"
    nodes += [
        node("Add", [last, "far"], ["pixels"], name="to_pixels"),
        node("Reshape", ["pixels", "flat"], ["rows"], name="flatten"),
        node("Transpose", ["rows"], ["boxes"], perm=[0, 2, 1], name="turn"),
    ]
    shape: list[Any] = ["batch", 3, "height", "width"] if dynamic else [1, 3, 32, 64]
    given = TensorProto.FLOAT16 if half_input else TensorProto.FLOAT
    cells: list[Any] = ["batch", "cells", 6] if dynamic else [1, 512, 6]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", given, shape)],
        [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, cells)],
        initialisers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if card is not None:
        helper.set_model_props(model, card.to_metadata())
    checker.check_model(model)
    save(model, str(path))
    return path


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """`write_tiny` with any batch and size, and a card of 64x32."""
    pytest.importorskip("onnx")
    return write_tiny(tmp_path / "tiny.onnx")


@pytest.fixture
def make_tiny(tmp_path: Path) -> Callable[..., Path]:
    """Writes a network like `tiny` under another name and with other options."""
    pytest.importorskip("onnx")
    return lambda name, **options: write_tiny(tmp_path / f"{name}.onnx", **options)
