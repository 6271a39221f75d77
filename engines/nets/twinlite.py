"""Start the lane network from the public TwinLiteNet checkpoint.

What both networks have is copied. What `LanesNet` has thinner is fitted to what the teacher computes on
real pictures: by least squares, or by the best approximation of lower rank in the metric of the layer's
inputs. The result is a rough copy that a few hundred steps of training make a good one.

TwinLiteNet: Che et al. 2023, arXiv:2307.10705, MIT, weights trained on BDD100K.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torch import nn

from engines.nets.lanes import FIRST, GATHER, ConvUnit, LanesNet, Rise, Spread, settle
from engines.rewrite import DENSE, grouped_weight
from perception.errors import ConfigError, EngineError, InputError

F64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
RIDGE = 1e-4
SAMPLES = 40_000

# Where the teacher's values are tapped.
TAPS = {
    "half": "/encoder/Concat_output_0",
    "second": "/encoder/b1/conv/Conv_output_0",
    "thin2": "/encoder/level2_0/c1/conv/Conv_output_0",
    "quarter": "/encoder/Concat_1_output_0",
    "wide": "/encoder/b2/conv/Conv_output_0",
    "eighth": "/encoder/Concat_2_output_0",
    "attention": "/encoder/sc/softmax/Softmax_output_0",
    "area": "/up_2_1/act/PRelu_output_0",
    "paint": "/up_2_2/act/PRelu_output_0",
}


class TwinLite:
    """The checkpoint: its weights by name, and its inner values on pictures.

    Args:
        more: values to tap besides `TAPS`.

    Raises:
        InputError: no such file.
        EngineError: another network.
    """

    def __init__(self, path: str | Path, *, more: Sequence[str] = ()) -> None:
        if not Path(path).is_file():
            raise InputError(f"{path}: no such checkpoint")
        model = onnx.load(str(path))
        taps = [*TAPS.values(), *[name for name in more if name not in TAPS.values()]]
        made = {name for node in model.graph.node for name in node.output}
        missing = [name for name in taps if name not in made]
        if missing:
            raise EngineError(f"{path}: is not TwinLiteNet: it has no {missing[0]}")
        self.weights = {
            item.name: numpy_helper.to_array(item).astype(np.float64)
            for item in model.graph.initializer
        }
        self._inputs = {node.name: list(node.input) for node in model.graph.node}
        for name in taps:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        self.session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def conv(self, node: str) -> tuple[F64, F64]:
        """Weight and bias (zeros where it has none) of a convolution."""
        names = self._inputs[node]
        weight = self.weights[names[1]]
        bias = self.weights[names[2]] if len(names) > 2 else np.zeros(len(weight))
        return weight, bias

    def run(
        self, picture: npt.NDArray[np.float32], names: list[str]
    ) -> list[npt.NDArray[np.float32]]:
        """Values by name, without the batch's axis; besides the outputs only what is tapped."""
        outputs = self.session.run(names, {"images": picture})
        return [np.asarray(value[0], np.float32) for value in outputs]

    def values(self, picture: npt.NDArray[np.float32]) -> dict[str, F64]:
        """Taps and the two outputs for a picture (1, 3, 360, 640) RGB 0..1."""
        names = ["da", "ll", *TAPS.values()]
        outputs = self.session.run(names, {"images": picture})
        keys = ["da", "ll", *TAPS]
        return {
            key: np.asarray(value[0], np.float64) for key, value in zip(keys, outputs, strict=True)
        }


@dataclass(frozen=True)
class Kept:
    """Which of the teacher's channels the student's second layer and its widest one have."""

    second: Ints
    wide: Ints


