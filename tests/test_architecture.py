"""The rules that keep the package small to install and easy to follow, checked on the syntax tree."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

# From the bottom up: a module may import modules of its own level and of the levels before it.
LEVELS = (
    ("errors", "machine"),
    ("types", "card"),
    ("geometry",),
    ("colour",),
    ("preprocess", "crops", "render", "privacy", "motion"),
    ("pipeline", "channel", "report"),
    ("backends",),
    ("models", "tracking", "events", "evaluation"),
    ("sources", "sinks"),
    ("runner",),
    ("registry", "config"),
    ("assemble", "at_rate", "streams", "progress", "doctor", "bench"),
    ("commands",),
    ("cli",),
)
# Heavy packages and the only places that may import them.
ALLOWED = {
    "torch": (),
    "torchvision": (),
    "engines": (),
    "cv2": (
        "colour",
        "preprocess",
        "crops",
        "render",
        "privacy",
        "motion",
        "models",
        "sources",
        "sinks",
        "bench",
        "doctor",
    ),
    "av": ("sources", "sinks", "doctor", "bench"),
    "onnxruntime": ("backends", "doctor"),
    "tensorrt": ("backends", "doctor"),
    "openvino": ("backends", "doctor"),
    "cuda": ("backends", "doctor"),
    "onnx": ("backends",),
    "PyNvVideoCodec": ("sources",),
}


def modules(root: Path) -> list[Path]:
    return sorted((root / "perception").rglob("*.py"))


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.add(node.module or "")
    return found


def test_imports_point_down(root: Path) -> None:
    level_of = {part: number for number, level in enumerate(LEVELS) for part in level}
    wrong = []
    for path in modules(root):
        part = path.relative_to(root / "perception").parts[0].removesuffix(".py")
        if part == "__init__":
            continue
        assert part in level_of, f"{path.name}: say in LEVELS where it belongs"
        for name in imports(path):
            target = part_of(name) if name.startswith("perception.") else ""
            if target and level_of[target] > level_of[part]:
                wrong.append(f"{path.relative_to(root)} imports {name}")
    assert not wrong


def test_heavy_packages_stay_in_their_places(root: Path) -> None:
    wrong = []
    for path in modules(root):
        part = path.relative_to(root / "perception").parts[0].removesuffix(".py")
        for name in imports(path):
            package = name.split(".")[0]
            if package in ALLOWED and part not in ALLOWED[package]:
                wrong.append(f"{path.relative_to(root)} imports {name}")
    assert not wrong


def test_only_the_runner_starts_threads(root: Path) -> None:
    # A benchmark calls an engine from several, a signal stops a run, TensorRT builds, the page is served, GStreamer's calls block, and each of several streams
    # runs in a thread of its own; locks may be used anywhere.
    users = {
        str(path.relative_to(root / "perception"))
        for path in modules(root)
        if "threading.Thread(" in path.read_text(encoding="utf-8")
        or imports(path) & {"multiprocessing", "concurrent.futures"}
    }
    assert users == {
        "bench/measure.py",
        "runner.py",
        "commands/run.py",
        "backends/trt_watch.py",
        "sinks/page.py",
        "sources/gstreamer.py",
        "streams.py",
    }


@pytest.mark.parametrize("module", ["perception", "perception.cli", "perception.runner"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    code = (
        # Some packages put a part of themselves into every interpreter.
        f"import sys; before = set(sys.modules); import {module}; "
        f"print(sorted({set(ALLOWED)} & set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_files_stay_readable(root: Path) -> None:
    long = {
        str(path.relative_to(root)): lines
        for folder in ("perception", "engines", "sample_videos", "tests", "benchmarks")
        for path in (root / folder).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert not long, "split these files"
