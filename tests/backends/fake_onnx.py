"""What the fake TensorRT needs to know of ONNX files, and the check that it has only what the real one has."""

from __future__ import annotations

import inspect
from typing import Any

import onnx


def misaligned(node: Any, graph: Any) -> bool:
    """A convolution whose weights come out of a node must say the shape of its kernel (seen on 8.6.0)."""
    made = any(node.input[1] in other.output for other in graph.node if len(node.input) > 1)
    return (
        node.op_type == "Conv" and made and "kernel_shape" not in {a.name for a in node.attribute}
    )


def types_of(proto: Any) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(proto).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        types[value.name] = value.type.tensor_type.elem_type
    return types


def check(one: type, real: dict[str, Any]) -> None:
    """Everything public in a class of the fake is in the real class, with the same argument names."""
    name = one.__name__
    assert name in real, f"the real TensorRT has no {name}"
    for member, value in vars(one).items():
        if member.startswith("_"):
            continue
        assert member in real[name], f"the real {name} has no {member}"
        if inspect.isfunction(value):
            ours = [p for p in inspect.signature(value).parameters]
            theirs = real[name][member].strip("()").split(", ")
            assert set(ours) <= set(theirs), f"{name}.{member} takes {theirs}, not {ours}"
