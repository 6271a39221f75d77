"""FP32 networks become FP16 where it is safe, and stay what they compute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import onnxruntime as ort  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from perception.backends.trt_half import nodes_kept_fp32, to_half  # noqa: E402
from perception.errors import EngineError  # noqa: E402

node = helper.make_node


def model(nodes: list[Any], shape: list[int], out: list[int], **weights: Any) -> Any:
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made


def run(proto: Any, x: Any) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {session.get_inputs()[0].name: x})


def inferred(proto: Any) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(proto, strict_mode=True).graph
    found = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    return found | {tensor.name: tensor.data_type for tensor in graph.initializer}


def inputs_of(proto: Any, op_type: str) -> list[int]:
    """Types of the first inputs of every node of a kind."""
    types = inferred(proto)
    types["x"] = types["images"] = TensorProto.FLOAT
    return [types[n.input[0]] for n in proto.graph.node if n.op_type == op_type]


def test_convolutions_are_half_and_what_follows_them_is_not(tiny: Path) -> None:
    original = onnx.load(tiny)

    converted, kept = to_half(original)

    assert inputs_of(converted, "Conv") == [TensorProto.FLOAT16] * 2
    assert inputs_of(converted, "Relu") == [TensorProto.FLOAT16]
    assert inputs_of(converted, "Add") == [TensorProto.FLOAT]
    assert kept == {"to_pixels", "flatten", "turn"} == nodes_kept_fp32(original)
    onnx.checker.check_model(converted, full_check=True)


def test_inputs_and_outputs_and_metadata_stay(tiny: Path) -> None:
    original = onnx.load(tiny)
    converted, _ = to_half(original)

    assert list(converted.graph.input) == list(original.graph.input)
    assert list(converted.graph.output) == list(original.graph.output)
    assert list(converted.metadata_props) == list(original.metadata_props)


def test_the_original_is_not_changed(tiny: Path) -> None:
    original = onnx.load(tiny)
    before = original.SerializeToString()
    to_half(original)

    assert original.SerializeToString() == before


def test_results_differ_by_rounding_only(tiny: Path) -> None:
    original = onnx.load(tiny)
    converted, _ = to_half(original)
    x = np.random.default_rng(1).random((2, 3, 32, 64), dtype=np.float32)

    (expected,), (have,) = run(original, x), run(converted, x)

    assert (
        0 < np.abs(expected - have).max() < 0.01
    )  # of values over 2000, where FP16 has steps of 2


def test_a_weight_beyond_half_s_range_goes_to_its_end(tiny: Path) -> None:
    weight = np.full((1, 1, 1, 1), 1e9, np.float32)
    converted, _ = to_half(
        model([node("Conv", ["x", "w"], ["y"])], [1, 1, 2, 2], [1, 1, 2, 2], w=weight)
    )

    (tensor,) = converted.graph.initializer
    assert numpy_helper.to_array(tensor).item() == 65504


def test_unsafe_operators_between_convolutions_stay_in_fp32() -> None:
    weight = np.full((1, 1, 1, 1), 0.5, np.float32)
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Exp", ["a"], ["b"]),
        node("Conv", ["b", "w"], ["y"]),
    ]
    converted, _ = to_half(model(nodes, [1, 1, 2, 2], [1, 1, 2, 2], w=weight))

    assert inputs_of(converted, "Exp") == [TensorProto.FLOAT]
    assert inputs_of(converted, "Conv") == [TensorProto.FLOAT16] * 2


def test_resize_keeps_its_scales(tiny: Path) -> None:
    weight = np.full((1, 1, 1, 1), 0.5, np.float32)
    nodes = [
        node("Resize", ["x", "", "scales"], ["a"], mode="nearest"),
        node("Conv", ["a", "w"], ["y"]),
    ]
    made = model(
        nodes, [1, 1, 2, 2], [1, 1, 4, 4], w=weight, scales=np.array([1, 1, 2, 2], np.float32)
    )
    converted, _ = to_half(made)

    resize = next(n for n in converted.graph.node if n.op_type == "Resize")
    assert inferred(converted)[resize.input[0]] == TensorProto.FLOAT16
    assert inferred(converted)[resize.input[2]] == TensorProto.FLOAT
    x = np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)
    assert np.array_equal(run(made, x)[0], run(converted, x)[0])


def test_a_tensor_read_by_both_is_cast_once() -> None:
    weight = np.full((1, 1, 1, 1), 0.5, np.float32)
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Conv", ["a", "w"], ["b"]),
        node("Exp", ["a"], ["c"]),
        node("Log", ["a"], ["d"]),
        node("Sum", ["b", "c", "d"], ["y"]),
    ]
    made = model(nodes, [1, 1, 2, 2], [1, 1, 2, 2], w=weight)
    converted, _ = to_half(made)

    assert sum(n.op_type == "Cast" for n in converted.graph.node) == 3  # x down, a up, b up
    x = np.arange(1, 5, dtype=np.float32).reshape(1, 1, 2, 2)
    assert np.allclose(run(made, x)[0], run(converted, x)[0], rtol=1e-2)


def test_quantised_layers_are_left_to_their_q_and_dq_nodes(make_tiny: Callable[..., Path]) -> None:
    converted, _ = to_half(onnx.load(make_tiny("quantised", quantised=True)))

    assert inputs_of(converted, "QuantizeLinear")[0] == TensorProto.FLOAT
    first, second = (n for n in converted.graph.node if n.op_type == "Conv")
    assert first.input[0] == "dq_images" and second.input[0].endswith(":fp16")
    onnx.checker.check_model(converted, full_check=True)


def test_a_subgraph_still_finds_what_it_reads() -> None:
    def branch(name: str, op: str) -> Any:
        result = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, [1, 1, 2, 2])
        return helper.make_graph([node(op, ["a"], [f"{name}_y"])], name, [], [result])

    weight = np.full((1, 1, 1, 1), 0.5, np.float32)
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node(
            "If",
            ["yes"],
            ["z"],
            then_branch=branch("then", "Neg"),
            else_branch=branch("else", "Abs"),
        ),
        node("Conv", ["z", "w"], ["y"]),
    ]
    made = model(nodes, [1, 1, 2, 2], [1, 1, 2, 2], w=weight, yes=np.array(True))
    converted, _ = to_half(made)

    x = np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)
    assert np.allclose(run(made, x)[0], run(converted, x)[0], atol=1e-3)


def test_nodes_of_the_same_name_are_told_apart() -> None:
    weight = np.full((1, 1, 1, 1), 0.5, np.float32)
    nodes = [
        node("Conv", ["x", "w"], ["a"], name="same"),
        node("Exp", ["a"], ["y"], name="same"),
    ]
    _, kept = to_half(model(nodes, [1, 1, 2, 2], [1, 1, 2, 2], w=weight))

    assert kept == {"same#1"}


def test_types_that_cannot_be_worked_out_are_an_error(tiny: Path) -> None:
    broken = onnx.load(tiny)
    broken.graph.node[0].attribute[0].ints[:] = [2, 2, 2, 2, 2]

    def fail(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("inference failed")

    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(EngineError, match="types in the ONNX"),
    ):
        patch.setattr(onnx.shape_inference, "infer_shapes", fail)
        to_half(broken)


@pytest.mark.parametrize("name", ["yolox_nano", "twinlitenet_360x640", "yunet_n_320", "fastestdet"])
def test_public_networks_keep_their_results(shared: Path, name: str) -> None:
    original = onnx.load(shared / "weights" / f"{name}.onnx")
    converted, _ = to_half(original)
    shape = [d.dim_value for d in original.graph.input[0].type.tensor_type.shape.dim]
    scale = 255 if name in ("yolox_nano", "yunet_n_320") else 1
    x = (np.random.default_rng(0).random(shape, dtype=np.float32) * scale).astype(np.float32)

    for expected, have in zip(run(original, x), run(converted, x), strict=True):
        a, b = expected.ravel().astype(np.float64), have.ravel().astype(np.float64)
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.999
        assert have.dtype == expected.dtype
    onnx.checker.check_model(converted, full_check=True)


@pytest.mark.parametrize("half", [False, True])
def test_road_s_activations_come_in_the_one_piece_that_tensorrt_fuses(
    root: Path, half: bool
) -> None:
    """X * sigmoid(x) with nothing between: TensorRT makes one kernel of it, with its convolution where it can."""
    graph = onnx.load(root / "engines/weights/road.onnx").graph
    if half:
        graph = to_half(onnx.load(root / "engines/weights/road.onnx"))[0].graph
    producer = {name: node for node in graph.node for name in node.output}
    activations = [node for node in graph.node if node.op_type == "Sigmoid"]
    assert len(activations) == 104
    for one in activations:
        (user,) = [node for node in graph.node if one.output[0] in node.input]
        assert user.op_type == "Mul" and set(user.input) == {one.input[0], one.output[0]}
        assert producer[one.input[0]].op_type == "Conv"


def test_nodes_can_be_kept_in_fp32_and_their_neighbours_are_cast(tiny: Path) -> None:
    original = onnx.load(tiny)

    converted, kept = to_half(original, keep=["conv2"])

    assert inputs_of(converted, "Conv") == [TensorProto.FLOAT16, TensorProto.FLOAT]
    assert "conv2" in kept
    x = np.random.default_rng(0).random((1, 3, 32, 64), np.float32)
    assert np.abs(run(converted, x)[0] - run(original, x)[0]).max() < 0.01
