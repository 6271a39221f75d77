"""An ONNX file as the TensorRT build sees it: inputs, operators, precision, and the profiles it needs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from perception.backends import TensorSpec
from perception.card import EngineCard
from perception.errors import EngineError, RequestError

Shape = tuple[int, ...]
# Operators that give what they take, of another type.
SHAPE_KEPT = ("QuantizeLinear", "DequantizeLinear", "Cast", "Identity")
# One optimisation profile: smallest, usual and largest shape by input name.
Profile = dict[str, tuple[Shape, Shape, Shape]]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A parsed ONNX file.

    Attributes:
        proto: the `onnx.ModelProto`; not to be changed.
        sha256: of the file's bytes.
        inputs: without initialisers; -1 for a dimension that may vary.
        operators: names of the operators in it.
        quantised: True with QuantizeLinear or DequantizeLinear nodes: an INT8 file.
        half: True with FP16 weights.
    """

    path: Path
    proto: Any
    sha256: str
    inputs: tuple[TensorSpec, ...]
    operators: tuple[str, ...]
    quantised: bool
    half: bool
    metadata: dict[str, str]

    @property
    def card(self) -> EngineCard | None:
        return EngineCard.from_metadata(self.metadata, where=str(self.path))


def read_model(path: Path) -> ModelFile:
    """Read an ONNX file.

    Raises:
        EngineError: the `onnx` package is missing, or the file is not an ONNX model.
    """
    try:
        import onnx
    except ImportError as error:
        raise EngineError(
            "building needs the `onnx` package: `pip install onnx` (running a built plan does not)"
        ) from error
    data = path.read_bytes()
    try:
        proto = onnx.load_model_from_string(data)
        onnx.checker.check_model(proto)
    except Exception as error:  # protobuf's and the checker's errors share no class
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EngineError(f"{path}: not a valid ONNX file: {first}") from error
    graph = proto.graph
    weights = {tensor.name for tensor in graph.initializer}
    operators = tuple(sorted({node.op_type for node in graph.node}))
    return ModelFile(
        path=path,
        proto=proto,
        sha256=hashlib.sha256(data).hexdigest(),
        inputs=tuple(_spec(value) for value in graph.input if value.name not in weights),
        operators=operators,
        quantised=bool({"QuantizeLinear", "DequantizeLinear"} & set(operators)),
        half=any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in graph.initializer),
        metadata={entry.key: entry.value for entry in proto.metadata_props},
    )


def with_kernel_shapes(proto: Any) -> Any:
    """The model with `kernel_shape` written out on every convolution; `proto` itself if all have it.

    ONNX lets it be left out, as the weights have a shape; TensorRT's parser takes it from there too, but not
    where the weights come through Q/DQ nodes or a cast, and then refuses the network.
    """
    graph = proto.graph
    bare = [
        index
        for index, node in enumerate(graph.node)
        if node.op_type in ("Conv", "ConvTranspose")
        and not any(attribute.name == "kernel_shape" for attribute in node.attribute)
    ]
    if not bare:
        return proto
    from onnx import helper

    changed = type(proto)()
    changed.CopyFrom(proto)
    producer = {name: node for node in graph.node for name in node.output}
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for index in bare:
        node = changed.graph.node[index]
        name = node.input[1]
        while name not in shapes and name in producer and producer[name].op_type in SHAPE_KEPT:
            name = producer[name].input[0]
        if name in shapes:
            node.attribute.append(helper.make_attribute("kernel_shape", shapes[name][2:]))
    return changed


def with_fixed_shapes(proto: Any, profiles: Sequence[Profile]) -> Any:
    """The model with those dimensions of its inputs written out that are the same in every profile.

    A plan serves these shapes only. With constants in their place, shape arithmetic is folded while parsing, and
    TensorRT times kernels for fixed shapes; a dimension that stays open makes every layer after it a dynamic one.
    """
    fixed: dict[str, tuple[int, ...]] = {}
    for name in profiles[0] if profiles else ():
        shapes = [shape for profile in profiles for shape in profile[name]]
        fixed[name] = tuple(a[0] if len(set(a)) == 1 else -1 for a in zip(*shapes, strict=True))
    changed = type(proto)()
    changed.CopyFrom(proto)
    for value in changed.graph.input:
        dims = value.type.tensor_type.shape.dim
        for dim, length in zip(dims, fixed.get(value.name, ()), strict=False):
            if length >= 0:
                dim.dim_value = length
    return changed


