"""Read back what TensorRT really built: the precision of every layer that does the work."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from perception.backends.trt_version import Api

# The layers that do the work; where fusion has hidden them all, every layer that computes at all.
_HEAVY = re.compile(r"convolution|deconv|gemm|matmul|matrix_?multiply|fully_?connected", re.I)
_MOVES = re.compile(
    r"reformat|shuffle|constant|shape|cast|signal|wait|copy|slice|gather|concat|noop|identity", re.I
)
_WORDS = (
    ("int8", re.compile(r"\bint8\b", re.I)),
    ("fp8", re.compile(r"\bfp8\b", re.I)),
    ("bf16", re.compile(r"\b(bf16|bfloat16)\b", re.I)),
    ("fp16", re.compile(r"\b(half|fp16|float16)\b", re.I)),
    ("fp32", re.compile(r"\b(float|fp32|float32)\b", re.I)),
)
# Below this share of those layers in the asked precision, the plan is not what was asked for.
LEAST_SHARE = 0.5


def inspect(api: Api, engine: Any, context: Any) -> str:
    """What TensorRT says about the layers of an `ICudaEngine`, as JSON by and large (see `layers_of`).

    Args:
        context: an execution context with its shapes set. Without one, TensorRT 8.6 says "N/A due to dynamic
            shapes" for the type of every tensor of a plan with dynamic shapes.
    """
    inspector = engine.create_engine_inspector()
    inspector.execution_context = context
    return str(inspector.get_engine_information(api.trt.LayerInformationFormat.JSON))


def layers_of(information: str) -> list[Any]:
    """The layers in an inspector's text; empty when it cannot be read.

    TensorRT 8.6 parts the names in a layer's metadata with a control character, which JSON does not allow.
    """
    try:
        layers = json.loads(information, strict=False).get("Layers", [])
    except (ValueError, AttributeError):
        return []
    return list(layers)


def precisions_of(information: str) -> dict[str, int]:
    """Count the layers with weights in an engine inspector's JSON by precision; all, where none is known.

    A layer's precision is the lowest type among its inputs: an INT8 convolution reads INT8 whatever it
    writes. The text of a type is "Half", "Float", "Int8" or a sentence ("Row major linear FP16 format"). Where
    the inputs do not say, the type of the weights counts.

    Args:
        information: JSON; with less than detailed verbosity its layers are bare names and tell nothing.
    """
    layers = [layer for layer in layers_of(information) if isinstance(layer, dict)]
    heavy = [layer for layer in layers if _HEAVY.search(_kind(layer))]
    counts: Counter[str] = Counter()
    for layer in heavy or [layer for layer in layers if not _MOVES.search(_kind(layer))]:
        found = {
            _precision(tensor) for tensor in layer.get("Inputs", []) if isinstance(tensor, dict)
        } - {None}
        weights = layer.get("Weights")
        if not found and isinstance(weights, dict):
            found = {_word(str(weights.get("Type", "")))}
        for name, _ in _WORDS:
            if name in found:
                counts[name] += 1
                break
    return dict(counts.most_common())


def _kind(layer: Mapping[str, Any]) -> str:
    return f"{layer.get('LayerType', '')} {layer.get('ParameterType', '')}"


def _precision(tensor: Mapping[str, Any]) -> str | None:
    return _word(str(tensor.get("Format/Datatype", tensor.get("Datatype", ""))))


def _word(text: str) -> str | None:
    return next((name for name, word in _WORDS if word.search(text)), None)


def precision_problem(precisions: Mapping[str, int], asked: str) -> tuple[str | None, list[str]]:
    """Whether a plan is in the precision that was asked for.

    Returns:
        What is wrong, in one sentence, or None; and warnings.
    """
    total = sum(precisions.values())
    if total == 0:
        return None, [
            f"the engine inspector does not tell precisions, so {asked} could not be confirmed"
        ]
    lower = {"fp32": ("fp32",), "fp16": ("fp16", "bf16"), "int8": ("int8", "fp8")}[asked]
    count = sum(precisions.get(name, 0) for name in lower)
    said = ", ".join(f"{n} {name}" for name, n in precisions.items())
    if asked == "fp32" and count < total:
        return f"fp32 was asked for, but layers run in {said}", []
    if asked == "int8" and count == 0:
        return f"int8 was asked for, but layers run in {said}", []
    if asked == "fp16" and count < LEAST_SHARE * total:
        return f"fp16 was asked for, but layers run in {said}", []
    return None, []
