"""Every TensorRT and CUDA name the backend touches exists in the real API of each version."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from perception.backends.trt_cuda import Cuda
from perception.backends.trt_version import NUMPY_TYPES, installed_version, load_api, numpy_type
from perception.errors import EngineError
from tests.backends.api_reader import (
    FILES,
    HERE,
    VERSIONS,
    backend_walks,
    listing,
    problems,
    walk,
)

CUDA_VERSIONS = ("12.2.0", "13.5.0")
# Names of ours that a TensorRT class happens to have too.
OURS = {"errors", "elapsed_s", "to_bgr_matrix", "num_inputs"}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_the_backend_touches_is_in_the_real_api(version: str) -> None:
    real = listing(version)
    uses = [use for walker in backend_walks(int(version.split(".")[0])) for use in walker.uses]

    assert len({use.name for use in uses}) > 50, "the reader of the code has lost its grip on it"
    assert "\n".join(problems(uses, real)) == ""


@pytest.mark.parametrize("version", VERSIONS)
def test_methods_that_tensorrt_calls_back_are_in_the_real_api(version: str) -> None:
    real = listing(version)
    overrides = {
        pair for walker in backend_walks(int(version.split(".")[0])) for pair in walker.overrides
    }

    assert ("ILogger", "log") in overrides
    for owner, method in overrides:
        assert method in real[owner], f"{owner} never calls {method}"


def test_no_use_hides_behind_a_name_the_test_does_not_know() -> None:
    members = {
        member
        for name, value in listing("10.16.1.11").items()
        if isinstance(value, dict)
        for member in value
        if "_" in member.strip("_") and not member.startswith("_")
    }
    hidden = {
        f"{walker.file}: {name}"
        for walker in backend_walks(10)
        for name in walker.unknown
        if name.rpartition(".")[2] in members - OURS
        and not name.startswith(("self._stream.", "watch.", "self._phases", "onnx.", "self.onnx."))
    }

    assert hidden == set()


@pytest.mark.parametrize(
    ("source", "version", "said"),
    [
        ("config.set_flag(trt.BuilderFlag.FP16)", "11.4.0.106", "BuilderFlag has no FP16"),
        ("config.progress_monitor = 1", "8.6.0", "IBuilderConfig has no progress_monitor"),
        ("trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED", "8.6.0", "has no STRONGLY_TYPED"),
        ("config.set_flag(wrong=1)", "8.6.0", "takes ['flag'], not ['wrong']"),
        ("config.set_flag(1, 2)", "10.16.1.11", "but gets 2"),
        ("config.num_optimization_profiles = 2", "10.16.1.11", "cannot be written"),
        ("trt.NoSuchThing", "10.16.1.11", "there is no NoSuchThing"),
    ],
)
def test_a_name_that_a_version_lacks_is_found(source: str, version: str, said: str) -> None:
    major = int(version.split(".")[0])
    walker = walk("made.py", source, major, {"config": "IBuilderConfig"})

    (found,) = problems(walker.uses, listing(version))

    assert said in found


def test_a_removed_name_is_allowed_behind_a_version_check() -> None:
    source = "if api.major < 10:\n    config.set_flag(trt.BuilderFlag.FP16)\nelse:\n    trt.IProgressMonitor"

    for version in VERSIONS:
        walker = walk("made.py", source, int(version.split(".")[0]), {"config": "IBuilderConfig"})
        assert problems(walker.uses, listing(version)) == []


@pytest.mark.parametrize("version", CUDA_VERSIONS)
def test_every_cuda_name_is_in_the_real_cuda_python(version: str) -> None:
    real = json.loads((HERE / "cuda_api" / f"{version}.json").read_text())
    uses = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                base = ast.unparse(node.value).rpartition(".")[2]
                if base in real and node.attr.startswith(("cuda", "cu", "nvrtc")):
                    uses.append((base, node.attr))
                elif isinstance(real["runtime"].get(base), list):
                    assert node.attr in real["runtime"][base], f"{base} has no {node.attr}"

    assert len(set(uses)) > 25
    assert [use for use in uses if use[1] not in real[use[0]]] == []


def tensorrt_api() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tensorrt_api_script", HERE / "tensorrt_api.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The real bindings, by version: the distribution they are in. That of 8.6.0 has 800 MB, the others have a few.
WHEELS = {
    "8.6.0": "tensorrt",
    "8.6.1": "tensorrt_bindings",
    "10.16.1.11": "tensorrt_cu13_bindings",
    "11.4.0.106": "tensorrt_cu13_bindings",
}


@pytest.fixture(params=WHEELS)
def wheel(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A version and its real bindings, from a folder or the package index."""
    version = str(request.param)
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc, to compile stand-ins for the libraries the bindings are linked to")
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    if version == "8.6.0" and tag != "cp310":
        pytest.skip("TensorRT 8.6.0 has bindings for CPython 3.10 only")
    folder = Path(os.environ.get("PERCEPTION_TENSORRT_WHEELS", tmp_path))
    name = WHEELS[version]
    pattern = f"{name}-{version}-{tag}-*.whl"
    found = list(folder.glob(pattern))
    if not found and version == "8.6.0":
        pytest.skip(
            "needs the 800 MB wheel tensorrt 8.6.0 in the folder PERCEPTION_TENSORRT_WHEELS"
        )
    if not found:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        wanted = ["-q", "-d", str(tmp_path), f"{name}=={version}"]
        subprocess.run([*command, *wanted], capture_output=True, check=False)
        found = list(tmp_path.glob(pattern))
    if not found:
        pytest.skip(f"the package index does not give {name} {version} for {tag}")
    return version, found[0]


