"""Which engines are installed, and where their files are."""

from __future__ import annotations

from pathlib import Path

from perception.errors import InputError, unknown

_PACKAGE = Path(__file__).resolve().parents[1]


def engine_folders() -> tuple[Path, ...]:
    """Folders searched for engines by name: the package's own, then a source checkout's."""
    folders = (_PACKAGE / "weights", _PACKAGE.parent / "engines" / "weights")
    return tuple(folder for folder in folders if folder.is_dir())


def installed_engines() -> dict[str, Path]:
    """ONNX files by engine name."""
    found: dict[str, Path] = {}
    for folder in engine_folders():
        for path in sorted(folder.glob("*.onnx")):
            if "." not in path.stem:  # "road.int8.onnx" is a variant of the engine "road"
                found.setdefault(path.stem, path)
    return found


def engine_path(name: str | Path) -> Path:
    """The ONNX file of an engine, given its name or a path.

    Raises:
        InputError: no such file, or no engine of that name.
    """
    text = str(name)
    if text.endswith(".onnx") or "/" in text:
        path = Path(text).expanduser()
        if not path.is_file():
            raise InputError(f"{path}: no such engine file")
        return path
    installed = installed_engines()
    if text not in installed:
        raise InputError(unknown("engine", text, installed))
    return installed[text]
