"""Make the INT8 file of an engine: `python -m engines.quantise engines/weights/road.onnx --pictures a.mp4 b.mp4`.

Writes NAME-int8.onnx beside it (or -o): the same network with QuantizeLinear/DequantizeLinear pairs before its
convolutions, on signed INT8 without zero points, weights per channel, as TensorRT 8.6 to 11 take it. The scales come
from what the network's layers give on the pictures (post-training calibration). Layers named by --keep stay as they
are; so do the last layers, whose outputs are results.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from perception.backends.onnxrt import OnnxRuntimeEngine
from perception.card import EngineCard, InputSpec
from perception.errors import InputError, PerceptionError, RequestError
from perception.preprocess import Preprocessor
from perception.sources import open_source

PICTURES = 24
STEP = 20
PERCENTILE = 99.99
RESULTS = frozenset({"Concat", "Reshape", "Transpose", "Slice", "Sigmoid", "Identity"})


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.quantise", description=__doc__)
    parser.add_argument("engine", type=Path, help="the FP32 ONNX file")
    parser.add_argument("--pictures", nargs="+", required=True, help="videos or pictures")
    parser.add_argument("--count", type=int, default=PICTURES, help="pictures taken in all")
    parser.add_argument("--keep", nargs="*", default=[], help="names of layers that stay FP32")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args(argv)
    output = arguments.output or arguments.engine.with_name(f"{arguments.engine.stem}-int8.onnx")
    try:
        count = quantise(
            arguments.engine,
            output,
            pictures=arguments.pictures,
            count=arguments.count,
            keep=arguments.keep,
        )
    except PerceptionError as error:
        print(f"engines.quantise: {error}", file=sys.stderr)
        return 2
    print(f"{output}: {count} convolutions in INT8, calibrated on {arguments.count} pictures")
    return 0


def quantise(
    path: Path,
    output: Path,
    *,
    pictures: Sequence[str | Path],
    count: int = PICTURES,
    keep: Sequence[str] = (),
) -> int:
    """Write the INT8 file; returns how many convolutions are quantised in it.

    Raises:
        InputError: no such file, or too few pictures.
        RequestError: the file carries no card, or is quantised already.
    """
    from onnxruntime.quantization import (
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    if not path.is_file():
        raise InputError(f"{path}: no such engine file")
    proto = onnx.load(str(path))
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    card = EngineCard.from_metadata(metadata, where=str(path))
    if card is None:
        raise RequestError(f"{path} carries no card, so how it wants its pictures is not known")
    if any(node.op_type == "QuantizeLinear" for node in proto.graph.node):
        raise RequestError(f"{path} is quantised already")
    _name_nodes(proto)
    last = last_layers(proto)
    unknown = set(keep) - {node.name for node in proto.graph.node}
    if unknown:
        raise RequestError(f"{path} has no layer {sorted(unknown)[0]!r}")
    chosen = [
        node.name
        for node in proto.graph.node
        if node.op_type == "Conv"
        and node.name not in last
        and node.name not in set(keep)
        and _groups(node) == 1
    ]
    engine = OnnxRuntimeEngine(path)
    name = engine.inputs[0].name
    engine.close()
    reader = _Reader(name, list(_tensors(pictures, card.input, count)))
    with tempfile.TemporaryDirectory() as folder:
        named = Path(folder) / "named.onnx"
        onnx.save(proto, str(named))
        with _quiet():
            quantize_static(
                str(named),
                str(output),
                reader,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                nodes_to_quantize=chosen,
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.Percentile,
                extra_options={
                    "ActivationSymmetric": True,
                    "WeightSymmetric": True,
                    # TensorRT quantises weights itself and takes biases as they are.
                    "AddQDQPairToWeight": True,
                    "QuantizeBias": False,
                    "OpTypesToExcludeOutputQuantization": ["Conv"],
                    "CalibPercentile": PERCENTILE,
                },
            )
    quantised = onnx.load(str(output))
    del quantised.metadata_props[:]
    onnx.helper.set_model_props(quantised, metadata)
    onnx.save(quantised, str(output))
    return len(chosen)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without onnxruntime's progress on standard output and its advice, which does not apply here."""
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)


def last_layers(proto: Any) -> frozenset[str]:
    """Names of the layers whose results reach an output through layers that compute nothing."""
    producer = {name: node for node in proto.graph.node for name in node.output}
    todo, last = [value.name for value in proto.graph.output], set()
    while todo:
        node = producer.get(todo.pop())
        if node is None:
            continue
        if node.op_type in RESULTS:
            todo += list(node.input)
        else:
            last.add(node.name)
    return frozenset(last)


def _groups(node: Any) -> int:
    return next((item.i for item in node.attribute if item.name == "group"), 1)


def _name_nodes(proto: Any) -> None:
    for number, node in enumerate(proto.graph.node):
        node.name = node.name or f"{node.op_type}#{number}"


def _tensors(
    sources: Sequence[str | Path], spec: InputSpec, count: int
) -> Iterator[npt.NDArray[np.float32]]:
    """(1, 3, H, W) each, STEP frames apart in videos, as many from every source."""
    preprocessor = Preprocessor(spec)
    share = -(-count // len(sources))
    for source in sources:
        opened = open_source(source)
        try:
            step = STEP if opened.info.kind == "video" else 1
            found = 0
            for frame in islice(opened, 0, step * share, step):
                found += 1
                yield preprocessor(frame)[0]
        finally:
            opened.close()
        if not found:
            raise InputError(f"{source}: there is no picture to calibrate on")


class _Reader:
    """onnxruntime's CalibrationDataReader, by shape: `get_next` until None."""

    def __init__(self, name: str, tensors: Sequence[npt.NDArray[np.float32]]) -> None:
        self._name = name
        self._left = iter(tensors)

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        tensor = next(self._left, None)
        return None if tensor is None else {self._name: tensor}

    def __len__(self) -> int:
        return 0


if __name__ == "__main__":
    sys.exit(main())
