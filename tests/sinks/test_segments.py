from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import pytest

from perception.errors import InputError
from perception.sinks.segments import SegmentsSink
from perception.types import Event
from tests.sinks.live_results import INFO, result


def times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


def test_every_segment_starts_at_zero_and_no_frame_is_lost(tmp_path: Path) -> None:
    sink = SegmentsSink(tmp_path / "drive.mp4", 1.0)
    sink.open(INFO)
    for index in range(60):
        sink.write(result(index))
    sink.close()
    sink.close()
    assert [file.name for file in sink.files] == [f"drive_000{n}.mp4" for n in (1, 2, 3)]
    found = [times(file) for file in sink.files]
    assert [len(each) for each in found] == [25, 25, 10]
    for each in found:
        assert each == pytest.approx([n / 25 for n in range(len(each))], abs=1e-4)


def test_a_gap_begins_a_new_segment(tmp_path: Path) -> None:
    sink = SegmentsSink(tmp_path / "drive.mkv", 60.0)
    sink.open(INFO)
    for index in range(5):
        sink.write(result(index))
    sink.write(result(5, time_s=9.0, events=[Event("reconnect", 9.0, 5)]))
    sink.close()
    assert [len(times(file)) for file in sink.files] == [5, 1]


def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    for expected in ("drive_0001.mp4", "drive_0002.mp4"):
        sink = SegmentsSink(tmp_path / "drive.mp4", 1.0)
        sink.open(INFO)
        sink.write(result(0))
        sink.close()
        assert [file.name for file in sink.files] == [expected]
    (tmp_path / "drive_x.mp4").touch()
    assert SegmentsSink(tmp_path / "drive.mp4", 1.0)._last_number() == 2


def test_the_overlay_is_what_is_written(tmp_path: Path) -> None:
    other = result(20).frame.planes
    assert other is not None
    sink = SegmentsSink(tmp_path / "drive.mp4", 1.0, draw=lambda _: other)
    sink.open(INFO)
    sink.write(result(0))
    sink.close()
    with av.open(str(sink.files[0])) as container:
        image = next(container.decode(video=0)).to_ndarray(format="gray")
    assert image[60, (6 * 20) % 160 + 10] > 180


WRITER = """
import sys, time
from pathlib import Path
from perception.sinks.segments import SegmentsSink
from tests.sinks.live_results import INFO, result
sink = SegmentsSink(Path(sys.argv[1]) / "drive.mp4", 2.0)
sink.open(INFO)
index = 0
while True:
    sink.write(result(index))
    index += 1
    if index == 90:
        print("now", flush=True)
        time.sleep(60)
"""


def test_after_a_kill_every_segment_plays(tmp_path: Path, root: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "now"
        process.send_signal(signal.SIGKILL)
    counts = [len(times(file)) for file in sorted(tmp_path.glob("*.mp4"))]
    assert len(counts) == 2
    assert counts[0] == 50
    assert 40 - 25 <= counts[1] <= 40, "at most the last second is lost"


@pytest.mark.parametrize("name", ["drive.avi", "missing/drive.mp4"])
def test_what_cannot_be_written_is_refused_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        SegmentsSink(tmp_path / name, 1.0)


def test_a_length_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be positive seconds"):
        SegmentsSink(tmp_path / "drive.mp4", 0)
