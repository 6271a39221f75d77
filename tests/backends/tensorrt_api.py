"""List the real TensorRT Python API of one version, from its bindings wheel, on a machine without a GPU.

    python tests/backends/tensorrt_api.py WHEEL [-o LISTING.json]

The wheel's extension module loads when shared libraries with the right names export the entry points
it was linked to; nothing behind them is ever called. They are compiled here as stand-ins. The
interpreter must be the wheel's (the 8.6.0 wheel is for CPython 3.10; it comes from the package index
as `tensorrt==8.6.0`, the others as `tensorrt_cu13_bindings`).

A listing maps each name of the module to what it holds; a class to its members. A callable is written as
its argument names in brackets, a property as "r" or "rw", any other value as "=":

    {"Builder": {"create_network": "(self, flags)", "max_threads": "rw", ...}, "get_nv_onnx_parser_version": "()"}

The committed listings are tests/backends/tensorrt_api/{8.6.0,10.16.1.11,11.4.0.106}.json; the
conformance test reads those, and a slow test makes them again and compares.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

ENTRY_POINTS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "getBuilderPluginRegistry",
    "getPluginRegistry",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getNvOnnxParserVersion",
    "initLibNvInferPlugins",
    # TensorRT 8 is linked to the UFF and Caffe parsers too
    "_ZN11nvuffparser15createUffParserEv",
    "_ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi",
    "_ZN14nvcaffeparser117createCaffeParserEv",
    "_ZN14nvcaffeparser123shutdownProtobufLibraryEv",
)
LIBRARIES = ("libnvinfer", "libnvinfer_plugin", "libnvonnxparser", "libnvparsers")


def signatures(doc: str, name: str) -> list[str]:
    """Argument names, over all overloads, from the text pybind11 writes as a docstring."""
    found: list[str] = []
    for text in re.findall(rf"(?:^|\n)\s*(?:\d+\. )?{re.escape(name)}\((.*?)\)(?: ->|\n|$)", doc):
        depth, part, parts = 0, "", []
        for char in text:
            depth += (char in "[(<{") - (char in "])>}")
            if char == "," and depth == 0:
                parts.append(part)
                part = ""
            else:
                part += char
        parts.append(part)
        for part in parts:
            argument = re.match(r"\s*(\*{0,2}\w+)", part)
            if argument and argument[1] not in found:
                found.append(argument[1])
    return found


def describe(module: Any) -> dict[str, Any]:
    """The listing of an imported module."""
    listing: dict[str, Any] = {}
    for name in sorted(n for n in dir(module) if not n.startswith("_")):
        value = getattr(module, name)
        if isinstance(value, type):
            members = sorted(m for m in dir(value) if not m.startswith("__") or m == "__init__")
            listing[name] = {member: _member(value, member) for member in members}
        elif callable(value):
            listing[name] = _callable(value, name)
        elif not isinstance(value, type(sys)):
            listing[name] = "="
    return listing


def _member(owner: type, name: str) -> str:
    raw = next((vars(base)[name] for base in owner.__mro__ if name in vars(base)), None)
    if isinstance(raw, property):
        return "r" if raw.fset is None else "rw"
    value = getattr(owner, name)
    if callable(value) and not isinstance(value, type):
        return _callable(value, name)
    return "="


def _callable(value: Any, name: str) -> str:
    if inspect.isfunction(value):  # written in Python, beside the extension module
        return f"({', '.join(inspect.signature(value).parameters)})"
    return f"({', '.join(signatures(value.__doc__ or '', name))})"


def unpack(wheel: Path, folder: Path) -> str:
    """Unpack the bindings (not the libraries), compile the stand-ins; return the module's name."""
    with zipfile.ZipFile(wheel) as archive:
        wanted = [n for n in archive.namelist() if n.endswith(".py") or n.endswith("/tensorrt.so")]
        archive.extractall(folder, wanted)
    module = next(n for n in wanted if n.endswith("/tensorrt.so")).split("/")[0]
    match = re.search(r"-(\d+)\.", wheel.name)
    assert match, f"{wheel.name} is no wheel's name"
    source = folder / "stand_in.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in ENTRY_POINTS))
    for library in LIBRARIES:
        soname = f"{library}.so.{match[1]}"
        subprocess.run(
            ["gcc", "-shared", "-fPIC", "-w", f"-Wl,-soname,{soname}", "-o", str(folder / soname),
             str(source)],
            check=True,
        )  # fmt: skip
    return module


def listing_of(wheel: Path, *, python: str = sys.executable) -> dict[str, Any]:
    """Unpack a wheel in a temporary folder and list its module in a new process of `python`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        module = unpack(wheel, folder)
        result = subprocess.run(
            [python, __file__, "--inside", module],
            env={**os.environ, "LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(folder)},
            check=True,
            capture_output=True,
            text=True,
        )
    listing: dict[str, Any] = json.loads(result.stdout)
    return listing


def main() -> None:
    parser = argparse.ArgumentParser(description="List the API of a TensorRT bindings wheel.")
    parser.add_argument("wheel", nargs="?", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--python", default=sys.executable, help="the wheel's interpreter")
    parser.add_argument("--inside", metavar="MODULE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        module = __import__(arguments.inside)
        json.dump({**describe(module), "__version__": module.__version__}, sys.stdout)
        return
    if arguments.wheel is None:
        parser.error("name a wheel")
    text = json.dumps(
        listing_of(arguments.wheel, python=arguments.python), indent=0, sort_keys=True
    )
    if arguments.output:
        arguments.output.write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
