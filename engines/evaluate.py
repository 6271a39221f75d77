"""Measure the committed engines beside their references: `python -m engines.evaluate [road ...]`.

Each engine's figures come from its file in `engines/figures`; `--all` prints every one.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence

from engines import figures
from perception.errors import PerceptionError

NAMES = tuple(sorted(item.name for item in pkgutil.iter_modules(figures.__path__)))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.evaluate", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--all", action="store_true", help="every engine")
    parser.add_argument("--threads", type=int, default=1, help="of each engine")
    road = parser.add_argument_group("road", "another road engine than the committed one")
    road.add_argument("--engine", help="its ONNX file")
    road.add_argument("--data", nargs="+", help="folders with annotations.json")
    road.add_argument("--pixels", type=int, nargs="+", help="of its input, one setting each")
    road.add_argument("--no-reference", action="store_true")
    arguments = parser.parse_args(argv)
    for name in arguments.names:
        if name not in NAMES:
            parser.error(f"no engine {name!r}; there are figures of {', '.join(NAMES)}")
    chosen = NAMES if arguments.all else arguments.names or ("road",)
    given = {key: getattr(arguments, key) for key in ("engine", "data", "pixels")}
    options = {key: value for key, value in given.items() if value is not None}
    if arguments.no_reference:
        options["reference"] = None
    try:
        for name in chosen:
            module = importlib.import_module(f"engines.figures.{name}")
            text = module.report(threads=arguments.threads, **options if name == "road" else {})
            print(f"## {name}\n\n{text}\n", flush=True)
    except PerceptionError as error:
        print(f"engines.evaluate: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
