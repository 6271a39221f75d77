"""The CUDA layer: both namings of cuda-python, drivers that are too old, and work in order."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from perception.backends.trt_cuda import Cuda, Stream
from perception.errors import EngineError


def test_the_gpu_is_described(fake: Any) -> None:
    gpu = Cuda().gpu()

    assert (gpu.name, gpu.capability, gpu.memory) == ("Fake GPU", "8.7", 8 << 30)
    assert (gpu.driver_cuda, gpu.runtime_cuda) == ((13, 0), (12, 2))


def test_the_old_names_of_cuda_python_serve_too(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "cuda.bindings",
        "cuda.bindings.runtime",
        "cuda.bindings.driver",
        "cuda.bindings.nvrtc",
    ):
        monkeypatch.setitem(sys.modules, name, None)
    old = ModuleType("cuda")
    old.cudart, old.cuda, old.nvrtc = fake.cuda.runtime, fake.cuda.driver, fake.cuda.nvrtc  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cuda", old)
    for name in ("cudart", "cuda", "nvrtc"):
        monkeypatch.setitem(sys.modules, f"cuda.{name}", getattr(old, name))

    assert Cuda().gpu().name == "Fake GPU"


def test_a_missing_cuda_python_says_which_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cuda", "cuda.bindings", "cuda.bindings.runtime", "cuda.cudart"):
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(EngineError, match="pip install cuda-python"):
        Cuda()


def test_a_driver_older_than_cuda_python_is_told_with_the_version_to_install(fake: Any) -> None:
    fake.cuda.driver_version, fake.cuda.runtime_version = 12020, 13050

    with pytest.raises(
        EngineError, match=r"for CUDA 13.5, but the driver only knows CUDA 12.2.*'cuda-python<13'"
    ):
        Cuda().gpu()


def test_no_driver_is_told(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.cuda.driver_version = 0
    with pytest.raises(EngineError, match="no NVIDIA driver is loaded"):
        Cuda().gpu()

    def missing() -> Any:
        raise RuntimeError("Failed to dlopen libcuda.so.1")

    monkeypatch.setattr(fake.cuda.runtime, "cudaDriverGetVersion", missing)
    with pytest.raises(EngineError, match="no NVIDIA driver is loaded: Failed to dlopen"):
        Cuda().gpu()


def test_a_gpu_that_is_not_there_is_told(fake: Any) -> None:
    with pytest.raises(EngineError, match="GPU 3 was asked for, but there are 1"):
        Cuda().gpu(3)


def test_a_failed_call_names_what_was_tried(fake: Any) -> None:
    status = type(fake.cuda.runtime.cudaSetDevice(0)[0])
    fake.cuda.fail["cudaGetDeviceCount"] = status.cudaErrorInvalidValue

    with pytest.raises(EngineError, match="CUDA: counting GPUs failed: cudaErrorInvalidValue"):
        Cuda().gpu()


def test_queued_copies_happen_when_the_stream_is_waited_for(fake: Any) -> None:
    stream = Stream(Cuda())
    source, sent = stream.host_memory(4)
    target, received = stream.host_memory(4)
    device = stream.device_memory(4)
    sent[:] = (1, 2, 3, 4)

    stream.to_device(device, source, 4)
    stream.to_host(target, device, 4)
    assert received.tolist() == [0, 0, 0, 0]
    stream.synchronize()

    assert received.tolist() == [1, 2, 3, 4]
    stream.close()
    assert not fake.cuda.memory


def test_a_graph_repeats_what_was_captured_with_new_data(fake: Any) -> None:
    stream = Stream(Cuda())
    source, sent = stream.host_memory(1)
    target, received = stream.host_memory(1)
    device = stream.device_memory(1)

    def work() -> None:
        stream.to_device(device, source, 1)
        stream.to_host(target, device, 1)

    graph = stream.capture(work)
    assert received[0] == 0, "capturing must not run anything"
    for value in (7, 8):
        sent[0] = value
        graph.launch()
        stream.synchronize()
        assert received[0] == value
    stream.drop(graph)
    stream.close()
    assert not fake.cuda.graphs


def test_a_failed_capture_ends_and_the_stream_goes_on(fake: Any) -> None:
    stream = Stream(Cuda())

    def work() -> None:
        raise EngineError("cannot be captured")

    with pytest.raises(EngineError, match="cannot be captured"):
        stream.capture(work)
    stream.synchronize()
    stream.close()


def test_memory_of_no_bytes_is_possible(fake: Any) -> None:
    stream = Stream(Cuda())
    _, view = stream.host_memory(0)

    assert view.size == 0 and stream.device_memory(0) > 0
    stream.close()


def test_free_memory_is_asked_for(install: Callable[[str], Any]) -> None:
    install("8.6.0")

    assert Cuda().free_memory() == 4 << 30
