import json
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from perception.errors import InputError
from perception.sinks.jsonl import JsonLinesSink, record
from perception.sources import SourceInfo
from perception.types import Detections, Event, Frame, FrameResult, Lane, Lanes, Tracks

INFO = SourceInfo("drive.mp4", (64, 48), Fraction(1, 90000), path="trips/drive.mp4")
CLASSES = ("car", "person")


def result(index: int = 3, **fields) -> FrameResult:
    frame = Frame(
        np.zeros((48, 64, 3), np.uint8), index=index, pts=index * 3003, time_base=Fraction(1, 90000)
    )
    return FrameResult(frame, **fields)


def full() -> FrameResult:
    found = Detections([[1.04, 2.06, 30.333, 40], [5, 5, 9, 9]], [0.912345, 0.5], [0, 1], CLASSES)
    tracks = Tracks(
        track_id=[7, 9],
        xyxy=[[1, 2, 30, 40], [50, 1, 60, 9]],
        velocity=np.zeros((2, 2)),
        age=[1, 2],
        detection=[0, -1],
        score=[0.9, 0.4],
        class_id=[0, 0],
        classes=CLASSES,
        attributes={7: {"lights": "brake"}},
    )
    points = np.array([[1.26, 2], [3, 4]], np.float32)
    return result(
        detections={"road": found},
        tracks={"road": tracks},
        lanes=Lanes((Lane(points, -1, 0.8),), (points,)),
        events=[Event("headway", 0.1001, 3, 7, {"ttc_s": 1.5})],
        timings={"road": 0.0052},
    )


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_record_is_a_header_a_line_for_each_frame_and_a_report(tmp_path):
    path = tmp_path / "out.jsonl"
    sink = JsonLinesSink(path, engines={"road": "road_detector"})
    sink.open(INFO)
    sink.write(full())
    sink.finish({"fps": 40.0})
    sink.close()
    sink.close()
    header, frame, report = lines(path)
    assert header == {
        "schema": "perception/1",
        "source": "trips/drive.mp4",
        "width": 64,
        "height": 48,
        "engines": {"road": "road_detector"},
    }
    assert report == {"report": {"fps": 40.0}}
    assert {key: frame[key] for key in ("frame", "time", "pts", "stream", "path")} == {
        "frame": 3,
        "time": 0.1001,
        "pts": 9009,
        "stream": 0,
        "path": None,
    }
    assert frame["timings_ms"] == {"road": 5.2}


def test_every_detection_is_an_object_and_a_predicted_track_says_so(tmp_path):
    path = tmp_path / "out.jsonl"
    sink = JsonLinesSink(path)
    sink.open(INFO)
    sink.write(full())
    sink.close()
    car, person, predicted = lines(path)[1]["objects"]
    assert car == {
        "task": "road",
        "class": "car",
        "score": 0.9123,
        "xyxy": [1.0, 2.1, 30.3, 40.0],
        "track": 7,
        "attributes": {"lights": "brake"},
    }
    assert "track" not in person and "predicted" not in person
    assert (predicted["track"], predicted["predicted"]) == (9, True)


def test_lanes_drivable_area_and_events_are_in_the_line(tmp_path):
    path = tmp_path / "out.jsonl"
    sink = JsonLinesSink(path)
    sink.open(INFO)
    sink.write(full())
    sink.close()
    frame = lines(path)[1]
    lane, drivable = frame["lanes"]
    assert lane == {"side": -1, "score": 0.8, "points": [[1.3, 2.0], [3.0, 4.0]]}
    assert (drivable["side"], drivable["kind"]) == (0, "drivable")
    assert frame["events"] == [{"kind": "headway", "time": 0.1001, "track": 7, "ttc_s": 1.5}]


def test_what_json_has_no_word_for_becomes_null_or_text(tmp_path):
    path = tmp_path / "out.jsonl"
    odd = {"nan": float("nan"), "inf": np.float32("inf"), "n": np.int64(3), "where": tmp_path}
    sink = JsonLinesSink(path)
    sink.open(INFO)
    sink.write(result(events=[Event("odd", 0.0, 3, None, odd)]))
    sink.close()
    text = path.read_text()
    assert "NaN" not in text and "Infinity" not in text
    (event,) = lines(path)[1]["events"]
    assert (event["nan"], event["inf"], event["n"]) == (None, None, 3)
    assert event["where"] == str(tmp_path)


def test_a_line_is_on_the_disk_as_soon_as_it_is_written(tmp_path):
    path = tmp_path / "out.jsonl"
    sink = JsonLinesSink(path)
    sink.open(INFO)
    for index in range(5):
        sink.write(result(index))
        assert [line.get("frame") for line in lines(path)[1:]] == list(range(index + 1))
    sink.close()


def test_a_dash_is_standard_output(capsysbinary):
    sink = JsonLinesSink("-")
    sink.open(INFO)
    sink.write(result())
    sink.close()
    text = capsysbinary.readouterr().out.decode()
    assert [json.loads(line).get("frame") for line in text.splitlines()] == [None, 3]


def test_an_input_or_a_missing_folder_is_refused(tmp_path):
    path = tmp_path / "drive.mp4"
    path.write_bytes(b"x")
    with pytest.raises(InputError, match="the same file as the input"):
        JsonLinesSink(path, inputs=(path,))
    with pytest.raises(InputError, match="does not exist; make it first"):
        JsonLinesSink(tmp_path / "no" / "out.jsonl")


def test_a_full_disk_is_an_error_that_leaves_whole_lines(tmp_path):
    pytest.importorskip("resource")
    output = tmp_path / "out.jsonl"
    script = f"""
import resource, signal
from fractions import Fraction
import numpy as np
from perception.errors import SinkError
from perception.sinks.jsonl import JsonLinesSink
from perception.sources import SourceInfo
from perception.types import Frame, FrameResult
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
sink = JsonLinesSink({str(output)!r})
sink.open(SourceInfo("made", (8, 8), Fraction(1)))
try:
    for i in range(100):
        sink.write(FrameResult(Frame(np.zeros((8, 8, 3), np.uint8), index=i)))
except SinkError as error:
    print(error)
sink.finish({{}})
sink.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "out.jsonl: the record cannot be written (File too large)" in done.stdout
    assert len(lines(output)) > 5


def test_landmarks_of_a_face_are_in_its_object() -> None:
    box = np.array([[10, 20, 30, 40]], np.float32)
    points = np.array([[[12.34, 25, 0.9], [22, 25, 0.9]]], np.float32)
    found = Detections(
        box, np.array([0.9], np.float32), np.zeros(1, np.int32), ("face",), keypoints=points
    )
    result = FrameResult(Frame(np.zeros((48, 64, 3), np.uint8)), detections={"face": found})
    (entry,) = record(result)["objects"]
    assert entry["class"] == "face" and entry["task"] == "face"
    assert entry["keypoints"] == [[12.3, 25.0, 0.9], [22.0, 25.0, 0.9]]
