"""The options of `perception run` that are about cameras and streams."""

from __future__ import annotations

import argparse
import math
import re

from perception.sources import LiveOptions

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "ms": 0.001}


def configure_live(parser: argparse.ArgumentParser) -> None:
    """Add the options of live sources and of live outputs."""
    add = parser.add_argument_group("cameras and streams").add_argument
    add(
        "--live",
        action="store_true",
        help="play a file as a camera would: at its own rate, late frames dropped; take the newest frame from a pipe",
    )
    add(
        "--max-age",
        type=seconds,
        metavar="S",
        help="skip frames that are older than this when their turn comes (0.2, 200ms)",
    )
    add(
        "--reconnect-for",
        type=seconds,
        metavar="S",
        help="give up a lost connection after so long (default: never)",
    )
    add(
        "--rtsp-transport",
        choices=("tcp", "udp"),
        default="tcp",
        help="how RTSP carries the pictures (default: %(default)s)",
    )
    add(
        "--camera-mode",
        metavar="MODE",
        help="what is asked of a camera: WIDTHxHEIGHT@RATE/FORMAT, such as 1280x720@30/mjpeg",
    )
    add("--show", action="store_true", help="show the overlay in a window")
    add(
        "--page",
        metavar="PORT",
        help="show the overlay on a web page of this machine at this port (HOST:PORT for others to see)",
    )
    add(
        "--segment",
        type=seconds,
        metavar="S",
        help="write the overlay as one file after the other, each so long (60s, 10m)",
    )


def live_options(options: argparse.Namespace) -> LiveOptions:
    """As the sources take them."""
    return LiveOptions(
        live=options.live,
        reconnect_for_s=options.reconnect_for,
        transport=options.rtsp_transport,
        camera_mode=options.camera_mode,
    )


def seconds(text: str) -> float:
    """A duration: a number of seconds, or a number with ms, s, m or h.

    >>> seconds("200ms"), seconds("60"), seconds("2m")
    (0.2, 60.0, 120.0)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)(ms|s|m|min|h)?", text.strip())
    value = float(found[1]) * UNITS[found[2] or ""] if found else math.nan
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration; write 60s, 10m or 200ms")
    return round(value, 6)
