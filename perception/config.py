"""Configuration files: TOML in, stages out.

    [[stages]]
    type = "detector"
    engine = "road"
    min_score = 0.3

    [[stages]]
    type = "tracker"

    [overlay]
    trails_s = 1.5

    [video]
    crf = 23

Every table is a constructor call (see perception.registry); [overlay] and [video] are the keyword arguments
of the overlay and of the video sink. Any detector or lane stage may have ``every_s = 0.1``: it then runs at most
every so many seconds of the stream (perception.pipeline).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perception.errors import ConfigError, InputError, unknown
from perception.pipeline import Pipeline, Stage
from perception.registry import construct, stage_class

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TABLES = ("stages", "overlay", "video")
DEFAULT = "dashcam"
_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Config:
    """A parsed configuration: one table per stage, and the keyword arguments of the outputs."""

    where: str
    stages: tuple[dict[str, Any], ...]
    overlay: dict[str, Any] = field(default_factory=dict)
    video: dict[str, Any] = field(default_factory=dict)

    def changed(
        self,
        *,
        backend: str | None = None,
        precision: str | None = None,
        min_score: float | None = None,
        engine: str | None = None,
        family: str | None = None,
        track: bool = True,
        alone: bool = False,
    ) -> Config:
        """A copy with the command line's wishes put in: they win over the file.

        `engine` and `family` replace the first detector's; `backend` applies to every engine, `min_score` and
        `precision` to every detector; `alone` says that frames do not follow each other, so that no stage rests;
        `track` False leaves the trackers out, and classifiers look at detections instead.
        """
        tables = []
        first = True
        for table in self.stages:
            values = dict(table)
            if values.get("type") == "detector":
                wishes: dict[str, Any] = {
                    "backend": backend,
                    "precision": precision,
                    "min_score": min_score,
                }
                if first:
                    wishes |= {"engine": engine, "family": family}
                    if engine is not None:
                        values.pop("pixels", None)
                first = False
                values |= {key: value for key, value in wishes.items() if value is not None}
            if values.get("type") == "classifier":
                values |= {} if backend is None else {"backend": backend}
                values |= {} if track else {"tracked": False}
            if values.get("type") == "lanes" and backend is not None:
                values["backend"] = backend
            if alone:
                values.pop("every_s", None)
            if track or values.get("type") != "tracker":
                tables.append(values)
        return Config(self.where, tuple(tables), self.overlay, self.video)

    def pipeline(self) -> Pipeline:
        """Construct the stages.

        Raises:
            ConfigError: names the file and the table.
            InputError, EngineError: an engine is missing or cannot be opened.
        """
        stages: list[Stage] = []
        every_s: dict[str, float] = {}
        try:
            for number, table in enumerate(self.stages, 1):
                where = f"{self.where}: [[stages]] number {number}"
                values = dict(table)
                if "type" not in values:
                    raise ConfigError(f'{where}: a stage needs a type, such as type = "detector"')
                cls = stage_class(values.pop("type"), where=where)
                rest = values.pop("every_s", None)
                stages.append(construct(cls, values, where=where))
                if rest is not None:
                    if isinstance(rest, bool) or not isinstance(rest, (int, float)):
                        raise ConfigError(f"{where}: every_s must be seconds, but is {rest!r}")
                    every_s[stages[-1].name] = rest
            try:
                return Pipeline(stages, every_s=every_s)
            except ConfigError as error:
                raise ConfigError(f"{self.where}: {error}") from error
        except BaseException:
            for stage in stages:
                stage.close()
            raise


def installed_configs() -> dict[str, Path]:
    """Configurations by name: the package's own, and a source checkout's."""
    found: dict[str, Path] = {}
    for folder in (_PACKAGE / "configs", _PACKAGE.parent / "configs"):
        for path in sorted(folder.glob("*.toml")):
            found.setdefault(path.stem, path)
    return found


def load_config(name: str | Path = DEFAULT) -> Config:
    """Read a configuration, given its path or the name of an installed one.

    Raises:
        InputError: no such file.
        ConfigError: not TOML, or a table or key that nobody reads.
    """
    path = Path(name).expanduser()
    if not path.is_file():
        installed = installed_configs()
        if str(name) not in installed:
            if path.suffix == ".toml" or "/" in str(name):
                raise InputError(f"{path}: no such configuration file")
            raise InputError(unknown("configuration", str(name), installed))
        path = installed[str(name)]
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    for key in data:
        if key not in TABLES:
            raise ConfigError(f"{path}: {unknown('table', key, TABLES)}")
    stages = data.get("stages", [])
    if not isinstance(stages, list) or not all(isinstance(table, dict) for table in stages):
        raise ConfigError(f"{path}: stages must be tables written as [[stages]]")
    for key in ("overlay", "video"):
        if not isinstance(data.get(key, {}), dict):
            raise ConfigError(f"{path}: {key} must be a table written as [{key}]")
    return Config(str(path), tuple(stages), data.get("overlay", {}), data.get("video", {}))
