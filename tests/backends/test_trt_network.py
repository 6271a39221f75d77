"""What TensorRT is given to build: kernels to choose from, fixed shapes, and FP32 where it has no FP16."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception.backends.trt import TensorRTEngine
from perception.backends.trt_build import build
from perception.backends.trt_half import like_nodes
from perception.errors import EngineError, RequestError


@pytest.mark.parametrize("asked", ["argument", "environment"])
def test_kernels_of_other_libraries_can_be_left_out(
    each: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    build(tiny, precision="fp32")
    if asked == "environment":
        monkeypatch.setenv("PERCEPTION_TACTICS", "own")
    build(tiny, tactics="own" if asked == "argument" else None)

    free, own = each.state.configs
    sources = each.trt.TacticSource.__members__
    outside = {"CUBLAS", "CUBLAS_LT", "CUDNN"} & set(sources)
    assert all(free._sources >> value & 1 for value in sources.values())
    for name, value in sources.items():
        assert bool(own._sources >> value & 1) == (name not in outside)


def test_an_unknown_choice_of_kernels_is_refused(
    fake: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERCEPTION_TACTICS", "some")

    with pytest.raises(RequestError, match="PERCEPTION_TACTICS"):
        build(tiny)


def test_kernels_that_must_be_compiled_can_be_left_out(each: Any, tiny: Path) -> None:
    build(tiny, tactics="ready")

    (config,) = each.state.configs
    sources = each.trt.TacticSource.__members__
    assert [name for name, value in sources.items() if config._sources >> value & 1] == [
        "EDGE_MASK_CONVOLUTIONS"
    ]


def test_a_build_that_fails_for_want_of_kernels_says_which_were_left_out(
    each: Any, tiny: Path
) -> None:
    each.state.refuse = {"build"}
    with pytest.raises(EngineError, match=r"\(of the kernels that --tactics ready leaves\): Error"):
        build(tiny, tactics="ready")


def shape_of(network: Any) -> list[Any]:
    (value,) = network._model.graph.input
    return [
        dim.dim_value if dim.HasField("dim_value") else "open"
        for dim in value.type.tensor_type.shape.dim
    ]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_plan_for_one_shape_is_built_of_a_network_of_that_shape(
    each: Any, tiny: Path, precision: str
) -> None:
    build(tiny, precision=precision)
    with TensorRTEngine(tiny, precision=precision) as engine:
        assert engine.inputs[0].shape == (1, 3, 32, 64)
        given = {"images": np.zeros((1, 3, 32, 64), np.float32)}
        assert engine.infer(given)["boxes"].shape == (1, 512, 6)
    build(tiny, precision=precision, batch=4)

    single, several = map(shape_of, each.state.networks)
    assert single == [1, 3, 32, 64] and several == ["open", 3, 32, 64]


def test_the_file_s_model_is_not_changed_by_building(each: Any, tiny: Path) -> None:
    before = tiny.read_bytes()
    assert build(tiny).made and build(tiny, batch=2).made
    assert tiny.read_bytes() == before


def test_convolutions_without_an_fp16_kernel_stay_in_fp32(
    each: Any, make_tiny: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    """TensorRT 11 fails there (NVIDIA/TensorRT issue 4838), where older ones took another precision."""
    each.state.refuse = {"grouped half"}
    report = build(make_tiny("grouped", grouped=True), precision="fp16")

    assert report.made
    if each.version.startswith("8."):  # whose networks are not typed
        assert each.state.builds == 1 and not report.warnings
        return
    assert each.state.builds == 2
    assert "no fp16 kernel for conv2: 1 convolutions like it stay in FP32" in caplog.text
    assert "no fp16 kernel for 1 convolutions, which stay in FP32" in report.text()
    assert report.precisions == {"fp16": 1, "fp32": 1}


def test_a_convolution_that_has_no_kernel_at_all_ends_the_build(
    fake: Any, make_tiny: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perception.backends.trt_network.like_nodes", lambda *_: frozenset())
    fake.state.refuse = {"grouped half"}

    with pytest.raises(EngineError, match=r"could not build it: No low-precision conv kernel"):
        build(make_tiny("grouped", grouped=True), precision="fp16")
    assert fake.state.builds == 1


def test_convolutions_are_alike_by_operator_and_groups(make_tiny: Callable[..., Path]) -> None:
    import onnx

    model = onnx.load(str(make_tiny("grouped", grouped=True)))
    assert like_nodes(model, ["conv2 + relu"]) == {"conv2"}
    assert like_nodes(model, ["conv1"]) == {"conv1"}
    assert like_nodes(model, ["{ForeignNode[conv1...conv2]}"]) == frozenset()
    for node in model.graph.node:
        node.name = ""
    assert like_nodes(model, ["Conv#2"]) == {"Conv#2"}, "nodes without a name are numbered"
