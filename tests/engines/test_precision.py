"""The table of arithmetics: what "auto" reads, and what people read."""

from __future__ import annotations

import json

import numpy as np

from engines import precision
from perception.backends import open_engine
from perception.backends.choice import sha256


def row(digest="", **more):
    values = {
        "backend": "openvino",
        "precision": "bf16",
        "milliseconds": 1.0,
        "speed": 1.5,
        "figures": {"AP": 0.5, "F1": 0.75},
        "change": -0.001,
        "worst": "AP",
        "sha256": digest,
        "needs": "bf16",
        "cpu": "some",
    }
    return precision.Way(**(values | more))


def test_the_table_of_precisions_is_what_auto_reads(tmp_path, bright_engine):
    engine = tmp_path / "bright.onnx"
    engine.write_bytes(bright_engine.read_bytes())
    base = row(backend="onnxruntime", precision="fp32")
    precision.write(engine, [base, row(sha256(engine))])
    content = json.loads((tmp_path / "measured.json").read_text())
    assert content["bright"]["sha256"] == sha256(engine)
    assert [way["precision"] for way in content["bright"]["ways"]] == ["bf16"]


def test_the_table_shows_every_figure_and_the_change_of_the_worst():
    base = row(backend="onnxruntime", precision="fp32", speed=1.0)
    text = precision.table("bright", [base, row()])
    assert "| bright | ms of CPU | speed | AP | F1 | change, points |" in text
    assert "| onnxruntime fp32 | 1.00 | 1.00 | 0.5000 | 0.7500 |  |" in text
    assert "| openvino bf16 | 1.00 | 1.50 | 0.5000 | 0.7500 | -0.10 |" in text


def test_every_way_is_judged_and_the_change_is_that_of_the_worst_figure(
    tmp_path, bright_engine, monkeypatch
):
    engine = tmp_path / "bright.onnx"
    engine.write_bytes(bright_engine.read_bytes())
    monkeypatch.setattr(precision, "WAYS", (("onnxruntime", "int8"), ("openvino", "fp32")))
    monkeypatch.setattr(precision, "ROUNDS", 2)
    found = iter([{"AP": 0.5, "F1": 0.7}, {"AP": 0.6, "F1": 0.68}])
    monkeypatch.setattr(precision, "score", lambda *_, shared: next(found))
    ways = precision.measure(engine, "nowhere")
    kinds = [(way.backend, way.precision) for way in ways]
    if ("openvino", "fp32") in kinds:
        assert (ways[1].change, ways[1].worst) == (-0.02, "F1")
        assert ways[1].sha256 == sha256(engine)
    assert kinds[0] == ("onnxruntime", "fp32") and ways[0].speed == 1.0
    assert ("onnxruntime", "int8") not in kinds, "there is no such variant"


def test_times_are_medians_of_engines_that_take_turns(bright_engine, monkeypatch):
    monkeypatch.setattr(precision, "ROUNDS", 3)
    engine = open_engine(bright_engine, backend="onnxruntime")
    tensor = np.zeros((1, 3, 96, 160), np.float32)
    ways = {("onnxruntime", "fp32"): (engine, tensor), ("onnxruntime", "int8"): (engine, tensor)}
    assert all(value > 0 for value in precision.milliseconds(ways).values())
