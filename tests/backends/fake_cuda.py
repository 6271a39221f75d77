"""A cuda-python without a GPU, for tests: "device" memory is host memory, kernels are compiled by g++.

It is strict where a GPU would be wrong in silence. Queued work runs only when its stream is synchronised,
so that output read too early is still zero. Copies must lie inside memory that is allocated. Launching a
graph queues what was captured, with the addresses of that time. What is never freed can be seen. A call of the
driver fails in a thread to which the runtime has given no context yet.
"""

from __future__ import annotations

import ctypes
import enum
import hashlib
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

SHIM = """
#include <cmath>
struct Dim { unsigned x, y, z; };
static Dim blockIdx, threadIdx, blockDim;
#define __global__
#define __device__ static
%s
extern "C" void launch(const unsigned *g, const unsigned *b, void *argument) {
  blockDim = {b[0], b[1], b[2]};
  for (blockIdx.z = 0; blockIdx.z < g[2]; ++blockIdx.z)
  for (blockIdx.y = 0; blockIdx.y < g[1]; ++blockIdx.y)
  for (blockIdx.x = 0; blockIdx.x < g[0]; ++blockIdx.x)
  for (threadIdx.z = 0; threadIdx.z < b[2]; ++threadIdx.z)
  for (threadIdx.y = 0; threadIdx.y < b[1]; ++threadIdx.y)
  for (threadIdx.x = 0; threadIdx.x < b[0]; ++threadIdx.x) %s((const Picture *)argument);
}
"""


