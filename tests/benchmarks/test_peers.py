"""The comparison with peers: what it checks of an output, with entrants made up here."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from perception.errors import InputError
from tests.clips import clip

PROGRAM = """
import json, sys
from itertools import islice
import av
import numpy as np
clip, out = sys.argv[1:3]
drawn = sys.argv[sys.argv.index("--drawn") + 1] if "--drawn" in sys.argv else None
kept = []
with av.open(clip) as source, av.open(out, "w") as target:
    video = source.streams.video[0]
    stream = target.add_stream("libx264", rate=video.average_rate)
    stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
    stream.options = {"crf": "18", "bf": "0"}
    for frame in source.decode(video):
        image = frame.to_ndarray(format="bgr24")
        weights = np.array([0.114, 0.587, 0.299], np.float32)
        kept.append(np.rint(image.astype(np.float32) @ weights).astype(np.uint8))
        for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")):
            target.mux(packet)
    for packet in stream.encode(None):
        target.mux(packet)
if drawn:
    np.save(drawn, np.stack(kept))
print("a line of its own")
print(json.dumps({"frames": len(kept), "fps": 12.5, "cpu_ms": 3.0}))
"""


@pytest.fixture(scope="module")
def peers(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("peers", root / "benchmarks" / "peers.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["peers"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip(frames=20, audio=("aac",)))
    return path


@pytest.fixture
def entrant(peers: ModuleType, tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    return peers.Entrant("made here", [sys.executable, str(program), "CLIP"])


def test_a_round_measures_and_says_what_survived(peers, entrant, video, tmp_path):
    for _ in range(2):
        peers.one_round(entrant, video, tmp_path, None)
    entrant.output["psnr_db"] = peers.quality(entrant, video, tmp_path)
    figures = entrant.figures()
    assert figures["fps"] == 12.5 and figures["cpu_ms"] == 3.0 and figures["frames"] == 20
    assert figures["peak_mb"] > 10 and figures["size_of_source"] > 0
    assert figures["times"] == "kept" and figures["sound"] == "lost"
    assert 30 < figures["psnr_db"] < 60
    bound = {"decode_ms": 2.0, "network_ms": 8.0, "fps": 200.0, "reached": 0.5}
    text = peers.table("clip.mp4", {"made here": figures}, bound)
    assert "| made here | 12.5 | 3.0 |" in text
    assert "Bound at equal work: 200.0 fps (CPU ms: decode 2.0, network 8.0); reached 50%\n" in text


def test_the_bound_is_what_the_bare_parts_leave_to_all_cores(peers, bright_engine, video, tmp_path):
    bare = peers.Bare(sys.executable, bright_engine)
    for _ in range(2):
        bare.one_round(video, tmp_path, None)
    found = bare.figures(4, {peers.EQUAL: {"fps": 100.0}})
    parts = [found[f"{name}_ms"] for name in ("decode", "network", "encode")]
    assert min(parts) > 0
    assert found["fps"] == pytest.approx(4000 / sum(parts), rel=0.05)
    assert found["reached"] == pytest.approx(100 / found["fps"], rel=0.01)
    assert "reached" not in bare.figures(4, {})


def test_changed_times_and_lost_frames_are_seen(peers, video, tmp_path):
    assert peers.survived(video, video, 20) == {
        "times": "kept",
        "frames_out": 20,
        "sound": "kept",
    }
    variable = tmp_path / "variable.mp4"
    variable.write_bytes(clip(frames=20, pts=tuple(40 * i + 7 * (i % 2) for i in range(20))))
    assert peers.survived(variable, video, 20)["times"] == "changed"
    assert peers.survived(variable, video, 20)["sound"] == "none in the source"
    short = tmp_path / "short.mp4"
    short.write_bytes(clip(frames=10))
    assert peers.survived(video, short, 20)["times"] == "changed"
    assert peers.survived(video, short, 10)["times"] == "kept"


def test_an_entrant_that_fails_is_named_with_its_words(peers, video, tmp_path):
    program = tmp_path / "broken.py"
    program.write_text("raise SystemExit('no such codec')")
    broken = peers.Entrant("broken", [sys.executable, str(program)])
    with pytest.raises(InputError, match=r"broken failed: .*no such codec"):
        peers.run(broken, video, tmp_path / "out.mp4")


def test_this_project_enters_with_the_peers_settings_their_weights_and_its_own(peers, tmp_path):
    options = SimpleNamespace(weights=tmp_path / "w.onnx", python="python", ultralytics=None)
    found = {entrant.name: entrant for entrant in peers.entrants_for(options, tmp_path)}
    assert set(peers.PEERS) < set(found)
    equal = Path(found[peers.EQUAL].command[-1]).read_text()
    assert 'preset = "veryfast"' in equal and 'precision = "fp32"' in equal
    assert "veryfast" not in Path(found[peers.THEIR_WEIGHTS].command[-1]).read_text()
    assert "engine" in Path(found[peers.OURS].command[-1]).read_text()
    for program in (*peers.PEERS.values(), *peers.ULTRALYTICS.values()):
        assert (peers.PROGRAMS / program).is_file()


def test_ours_runs_and_keeps_times_and_sound(peers, bright_engine, video, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text(f'[[stages]]\ntype = "detector"\nengine = "{bright_engine}"\n')
    program = str(peers.PROGRAMS / "ours.py")
    ours = peers.Entrant(peers.OURS, [sys.executable, program, "CLIP", str(config)])
    peers.one_round(ours, video, tmp_path, None)
    assert ours.output["times"] == ours.output["sound"] == "kept"
    assert peers.quality(ours, video, tmp_path) > 25
    assert np.load(tmp_path / "drawn.npy").shape == (20, 96, 128)
