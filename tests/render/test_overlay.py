"""The overlay as a user meets it: results in, drawn pictures out, the source untouched."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from perception.colour import planes_to_bgr
from perception.render import Overlay, Style
from perception.types import Detections, FrameResult, Lane, Lanes, Tracks
from tests.render import scenes
from tests.render.scenes import crowd, frame, picture, planes, result

SIZES = [(320, 240), (321, 241), (540, 960), (1280, 720), (1242, 375), (3840, 2160), (64, 48)]
TINY = [(1, 1), (2, 3), (9, 7), (1, 200), (300, 1)]
LANES = Lanes(
    lines=(
        Lane(np.array([[200, 470], [280, 380], [330, 300]], np.float32), -1, 0.9),
        Lane(np.array([[560, 470], [460, 380], [400, 300]], np.float32), 1, 0.9),
    ),
    drivable=(np.array([[100, 480], [330, 300], [400, 300], [640, 480]], np.float32),),
)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    different = before != after
    return different.any(axis=2) if different.ndim == 3 else different


def full_scene(shown, n: int = 25, seed: int = 0) -> FrameResult:
    width, height = shown.size
    boxes, names = crowd(n, width, height, seed=seed)
    found = result(shown, boxes, names, ids=range(1, n + 1), predicted=[1, 5])
    found.lanes = LANES
    return found


@pytest.mark.parametrize("size", SIZES)
def test_every_size_is_drawn_and_the_source_stays_as_it_was(size: tuple[int, int]) -> None:
    source = planes(*size)
    before = [plane.copy() for plane in (source.y, source.u, source.v)]
    overlay = Overlay()
    for step in range(3):
        drawn = overlay(full_scene(frame(source, time=step * 0.2)))
    assert drawn.size == size
    assert (drawn.u.shape, drawn.v.shape) == (source.u.shape, source.v.shape)
    assert changed(source.y, drawn.y).any() and changed(source.u, drawn.u).any()
    assert all(
        np.array_equal(a, b) for a, b in zip(before, (source.y, source.u, source.v), strict=True)
    )


@pytest.mark.parametrize("size", TINY)
def test_pictures_too_small_for_anything_do_no_harm(size: tuple[int, int]) -> None:
    assert Overlay()(full_scene(frame(planes(*size)))).size == size
    assert Overlay().bgr(full_scene(frame(picture(*size)))).shape == (size[1], size[0], 3)


def test_a_bgr_picture_stays_as_it_was_too() -> None:
    image = picture(640, 480)
    before = image.copy()
    drawn = Overlay().bgr(full_scene(frame(image)))
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    assert changed(image, drawn).any()
    assert np.array_equal(image, before)


def test_pixels_away_from_boxes_and_labels_are_the_source_bit_for_bit() -> None:
    source = planes(640, 480)
    boxes = [(100, 200, 180, 260), (300, 150, 420, 300)]
    overlay = Overlay(hud=False, trails_s=0)
    drawn = overlay(result(frame(source), boxes, ["car", "truck"], ids=[1, 2]))
    allowed = np.zeros((480, 640), bool)
    reach = Style.of((640, 480)).rim + 1  # chroma blocks reach one pixel further
    for x1, y1, x2, y2 in (*boxes, *overlay.label_rects):
        allowed[y1 - reach : y2 + reach, x1 - reach : x2 + reach] = True
    for x1, y1, x2, y2 in boxes:  # and inside a box there is nothing but its edge
        inset = 8
        allowed[y1 + inset : y2 - inset, x1 + inset : x2 - inset] = False
    for name, step in (("y", 1), ("u", 2), ("v", 2)):
        wrong = changed(getattr(source, name), getattr(drawn, name)) & ~allowed[::step, ::step]
        assert not wrong.any()


@pytest.mark.parametrize("n", [40, 150])
@pytest.mark.parametrize("size", [(320, 240), (1280, 720)])
def test_labels_of_a_crowd_lie_inside_and_do_not_cover_each_other(
    n: int, size: tuple[int, int]
) -> None:
    overlay = Overlay()
    for seed in range(3):
        overlay(full_scene(frame(planes(*size), time=seed * 0.04), n, seed))
        rects = overlay.label_rects
        assert len(rects) >= 10
        assert all(
            x1 >= 0 and y1 >= 0 and x2 <= size[0] and y2 <= size[1] for x1, y1, x2, y2 in rects
        )
        assert not any(
            a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
            for i, a in enumerate(rects)
            for b in rects[:i]
        )


@pytest.mark.parametrize("size", [(640, 480), (321, 241)])
def test_planes_and_bgr_show_the_same(size: tuple[int, int]) -> None:
    source = planes(*size)
    image = planes_to_bgr(source)
    on_planes, on_bgr = Overlay(clock=lambda: 0.0), Overlay(clock=lambda: 0.0)
    for step in range(12):
        boxes, names = crowd(12, *size, seed=4)
        boxes = (np.array(boxes) + step * 3).tolist()
        found = result(frame(source, time=step / 10), boxes, names, ids=range(1, 13))
        found.lanes = LANES
        a = planes_to_bgr(on_planes(found)).astype(int)
        b = on_bgr.bgr(found).astype(int)
    assert on_planes.label_rects == on_bgr.label_rects
    # The colours of thin lines are blurred by the half-size chroma; brightness is not.
    weights = np.array([0.0722, 0.7152, 0.2126])
    luma = np.abs(a @ weights - b @ weights)
    assert luma.mean() < 2.5
    assert np.abs(a - b).mean() < 5
    drawn = changed(image, on_bgr.bgr(found)) & (changed(image.astype(int), b))
    assert np.percentile(luma[drawn], 90) < 30


def test_objects_outside_partly_outside_or_broken_do_no_harm() -> None:
    source = planes(320, 240)
    nan, inf = float("nan"), float("inf")
    boxes = [
        (-500, -500, -400, -400), (400, 300, 500, 400), (-20, -20, 30, 30), (300, 220, 350, 260),
        (-1e9, 50, 1e9, 60), (nan, 10, 20, 20), (0, 0, inf, 20), (50, 50, 50, 50), (80, 90, 60, 70),
        (0, 0, 320, 240), (100.2, 100.3, 100.6, 100.9),
    ]  # fmt: skip
    overlay = Overlay()
    for step in range(4):
        drawn = overlay(
            result(frame(source, time=step / 25), boxes, ["car"] * len(boxes), ids=range(1, 12))
        )
    assert drawn.size == (320, 240)
    assert all(
        0 <= x1 < x2 <= 320 and 0 <= y1 < y2 <= 240 for x1, y1, x2, y2 in overlay.label_rects
    )


def test_an_empty_result_shows_the_panel_alone() -> None:
    source = planes(640, 480)
    drawn = Overlay()(FrameResult(frame(source)))
    rows, columns = np.nonzero(changed(source.y, drawn.y))
    assert rows.max() < 100 and columns.max() < 250


def test_an_empty_result_without_panel_is_the_source() -> None:
    source = planes(640, 480)
    drawn = Overlay(hud=False)(FrameResult(frame(source)))
    assert all(np.array_equal(getattr(drawn, k), getattr(source, k)) for k in "yuv")


def test_each_part_can_be_switched_off() -> None:
    source = planes(640, 480)

    def drawn(**options: object) -> int:
        overlay = Overlay(hud=False, **options)
        for step in range(8):
            boxes = np.array([(100, 200, 180, 260), (300, 150, 420, 300)]) + 6 * step
            found = result(frame(source, time=step / 10), boxes, ["car", "person"], ids=[1, 2])
            found.lanes = LANES
            picture = overlay(found)
        return int(changed(source.y, picture.y).sum())

    everything = drawn()
    for option in (
        {"labels": False},
        {"trails_s": 0},
        {"lanes": False},
        {"tasks": ["face"]},
        {"min_score": 0.95},
    ):
        assert drawn(**option) < everything, option
    assert drawn(tasks=["road"]) == everything


def test_a_predicted_object_is_dashed() -> None:
    source = planes(640, 480)
    overlay = Overlay(hud=False, trails_s=0)

    def amount(**options: Sequence[int]) -> int:
        drawn = overlay(result(frame(source), [(100, 100, 300, 300)], ["car"], **options))
        return int(changed(source.y[150:250], drawn.y[150:250]).sum())

    assert 0 < amount(ids=[1], predicted=[0]) < 0.8 * amount(ids=[1])


def test_a_detection_without_a_track_is_drawn_when_asked_for_and_never_labelled() -> None:
    source = planes(640, 480)
    found = result(frame(source), [(100, 100, 300, 300)], ["car"], ids=[1])
    found.tracks["road"] = Tracks.empty(scenes.CLASSES)
    hidden, shown = Overlay(hud=False), Overlay(hud=False, tentative=True)
    assert not changed(source.y, hidden(found).y).any()
    assert changed(source.y, shown(found).y).any()
    assert shown.label_rects == ()
    del found.tracks["road"]  # no tracker at all: detections are all there is
    assert changed(source.y, hidden(found).y).any()
    assert len(hidden.label_rects) == 1


def test_keypoints_are_marked() -> None:
    source = planes(320, 240)
    found = FrameResult(frame(source))
    points = np.array(
        [[[120, 100, 1], [140, 100, 1], [900, 900, 1], [160, 100, 0], [np.nan, 5, 1]]]
    )
    found.detections["face"] = Detections(
        np.array([[100, 80, 180, 180]]), np.array([0.9]), np.array([0]), ("face",), points
    )
    drawn = Overlay(hud=False, labels=False)(found)
    marks = changed(source.y, drawn.y)[90:110, 110:172]
    assert marks[10, 10] and marks[10, 30] and not marks[10, 50]


def test_the_panel_goes_to_the_corner_that_was_asked_for() -> None:
    source = planes(640, 480)
    drawn = Overlay(hud="bottom-right")(FrameResult(frame(source)))
    rows, columns = np.nonzero(changed(source.y, drawn.y))
    assert rows.min() > 400 and columns.min() > 400


def test_memory_is_bounded_over_thousands_of_tracks() -> None:
    source = planes(160, 120)
    overlay = Overlay(trails_s=1.0)
    for step in range(300):
        boxes = [(20, 30, 60, 70), (80, 40, 120, 90)]
        overlay(
            result(
                frame(source, time=step / 10),
                boxes,
                ["car", "bus"],
                ids=[2 * step + 1, 2 * step + 2],
            )
        )
    assert len(overlay._trails) <= 24
    assert len(overlay._cache) <= overlay._cache.maxsize
    assert len(overlay._labeller._places) <= 2
    assert len(overlay._outlines) < 20


def test_a_stream_that_changes_its_size_is_drawn_on() -> None:
    overlay = Overlay()
    for size in ((320, 240), (640, 480), (320, 240)):
        assert overlay(full_scene(frame(planes(*size)))).size == size


def test_a_picture_without_planes_says_what_to_call() -> None:
    with pytest.raises(ValueError, match=r"call \.bgr\(result\)"):
        Overlay()(FrameResult(frame(picture(64, 48))))


def test_wrong_options_are_named() -> None:
    with pytest.raises(ValueError, match="did you mean 'top-left'"):
        Overlay(hud="top_left")
    with pytest.raises(ValueError, match="trails_s must be 0 to 60 seconds, but is -1"):
        Overlay(trails_s=-1)
