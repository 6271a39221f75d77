"""ONNX Runtime on the CPU (or another execution provider that the installed build offers)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from perception.backends import TensorSpec
from perception.card import EngineCard
from perception.errors import EngineError

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


class OnnxRuntimeEngine:
    """An ONNX file on ONNX Runtime; for many threads at once.

    Args:
        path: the ONNX file.
        threads: threads inside one operator. One is right inside a pipeline: decoder and encoder use
            the other cores, and more threads spin while they wait.
        providers: execution providers in order of preference.

    Raises:
        EngineError: the file is not an ONNX model this runtime can run, or a provider is missing.
    """

    backend = "onnxruntime"
    many_threads = True

    def __init__(
        self,
        path: Path,
        *,
        threads: int = 1,
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        self.path = path
        missing = [name for name in providers if name not in ort.get_available_providers()]
        if missing:
            raise EngineError(
                f"ONNX Runtime has no {', '.join(missing)}; "
                f"available are {', '.join(ort.get_available_providers())}"
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(str(path), options, providers=list(providers))
        except Exception as error:  # the runtime raises a dozen unrelated classes
            raise EngineError(f"{path}: ONNX Runtime cannot load this file: {error}") from error
        self.inputs = tuple(_spec(node) for node in self._session.get_inputs())
        self.outputs = tuple(_spec(node) for node in self._session.get_outputs())
        self._names = [spec.name for spec in self.outputs]
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.card = EngineCard.from_metadata(metadata, where=str(path))

    def infer(self, feeds: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Run the network.

        Args:
            feeds: one array per input name.

        Returns:
            One array per output name.

        Raises:
            EngineError: a feed has the wrong name, dtype or shape.
        """
        try:
            values = self._session.run(self._names, dict(feeds))
        except Exception as error:
            raise EngineError(f"{self.path.name}: inference failed: {error}") from error
        return dict(zip(self._names, values, strict=True))

    def close(self) -> None:
        """Nothing to do: the session ends with the object."""


def _spec(node: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
    return TensorSpec(node.name, np.dtype(_DTYPES.get(node.type, np.float32)), shape)
