from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from perception.types import Detections, Frame, FrameResult, Planes, Tracks


def detections(n: int) -> Detections:
    return Detections(
        xyxy=np.arange(4 * n).reshape(n, 4),
        score=np.linspace(0.9, 0.1, n),
        class_id=np.zeros(n),
        classes=("car", "bus"),
    )


def test_dtypes_are_made_right_once() -> None:
    found = detections(3)
    assert (found.xyxy.dtype, found.score.dtype, found.class_id.dtype) == (
        np.float32,
        np.float32,
        np.int32,
    )
    assert found.keypoints.shape == (3, 0, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"xyxy": np.zeros((2, 5))},
            r"Detections\.xyxy must have shape \('N', 4\), but has shape \(2, 5\)",
        ),
        ({"score": np.zeros(3)}, r"Detections\.score must have shape \(2,\), but has shape \(3,\)"),
    ],
)
def test_wrong_shapes_are_named(change: dict[str, np.ndarray], message: str) -> None:
    values = {"xyxy": np.zeros((2, 4)), "score": np.zeros(2), "class_id": np.zeros(2)} | change
    with pytest.raises(ValueError, match=message):
        Detections(**values, classes=("car",))


def test_rows_are_selected_by_mask_slice_and_number() -> None:
    found = detections(3)
    assert found[found.score > 0.4].score == pytest.approx([0.9, 0.5])
    assert len(found[1:]) == 2
    assert found[2].score == pytest.approx([0.1])


def test_empty_has_the_right_shapes() -> None:
    assert Detections.empty(["car"]).xyxy.shape == (0, 4)
    assert Tracks.empty(["car"]).velocity.shape == (0, 2)


def test_a_frame_is_read_only_and_leaves_the_callers_array_writeable() -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    frame = Frame(picture, pts=90, time_base=Fraction(1, 30))
    with pytest.raises(ValueError, match="read-only"):
        frame.image[0, 0] = 1
    picture[0, 0] = 1
    assert frame.time == 3.0
    assert frame.size == (6, 4)


def test_a_frame_of_planes_converts_once_and_only_when_asked() -> None:
    calls = []

    def convert(planes: Planes) -> np.ndarray:
        calls.append(planes)
        return np.zeros((4, 6, 3), np.uint8)

    planes = Planes(
        np.zeros((4, 6), np.uint8), np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.uint8)
    )
    frame = Frame(planes=planes, to_bgr=convert)
    assert frame.size == (6, 4)
    assert not calls
    assert frame.image is frame.image
    assert len(calls) == 1


def test_a_frame_needs_exactly_one_picture() -> None:
    with pytest.raises(ValueError, match="exactly one"):
        Frame()


def test_objects_join_detections_with_their_tracks_and_add_predicted_ones() -> None:
    result = FrameResult(Frame(np.zeros((4, 6, 3), np.uint8)))
    result.detections["road"] = detections(2)
    result.tracks["road"] = Tracks(
        track_id=[7, 8],
        xyxy=np.zeros((2, 4)),
        velocity=np.zeros((2, 2)),
        age=np.zeros(2),
        detection=[1, -1],
        score=[0.1, 0.6],
        class_id=[0, 1],
        classes=("car", "bus"),
        attributes={8: {"kind": "school"}},
    )
    rows = list(result.objects)
    assert [(row.track_id, row.predicted, row.class_name) for row in rows] == [
        (None, False, "car"),
        (7, False, "car"),
        (8, True, "bus"),
    ]
    assert rows[2].attributes == {"kind": "school"}
