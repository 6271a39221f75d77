"""OpenVINO beside ONNX Runtime: same shapes, same results, same card."""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys

import numpy as np
import pytest

from perception.backends import Engine, open_engine
from perception.errors import EngineError, RequestError

if importlib.util.find_spec("openvino") is None:
    pytest.skip("needs OpenVINO: pip install 'road-perception[openvino]'", allow_module_level=True)

from perception.backends.openvino import OpenVINOEngine, compiled_folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PERCEPTION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pictures(batch=1, height=96, width=160):
    return np.random.default_rng(1).uniform(0, 255, (batch, 3, height, width)).astype(np.float32)


def test_it_computes_what_onnx_runtime_computes_at_every_size_and_batch(bright_engine):
    ours = open_engine(bright_engine, backend="openvino", precision="fp32")
    theirs = open_engine(bright_engine, backend="onnxruntime")
    assert isinstance(ours, Engine) and ours.backend == "openvino"
    assert ours.card == theirs.card
    assert ours.inputs == theirs.inputs
    assert [spec.name for spec in ours.outputs] == [spec.name for spec in theirs.outputs]
    for feed in (pictures(), pictures(height=64, width=64), pictures(2), pictures(5), pictures()):
        expected = theirs.infer({"images": feed})["predictions"]
        found = ours.infer({"images": feed})["predictions"]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert len(ours._compiled) == 3  # one for both batches above one
    ours.close()


def test_after_a_few_sizes_one_network_serves_all_others(bright_engine):
    ours = OpenVINOEngine(bright_engine, precision="fp32")
    theirs = open_engine(bright_engine, backend="onnxruntime")
    for cells in (1, 2, 3, 4, 5, 6, 1):
        feed = pictures(height=32 * cells, width=64)
        np.testing.assert_allclose(
            ours.infer({"images": feed})["predictions"],
            theirs.infer({"images": feed})["predictions"],
            rtol=1e-3,
            atol=1e-4,
        )
    assert len(ours._compiled) == 4


def test_bf16_is_near_or_refused(bright_engine):
    try:
        ours = open_engine(bright_engine, backend="openvino", precision="bf16")
    except EngineError as error:
        assert "no bfloat16 arithmetic" in str(error)
        return
    expected = open_engine(bright_engine, backend="onnxruntime").infer({"images": pictures()})
    found = ours.infer({"images": pictures()})
    np.testing.assert_allclose(found["predictions"], expected["predictions"], rtol=0.05, atol=0.2)


def test_wrong_feeds_are_refused_by_name(bright_engine):
    engine = OpenVINOEngine(bright_engine, precision="fp32")
    with pytest.raises(EngineError, match="inputs must be images, but are pictures"):
        engine.infer({"pictures": pictures()})
    with pytest.raises(EngineError, match="input images must be float32, but is uint8"):
        engine.infer({"images": pictures().astype(np.uint8)})
    with pytest.raises(EngineError, match=r"must have shape \('any', 3, 'any', 'any'\), but has"):
        engine.infer({"images": pictures()[:, :1]})


def test_precisions_it_does_not_have_and_files_it_cannot_read_are_refused(bright_engine, tmp_path):
    with pytest.raises(RequestError, match="precision must be auto, fp32, bf16 on OpenVINO"):
        OpenVINOEngine(bright_engine, precision="int8")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not an onnx file")
    with pytest.raises(EngineError, match="OpenVINO cannot read this file"):
        OpenVINOEngine(broken)


def test_compiled_networks_are_kept_in_the_cache(bright_engine, cache):
    OpenVINOEngine(bright_engine).infer({"images": pictures()})
    assert any((cache / "openvino").iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_is_said(cache, caplog):
    cache.mkdir()
    cache.chmod(0o500)
    with caplog.at_level(logging.WARNING):
        assert compiled_folder() is None
    assert "networks are compiled again at every start" in caplog.text


def test_a_cache_whose_place_is_taken_is_said(cache, caplog, bright_engine):
    cache.write_text("a file")
    with caplog.at_level(logging.WARNING):
        assert compiled_folder() is None
    assert "networks are compiled again at every start" in caplog.text
    OpenVINOEngine(bright_engine).infer({"images": pictures()})


def test_nothing_is_told_to_openvinos_maker(bright_engine):
    code = (
        "import sys, threading; from pathlib import Path; "
        "from perception.backends.openvino import OpenVINOEngine; "
        f"OpenVINOEngine(Path({str(bright_engine)!r}), cache=None); "
        "print([t.name for t in threading.enumerate()], "
        "[m for m in sys.modules if m.startswith('openvino_telemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['MainThread'] []"


def test_a_public_file_without_a_card_has_none(bright_engine, tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(bright_engine))
    del model.metadata_props[:]
    onnx.save(model, str(tmp_path / "plain.onnx"))
    engine = OpenVINOEngine(tmp_path / "plain.onnx")
    assert engine.card is None
    assert engine.infer({"images": pictures()})["predictions"].shape == (1, 15, 7)
