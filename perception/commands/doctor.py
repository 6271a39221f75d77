"""`perception doctor`: what works on this machine, what does not, and what to do."""

from __future__ import annotations

import argparse
import json

from perception import doctor


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def call(options: argparse.Namespace) -> int:
    """Look and print; status 0 when the main job can run."""
    report = doctor.report()
    print(json.dumps(report.to_json(), indent=1) if options.json else report.text())
    return report.exit_status
