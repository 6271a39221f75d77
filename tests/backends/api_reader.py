"""Reads the backend's code as one version of TensorRT meets it, and looks up every name it touches."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perception.backends import trt_version

HERE = Path(__file__).parent
BACKEND = Path(trt_version.__file__).parent
FILES = sorted(BACKEND.glob("trt*.py"))
VERSIONS = ("8.6.0", "10.16.1.11", "11.4.0.106")

# What a name stands for, by file; `trt` is the module everywhere. Everything else is read from the code.
OBJECTS = {
    "trt_network.py": {
        "builder": "Builder",
        "network": "INetworkDefinition",
        "parser": "OnnxParser",
        "config": "IBuilderConfig",
        "profile": "IOptimizationProfile",
        "layer": "ILayer",
        "tensor": "ITensor",
        "error": "ParserError",
        "cache": "ITimingCache",
        "kind": "LayerType",
    },
    "trt_execution.py": {
        "engine": "ICudaEngine",
        "self.native": "ICudaEngine",
        "self._runtime": "Runtime",
        "context": "IExecutionContext",
        "profile.context": "IExecutionContext",
    },
    "trt_inspect.py": {"engine": "ICudaEngine", "inspector": "EngineInspector"},
}


@dataclass(frozen=True)
class Use:
    """One touch of the API: "Builder.create_network" with what it was called with."""

    name: str
    where: str
    positional: int = 0
    keywords: tuple[str, ...] = ()
    called: bool = False
    written: bool = False


class Walker(ast.NodeVisitor):
    """Collects the uses that a given major version reaches."""

    def __init__(self, file: str, major: int, objects: dict[str, str]) -> None:
        self.file, self.major, self.objects = file, major, objects
        self.uses: list[Use] = []
        self.unknown: list[str] = []
        self.overrides: list[tuple[str, str]] = []

    def visit_If(self, node: ast.If) -> None:
        taken = self._taken(node.test)
        if taken is None:
            self.generic_visit(node)
            return
        for statement in node.body if taken else node.orelse:
            self.visit(statement)

    def _taken(self, test: ast.expr) -> bool | None:
        """Whether this version enters the branch; None if the test is not about the version."""
        if not (isinstance(test, ast.Compare) and ast.unparse(test.left).endswith("api.major")):
            return None
        assert len(test.ops) == 1 and isinstance(test.comparators[0], ast.Constant)
        number = test.comparators[0].value
        assert isinstance(number, int)
        outcomes = {ast.GtE: self.major >= number, ast.Lt: self.major < number}
        return outcomes[type(test.ops[0])]  # type: ignore[index]

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for base in node.bases:
            text = ast.unparse(base)
            if text.startswith("trt."):
                methods = [n.name for n in node.body if isinstance(n, ast.FunctionDef)]
                self.overrides += [(text.removeprefix("trt."), method) for method in methods]
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute):
            keywords = tuple(keyword.arg or "**" for keyword in node.keywords)
            starred = any(isinstance(argument, ast.Starred) for argument in node.args)
            count = 0 if starred else len(node.args)
            self._attribute(node.func, called=True, positional=count, keywords=keywords)
            self.visit(node.func.value)
        else:
            self.visit(node.func)
        for child in (*node.args, *(keyword.value for keyword in node.keywords)):
            self.visit(child)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._attribute(node, written=isinstance(node.ctx, ast.Store))
        self.visit(node.value)

    def _attribute(self, node: ast.Attribute, **details: Any) -> None:
        base = ast.unparse(node.value)
        where = f"{self.file}:{node.lineno}"
        if base == "trt" or base == "api.trt" or base == "self._api.trt":
            self.uses.append(Use(node.attr, where, **details))
        elif base.startswith(("trt.", "api.trt.", "self._api.trt.")):
            self.uses.append(Use(f"{base.split('trt.')[1]}.{node.attr}", where, **details))
        elif base in self.objects:
            self.uses.append(Use(f"{self.objects[base]}.{node.attr}", where, **details))
        else:
            self.unknown.append(f"{base}.{node.attr}")


def walk(file: str, source: str, major: int, objects: dict[str, str]) -> Walker:
    walker = Walker(file, major, objects)
    walker.visit(ast.parse(source))
    return walker


def backend_walks(major: int) -> Iterator[Walker]:
    for path in FILES:
        yield walk(path.name, path.read_text(), major, OBJECTS.get(path.name, {}))


def listing(version: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / "tensorrt_api" / f"{version}.json").read_text())
    return found


def problems(uses: list[Use], real: dict[str, Any]) -> list[str]:
    """Every use that the real API does not have, in words."""
    found = []
    for use in uses:
        owner, _, member = use.name.partition(".")
        have = real.get(owner)
        if owner == "__version__":
            continue
        if have is None:
            found.append(f"{use.where}: there is no {owner}")
            continue
        if member:
            have = have.get(member) if isinstance(have, dict) else None
            if have is None:
                found.append(f"{use.where}: {owner} has no {member}")
                continue
        if isinstance(have, dict):
            have = have["__init__"]
        if use.written and have != "rw":
            found.append(f"{use.where}: {use.name} cannot be written")
        if use.called:
            if not have.startswith("("):
                found.append(f"{use.where}: {use.name} cannot be called")
                continue
            bound = "" if member == "__init__" else "self"
            names = [name for name in have.strip("()").split(", ") if name not in (bound, "")]
            wrong = [keyword for keyword in use.keywords if keyword not in names]
            if wrong:
                found.append(f"{use.where}: {use.name} takes {names}, not {wrong}")
            if use.positional > len([name for name in names if not name.startswith("*")]):
                found.append(f"{use.where}: {use.name} takes {names}, but gets {use.positional}")
    return found
