"""What the fake TensorRT needs to know of ONNX files, and the check that it has only what the real one has."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import onnx
from onnx import helper

DTYPES = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
    "UINT8": np.uint8,
}


def dtype_of(kinds: Any, elem_type: int) -> Any:
    """TensorRT's element type, one of `kinds`, for ONNX's."""
    np_type = np.dtype(helper.tensor_dtype_to_np_dtype(elem_type))
    if np_type == np.int64 and "INT64" not in kinds.__members__:
        np_type = np.dtype(np.int32)  # what TensorRT 8 makes of it
    return kinds[next(name for name, have in DTYPES.items() if np.dtype(have) == np_type)]


def open_shape(value: Any) -> tuple[int, ...]:
    """The shape of an input or output, -1 where it is open."""
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in dims)


def grouped_half(proto: Any) -> list[str]:
    """Names of grouped convolutions with FP16 weights."""
    types = types_of(proto)
    return [
        node.name
        for node in proto.graph.node
        if node.op_type == "Conv"
        and types.get(node.input[1]) == onnx.TensorProto.FLOAT16
        and any(a.name == "group" and a.i > 1 for a in node.attribute)
    ]


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
