from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from engines.figures.lanes import LANES, Agreement, agreement, mean, report
from perception.models.lanes import LaneFinder
from tests.lane_scenes import ColourEngine


def finder() -> LaneFinder:
    engine = ColourEngine()
    assert engine.card is not None
    return LaneFinder(engine, engine.card)


def test_a_network_agrees_with_itself(root: Path) -> None:
    found = agreement(root / "sample_videos" / "day_highway.mp4", finder(), finder(), 3)
    assert found == Agreement(1.0, 1.0, found.outline_iou, found.line_f1)


def test_clips_count_the_same_in_the_mean() -> None:
    found = mean([Agreement(0.8, 0.6, 0.4, 0.2), Agreement(1.0, 1.0, 1.0, 1.0)])
    assert np.allclose([found.drivable_iou, found.line_f1], [0.9, 0.6])


@pytest.mark.slow
def test_the_committed_engine_reaches_what_is_asked_of_it(shared: Path) -> None:
    text = report(
        reference=shared / "weights" / "twinlitenet_360x640.onnx",
        clips=shared / "clips",
        frames=6,
    )
    means = [line.split("|") for line in text.splitlines() if "**mean**" in line]
    drivable, lane = float(means[0][3]), float(means[0][4])
    assert drivable > 0.85 and lane > 0.75
    shares = [
        float(line.rsplit(",", 1)[1].split()[0]) for line in text.splitlines() if "ms per" in line
    ]
    assert shares[0] < 0.5
    assert LANES.stat().st_size < 2_000_000
