"""The same network written so that it runs faster: rewrites of an ONNX graph that change no result.

YOLOX begins by laying 2x2 pixels side by side as channels ("focus": four strided slices and a concatenation)
and convolving 3x3. The same sums are one 6x6 convolution of stride 2 on the picture itself (as YOLOv5 6.0
writes it), without the four copies of the picture.

Detectors that end in rows of cells get them from each map by itself. Transposed convolutions in groups are written as
plain ones with zeros between the groups: OpenVINO has fast kernels only for those (14 ms became 0.3 in the lane network).
"""

from __future__ import annotations

import numpy as np
import onnx
import onnx.shape_inference
from onnx import helper, numpy_helper

INT64_MAX_HALF = 2**62
# What a rewritten weight is called, after the name of the network's own.
MARK = ".focus"
DENSE = ".dense"
# (row, column) in each 2x2 block, in the order in which focus stacks its pixels.
CORNERS = ((0, 0), (1, 0), (0, 1), (1, 1))


def focus_as_convolution(model: onnx.ModelProto) -> bool:
    """Replace slices, concatenation and 3x3 convolution by one 6x6 convolution of stride 2, in place.

    Returns:
        Whether the graph begins so; otherwise it is left as it is.
    """
    graph = model.graph
    constants = _constants(graph)
    maker = {output: node for node in graph.node for output in node.output}
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    picture = graph.input[0].name
    for concat in (node for node in graph.node if node.op_type == "Concat"):
        corners = [_corner(name, picture, maker, constants) for name in concat.input]
        following = users.get(concat.output[0], [])
        if len(corners) != 4 or None in corners or len(following) != 1:
            continue
        conv = following[0]
        weight = constants.get(conv.input[1])
        settings = {a.name: helper.get_attribute_value(a) for a in conv.attribute}
        plain = (
            conv.op_type == "Conv"
            and weight is not None
            and weight.shape[1:] == (12, 3, 3)
            and settings.get("strides", [1, 1]) == [1, 1]
            and settings.get("pads") == [1, 1, 1, 1]
            and settings.get("group", 1) == 1
        )
        if not plain:
            continue
        assert weight is not None
        wide = np.zeros((weight.shape[0], 3, 6, 6), weight.dtype)
        for number, corner in enumerate(corners):
            assert corner is not None
            row, column = corner
            wide[:, :, row::2, column::2] = weight[:, 3 * number : 3 * number + 3]
        name = conv.input[1] + MARK
        graph.initializer.append(numpy_helper.from_array(wide, name))
        conv.input[0], conv.input[1] = picture, name
        del conv.attribute[:]
        conv.attribute.extend(
            helper.make_attribute(key, value)
            for key, value in {
                "kernel_shape": [6, 6],
                "strides": [2, 2],
                "pads": [2, 2, 2, 2],
                "group": 1,
                "dilations": [1, 1],
            }.items()
        )
        _remove_unused(graph)
        return True
    return False


def focus_weight(wide: np.ndarray) -> np.ndarray:
    """The 3x3 weight (C, 12, 3, 3) behind a focus layer that a 6x6 weight (C, 3, 6, 6) was made from."""
    return np.concatenate([wide[:, :, row::2, column::2] for row, column in CORNERS], axis=1)


def _constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    found = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def _corner(
    name: str, picture: str, maker: dict[str, onnx.NodeProto], constants: dict[str, np.ndarray]
) -> tuple[int, int] | None:
    """(row, column) of the pixel of each 2x2 block that a chain of slices takes, else None."""
    starts = {2: 0, 3: 0}
    steps = {2: 1, 3: 1}
    while name != picture:
        node = maker.get(name)
        if node is None or node.op_type != "Slice" or len(node.input) != 5:
            return None
        values = [constants.get(part) for part in node.input[1:]]
        if any(value is None for value in values):
            return None
        for start, end, axis, step in zip(*values, strict=True):
            if int(axis) not in steps or end < INT64_MAX_HALF or steps[int(axis)] != 1:
                return None
            starts[int(axis)], steps[int(axis)] = int(start), int(step)
        name = node.input[0]
    if steps != {2: 2, 3: 2} or not set(starts.values()) <= {0, 1}:
        return None
    return starts[2], starts[3]


