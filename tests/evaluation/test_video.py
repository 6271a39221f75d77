from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from perception.evaluation import tracking
from perception.evaluation.detection import Group, Truth, evaluate
from perception.evaluation.mot import write_mot
from perception.evaluation.tracking import Rule
from perception.evaluation.video import Answer, in_time, score_video
from perception.evaluation.video_truth import GroupTruth, read_video_truth
from perception.types import Detections, Frame, FrameResult, Tracks

CLASSES = ("car", "person")


def detections(xyxy: np.ndarray, score: np.ndarray, class_id: int = 0) -> Detections:
    return Detections(
        xyxy=xyxy.reshape(-1, 4).astype(np.float32),
        score=score.astype(np.float32),
        class_id=np.full(len(score), class_id, np.int32),
        classes=CLASSES,
    )


def answer(
    index: int,
    found: Detections,
    tracks: Tracks | None = None,
    *,
    ready: float | None = None,
) -> Answer:
    time = index / 10
    return Answer(
        index,
        time,
        time if ready is None else ready,
        {"road": found},
        {} if tracks is None else {"road": tracks},
    )


def tracked(found: Detections, ids: list[int]) -> Tracks:
    rows = len(found)
    return Tracks(
        track_id=np.array(ids, np.int64),
        xyxy=found.xyxy,
        velocity=np.zeros((rows, 2), np.float32),
        age=np.zeros(rows, np.float32),
        detection=np.arange(rows, dtype=np.int64),
        score=found.score,
        class_id=found.class_id,
        classes=CLASSES,
    )


def random_clip(seed: int, frames: int = 30) -> tuple[list[np.ndarray], list[Detections]]:
    """True boxes of each frame, and what a poor detector says of them."""
    random = np.random.default_rng(seed)
    true, found = [], []
    for _ in range(frames):
        corner = random.uniform(0, 400, (random.integers(0, 6), 2))
        boxes = np.hstack([corner, corner + random.uniform(30, 90, corner.shape)])
        near = boxes + random.normal(0, 6, boxes.shape)
        far = random.uniform(0, 400, (random.integers(0, 3), 2))
        said = np.vstack([near[random.random(len(near)) < 0.8], np.hstack([far, far + 50])])
        true.append(boxes)
        found.append(detections(said, random.random(len(said))))
    return true, found


def group_of(true: list[np.ndarray], path: Path) -> GroupTruth:
    rows = [
        f"{number + 1},{row + 1},{x1},{y1},{x2 - x1},{y2 - y1}\n"
        for number, boxes in enumerate(true)
        for row, (x1, y1, x2, y2) in enumerate(boxes.tolist())
    ]
    path.write_text("".join(rows))
    (group,) = read_video_truth(path)
    return group


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_that_of_coco(seed: int, tmp_path: Path) -> None:
    pytest.importorskip("faster_coco_eval")
    true, found = random_clip(seed)
    truths = [
        Truth(Path(), (500, 500), boxes.astype(np.float32), ("car",) * len(boxes), ("car",))
        for boxes in true
    ]
    group = Group("car", ("car",), ("car",), (("car",),))
    expected = evaluate(truths, found, [group])["car"]
    known = {number: answer(number, said) for number, said in enumerate(found)}
    scores = score_video([group_of(true, tmp_path / "gt.txt")], known, len(true))["object"]
    assert scores.ap50 == pytest.approx(100 * expected.ap50, abs=1e-4)
    assert scores.recall == pytest.approx(100 * expected.recall, abs=1e-4)
    assert scores.boxes == expected.objects
    assert scores.hota is None, "no tracker ran"


def test_tracking_scores_are_those_of_the_files(tmp_path: Path) -> None:
    true, found = random_clip(7)
    known = {
        number: answer(number, said, tracked(said, list(range(1, len(said) + 1))))
        for number, said in enumerate(found)
    }
    group = group_of(true, tmp_path / "gt.txt")
    frames = np.repeat(np.arange(1, len(found) + 1), [len(said) for said in found])
    ids = np.concatenate([known[n].tracks["road"].track_id for n in known])
    xyxy = np.concatenate([said.xyxy for said in found]).astype(np.float64)
    write_mot(tmp_path / "out.txt", frames, ids, xyxy, np.ones(len(ids)))
    expected = tracking.evaluate(tmp_path / "gt.txt", tmp_path / "out.txt").combined
    scores = score_video([group], known, len(true))["object"]
    assert scores.hota == pytest.approx(expected.hota, abs=0.1), "files round to 1/100 pixel"
    assert scores.switches == expected.switches
    assert scores.mota == pytest.approx(expected.mota, abs=0.1)


