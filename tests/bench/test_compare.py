"""Two results side by side."""

from __future__ import annotations

import json

import pytest

from perception.bench import compare
from perception.cli import main
from perception.errors import InputError


def result(path, *, fps: float, spread: float = 0.01, **more):
    wall = 1000 / fps
    rounds = [wall * (1 - spread / 2), wall, wall * (1 + spread / 2)]
    row = {"fps": fps, "wall_ms": rounds, "cpu_ms": [wall / 2] * 3}
    content = {
        "schema": "perception-bench/2",
        "machine": {"cpu": "A", "cores": 2, "gpu": None, "versions": {"numpy": "2.0"}},
        "source": "clip.mp4",
        "size": [640, 360],
        "parts": {"decode": row, "with video": row},
        "stages_ms": {"road": {"p50": wall}},
        "latency_ms": {"p50": 3.0},
    }
    path.write_text(json.dumps(content | more))
    return path


def verdicts(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("decode", "with video"))]


def test_a_difference_beyond_the_spread_is_named(tmp_path):
    a = result(tmp_path / "a.json", fps=50)
    text = compare(a, result(tmp_path / "b.json", fps=60))
    assert all(line.endswith("faster") and "1.20" in line for line in verdicts(text))
    assert "stage p50 ms road: 20.00, 16.67" in text and "latency p50 ms: 3.00, 3.00" in text
    assert "note:" not in text
    assert all(
        line.endswith("slower")
        for line in verdicts(compare(a, result(tmp_path / "c.json", fps=40)))
    )


def test_a_difference_within_the_spread_is_none(tmp_path):
    a = result(tmp_path / "a.json", fps=50)
    for b in (
        result(tmp_path / "b.json", fps=50.9),
        result(tmp_path / "c.json", fps=55, spread=0.2),
    ):
        assert all(line.endswith("same within the spread") for line in verdicts(compare(a, b)))


def test_what_makes_results_hard_to_compare_is_said(tmp_path):
    a = result(tmp_path / "a.json", fps=50)
    machine = {"cpu": "B", "cores": 8, "gpu": None, "versions": {"numpy": "2.1", "av": "18"}}
    text = compare(a, result(tmp_path / "b.json", fps=50, machine=machine, source="other.mp4"))
    for sentence in (
        "the processors differ: compare ratios only",
        "the numbers of cores differ",
        "the sources differ",
        "other versions of av, numpy",
    ):
        assert f"note: {sentence}" in text


def test_files_that_are_no_results_are_refused(tmp_path):
    a = result(tmp_path / "a.json", fps=50)
    with pytest.raises(InputError, match="cannot be read"):
        compare(a, tmp_path / "missing.json")
    other = tmp_path / "other.json"
    other.write_text("[]")
    with pytest.raises(InputError, match="is no result of `perception bench --json`"):
        compare(a, other)
    other.write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        compare(other, a)


def test_the_command_compares(tmp_path, capsys):
    a = str(result(tmp_path / "a.json", fps=50))
    assert main(["bench", "compare", a, a]) == 0
    assert "same within the spread" in capsys.readouterr().out
    assert main(["bench", "compare", a]) == 2
    assert "compare takes two results" in capsys.readouterr().err
