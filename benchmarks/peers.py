"""The same clip, the same weights and the same outputs through this project and through what people use.

    python benchmarks/peers.py CLIP... --weights yolox_nano.onnx --python PEERS/bin/python [--json OUT]

Every entrant decodes the clip, runs YOLOX-nano at 416x416, draws boxes with labels, writes an overlay video and a
record; those of this project and of `trackers` also track. Each runs in a process of its own, in
rounds that take turns; figures are medians. The first ten frames do not count. The rates need an idle machine; CPU
time a frame is that of all threads and hardly needs one.

PEERS is an environment of its own, so that nothing of it becomes a dependency of this project:

    python -m venv PEERS && PEERS/bin/pip install onnxruntime av opencv-python-headless supervision trackers

Four lines are this project's: *equal work* with the peers' weights in FP32 and their encoder's settings (x264
veryfast, crf 23); *their weights* with our defaults, that is the encoder's settings and the fastest arithmetic that was
measured for this file and costs at most half a point of AP (`python -m engines.quantize WEIGHTS --family yolox --layout
openvino` and `python -m engines.precision WEIGHTS --family yolox` beforehand); and the detector and tracker of the configurations
that are shipped, the default one and `fast`.

PSNR is of luma, 0 to 255, of the frames an entrant drew against what its video shows of them. The *bound* is what no pipeline can exceed at equal work: the cores over the CPU time of decoder, network and encoder,
each measured alone in the same rounds. "times" says whether
every frame of the output lies where it lies in the source, "sound" whether the sound tracks are there.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from perception.config import DEFAULT, load_config
from perception.errors import InputError
from perception.machine import machine

PROGRAMS = Path(__file__).resolve().parent / "peers"
PEERS = {
    "OpenCV dnn, mp4v": "opencv.py",
    "supervision, mp4v": "supervision_process_video.py",
    "trackers + supervision, mp4v": "trackers_package.py",
    "PyAV + ORT, one thread, H.264": "pyav_one_thread.py",
    "PyAV + ORT, three threads, H.264": "pyav_three_threads.py",
}
ULTRALYTICS = {"Ultralytics, MJPG": "ultralytics_predict.py"}
EQUAL, THEIR_WEIGHTS = "ours, equal work", "ours, their weights"
OURS, FAST = "ours", "ours, fast"
DRAWN_FRAMES = 60
TOLERANCE_S = 0.002  # of a frame's time: half of what a millisecond's rounding on both sides can be


@dataclass
class Entrant:
    """One way of doing the job, and what was measured of it."""

    name: str
    command: list[str]
    suffix: str = ".mp4"
    fps: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)
    output: dict[str, Any] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        return {
            "fps": round(statistics.median(self.fps), 2),
            "fps_rounds": [round(value, 2) for value in self.fps],
            "cpu_ms": round(statistics.median(self.cpu_ms), 2),
            "cpu_ms_rounds": [round(value, 2) for value in self.cpu_ms],
            "peak_mb": round(max(self.peak_mb)),
            **self.output,
        }


class Bare:
    """What no pipeline can do without, each alone in one round after the other."""

    def __init__(self, python: str, weights: Path) -> None:
        self._command = [python, str(PROGRAMS / "bare_parts.py")]
        self._weights = weights
        self._rounds: list[dict[str, float]] = []

    def one_round(self, clip: Path, folder: Path, frames: int | None) -> None:
        words = [str(clip.resolve()), str(self._weights), str(folder / "bare.mp4")]
        words += [] if frames is None else ["--frames", str(frames)]
        done = subprocess.run([*self._command, *words], capture_output=True, text=True, check=True)
        self._rounds.append(json.loads(done.stdout))

    def figures(self, cores: int, rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """CPU milliseconds of each part, the bound in frames a second, and what "equal work" reaches of it."""
        parts = {
            name: statistics.median(found[name] for found in self._rounds)
            for name in self._rounds[0]
        }
        bound = 1000 * cores / sum(parts.values())
        figures = {f"{name}_ms": round(value, 2) for name, value in parts.items()}
        figures["fps"] = round(bound, 2)
        if EQUAL in rows:
            figures["reached"] = round(rows[EQUAL]["fps"] / bound, 3)
        return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--weights", type=Path, required=True, help="the public YOLOX-nano file")
    parser.add_argument("--python", required=True, help="of the environment with the peers")
    parser.add_argument(
        "--ultralytics", nargs=2, metavar=("PYTHON", "ONNX"), help="its environment and file"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, help="at most so many of each clip")
    parser.add_argument("--only", action="append", help="names that contain this")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report: dict[str, Any] = {"schema": "perception-peers/1", "machine": machine(), "clips": {}}
    report["bounds"] = {}
    report["peers"] = versions(options.python)
    with tempfile.TemporaryDirectory() as name:
        for clip in options.clips:
            if not clip.is_file():
                raise InputError(f"{clip}: no such clip")
            entrants = [
                entrant
                for entrant in entrants_for(options, Path(name))
                if not options.only or any(word in entrant.name for word in options.only)
            ]
            bare = Bare(options.python, options.weights.resolve())
            for number in range(options.rounds):
                bare.one_round(clip, Path(name), options.frames)
                for entrant in entrants:
                    print(f"{clip.name} round {number + 1}: {entrant.name}", file=sys.stderr)
                    one_round(entrant, clip, Path(name), options.frames)
            for entrant in entrants:
                entrant.output["psnr_db"] = quality(entrant, clip, Path(name))
            rows = {entrant.name: entrant.figures() for entrant in entrants}
            report["clips"][clip.name] = rows
            report["bounds"][clip.name] = bare.figures(report["machine"]["cores"], rows)
            print(table(clip.name, rows, report["bounds"][clip.name]), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def entrants_for(options: argparse.Namespace, folder: Path) -> list[Entrant]:
    """This project's four, then the peers."""
    detector = (
        f'[[stages]]\ntype = "detector"\nengine = "{options.weights.resolve()}"\nfamily = "yolox"\n'
    )
    tracker = '[[stages]]\ntype = "tracker"\n'
    fp32 = 'backend = "onnxruntime"\nprecision = "fp32"\n'
    texts = {
        EQUAL: detector + fp32 + tracker + '[video]\npreset = "veryfast"\ncrf = 23\n',
        THEIR_WEIGHTS: detector + tracker,
        OURS: detection_only(DEFAULT),
        FAST: detection_only("fast"),
    }
    found = []
    for number, (name, text) in enumerate(texts.items()):
        config = folder / f"ours{number}.toml"
        config.write_text(text)
        found.append(
            Entrant(name, [sys.executable, str(PROGRAMS / "ours.py"), "CLIP", str(config)])
        )
    for name, program in PEERS.items():
        command = [options.python, str(PROGRAMS / program), "CLIP", str(options.weights.resolve())]
        found.append(Entrant(name, command))
    if options.ultralytics:
        python, onnx = options.ultralytics
        for name, program in ULTRALYTICS.items():
            command = [python, str(PROGRAMS / program), "CLIP", str(Path(onnx).resolve())]
            found.append(Entrant(name, command, suffix=".avi"))
    return found


