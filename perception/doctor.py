"""What works on this machine, what does not, and what to do about it: `perception doctor`.

`report()` looks and returns a `Report`; ``report().text()`` is for a terminal, ``report().to_json()``
for a program, and ``report().exit_status`` is 0 when the main job, a run over a video file, can be done.
Nothing here raises: what fails is a line of the report.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

OK, WARN, FAIL, OFF = "ok", "warn", "fail", "off"
SIGNS = {OK: "+", WARN: "!", FAIL: "x", OFF: "-"}
COMMAND_TIMEOUT_S = 10
JETSON_RELEASE = Path("/etc/nv_tegra_release")
REQUIRED = (
    ("numpy", "numpy"),
    ("opencv-python-headless", "cv2"),
    ("av", "av"),
    ("onnxruntime", "onnxruntime"),
)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report.

    Attributes:
        group: "machine", "packages", "video", "gpu" or "engines".
        name: what was looked at.
        state: "ok", "warn" (works, but not as well as it could), "fail" (the main job cannot run) or
            "off" (not here, and only needed for TensorRT).
        found: what is there.
        advice: what to do; empty when nothing is.
    """

    group: str
    name: str
    state: str
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Every check, in the order of looking."""

    checks: tuple[Check, ...]

    @property
    def exit_status(self) -> int:
        """0 when a run over a video file can be done on this machine, else 1."""
        return 1 if any(check.state == FAIL for check in self.checks) else 0

    @property
    def summary(self) -> str:
        if self.exit_status:
            broken = ", ".join(check.name for check in self.checks if check.state == FAIL)
            return f"A run cannot be done here: {broken}."
        needed = ("NVIDIA driver", "cuda-python", "TensorRT")
        states = {check.name: check.state for check in self.checks if check.group == "gpu"}
        on_gpu = all(states.get(name) == OK for name in needed)
        return (
            f"A run can be done here, {'on TensorRT' if on_gpu else 'on the CPU (ONNX Runtime)'}."
        )

    def text(self) -> str:
        """Lines for a terminal, advice under what it is about."""
        lines: list[str] = []
        group = ""
        width = max((len(check.name) for check in self.checks), default=0)
        for check in self.checks:
            if check.group != group:
                group = check.group
                lines.append(group)
            lines.append(f"  {SIGNS[check.state]} {check.name:<{width}}  {check.found}")
            if check.advice:
                lines.append(f"    {'':<{width}}  -> {check.advice}")
        return "\n".join([*lines, self.summary])

    def to_json(self) -> dict[str, Any]:
        return {
            "checks": [asdict(check) for check in self.checks],
            "summary": self.summary,
            "exit_status": self.exit_status,
        }


def report() -> Report:
    """Look at everything; takes a few seconds, because packages are really imported."""
    checks = [*machine(), *packages(), *video(), *gpu()]
    usable = {check.name for check in checks if check.group == "gpu" and check.state == OK}
    return Report((*checks, *engines(with_plans={"cuda-python", "TensorRT"} <= usable)))


def kind_of_machine() -> str:
    """"jetson", "server" (an NVIDIA driver, no display) or "desktop"."""  # fmt: skip
    if JETSON_RELEASE.exists():
        return "jetson"
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return "server"
    return "desktop"


def machine() -> list[Check]:
    """System, Python, cores and memory."""
    kind = kind_of_machine()
    system = f"{kind}: {platform.system()} {platform.release()}, {platform.machine()}"
    if kind == "jetson":
        release = JETSON_RELEASE.read_text(errors="replace").splitlines()
        system += f", {_jetson_release(release[0] if release else '')}"
    version = platform.python_version()
    supported = sys.version_info >= (3, 10)
    return [
        Check("machine", "system", OK, system),
        Check(
            "machine",
            "Python",
            OK if supported else FAIL,
            f"{version} ({sys.executable})",
            "" if supported else "install Python 3.10 or newer",
        ),
        Check("machine", "CPU cores", OK, str(_cores())),
    ]


def _jetson_release(line: str) -> str:
    """"L4T 36.3" from the first line of the release file."""  # fmt: skip
    found = re.search(r"R(\d+).*?REVISION:\s*([\d.]+)", line)
    return f"L4T {found[1]}.{found[2]}" if found else line.strip()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def packages() -> list[Check]:
    """The packages every run needs; each is imported."""
    checks = []
    for distribution, module in REQUIRED:
        try:
            loaded = importlib.import_module(module)
        except Exception as error:  # a broken binary package raises anything
            found = f"cannot be imported: {_first_line(error)}"
            advice = f"`pip install --force-reinstall {distribution}`"
            checks.append(Check("packages", module, FAIL, found, advice))
        else:
            checks.append(Check("packages", module, OK, str(getattr(loaded, "__version__", "?"))))
    return checks


def video() -> list[Check]:
    """Whether the common codecs can be read, and overlays be written."""
    try:
        from av.codec import Codec
    except Exception as error:  # said by `packages`, in full
        return [Check("video", "codecs", FAIL, f"PyAV cannot be used: {_first_line(error)}")]

    def has(name: str, mode: Literal["r", "w"]) -> bool:
        try:
            Codec(name, mode)
        except Exception:  # PyAV's own class of error has moved between versions
            return False
        return True

    readable = [name for name in ("h264", "hevc", "vp9", "av1", "mjpeg") if has(name, "r")]
    checks = [
        Check(
            "video",
            "decoders",
            OK if "h264" in readable else FAIL,
            ", ".join(readable) or "none",
            "" if "h264" in readable else "`pip install --force-reinstall av` brings H.264",
        )
    ]
    encoder = has("libx264", "w")
    checks.append(
        Check(
            "video",
            "H.264 encoder",
            OK if encoder else WARN,
            "libx264" if encoder else "none",
            ""
            if encoder
            else "overlay videos cannot be written: `pip install --force-reinstall av`",
        )
    )
    hardware = [name for name in ("h264_v4l2m2m", "h264_vaapi") if has(name, "w")]
    others = f"; {', '.join(hardware)} in this build of PyAV" if hardware else ""
    why = _nvenc_problem() if has("h264_nvenc", "w") else "not in this build of PyAV"
    found = f"h264_nvenc {'works' if why is None else f'does not work here: {why}'}{others}"
    state = OK if why is None else OFF
    checks.append(Check("video", "hardware encoders", state, found))
    return checks


def _nvenc_problem() -> str | None:
    from perception.sinks.encoder import nvenc_problem

    return nvenc_problem((640, 384))


def gpu() -> list[Check]:
    """Driver, GPU, CUDA, TensorRT, cuda-python and what building needs."""
    kind = kind_of_machine()
    checks = [_driver(kind)]
    if checks[0].state == OFF:
        for name in ("cuda-python", "TensorRT"):
            checks.append(Check("gpu", name, OFF, "not looked at: no GPU"))
        return checks
    checks += [_cuda_python(), _nvrtc(), _nvdec(), _tensorrt(kind)]
    try:
        importlib.import_module("onnx")
    except Exception as error:
        found = f"cannot be imported: {_first_line(error)}"
        checks.append(
            Check("gpu", "onnx", WARN, found, "`pip install onnx`: needed to build plans")
        )
    else:
        checks.append(Check("gpu", "onnx", OK, importlib.metadata.version("onnx")))
    return checks


def _driver(kind: str) -> Check:
    known = _driver_cuda()
    if known is None:
        advice = (
            "flash JetPack 6 or newer"
            if kind == "jetson"
            else "none is needed for the CPU; for TensorRT install NVIDIA's driver"
        )
        return Check("gpu", "NVIDIA driver", OFF, "none", advice)
    return Check("gpu", "NVIDIA driver", OK, f"CUDA {known[0]}.{known[1]}{_nvidia_smi()}")


def _driver_cuda() -> tuple[int, int] | None:
    """The CUDA version the driver knows, asked of libcuda itself; None without driver or GPU."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        library = ctypes.CDLL(name)
        version = ctypes.c_int()
        if library.cuInit(0) != 0 or library.cuDriverGetVersion(ctypes.byref(version)) != 0:
            return None
    except (OSError, AttributeError):
        return None
    return version.value // 1000, version.value % 1000 // 10


