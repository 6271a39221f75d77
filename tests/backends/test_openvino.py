"""OpenVINO beside ONNX Runtime: same shapes, same results, same card."""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from perception.backends import Engine, open_engine
from perception.errors import EngineError, RequestError

if importlib.util.find_spec("openvino") is None:
    pytest.skip("needs OpenVINO: pip install 'road-perception[openvino]'", allow_module_level=True)

from perception.backends.openvino import SIZES_OF_THEIR_OWN, OpenVINOEngine, compiled_folder


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


def test_several_threads_may_call_it_at_once(bright_engine):
    ours = open_engine(bright_engine, backend="openvino", precision="fp32")
    feeds = [pictures(height=32 * (1 + number % 3), width=64) * 0.1 * number for number in range(8)]
    expected = [np.array(ours.infer({"images": feed})["predictions"]) for feed in feeds]

    def work(number):
        for _ in range(20):
            found = ours.infer({"images": feeds[number]})["predictions"]
            np.testing.assert_array_equal(found, expected[number])
        return number

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(8))) == list(range(8))


def made_for_one_size(path, *, flat=False):
    """A file for 64x64 pictures: each pixel twice as bright; `flat`, of exactly so many pixels."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    constants = {"two": np.array(2, np.float32), "shape": np.array([1, 3 * 64 * 64], np.int64)}
    nodes = [helper.make_node("Mul", ["images", "two"], ["bright" if flat else "predictions"])]
    if flat:
        nodes.append(helper.make_node("Reshape", ["bright", "shape"], ["predictions"]))
    value = helper.make_tensor_value_info
    out = [1, 3 * 64 * 64] if flat else [1, 3, 64, 64]
    graph = helper.make_graph(
        nodes,
        "one_size",
        [value("images", TensorProto.FLOAT, [1, 3, 64, 64])],
        [value("predictions", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def test_a_file_made_for_one_size_takes_pictures_of_every_shape(tmp_path):
    ours = OpenVINOEngine(made_for_one_size(tmp_path / "free.onnx"), precision="fp32")
    for height in range(32, 32 * (SIZES_OF_THEIR_OWN + 4), 32):
        assert ours.takes((64, height))
        found = ours.infer({"images": np.ones((1, 3, height, 64), np.float32)})["predictions"]
        assert found.shape == (1, 3, height, 64) and (found == 2).all()


def test_a_file_made_for_one_size_may_take_another(tmp_path):
    ours = OpenVINOEngine(made_for_one_size(tmp_path / "free.onnx"), precision="fp32")
    assert ours.takes((64, 32)) and ours.inputs[0].shape == (1, 3, 64, 64)
    with pytest.raises(EngineError, match=r"must have shape \(1, 3, 64, 64\)"):
        ours.infer({"images": np.ones((1, 3, 96, 32), np.float32)})
    wide = ours.infer({"images": np.ones((1, 3, 32, 64), np.float32)})["predictions"]
    assert wide.shape == (1, 3, 32, 64)
    fixed = OpenVINOEngine(made_for_one_size(tmp_path / "fixed.onnx", flat=True), precision="fp32")
    assert not fixed.takes((64, 32))