def detection_only(name: str) -> str:
    """The detector and its tracker of an installed configuration: what the peers do, too."""
    lines = []
    for table in load_config(name).stages:
        if table["type"] in ("detector", "tracker"):
            lines += [
                "[[stages]]",
                *(f"{key} = {json.dumps(value)}" for key, value in table.items()),
            ]
    return "\n".join(lines) + "\n"


def run(entrant: Entrant, clip: Path, output: Path, *more: str) -> tuple[dict[str, Any], float]:
    """Run an entrant; returns what it printed, and its peak memory in MB."""
    words = [str(clip.resolve()) if word == "CLIP" else word for word in entrant.command]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [*words, str(output), *more], stdout=subprocess.PIPE, stderr=said, text=True
        )
        assert process.stdout is not None
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        if process.returncode:
            said.seek(0)
            raise InputError(f"{entrant.name} failed: {said.read().decode()[-600:]}")
    figures: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
    return figures, usage.ru_maxrss / 1024


def one_round(entrant: Entrant, clip: Path, folder: Path, frames: int | None) -> None:
    output = folder / f"out{entrant.suffix}"
    more = [] if frames is None else ["--frames", str(frames)]
    figures, peak = run(entrant, clip, output, *more)
    entrant.fps.append(figures["fps"])
    entrant.cpu_ms.append(figures["cpu_ms"])
    entrant.peak_mb.append(peak)
    entrant.output = {
        "frames": figures["frames"],
        "size_of_source": round(output.stat().st_size / clip.stat().st_size, 3),
        **survived(clip, output, figures["frames"]),
    }


