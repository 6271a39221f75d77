"""Draws the sample clips with their truth, or random training pictures.

python sample_videos/render.py                        the three clips, beside this file
python sample_videos/render.py --clip night_rain      one clip
python sample_videos/render.py --train OUT --pictures 1000 --seed 1
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from renderer.context import RendererUnavailable  # noqa: E402

SAMPLE_SEED = 20_000


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"size must be WIDTHxHEIGHT, but is {text!r}")
    return int(width), int(height)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clip", action="append", help="draw only this clip; may be repeated")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the clips")
    parser.add_argument("--train", type=Path, help="make training pictures in this folder")
    parser.add_argument("--pictures", type=int, default=100, help="how many training pictures")
    parser.add_argument("--first", type=int, default=0, help="number of the first picture")
    parser.add_argument("--seed", type=int, default=1, help="seed of the training pictures")
    parser.add_argument("--size", type=_size, default=(640, 384), help="of the training pictures")
    parser.add_argument(
        "--masks", action="store_true", help="with --train: write drivable and lane masks too"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if options.train:
            if options.seed == SAMPLE_SEED:
                parser.error(f"seed {SAMPLE_SEED} belongs to the sample clips; take another")
            from renderer.training import make_pictures

            make_pictures(
                options.train,
                options.pictures,
                seed=options.seed,
                size=options.size,
                with_masks=options.masks,
                first=options.first,
            )
        else:
            from renderer.clips import CLIPS, make_clip

            for name in options.clip or list(CLIPS):
                if name not in CLIPS:
                    parser.error(f"clip must be one of {', '.join(CLIPS)}, but is {name!r}")
                make_clip(name, options.out, seed=SAMPLE_SEED)
    except RendererUnavailable as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
