"""Make the INT8 or FP16 variant of an engine: `python -m engines.quantize engines/weights/road.onnx`.

INT8 is static QDQ: weights per output channel (int8), activations per tensor (uint8; int8 for TensorRT) from the range they have
on calibration pictures, which are training pictures prepared as the product prepares them. The layers with
weights that nothing but decoding follows (scores, boxes) stay FP32: their outputs span orders of magnitude.

Three layouts, because the runtimes fuse differently. ``onnxruntime`` quantises what lies between convolutions
too (its kernels take and give 8 bits); ``openvino`` quantises the convolutions' inputs only (its kernels work
out the activation function in FP32 before they store 8 bits); ``tensorrt`` does so too, without zero points, and
leaves weights in FP32 before their Q/DQ pair and biases alone, as TensorRT 8.6 to 11 take a quantised network.

A public checkpoint carries no card: `--family` says what it is, and the variant carries the card that follows.

FP16 keeps what follows the last layer with weights in FP32 (perception/backends/trt_half.py); it is for
runtimes on GPUs: CPUs without FP16 arithmetic convert back and gain nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnx.version_converter
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from engines.data.faces import held_back
from engines.rewrite import cells_by_transposed_maps, dense_transposed, focus_as_convolution
from perception.backends import open_engine
from perception.backends.choice import variant_path
from perception.backends.trt_half import to_half
from perception.card import EngineCard
from perception.errors import EngineError, InputError, PerceptionError, RequestError
from perception.evaluation.detection import load_truth
from perception.models.detector import PUBLIC_CARDS
from perception.preprocess import Preprocessor, fitting_size
from perception.types import F32, Frame

LAYOUTS = ("onnxruntime", "openvino", "tensorrt")
CALIBRATION = "../shared/data/road"
CALIBRATION_PICTURES = 96
PER_CHANNEL = 13  # the first opset whose quantisation has a scale per channel
WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
# Operators ONNX Runtime has 8-bit kernels for, as far as our networks use them.
BETWEEN = ["Conv", "Gemm", "MatMul", "Sigmoid", "Mul", "Add", "Concat", "MaxPool", "Resize", "Relu"]
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.quantize", description=__doc__)
    parser.add_argument("engine", help="the FP32 ONNX file")
    parser.add_argument("-o", "--output", help="default: beside it, NAME.int8.onnx and the like")
    parser.add_argument("--fp16", action="store_true", help="FP16 instead of INT8")
    parser.add_argument(
        "--family", choices=sorted(PUBLIC_CARDS), help="what a public checkpoint without a card is"
    )
    parser.add_argument("--layout", choices=LAYOUTS, default="onnxruntime")
    parser.add_argument(
        "--pictures", nargs="+", default=[CALIBRATION], help="folders, or COCO data with a split"
    )
    parser.add_argument(
        "--count",
        type=int,
        default=CALIBRATION_PICTURES,
        help="calibration pictures of all folders",
    )
    parser.add_argument(
        "--change", type=float, metavar="AP", help="what it costs, measured: goes on the card"
    )
    arguments = parser.parse_args(argv)
    engine = Path(arguments.engine)
    beside = engine.with_suffix(".fp16.onnx")
    if not arguments.fp16:
        beside = variant_path(engine, arguments.layout)
    output = Path(arguments.output or beside)
    try:
        if arguments.fp16:
            write_half(engine, output, family=arguments.family)
        else:
            write_int8(
                engine,
                output,
                pictures=[
                    picture
                    for folder in arguments.pictures
                    for picture in calibration_pictures(
                        folder, arguments.count // len(arguments.pictures)
                    )
                ],
                layout=arguments.layout,
                change=arguments.change,
                family=arguments.family,
            )
    except PerceptionError as error:
        print(f"engines.quantize: {error}", file=sys.stderr)
        return 2
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB")
    return 0


def calibration_pictures(where: str | Path, count: int) -> list[Path]:
    """`count` pictures spread evenly over a folder, or over the training split of COCO data.

    Raises:
        InputError: there are none.
    """
    where = Path(where)
    if (where / "annotations.json").is_file() or where.suffix == ".json":
        every = [
            truth.path
            for truth in load_truth(where)
            if truth.split in ("train", "")
            # Drivers are told apart by person, not by a split.
            and not (where.name == "driver" and held_back("driver", truth.group, truth.split))
        ]
    else:
        every = sorted(p for p in where.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
    if not every:
        raise InputError(f"{where}: no picture to calibrate with; name a folder with --pictures")
    every.sort()
    chosen = np.linspace(0, len(every) - 1, min(count, len(every))).astype(int)
    return [every[i] for i in chosen]


def inputs_for(card: EngineCard, pictures: Sequence[Path], *, fixed: bool) -> Iterator[F32]:
    """Each picture as the network's input, (1, 3, H, W), prepared as the product prepares it."""
    pixels = card.input.size[0] * card.input.size[1]
    for path in pictures:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise InputError(f"{path}: the picture cannot be decoded")
        frame = Frame(np.asarray(image, np.uint8))
        size = card.input.size
        if not fixed:
            size = fitting_size(frame.size, pixels=pixels, multiple=card.input.multiple)
        tensor, _ = Preprocessor(card.input, size=size)(frame)
        yield tensor.copy()


