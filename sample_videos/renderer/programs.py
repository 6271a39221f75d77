"""Shader programs, compiled when a scene first needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SHADERS = Path(__file__).parent / "shaders"
MATRICES = ("view_projection", "shadow_matrix", "rays")


class Programs:
    """Programs by fragment shader, vertex shader and flags."""

    def __init__(self, context: Any) -> None:
        """Compile nothing yet."""
        self.context = context
        self.compiled: dict[tuple[str, ...], Any] = {}

    def get(self, name: str, *flags: str, vertex: str = "scene.vert") -> Any:
        """Return a compiled program; flags become #defines."""
        key = (name, vertex, *flags)
        if key not in self.compiled:
            head = "#version 330\n" + "".join(f"#define {flag}\n" for flag in flags)
            fragment = (SHADERS / name).read_text()
            if "shade(" in fragment:
                fragment = (SHADERS / "light.glsl").read_text() + fragment
            self.compiled[key] = self.context.program(
                vertex_shader=head + (SHADERS / vertex).read_text(),
                fragment_shader=head + fragment,
            )
        return self.compiled[key]


def assign(program: Any, values: dict[str, Any]) -> None:
    """Set the uniforms that the program has; others are passed over."""
    for name, value in values.items():
        if name not in program:
            continue
        if isinstance(value, int | float):
            program[name].value = value
        else:
            array = np.asarray(value, np.float32)
            if name in MATRICES:
                array = array.T
            program[name].write(np.ascontiguousarray(array).tobytes())
