from __future__ import annotations

import numpy as np
import pytest

from perception.errors import ConfigError, StageError
from perception.pipeline import Pipeline
from perception.types import Detections, Frame, FrameResult, Lane, Lanes


class Step:
    def __init__(
        self, name: str, reads: tuple[str, ...] = (), writes: tuple[str, ...] = ()
    ) -> None:
        self.name, self.reads, self.writes = name, reads, writes
        self.closed = 0

    def __call__(self, result: FrameResult) -> None:
        result.timings.setdefault("order", 0.0)

    def close(self) -> None:
        self.closed += 1
        if self.name == "broken":
            raise OSError("cannot close")


def test_stages_run_in_order_and_are_timed() -> None:
    result = Pipeline([Step("a"), Step("b")])(Frame(np.zeros((2, 2, 3), np.uint8)))
    assert [name for name in result.timings if name != "order"] == ["a", "b"]
    assert result.latency > 0


def test_a_field_must_be_written_before_it_is_read() -> None:
    Pipeline([Step("a", writes=("x",)), Step("b", reads=("x",))])
    with pytest.raises(
        ConfigError, match=r"stage 'b' reads x, which no earlier stage writes .*: nothing"
    ):
        Pipeline([Step("b", reads=("x",)), Step("a", writes=("x",))])


def test_two_stages_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two stages are named 'a'"):
        Pipeline([Step("a"), Step("a")])


def test_all_stages_are_closed_even_when_one_cannot_be() -> None:
    steps = [Step("a"), Step("broken"), Step("c")]
    with pytest.raises(OSError, match="cannot close"):
        Pipeline(steps).close()
    assert [step.closed for step in steps] == [1, 1, 1]


class Finder(Step):
    """Finds one car on every frame it sees."""

    def __init__(self, name: str = "road") -> None:
        super().__init__(name, writes=("detections.road", "lanes"))
        self.seen: list[int] = []

    def __call__(self, result: FrameResult) -> None:
        self.seen.append(result.frame.index)
        result.detections["road"] = Detections(
            np.array([[1, 1, 5, 5]], np.float32), np.ones(1), np.zeros(1), ("car", "bus")
        )
        result.lanes = Lanes((Lane(np.zeros((2, 2), np.float32), result.frame.index, 1.0),))


def frame(index: int, *, milliseconds: int) -> Frame:
    return Frame(np.zeros((8, 8, 3), np.uint8), index=index, pts=milliseconds)


def test_a_resting_stage_runs_once_in_so_many_seconds_of_the_stream() -> None:
    finder = Finder()
    pipeline = Pipeline([finder], every_s={"road": 0.1})
    # Times of 30 frames a second, rounded to milliseconds: every third is 0.1 s later, or 0.099 s.
    results = [pipeline(frame(i, milliseconds=round(i * 1000 / 30))) for i in range(10)]
    assert finder.seen == [0, 3, 6, 9]
    assert [i for i, r in enumerate(results) if not r.skipped] == finder.seen
    between = results[4]
    assert between.skipped == {"detections.road", "lanes"}
    assert len(between.detections["road"]) == 0
    assert between.detections["road"].classes == ("car", "bus")
    assert between.lanes is not None and between.lanes.lines[0].side == 3
    assert "road" not in between.timings and "road" in results[3].timings


def test_a_resting_stage_wakes_when_time_goes_back() -> None:
    finder = Finder()
    pipeline = Pipeline([finder], every_s={"road": 10})
    for index, time in enumerate((5000, 6000, 100, 200)):
        pipeline(frame(index, milliseconds=time))
    assert finder.seen == [0, 2]


def test_rests_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"every_s: .*'car'.*road"):
        Pipeline([Finder()], every_s={"car": 0.1})
    with pytest.raises(ConfigError, match="must be 0 or more seconds, but is -1"):
        Pipeline([Finder()], every_s={"road": -1})
    with pytest.raises(ConfigError, match="'track' must run on every frame"):
        Pipeline([Step("track", writes=("tracks.road",))], every_s={"track": 0.1})


class Looker(Finder):
    """A finder that may look with several threads."""

    together = True

    def look(self, frame: Frame) -> int:
        if frame.index == 99:
            raise ValueError("no such picture")
        return frame.index

    def tell(self, result: FrameResult, seen: int) -> None:
        assert seen == result.frame.index
        super().__call__(result)


def test_looking_ahead_changes_nothing_also_with_rests() -> None:
    plain = Pipeline([Finder()], every_s={"road": 0.1})
    ahead = Pipeline([Looker()], every_s={"road": 0.1})
    assert ahead.looks_together and not plain.looks_together
    frames = [frame(index, milliseconds=40 * index) for index in range(12)]
    works = [ahead.plan(each) for each in frames]
    for work in reversed(works):
        ahead.look(work)
    for each, work in zip(frames, works, strict=True):
        expected, found = plain(each), ahead.finish(work)
        assert found.skipped == expected.skipped
        assert len(found.detections["road"]) == len(expected.detections["road"])
        assert found.lanes is not None and expected.lanes is not None
        assert found.lanes.lines[0].side == expected.lanes.lines[0].side
        assert found.timings.keys() == expected.timings.keys()


def test_a_look_that_fails_says_so_when_its_frame_is_finished() -> None:
    pipeline = Pipeline([Looker()])
    work = pipeline.plan(frame(99, milliseconds=0))
    pipeline.look(work)
    with pytest.raises(StageError, match=r"stage 'road' failed on frame 99 .*no such picture"):
        pipeline.finish(work)
