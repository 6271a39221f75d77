import gc
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from perception.errors import ConfigError
from perception.tracking import Tracker
from perception.types import Detections
from tests.tracking import sequence

CLASSES = ("car", "truck", "person")


def seen(boxes, score=0.9, class_id=0):
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    n = len(boxes)
    return Detections(
        xyxy=boxes,
        score=np.broadcast_to(np.asarray(score, np.float32), n),
        class_id=np.broadcast_to(np.asarray(class_id, np.int32), n),
        classes=CLASSES,
    )


def box(x, y=200, w=60, h=40):
    return [x, y, x + w, y + h]


def run(tracker, frames, *, rate=10.0, size=(1000, 400)):
    return [tracker(found, i / rate, size=size) for i, found in enumerate(frames)]


def test_two_objects_keep_their_ids_from_one_on():
    frames = [seen([box(100 + 6 * i), box(700 - 6 * i, 100)]) for i in range(20)]
    for tracks in run(Tracker(), frames):
        assert tracks.track_id.tolist() == [1, 2]
        assert tracks.detection.tolist() == [0, 1]
    assert tracks.velocity[:, 0] == pytest.approx([60, -60], abs=3)
    assert tracks.age == pytest.approx([1.9, 1.9])


@pytest.mark.parametrize("rate", [30.0, 10.0, 5.0])
def test_the_same_drive_at_any_rate_gives_the_same_ids(rate):
    times = np.arange(0, 3, 1 / rate)
    frames = [seen([box(100 + 90 * t), box(700 - 60 * t, 100)]) for t in times]
    ids = {tuple(tracks.track_id.tolist()) for tracks in run(Tracker(), frames, rate=rate)}
    assert ids == {(1, 2)}


def test_a_frame_that_is_missing_changes_no_id():
    tracker = Tracker()
    rng = np.random.default_rng(0)
    ids = set()
    for i in range(60):
        if rng.random() > 0.2:
            tracks = tracker(seen([box(100 + 8 * i), box(600, 100)]), i / 10, size=(1000, 400))
            ids.add(tuple(tracks.track_id.tolist()))
    assert ids == {(1, 2)}


def test_a_hidden_object_is_predicted_for_a_while_and_found_again_under_its_id():
    shown = [seen([box(200 + 10 * i)]) for i in range(10)]
    hidden = [seen([])] * 5
    again = [seen([box(200 + 10 * i)]) for i in range(15, 18)]
    results = run(Tracker(coast_s=0.2), [*shown, *hidden, *again])
    predicted = [tracks for tracks in results[10:15] if len(tracks)]
    assert len(predicted) == 2  # 0.2 s at 10 frames a second
    for i, tracks in enumerate(predicted):
        assert tracks.detection.tolist() == [-1]
        assert tracks.xyxy[0] == pytest.approx(box(300 + 10 * i), abs=2)
    assert results[-1].track_id.tolist() == [1]


def test_an_object_unseen_for_longer_than_its_age_comes_back_under_a_new_id():
    tracker = Tracker(max_age_s=1.0)
    tracker(seen([box(200)]), 0.0)
    tracker(seen([box(200)]), 0.1)
    assert tracker(seen([box(200)]), 1.0).track_id.tolist() == [1]
    tracker(seen([]), 2.1)
    assert tracker(seen([box(200)]), 2.2).track_id.tolist() == [2]


def test_an_object_that_leaves_the_picture_is_not_predicted_at_its_border():
    frames = [seen([[max(0, 200 - 40 * i), 200, 300 - 40 * i, 260]]) for i in range(7)]
    results = run(Tracker(coast_s=1.0), [*frames, *[seen([])] * 5])
    assert len(results[6]) == 1
    assert [len(tracks) for tracks in results[7:]] == [0] * 5


def test_a_long_gap_ends_everything_however_fast_it_grew():
    tracker = Tracker()
    for i in range(5):
        tracker(seen([box(300, 200, 20 * 2**i, 10 * 2**i)]), i / 10, size=(1000, 400))
    assert tracker(seen([box(300)]), 1e6, size=(1000, 400)).track_id.tolist() == [2]


def test_a_tracker_started_again_uses_no_id_twice():
    tracker = Tracker()
    tracker(seen([box(300)]), 5.0)
    tracker.restart()
    assert tracker(seen([box(300)]), 0.0).track_id.tolist() == [2]


def test_weak_detections_start_no_object_but_keep_one_alive():
    results = run(Tracker(), [seen([box(100)], score=0.1)] * 5)
    assert all(len(tracks) == 0 for tracks in results)
    results = run(Tracker(), [seen([box(100)])] * 5 + [seen([box(100)], score=0.25)] * 2)
    assert results[-1].track_id.tolist() == [1]
    assert results[-1].detection.tolist() == [0]


def test_an_object_becomes_a_track_once_its_evidence_suffices():
    results = run(Tracker(confirm=1.0), [seen([box(100)], score=0.6)] * 5)
    assert len(results[0]) == 0
    assert results[-1].track_id.tolist() == [1]


def test_a_car_may_become_a_truck_but_never_a_person():
    tracker = Tracker()
    for i in range(5):
        tracker(seen([box(100)], class_id=0), i / 10)
    tracks = tracker(seen([box(100)], class_id=1), 0.5)
    assert tracks.track_id.tolist() == [1]
    assert tracks.class_id.tolist() == [0]  # five votes to one
    tracks = tracker(seen([box(100)], class_id=2), 0.6)
    assert 1 not in tracks.track_id[tracks.detection >= 0]


def test_one_object_under_two_names_is_one_track():
    found = seen([box(100), box(101)], score=[0.9, 0.8], class_id=[0, 1])
    frames = [found[[0]], *[found] * 10]
    assert {tuple(tracks.track_id.tolist()) for tracks in run(Tracker(), frames)} == {(1,)}


