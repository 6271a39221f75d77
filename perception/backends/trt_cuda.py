"""CUDA through cuda-python: one stream, pinned host memory, kept device memory, graphs, kernels. No torch.

cuda-python has renamed its modules: ``cuda.bindings.runtime`` since 12.6, ``cuda.cudart`` before; the
functions are the same.
"""

from __future__ import annotations

import ctypes
import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from perception.errors import EngineError


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU as the driver describes it.

    Attributes:
        name: "NVIDIA H200", "Orin".
        capability: compute capability, "8.7".
        memory: bytes.
        driver_cuda, runtime_cuda: CUDA versions of the driver and of cuda-python, (12, 2).
    """

    name: str
    capability: str
    memory: int
    driver_cuda: tuple[int, int]
    runtime_cuda: tuple[int, int]


class Cuda:
    """The CUDA runtime, driver and compiler of cuda-python.

    Raises:
        EngineError: cuda-python is not installed.
    """

    def __init__(self) -> None:
        load_lazily()
        self.runtime, self.driver, self.nvrtc = _modules()

    def call(self, result: tuple[Any, ...], what: str) -> Any:
        """The value of a CUDA call's (status, value...) tuple.

        Raises:
            EngineError: the status is not success; `what` says what was tried.
        """
        status, *values = result
        if int(status) != 0:
            raise EngineError(f"CUDA: {what} failed: {getattr(status, 'name', status)}")
        return values[0] if len(values) == 1 else tuple(values)

    def gpu(self, device: int = 0) -> Gpu:
        """The GPU of this number.

        Raises:
            EngineError: no GPU, no driver, or a driver older than cuda-python needs.
        """
        runtime = self.runtime
        try:
            asked = runtime.cudaDriverGetVersion()
        except RuntimeError as error:  # cuda-python 12 raises where there is no libcuda at all
            raise EngineError(f"no NVIDIA driver is loaded: {error}") from error
        driver_cuda = _version(self.call(asked, "asking for the driver"))
        runtime_cuda = _version(
            self.call(runtime.cudaRuntimeGetVersion(), "asking for the runtime")
        )
        if driver_cuda == (0, 0):
            raise EngineError(
                "no NVIDIA driver is loaded: there is no GPU here, or `nvidia-smi` fails too"
            )
        if driver_cuda[0] < runtime_cuda[0]:
            raise EngineError(
                f"cuda-python is for CUDA {runtime_cuda[0]}.{runtime_cuda[1]}, but the driver only "
                f"knows CUDA {driver_cuda[0]}.{driver_cuda[1]}: "
                f"`pip install 'cuda-python<{driver_cuda[0] + 1}'`, or update the driver"
            )
        count = self.call(runtime.cudaGetDeviceCount(), "counting GPUs")
        if device >= count:
            raise EngineError(f"GPU {device} was asked for, but there are {count}")
        facts = self.call(runtime.cudaGetDeviceProperties(device), "reading the GPU's properties")
        name = facts.name.decode() if isinstance(facts.name, bytes) else str(facts.name)
        return Gpu(
            name=name.rstrip("\0"),
            capability=f"{facts.major}.{facts.minor}",
            memory=int(facts.totalGlobalMem),
            driver_cuda=driver_cuda,
            runtime_cuda=runtime_cuda,
        )

    def free_memory(self) -> int:
        """Free device memory in bytes."""
        free, _ = self.call(self.runtime.cudaMemGetInfo(), "asking for free memory")
        return int(free)


def load_lazily() -> None:
    """Ask CUDA to load kernels when they are first run, not all of a library's at its start.

    That is CUDA's default on Linux since 12.2; before, TensorRT's whole library of kernels would be loaded.
    It is read when CUDA starts, so this comes before anything else; a choice in the environment is left alone.
    """
    os.environ.setdefault("CUDA_MODULE_LOADING", "LAZY")


def _modules() -> tuple[Any, Any, Any]:
    for names in (
        ("cuda.bindings.runtime", "cuda.bindings.driver", "cuda.bindings.nvrtc"),
        ("cuda.cudart", "cuda.cuda", "cuda.nvrtc"),
    ):
        try:
            runtime, driver, nvrtc = (importlib.import_module(name) for name in names)
        except ImportError:
            continue
        return runtime, driver, nvrtc
    raise EngineError(
        "cuda-python is not installed: `pip install cuda-python` "
        "(`'cuda-python<13'` where the driver only knows CUDA 12, as on JetPack 6)"
    )


def _version(number: int) -> tuple[int, int]:
    return int(number) // 1000, int(number) % 1000 // 10


class Stream:
    """A stream of our own and the memory used on it; freed together."""

    def __init__(self, cuda: Cuda, *, device: int = 0) -> None:
        self.cuda = cuda
        runtime = cuda.runtime
        self._number = device
        self.use()
        # Non-blocking: the default stream would make TensorRT synchronise the whole device.
        flags = runtime.cudaStreamNonBlocking
        self._stream = cuda.call(runtime.cudaStreamCreateWithFlags(flags), "making a stream")
        self._device: list[int] = []
        self._host: list[int] = []
        self._graphs: list[Graph] = []

    def use(self) -> None:
        """Make this stream's GPU the calling thread's.

        A thread starts without a context, and the driver's calls (kernels, modules) fail in it until the
        runtime has given it one.
        """
        self.cuda.call(self.cuda.runtime.cudaSetDevice(self._number), "selecting the GPU")

    @property
    def handle(self) -> int:
        return int(self._stream)

    def device_memory(self, size: int) -> int:
        """Address of `size` bytes of device memory, kept until `close`."""
        what = f"taking {size / 2**20:.1f} MiB of device memory"
        address = int(self.cuda.call(self.cuda.runtime.cudaMalloc(max(size, 1)), what))
        self._device.append(address)
        return address

    def host_memory(self, size: int) -> tuple[int, npt.NDArray[np.uint8]]:
        """Address of `size` bytes of pinned host memory and a view on them, kept until `close`."""
        what = f"pinning {size / 2**20:.1f} MiB of host memory"
        address = int(self.cuda.call(self.cuda.runtime.cudaMallocHost(max(size, 1)), what))
        self._host.append(address)
        block = (ctypes.c_uint8 * max(size, 1)).from_address(address)
        return address, np.ctypeslib.as_array(block)[:size]

    def to_device(self, device: int, host: int, size: int) -> None:
        """Queue a copy of `size` bytes from a host address to a device address."""
        self._copy(device, host, size, self.cuda.runtime.cudaMemcpyKind.cudaMemcpyHostToDevice)

    def to_host(self, host: int, device: int, size: int) -> None:
        """Queue a copy of `size` bytes from a device address to a host address."""
        self._copy(host, device, size, self.cuda.runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost)

    def copy_rows(
        self, target: int, target_pitch: int, source: int, source_pitch: int, size: tuple[int, int]
    ) -> None:
        """Queue a copy of `size` (bytes in a row, rows) within the device; pitches are bytes from row to row."""
        runtime = self.cuda.runtime
        kind = runtime.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        self.cuda.call(
            runtime.cudaMemcpy2DAsync(
                target, target_pitch, source, source_pitch, *size, kind, self._stream
            ),
            f"queueing a copy of {size[1]} rows of {size[0]} bytes",
        )

    def _copy(self, target: int, source: int, size: int, kind: Any) -> None:
        runtime = self.cuda.runtime
        self.cuda.call(
            runtime.cudaMemcpyAsync(target, source, size, kind, self._stream),
            f"queueing a copy of {size} bytes",
        )

    def synchronize(self) -> None:
        """Wait until everything queued is done."""
        self.cuda.call(self.cuda.runtime.cudaStreamSynchronize(self._stream), "running the stream")

    def capture(self, work: Callable[[], None]) -> Graph:
        """Record what `work` queues, without running it, as a graph.

        Raises:
            EngineError: something in it cannot be captured.
        """
        cuda, runtime = self.cuda, self.cuda.runtime
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        cuda.call(runtime.cudaStreamBeginCapture(self._stream, mode), "starting a capture")
        try:
            work()
        except BaseException:
            # Ends the capture, which has failed; the reason is already on its way.
            runtime.cudaStreamEndCapture(self._stream)
            raise
        graph = cuda.call(runtime.cudaStreamEndCapture(self._stream), "ending a capture")
        try:
            made = runtime.cudaGraphInstantiate(graph, 0)
            captured = Graph(self, cuda.call(made, "making a graph"))
        finally:
            runtime.cudaGraphDestroy(graph)
        self._graphs.append(captured)
        return captured

    def drop(self, graph: Graph) -> None:
        """Free a graph before the stream is closed."""
        self._graphs.remove(graph)
        self.cuda.runtime.cudaGraphExecDestroy(graph.handle)

    def launch_graph(self, graph: Graph) -> None:
        self.cuda.call(
            self.cuda.runtime.cudaGraphLaunch(graph.handle, self._stream), "running a graph"
        )

    def launch_kernel(
        self,
        kernel: Any,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[Any],
        types: Sequence[Any],
    ) -> None:
        """Queue a kernel; `arguments` as `types` (ctypes)."""
        packed = (tuple(arguments), tuple(types))
        launched = self.cuda.driver.cuLaunchKernel(kernel, *grid, *block, 0, self.handle, packed, 0)
        self.cuda.call(launched, "starting a kernel")

    def close(self) -> None:
        """Wait for the stream, then free it and everything taken from it; twice does no harm."""
        if self._stream is None:
            return
        runtime = self.cuda.runtime
        runtime.cudaStreamSynchronize(self._stream)
        for graph in self._graphs:
            runtime.cudaGraphExecDestroy(graph.handle)
        for address in self._device:
            runtime.cudaFree(address)
        for address in self._host:
            runtime.cudaFreeHost(address)
        runtime.cudaStreamDestroy(self._stream)
        self._graphs, self._device, self._host = [], [], []
        self._stream = None


class Graph:
    """Work that was captured on a stream and can be queued again with one call."""

    __slots__ = ("_stream", "handle")

    def __init__(self, stream: Stream, handle: Any) -> None:
        self._stream = stream
        self.handle = handle

    def launch(self) -> None:
        self._stream.launch_graph(self)
