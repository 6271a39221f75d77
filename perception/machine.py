"""What figures were measured on: processor, cores, governor, GPU, versions."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "opencv-python-headless", "av", "onnxruntime", "openvino", "tensorrt")
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_QUERY_TIMEOUT_S = 10


def machine() -> dict[str, Any]:
    """CPU, cores this process may use, memory, governor, GPU, system and the versions that matter."""
    info = Path("/proc/cpuinfo")
    processor = platform.processor() or platform.machine()
    if info.is_file():
        models = [row for row in info.read_text().splitlines() if row.startswith("model name")]
        processor = models[0].split(":", 1)[1].strip() if models else processor
    return {
        "cpu": processor,
        "cores": usable_cores(),
        "memory_gb": _memory_gb(),
        "governor": _governor(),
        "gpu": _gpu(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def _governor() -> str | None:
    try:
        return _GOVERNOR.read_text().strip()
    except OSError:
        return None  # virtual machines show none


def _gpu() -> str | None:
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    try:
        done = subprocess.run(
            [command, "--query-gpu=name,driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=_QUERY_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