def _spec(value: Any) -> TensorSpec:
    from onnx import helper

    kind = value.type.tensor_type
    shape = tuple(
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else -1
        for dim in kind.shape.dim
    )
    return TensorSpec(value.name, np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type)), shape)


def profiles_for(
    model: ModelFile, *, size: tuple[int, int] | None = None, batch: int = 1
) -> tuple[Profile, ...]:
    """Optimisation profiles: one of batch 1, and one of 1 to `batch` where more is asked for.

    Fixed shapes make the faster plan and can be captured as a CUDA graph; that is why one picture, the
    usual case, has a profile to itself, and why width and height are always fixed.

    Raises:
        RequestError: a size or batch that the network cannot have, or none where one is needed.
    """
    if batch < 1:
        raise RequestError(f"the batch must be at least 1, but is {batch}")
    shapes = {spec.name: _sized(model, spec, size) for spec in model.inputs}
    varies = any(shape and shape[0] == -1 for shape in shapes.values())
    if not varies:
        fixed = next((shape[0] for shape in shapes.values() if shape), 1)
        if batch not in (1, fixed):
            raise RequestError(f"{model.path.name} takes exactly {fixed} in a batch, not {batch}")
        return ({name: (shape, shape, shape) for name, shape in shapes.items()},)
    ranges = [(1, 1, 1)] if batch == 1 else [(1, 1, 1), (1, batch, batch)]
    return tuple(
        {name: _ranged(shape, counts) for name, shape in shapes.items()} for counts in ranges
    )


def _ranged(shape: Shape, counts: tuple[int, int, int]) -> tuple[Shape, Shape, Shape]:
    if not shape or shape[0] != -1:
        return shape, shape, shape
    low, usual, high = ((count, *shape[1:]) for count in counts)
    return low, usual, high


def _sized(model: ModelFile, spec: TensorSpec, size: tuple[int, int] | None) -> Shape:
    """The input's shape with everything fixed but, where it varies, the batch."""
    shape = list(spec.shape)
    name = model.path.name
    if len(shape) == 4 and -1 in shape[2:]:
        card = model.card
        if size is None and card is not None:
            size = card.input.size
        if size is None:
            raise RequestError(
                f"{name} takes pictures of any size: say which with --size WIDTHxHEIGHT"
            )
        multiple = card.input.multiple if card is not None else 1
        if min(size) < 1 or size[0] % multiple or size[1] % multiple:
            raise RequestError(
                f"{name}: width and height must be multiples of {multiple}, but are {size[0]}x{size[1]}"
            )
        for axis, length in ((2, size[1]), (3, size[0])):
            if shape[axis] not in (-1, length):
                raise RequestError(
                    f"{name} has a fixed input of {spec.shape}, not {size[0]}x{size[1]}"
                )
            shape[axis] = length
    elif size is not None and len(shape) == 4 and (shape[3], shape[2]) != tuple(size):
        raise RequestError(f"{name} takes {shape[3]}x{shape[2]} only, not {size[0]}x{size[1]}")
    if -1 in shape[1:]:
        raise RequestError(
            f"{name}: input {spec.name!r} of shape {spec.shape} varies in more than batch, height and "
            "width; export it with the rest fixed"
        )
    return tuple(shape)


def shapes_text(profiles: Sequence[Profile]) -> str:
    """Profiles in words: "images 1x3x384x640 and images 1-4x3x384x640"."""
    return " and ".join(
        ", ".join(f"{name} {_range_text(low, high)}" for name, (low, _, high) in profile.items())
        for profile in profiles
    )


def _range_text(low: Shape, high: Shape) -> str:
    return (
        "x".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(low, high, strict=True))
        or "scalar"
    )