def _remove_unused(graph: onnx.GraphProto) -> None:
    """Drop nodes and constants whose results nobody reads."""
    wanted = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    kept.reverse()
    constants = [entry for entry in graph.initializer if entry.name in wanted]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(constants)


def dense_transposed(model: onnx.ModelProto) -> bool:
    """Write transposed convolutions in groups as plain ones, in place: between groups, weights are zero.

    Returns:
        Whether there were any.
    """
    graph = model.graph
    constants = _constants(graph)
    changed = False
    for node in graph.node:
        groups = next((item for item in node.attribute if item.name == "group"), None)
        if node.op_type != "ConvTranspose" or groups is None or groups.i == 1:
            continue
        weight = constants.get(node.input[1])
        if weight is None:
            continue
        count, (inputs, each) = groups.i, weight.shape[:2]
        wide = np.zeros((inputs, each * count, *weight.shape[2:]), weight.dtype)
        for group in range(count):
            rows = slice(group * inputs // count, (group + 1) * inputs // count)
            wide[rows, group * each : (group + 1) * each] = weight[rows]
        name = node.input[1] + DENSE
        graph.initializer.append(numpy_helper.from_array(wide, name))
        node.input[1] = name
        groups.i = 1
        changed = True
    if changed:
        _remove_unused(graph)
    return changed


def grouped_weight(wide: np.ndarray, each: int) -> np.ndarray:
    """The weight (I, `each`, k, k) in groups behind one of `dense_transposed` (I, groups * each, k, k)."""
    inputs, outputs = wide.shape[:2]
    count = outputs // each
    size = inputs // count
    return np.concatenate(
        [wide[g * size : (g + 1) * size, g * each : (g + 1) * each] for g in range(count)]
    )


def cells_by_transposed_maps(model: onnx.ModelProto) -> bool:
    """Make rows of cells from each map by itself, instead of turning all of them over at the end, in place.

    Detectors end in ``Reshape (B, C, H, W) -> (B, C, H W)`` of every map, concatenation and one transposition to
    (B, cells, C). A runtime that keeps channels last, as OpenVINO does, copies everything twice for it; maps that
    are transposed to (B, H, W, C) first lie that way already.

    Returns:
        Whether the graph ends so; otherwise it is left as it is.
    """
    graph = model.graph
    maker = {output: node for node in graph.node for output in node.output}
    shapes = _shapes(model)
    turned = maker.get(graph.output[0].name)
    if turned is None or turned.op_type != "Transpose" or _attribute(turned, "perm") != [0, 2, 1]:
        return False
    joined = maker.get(turned.input[0])
    if joined is None or joined.op_type != "Concat" or _attribute(joined, "axis") not in (2, -1):
        return False
    flat = [maker.get(name) for name in joined.input]
    if any(node is None or node.op_type != "Reshape" for node in flat):
        return False
    rows = []
    for number, node in enumerate(flat):
        assert node is not None
        before, after = shapes.get(node.input[0], []), shapes.get(node.output[0], [])
        if len(before) != 4 or len(after) != 3 or before[1] < 0 or before[1] != after[1]:
            return False
        rows.append((node.input[0], before[1], f"{turned.output[0]}.map{number}"))
    place = next(index for index, node in enumerate(graph.node) if node is turned)
    made = []
    for source, channels, name in rows:
        shape = numpy_helper.from_array(np.array([0, -1, channels], np.int64), f"{name}.shape")
        graph.initializer.append(shape)
        made += [
            helper.make_node(
                "Transpose", [source], [f"{name}.last"], name=f"{name}.last", perm=[0, 2, 3, 1]
            ),
            helper.make_node("Reshape", [f"{name}.last", shape.name], [name], name=name),
        ]
    made.append(
        helper.make_node(
            "Concat", [name for *_, name in rows], list(turned.output), name=turned.name, axis=1
        )
    )
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes[:place], *made, *nodes[place + 1 :]])
    _remove_unused(graph)
    return True


def _attribute(node: onnx.NodeProto, name: str) -> object:
    for item in node.attribute:
        if item.name == name:
            value: object = helper.get_attribute_value(item)
            return value
    return None


def _shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Of every value as far as they follow from the graph; -1 stands for a dimension that may vary."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    return {
        value.name: [d.dim_value or -1 for d in value.type.tensor_type.shape.dim]
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    }
