"""The doctor looks at desktop, server and Jetson, says what to do, and never fails itself."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from perception import doctor
from perception.doctor import Check, Report


def find(checks: Any, name: str) -> Check:
    (check,) = [check for check in checks if check.name == name]
    return check


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a driver; the rest comes from the fakes."""
    monkeypatch.setattr(doctor, "_driver_cuda", lambda: (12, 2))
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)


@pytest.fixture
def fakes(gpu: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The fakes of TensorRT and cuda-python that the backend's tests use."""
    pytest.importorskip("onnx")
    monkeypatch.setenv("PERCEPTION_CACHE", str(tmp_path / "cache"))
    folder = Path(__file__).parent / "backends"
    modules = {}
    for name in ("fake_tensorrt", "fake_cuda", "fake_modules"):
        full = f"tests_backends_{name}"
        if full not in sys.modules:
            spec = importlib.util.spec_from_file_location(full, folder / f"{name}.py")
            assert spec is not None and spec.loader is not None
            sys.modules[full] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[full])
        modules[name] = sys.modules[full]
    cuda = modules["fake_cuda"].FakeCuda(tmp_path)
    trt = modules["fake_tensorrt"].make("10.16.1.11", modules["fake_tensorrt"].State(cuda=cuda))
    modules["fake_modules"].install(monkeypatch, trt, cuda)
    return trt


def test_this_machine_can_do_the_main_job() -> None:
    report = doctor.report()

    assert report.exit_status == 0
    assert "A run can be done here" in report.text()
    groups = [check.group for check in report.checks]
    assert list(dict.fromkeys(groups)) == ["machine", "packages", "video", "gpu", "engines"]
    json.dumps(report.to_json())


