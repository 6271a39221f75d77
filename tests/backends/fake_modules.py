"""Puts the fakes of TensorRT and cuda-python where the backend imports the real ones from."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def install(monkeypatch: Any, trt: ModuleType, cuda: Any) -> None:
    """Put the fakes where the backend imports the real ones from."""
    bindings = ModuleType("cuda.bindings")
    root = ModuleType("cuda")
    bindings.runtime, bindings.driver, bindings.nvrtc = cuda.runtime, cuda.driver, cuda.nvrtc  # type: ignore[attr-defined]
    root.bindings = bindings  # type: ignore[attr-defined]
    modules = {
        "tensorrt": trt,
        "cuda": root,
        "cuda.bindings": bindings,
        "cuda.bindings.runtime": cuda.runtime,
        "cuda.bindings.driver": cuda.driver,
        "cuda.bindings.nvrtc": cuda.nvrtc,
    }
    for name, module in modules.items():
        module.__spec__ = ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