def test_what_is_neither_asked_for_nor_wrong_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "gt.txt"
    # A car, a small one that is neutral (0), a region to ignore, as in KITTI's files.
    path.write_text("1,1,0,0,50,50,1,3\n1,2,100,0,50,50,0,3\n1,-1,200,0,100,100,1,8\n")
    (group,) = read_video_truth(path)
    said = np.array(
        [
            [0, 0, 50, 50],
            [100, 0, 150, 50],  # on the neutral one
            [210, 10, 240, 60],  # in the region
            [400, 0, 430, 20],  # too small
            [400, 100, 450, 150],  # wrong
        ],
        float,
    )
    found = detections(said, np.array([0.5, 0.6, 0.7, 0.8, 0.4]))
    scores = score_video([group], {0: answer(0, found)}, 1)["vehicle"]
    assert (scores.precision, scores.recall, scores.boxes) == (50.0, 100.0, 1)
    other = detections(said, np.array([0.5, 0.6, 0.7, 0.8, 0.4]), class_id=1)
    assert score_video([group], {0: answer(0, other)}, 1)["vehicle"].recall == 0, "a person"


def test_truth_behind_the_end_of_the_clip_is_not_asked_for(tmp_path: Path) -> None:
    group = group_of([np.array([[0, 0, 40, 40.0]])] * 5, tmp_path / "gt.txt")
    found = detections(np.array([0, 0, 40, 40.0]), np.ones(1))
    scores = score_video([group], {n: answer(n, found) for n in range(3)}, 3)["object"]
    assert (scores.recall, scores.boxes) == (100.0, 3)


def test_each_frame_gets_the_newest_answer_there_was_when_the_next_frame_came() -> None:
    nothing = detections(np.zeros((0, 4)), np.zeros(0))
    times = [0.0, 0.1, 0.2, 0.3, 0.4]
    answers = [
        answer(0, nothing, ready=0.05),
        answer(1, nothing, ready=0.25),  # late by half a frame
        answer(3, nothing, ready=0.35),  # frame 2 was dropped
        answer(4, nothing, ready=0.6),  # later than one more frame would have come
    ]
    known = in_time(answers, times)
    assert {number: one.index for number, one in known.items()} == {0: 0, 1: 0, 2: 1, 3: 3, 4: 3}
    assert 0 not in in_time(answers[1:], times), "nothing was known yet"
    assert in_time([], []) == {}


def test_a_pipeline_that_keeps_up_scores_as_if_it_had_all_the_time() -> None:
    nothing = detections(np.zeros((0, 4)), np.zeros(0))
    times = [n / 10 for n in range(6)]
    answers = [answer(n, nothing, ready=n / 10 + 0.09) for n in range(6)]
    assert {number: one.index for number, one in in_time(answers, times).items()} == {
        n: n for n in range(6)
    }


def test_no_answer_at_all_is_no_score(tmp_path: Path) -> None:
    group = group_of([np.array([[0, 0, 40, 40.0]])], tmp_path / "gt.txt")
    scores = score_video([group], {}, 1)["object"]
    assert (scores.ap50, scores.recall, scores.hota) == (0.0, 0.0, 0.0)


def test_ids_of_two_tasks_are_kept_apart(tmp_path: Path) -> None:
    group = group_of([np.array([[0, 0, 40, 40.0], [100, 0, 140, 40]])] * 2, tmp_path / "gt.txt")
    left = detections(np.array([0, 0, 40, 40.0]), np.ones(1))
    right = detections(np.array([100, 0, 140, 40.0]), np.ones(1))
    known = {
        n: Answer(
            n,
            0.0,
            0.0,
            {"road": left, "face": right},
            {"road": tracked(left, [1]), "face": tracked(right, [1])},
        )
        for n in range(2)
    }
    scores = score_video([group], known, 2)["object"]
    assert (scores.hota, scores.idf1, scores.switches) == (100.0, 100.0, 0)


def test_rules_leave_out_other_classes_of_the_truth(tmp_path: Path) -> None:
    path = tmp_path / "gt.txt"
    path.write_text("1,1,0,0,50,50,1,1\n1,2,100,0,50,50,1,3\n")
    (group,) = read_video_truth(path)
    assert group.rule.targets == (1,)
    found = detections(np.zeros((0, 4)), np.zeros(0), 1)
    assert score_video([group], {0: answer(0, found)}, 1)["person"].boxes == 1
    assert Rule().targets is None


def test_where_a_detector_rested_its_last_word_stands() -> None:
    found = detections(np.array([0, 0, 40, 40.0]), np.ones(1))
    nothing = detections(np.zeros((0, 4)), np.zeros(0))
    before = answer(0, found)
    frame = Frame(np.zeros((4, 4, 3), np.uint8), index=1, pts=1, time_base=Fraction(1, 10))
    result = FrameResult(frame, detections={"road": nothing}, latency=0.02)
    assert len(Answer.of(result, before).detections["road"]) == 0
    result.skipped = frozenset({"detections.road"})
    said = Answer.of(result, before)
    assert said.detections["road"] is found
    assert (said.index, said.ready) == (1, pytest.approx(0.12))
