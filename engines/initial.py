"""Start a network from weights: a checkpoint of ours, or an engine that `engines.export` wrote.

An exported file holds the network with its normalisations folded into the convolutions, under the names
that the network's own parts have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from engines import checkpoint
from engines.nets.road import ConvUnit
from engines.nets.yolox import restore_normalisation
from engines.rewrite import MARK, focus_weight
from perception.card import EngineCard
from perception.errors import ConfigError, InputError


def exported_card(path: str | Path) -> EngineCard | None:
    """The card of an ONNX file; None for one that is not ours.

    Raises:
        InputError: no such file, or not ONNX.
    """
    model = _read(path)
    return EngineCard.from_metadata({p.key: p.value for p in model.metadata_props}, where=str(path))


def start_from(
    net: nn.Module,
    path: str,
    classes: Sequence[str],
    *,
    public: Callable[[], None],
    pictures: Callable[[], Iterable[Tensor]] | None = None,
) -> None:
    """From a checkpoint, an engine of ours, or else a public file, which `public` loads.

    Args:
        pictures: as for `load_exported`.

    Raises:
        InputError: no such file, or not ONNX.
        ConfigError: it is of other classes or of another network.
    """
    if not path.endswith(".onnx"):
        load_checkpoint(net, path, classes)
    elif exported_card(path) is not None:
        load_exported(net, path, classes, pictures)
    else:
        public()


def load_checkpoint(net: nn.Module, path: str | Path, classes: Sequence[str]) -> None:
    """The running mean of a checkpoint.

    Raises:
        ConfigError: it is of other classes or of another network.
    """
    content = checkpoint.load(path)
    if content["classes"] != list(classes):
        raise ConfigError(
            f"{path}: has classes {content['classes']}, but the recipe {list(classes)}"
        )
    if content["folded"]:
        net.fold()
    try:
        net.load_state_dict(content["mean"])
    except RuntimeError as error:
        raise ConfigError(f"{path}: is a checkpoint of another net ({error})") from error


def load_exported(
    net: nn.Module,
    path: str | Path,
    classes: Sequence[str],
    pictures: Callable[[], Iterable[Tensor]] | None = None,
) -> None:
    """The weights of an exported engine of ours.

    Args:
        net: fresh, or folded. A fresh one keeps its normalisations: they start as the identity, and get
            the statistics of `pictures`, (B, C, H, W) float batches as the network takes them.

    Raises:
        ConfigError: it is of other classes or of another network.
    """
    card = exported_card(path)
    if card is None:
        raise ConfigError(f"{path}: was not exported by this project; name an engine of ours")
    if card.classes != tuple(classes):
        raise ConfigError(
            f"{path}: has classes {list(card.classes)}, but the recipe {list(classes)}"
        )
    graph = _read(path).graph
    arrays = {
        item.name: torch.from_numpy(numpy_helper.to_array(item).copy())
        for item in graph.initializer
    }
    for name in [name for name in arrays if name.endswith(MARK)]:
        own = name.removesuffix(MARK)
        arrays[own] = torch.from_numpy(focus_weight(arrays[name].numpy()))
    # Of equal arrays (fresh biases) the exporter keeps one and refers to it by name.
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in arrays:
            arrays[node.output[0]] = arrays[node.input[0]].clone()
    state = net.state_dict()
    for name, unit in net.named_modules():
        if isinstance(unit, ConvUnit) and isinstance(unit.norm, nn.BatchNorm2d):
            bias = arrays.pop(f"{name}.conv.bias", None)
            if bias is None:
                raise ConfigError(f"{path}: holds another network: it has no {name}.conv.bias")
            norm = unit.norm
            arrays[f"{name}.norm.running_mean"] = torch.zeros_like(bias)
            arrays[f"{name}.norm.running_var"] = torch.ones_like(bias)
            arrays[f"{name}.norm.weight"] = torch.full_like(bias, (1.0 + norm.eps) ** 0.5)
            arrays[f"{name}.norm.bias"] = bias
            arrays[f"{name}.norm.num_batches_tracked"] = state[f"{name}.norm.num_batches_tracked"]
    for name, value in state.items():
        found = arrays.get(name)
        if found is None or found.shape != value.shape:
            have = "is missing" if found is None else f"has shape {tuple(found.shape)}"
            raise ConfigError(
                f"{path}: holds another network: {name} must have shape {tuple(value.shape)}, "
                f"but {have}"
            )
    net.load_state_dict({name: arrays[name] for name in state})
    if pictures is not None and any(isinstance(m, nn.BatchNorm2d) for m in net.modules()):
        restore_normalisation(net, pictures())


def _read(path: str | Path) -> onnx.ModelProto:
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file to start from")
    try:
        return onnx.load(str(path))
    except Exception as error:  # protobuf has no exception of its own for what is not a message
        raise InputError(f"{path}: not an ONNX file ({error})") from error
