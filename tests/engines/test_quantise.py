"""An INT8 file: pairs around the right layers, as TensorRT takes them, and the same answers within reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engines.quantise import last_layers, main, quantise
from perception.backends.onnxrt import OnnxRuntimeEngine
from perception.card import EngineCard, InputSpec
from perception.errors import InputError, RequestError

CARD = EngineCard(
    name="small",
    family="anchor_free",
    task="road",
    classes=("car",),
    input=InputSpec(size=(64, 32), std=(255, 255, 255)),
)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Dense, depthwise, dense and last convolution."""
    random = np.random.default_rng(0)
    shapes = {"w1": (8, 3, 3, 3), "w2": (8, 1, 3, 3), "w3": (8, 8, 1, 1), "w4": (6, 8, 1, 1)}
    weights = [
        numpy_helper.from_array((random.standard_normal(shape) * 0.3).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    weights.append(numpy_helper.from_array(np.zeros(8, np.float32), "bias"))
    node = helper.make_node
    nodes = [
        node("Conv", ["images", "w1", "bias"], ["a"], pads=[1, 1, 1, 1], name="first"),
        node("Relu", ["a"], ["b"], name="relu"),
        node("Conv", ["b", "w2"], ["c"], group=8, pads=[1, 1, 1, 1], name="depthwise"),
        node("Conv", ["c", "w3"], ["d"], name="middle"),
        node("Relu", ["d"], ["e"], name="relu2"),
        node("Conv", ["e", "w4"], ["f"], name="last"),
        node("Transpose", ["f"], ["out"], perm=[0, 2, 3, 1], name="turn"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", "h", "w", 6])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, CARD.to_metadata())
    path = tmp_path / "small.onnx"
    onnx.save(model, str(path))
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = []
    for number in range(4):
        image = np.random.default_rng(number).integers(0, 255, (4, 8, 3)).astype(np.uint8)
        paths.append(tmp_path / f"{number}.png")
        cv2.imwrite(str(paths[-1]), cv2.resize(image, (128, 64)))
    return paths


def quantised_convolutions(proto: Any) -> set[str]:
    made = {name: node for node in proto.graph.node for name in node.output}
    return {
        node.name
        for node in proto.graph.node
        if node.op_type == "Conv"
        and all(made[name].op_type == "DequantizeLinear" for name in node.input[:2] if name in made)
        and node.input[0] in made
    }


def test_dense_layers_inside_are_quantised_and_the_answers_stay(
    network: Path, pictures: list[Path], tmp_path: Path
) -> None:
    output = tmp_path / "small-int8.onnx"

    assert quantise(network, output, pictures=pictures, count=4) == 2
    proto = onnx.load(str(output))
    assert quantised_convolutions(proto) == {"first", "middle"}
    # As TensorRT wants it: no zero points, weights quantised in the graph, biases as they were.
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert not constants[node.input[2]].any() and constants[node.input[2]].dtype == np.int8
    assert constants["bias"].dtype == np.float32
    before, after = OnnxRuntimeEngine(network), OnnxRuntimeEngine(output)
    assert after.card == before.card
    image = np.random.default_rng(9).random((1, 3, 32, 64), np.float32)
    want = before.infer({"images": image})["out"].ravel()
    have = after.infer({"images": image})["out"].ravel()
    cosine = want @ have / (np.linalg.norm(want) * np.linalg.norm(have))
    assert 0.99 < cosine < 1.0


def test_layers_can_be_kept(network: Path, pictures: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "out.onnx"

    quantise(network, output, pictures=pictures, count=4, keep=["first"])

    assert quantised_convolutions(onnx.load(str(output))) == {"middle"}


def test_the_last_layers_are_found_behind_what_computes_nothing(network: Path) -> None:
    assert last_layers(onnx.load(str(network))) == {"last"}


def test_what_cannot_be_quantised_is_said(
    network: Path, pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="no such engine"):
        quantise(tmp_path / "none.onnx", tmp_path / "o.onnx", pictures=pictures)
    with pytest.raises(RequestError, match="no layer 'other'"):
        quantise(network, tmp_path / "o.onnx", pictures=pictures, keep=["other"])
    bare = onnx.load(str(network))
    del bare.metadata_props[:]
    onnx.save(bare, str(tmp_path / "bare.onnx"))
    assert main([str(tmp_path / "bare.onnx"), "--pictures", str(pictures[0])]) == 2
    assert "carries no card" in capsys.readouterr().err


def test_the_command_names_its_file(
    network: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(network), "--count", "4", "--pictures", *map(str, pictures)]) == 0

    assert "small-int8.onnx: 2 convolutions" in capsys.readouterr().out
    with pytest.raises(RequestError, match="quantised already"):
        quantise(network.with_name("small-int8.onnx"), network, pictures=pictures)