def _nvidia_smi() -> str:
    """Name and driver version as nvidia-smi says; nothing where it is not (older Jetsons)."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return ""
    query = [command, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        result = subprocess.run(query, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    return f"; {'; '.join(lines)}" if result.returncode == 0 and lines else ""


def _cuda_python() -> Check:
    from perception.backends.trt_cuda import Cuda
    from perception.errors import EngineError

    try:
        found = Cuda().gpu()
    except EngineError as error:
        return Check("gpu", "cuda-python", WARN, "cannot be used", str(error))
    except Exception as error:  # a half-installed cuda-python raises anything
        return Check("gpu", "cuda-python", WARN, _first_line(error), "`pip install cuda-python`")
    runtime = ".".join(map(str, found.runtime_cuda))
    text = (
        f"CUDA {runtime}; {found.name}, compute {found.capability}, {found.memory / 2**30:.1f} GiB"
    )
    return Check("gpu", "cuda-python", OK, text)


def _nvrtc() -> Check:
    from perception.backends.trt_cuda import Cuda

    try:
        _, major, minor = Cuda().nvrtc.nvrtcVersion()
    except Exception as error:  # without the library, cuda-python raises its own class
        advice = (
            "pictures are prepared on the CPU; `pip install nvidia-cuda-nvrtc-cu12` "
            "(CUDA 13: `nvidia-cuda-nvrtc`) prepares them on the GPU"
        )
        return Check("gpu", "NVRTC", WARN, _first_line(error), advice)
    return Check("gpu", "NVRTC", OK, f"CUDA {major}.{minor}")


def _nvdec() -> Check:
    from perception.errors import EngineError
    from perception.sources.nvdec import CODECS, load

    try:
        nvc = load()
        able = [
            name
            for name, (codec, _) in CODECS.items()
            if nvc.GetDecoderCaps(codec=getattr(nvc.cudaVideoCodec, codec))["supported"]
        ]
    except EngineError as error:
        return Check("gpu", "NVDEC", OFF, "not used: pictures are decoded on the CPU", str(error))
    except Exception as error:  # PyNvVideoCodec has classes of its own
        return Check("gpu", "NVDEC", WARN, _first_line(error), "`--decode cpu`")
    found = f"{', '.join(able) or 'nothing'} (PyNvVideoCodec {nvc.__version__})"
    return Check("gpu", "NVDEC", OK if able else OFF, found)


def _tensorrt(kind: str) -> Check:
    from perception.backends.trt_version import load_api
    from perception.errors import EngineError

    try:
        return Check("gpu", "TensorRT", OK, load_api().version)
    except EngineError as error:
        advice = (
            "`sudo apt install tensorrt python3-libnvinfer`, then an environment made with "
            "`python3 -m venv --system-site-packages`"
            if kind == "jetson"
            else "`pip install 'road-perception[tensorrt]'`"
        )
        return Check("gpu", "TensorRT", WARN, str(error).split(":")[0], advice)


def engines(*, with_plans: bool) -> list[Check]:
    """The installed engines and, where TensorRT can run, the state of their plans."""
    from perception.backends.installed import installed_engines

    installed = installed_engines()
    if not installed:
        return [
            Check("engines", "engines", WARN, "none installed", "name one with --engine PATH.onnx")
        ]
    return [_engine(name, path, with_plans) for name, path in installed.items()]


def _engine(name: str, path: Path, with_plans: bool) -> Check:
    size = f"{path.name}, {path.stat().st_size / 1e6:.1f} MB"
    if not with_plans:
        return Check("engines", name, OK, size)
    from perception.backends.trt_plans import find_plan
    from perception.backends.trt_version import load_api

    outcome = _attempt(lambda: find_plan(path, load_api()))
    if isinstance(outcome, str):
        return Check("engines", name, WARN, f"{size}; plans cannot be read: {outcome}")
    plan, why = outcome
    if plan is not None:
        key = plan.key
        return Check("engines", name, OK, f"{size}; built: {key.precision}, {key.shapes}")
    state = "missing" if why == "no plan has been built" else f"stale: {why}"
    return Check("engines", name, WARN, f"{size}; {state}", f"`perception build {name}`")


def _attempt(work: Callable[[], Any]) -> Any:
    from perception.errors import PerceptionError

    try:
        return work()
    except (PerceptionError, OSError) as error:
        return _first_line(error)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
