"""A TensorRT without a GPU, for tests: it runs the ONNX file with ONNX Runtime behind TensorRT's API.

`make` builds the module of one version. Enumerations are made from that version's committed listing of
the real API, and a class, method or argument that the listing lacks is an error while the module is made:
the fake cannot offer what the real one does not have.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.backends.fake_onnx import check
from tests.backends.fake_tensorrt_build import build_classes
from tests.backends.fake_tensorrt_run import run_classes

LISTINGS = Path(__file__).with_name("tensorrt_api")
VERSIONS = ("8.6.0", "10.16.1.11", "11.4.0.106")
ENUMERATIONS = (
    "BuilderFlag",
    "DataType",
    "LayerInformationFormat",
    "LayerType",
    "MemoryPoolType",
    "NetworkDefinitionCreationFlag",
    "ProfilingVerbosity",
    "TacticSource",
    "TensorIOMode",
)


def listing(version: str) -> dict[str, Any]:
    """The committed listing of a version's real API."""
    found: dict[str, Any] = json.loads((LISTINGS / f"{version}.json").read_text())
    return found


@dataclass
class State:
    """What a test tells the fake to do, and what the fake was told.

    Attributes:
        unsupported: operators the parser does not know.
        plugins: those of them that a plugin provides: they are parsed all the same.
        parse_errors: what the parser finds wrong with the file.
        refuse: what fails: "builder", "build", "shapes", "context", "execute", "timing", "capture",
            "grouped half" (no FP16 kernel for grouped convolutions).
        layers: what the inspector calls the layers' types; None works them out.
        output_offset: added to every float output, as a wrong kernel would.
        while_building: called in the build, for tests that interrupt or wait.
        builds: how many builds were done.
    """

    cuda: Any
    unsupported: set[str] = field(default_factory=set)
    plugins: set[str] = field(default_factory=set)
    parse_errors: list[str] = field(default_factory=list)
    refuse: set[str] = field(default_factory=set)
    layers: str | None = None
    output_offset: float = 0.0
    dynamic_output: bool = False
    while_building: Callable[[], None] = lambda: None
    builds: int = 0
    configs: list[Any] = field(default_factory=list)
    networks: list[Any] = field(default_factory=list)
    gpu: str = "Fake GPU"


def make(version: str, state: State) -> ModuleType:
    """The module `tensorrt` of one version."""
    real = listing(version)
    major = int(version.split(".")[0])
    trt = ModuleType("tensorrt")
    trt.__version__ = version  # type: ignore[attr-defined]
    trt.state = state  # type: ignore[attr-defined]
    kinds: dict[str, Any] = {}
    for name in ENUMERATIONS:
        members = [
            key for key, value in real[name].items() if value == "=" and not key.startswith("_")
        ]
        kinds[name] = enum.IntEnum(name, {key: number for number, key in enumerate(members)})
        setattr(trt, name, kinds[name])

    def init_libnvinfer_plugins(logger: Any, namespace: str) -> bool:
        assert logger.made
        return True

    for one in [*build_classes(version, kinds, state), *run_classes(version, kinds, state)]:
        if one.__name__ == "IProgressMonitor" and major < 10:
            continue
        check(one, real)
        setattr(trt, one.__name__, one)
    assert real["init_libnvinfer_plugins"] == "(logger, namespace)"
    trt.init_libnvinfer_plugins = init_libnvinfer_plugins  # type: ignore[attr-defined]
    return trt