def write_int8(
    engine: Path,
    output: Path,
    *,
    pictures: Sequence[Path],
    layout: str = "onnxruntime",
    change: float | None = None,
    family: str | None = None,
) -> None:
    """Write the INT8 variant of an engine.

    Args:
        engine: an FP32 ONNX file with a card.
        output: of the variant.
        pictures: to calibrate with.
        layout: for which runtime, of LAYOUTS.
        change: of AP against FP32 (-0.004), for the card; None when nobody measured it.
        family: of a public checkpoint, which carries no card.

    Raises:
        InputError: no such file, or a picture cannot be decoded.
        EngineError: the file carries no card.
        RequestError: no such layout.
    """
    if layout not in LAYOUTS:
        raise RequestError(f"layout must be {' or '.join(LAYOUTS)}, but is {layout!r}")
    model, card = _opened(engine, family)
    focus_as_convolution(model)
    dense_transposed(model)
    if layout == "openvino":
        cells_by_transposed_maps(model)
    if model.opset_import[0].version < PER_CHANNEL:
        model = onnx.version_converter.convert_version(model, PER_CHANNEL)
    kept = sensitive_nodes(model) + depthwise_nodes(model)
    name = model.graph.input[0].name
    shape = model.graph.input[0].type.tensor_type.shape.dim
    fixed = all(dimension.HasField("dim_value") for dimension in shape[2:])
    options: dict[str, Any] = {"ActivationSymmetric": False}
    operators = BETWEEN
    signed = layout == "tensorrt"
    if layout != "onnxruntime":
        operators = ["Conv", "Gemm"]
        options["OpTypesToExcludeOutputQuantization"] = operators
    if signed:
        options |= {
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "AddQDQPairToWeight": True,
            "QuantizeBias": False,
        }
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared = Path(folder) / "plain.onnx", Path(folder) / "prepared.onnx"
        onnx.save(model, plain)
        quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(output),
            _Reader(name, inputs_for(card, pictures, fixed=fixed)),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=operators,
            nodes_to_exclude=kept,
            per_channel=True,
            activation_type=QuantType.QInt8 if signed else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options=options,
        )
    metric = dict(card.metric)
    if change is not None:
        metric["ap_change"] = change
    _save(onnx.load(str(output)), output, card, engine, "int8", layout=layout, metric=metric)


def write_half(engine: Path, output: Path, *, family: str | None = None) -> None:
    """Write the FP16 variant of an engine; `family` is that of a public checkpoint, which carries no card.

    Raises:
        InputError: no such file.
        EngineError: the file carries no card, or a node's type cannot be found out.
    """
    model, card = _opened(engine, family)
    half, _ = to_half(model)
    _save(half, output, card, engine, "fp16", layout="", metric=dict(card.metric))


def sensitive_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the last nodes with weights on every way to an output, and of all that follows them."""
    graph = model.graph
    maker = {output: node for node in graph.node for output in node.output}
    for number, node in enumerate(graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    found: dict[str, None] = {}
    waiting = [output.name for output in graph.output]
    while waiting:
        node = maker.get(waiting.pop())
        if node is None or node.name in found:
            continue
        found[node.name] = None
        if node.op_type not in WEIGHTED:
            waiting += node.input
    return list(found)


def depthwise_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the depthwise convolutions: each channel has a range of its own, and little arithmetic to save."""
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv"
        and any(item.name == "group" and item.i > 1 for item in node.attribute)
    ]


class _Reader(CalibrationDataReader):
    """Hands ONNX Runtime's calibration one input after the other."""

    def __init__(self, name: str, inputs: Iterator[F32]) -> None:
        self._name = name
        self._inputs = inputs

    def get_next(self) -> dict[str, F32] | None:
        tensor = next(self._inputs, None)
        return None if tensor is None else {self._name: tensor}


def _opened(engine: Path, family: str | None) -> tuple[onnx.ModelProto, EngineCard]:
    if not engine.is_file():
        raise InputError(f"{engine}: no such file")
    model = onnx.load(str(engine))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    card = EngineCard.from_metadata(metadata, where=str(engine))
    if card is None:
        card = public_card(engine, family)
    if card.precision != "fp32":
        raise EngineError(f"{engine}: is {card.precision} already; give the FP32 file")
    return model, card


def public_card(engine: Path, family: str | None) -> EngineCard:
    """What is known of a public checkpoint of this family.

    Raises:
        EngineError: it needs to be told its family, or is not of it.
    """
    if family is None:
        raise EngineError(
            f"{engine}: carries no card, which says how to prepare pictures for it; name its family: "
            f"--family {' or '.join(sorted(PUBLIC_CARDS))}"
        )
    opened = open_engine(engine, backend="onnxruntime", precision="fp32")
    try:
        return PUBLIC_CARDS[family](opened)
    finally:
        opened.close()


def _save(
    model: onnx.ModelProto,
    output: Path,
    card: EngineCard,
    engine: Path,
    precision: str,
    *,
    layout: str,
    metric: dict[str, float],
) -> None:
    card = replace(
        card,
        precision=precision,
        layout=layout,
        metric=metric,
        made_from_sha256=hashlib.sha256(engine.read_bytes()).hexdigest(),
    )
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, card.to_metadata())
    onnx.checker.check_model(model)
    onnx.save(model, str(output))


if __name__ == "__main__":
    sys.exit(main())
