"""The GPU benchmark runs from end to end; here on fakes, so its figures mean nothing."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from perception.config import load_config
from tests.clips import clip as made_clip

pytest.importorskip("onnx")
needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="needs g++ to run the kernel"
)


def load(path: Path, name: str) -> ModuleType:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture
def gpu(root: Path) -> ModuleType:
    return load(root / "benchmarks" / "gpu.py", "benchmarks_gpu")


@pytest.fixture
def fakes(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    folder = root / "tests" / "backends"
    fake_tensorrt = load(folder / "fake_tensorrt.py", "tests_backends_fake_tensorrt")
    cuda = load(folder / "fake_cuda.py", "tests_backends_fake_cuda").FakeCuda(tmp_path)
    trt = fake_tensorrt.make("10.16.1.11", fake_tensorrt.State(cuda=cuda))
    fakes = load(folder / "fake_modules.py", "tests_backends_fake_modules")
    fakes.install(monkeypatch, trt, cuda)
    monkeypatch.setenv("PERCEPTION_CACHE", str(tmp_path / "cache"))
    return trt


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    import cv2

    folder = tmp_path / "pictures"
    folder.mkdir()
    image = np.zeros((96, 160, 3), np.uint8)
    image[32:64, 64:96] = 255
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), image)
    return folder


@needs_compiler
def test_a_report_is_written_for_every_engine_and_precision(
    gpu: ModuleType, fakes: Any, bright_engine: Path, pictures: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    arguments = [
        "--engine",
        str(bright_engine),
        "--clip",
        str(pictures),
        "--batch",
        "2",
        "--calls",
        "2",
    ]
    status = gpu.main([*arguments, "-o", str(tmp_path / "results")])

    report = json.loads((tmp_path / "results" / "gpu-fake-gpu.json").read_text())
    assert status == 0 and report["tensorrt"] == "10.16.1.11"
    full, half, eight = report["engines"]
    assert list(half["batch"]) == ["1", "2"] and half["layers"] == {"fp16": 1}
    assert half["parity"]["detections"] >= 3 and half["parity"]["passed"]
    assert full["prepared_on_gpu"]["per_s"] > 0 and full["prepared_on_cpu"]["per_s"] > 0
    assert "INT8 lives in the file" in eight["failed"]
    assert report["onnxruntime_fp32"]["bright"]["CPUExecutionProvider"]["per_s"] > 0
    assert report["suppression"]["better"] in ("host", "device")
    assert "bright      fp16" in capsys.readouterr().out


def test_without_a_gpu_it_says_so(
    gpu: ModuleType, fakes: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fakes.state.cuda.driver_version = 0

    assert gpu.main([]) == 1
    assert "no NVIDIA driver is loaded" in capsys.readouterr().err


def test_only_what_is_built_is_measured_when_asked_for(
    gpu: ModuleType, fakes: Any, bright_engine: Path
) -> None:
    row = gpu.bench_engine(bright_engine, "fp32", [], batch=2, calls=1, built_only=True)

    assert row["failed"] == "not built here: no plan has been built" and fakes.state.builds == 0


@needs_compiler
def test_the_pipeline_is_measured_with_both_decoders(
    gpu: ModuleType, fakes: Any, bright_engine: Path, root: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    nvdec = load(root / "tests" / "sources" / "fake_nvdec.py", "tests_sources_fake_nvdec")
    state = nvdec.install(monkeypatch, fakes.state.cuda)
    path = tmp_path / "one.toml"
    path.write_text(f'[[stages]]\ntype = "detector"\nengine = "{bright_engine}"\n')
    config = load_config(str(path))
    monkeypatch.setattr(gpu, "load_config", lambda name: config)
    monkeypatch.setattr(gpu, "WARM_UP", 1)
    asked = []

    class Whole:
        """`perception.bench.measure` starts processes of its own, which have no fakes."""

        def __init__(self, *_: Any, decode: str, **__: Any) -> None:
            asked.append(decode)

        def table(self) -> str:
            return ""

        def as_dict(self) -> dict[str, Any]:
            return {"limit": "bounded by nothing"}

    monkeypatch.setattr(gpu, "measure", Whole)
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(made_clip(size=(160, 96), frames=8))

    found = gpu.bench_pipeline(clip, 1, 4)

    assert set(found) == set(asked) == {"cpu", "nvdec"} and state.packets
    for row in found.values():
        assert row["record_only_fps"][0] > 0 and "bounded" in row["limit"]
