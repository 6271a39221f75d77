"""The figures of the face engines: what was held back, the table's cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from engines.face_figures import Agreement, agreement, landmark_error
from engines.figures.faces import candidates, judged_frames, tables, taught
from perception.errors import InputError
from perception.types import Detections, Frame


def test_a_detector_agrees_with_itself() -> None:
    box = np.array([[10, 10, 30, 40]], np.float32)
    found = Detections(box, np.array([0.9], np.float32), np.zeros(1, np.int32), ("face",))
    sample = taught(Frame(np.zeros((48, 64, 3), np.uint8)), found)
    assert agreement([sample], [found], min_score=0.5).f1 == 1
    nothing = Detections.empty(("face",))
    assert agreement([sample], [nothing], min_score=0.5) == Agreement(0, 0, 1, 1)


def test_landmark_errors_are_shares_of_the_face() -> None:
    box = np.array([[10, 10, 30, 30]], np.float32)
    points = np.full((1, 5, 3), 20, np.float32)
    truth = Detections(box, np.ones(1, np.float32), np.zeros(1, np.int32), ("face",), points)
    moved = Detections(
        box, truth.score, truth.class_id, truth.classes, points + np.float32([3, 4, 0])
    )
    sample = taught(Frame(np.zeros((48, 64, 3), np.uint8)), truth)
    assert landmark_error([sample], [truth]) == 0
    assert landmark_error([sample], [moved]) == pytest.approx(5 / 20)
    assert np.isnan(landmark_error([sample], [Detections.empty(("face",))]))


def test_the_table_has_every_set_and_counts_the_faces() -> None:
    figures = {"labelled": Agreement(17, 2, 1, 4), "driver": Agreement(9, 1, 1, 10)}
    name = "face_free 640x384"
    text = tables({name: figures}, {name: 7.25}, {name: 0.0312})
    assert f"| {name} | 17 of 18 | 0.50 | 0.900 (0.90, 0.10) | 3.1% | 7.2 |" in text
    assert "labelled 18 in 4 pictures, driver 10 in 10 pictures" in text


def test_missing_pictures_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder of pictures"):
        judged_frames(tmp_path)


def test_the_committed_engines_find_the_labelled_faces(shared: Path, root: Path) -> None:
    from engines.face_figures import labelled_by_hand

    samples = labelled_by_hand(shared / "data/faces")
    frames = [Frame(sample.read()) for sample in samples]
    weights = root / "engines/weights"
    paths = [weights / "face_free.onnx", weights / "face_anchor.onnx"]
    for candidate in candidates(paths, shared, 1)[:4]:
        figure = agreement(samples, [candidate.detect(f) for f in frames], min_score=0.0)
        assert figure.right >= 17 and figure.alarms <= 1, candidate.name
