"""What a benchmark says, from figures made up here."""

from __future__ import annotations

import json

import pytest

from perception.bench.figures import END_TO_END, RECORD, VIDEO, Benchmark, Part
from perception.bench.scaling import Point, Scaling


def part(name: str, wall: float, cpu: float) -> Part:
    return Part(name, [wall, wall * 0.98, wall * 1.04], [cpu] * 3, [100.0] * 3)


def benchmark(*, cores: int = 2, engine: float = 10.0, encode: float = 12.0, **more) -> Benchmark:
    parts = [
        part("decode", 4.0, 5.0),
        part("road engine", engine, engine),
        part("overlay", 3.0, 3.0),
        part("encode", encode / 2, encode),
        part(END_TO_END, 11.0, 18.0),
        part(RECORD, 11.2, 18.5),
        part(VIDEO, 17.0, 30.0),
    ]
    quantiles = {"p50": 1.0, "p95": 2.0, "p99": 3.0, "max": 4.0}
    values = {
        "source": "clip.mp4",
        "size": (1280, 720),
        "frames": 100,
        "parts": {p.name: p for p in parts},
        "engines": ("road engine",),
        "stages": {"road": quantiles},
        "latency": quantiles,
        "first_result_s": [0.6, 0.5, 0.7],
        "settings": {"road": {"file": "road.onnx"}},
        "machine": {"cpu": "some CPU", "cores": cores, "versions": {"numpy": "2.0"}},
    }
    return Benchmark(**(values | more))


def test_the_cores_are_the_limit_when_all_parts_together_need_more_than_they_have():
    bench = benchmark()
    assert bench.bound(VIDEO) == (pytest.approx(2000 / 27), "2 cores")
    assert bench.limit == (
        "bounded by the 2 cores: the bare parts take 27.0 ms of CPU a frame (encode 44%), so at most "
        "74.1 fps; end to end with video reaches 79% of that"
    )
    assert bench.overhead(VIDEO) == pytest.approx(30 / 27)
    assert bench.overhead(END_TO_END) == pytest.approx(18 / 15)


def test_a_part_that_is_slow_alone_is_the_limit_where_cores_abound():
    bench = benchmark(cores=16)
    assert bench.bound(VIDEO) == (pytest.approx(100), "road engine")
    assert bench.limit.startswith("bounded by road engine, which alone reaches 100.0 fps; end to")


def test_an_engine_called_from_several_threads_bounds_by_what_they_reach_together():
    bench = benchmark(cores=16, looks=2)
    bench.parts["road engine x2"] = part("road engine x2", 5.0, 10.0)
    assert bench.bound(VIDEO) == (pytest.approx(1000 / 6), "encode")
    assert bench.engine_share == pytest.approx(10 / 11)
    assert bench.engines_share == pytest.approx(5 / 11)
    assert "at 91% of the rate of the engine alone in one thread, 45% of that in 2" in bench.table()


def test_an_engine_that_rests_counts_for_the_frames_on_which_it_runs():
    bench = benchmark(duty={"road engine": 0.5})
    assert [p.cpu for p in bench.bare(VIDEO)] == [5.0, 5.0, 12.0]
    assert bench.engine_share == pytest.approx(5 / 11)
    assert bench.as_dict()["duty"] == {"road engine": 0.5}


def test_without_output_is_compared_with_the_engine_alone():
    assert benchmark().engine_share == pytest.approx(10 / 11)
    assert benchmark(engines=()).engine_share is None


def test_medians_and_spread_are_over_the_rounds():
    p = Part("x", [10.0, 12.0, 11.0], [5.0, 7.0, 6.0])
    assert p.fps == pytest.approx(1000 / 11) and p.cpu == 6
    assert p.spread == pytest.approx(2 / 11)


def test_the_table_and_the_json_hold_every_part():
    scaling = Scaling({"batch": (Point(1, 50.0, 20.0), Point(2, 75.0, 13.0))}, ("a note",))
    bench = benchmark(scaling=scaling)
    text = bench.table()
    for name in (*bench.parts, "batch 2", "a note", "first result 0.60 s", "latency"):
        assert name in text
    assert "1.50" in text  # twice the batch, half more
    figures = json.loads(json.dumps(bench.as_dict()))
    assert figures["schema"] == "perception-bench/2"
    assert set(figures["parts"]) == set(bench.parts)
    assert figures["cpu_overhead"]["with video"] == pytest.approx(30 / 27, abs=1e-4)
    assert figures["scaling"]["batch"][1] == {"count": 2, "fps": 75.0, "cpu_ms": 13.0}
    assert figures["bare"] == ["decode", "road engine", "encode"]
