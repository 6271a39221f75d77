"""YOLOX's file as Ultralytics expects a detector: RGB 0 to 1 in, (1, 84, cells) of xywh and class scores out.

    python yolox_for_ultralytics.py yolox_nano.onnx OUT.onnx

The same weights and the same work; only what its demo does beside the network is put into the graph.
"""

from __future__ import annotations

import sys

import numpy as np
import onnx
import yolox
from onnx import helper, numpy_helper


def main() -> None:
    model = onnx.load(sys.argv[1])
    graph = model.graph
    inner, raw = graph.input[0].name, graph.output[0].name

    def constant(name: str, value: np.ndarray) -> str:
        graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    node = helper.make_node
    before = [
        node(
            "Gather",
            ["pictures", constant("bgr", np.array([2, 1, 0], np.int64))],
            ["turned"],
            axis=1,
        ),
        node("Mul", ["turned", constant("full", np.array(255, np.float32))], [inner]),
    ]
    after = [
        node("Split", [raw], ["xy", "wh", "object", "class"], axis=2, split=[2, 2, 1, 80]),
        node("Add", ["xy", constant("grid", yolox.GRID.astype(np.float32)[None])], ["cells"]),
        node(
            "Mul",
            ["cells", constant("strides", yolox.STRIDES.astype(np.float32)[None])],
            ["centre"],
        ),
        node("Exp", ["wh"], ["exp"]),
        node("Mul", ["exp", "strides"], ["size"]),
        node("Mul", ["object", "class"], ["scores"]),
        node("Concat", ["centre", "size", "scores"], ["rows"], axis=2),
        node("Transpose", ["rows"], ["output0"], perm=[0, 2, 1]),
    ]
    nodes = [*before, *graph.node, *after]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    shape = [1, 3, yolox.SIZE, yolox.SIZE]
    graph.input.append(helper.make_tensor_value_info("pictures", onnx.TensorProto.FLOAT, shape))
    cells = len(yolox.GRID)
    graph.output.append(
        helper.make_tensor_value_info("output0", onnx.TensorProto.FLOAT, [1, 84, cells])
    )
    names = {i: str(i) for i in range(80)}
    facts = {
        "names": str(names),
        "stride": "32",
        "task": "detect",
        "imgsz": str(shape[2:]),
        "batch": "1",
    }
    helper.set_model_props(model, facts)
    onnx.checker.check_model(model)
    onnx.save(model, sys.argv[2])


main()
