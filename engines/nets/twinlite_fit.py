"""Fit a started lane network to its teacher layer by layer, without gradients.

Layer after layer, from the picture on, each is solved by least squares so that, given what the student's own
earlier layers yield, it comes out as the teacher's does: what an earlier layer lost, a later one makes good
as far as it can (after He et al., "Channel Pruning for Accelerating Very Deep Neural Networks",
arXiv:1707.06168, section 3.2). Minutes on one core, and nothing to overfit: some hundred unknowns per output,
tens of thousands of places.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from engines.nets.lanes import ConvUnit, LanesNet, Rise, Spread, settle
from engines.nets.twinlite import F64, Ints, Kept, TwinLite, thin

RIDGE = 3e-4  # how firmly a layer holds on to the weights it has
PLACES = 1500  # of each picture and level
F32 = npt.NDArray[np.float32]

LEVELS = ("level3_0", "level3.0", "level3.1", "level3.2")
TAPS = {
    "second": ("/encoder/b1/conv/Conv_output_0", 2),
    "down2": ("/encoder/level2_0/c1/conv/Conv_output_0", 4),
    "level2.0": ("/encoder/level2.0/c1/conv/Conv_output_0", 4),
    "level2.1": ("/encoder/level2.1/c1/conv/Conv_output_0", 4),
    "wide": ("/encoder/b2/conv/Conv_output_0", 4),
    "down3": ("/encoder/level3_0/c1/conv/Conv_output_0", 8),
    "level3.0": ("/encoder/level3.0/c1/conv/Conv_output_0", 8),
    "level3.1": ("/encoder/level3.1/c1/conv/Conv_output_0", 8),
    "level3.2": ("/encoder/level3.2/c1/conv/Conv_output_0", 8),
    "join": ("/encoder/b3/conv/Conv_output_0", 8),
    "places": ("/encoder/conv_sa/conv/Conv_output_0", 8),
    "channels": ("/encoder/conv_sc/conv/Conv_output_0", 8),
    "merge": ("/encoder/classifier/conv/Conv_output_0", 8),
    "area 1": ("/up_1_1/bn/BatchNormalization_output_0", 4),
    "paint 1": ("/up_1_2/bn/BatchNormalization_output_0", 4),
    "area 2": ("/up_2_1/bn/BatchNormalization_output_0", 2),
    "paint 2": ("/up_2_2/bn/BatchNormalization_output_0", 2),
}


class Fit:
    """The teacher's values at drawn places of pictures, and the means to fit the student to them.

    Args:
        pictures: (N, 3, 360, 640) RGB 0..1, forty or more, of the kinds to be seen.
    """

    def __init__(self, net: LanesNet, twin: TwinLite, pictures: F32) -> None:
        self.net, self.twin, self.pictures = net.eval(), twin, pictures
        rng = np.random.default_rng(0)
        self.places: list[dict[int, tuple[Ints, Ints]]] = []
        self.values: dict[str, list[F32]] = {name: [] for name in (*TAPS, "logits")}
        for picture in pictures:
            found = twin.run(picture[None], ["da", "ll", *[tap for tap, _ in TAPS.values()]])
            logits = np.stack([both[1] - both[0] for both in found[:2]])
            weight = _interest(logits)
            places = {stride: _draw(weight, stride, rng) for stride in (2, 4, 8)}
            self.places.append(places)
            half = logits.reshape(2, 180, 2, 320, 2).mean(axis=(2, 4))
            self.values["logits"].append(half[(slice(None), *places[2])].T)
            for (name, (_, stride)), value in zip(TAPS.items(), found[2:], strict=True):
                # What the transposed convolutions make is known at four times as many places.
                rows, columns = places[stride]
                self.values[name].append(value[(slice(None), rows, columns)].T)

    def target(self, name: str) -> F64:
        return np.concatenate(self.values[name]).astype(np.float64)

    @torch.no_grad()
    def inputs(self, layer: nn.Module, stride: int, kernel: int, step: int = 1) -> F64:
        """Rows of what goes into a layer at the drawn places, in the order of its weight.

        Args:
            stride: of the layer's output.
            step: of the layer.
        """
        rows: list[F32] = []
        seen: list[Tensor] = []
        hook = layer.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
        for picture, places in zip(self.pictures, self.places, strict=True):
            self.net(torch.from_numpy(picture[None]))
            x = np.pad(seen.pop()[0].numpy(), ((0, 0), (1, 1), (1, 1)))
            y0, x0 = places[stride][0] * step + 1, places[stride][1] * step + 1
            reach = range(-(kernel // 2), kernel // 2 + 1)
            parts = [x[:, y0 + dy, x0 + dx] for dy in reach for dx in reach]
            rows.append(np.stack(parts, axis=1).reshape(-1, len(y0)).T)
        hook.remove()
        return np.concatenate(rows).astype(np.float64)


def _interest(logits: F32) -> F32:
    """Where places are drawn: a third anywhere, a third on and beside lines, a third in the road's area."""
    area, paint = (logits > 0).astype(np.uint8)
    beside = cv2.dilate(paint, np.ones((15, 15), np.uint8))
    road = cv2.dilate(area, np.ones((31, 31), np.uint8))
    weight = np.full(area.shape, 1 / area.size)
    for mask in (beside, road):
        if mask.any():
            weight += mask / mask.sum()
    return (weight / weight.sum()).astype(np.float32)


