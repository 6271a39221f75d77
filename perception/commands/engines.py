"""`perception engines`: what is installed."""

from __future__ import annotations

import argparse
import json

from perception.backends import open_engine
from perception.backends.installed import engine_folders, installed_engines
from perception.errors import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--json", action="store_true", help="everything the engines say, as JSON")


def call(options: argparse.Namespace) -> int:
    """Print one line per engine."""
    cards = {}
    for name, path in installed_engines().items():
        engine = open_engine(path, backend="onnxruntime")
        cards[name] = (path, engine.card)
        engine.close()
    if not cards:
        folders = ", ".join(map(str, engine_folders())) or "the package"
        raise InputError(f"no engine is installed in {folders}; install the wheel, or train one")
    if options.json:
        print(
            json.dumps({n: c.to_metadata() if c else {} for n, (_, c) in cards.items()}, indent=1)
        )
        return 0
    rows = [("engine", "task", "input", "cost", "metric", "licence", "classes")]
    for name, (path, card) in cards.items():
        if card is None:
            rows.append((name, "?", "?", "?", "?", "?", f"{path} carries no card"))
            continue
        metric = " ".join(f"{key} {value:.3g}" for key, value in list(card.metric.items())[:3])
        cost = " ".join(f"{value:.3g} {key}" for key, value in card.cost.items())
        width, height = card.input.size
        classes = " ".join(card.classes[:9]) + (" ..." if len(card.classes) > 9 else "")
        rows.append((name, card.task, f"{width}x{height}", cost, metric, card.licence, classes))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print(
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        )
    return 0
