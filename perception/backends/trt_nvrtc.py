"""CUDA C++ compiled while running, by NVRTC."""

from __future__ import annotations

from typing import Any

from perception.backends.trt_cuda import Cuda
from perception.errors import EngineError


def compile_kernel(cuda: Cuda, source: str, name: str, *, capability: str) -> tuple[Any, Any]:
    """Compile CUDA C++ with NVRTC for one GPU and load it.

    Args:
        source: with one ``extern "C" __global__`` function of this `name`.
        capability: compute capability, "8.7".

    Returns:
        (module, kernel): keep both; `cuModuleUnload` frees the module.

    Raises:
        EngineError: the source does not compile; the message holds the compiler's log.
    """
    binary = compile_to_cubin(cuda, source, name, capability=capability)
    module = cuda.call(cuda.driver.cuModuleLoadData(binary), f"loading the kernel {name}")
    return module, cuda.call(
        cuda.driver.cuModuleGetFunction(module, name.encode()), f"finding {name}"
    )


def compile_to_cubin(cuda: Cuda, source: str, name: str, *, capability: str) -> bytes:
    """Machine code for one compute capability; needs no GPU."""
    nvrtc = cuda.nvrtc
    file_name = f"{name}.cu".encode()
    made = nvrtc.nvrtcCreateProgram(source.encode(), file_name, 0, [], [])
    program = cuda.call(made, "starting the kernel compiler")
    try:
        options = [f"--gpu-architecture=sm_{capability.replace('.', '')}".encode(), b"--fmad=false"]
        (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
        if int(status) != 0:
            size = cuda.call(nvrtc.nvrtcGetProgramLogSize(program), "reading the compiler's log")
            log = bytearray(size)
            nvrtc.nvrtcGetProgramLog(program, log)
            text = log.decode(errors="replace").strip("\0 \n")
            raise EngineError(
                f"the kernel {name} does not compile for compute {capability}: {text}"
            )
        size = cuda.call(nvrtc.nvrtcGetCUBINSize(program), "asking for the size of the kernel")
        binary = bytearray(size)
        cuda.call(nvrtc.nvrtcGetCUBIN(program, binary), "reading the kernel")
    finally:
        nvrtc.nvrtcDestroyProgram(program)
    return bytes(binary)
