"""Names that a configuration may use for stages, and what they stand for.

A TOML table is a constructor call: ``type`` picks the class, every other key is a keyword argument.
Classes are imported when they are asked for, so an unused stage costs nothing.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from perception.errors import ConfigError, unknown

STAGES = {
    "detector": "perception.models.detector:Detector",
    "classifier": "perception.tracking.attributes:ClassifierStage",
    "lanes": "perception.models.lane_stage:LaneStage",
    "tracker": "perception.tracking.stage:TrackerStage",
}


def stage_class(name: str, *, where: str) -> type[Any]:
    """The class behind a stage's type name.

    Raises:
        ConfigError: unknown name; `where` says which table named it.
    """
    if name not in STAGES:
        raise ConfigError(f"{where}: {unknown('stage type', name, STAGES)}")
    module, _, attribute = STAGES[name].partition(":")
    found: type[Any] = getattr(importlib.import_module(module), attribute)
    return found


def construct(cls: type[Any], values: dict[str, Any], *, where: str) -> Any:
    """Call a constructor with a table's values, after checking the keys against its signature.

    Raises:
        ConfigError: an unknown key, a missing one, or a value the constructor refuses.
    """
    parameters = inspect.signature(cls).parameters
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    for key in values:
        if key not in parameters and not open_ended:
            raise ConfigError(f"{where}: {unknown('key', key, parameters)}")
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from error
