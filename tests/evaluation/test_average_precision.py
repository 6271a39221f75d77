"""Average precision: by hand, and beside faster-coco-eval on random pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from perception.evaluation.average_precision import MAX_DETECTIONS, THRESHOLDS, match

Picture = tuple[np.ndarray, np.ndarray, np.ndarray]


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def scores(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def random_pictures(seed: int, count: int = 25) -> list[Picture]:
    """Boxes, and detections of them that are moved, doubled, missing or false."""
    rng = np.random.default_rng(seed)
    pictures = []
    for _ in range(count):
        corner = rng.uniform(0, 150, (rng.integers(0, 9), 2))
        truth = np.concatenate([corner, corner + rng.uniform(20, 50, corner.shape)], axis=1)
        near = np.repeat(truth, 2, axis=0) + rng.normal(0, 3, (2 * len(truth), 4))
        near = near[rng.random(len(near)) < 0.7]
        corner = rng.uniform(0, 150, (rng.integers(0, 6), 2))
        wrong = np.concatenate([corner, corner + rng.uniform(20, 50, corner.shape)], axis=1)
        found = np.concatenate([near, wrong])
        score = rng.random(len(found))  # no ties: their order is open
        pictures.append(
            (truth.astype(np.float32), found.astype(np.float32), score.astype(np.float32))
        )
    return pictures


def reference(pictures: list[Picture]) -> tuple[np.ndarray, float]:
    """AP per threshold and recall at 0.5, by faster-coco-eval."""
    coco = pytest.importorskip("faster_coco_eval")

    def entry(picture: int, box: np.ndarray) -> dict[str, Any]:
        x1, y1, x2, y2 = map(float, box)
        size = [x2 - x1, y2 - y1]
        return {
            "image_id": picture,
            "category_id": 1,
            "bbox": [x1, y1, *size],
            "area": size[0] * size[1],
        }

    images = [{"id": n, "width": 200, "height": 200} for n in range(1, len(pictures) + 1)]
    truth = [entry(n, box) for n, (rows, _, _) in enumerate(pictures, 1) for box in rows]
    truth = [{**item, "id": n, "iscrowd": 0} for n, item in enumerate(truth, 1)]
    found = [
        {**entry(n, box), "score": float(score)}
        for n, (_, rows, values) in enumerate(pictures, 1)
        for box, score in zip(rows, values, strict=True)
    ]
    content = {"images": images, "annotations": truth, "categories": [{"id": 1, "name": "thing"}]}
    data = coco.COCO(content)
    judge = coco.COCOeval_faster(
        data, data.loadRes(found), iouType="bbox", print_function=lambda *_: None
    )
    judge.evaluate()
    judge.accumulate()
    precision = np.asarray(judge.eval["precision"])[:, :, 0, 0, -1]
    return precision.mean(axis=1), float(np.asarray(judge.eval["recall"])[0, 0, 0, -1])


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_faster_coco_eval(seed: int) -> None:
    pictures = random_pictures(seed)
    wanted, recall = reference(pictures)
    result = match(pictures)
    mine = [result.average_precision(row) for row in range(len(THRESHOLDS))]
    np.testing.assert_allclose(mine, wanted, atol=1e-6)
    assert result.recall()[-1] == pytest.approx(recall)
    assert 0.1 < mine[0] < 0.95, "the case must not be trivial"


def test_one_hit_after_one_false_alarm_is_a_half() -> None:
    picture = (boxes((0, 0, 10, 10)), boxes((50, 50, 60, 60), (0, 0, 10, 10)), scores(0.9, 0.8))
    result = match([picture])
    assert result.precision().tolist() == [0, 0.5]
    assert result.recall().tolist() == [0, 1]
    assert result.average_precision() == pytest.approx(0.5)


def test_a_second_detection_of_a_box_is_a_false_alarm() -> None:
    picture = (boxes((0, 0, 10, 10)), boxes((0, 0, 10, 10), (0, 0, 10, 9)), scores(0.9, 0.8))
    assert match([picture]).hit[0].tolist() == [True, False]


def test_half_of_the_boxes_found_is_half_of_the_recall_points() -> None:
    picture = (boxes((0, 0, 10, 10), (40, 0, 50, 10)), boxes((0, 0, 10, 10)), scores(0.9))
    assert match([picture]).average_precision() == pytest.approx(51 / 101)


def test_only_the_best_hundred_of_a_picture_count() -> None:
    wrong = np.tile(boxes((50, 50, 60, 60)), (MAX_DETECTIONS, 1))
    found = np.concatenate([wrong, boxes((0, 0, 10, 10))])
    score = np.linspace(1, 0.1, len(found), dtype=np.float32)
    assert not match([(boxes((0, 0, 10, 10)), found, score)]).hit.any()


def test_nothing_found_and_nothing_to_find() -> None:
    nothing = (boxes(), boxes(), scores())
    assert match([nothing]).wanted == 0 == match([]).wanted
    assert match([(boxes((0, 0, 1, 1)), boxes(), scores())]).average_precision() == 0
