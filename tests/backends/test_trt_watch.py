"""What is told of a build while it goes on, on a terminal and elsewhere, and how it is stopped."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from perception.backends import trt_watch
from perception.backends.cache_folder import cache_folder
from perception.backends.trt_build import build
from perception.backends.trt_watch import BuildProgress, Watch
from perception.cli import main
from perception.commands.build import Teller


def test_progress_is_told(each: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perception.backends.trt_watch.TICK_S", 0.005)
    told: list[Any] = []
    seen = threading.Event()

    def wait() -> None:
        seen.clear()
        seen.wait(0.5)

    def progress(what: Any) -> None:
        told.append(what)
        seen.set()

    each.state.while_building = wait
    build(tiny, progress=progress)

    assert all(a.elapsed_s <= b.elapsed_s for a, b in pairwise(told))
    if each.version.startswith("8."):
        assert {"timing conv1 (CaskConvolution)", "timing conv2 (CaskConvolution)"} <= {
            what.phase for what in told
        }
        shares = [what.share for what in told if what.share is not None]
        assert shares == sorted(shares) and 0 < max(shares) <= 0.5
        assert "timing conv1 (CaskConvolution), 8%, 0 s" in {str(what) for what in told}
    else:
        shares = [what.share for what in told if what.share is not None]
        assert "Time kernels" in {what.phase for what in told}
        assert shares == sorted(shares) and 0 < max(shares) <= 0.5
        assert "Time kernels, 12%, 0 s" in {str(what) for what in told}


def test_ctrl_c_stops_the_build_and_leaves_no_plan(
    each: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perception.backends.trt_watch.TICK_S", 0.005)
    pressed = threading.Event()
    steps: list[float] = []

    def step() -> None:
        steps.append(0.0)
        pressed.wait(5)
        threading.Event().wait(0.1)

    def progress(what: Any) -> None:
        pressed.set()
        raise KeyboardInterrupt

    each.state.while_building = step
    with pytest.raises(KeyboardInterrupt):
        build(tiny, progress=progress)

    assert not list(cache_folder().glob("**/*.plan")) and not each.cuda.memory
    times = list(cache_folder().glob("**/*.cache"))
    if each.version.startswith("8."):  # which cannot be told, and goes on measuring
        assert not times
    else:
        assert len(steps) < 4, "TensorRT was not told to stop"
        assert len(times) == 1, "what was measured shortens the next try"


# Lines as TensorRT 8.4, 8.6 and 10 write them at their finest level.
LOG = """\
Applying generic optimizations to the graph for inference.
Original: 9 layers
After Myelin optimization: 8 layers
After vertical fusions: 4 layers
After tensor merging: 4 layers
=============== Computing reformatting costs
=============== Computing costs for
*************** Autotuning format combination: Float(1,2) -> Float(3,4) ***************
--------------- Timing Runner: conv1 + PWN(PWN(act/Sigmoid), act/Mul) (CaskConvolution)
CaskConvolution has no valid tactics for this config, skipping
--------------- Timing Runner: conv1 + PWN(PWN(act/Sigmoid), act/Mul) (CaskFlattenConvolution[0x80000036])
Tactic: 0x0000000000000000 Time: 0.17
=============== Computing costs for /head/Conv
--------------- Timing Runner: /head/Conv (CudaDepthwiseConvolution[0x80000023])
After reformat layers: 7 layers
"""


def test_the_log_of_8_6_says_what_is_timed_and_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(trt_watch, "monotonic", lambda: now[0])
    watch = Watch(None)
    found = []
    for line in LOG.splitlines():
        watch.hear(line)
        found.append(watch.where())
        now[0] += 1.5

    assert found[0] == ("building", None) and found[6] == ("building", 0.25)
    assert found[8] == ("timing conv1 + PWN(PWN(act/Sigmoid), act/Mul) (CaskConvolution)", 0.25)
    assert found[-1] == ("timing /head/Conv (CudaDepthwiseConvolution)", 0.5)
    watch.hear("Formats and tactics selection completed in 21.3 seconds.")
    assert watch.where() == ("building", 0.5)
    assert watch.slowest(2) == [
        ("conv1 + PWN(PWN(act/Sigmoid), act/Mul) (CaskFlattenConvolution)", 4.5),
        ("conv1 + PWN(PWN(act/Sigmoid), act/Mul) (CaskConvolution)", 3.0),
    ]


def test_long_names_of_fused_layers_are_cut() -> None:
    watch = Watch(None)
    watch.hear(f"--------------- Timing Runner: {' + '.join(['/backbone/Conv'] * 9)} (Myelin)")
    phase, _ = watch.where()
    assert phase.startswith("timing /backbone/Conv + ") and phase.endswith("... (Myelin)")
    assert len(phase) < 80


def test_the_record_and_the_report_say_what_took_longest(
    each: Any, tiny: Path, caplog: pytest.LogCaptureFixture
) -> None:
    each.state.while_building = lambda: threading.Event().wait(0.15)
    with caplog.at_level("INFO", logger="perception"):
        report = build(tiny, parity=False)

    assert "conv1 (CaskConvolution)" in dict(report.slowest)
    assert "  took longest to time: " in report.text()
    assert "s to time conv1 (CaskConvolution)" in caplog.text
    assert build(tiny).slowest == report.slowest, "read back from the record"


def test_where_there_is_no_terminal_a_line_now_and_then_is_enough(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tell = Teller(verbose=False)
    for second in range(100):
        tell(BuildProgress("timing conv1", 0.5, float(second)))

    assert capsys.readouterr().err.splitlines() == [
        f"still building: timing conv1, 50%, {second} s" for second in (30, 60, 90)
    ]


def test_the_line_on_a_terminal_is_gone_before_anything_else_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    tell = Teller(verbose=False)
    tell.end()
    assert capsys.readouterr().err == ""
    tell(BuildProgress("timing conv1", None, 3.0))
    tell.end()
    assert capsys.readouterr().err == "\rtiming conv1, 3 s\x1b[K\r\x1b[K"


def test_verbose_writes_a_line_for_every_phase(
    each: Any, tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trt_watch, "TICK_S", 0.005)
    each.state.while_building = lambda: threading.Event().wait(0.1)

    assert main(["build", str(tiny), "--no-parity", "--verbose"]) == 0

    lines = capsys.readouterr().err.splitlines()
    wanted = "timing conv1" if each.version.startswith("8.") else "Time kernels"
    assert any(wanted in line for line in lines)
    phases = [line.split(" s  ", 1)[1].split(",")[0] for line in lines if " s  " in line]
    assert all(a != b for a, b in pairwise(phases))