def test_looking_imports_nothing_heavy_before_it_looks() -> None:
    code = (
        "import sys\n"
        "before = set(sys.modules)\n"  # cuda-python puts a part of itself into every interpreter
        "import perception.doctor\n"
        "heavy = {'cv2', 'av', 'onnxruntime', 'tensorrt', 'cuda', 'onnx'}\n"
        "print(sorted(heavy & set(sys.modules) - before))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert result.stdout.strip() == "[]"


def test_advice_stands_under_what_it_is_about() -> None:
    report = Report(
        (
            Check("packages", "av", "fail", "broken", "install it"),
            Check("gpu", "TensorRT", "off", "none"),
        )
    )

    lines = report.text().splitlines()
    assert lines == [
        "packages",
        "  x av        broken",
        "              -> install it",
        "gpu",
        "  - TensorRT  none",
        "A run cannot be done here: av.",
    ]
    assert report.exit_status == 1 and report.to_json()["exit_status"] == 1


@pytest.mark.parametrize("module", ["cv2", "av", "onnxruntime"])
def test_a_broken_package_fails_with_what_to_type(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.import_module

    def broken(name: str, *rest: Any) -> ModuleType:
        if name == module:
            raise ImportError("libGL.so.1: cannot open shared object file\nmore")
        return real(name, *rest)

    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    check = find(doctor.packages(), module)

    assert check.state == "fail" and "pip install --force-reinstall" in check.advice
    assert check.found == "cannot be imported: libGL.so.1: cannot open shared object file"


def test_a_video_library_without_h264_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import av.codec

    class Codec:
        def __init__(self, name: str, mode: str) -> None:
            if "264" in name:
                raise ValueError(name)

    monkeypatch.setattr(av.codec, "Codec", Codec)
    checks = doctor.video()

    assert find(checks, "decoders").state == "fail"
    assert find(checks, "H.264 encoder").state == "warn"
    assert "overlay videos cannot be written" in find(checks, "H.264 encoder").advice


def test_a_video_library_that_is_missing_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av.codec", None)

    (check,) = doctor.video()
    assert check.state == "fail" and "PyAV cannot be used" in check.found


def test_a_jetson_is_known_by_its_release_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    release = tmp_path / "nv_tegra_release"
    release.write_text(
        "# R36 (release), REVISION: 3.0, GCID: 36923193, BOARD: generic, EABI: aarch64\n"
    )
    monkeypatch.setattr(doctor, "JETSON_RELEASE", release)

    assert doctor.kind_of_machine() == "jetson"
    assert find(doctor.machine(), "system").found.endswith("L4T 36.3.0")
    monkeypatch.setattr(doctor, "_driver_cuda", lambda: None)
    assert "JetPack" in doctor.gpu()[0].advice
    release.write_text("something else\n")
    assert find(doctor.machine(), "system").found.endswith("something else")


def test_desktop_and_server_are_told_apart_by_the_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "JETSON_RELEASE", Path("/nowhere/at/all"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    assert doctor.kind_of_machine() == "desktop"
    monkeypatch.delenv("DISPLAY")
    assert doctor.kind_of_machine() == "server"
    monkeypatch.setattr(sys, "platform", "win32")
    assert doctor.kind_of_machine() == "desktop"


def test_cores_are_those_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)

    assert find(doctor.machine(), "CPU cores").found == "6"


def test_without_a_driver_the_gpu_is_off_and_not_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_driver_cuda", lambda: None)
    checks = doctor.gpu()

    assert {check.state for check in checks} == {"off"}


class Library:
    """libcuda with given answers."""

    def __init__(self, initialised: int) -> None:
        self._initialised = initialised

    def cuInit(self, flags: int) -> int:
        return self._initialised

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = 12040
        return 0


@pytest.mark.parametrize(("initialised", "expected"), [(0, (12, 4)), (100, None)])
def test_the_driver_is_asked_itself(
    monkeypatch: pytest.MonkeyPatch, initialised: int, expected: Any
) -> None:
    monkeypatch.setattr(doctor.ctypes, "CDLL", lambda name: Library(initialised))

    assert doctor._driver_cuda() == expected


def test_nvidia_smi_adds_names_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 'NVIDIA H200, 570.1, 143771 MiB'\n")
    command.chmod(0o755)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: str(command))
    monkeypatch.setattr(doctor, "_driver_cuda", lambda: (12, 8))

    assert doctor._driver("server").found == "CUDA 12.8; NVIDIA H200, 570.1, 143771 MiB"
    command.write_text("#!/bin/sh\nexit 9\n")
    assert doctor._driver("server").found == "CUDA 12.8"
    monkeypatch.setattr(doctor.shutil, "which", lambda name: str(tmp_path / "gone"))
    assert doctor._driver("server").found == "CUDA 12.8"


def test_a_complete_gpu_machine_runs_on_tensorrt(
    fakes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perception.backends.installed.installed_engines", dict)
    report = doctor.report()

    assert find(report.checks, "TensorRT").found == "10.16.1.11"
    assert "Fake GPU, compute 8.7, 8.0 GiB" in find(report.checks, "cuda-python").found
    assert find(report.checks, "onnx").state == "ok"
    assert find(report.checks, "NVRTC").found == "CUDA 12.2"
    assert find(report.checks, "engines").state == "warn"
    assert report.summary == "A run can be done here, on TensorRT."


def test_a_missing_kernel_compiler_costs_speed_and_not_tensorrt(
    fakes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Any:
        raise RuntimeError("Failed to dlopen libnvrtc.so.12")

    monkeypatch.setattr(fakes.state.cuda.nvrtc, "nvrtcVersion", missing)
    report = doctor.report()

    check = find(report.checks, "NVRTC")
    assert check.state == "warn" and "nvidia-cuda-nvrtc-cu12" in check.advice
    assert report.summary == "A run can be done here, on TensorRT."


def test_plans_are_missing_built_or_stale(
    fakes: Any, bright_engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from perception.backends.trt_build import build

    monkeypatch.setattr(
        "perception.backends.installed.installed_engines", lambda: {"bright": bright_engine}
    )
    missing = find(doctor.engines(with_plans=True), "bright")
    build(bright_engine, parity=False)
    built = find(doctor.engines(with_plans=True), "bright")
    fakes.state.cuda.gpu_name = b"Another GPU"
    stale = find(doctor.engines(with_plans=True), "bright")
    fakes.state.cuda.driver_version = 0
    unreadable = find(doctor.engines(with_plans=True), "bright")

    assert missing.state == "warn" and missing.found.endswith("; missing")
    assert missing.advice == "`perception build bright`"
    assert built.state == "ok" and "built: fp16, images 1x3x96x160" in built.found
    assert "stale: it was built on Fake GPU, and this is Another GPU" in stale.found
    assert "plans cannot be read: no NVIDIA driver" in unreadable.found
    assert find(doctor.engines(with_plans=False), "bright").state == "ok"


@pytest.mark.parametrize(
    ("kind", "advice"), [("jetson", "system-site-packages"), ("server", "pip install")]
)
def test_a_missing_tensorrt_is_advised_for_the_kind_of_machine(
    gpu: None, monkeypatch: pytest.MonkeyPatch, kind: str, advice: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    check = doctor._tensorrt(kind)
    assert (
        check.state == "warn"
        and check.found == "TensorRT is not installed"
        and advice in check.advice
    )


def test_a_missing_or_broken_cuda_python_is_advised(
    gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cuda", "cuda.bindings", "cuda.bindings.runtime", "cuda.cudart"):
        monkeypatch.setitem(sys.modules, name, None)
    assert "pip install cuda-python" in doctor._cuda_python().advice

    def broken() -> Any:
        raise OSError("broken binary")

    monkeypatch.setattr("perception.backends.trt_cuda.Cuda", broken)
    assert doctor._cuda_python() == Check(
        "gpu", "cuda-python", "warn", "broken binary", "`pip install cuda-python`"
    )


def test_a_missing_onnx_only_stops_building(fakes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    check = find(doctor.gpu(), "onnx")

    assert check.state == "warn" and "needed to build plans" in check.advice


def test_what_the_gpu_decodes_is_told(fakes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(__file__).parent / "sources" / "fake_nvdec.py"
    spec = importlib.util.spec_from_file_location("tests_doctor_fake_nvdec", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "tests_doctor_fake_nvdec", module)
    spec.loader.exec_module(module)
    state = module.install(monkeypatch, fakes.state.cuda)

    check = find(doctor.gpu(), "NVDEC")
    assert check.state == "ok" and check.found.startswith("h264, hevc, vp9 (PyNvVideoCodec 2.2.4")
    state.supported = set()
    assert find(doctor.gpu(), "NVDEC").state == "off"


def test_without_pynvvideocodec_the_doctor_says_how_to_get_it(fakes: Any) -> None:
    if importlib.util.find_spec("PyNvVideoCodec") is not None:
        pytest.skip("PyNvVideoCodec is installed")
    check = find(doctor.gpu(), "NVDEC")

    assert check.state == "off" and "road-perception[nvdec]" in check.advice


def test_nvidias_encoder_is_tried_and_not_only_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_nvenc_problem", lambda: "no such chip")
    check = find(doctor.video(), "hardware encoders")
    assert check.state == "off" and "does not work here: no such chip" in check.found
    monkeypatch.setattr(doctor, "_nvenc_problem", lambda: None)
    assert find(doctor.video(), "hardware encoders").found.startswith("h264_nvenc works")
