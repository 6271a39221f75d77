"""The card of an engine: what an ONNX file says about itself in its metadata_props.

One key per field, text as it is, everything else as JSON. The card travels inside the file, so that a
file alone is enough to run it: no constants in code, no side-car.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from perception.errors import EngineError

SCHEMA = "perception-engine/1"
FITS = ("letterbox", "letterbox_top_left", "stretch")


@dataclass(frozen=True, slots=True)
class InputSpec:
    """How a picture becomes the network's input, (N, 3, H, W) float32.

    ``tensor = (pixel - mean) / std`` per channel, in `colour` order, pixel in 0..255.

    Attributes:
        size: (width, height) of the input; the default one where the network takes any.
        colour: "bgr" or "rgb".
        mean, std: per channel in `colour` order, in units of 0..255.
        fit: "letterbox" (centred, aspect kept), "letterbox_top_left" (aspect kept, padding right and
            below) or "stretch".
        pad: the grey value of the padding, 0..255.
        multiple: width and height must be multiples of this where the network takes any size.
    """

    size: tuple[int, int]
    colour: str = "bgr"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    fit: str = "letterbox"
    pad: int = 114
    multiple: int = 32

    def __post_init__(self) -> None:
        if self.colour not in ("bgr", "rgb"):
            raise ValueError(f"colour must be 'bgr' or 'rgb', but is {self.colour!r}")
        if self.fit not in FITS:
            raise ValueError(f"fit must be one of {', '.join(FITS)}, but is {self.fit!r}")
        for name in ("size", "mean", "std"):
            object.__setattr__(self, name, tuple(getattr(self, name)))


@dataclass(frozen=True, slots=True)
class EngineCard:
    """What an engine is.

    Attributes:
        name: the engine's name ("road").
        family: which decoder reads its outputs (a file in perception/models).
        task: what its results are filed under ("road", "face", "lanes", "sign", "light").
        classes: names by class_id.
        input: see `InputSpec`.
        decoder: settings of the family's decoder.
        data: one entry per data source: {"name", "licence", "use"}.
        licence: of the weights.
        metric: figures measured by the project's evaluation ({"vehicle_ap50": 0.6}).
        cost: {"parameters": int, "gflops": float}.
        recipe_sha256: of the recipe that made it.
        precision: "fp32", "fp16" or "int8".
        layout: of an INT8 file: which runtime's kernels it is written for ("onnxruntime", "openvino").
        made_from_sha256: of the FP32 file that a variant was made from, so that a variant of other weights
            is never taken for it.
    """

    name: str
    family: str
    task: str
    classes: tuple[str, ...]
    input: InputSpec
    decoder: dict[str, Any] = field(default_factory=dict)
    data: list[dict[str, str]] = field(default_factory=list)
    licence: str = ""
    metric: dict[str, float] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)
    recipe_sha256: str = ""
    precision: str = "fp32"
    layout: str = ""
    made_from_sha256: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))

    def to_metadata(self) -> dict[str, str]:
        """As metadata_props of an ONNX file."""
        text = {"schema": SCHEMA}
        for key, value in asdict(self).items():
            text[key] = value if isinstance(value, str) else json.dumps(value)
        return text

    @staticmethod
    def metadata_keys() -> tuple[str, ...]:
        """Of the metadata_props that `to_metadata` writes."""
        return ("schema", *EngineCard.__dataclass_fields__)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], *, where: str) -> EngineCard | None:
        """Read a card; None when the file carries none (a public checkpoint).

        Raises:
            EngineError: the metadata is ours but broken; `where` names the file.
        """
        if metadata.get("schema") != SCHEMA:
            return None
        try:
            values: dict[str, Any] = {}
            for key in ("name", "family", "task", "licence", "recipe_sha256"):
                values[key] = metadata[key]
            for key in ("precision", "layout", "made_from_sha256"):
                if key in metadata:
                    values[key] = metadata[key]
            for key in ("classes", "decoder", "data", "metric", "cost"):
                values[key] = json.loads(metadata[key])
            values["input"] = InputSpec(**json.loads(metadata["input"]))
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise EngineError(
                f"{where}: the engine's metadata is broken ({error}); export it again"
            ) from error