def test_objects_keep_their_ids_when_the_camera_turns_by_more_than_their_distance():
    row = np.array([box(120), box(190, 205, 50, 38), box(420, 190, 30, 20), box(600, 180, 90, 66)])
    frames = [seen(row)] * 5
    frames += [seen(row + 55 * i * np.array([1, 0, 1, 0])) for i in range(1, 5)]
    for tracks in run(Tracker(), frames):
        at = dict(zip(tracks.detection.tolist(), tracks.track_id.tolist(), strict=True))
        assert at == {0: 1, 1: 2, 2: 3, 3: 4}


def test_results_are_the_same_from_run_to_run():
    rng = np.random.default_rng(3)
    frames = [
        seen(
            rng.random((30, 2)).repeat(2, 1)[:, [0, 2, 1, 3]] * 300 + [0, 0, 40, 30], rng.random(30)
        )
        for _ in range(40)
    ]
    first, second = run(Tracker(), frames), run(Tracker(), frames)
    for a, b in zip(first, second, strict=True):
        assert a.track_id.tolist() == b.track_id.tolist()
        assert np.array_equal(a.xyxy, b.xyxy)


def test_memory_does_not_grow_with_the_length_of_the_drive():
    # Objects that come and go; 100,000 frames take minutes, and the second half of 4,000 says as much.
    def drive(tracker, first, last):
        for i in range(first, last):
            x = np.array([0, 170, 390, 700]) + 23 * i
            boxes = [box(value % 900) for value in x]
            tracker(seen(boxes, score=0.5 + 0.5 * (i % 2)), i / 10, size=(1000, 400))

    tracker = Tracker()
    drive(tracker, 0, 2000)
    gc.collect()
    tracemalloc.start()
    drive(tracker, 2000, 2100)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    drive(tracker, 2100, 4000)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 60_000
    assert len(tracker._objects) < 200


def test_time_must_not_go_back():
    tracker = Tracker()
    tracker(seen([box(1)]), 1.0)
    with pytest.raises(ValueError, match=r"time must not go back, but went from 1\.0 s to 0\.9 s"):
        tracker(seen([box(1)]), 0.9)


def test_classes_must_stay_the_same():
    tracker = Tracker()
    tracker(seen([box(1)]), 0.0)
    with pytest.raises(ValueError, match="classes must stay"):
        tracker(Detections.empty(("face",)), 0.1)


def test_the_same_time_twice_is_no_error():
    tracker = Tracker()
    tracker(seen([box(1)]), 0.0)
    assert tracker(seen([box(1)]), 0.0).track_id.tolist() == [1]


@pytest.mark.parametrize(
    "settings",
    [{"max_age_s": -1}, {"coast_s": np.nan}, {"memory_s": 0}, {"min_iou": 0}, {"confirm": np.inf}],
)
def test_settings_out_of_range_are_refused_by_name(settings):
    with pytest.raises(ConfigError, match=f"{next(iter(settings))} must be"):
        Tracker(**settings)


def test_between_looks_tracks_move_on_and_nothing_counts_as_missed() -> None:
    every, rare = Tracker(coast_s=0.3), Tracker(coast_s=0.3)
    for i in range(60):
        box = np.array([[100 + 4 * i, 50, 160 + 4 * i, 90]], np.float32)
        found = Detections(box, np.array([0.8]), np.zeros(1), ("car",))
        time = i / 25
        every(found, time, size=(640, 360))
        if i % 5 == 0:
            seen = rare(found, time, size=(640, 360))
            assert seen.detection.tolist() == [0]
            continue
        guess = rare.predicted(time, size=(640, 360))
        assert guess.track_id.tolist() == [1] and guess.detection.tolist() == [-2]
        if i > 20:  # its speed is known by then
            assert np.abs(guess.xyxy - box).max() < 3


def test_between_looks_a_track_is_predicted_no_longer_than_it_coasts() -> None:
    tracker = Tracker(coast_s=0.2)
    box = np.array([[100, 50, 160, 90]], np.float32)
    for i in range(5):
        tracker(Detections(box, np.array([0.9]), np.zeros(1), ("car",)), i / 25, size=(640, 360))
    assert len(tracker.predicted(0.16 + 0.2)) == 1
    assert len(tracker.predicted(0.16 + 0.21)) == 0


def test_a_track_that_was_missed_at_the_look_is_marked_apart_between_looks() -> None:
    tracker = Tracker(coast_s=0.5)
    box = np.array([[100, 50, 160, 90]], np.float32)
    for i in range(10):
        tracker(Detections(box, np.array([0.9]), np.zeros(1), ("car",)), i / 25, size=(640, 360))
    tracker(Detections.empty(("car",)), 0.4, size=(640, 360))
    assert tracker.predicted(0.44).detection.tolist() == [-1]


def test_a_prediction_before_any_look_is_empty_and_time_cannot_go_back() -> None:
    tracker = Tracker()
    assert len(tracker.predicted(1.0)) == 0
    tracker(Detections.empty(("car",)), 2.0)
    with pytest.raises(ValueError, match="time must not go back"):
        tracker.predicted(1.0)


def test_a_drive_with_everything_in_it_is_tracked_as_it_always_was() -> None:
    golden = json.loads(Path(__file__).with_name("sequence.json").read_text())
    found = sequence.tracked()
    assert len(found) == len(golden) == sequence.FRAMES
    for frame, wanted in zip(found, golden, strict=True):
        left = wanted.pop("left")
        assert frame.pop("left") == pytest.approx(left, abs=0.11)
        assert frame == wanted
