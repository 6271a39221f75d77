"""Make unlabelled training pictures of recordings: `python -m engines.frames CLIP... -o FOLDER`.

Every few frames become WebP pictures with an annotations.json in which no class is labelled: a teacher
(`python -m engines.label`) says what is in them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2

from perception.errors import InputError, PerceptionError
from perception.sources import open_source

SOURCE = "clips"
QUALITY = 90


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engines.frames", description=__doc__)
    parser.add_argument("clips", nargs="+", help="recordings; each is a group of its own")
    parser.add_argument("-o", "--output", required=True, help="folder")
    parser.add_argument("--every", type=float, default=0.1, help="seconds (default: %(default)s)")
    parser.add_argument("--side", type=int, default=960, help="longest side, pixels")
    arguments = parser.parse_args(argv)
    try:
        if arguments.every <= 0 or arguments.side < 32:
            raise InputError("--every must be above 0 and --side at least 32")
        count = make_frames(
            arguments.clips, Path(arguments.output), every=arguments.every, side=arguments.side
        )
    except PerceptionError as error:
        print(f"engines.frames: {error}", file=sys.stderr)
        return 2
    print(f"{count} pictures: {arguments.output}")
    return 0


def make_frames(clips: Sequence[str | Path], folder: Path, *, every: float, side: int) -> int:
    """Write pictures and annotations.json; returns the number of pictures."""
    pictures = folder / SOURCE
    pictures.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    for clip in map(Path, clips):
        source = open_source(clip)
        due = 0.0
        try:
            for frame in source:
                if frame.time < due:
                    continue
                due = frame.time + every * 0.999
                image = frame.image
                factor = side / max(image.shape[:2])
                if factor < 1:
                    image = cv2.resize(
                        image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA
                    )
                name = f"{clip.stem}_{frame.index:06d}.webp"
                cv2.imwrite(str(pictures / name), image, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
                images.append(
                    {
                        "id": len(images) + 1,
                        "file_name": f"{SOURCE}/{name}",
                        "width": image.shape[1],
                        "height": image.shape[0],
                        "split": "train",
                        "source": SOURCE,
                        "group": clip.stem,
                        "labelled": [],
                    }
                )
        finally:
            source.close()
    content = {"images": images, "annotations": [], "categories": []}
    (folder / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    return len(images)


if __name__ == "__main__":
    sys.exit(main())
