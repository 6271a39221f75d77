"""Results of a small moving picture, for tests of live outputs."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np

from perception.colour import bgr_to_planes, planes_to_bgr
from perception.sources import SourceInfo
from perception.types import Detections, Event, Frame, FrameResult

SIZE = 160, 120
INFO = SourceInfo(
    name="rtsp://camera/live", size=SIZE, time_base=Fraction(1, 90_000), rate=Fraction(25)
)


def result(
    index: int, *, time_s: float | None = None, events: list[Event] | None = None
) -> FrameResult:
    """Frame `index` at 25 frames a second, with one car."""
    image = np.full((SIZE[1], SIZE[0], 3), 30, np.uint8)
    image[:, (6 * index) % SIZE[0] :][:, :20] = 230
    frame = Frame(
        planes=bgr_to_planes(image, matrix="bt601"),
        to_bgr=planes_to_bgr,
        index=index,
        pts=round((index / 25 if time_s is None else time_s) * 90_000),
        time_base=INFO.time_base,
        arrived=time.monotonic() - 0.02,
        wall=time.time(),
    )
    box = np.array([[10, 10, 60, 60]], np.float32)
    found = Detections(box, np.array([0.9], np.float32), np.array([0], np.int32), ("car",))
    return FrameResult(
        frame,
        detections={"road": found},
        events=list(events or ()),
        timings={"road": 0.005},
        latency=0.02,
    )
