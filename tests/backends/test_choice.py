"""What "auto" chooses: only what was measured for this very file, and never silently."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest

from perception.backends import choice, open_engine
from perception.backends.choice import choose, cpu_features, sha256, variant_path
from perception.errors import EngineError, RequestError


@pytest.fixture
def engine(bright_engine, tmp_path):
    path = tmp_path / "bright.onnx"
    shutil.copy(bright_engine, path)
    return path


@pytest.fixture
def here(monkeypatch):
    """A machine with OpenVINO and bf16, without TensorRT."""
    installed = {"openvino"}
    monkeypatch.setattr(
        choice.importlib.util, "find_spec", lambda name: name if name in installed else None
    )
    features = {"bf16", "int8"}
    monkeypatch.setattr(choice, "cpu_features", lambda: frozenset(features))
    return installed, features


def measured(engine: Path, *ways: dict, digest: str | None = None) -> None:
    common = {"needs": "", "cpu": "some CPU", "sha256": "", "change": 0.0, "worst": "AP"}
    rows = [common | way for way in ways]
    content = {engine.stem: {"sha256": digest or sha256(engine), "ways": rows}}
    engine.with_name("measured.json").write_text(json.dumps(content))


BF16 = {"backend": "openvino", "precision": "bf16", "speed": 1.4, "needs": "bf16"}
INT8 = {"backend": "openvino", "precision": "int8", "speed": 1.6, "needs": "int8"}


def test_an_engine_that_nobody_measured_runs_in_fp32_on_onnx_runtime(engine, here, caplog):
    with caplog.at_level(logging.INFO):
        found = choose(engine)
    assert (found.path, found.backend) == (engine, "onnxruntime")
    assert "bright.onnx runs on onnxruntime: nothing faster was measured" in caplog.text


def test_the_fastest_measured_way_is_chosen_and_said(engine, here, caplog):
    measured(engine, {**BF16, "speed": 1.1}, BF16)
    with caplog.at_level(logging.INFO):
        found = choose(engine)
    assert (found.backend, found.options) == ("openvino", {"precision": "bf16"})
    assert "1.40 times as fast" in caplog.text and "AP +0.0 points" in caplog.text


def test_a_way_that_loses_more_than_half_a_point_is_not_chosen(engine, here):
    measured(engine, {**BF16, "change": -0.0051})
    assert choose(engine).backend == "onnxruntime"
    measured(engine, {**BF16, "change": -0.0049})
    assert choose(engine).backend == "openvino"


def test_a_way_that_is_slower_is_not_chosen(engine, here):
    measured(engine, {**BF16, "speed": 0.9})
    assert choose(engine).backend == "onnxruntime"


def test_figures_of_other_weights_do_not_count(engine, here):
    measured(engine, BF16, digest="0" * 64)
    assert choose(engine).backend == "onnxruntime"


def test_what_the_machine_lacks_is_not_chosen(engine, here):
    installed, features = here
    measured(engine, BF16)
    features.discard("bf16")
    assert choose(engine).backend == "onnxruntime"
    features.add("bf16")
    installed.clear()
    assert choose(engine).backend == "onnxruntime"


def test_an_int8_variant_is_chosen_only_if_it_is_the_measured_file(engine, here):
    variant = variant_path(engine, "openvino")
    assert variant.name == "bright.int8-openvino.onnx"
    shutil.copy(engine, variant)
    measured(engine, BF16, {**INT8, "sha256": sha256(variant)})
    assert choose(engine).path == variant
    variant.write_bytes(variant.read_bytes() + b"\0")
    assert choose(engine).options == {"precision": "bf16"}
    variant.unlink()
    assert choose(engine).options == {"precision": "bf16"}


def test_a_wish_for_a_precision_is_kept_or_refused(engine, here):
    measured(engine, BF16)
    assert choose(engine, precision="fp32").backend == "onnxruntime"
    assert choose(engine, precision="bf16").backend == "openvino"
    assert choose(engine, "openvino", "fp32").options == {"precision": "fp32"}
    with pytest.raises(RequestError, match="ONNX Runtime has no bf16"):
        choose(engine, "onnxruntime", "bf16")
    with pytest.raises(
        RequestError, match="precision must be auto, fp32, fp16, bf16, int8, but is 'fp8'"
    ):
        choose(engine, precision="fp8")
    with pytest.raises(EngineError, match=r"no INT8 variant for openvino .*--layout openvino"):
        choose(engine, "openvino", "int8")
    with pytest.raises(EngineError, match=r"no INT8 variant for onnxruntime"):
        choose(engine, precision="int8")


def test_a_broken_table_says_how_to_make_it_again(engine, here):
    engine.with_name("measured.json").write_text("{")
    with pytest.raises(EngineError, match=r"measured\.json: is broken .*engines\.precision"):
        choose(engine)


def test_an_unknown_backend_gets_a_suggestion(engine):
    with pytest.raises(RequestError, match="did you mean 'onnxruntime'"):
        open_engine(engine, backend="onnxruntme")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx2 fma", set()),
        ("avx512f avx512_vnni", {"int8"}),
        ("avx512f avx512_vnni avx512_bf16", {"bf16", "int8"}),
        ("avx2 avx_vnni", {"int8"}),
        ("amx_bf16 amx_int8", {"bf16", "int8"}),
    ],
)
def test_features_are_read_from_the_flags_of_the_cpu(tmp_path, flags, expected):
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor\t: 0\nmodel name\t: x\nflags\t\t: {flags}\n")
    cpu_features.cache_clear()
    assert cpu_features(info) == expected
    assert cpu_features(tmp_path / "missing") == frozenset()
    cpu_features.cache_clear()


def test_tensorrt_takes_its_own_variant_and_fp16(tmp_path):
    path = tmp_path / "road.onnx"
    path.write_bytes(b"x")
    assert choose(path, "tensorrt", "int8").path == path
    variant = tmp_path / "road.int8-tensorrt.onnx"
    variant.write_bytes(b"y")
    chosen = choose(path, "tensorrt", "int8")
    assert chosen.path == variant and chosen.options == {"precision": "int8"}
    assert choose(path, "auto", "fp16").backend == "tensorrt"
    with pytest.raises(RequestError, match="fp16 is for GPUs"):
        choose(path, "onnxruntime", "fp16")
