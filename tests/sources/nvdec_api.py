"""List the real API of PyNvVideoCodec from its wheel, on a machine without a GPU.

    python tests/sources/nvdec_api.py WHEEL > tests/sources/nvdec_api/VERSION.json

Its extension modules load when libraries with the names of the driver's export what they are linked to; these are
compiled here as stand-ins (needs gcc and nm). A listing is written as those of TensorRT
(tests/backends/tensorrt_api.py).
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

# The package asks this one for its version before it picks the extension module to load: 12.1.
ENCODE = """
int NvEncodeAPIGetMaxSupportedVersion(unsigned *version) { *version = 12 << 4 | 1; return 0; }
int NvEncodeAPICreateInstance(void *list) { return 1; }
"""
WANTED = (
    "CreateDecoder",
    "DecodedFrame",
    "GetDecoderCaps",
    "PacketData",
    "Pixel_Format",
    "PyNvDecoder",
    "cudaVideoCodec",
    "__version__",
)


def unpack(wheel: Path, folder: Path) -> None:
    """The package and stand-ins for the driver's libraries."""
    with zipfile.ZipFile(wheel) as archive:
        names = [n for n in archive.namelist() if n.lower().startswith("pynvvideocodec")]
        archive.extractall(folder, names)
    undefined: set[str] = set()
    for module in folder.glob("PyNvVideoCodec/PyNvVideoCodec_*.so"):
        told = subprocess.run(
            ["nm", "-D", "--undefined-only", str(module)],
            capture_output=True,
            text=True,
            check=True,
        )
        words = [line.split()[-1].split("@")[0] for line in told.stdout.splitlines()]
        undefined |= {word for word in words if word.startswith("cu") and word[2:3].isupper()}
    driver = "".join(f"int {name}(void) {{ return 100; }}\n" for name in sorted(undefined))
    for soname, text in (
        ("libcuda.so.1", driver),
        ("libnvidia-encode.so.1", ENCODE),
        ("libnvcuvid.so.1", "int cuvidNothing(void) { return 100; }\n"),
    ):
        command = ["gcc", "-x", "c", "-shared", "-fPIC", "-w", f"-Wl,-soname,{soname}"]
        subprocess.run(
            [*command, "-o", str(folder / soname), "-"], input=text, text=True, check=True
        )


def listing_of(wheel: Path) -> dict[str, Any]:
    """Unpack in a temporary folder and list in a new process."""
    with tempfile.TemporaryDirectory() as name:
        unpack(wheel, Path(name))
        result = subprocess.run(
            [sys.executable, __file__, "--inside"],
            env={**os.environ, "LD_LIBRARY_PATH": name, "PYTHONPATH": name},
            check=True,
            capture_output=True,
            text=True,
        )
    listing: dict[str, Any] = json.loads(result.stdout)
    return listing


def inside() -> dict[str, Any]:
    path = Path(__file__).parents[1] / "backends" / "tensorrt_api.py"
    spec = importlib.util.spec_from_file_location("tensorrt_api", path)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    module = __import__("PyNvVideoCodec")
    every = script.describe(module) | {"__version__": module.__version__}
    return {name: every[name] for name in WANTED}


if __name__ == "__main__":
    found = inside() if sys.argv[1] == "--inside" else listing_of(Path(sys.argv[1]))
    print(json.dumps(found, indent=0, sort_keys=True))
