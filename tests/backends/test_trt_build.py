"""Builds, driven through the fake TensorRT of every version: what is made, refused, kept and waited for."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception.backends.cache_folder import cache_folder
from perception.backends.trt_build import build
from perception.cli import main
from perception.errors import EngineError, InputError, RequestError
from perception.types import Detections


def files() -> list[str]:
    """What the cache holds, without locks."""
    folder = cache_folder() / "tensorrt"
    return sorted(p.suffix for p in folder.iterdir() if p.suffix != ".lock")


def test_a_build_leaves_a_plan_and_its_record(each: Any, tiny: Path) -> None:
    report = build(tiny, batch=4)

    assert report.made and report.why == "no plan has been built"
    assert files() == [".cache", ".json", ".plan"]
    record = json.loads(report.plan.record.read_text())
    assert record["key"]["tensorrt"] == each.version
    assert record["key"]["gpu"] == "Fake GPU" and record["key"]["capability"] == "8.7"
    assert record["details"]["size"] == [64, 32]
    assert record["details"]["parity"]["passed"] is True
    assert record["details"]["profiles"] == [
        {"images": [[1, 3, 32, 64]] * 3},
        {"images": [[1, 3, 32, 64], [4, 3, 32, 64], [4, 3, 32, 64]]},
    ]


def test_the_second_time_nothing_is_built(each: Any, tiny: Path) -> None:
    first = build(tiny)
    second = build(tiny)

    assert not second.made and second.plan == first.plan
    assert each.state.builds == 1
    assert second.precisions == first.precisions == {"fp16": 2}
    assert "already built" in second.text() and "built:" in first.text()


def test_force_builds_again(each: Any, tiny: Path) -> None:
    build(tiny)

    assert build(tiny, force=True).why == "asked for"
    assert each.state.builds == 2


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_layers_run_in_the_precision_asked_for(each: Any, tiny: Path, precision: str) -> None:
    report = build(tiny, precision=precision)

    assert report.precisions == {precision: 2}


def test_precision_lives_in_the_network_from_10_on_and_in_flags_before(
    install: Callable[[str], Any], tiny: Path
) -> None:
    for version in ("8.6.0", "10.16.1.11", "11.4.0.106"):
        fake = install(version)
        build(tiny, precision="fp16")
        (config,), (network,) = fake.state.configs, fake.state.networks
        names = {flag.name for flag in config._set}
        weights = {
            tensor.data_type for tensor in network._model.graph.initializer if tensor.name != "flat"
        }
        if version.startswith("8."):
            assert names == {"FP16", "PREFER_PRECISION_CONSTRAINTS"} and weights == {1}
            typed = {layer.name for layer in network._layers if layer.precision is not None}
            assert typed == {"to_pixels", "flatten", "turn"}
        else:
            assert names == set() and weights == {1, 10} and network._typed


def test_fp32_is_real_fp32(each: Any, tiny: Path) -> None:
    build(tiny, precision="fp32")

    assert {flag.name for flag in each.state.configs[0]._cleared} == {"TF32"}


def test_a_quantised_file_is_built_as_int8(each: Any, make_tiny: Callable[..., Path]) -> None:
    report = build(make_tiny("quantised", quantised=True), parity=False)

    assert report.plan.key.precision == "int8" and report.precisions["int8"] >= 1
    if each.version.startswith("8."):
        assert {"INT8", "FP16"} <= {flag.name for flag in each.state.configs[0]._set}


def test_int8_is_compared_with_the_fp32_file_it_was_made_from(
    fake: Any, make_tiny: Callable[..., Path]
) -> None:
    quantised = make_tiny("road-int8", quantised=True)
    alone = build(quantised)
    assert alone.parity is not None and alone.parity["max_raw"] < 0.01
    assert "does not show what quantisation itself costs" in alone.warnings[0]

    make_tiny("road")
    beside = build(quantised, force=True)
    assert beside.parity is not None and beside.parity["max_raw"] > 0.1 and not beside.warnings

    make_tiny("road", seed=1)  # another network altogether: as a quantisation gone wrong
    fake.state.output_offset = -2048.0
    with pytest.raises(EngineError, match="in int8 is outside the tolerance"):
        build(quantised, force=False, size=(96, 48))


def test_a_half_file_is_built_as_it_is(each: Any, make_tiny: Callable[..., Path]) -> None:
    report = build(make_tiny("half", dtype=np.float16))

    assert report.plan.key.precision == "fp16" and report.precisions == {"fp16": 2}
    assert report.parity is not None and report.parity["passed"]


@pytest.mark.parametrize(
    ("options", "asked", "said"),
    [
        ({}, {"precision": "int8"}, "no QuantizeLinear/DequantizeLinear nodes.*--layout tensorrt"),
        ({"quantised": True}, {"precision": "fp16"}, "is quantised .* ask for int8"),
        ({"dtype": np.float16}, {"precision": "fp32"}, "has FP16 weights"),
        ({}, {"precision": "fp61"}, "unknown precision 'fp61': did you mean 'fp16'"),
        ({}, {"batch": 0}, "batch must be at least 1"),
        ({}, {"size": (60, 32)}, "multiples of 16, but are 60x32"),
        ({}, {"workspace_mib": 0}, "workspace must be at least 1 MiB"),
        ({"card": None}, {}, "say which with --size"),
        ({"dynamic": False}, {"batch": 4}, "takes exactly 1 in a batch, not 4"),
        ({"dynamic": False}, {"size": (128, 64)}, "takes 64x32 only, not 128x64"),
    ],
)
def test_a_request_that_cannot_be_met_is_told_before_building(
    fake: Any, make_tiny: Callable[..., Path], options: Any, asked: Any, said: str
) -> None:
    with pytest.raises(RequestError, match=said):
        build(make_tiny("asked", **options), **asked)
    assert fake.state.builds == 0


def test_int8_names_the_int8_file_that_lies_beside(
    fake: Any, make_tiny: Callable[..., Path]
) -> None:
    beside = make_tiny("road-int8", quantised=True)

    with pytest.raises(RequestError, match=f"use {beside}"):
        build(make_tiny("road"), precision="int8")


def test_no_file_and_no_onnx_are_told(fake: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such engine file"):
        build(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(EngineError, match="not a valid ONNX file"):
        build(tmp_path / "text.onnx")


def test_a_file_that_is_already_fixed_needs_no_size(
    fake: Any, make_tiny: Callable[..., Path]
) -> None:
    report = build(make_tiny("fixed", dynamic=False, card=None))

    assert report.plan.key.shapes == "images 1x3x32x64"


def test_unsupported_operators_are_named_before_building(each: Any, tiny: Path) -> None:
    each.state.unsupported = {"Conv", "Relu"}

    with pytest.raises(EngineError, match="does not support the operators Conv, Relu"):
        build(tiny)
    assert each.state.builds == 0


def test_an_operator_that_a_plugin_provides_is_built(each: Any, tiny: Path) -> None:
    each.state.unsupported = each.state.plugins = {"Relu"}

    assert build(tiny).made


def test_what_the_parser_says_is_passed_on(each: Any, tiny: Path) -> None:
    each.state.parse_errors = ["Assertion failed:\n  axis < rank"]

    with pytest.raises(EngineError, match="cannot read it: node 3: Assertion failed: axis < rank"):
        build(tiny)


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        ("builder", "cannot start on this GPU: CUDA initialization failure"),
        ("runtime", "cannot start on this GPU: pybind11::init"),
        ("build", "could not build it: Error Code 10"),
        ("shapes", "refuses the shapes"),
        ("context", "no memory for its activations"),
        ("profile", "profile 0 cannot be used"),
    ],
)
def test_a_failed_build_says_why_and_leaves_nothing(
    each: Any, tiny: Path, refused: str, said: str
) -> None:
    each.state.refuse = {refused}

    with pytest.raises(EngineError, match=said):
        build(tiny, batch=4)
    assert ".plan" not in files() and ".json" not in files()
    assert not each.cuda.memory and not each.cuda.streams


def test_a_crash_in_the_build_is_an_engine_error(fake: Any, tiny: Path) -> None:
    def crash() -> None:
        raise MemoryError("out of memory")

    fake.state.while_building = crash
    with pytest.raises(EngineError, match="failed while building: out of memory"):
        build(tiny)


def test_silent_fp32_is_an_error(each: Any, tiny: Path) -> None:
    each.state.layers = "Float"

    with pytest.raises(EngineError, match="fp16 was asked for, but layers run in 2 fp32"):
        build(tiny)
    assert ".plan" not in files()
    assert "2 fp32" in build(tiny, force=True).warnings[0]


def test_results_outside_the_tolerance_fail_the_build_unless_forced(each: Any, tiny: Path) -> None:
    each.state.output_offset = -2048.0

    with pytest.raises(EngineError, match=r"outside the tolerance.*cosine.*`--force` keeps it"):
        build(tiny)
    assert ".plan" not in files()
    report = build(tiny, force=True)
    assert report.parity is not None and not report.parity["passed"]
    assert "outside the tolerance" in report.text()


def test_the_decoder_s_boxes_are_compared(fake: Any, tiny: Path) -> None:
    def detect(engine: Any, image: Any) -> Detections:
        # One box, 3 px further right on TensorRT.
        shift = 3.0 if engine.backend == "tensorrt" else 0.0
        box = np.array([[10 + shift, 10, 60 + shift, 60]], np.float32)
        return Detections(box, np.array([0.9], np.float32), np.zeros(1, np.int32), ("car",))

    picture = np.zeros((32, 64, 3), np.uint8)
    with pytest.raises(EngineError, match=r"1 pictures.*box 3\.00 px over 1\.0"):
        build(tiny, pictures=[picture], detect=detect)


def test_parity_can_be_left_out(fake: Any, tiny: Path) -> None:
    report = build(tiny, parity=False)

    assert report.parity is None and "parity:" not in report.text()


def test_kernel_times_are_read_by_the_next_build(each: Any, tiny: Path) -> None:
    build(tiny)
    build(tiny, precision="fp32")

    assert [config._timing._data for config in each.state.configs] == [
        b"",
        f"timing {each.version}".encode(),
    ]


def test_kernel_times_of_another_machine_only_cost_a_warning(
    fake: Any, tiny: Path, caplog: pytest.LogCaptureFixture
) -> None:
    report = build(tiny)
    (timing,) = report.plan.path.parent.glob("*.cache")
    timing.write_bytes(b"rubbish")

    assert build(tiny, force=True).made
    assert "is no timing cache for this TensorRT" in caplog.text
    assert timing.read_bytes() == b"timing 10.16.1.11"


def test_limits_reach_tensorrt(fake: Any, tiny: Path) -> None:
    build(tiny, workspace_mib=64, level=5, tactics="own")
    build(tiny, precision="fp32")

    limited, free = fake.state.configs
    assert limited._workspace == 64 << 20 and limited.builder_optimization_level == 5
    assert free._workspace == 2 << 30


def test_two_builds_at_once_do_the_work_once(
    fake: Any, tiny: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fake.state.while_building = lambda: threading.Event().wait(0.1)
    reports: list[Any] = []
    threads = [threading.Thread(target=lambda: reports.append(build(tiny))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(report.made for report in reports) == [False, False, True]
    assert fake.state.builds == 1
    assert "another process is building tiny.onnx: waiting" in caplog.text


def test_a_new_tensorrt_builds_again_and_says_why(
    install: Callable[[str], Any], tiny: Path
) -> None:
    install("10.16.1.11")
    build(tiny)
    install("11.4.0.106")

    report = build(tiny)

    assert report.made
    assert report.why == "it was built by TensorRT 10.16.1.11, and this is 11.4.0.106"


def test_a_card_s_size_is_the_default_and_another_can_be_asked_for(fake: Any, tiny: Path) -> None:
    assert build(tiny).plan.key.shapes == "images 1x3x32x64"
    assert build(tiny, size=(96, 48)).plan.key.shapes == "images 1x3x48x96"


def test_the_command_compares_on_the_pictures_it_is_given(
    fake: Any, bright_engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import cv2

    image = np.zeros((96, 160, 3), np.uint8)
    image[32:64, 64:96] = 255
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)

    status = main(["build", str(bright_engine), "--pictures", str(tmp_path)])

    said = capsys.readouterr().out
    assert status == 0 and "3 pictures: 3 detections, 0 missed" in said
    assert main(["build", str(bright_engine), "--pictures", str(tmp_path / "none")]) == 2


def test_a_quantised_network_without_kernel_shapes_is_built(
    each: Any, make_tiny: Callable[..., Path]
) -> None:
    """TensorRT 8.6.0 refused it: with weights behind Q/DQ it does not work out the kernel's shape."""
    report = build(make_tiny("bare", quantised=True), parity=False)

    assert report.plan.key.precision == "int8"
    (network,) = each.state.networks
    for node in network._model.graph.node:
        if node.op_type == "Conv":
            shapes = {a.name: list(a.ints) for a in node.attribute}
            assert shapes["kernel_shape"] in ([3, 3], [1, 1])