def _draw(weight: F32, stride: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    height, width = weight.shape[0] // stride, weight.shape[1] // stride
    chance = weight.reshape(height, stride, width, stride).sum(axis=(1, 3)).astype(np.float64)
    flat = rng.choice(height * width, PLACES, p=(chance / chance.sum()).ravel())
    rows, columns = np.divmod(flat, width)
    return rows, columns


def solve(x: F64, y: F64, weight: F64, bias: F64 | None) -> tuple[F64, F64 | None]:
    """Weights (outputs, inputs) near the given ones with which x comes closest to y."""
    rest = y - x @ weight.T - (0 if bias is None else bias)
    mean_x = np.zeros(x.shape[1]) if bias is None else x.mean(axis=0)
    mean_y = np.zeros(y.shape[1]) if bias is None else rest.mean(axis=0)
    centred = x - mean_x
    square = centred.T @ centred / len(x)
    square += RIDGE * np.trace(square) / len(square) * np.eye(len(square))
    change = np.linalg.solve(square, centred.T @ (rest - mean_y) / len(x)).T
    return weight + change, None if bias is None else bias + mean_y - change @ mean_x


def explained(x: F64, y: F64, weight: F64, bias: F64 | None) -> float:
    """Share of y's variance that a layer explains."""
    rest = y - x @ weight.T - (0 if bias is None else bias)
    return 1 - float(rest.var(axis=0).sum() / y.var(axis=0).sum())


def refit(
    net: LanesNet, twin: TwinLite, pictures: F32, kept: Kept
) -> dict[str, tuple[float, float]]:
    """Fit every layer; returns per layer the share of the teacher's variance explained before and after.

    Args:
        net: as `load_twinlite` left it.
        twin: opened with `more=[tap for tap, _ in TAPS.values()]`.
        pictures: see `Fit`.
        kept: what `load_twinlite` returned.
    """
    fit = Fit(net, twin, pictures)
    report: dict[str, tuple[float, float]] = {}

    def layer(
        name: str, module: nn.Module, conv: nn.Conv2d, y: F64, stride: int, bias: Tensor | None
    ) -> None:
        kernel, step = conv.kernel_size[0], conv.stride[0]
        x = fit.inputs(module, stride, kernel, step)
        old = conv.weight.detach().double().numpy()[: y.shape[1]].reshape(y.shape[1], -1)
        shift = None if bias is None else bias.detach().double().numpy()[: y.shape[1]]
        new, moved = solve(x, y, old, shift)
        report[name] = explained(x, y, old, shift), explained(x, y, new, moved)
        shape = (y.shape[1], *conv.weight.shape[1:])
        with torch.no_grad():
            conv.weight[: y.shape[1]] = torch.from_numpy(new.reshape(shape)).float()
            if bias is not None and moved is not None:
                bias[: y.shape[1]] = torch.from_numpy(moved).float()

    def unit(name: str, module: ConvUnit, y: F64, stride: int) -> None:
        _plain(module)
        assert isinstance(module.norm, nn.BatchNorm2d)
        layer(name, module, module.conv, y, stride, module.norm.bias)

    def spread(name: str, module: Spread, stride: int) -> None:
        layer(name, module, module.reduce, fit.target(name), stride, None)

    unit("second", net.second, fit.target("second")[:, kept.second], 2)
    spread("down2", net.down2, 4)
    for number, block in enumerate(net.level2):
        assert isinstance(block, Spread)
        spread(f"level2.{number}", block, 4)
    _refit_wide(fit, kept.wide, report)
    spread("down3", net.down3, 8)
    for number, block in enumerate(net.level3):
        assert isinstance(block, Spread)
        spread(f"level3.{number}", block, 8)
    _refit_join(fit, report)
    both = np.concatenate([fit.target("places"), fit.target("channels")], axis=1)
    unit("context", net.context, both, 8)
    unit("merge", net.merge, fit.target("merge"), 8)
    _refit_rise(fit, "1", net.rise1, 4, report)
    _refit_rise(fit, "2", net.rise2, 2, report)
    _refit_head(fit, report)
    with torch.no_grad():
        settle(net, torch.from_numpy(pictures[:16]))
    return report


def _plain(unit: ConvUnit | Rise) -> None:
    """Make a unit's normalisation a bias alone; the function stays."""
    norm = unit.norm
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None and norm.running_var is not None
    with torch.no_grad():
        factor = norm.weight / (norm.running_var + norm.eps).sqrt()
        if isinstance(unit, ConvUnit):
            unit.conv.weight.mul_(factor[:, None, None, None])
        else:
            per_group = unit.deconv.weight.shape[1]
            scale = factor.view(unit.groups, 1, per_group)
            scale = scale.expand(-1, unit.deconv.weight.shape[0] // unit.groups, -1)
            unit.deconv.weight.mul_(scale.reshape(-1, per_group)[:, :, None, None])
        norm.bias.sub_(norm.running_mean * factor)
        norm.weight.fill_((1 + norm.eps) ** 0.5)
        norm.running_mean.zero_()
        norm.running_var.fill_(1)


def _set(unit: ConvUnit, weight: F64, bias: F64) -> None:
    _plain(unit)
    norm = unit.norm
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        unit.conv.weight.copy_(torch.from_numpy(weight.reshape(unit.conv.weight.shape)))
        norm.bias.copy_(torch.from_numpy(bias))


def _refit_wide(fit: Fit, chosen: Ints, report: dict[str, tuple[float, float]]) -> None:
    """The wide convolution, whole, then its best approximation through the core."""
    net = fit.net
    weight, bias = fit.twin.conv("/encoder/b2/conv/Conv")
    old = weight[chosen][:, : net.squeeze.conv.in_channels]
    shape = old.shape
    x, y = fit.inputs(net.squeeze, 4, 3), fit.target("wide")[:, chosen]
    means = y.mean(axis=0) - x.mean(axis=0) @ old.reshape(len(old), -1).T
    full, shift = solve(x, y, old.reshape(len(old), -1), means)
    assert shift is not None
    # Directions of the output that matter, as the fitted layer yields them.
    made = x @ full.T + shift
    centre = made.mean(axis=0)
    _, _, basis = np.linalg.svd((made - centre)[::3], full_matrices=False)
    basis = basis[: net.core.conv.out_channels].T
    inner = np.tensordot(basis.T, full.reshape(shape), axes=1)
    middle = x.reshape(len(x), shape[1], 9)[:, :, 4]
    squeeze, core = thin(inner, middle, net.squeeze.conv.out_channels)
    _set(net.squeeze, squeeze, np.zeros(len(squeeze)))
    _set(net.core, core, np.zeros(len(core)))
    _set(net.widen, basis, centre + basis @ (basis.T @ (shift - centre)))
    # Once more, given what the core really yields.
    x = fit.inputs(net.widen, 4, 1)
    before, bias = basis, centre + basis @ (basis.T @ (shift - centre))
    new, moved = solve(x, y, before, bias)
    assert moved is not None
    report["wide"] = explained(x, y, before, bias), explained(x, y, new, moved)
    _set(net.widen, new, moved)


def _refit_join(fit: Fit, report: dict[str, tuple[float, float]]) -> None:
    net = fit.net
    weight, bias = fit.twin.conv("/encoder/b3/conv/Conv")
    x, y = fit.inputs(net.gather, 8, 3), fit.target("join")
    full, shift = solve(x, y, weight.reshape(len(weight), -1), bias)
    assert shift is not None
    middle = x.reshape(len(x), weight.shape[1], 9)[:, :, 4]
    gather, join = thin(full.reshape(weight.shape), middle, net.gather.conv.out_channels)
    _set(net.gather, gather, np.zeros(len(gather)))
    x = fit.inputs(net.join, 8, 3)
    before = join.reshape(len(join), -1)
    new, moved = solve(x, y, before, shift)
    assert moved is not None
    report["join"] = explained(x, y, before, shift), explained(x, y, new, moved)
    _set(net.join, new, moved)


def _refit_rise(
    fit: Fit, level: str, rise: Rise, stride: int, report: dict[str, tuple[float, float]]
) -> None:
    """A transposed convolution of 2x2: each of its four places in a cell is a layer of its own."""
    _plain(rise)
    norm = rise.norm
    assert isinstance(norm, nn.BatchNorm2d)
    half = norm.bias.shape[0] // 2
    seen: list[Tensor] = []
    hook = rise.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    rows = []
    with torch.no_grad():
        for picture, places in zip(fit.pictures, fit.places, strict=True):
            fit.net(torch.from_numpy(picture[None]))
            y, x = places[stride]
            rows.append(seen.pop()[0].numpy()[:, y // 2, x // 2].T)
    hook.remove()
    inputs = np.concatenate(rows).astype(np.float64)
    parity = np.concatenate([(p[stride][0] % 2) * 2 + p[stride][1] % 2 for p in fit.places])
    count = inputs.shape[1] // rise.groups
    for task, name in enumerate(("area", "paint")):
        y = fit.target(f"{name} {level}")
        group = slice(task * count, (task + 1) * count) if rise.groups == 2 else slice(None)
        mine = slice(task * half, (task + 1) * half)
        outputs = slice(0, half) if rise.groups == 2 else mine
        shares = []
        for cell in range(4):
            here = parity == cell
            x = inputs[here][:, group]
            old = (
                rise.deconv.weight[group, outputs, cell // 2, cell % 2].detach().double().numpy().T
            )
            bias = norm.bias[mine].detach().double().numpy()
            # The bias is shared by the four places, so it stays.
            new, _ = solve(x, y[here] - bias, old, None)
            shares.append(
                (explained(x, y[here] - bias, old, None), explained(x, y[here] - bias, new, None))
            )
            with torch.no_grad():
                rise.deconv.weight[group, outputs, cell // 2, cell % 2] = torch.from_numpy(
                    new.T
                ).float()
        report[f"{name} {level}"] = tuple(np.mean(shares, axis=0).tolist())  # type: ignore[assignment]


def _refit_head(fit: Fit, report: dict[str, tuple[float, float]]) -> None:
    """The logits, of which only those near zero matter: the others are cut."""
    net = fit.net
    x = fit.inputs(net.head, 2, 1)
    y = np.clip(fit.target("logits"), -6, 6)
    half = x.shape[1] // 2
    assert net.head.bias is not None
    for task, name in enumerate(("area", "paint")):
        part = x[:, task * half : (task + 1) * half]
        wanted = y[:, task : task + 1]
        weight, bias = _logistic(part, wanted[:, 0])
        report[f"head {name}"] = 0.0, explained(part, wanted, weight[None], np.array([bias]))
        with torch.no_grad():
            net.head.weight[task, :, 0, 0] = torch.from_numpy(weight).float()
            net.head.bias[task] = bias


def _logistic(x: F64, logit: F64) -> tuple[F64, float]:
    """Weights and bias that yield the teacher's probabilities, by Newton's method."""
    scale = x.std(axis=0) + 1e-6
    design = np.concatenate([x / scale, np.ones((len(x), 1))], axis=1)
    wanted = 1 / (1 + np.exp(-logit))
    weight = np.zeros(design.shape[1])
    for _ in range(25):
        found = 1 / (1 + np.exp(-np.clip(design @ weight, -30, 30)))
        slope = design.T @ (wanted - found) / len(x) - 1e-4 * weight
        curve = (design * (found * (1 - found))[:, None]).T @ design / len(x)
        step = np.linalg.solve(curve + 1e-4 * np.eye(len(curve)), slope)
        weight += step
        if np.abs(step).max() < 1e-4:
            break
    return weight[:-1] / scale, float(weight[-1])
