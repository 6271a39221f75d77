import numpy as np
import pytest

from perception.tracking.camera import common_shift

ROW = np.array(
    [
        [100, 100, 140, 130],
        [152, 98, 190, 131],
        [300, 110, 320, 128],
        [420, 90, 500, 150],
    ],
    float,
)


def test_a_pan_by_more_than_a_box_is_found():
    shift = common_shift(ROW, ROW + np.array([52, 2, 52, 2]))
    assert shift == pytest.approx((52, 2))


def test_boxes_that_stand_still_give_no_shift():
    assert common_shift(ROW, ROW) == (0, 0)


def test_one_object_alone_moves_by_itself():
    assert common_shift(ROW[:1], ROW[:1] + 60) == (0, 0)


def test_objects_that_move_apart_are_no_turn_of_the_camera():
    apart = ROW + np.array([[-70, 0, -70, 0], [60, 0, 60, 0], [-45, 0, -45, 0], [95, 0, 95, 0]])
    assert common_shift(ROW, apart) == (0, 0)


def test_nothing_detected_gives_no_shift():
    assert common_shift(ROW, np.zeros((0, 4))) == (0, 0)