@pytest.mark.slow
def test_the_committed_listings_are_what_the_real_bindings_say(wheel: tuple[str, Path]) -> None:
    version, path = wheel
    real = tensorrt_api().listing_of(path)

    if version in VERSIONS:
        assert real == listing(version)
    uses = [use for walker in backend_walks(int(version.split(".")[0])) for use in walker.uses]
    assert problems(uses, real) == []


# Everything that the real bindings do without a GPU: logger, monitor, flags, and starting, which must fail well.
ON_REAL_BINDINGS = """
import sys
from pathlib import Path
folder, here, module = sys.argv[1:]
sys.path[:0] = [folder, here]
real = __import__(module)
import fake_cuda, fake_modules
class Patch:
    setitem = staticmethod(dict.__setitem__)
fake_modules.install(Patch, real, fake_cuda.FakeCuda(Path(folder)))
from perception.backends import trt_watch
from perception.backends.trt import TensorRTEngine
from perception.backends.trt_version import load_api
from perception.errors import EngineError
api = load_api()
api.logger.log(real.ILogger.ERROR, "kept")
api.logger.log(real.ILogger.VERBOSE, "dropped")
print(api.version, api.why(), trt_watch.monitor(api, trt_watch.Watch(None)) is not None)
try:
    TensorRTEngine.from_bytes(api, b"", path=Path("a.onnx"), metadata={})
except EngineError as error:
    print(error)
"""


@pytest.mark.slow
def test_the_backend_works_with_the_real_bindings_as_far_as_there_is_no_gpu(
    wheel: tuple[str, Path], tmp_path: Path
) -> None:
    version, path = wheel
    module = tensorrt_api().unpack(path, tmp_path)

    result = subprocess.run(
        [sys.executable, "-c", ON_REAL_BINDINGS, str(tmp_path), str(HERE), module],
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )

    assert result.stdout.splitlines() == [
        f"{version} kept {not version.startswith('8.')}",
        "TensorRT cannot start on this GPU: pybind11::init(): factory function returned nullptr",
    ], result.stderr


def test_a_missing_tensorrt_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(EngineError, match="system-site-packages"):
        load_api()
    assert installed_version() is None


def test_a_tensorrt_that_does_not_load_is_not_a_traceback(
    install: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("10.16.1.11")

    def broken(name: str) -> ModuleType:
        raise OSError("libnvinfer.so.10: cannot open shared object file")

    monkeypatch.setattr("importlib.import_module", broken)
    with pytest.raises(EngineError, match=r"cannot be loaded \(libnvinfer.so.10"):
        load_api()


def test_an_old_tensorrt_is_refused(install: Callable[[str], Any]) -> None:
    install("8.6.0").trt.__version__ = "8.5.2.2"

    with pytest.raises(EngineError, match=r"must be 8.6 or newer, but is 8.5.2.2"):
        load_api()


@pytest.mark.parametrize(
    ("version", "typed"), [("8.6.0", False), ("10.16.1.11", True), ("11.4.0.106", True)]
)
def test_the_version_says_where_precision_comes_from(
    install: Callable[[str], Any], version: str, typed: bool
) -> None:
    install(version)

    assert load_api().strongly_typed is typed
    assert installed_version() == version


@pytest.mark.parametrize(("before", "after"), [(None, "LAZY"), ("EAGER", "EAGER")])
def test_kernels_are_loaded_lazily_unless_somebody_has_chosen(
    install: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    before: str | None,
    after: str,
) -> None:
    install("8.6.0")
    for start in (load_api, Cuda):
        if before is None:
            monkeypatch.delenv("CUDA_MODULE_LOADING", raising=False)
        else:
            monkeypatch.setenv("CUDA_MODULE_LOADING", before)
        start()
        assert os.environ["CUDA_MODULE_LOADING"] == after


@pytest.mark.parametrize("version", VERSIONS)
def test_element_types_are_numpy_s_or_named(install: Callable[[str], Any], version: str) -> None:
    trt = install(version).trt
    known = {kind.name: numpy_type(kind) for kind in trt.DataType if kind.name in NUMPY_TYPES}
    assert known["HALF"] == np.float16 and known["BOOL"] == np.bool_
    with pytest.raises(EngineError, match="type FP8, which numpy has not"):
        numpy_type(trt.DataType.FP8)


def test_the_logger_keeps_errors_and_hands_on_the_rest(
    install: Callable[[str], Any], caplog: pytest.LogCaptureFixture
) -> None:
    trt = install("10.16.1.11").trt
    api = load_api()

    heard: list[str] = []
    api.listeners.append(heard.append)
    with caplog.at_level("DEBUG", logger="perception"):
        api.logger.log(trt.ILogger.ERROR, "first\n   thing")
        api.logger.log(trt.ILogger.INTERNAL_ERROR, "second")
        api.logger.log(trt.ILogger.WARNING, "slow")
        api.logger.log(trt.ILogger.INFO, "detail")
        api.logger.log(trt.ILogger.VERBOSE, "noise")

    assert heard == ["first\n   thing", "second", "slow", "detail", "noise"]
    assert api.why() == "first thing; second"
    assert api.why() == "TensorRT gave no reason"
    assert [record.message for record in caplog.records] == ["TensorRT: slow", "TensorRT: detail"]
