from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sources.senders import interpreter_with_gstreamer


@pytest.mark.slow
def test_a_run_survives_a_server_that_is_killed_and_frozen(root: Path, tmp_path: Path) -> None:
    """A third of a minute of benchmarks/soak.py; its limits on delay and memory are for an idle machine."""
    python = interpreter_with_gstreamer()
    if python is None:
        pytest.skip(
            "needs GStreamer's RTSP server: apt install python3-gi gir1.2-gst-rtsp-server-1.0"
        )
    out, config = tmp_path / "soak.json", tmp_path / "nothing.toml"
    config.write_text("stages = []\n")
    words = ["--minutes", "0.33", "--kills", "2", "--freezes", "1", "--config", str(config)]
    done = subprocess.run(
        [sys.executable, "benchmarks/soak.py", *words, "--python", python, "--json", str(out)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
    )
    figures = json.loads(out.read_text())
    assert figures["not_back"] == 0, done.stderr
    assert figures["back_s_max"] < 2.0
    assert figures["stop_s"] < 2.0
    assert (figures["threads_left"], figures["descriptors_left"]) == (0, 0), figures["left"]
    assert figures["ledger"]["adds_up"]
    assert {"disconnect", "reconnect"} <= set(figures["events"])
