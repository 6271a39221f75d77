"""Export a checkpoint: `python -m engines.export runs/road/best.pt -o engines/weights/road.onnx`.

One file with the card in its metadata and a parity report against torch; the checkpoint's recipe says of
which family of networks it is.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from engines import checkpoint
from engines.families import find_family
from engines.quantize import (
    CALIBRATION_PICTURES,
    LAYOUTS,
    calibration_pictures,
    write_half,
    write_int8,
)
from engines.recipe import parse_recipe
from perception.backends.choice import variant_path
from perception.errors import PerceptionError


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.export", description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("-o", "--output", required=True, help="the ONNX file")
    parser.add_argument("--metric", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument(
        "--int8", metavar="PICTURES", help="also the INT8 variants, calibrated on these pictures"
    )
    parser.add_argument("--fp16", action="store_true", help="also the FP16 variant")
    arguments = parser.parse_args(argv)
    try:
        metric = {name: float(value) for name, value in (m.split("=") for m in arguments.metric)}
        report = export(arguments.checkpoint, arguments.output, metric=metric)
        made = variants(Path(arguments.output), int8=arguments.int8, fp16=arguments.fp16)
    except PerceptionError as error:
        print(f"engines.export: {error}", file=sys.stderr)
        return 2
    print(report)
    for path in made:
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    return 0


def variants(engine: Path, *, int8: str | None, fp16: bool) -> list[Path]:
    """Write the variants that were asked for beside an engine; returns their files.

    Args:
        engine: the FP32 file.
        int8: pictures to calibrate with; None for no INT8 variants.
        fp16: write the FP16 variant.
    """
    made = []
    if int8 is not None:
        for layout in LAYOUTS:
            made.append(variant_path(engine, layout))
            pictures = calibration_pictures(int8, CALIBRATION_PICTURES)
            write_int8(engine, made[-1], pictures=pictures, layout=layout)
    if fp16:
        made.append(engine.with_suffix(".fp16.onnx"))
        write_half(engine, made[-1])
    return made


def export(
    source: str | Path, output: str | Path, *, metric: Mapping[str, float] | None = None
) -> str:
    """Write the ONNX file of a checkpoint's running mean; returns the parity report.

    Raises:
        InputError: no such checkpoint, or it is damaged.
        EngineError: ONNX Runtime computes something else than torch; the file is removed.
    """
    content = checkpoint.load(source)
    recipe = parse_recipe(content["recipe"], str(source))
    family = find_family(recipe.family)
    net = family.build(recipe)
    if content["folded"]:
        net.fold()
    net.load_state_dict(content["mean"])
    net.eval()
    return family.write(net, Path(output), recipe, dict(metric or {}))


if __name__ == "__main__":
    sys.exit(main())
