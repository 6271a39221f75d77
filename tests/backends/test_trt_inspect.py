"""Precisions are read from the engine inspector's words, of every version's kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from perception.backends.trt_inspect import layers_of, precision_problem, precisions_of


def information(*layers: tuple[str, str]) -> str:
    """(type of layer, type of its input) each."""
    found = [
        {
            "Name": f"layer {i}",
            "LayerType": kind,
            "Inputs": [{"Name": "x", "Format/Datatype": words}],
        }
        for i, (kind, words) in enumerate(layers)
    ]
    return json.dumps({"Layers": found})


@pytest.mark.parametrize(
    ("words", "precision"),
    [
        ("Half", "fp16"),
        ("Row major linear FP16 format", "fp16"),
        ("Channel major FP16 format where channel % 8 == 0", "fp16"),
        ("Float", "fp32"),
        ("Row major linear FP32", "fp32"),
        ("Int8", "int8"),
        ("Thirty-two wide channel vectorized row major Int8 format.", "int8"),
        ("BFloat16", "bf16"),
        ("FP8", "fp8"),
    ],
)
def test_every_way_to_write_a_type_is_understood(words: str, precision: str) -> None:
    assert precisions_of(information(("CaskConvolution", words))) == {precision: 1}


def test_only_layers_with_weights_count_where_there_are_any() -> None:
    text = information(
        ("CaskConvolution", "Half"), ("CaskGemmConvolution", "Half"), ("gemm", "Float"),
        ("PointWise", "Float"), ("Reformat", "Float"), ("kgen", "Float"),
    )  # fmt: skip

    assert precisions_of(text) == {"fp16": 2, "fp32": 1}


def test_fused_layers_count_where_fusion_hid_the_convolutions() -> None:
    assert precisions_of(
        information(("kgen", "Half"), ("kgen", "Half"), ("Reformat", "Float"))
    ) == {"fp16": 2}


def test_a_layer_counts_as_its_lowest_input() -> None:
    layer = {
        "LayerType": "CaskConvolution",
        "Inputs": [{"Format/Datatype": "Float"}, {"Format/Datatype": "Int8"}],
    }

    assert precisions_of(json.dumps({"Layers": [layer]})) == {"int8": 1}


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"Layers": ["a name", "another"]}', "{}"])
def test_what_tells_nothing_gives_nothing(text: str) -> None:
    assert precisions_of(text) == {}


@pytest.mark.parametrize(
    ("found", "asked", "wrong"),
    [
        ({"fp16": 10}, "fp16", False),
        ({"fp16": 6, "fp32": 4}, "fp16", False),
        ({"fp16": 4, "fp32": 6}, "fp16", True),
        ({"fp32": 10}, "fp16", True),
        ({"fp32": 10}, "fp32", False),
        ({"fp32": 10, "fp16": 1}, "fp32", True),
        ({"int8": 1, "fp16": 9}, "int8", False),
        ({"fp16": 9}, "int8", True),
    ],
)
def test_another_precision_than_asked_for_is_a_problem(
    found: dict[str, int], asked: str, wrong: bool
) -> None:
    problem, warnings = precision_problem(found, asked)

    assert bool(problem) is wrong and not warnings
    if problem:
        assert problem.startswith(f"{asked} was asked for, but layers run in")


def test_what_cannot_be_confirmed_is_a_warning() -> None:
    problem, warnings = precision_problem({}, "fp16")

    assert problem is None
    (warning,) = warnings
    assert "fp16 could not be confirmed" in warning


def test_layers_may_be_described_by_anything(each: Any) -> None:
    assert (
        precisions_of(json.dumps({"Layers": [{"LayerType": None, "Inputs": [None, 3, {}]}]})) == {}
    )


@pytest.mark.parametrize("kind", ["with", "without"])
def test_what_a_real_tensorrt_says_is_understood(kind: str) -> None:
    """Texts of TensorRT 8.6.0 about a plan of `lights` in FP32 with two profiles, on an H200."""
    path = Path(__file__).with_name("inspector") / f"8.6.0-{kind}-context.txt"
    text = path.read_text()

    assert "\x1e" in text, "a control character inside a string: no JSON"
    assert ("N/A due to dynamic shapes" in text) == (kind == "without")
    assert len(layers_of(text)) == 18
    # Five convolutions and the last layer, in each of two profiles; without a context the weights tell.
    assert precisions_of(text) == {"fp32": 12}