def survived(clip: Path, output: Path, frames: int) -> dict[str, Any]:
    """Whether the times of the frames, their number and the sound are those of the source."""
    with av.open(str(clip)) as one, av.open(str(output)) as two:
        sounds = [len(file.streams.audio) for file in (one, two)]
        times = []
        for file in (one, two):
            stamps = [float(f.pts * f.time_base) for f in file.decode(video=0) if f.pts is not None]
            times.append(np.array(stamps) - stamps[0])
    wanted, found = times[0][:frames], times[1]
    same = len(wanted) == len(found) and bool(np.abs(wanted - found).max() <= TOLERANCE_S)
    sound = "none in the source" if sounds[0] == 0 else "kept" if sounds[0] == sounds[1] else "lost"
    return {"times": "kept" if same else "changed", "frames_out": len(found), "sound": sound}


def quality(entrant: Entrant, clip: Path, folder: Path) -> float:
    """PSNR of the video against the frames that were drawn; a run that is not timed."""
    output, drawn = folder / f"drawn{entrant.suffix}", folder / "drawn.npy"
    run(entrant, clip, output, "--drawn", str(drawn), "--frames", str(DRAWN_FRAMES))
    ours = entrant.name in (EQUAL, THEIR_WEIGHTS, OURS, FAST)
    kept = np.load(drawn, mmap_mode="r")
    errors = []
    with av.open(str(output)) as video:
        for wanted, frame in zip(kept, video.decode(video=0), strict=False):
            # Ours are planes as encoded, 16 to 235; the peers' are grey pictures made from BGR, 0 to 255.
            if ours:
                found = plane(frame)
                scale = 255 / 219
            else:
                bgr = frame.to_ndarray(format="bgr24")
                found, scale = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), 1.0
            height, width = wanted.shape
            difference = found[:height, :width].astype(np.float32) - wanted
            errors.append(float(np.mean(np.square(difference))) * scale**2)
    return round(statistics.fmean(10 * np.log10(255**2 / max(error, 1e-6)) for error in errors), 2)


def plane(frame: av.VideoFrame) -> np.ndarray:
    """The luma of a decoded frame."""
    luma = frame.planes[0]
    lines = np.frombuffer(memoryview(luma), np.uint8).reshape(luma.height, luma.line_size)
    return lines[:, : luma.width]


def versions(python: str) -> dict[str, str]:
    """Of the peers' packages."""
    code = (
        "import json\nfrom importlib.metadata import distributions\n"
        "print(json.dumps({d.metadata['Name']: d.version for d in distributions()}))"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    wanted = {
        "av",
        "numpy",
        "onnxruntime",
        "opencv-python",
        "opencv-python-headless",
        "supervision",
        "trackers",
    }
    return {name: version for name, version in json.loads(done.stdout).items() if name in wanted}


def table(clip: str, rows: dict[str, dict[str, Any]], bound: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        f"| {clip} | fps | CPU ms | peak MB | size of source | PSNR dB | times | sound |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in rows.items():
        lines.append(
            f"| {name} | {row['fps']:.1f} | {row['cpu_ms']:.1f} | {row['peak_mb']} "
            f"| {row['size_of_source']:.2f} | {row['psnr_db']:.1f} | {row['times']} | {row['sound']} |"
        )
    parts = ", ".join(
        f"{name.removesuffix('_ms')} {bound[name]:.1f}" for name in bound if name.endswith("_ms")
    )
    lines += ["", f"Bound at equal work: {bound['fps']:.1f} fps (CPU ms: {parts})"]
    if "reached" in bound:
        lines[-1] += f"; reached {bound['reached']:.0%}"
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
