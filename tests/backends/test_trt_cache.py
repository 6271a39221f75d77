"""Plans in the cache: found, told stale in one line, written whole or not at all, built by one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from perception.backends import trt_cache
from perception.backends.trt_cache import PlanCache, PlanKey
from perception.errors import EngineError

KEY = PlanKey("a" * 64, "10.3.0", "Orin", "8.7", "fp16", "images 1x3x384x640")
DETAILS = {"size": [640, 384], "profiles": [{"images": [[1, 3, 384, 640]] * 3}]}
SAME = {"onnx": KEY.onnx, "tensorrt": KEY.tensorrt, "gpu": KEY.gpu, "capability": KEY.capability}


@pytest.fixture
def cache(tmp_path: Path) -> PlanCache:
    return PlanCache(tmp_path)


def test_a_stored_plan_is_found_and_read_back(cache: PlanCache) -> None:
    stored = cache.store("road", KEY, b"plan", DETAILS)

    state = cache.state("road", KEY)
    assert state.state == "built" and state.plan == stored
    assert cache.read(stored) == b"plan"
    assert stored.details["name"] == "road"
    assert sorted(p.suffix for p in cache.folder.iterdir()) == [".json", ".plan"]


def test_nothing_built_is_missing(cache: PlanCache) -> None:
    assert cache.state("road", KEY).state == "missing"
    assert cache.lookup("road", **SAME) == (None, "no plan has been built")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tensorrt": "10.16.1"}, "built by TensorRT 10.3.0, and this is 10.16.1"),
        ({"gpu": "NVIDIA H200"}, "built on Orin, and this is NVIDIA H200"),
        ({"capability": "9.0"}, "built for compute 8.7, and this is 9.0"),
        ({"onnx": "b" * 64}, "the ONNX file has changed"),
        (
            {"shapes": "images 1x3x320x512"},
            "built for images 1x3x384x640, and images 1x3x320x512 is asked",
        ),
    ],
)
def test_another_key_is_stale_and_says_why(
    cache: PlanCache, change: dict[str, str], said: str
) -> None:
    cache.store("road", KEY, b"plan", DETAILS)

    state = cache.state("road", replace(KEY, **change))

    assert state.state == "stale" and said in state.why and "\n" not in state.why
    if "shapes" not in change:
        plan, why = cache.lookup("road", **(SAME | change))
        assert plan is None and said in why


def test_the_closest_plan_explains_what_is_stale(cache: PlanCache) -> None:
    cache.store("road", replace(KEY, gpu="A", capability="1.0", tensorrt="9"), b"far", DETAILS)
    cache.store("road", replace(KEY, tensorrt="10.1.0"), b"near", DETAILS)

    assert cache.state("road", KEY).why == "it was built by TensorRT 10.1.0, and this is 10.3.0"


def test_a_truncated_plan_is_stale(cache: PlanCache) -> None:
    plan = cache.store("road", KEY, b"the whole plan", DETAILS)
    plan.path.write_bytes(b"the who")

    assert "must have 14 bytes, but has 7" in cache.state("road", KEY).why
    assert "must have 14 bytes, but has 7" in cache.lookup("road", **SAME)[1]
    with pytest.raises(EngineError, match="changed while it was opened"):
        cache.read(plan)


def test_a_changed_plan_is_stale(cache: PlanCache) -> None:
    plan = cache.store("road", KEY, b"plan", DETAILS)
    plan.path.write_bytes(b"plaN")

    assert "is damaged" in cache.state("road", KEY).why


def test_a_plan_without_a_record_is_not_ours(cache: PlanCache) -> None:
    cache.plan_path("road", KEY).write_bytes(b"foreign")

    state = cache.state("road", KEY)
    assert state.state == "stale" and "not one of ours" in state.why


def test_a_record_without_its_plan_is_stale(cache: PlanCache) -> None:
    plan = cache.store("road", KEY, b"plan", DETAILS)
    plan.path.unlink()

    assert "is gone" in cache.state("road", KEY).why
    with pytest.raises(EngineError, match="cannot be read"):
        cache.read(plan)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema": "other/1"}', '{"schema": "perception-plan/1"}']
)
def test_a_broken_record_is_stale_and_never_a_traceback(cache: PlanCache, text: str) -> None:
    plan = cache.store("road", KEY, b"plan", DETAILS)
    plan.record.write_text(text)

    assert "is broken" in cache.state("road", KEY).why
    assert list(cache.plans()) == []
    assert cache.lookup("road", **SAME)[0] is None


def test_a_record_of_another_plan_under_this_name_is_stale(cache: PlanCache) -> None:
    plan = cache.store("road", KEY, b"plan", DETAILS)
    body = json.loads(plan.record.read_text())
    body["key"]["gpu"] = "another"
    plan.record.write_text(json.dumps(body))

    assert "is of another plan" in cache.state("road", KEY).why


def test_the_plan_built_last_is_taken(cache: PlanCache) -> None:
    first = cache.store("road", KEY, b"first", DETAILS)
    second = cache.store("road", replace(KEY, precision="int8"), b"second", DETAILS)
    os.utime(first.record, (1, 1))

    assert cache.lookup("road", **SAME)[0] == second
    assert cache.lookup("road", **SAME, precision="fp16")[0] == first
    assert cache.lookup("road", **SAME, size=(640, 384))[0] == second
    plan, why = cache.lookup("road", **SAME, size=(320, 192))
    assert plan is None and "320x192 is asked" in why
    plan, why = cache.lookup("road", **SAME, batch=4)
    assert plan is None and "a batch of 4 is asked" in why
    assert cache.lookup("road", **SAME, batch=1)[0] == second


def test_a_damaged_newer_plan_gives_way_to_an_older_whole_one(cache: PlanCache) -> None:
    first = cache.store("road", KEY, b"first", DETAILS)
    second = cache.store("road", replace(KEY, precision="int8"), b"second", DETAILS)
    os.utime(first.record, (1, 1))
    second.path.write_bytes(b"")

    assert cache.lookup("road", **SAME)[0] == first


def test_another_engine_s_plans_do_not_count(cache: PlanCache) -> None:
    cache.store("face", replace(KEY, onnx="f" * 64), b"plan", DETAILS)

    assert cache.lookup("road", **SAME) == (None, "no plan has been built")


def test_a_crash_between_the_two_files_leaves_no_plan(
    cache: PlanCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.store("road", KEY, b"old", DETAILS)
    write = trt_cache.write_atomically

    def crash(path: Path, data: bytes) -> None:
        if path.suffix == ".json":
            raise KeyboardInterrupt
        write(path, data)

    monkeypatch.setattr(trt_cache, "write_atomically", crash)
    with pytest.raises(KeyboardInterrupt):
        cache.store("road", KEY, b"new", DETAILS)

    assert cache.state("road", KEY).state == "stale"


def test_one_holds_the_lock_and_the_other_waits(cache: PlanCache) -> None:
    order: list[str] = []
    held, waiting = threading.Event(), threading.Event()

    def first() -> None:
        with cache.lock("road", KEY, lambda: order.append("first waits")):
            held.set()
            assert waiting.wait(10)
            order.append("first done")

    thread = threading.Thread(target=first)
    thread.start()
    assert held.wait(10)
    with cache.lock("road", KEY, lambda: (order.append("second waits"), waiting.set())[0]):
        order.append("second done")
    thread.join()

    assert order == ["second waits", "first done", "second done"]


def test_the_lock_of_a_killed_process_is_free(cache: PlanCache) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from perception.backends.trt_cache import PlanCache, PlanKey\n"
        f"with PlanCache(Path({str(cache.folder)!r})).lock('road', {KEY!r}, lambda: None):\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        waits: list[int] = []
        process.kill()
        process.wait()
        with cache.lock("road", KEY, lambda: waits.append(1)):
            pass
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_kernel_times_are_kept_by_tensorrt_and_gpu(cache: PlanCache) -> None:
    assert cache.timing_path(KEY) == cache.timing_path(replace(KEY, onnx="b", precision="int8"))
    assert cache.timing_path(KEY) != cache.timing_path(replace(KEY, gpu="other"))
