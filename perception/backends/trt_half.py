"""An FP32 ONNX model with its heavy layers in FP16, for strongly typed networks.

TensorRT 10 and 11 take precision from the types in the network, so the FP16 build of an FP32 file is an
FP16 file. The rule here is one sentence: **a node becomes FP16 when it has weights, or when an FP16 node
reads it, and its operator is safe in FP16.** So convolutions and everything between them is FP16, while
what follows the last layer with weights (scores, box arithmetic, whose values in pixels FP16 cannot hold
to better than a pixel) stays FP32. Inputs and outputs keep their types.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

import numpy as np

from perception.errors import EngineError

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
# Sums over many values, exponentials, coordinates, and operators defined for float32 only.
_FP32_ONLY = (
    "Exp Log Pow Softmax LogSoftmax ReduceSum ReduceSumSquare ReduceL2 ReduceLogSumExp CumSum "
    "LayerNormalization InstanceNormalization GroupNormalization MeanVarianceNormalization Range "
    "NonMaxSuppression RoiAlign GridSample TopK QuantizeLinear DequantizeLinear If Loop Scan "
    "Cast CastLike ConstantOfShape Constant Shape"
)
FP32_ONLY = frozenset(_FP32_ONLY.split())
# Inputs that stay float32 by the operator's definition (scales are float32 in every opset).
FP32_INPUTS = {"Resize": (1, 2), "Upsample": (1,)}
LARGEST = float(np.finfo(np.float16).max)


def to_half(proto: Any, keep: Collection[str] = ()) -> tuple[Any, frozenset[str]]:
    """Convert a model.

    Args:
        proto: an `onnx.ModelProto` in FP32 or with some FP16; left as it is.
        keep: names of nodes that stay in FP32 whatever they are.

    Returns:
        The converted model, and the names of the nodes that stay in FP32.

    Raises:
        EngineError: a node computes something whose type cannot be found out.
    """
    return _Conversion(proto, keep).run()


def nodes_kept_fp32(proto: Any) -> frozenset[str]:
    """Names of the nodes with float results that `to_half` would leave in FP32."""
    conversion = _Conversion(proto)
    return conversion.kept()


def like_nodes(proto: Any, layers: Collection[str]) -> frozenset[str]:
    """Names of all convolutions like those in layers: the same operator, and grouped or not as they are.

    Args:
        layers: names as TensorRT gives them, of nodes joined by " + " where it has fused some.
    """
    wanted = {name.strip() for layer in layers for name in layer.split(" + ")}
    convolutions = {
        name: _kind(node)
        for name, node in zip(_unique_names(proto.graph), proto.graph.node, strict=True)
        if node.op_type in ("Conv", "ConvTranspose")
    }
    kinds = {kind for name, kind in convolutions.items() if name in wanted}
    return frozenset(name for name, kind in convolutions.items() if kind in kinds)


def _kind(node: Any) -> tuple[str, bool]:
    return node.op_type, any(a.name == "group" and a.i > 1 for a in node.attribute)


def _unique_names(graph: Any) -> list[str]:
    """A name of its own for every node: the file's, where it has one."""
    taken: Counter[str] = Counter(node.name for node in graph.node)
    return [
        node.name if node.name and taken[node.name] == 1 else f"{node.name or node.op_type}#{index}"
        for index, node in enumerate(graph.node)
    ]