class Status(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    CUDA_ERROR_INVALID_CONTEXT = 201
    cudaErrorStreamCaptureUnsupported = 900


CONTEXT = 77
WITHOUT_CONTEXT = (
    "cudaDriverGetVersion",
    "cudaRuntimeGetVersion",
    "cudaGetDeviceCount",
    "cudaGetDeviceProperties",
)


class Stream:
    def __init__(self) -> None:
        self.queue: list[Callable[[], None]] = []
        self.captured: list[Callable[[], None]] | None = None


class FakeCuda:
    """The three modules of cuda-python, and what a test wants to see of them.

    Attributes:
        memory: live allocations: address -> (kind, buffer).
        streams: by handle.
        calls: how often each function was called.
        fail: function name -> status it returns from now on.
        driver_version, runtime_version: as CUDA counts, 12020 for 12.2.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.memory: dict[int, tuple[str, Any]] = {}
        self.streams: dict[int, Stream] = {}
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.calls: Counter[str] = Counter()
        self.fail: dict[str, Status] = {}
        self.driver_version, self.runtime_version = 13000, 12020
        self.gpu_name, self.capability, self.gpus = b"Fake GPU", (8, 7), 1
        self._next = 1
        self._thread = threading.local()
        self.runtime = self._runtime()
        self.driver = self._driver()
        self.nvrtc = self._nvrtc()

    def queue(self, handle: int, work: Callable[[], None]) -> bool:
        """Put work on a stream, as TensorRT does; False where a capture forbids it."""
        stream = self.streams[int(handle)]
        (stream.queue if stream.captured is None else stream.captured).append(work)
        return True

    def view(self, address: int, size: int) -> memoryview:
        """`size` bytes at an address that must be allocated."""
        for start, (_, buffer) in self.memory.items():
            if start <= address and address + size <= start + len(buffer):
                return memoryview(buffer).cast("B")[address - start : address - start + size]
        raise AssertionError(f"{size} bytes at {address:#x} are not allocated")

    def _handle(self) -> int:
        self._next += 1
        return self._next

    def _module(
        self, name: str, functions: dict[str, Callable[..., Any]], **values: Any
    ) -> ModuleType:
        module = ModuleType(name)

        def counted(key: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any) -> tuple[Any, ...]:
                self.calls[key] += 1
                if name.endswith("runtime") and key not in WITHOUT_CONTEXT:
                    self._thread.bound = True
                elif name.endswith("driver") and not getattr(self._thread, "bound", False):
                    return (Status.CUDA_ERROR_INVALID_CONTEXT, None)
                if key in self.fail:
                    return (self.fail[key], None)
                result = function(*arguments)
                if isinstance(result, Status):
                    return (result, None)
                return (Status.cudaSuccess,) if result is None else (Status.cudaSuccess, *result)

            return call

        for key, function in functions.items():
            setattr(module, key, counted(key, function))
        for key, value in values.items():
            setattr(module, key, value)
        return module

    def _runtime(self) -> ModuleType:
        kinds = enum.IntEnum(
            "cudaMemcpyKind",
            {
                "cudaMemcpyHostToDevice": 1,
                "cudaMemcpyDeviceToHost": 2,
                "cudaMemcpyDeviceToDevice": 3,
            },
        )
        modes = enum.IntEnum("cudaStreamCaptureMode", {"cudaStreamCaptureModeThreadLocal": 1})
        expected = {1: ("device", "host"), 2: ("host", "device")}

        def allocate(kind: str) -> Callable[[int], tuple[int]]:
            def call(size: int) -> tuple[int]:
                buffer = (ctypes.c_uint8 * size)()
                self.memory[ctypes.addressof(buffer)] = (kind, buffer)
                return (ctypes.addressof(buffer),)

            return call

        def free(address: int) -> None:
            del self.memory[address]

        def kind_of(address: int) -> str:
            for start, (kind, buffer) in self.memory.items():
                if start <= address < start + len(buffer):
                    return kind
            return "unknown"

        def copy(target: int, source: int, size: int, kind: int, stream: int) -> Status | None:
            if (kind_of(target), kind_of(source)) != expected[int(kind)]:
                return Status.cudaErrorInvalidValue
            into, out_of = self.view(target, size), self.view(source, size)
            self.queue(stream, lambda: into.__setitem__(slice(None), out_of))
            return None

        def copy_now(target: int, source: int, size: int, kind: int) -> Status | None:
            if kind_of(source) != "device" or int(kind) != 2:
                return Status.cudaErrorInvalidValue
            ctypes.memmove(target, bytes(self.view(source, size)), size)
            return None

        def copy_rows(
            target: int,
            to: int,
            source: int,
            of: int,
            width: int,
            height: int,
            kind: int,
            stream: int,
        ) -> Status | None:
            kinds_given = kind_of(target), kind_of(source)
            if kinds_given != ("device", "device") or int(kind) != 3 or width > min(to, of):
                return Status.cudaErrorInvalidValue
            rows = [
                (self.view(target + i * to, width), self.view(source + i * of, width))
                for i in range(height)
            ]

            def work() -> None:
                for into, out_of in rows:
                    into[:] = out_of

            self.queue(stream, work)
            return None

        def make_stream(flags: int) -> tuple[int]:
            assert flags == 1, "the stream must not wait for the default stream"
            handle = self._handle()
            self.streams[handle] = Stream()
            return (handle,)

        def destroy_stream(handle: int) -> None:
            del self.streams[handle]

        def synchronize(handle: int) -> None:
            stream = self.streams[handle]
            assert stream.captured is None, "a stream cannot be waited for while it is captured"
            work, stream.queue = stream.queue, []
            for step in work:
                step()

        def begin(handle: int, mode: int) -> None:
            self.streams[handle].captured = []

        def end(handle: int) -> tuple[Any]:
            captured, self.streams[handle].captured = self.streams[handle].captured, None
            return (captured,)

        def instantiate(graph: list[Any], flags: int) -> tuple[int]:
            handle = self._handle()
            self.graphs[handle] = list(graph)
            return (handle,)

        def launch(graph: int, handle: int) -> None:
            self.streams[handle].queue.extend(self.graphs[graph])

        def destroy(graph: int) -> None:
            del self.graphs[graph]

        def properties(device: int) -> tuple[Any]:
            major, minor = self.capability
            return (
                SimpleNamespace(
                    name=self.gpu_name, major=major, minor=minor, totalGlobalMem=8 << 30
                ),
            )

        functions: dict[str, Callable[..., Any]] = {
            "cudaDriverGetVersion": lambda: (self.driver_version,),
            "cudaRuntimeGetVersion": lambda: (self.runtime_version,),
            "cudaGetDeviceCount": lambda: (self.gpus,),
            "cudaGetDeviceProperties": properties,
            "cudaSetDevice": lambda device: None,
            "cudaMemGetInfo": lambda: (4 << 30, 8 << 30),
            "cudaMalloc": allocate("device"),
            "cudaMallocHost": allocate("host"),
            "cudaFree": free,
            "cudaFreeHost": free,
            "cudaMemcpyAsync": copy,
            "cudaMemcpy": copy_now,
            "cudaMemcpy2DAsync": copy_rows,
            "cudaStreamCreateWithFlags": make_stream,
            "cudaStreamDestroy": destroy_stream,
            "cudaStreamSynchronize": synchronize,
            "cudaStreamBeginCapture": begin,
            "cudaStreamEndCapture": end,
            "cudaGraphInstantiate": instantiate,
            "cudaGraphLaunch": launch,
            "cudaGraphDestroy": lambda graph: None,
            "cudaGraphExecDestroy": destroy,
        }
        values = {
            "cudaMemcpyKind": kinds,
            "cudaStreamCaptureMode": modes,
            "cudaStreamNonBlocking": 1,
        }
        return self._module("cuda.bindings.runtime", functions, **values)

    def _driver(self) -> ModuleType:
        def launch(kernel: Any, *rest: Any) -> None:
            *sizes, shared, stream, packed, extra = rest
            (argument,), (kind,) = packed
            assert kind is ctypes.c_void_p and shared == extra == 0
            grid, block = ((ctypes.c_uint * 3)(*sizes[i : i + 3]) for i in (0, 3))
            self.queue(stream, lambda: kernel(grid, block, ctypes.c_void_p(argument)))

        def load(binary: bytes) -> tuple[Any]:
            return (self._compile(binary.decode()),)

        return self._module(
            "cuda.bindings.driver",
            {
                "cuCtxGetCurrent": lambda: (CONTEXT,),
                "cuModuleLoadData": load,
                "cuModuleGetFunction": lambda module, name: (module.launch,),
                "cuModuleUnload": lambda module: None,
                "cuLaunchKernel": launch,
            },
        )

    def _compile(self, source: str) -> Any:
        compiler = shutil.which("g++")
        assert compiler, "the test must be skipped where there is no g++"
        text = SHIM % (source, "prepare")
        library = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.so"
        if not library.exists():
            command = [
                compiler,
                "-O2",
                "-ffp-contract=off",
                "-shared",
                "-fPIC",
                "-x",
                "c++",
                "-",
                "-o",
            ]
            subprocess.run([*command, str(library)], input=text, text=True, check=True)
        return ctypes.CDLL(str(library))

    def _nvrtc(self) -> ModuleType:
        def compile_program(
            program: dict[str, Any], count: int, options: list[bytes]
        ) -> Status | None:
            assert len(options) == count
            program["options"] = options
            broken = b"does not compile" in program["source"]
            return Status.cudaErrorInvalidValue if broken else None

        def fill(target: bytearray, text: bytes) -> None:
            target[:] = text

        log = b"prepare.cu(1): error: this does not compile\0"
        module = self._module(
            "cuda.bindings.nvrtc",
            {
                "nvrtcCreateProgram": lambda source, *rest: ({"source": source},),
                "nvrtcCompileProgram": compile_program,
                "nvrtcGetProgramLogSize": lambda program: (len(log),),
                "nvrtcGetProgramLog": lambda program, text: fill(text, log),
                "nvrtcGetCUBINSize": lambda program: (len(program["source"]),),
                "nvrtcGetCUBIN": lambda program, text: fill(text, program["source"]),
                "nvrtcDestroyProgram": lambda program: None,
                "nvrtcVersion": lambda: (12, 2),
            },
        )
        inner = module.nvrtcCompileProgram
        module.nvrtcCompileProgram = lambda *arguments: inner(*arguments)[:1]  # type: ignore[attr-defined]
        return module
