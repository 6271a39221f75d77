"""List the real API of the installed cuda-python: functions with their argument names, and classes.

    python tests/backends/cuda_api.py > tests/backends/cuda_api/12.2.0.json

Needs no GPU. The committed listings are of cuda-python 12.2.0 (the old module names) and 13.5.0 (the new).
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from typing import Any

MODULES = {
    "runtime": ("cuda.bindings.runtime", "cuda.cudart"),
    "driver": ("cuda.bindings.driver", "cuda.cuda"),
    "nvrtc": ("cuda.bindings.nvrtc", "cuda.nvrtc"),
}


def listing() -> dict[str, dict[str, Any]]:
    """By module: function -> "(arguments)", enumeration -> its members."""
    found: dict[str, dict[str, Any]] = {}
    for short, names in MODULES.items():
        module = _first(names)
        found[short] = {}
        for name in sorted(n for n in dir(module) if re.match(r"(cuda|cu[A-Z]|nvrtc)", n)):
            value = getattr(module, name)
            if isinstance(value, type):
                if hasattr(value, "__members__"):
                    found[short][name] = sorted(value.__members__)
            elif callable(value):
                line = (value.__doc__ or "").splitlines()[0] if value.__doc__ else ""
                found[short][name] = _arguments(line)
            else:
                found[short][name] = "="
    return found


def _first(names: tuple[str, ...]) -> Any:
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise SystemExit(f"none of {', '.join(names)} is installed")


def _arguments(line: str) -> str:
    inside = re.search(r"\((.*)\)", line)
    text = re.sub(r"\[[^\]]*\]", "", inside[1]) if inside else ""
    names = [part.split(":")[0].split()[-1].lstrip("*") for part in text.split(",") if part.strip()]
    return f"({', '.join(names)})"


if __name__ == "__main__":
    json.dump(listing(), sys.stdout, indent=0, sort_keys=True)
    print()