class _Conversion:
    def __init__(self, proto: Any, keep: Collection[str] = ()) -> None:
        import onnx

        self.keep = frozenset(keep)

        self.onnx = onnx
        self.model = onnx.ModelProto()
        self.model.CopyFrom(proto)
        names = _unique_names(self.model.graph)
        for name, node in zip(names, self.model.graph.node, strict=True):
            node.name = name
        try:
            inferred = onnx.shape_inference.infer_shapes(self.model, strict_mode=False)
        except Exception as error:
            raise EngineError(
                f"the types in the ONNX file cannot be worked out: {error}"
            ) from error
        graph = inferred.graph
        self.types: dict[str, int] = {tensor.name: tensor.data_type for tensor in graph.initializer}
        for value in (*graph.input, *graph.output, *graph.value_info):
            self.types.setdefault(value.name, value.type.tensor_type.elem_type)
        self.weights = {tensor.name: tensor for tensor in self.model.graph.initializer}
        self.half = self._choose()

    def _is_float(self, name: str) -> bool:
        return bool(name) and self.types.get(name) == self.onnx.TensorProto.FLOAT

    def _choose(self) -> set[str]:
        """Names of the nodes that become FP16, found from the outputs to the inputs."""
        nodes = self.model.graph.node
        producer = {name: node for node in nodes for name in node.output}
        half: set[str] = set()
        wanted: set[str] = set()  # tensors that an FP16 node reads
        for node in reversed(nodes):
            weighted = node.op_type in WEIGHTED
            # A cast between DequantizeLinear and its layer would keep TensorRT from making it INT8.
            quantised = weighted and any(
                producer[name].op_type == "DequantizeLinear"
                for name in node.input
                if name in producer
            )
            read = any(name in wanted for name in node.output)
            floats = any(self._is_float(name) for name in node.output)
            safe = node.op_type not in FP32_ONLY and node.name not in self.keep
            if not safe or quantised or not floats or not (weighted or read):
                continue
            half.add(node.name)
            fixed = FP32_INPUTS.get(node.op_type, ())
            wanted.update(
                name for i, name in enumerate(node.input) if i not in fixed and self._is_float(name)
            )
        return half

    def kept(self) -> frozenset[str]:
        return frozenset(
            node.name
            for node in self.model.graph.node
            if node.name not in self.half and any(self._is_float(name) for name in node.output)
        )

    def run(self) -> tuple[Any, frozenset[str]]:
        helper, graph = self.onnx.helper, self.model.graph
        kept = self.kept()
        produced: set[str] = set()  # FP32 names whose value exists only as FP16 so far
        have_half: dict[str, str] = {}
        restored: set[str] = set()
        new_nodes: list[Any] = []
        new_weights: dict[str, Any] = {}

        def cast(source: str, target: str, to: int) -> None:
            new_nodes.append(
                helper.make_node("Cast", [source], [target], name=f"cast:{target}", to=to)
            )

        def as_half(name: str) -> str:
            if name not in have_half:
                half_name = have_half[name] = f"{name}:fp16"
                if name in self.weights:
                    new_weights[half_name] = self._half_weight(self.weights[name], half_name)
                else:
                    cast(name, half_name, self.onnx.TensorProto.FLOAT16)
            return have_half[name]

        def as_float(name: str) -> None:
            if name in produced and name not in restored:
                restored.add(name)
                cast(have_half[name], name, self.onnx.TensorProto.FLOAT)

        for node in graph.node:
            if node.name in self.half:
                fixed = FP32_INPUTS.get(node.op_type, ())
                for i, name in enumerate(node.input):
                    if i not in fixed and self._is_float(name):
                        node.input[i] = as_half(name)
                    else:
                        as_float(name)
                for i, name in enumerate(node.output):
                    if self._is_float(name):
                        node.output[i] = have_half[name] = f"{name}:fp16"
                        produced.add(name)
            else:
                for name in (*node.input, *_captured(node)):
                    as_float(name)
            new_nodes.append(node)
        for value in graph.output:
            as_float(value.name)
        self._write(new_nodes, new_weights)
        return self.model, kept

    def _half_weight(self, tensor: Any, name: str) -> Any:
        values = self.onnx.numpy_helper.to_array(tensor)
        # FP16 ends at 65504; a weight beyond (a mask's "minus infinity") goes to the end, not to inf.
        clipped = np.clip(values, -LARGEST, LARGEST).astype(np.float16)
        return self.onnx.numpy_helper.from_array(np.asarray(clipped), name)

    def _write(self, nodes: list[Any], new_weights: dict[str, Any]) -> None:
        graph = self.model.graph
        kept_nodes = [self.onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(kept_nodes)
        used = {name for node in kept_nodes for name in (*node.input, *_captured(node))}
        used |= {value.name for value in graph.output}
        weights = [tensor for name, tensor in self.weights.items() if name in used]
        kept_weights = [self.onnx.TensorProto.FromString(t.SerializeToString()) for t in weights]
        del graph.initializer[:]
        graph.initializer.extend([*kept_weights, *new_weights.values()])
        # Types of inner tensors have changed: what the file says of them is out of date.
        del graph.value_info[:]


def _captured(node: Any) -> list[str]:
    """Names that the node's subgraphs read, their own ones among them."""
    names: list[str] = []
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                names += [*inner.input, *_captured(inner)]
            names += [value.name for value in graph.output]
    return names
