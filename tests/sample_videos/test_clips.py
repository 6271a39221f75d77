"""The committed clips and their truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "sample_videos"
NAMES = ("day_highway", "city_street", "night_rain")
CLASSES = {
    "car", "truck", "bus", "motorcycle", "bicycle", "person", "traffic_light", "traffic_sign",
    "plate",
}  # fmt: skip


@pytest.fixture(params=NAMES)
def clip(request: pytest.FixtureRequest) -> tuple[Path, dict[str, Any]]:
    """A clip's path and its truth."""
    path = FOLDER / f"{request.param}.mp4"
    return path, json.loads(path.with_suffix(".json").read_text())


def test_a_clip_is_small_and_has_as_many_frames_as_its_truth(
    clip: tuple[Path, dict[str, Any]],
) -> None:
    path, truth = clip
    assert path.stat().st_size < 3_000_000
    assert path.with_suffix(".json").stat().st_size < 1_600_000
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (truth["width"], truth["height"]) == (1280, 720)
        assert float(stream.average_rate) == truth["fps"] == 25
        assert stream.codec_context.name == "h264"
        times = [float(packet.pts * packet.time_base) for packet in container.demux(stream)
                 if packet.pts is not None]  # fmt: skip
    assert len(times) == len(truth["frames"])
    assert 10 <= len(times) / 25 <= 20
    for time, frame in zip(sorted(times), truth["frames"], strict=True):
        assert frame["time"] == pytest.approx(time, abs=1e-3)


def test_at_least_one_clip_has_sound() -> None:
    with_sound = []
    for name in NAMES:
        with av.open(str(FOLDER / f"{name}.mp4")) as container:
            with_sound.append(bool(container.streams.audio))
    assert any(with_sound)
    assert not all(with_sound)


def test_boxes_lie_inside_the_picture_and_classes_are_known(
    clip: tuple[Path, dict[str, Any]],
) -> None:
    _, truth = clip
    assert set(truth["classes"]) <= CLASSES
    for frame in truth["frames"]:
        for thing in frame["objects"]:
            x1, y1, x2, y2 = thing["xyxy"]
            assert 0 <= x1 < x2 <= truth["width"]
            assert 0 <= y1 < y2 <= truth["height"]
            assert thing["class"] in truth["classes"]
            assert 0 < thing["visibility"] <= 1
            assert 0 <= thing["truncated"] <= 1


def test_an_identity_keeps_its_class_and_moves_smoothly(clip: tuple[Path, dict[str, Any]]) -> None:
    _, truth = clip
    classes: dict[int, str] = {}
    centres: dict[int, tuple[int, float]] = {}
    for frame in truth["frames"]:
        identities = [thing["id"] for thing in frame["objects"]]
        assert len(identities) == len(set(identities))
        for thing in frame["objects"]:
            assert classes.setdefault(thing["id"], thing["class"]) == thing["class"]
            x1, _, x2, _ = thing["xyxy"]
            last = centres.get(thing["id"])
            if last and last[0] == frame["frame"] - 1 and thing["visibility"] == 1:
                assert abs((x1 + x2) / 2 - last[1]) < 300
            if thing["visibility"] == 1:
                centres[thing["id"]] = (frame["frame"], (x1 + x2) / 2)


def test_lanes_have_sides_in_order(clip: tuple[Path, dict[str, Any]]) -> None:
    _, truth = clip
    seen = 0
    for frame in truth["frames"]:
        sides = [lane["side"] for lane in frame["lanes"]]
        assert len(sides) == len(set(sides))
        assert set(sides) <= {-2, -1, 1, 2}
        seen += len(sides)
        lowest = {lane["side"]: max(lane["points"], key=lambda p: p[1]) for lane in frame["lanes"]}
        for lane in frame["lanes"]:
            assert all(0 <= x <= 1280 and 0 <= y <= 720 for x, y in lane["points"])
        if -1 in lowest and 1 in lowest:
            assert lowest[-1][0] < lowest[1][0]
    assert seen > len(truth["frames"])


def test_the_clips_show_every_class() -> None:
    shown = set()
    for name in NAMES:
        shown |= set(json.loads((FOLDER / f"{name}.json").read_text())["classes"])
    assert shown == CLASSES


def test_the_traffic_light_changes_in_the_city_street() -> None:
    truth = json.loads((FOLDER / "city_street.json").read_text())
    states = {
        thing["attributes"]["light"]
        for frame in truth["frames"]
        for thing in frame["objects"]
        if thing["class"] == "traffic_light"
    }
    assert {"red", "yellow", "green"} <= states
