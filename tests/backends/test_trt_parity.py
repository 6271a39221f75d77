"""Parity figures: known differences give known numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception.backends.onnxrt import OnnxRuntimeEngine
from perception.backends.trt_model import read_model
from perception.backends.trt_parity import average_precision, compare, draw_road
from perception.types import Detections

PICTURE = np.zeros((32, 64, 3), np.uint8)


class Shifted:
    """ONNX Runtime under another name, with something added to its results."""

    backend = "tensorrt"

    def __init__(self, path: Path, offset: float = 0.0) -> None:
        self._engine = OnnxRuntimeEngine(path)
        self.path, self.card, self.offset = path, self._engine.card, offset
        (given,) = self._engine.inputs
        self.inputs = (type(given)(given.name, given.dtype, (1, 3, 32, 64)),)
        self.outputs = self._engine.outputs

    def infer(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: value + np.float32(self.offset)
            for name, value in self._engine.infer(feeds).items()
        }

    def close(self) -> None:
        self._engine.close()


def found(*rows: tuple[float, float, int]) -> Detections:
    """Boxes 20x20 at (x, 10) with a score and class each."""
    boxes = np.array([[x, 10, x + 20, 30] for x, _, _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score, _ in rows], np.float32)
    kinds = np.array([kind for _, _, kind in rows], np.int32)
    return Detections(boxes, scores, kinds, ("car", "bus"))


def report(tiny: Path, want: Detections, have: Detections, precision: str = "fp16") -> Any:
    def detect(engine: Any, image: Any) -> Detections:
        return want if engine.backend == "onnxruntime" else have

    return compare(
        read_model(tiny), Shifted(tiny), precision=precision, pictures=[PICTURE], detect=detect
    )


def test_the_same_results_pass_with_zeros(tiny: Path) -> None:
    same = found((10, 0.9, 0), (40, 0.5, 1))
    result = report(tiny, same, same)

    assert result.passed and result.cosine == pytest.approx(1)
    assert (result.detections, result.missed, result.ap_points) == (2, 0, pytest.approx(0))
    assert (result.box_px, result.score, result.max_box_px, result.max_score) == (0, 0, 0, 0)
    assert result.max_raw == 0
    assert "2 detections, 0 missed" in result.text and "1 pictures" in result.text


def test_differences_are_measured(tiny: Path) -> None:
    result = report(tiny, found((10, 0.9, 0), (40, 0.5, 1)), found((10.75, 0.9, 0), (40, 0.495, 1)))

    assert result.passed
    assert result.max_box_px == pytest.approx(0.75) and result.max_score == pytest.approx(
        0.005, abs=1e-6
    )


@pytest.mark.parametrize(
    ("have", "said"),
    [
        (found((11.5, 0.9, 0), (40, 0.5, 1)), "box 1.50 px over 1.0"),
        (found((10, 0.88, 0), (40, 0.5, 1)), "score 0.0200 over 0.01"),
        (found((10, 0.9, 0)), "AP 50.00 points lower"),
        (found((10, 0.9, 1), (40, 0.5, 1)), "AP 75.00 points lower"),
        (found(), "AP 100.00 points lower"),
    ],
)
def test_what_is_outside_the_tolerance_is_named(tiny: Path, have: Detections, said: str) -> None:
    result = report(tiny, found((10, 0.9, 0), (40, 0.5, 1)), have)

    assert not result.passed
    assert said in " ".join(result.failures) and "broken:" in result.text


def test_int8_is_judged_by_ap_only(tiny: Path) -> None:
    assert report(tiny, found((10, 0.9, 0)), found((14, 0.6, 0)), "int8").passed


@pytest.mark.parametrize("there", [True, False])
def test_weak_detections_count_neither_for_nor_against(tiny: Path, there: bool) -> None:
    weak = [(40.0, 0.2, 0)]
    have = found((10, 0.9, 0), *(weak if there else []))
    result = report(tiny, found((10, 0.9, 0), *weak), have)

    assert result.passed and result.missed == 0 and result.ap_points == pytest.approx(0)
    assert result.detections == 1


def test_detections_that_are_not_there_cost_precision(tiny: Path) -> None:
    result = report(tiny, found((10, 0.5, 0)), found((10, 0.5, 0), (50, 0.9, 0)))

    assert not result.passed and result.ap_points == pytest.approx(50)


@pytest.mark.parametrize(("moved", "passed"), [(4, True), (5, False)])
def test_one_in_fifty_may_differ_by_more(tiny: Path, moved: int, passed: bool) -> None:
    want = [(30.0 * i, 0.9, 0) for i in range(200)]
    have = [(30.0 * i + (3 if i < moved else 0), 0.9, 0) for i in range(200)]
    result = report(tiny, found(*want), found(*have))

    assert result.passed is passed and result.max_box_px == 3


def test_one_kept_here_and_two_there_is_no_object_lost(tiny: Path) -> None:
    pair, one = found((10, 0.9, 0), (15, 0.5, 0)), found((10, 0.9, 0))

    for want, have in ((pair, one), (one, pair)):
        result = report(tiny, want, have)
        assert result.missed == 0 and result.ap_points == pytest.approx(0)


def test_a_large_box_is_allowed_a_hundredth_of_its_side(tiny: Path) -> None:
    def box(width: float) -> Detections:
        xyxy = np.array([[0, 0, width, 50]], np.float32)
        return Detections(xyxy, np.array([0.9], np.float32), np.zeros(1, np.int32), ("car",))

    assert report(tiny, box(400), box(403)).passed
    assert not report(tiny, box(400), box(405)).passed
    assert not report(tiny, box(80), box(81.5)).passed


def test_a_pixel_is_one_of_the_network_s_input(tiny: Path) -> None:
    def detect(engine: Any, image: Any) -> Detections:
        return found((10, 0.9, 0)) if engine.backend == "onnxruntime" else found((12.5, 0.9, 0))

    large = np.zeros((96, 192, 3), np.uint8)  # three times the input
    result = compare(
        read_model(tiny), Shifted(tiny), precision="fp16", pictures=[large], detect=detect
    )

    assert result.passed and result.box_px == pytest.approx(2.5 / 3)


def test_nothing_found_says_so_and_raw_outputs_decide(tiny: Path) -> None:
    result = report(tiny, found(), found())

    assert result.detections == 0 and result.ap_points is None and result.passed
    assert "detections" not in result.text


def test_without_a_decoder_raw_outputs_are_compared_on_drawn_pictures(tiny: Path) -> None:
    good = compare(read_model(tiny), Shifted(tiny), precision="fp16")
    bad = compare(read_model(tiny), Shifted(tiny, offset=-2048), precision="fp16")

    assert good.passed and good.drawn and "4 drawn pictures" in good.text
    assert not bad.passed and bad.max_raw == pytest.approx(2048, abs=0.1)


def test_results_that_are_not_numbers_fail(tiny: Path) -> None:
    result = compare(read_model(tiny), Shifted(tiny, offset=float("nan")), precision="int8")

    assert not result.passed and result.cosine == -1


def test_a_report_is_plain_data(tiny: Path) -> None:
    data = report(tiny, found((10, 0.9, 0)), found((10, 0.9, 0))).to_json()

    assert data["passed"] is True and data["precision"] == "fp16" and data["pictures"] == 1


def test_average_precision_of_known_lists() -> None:
    right, wrong = (True, 1), (False, 0)
    assert average_precision([(0.9, *right), (0.8, *right)], 2) == 1
    found = average_precision([(0.9, *right), (0.8, *wrong), (0.7, *right)], 2)
    assert found == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert average_precision([(0.9, *wrong)], 1) == 0
    assert average_precision([], 3) == 0


def test_drawn_pictures_are_the_same_for_the_same_seed_and_differ_otherwise() -> None:
    first = draw_road(0).copy()
    draw_road.cache_clear()

    assert np.array_equal(first, draw_road(0)) and not np.array_equal(first, draw_road(1))
    assert first.shape == (540, 960, 3) and first.std() > 20