def load_twinlite(net: LanesNet, twin: TwinLite, pictures: npt.NDArray[np.float32]) -> Kept:
    """Put the checkpoint into `net`.

    Args:
        pictures: (N, 3, 360, 640) RGB 0..1, real ones, twenty or more.
    """
    rng = np.random.default_rng(0)
    per_picture = max(200, SAMPLES // len(pictures))
    drawn = [_draw(twin.values(picture[None]), per_picture, rng) for picture in pictures]
    value = {key: np.concatenate([one[key] for one in drawn]) for key in drawn[0]}
    with torch.no_grad():
        second = _start_fine(net, twin, value)
        wide = _start_quarter(net, twin, value)
        _start_eighth(net, twin, value)
        _start_decoders(net, twin, value)
        settle(net, torch.from_numpy(pictures[:, :, 4:356]))
    return Kept(second, wide)


def _draw(value: dict[str, F64], count: int, rng: np.random.Generator) -> dict[str, F64]:
    """Values of one picture at random places, rows of (place, channel); `patches` are 3x3 of them."""
    drawn = {"attention": value["attention"][None]}
    area = _places(value["quarter"].shape, count, rng)
    drawn["quarter"] = value["quarter"][(slice(None), *area)].T
    drawn["wide"] = value["wide"][(slice(None), *area)].T
    deep = _places(value["eighth"].shape, count, rng)
    drawn["eighth"] = value["eighth"][(slice(None), *deep)].T
    fine = _places(value["second"].shape, count, rng)
    drawn["half patches"] = _patches(value["half"][:FIRST], *fine)
    drawn["second"] = value["second"][(slice(None), *fine)].T
    stride = _places(value["thin2"].shape, count, rng)
    drawn["second patches"] = _patches(np.maximum(value["second"], 0), 2 * stride[0], 2 * stride[1])
    drawn["thin2"] = value["thin2"][(slice(None), *stride)].T
    # As many places on as off: lines are rare, and the decoder must know them.
    for key, logits in (("area", value["da"]), ("paint", value["ll"])):
        logit = logits[1] - logits[0]
        half = logit.reshape(logit.shape[0] // 2, 2, -1, 2).mean(axis=(1, 3))
        chance = np.where(half > 0, 1 / max(1, (half > 0).sum()), 1 / max(1, (half <= 0).sum()))
        rows = rng.choice(half.size, count, p=(chance / chance.sum()).ravel())
        # The student's rectifier keeps nothing below zero.
        drawn[key] = np.maximum(value[key], 0).reshape(len(value[key]), -1)[:, rows].T
        drawn[f"{key} logit"] = half.ravel()[rows][:, None]
    return drawn


def _places(shape: tuple[int, ...], count: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Rows and columns inside, a pixel from the edge."""
    return rng.integers(1, shape[1] - 1, count), rng.integers(1, shape[2] - 1, count)


def _patches(x: F64, rows: Ints, columns: Ints) -> F64:
    """(places, channels * 9) in the order of a convolution's weight."""
    parts = [
        x[:, np.clip(rows + dy, 0, x.shape[1] - 1), np.clip(columns + dx, 0, x.shape[2] - 1)]
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
    ]
    return np.stack(parts, axis=1).reshape(-1, len(rows)).T


def _fit(x: F64, y: F64) -> tuple[F64, F64]:
    """Ridge regression y = x w + b; returns w transposed (outputs, inputs) and b."""
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    centred = x - mean_x
    square = centred.T @ centred / len(x)
    square += RIDGE * np.trace(square) / len(square) * np.eye(len(square))
    weight = np.linalg.solve(square, centred.T @ (y - mean_y) / len(x)).T
    return weight, mean_y - weight @ mean_x


def _root(x: F64) -> tuple[F64, F64]:
    """Square root of the second moment of rows, and its inverse."""
    moment = x.T @ x / len(x)
    values, vectors = np.linalg.eigh(moment)
    values = np.maximum(values, values.max() * 1e-6)
    return (vectors * np.sqrt(values)) @ vectors.T, (vectors / np.sqrt(values)) @ vectors.T


def thin(weight: F64, x: F64, rank: int) -> tuple[F64, F64]:
    """A convolution as a 1x1 to `rank` channels and a convolution from them.

    The best in the metric of the inputs: rows of `x` (places, channels).
    """
    out, channels, high, wide = weight.shape
    root, inverse = _root(x)
    flat = weight.transpose(0, 2, 3, 1).reshape(-1, channels)
    _, _, basis = np.linalg.svd(flat @ root, full_matrices=False)
    basis = basis[:rank]
    rest = (flat @ root @ basis.T).reshape(out, high, wide, rank).transpose(0, 3, 1, 2)
    return basis @ inverse, rest


def _put(target: nn.Parameter | torch.Tensor, values: F64) -> None:
    """Copy into the first rows and columns; the rest is noise that training can use."""
    if target.ndim > 1:
        target.normal_(std=float(values.std()) * 0.1)
    view = target
    for axis, length in enumerate(values.shape):
        view = view.narrow(axis, 0, length)
    view.copy_(torch.from_numpy(np.ascontiguousarray(values)))


def _put_unit(unit: ConvUnit, weight: F64, bias: F64) -> None:
    """A convolution with a bias; `settle` makes the normalisation of it."""
    _put(unit.conv.weight, weight)
    norm = unit.norm
    assert isinstance(norm, nn.BatchNorm2d)
    norm.weight.fill_((1 + norm.eps) ** 0.5)
    _put(norm.bias, bias)


def _put_norm(norm: nn.Module, twin: TwinLite, *names: str) -> None:
    """A normalisation of the checkpoint's, or several end to end."""
    for key in ("weight", "bias", "running_mean", "running_var"):
        values = np.concatenate([twin.weights[f"{name}.{key}"] for name in names])
        _put(getattr(norm, key), values)


def _put_spread(block: Spread, twin: TwinLite, name: str, norm: str) -> None:
    _put(block.plain.weight, twin.weights[f"{name}.d1.conv.weight"])
    for layer, dilation in zip(block.dilated, (2, 4, 8, 16), strict=True):
        _put(layer.weight, twin.weights[f"{name}.d{dilation}.conv.weight"])
    _put_norm(block.norm, twin, norm)


def _weightiest(values: F64, next_weight: F64, count: int) -> Ints:
    """The `count` channels that move the next layer most."""
    spread = np.maximum(values, 0).std(axis=0)
    weightiness = spread * np.sqrt((next_weight**2).sum(axis=(0, 2, 3)))
    return np.sort(np.argsort(-weightiness)[:count])


def _start_fine(net: LanesNet, twin: TwinLite, value: dict[str, F64]) -> Ints:
    _put_unit(net.first, *twin.conv("/encoder/level1/conv/Conv"))
    # Of the second layer's 19 channels the FIRST that matter most to the next.
    next_weight = twin.weights["encoder.level2_0.c1.conv.weight"]
    chosen = _weightiest(value["second"], next_weight, FIRST)
    weight, bias = _fit(value["half patches"], value["second"][:, chosen])
    _put_unit(net.second, weight.reshape(FIRST, FIRST, 3, 3), bias)
    columns = (chosen[:, None] * 9 + np.arange(9)).ravel()
    weight, _ = _fit(value["second patches"][:, columns], value["thin2"])
    _put(net.down2.reduce.weight, weight.reshape(-1, FIRST, 3, 3))
    _put_spread(net.down2, twin, "encoder.level2_0", "encoder.level2_0.bn")
    for number, block in enumerate(net.level2):
        name = f"encoder.level2.{number}"
        _put(block.reduce.weight, twin.weights[f"{name}.c1.conv.weight"])
        _put_spread(block, twin, name, f"{name}.bn.bn")
    return chosen


def _start_quarter(net: LanesNet, twin: TwinLite, value: dict[str, F64]) -> Ints:
    weight, bias = twin.conv("/encoder/b2/conv/Conv")
    next_weight = twin.weights["encoder.level3_0.c1.conv.weight"]
    deep = net.widen.conv.out_channels
    chosen = _weightiest(value["wide"], next_weight, deep)
    wide = value["wide"][:, chosen]
    mean = wide.mean(axis=0)
    _, _, basis = np.linalg.svd((wide - mean)[::4], full_matrices=False)
    basis = basis[: net.core.conv.out_channels].T  # (deep, core)
    inner = np.tensordot(basis.T, weight[chosen], axes=1)
    # The averaged picture's share, channels 128 to 130, becomes its mean.
    means = value["quarter"].mean(axis=0)[deep:]
    shift = bias[chosen] + weight[chosen][:, deep:].sum(axis=(2, 3)) @ means
    squeeze, core = thin(inner[:, :deep], value["quarter"][:, :deep], net.squeeze.conv.out_channels)
    _put_unit(net.squeeze, squeeze[:, :, None, None], np.zeros(len(squeeze)))
    _put_unit(net.core, core, np.zeros(len(core)))
    _put_unit(net.widen, basis[:, :, None, None], mean + basis @ (basis.T @ (shift - mean)))
    _put(net.down3.reduce.weight, next_weight[:, chosen])
    return chosen


def _start_eighth(net: LanesNet, twin: TwinLite, value: dict[str, F64]) -> None:
    _put_spread(net.down3, twin, "encoder.level3_0", "encoder.level3_0.bn")
    for number, block in enumerate(net.level3):
        name = f"encoder.level3.{number}"
        _put(block.reduce.weight, twin.weights[f"{name}.c1.conv.weight"])
        _put_spread(block, twin, name, f"{name}.bn.bn")
    weight, bias = twin.conv("/encoder/b3/conv/Conv")
    gather, join = thin(weight, value["eighth"], GATHER)
    _put_unit(net.gather, gather[:, :, None, None], np.zeros(len(gather)))
    _put_unit(net.join, join, bias)
    places, bias1 = twin.conv("/encoder/conv_sa/conv/Conv")
    channels, bias2 = twin.conv("/encoder/conv_sc/conv/Conv")
    mixture = np.eye(32) + twin.weights["encoder.sc.gamma"] * value["attention"].mean(axis=0)
    channels = np.einsum("okyx,ki->oiyx", channels, mixture)
    _put_unit(net.context, np.concatenate([places, channels]), np.concatenate([bias1, bias2]))
    weight, bias = twin.conv("/encoder/classifier/conv/Conv")
    _put_unit(net.merge, np.concatenate([weight, weight], axis=1), bias)


def _start_decoders(net: LanesNet, twin: TwinLite, value: dict[str, F64]) -> None:
    rises: tuple[tuple[Rise, int, int], ...] = ((net.rise1, 1, 1), (net.rise2, 2, 0))
    for rise, level, axis in rises:
        names = [f"up_{level}_{task}" for task in (1, 2)]
        parts = [twin.weights[f"{name}.deconv.weight"] for name in names]
        _put(rise.deconv.weight, np.concatenate(parts, axis=axis))
        _put_norm(rise.norm, twin, *[f"{name}.bn" for name in names])
    assert net.head.bias is not None
    for row, key in enumerate(("area", "paint")):
        weight, bias = _fit(value[key], value[f"{key} logit"])
        net.head.weight[row, :, 0, 0] = torch.from_numpy(weight[0])
        net.head.bias[row] = float(bias[0])


def load_lanes(net: LanesNet, path: str | Path, pictures: npt.NDArray[np.float32]) -> None:
    """Put an exported engine of ours into a fresh `net`, whose normalisations get statistics.

    Args:
        pictures: as for `load_twinlite`.

    Raises:
        ConfigError: the file holds another network.
    """
    graph = onnx.load(str(path)).graph
    arrays = {
        item.name: torch.from_numpy(numpy_helper.to_array(item).copy())
        for item in graph.initializer
    }
    # Of equal arrays (fresh biases) the exporter keeps one and refers to it by name.
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in arrays:
            arrays[node.output[0]] = arrays[node.input[0]].clone()
    state = net.state_dict()
    for name in [name for name in arrays if name.endswith(DENSE)]:
        own = name.removesuffix(DENSE)
        if own in state:
            grouped = grouped_weight(arrays[name].numpy(), state[own].shape[1])
            arrays[own] = torch.from_numpy(grouped)
    for name, unit in net.named_modules():
        if isinstance(unit, (ConvUnit, Rise)):
            layer = "conv" if isinstance(unit, ConvUnit) else "deconv"
            bias = arrays.pop(f"{name}.{layer}.bias", None)
            norm = unit.norm
            if bias is None or not isinstance(norm, nn.BatchNorm2d):
                raise ConfigError(f"{path}: holds another network: it has no {name}.{layer}.bias")
            arrays[f"{name}.norm.bias"] = bias
            arrays[f"{name}.norm.weight"] = torch.full_like(bias, (1 + norm.eps) ** 0.5)
            arrays[f"{name}.norm.running_mean"] = torch.zeros_like(bias)
            arrays[f"{name}.norm.running_var"] = torch.ones_like(bias)
    for name, value in state.items():
        found = value if name.endswith("num_batches_tracked") else arrays.get(name)
        if found is None or found.shape != value.shape:
            have = "is missing" if found is None else f"has shape {tuple(found.shape)}"
            raise ConfigError(
                f"{path}: holds another network: {name} must have shape {tuple(value.shape)}, "
                f"but {have}"
            )
        state[name] = found
    net.load_state_dict(state)
    with torch.no_grad():
        settle(net, torch.from_numpy(pictures[:, :, 4:356]))
