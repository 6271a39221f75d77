"""Two processes that share a batch take the steps of one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from engines import checkpoint  # noqa: E402
from engines.together import Team, join_team  # noqa: E402
from perception.errors import ConfigError  # noqa: E402

RECIPE = """
name = "tiny"
classes = ["car", "person"]
[data]
paths = ["{data}"]
[data.weights]
rectangles = 1.0
[train]
steps = 3
batch = 4
warmup = 1
folded = true
bf16 = false
sizes = [[64, 64]]
[validate]
every = 3
pixels = 6144
pictures = 2
"""


def test_a_team_of_one_changes_nothing() -> None:
    team = join_team(torch.device("cpu"), 3)
    assert team == Team() and team.leads and team.agree(True) and not team.agree(False)
    value = torch.tensor(2.0)
    assert team.total(value) is value


def test_a_batch_that_cannot_be_shared_out_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="multiple of 2 processes, but is 3"):
        join_team(torch.device("cpu"), 3)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(rectangles: Path, tmp_path: Path, root: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE.format(data=rectangles.as_posix()))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    base = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    base.pop("WORLD_SIZE", None)
    command = [sys.executable, "-m", "engines.train", str(recipe), "--device", "cpu", "--work"]
    running = [subprocess.Popen([*command, str(tmp_path / "one")], env=base)]
    for rank in range(2):
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        team = {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank), **address}
        running.append(subprocess.Popen([*command, str(tmp_path / "two")], env={**base, **team}))
    assert [process.wait(timeout=240) for process in running] == [0, 0, 0]
    one, two = (checkpoint.load(tmp_path / name / "last.pt")["net"] for name in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4)
    rows = [(tmp_path / name / "train.csv").read_text().splitlines()[1] for name in ("one", "two")]
    losses = [float(row.split(",")[1]) for row in rows]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
