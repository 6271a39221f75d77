"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from perception.card import EngineCard, InputSpec

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real clips, labelled data and public checkpoints that lie beside the repository, not in it."""
    folder = Path(os.environ.get("PERCEPTION_SHARED", ROOT.parent / "shared"))
    if not (folder / "clips").is_dir():
        pytest.skip(
            f"needs the real clips and data in {folder} (PERCEPTION_SHARED names another place)"
        )
    return folder


@pytest.fixture(scope="session")
def bright_engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny ONNX detector with a card: every bright 32x32 cell of its input is a 64x64 "car"."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    cell, classes = 32, ("car", "person")
    node = helper.make_node
    constants = {
        "third": np.full((1, 3, 1, 1), 1 / 3, np.float32),
        "middle": np.array(128, np.float32),
        "contrast": np.array(0.1, np.float32),
        "flat": np.array([0, 1, -1], np.int64),
        # cx, cy in the middle of the cell, w and h twice its size, objectness, car, person
        "columns": np.array([0, 0, 0, 0, 1, 0, 0], np.float32).reshape(1, 7, 1),
        "rest": np.array([0.5, 0.5, np.log(2), np.log(2), 0, 9, -9], np.float32).reshape(1, 7, 1),
    }
    nodes = [
        node("Conv", ["images", "third"], ["grey"]),
        node("AveragePool", ["grey"], ["cells"], kernel_shape=[cell, cell], strides=[cell, cell]),
        node("Sub", ["cells", "middle"], ["centred"]),
        node("Mul", ["centred", "contrast"], ["logit"]),
        node("Reshape", ["logit", "flat"], ["row"]),
        node("Mul", ["row", "columns"], ["placed"]),
        node("Add", ["placed", "rest"], ["columns_first"]),
        node("Transpose", ["columns_first"], ["predictions"], perm=[0, 2, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "bright",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("predictions", TensorProto.FLOAT, ["n", "cells", 7])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    card = EngineCard(
        name="bright",
        family="anchor_free",
        task="road",
        classes=classes,
        input=InputSpec(size=(160, 96)),
        decoder={"strides": [cell], "objectness": True, "activated": False, "max_iou": 0.3},
    )
    helper.set_model_props(model, card.to_metadata())
    onnx.checker.check_model(model)
    path = tmp_path_factory.mktemp("engines") / "bright.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def colour_engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny ONNX classifier with a card: red, green, or unknown where neither prevails in the crop."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    classes = ("red", "green", "unknown")
    constants = {
        "flat": np.array([0, 3], np.int64),
        # Rows: blue, green, red; 0.5 more of one than of the other is a logit of 5.
        "weights": np.array([[0, 0, 0], [-10, 10, 0], [10, -10, 0]], np.float32),
        "bias": np.array([0, 0, 2], np.float32),
    }
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean", "flat"], ["row"]),
        helper.make_node("Gemm", ["row", "weights", "bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colour",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    card = EngineCard(
        name="colour",
        family="classifier",
        task="light",
        classes=classes,
        input=InputSpec(size=(16, 16), std=(255.0, 255.0, 255.0), fit="stretch"),
        decoder={"activated": False, "margin": 0.1, "reject": "unknown"},
    )
    helper.set_model_props(model, card.to_metadata())
    onnx.checker.check_model(model)
    path = tmp_path_factory.mktemp("engines") / "colour.onnx"
    onnx.save(model, path)
    return path
