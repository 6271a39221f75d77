"""The plot: lines lie where their numbers say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perception.errors import InputError
from perception.render.plot import BOTTOM, DARKER, LEFT, LEGEND, SIZE, TOP, Line, plot, write_png

RED = (40, 40, 240)


def draw(x: list[float], y: list[float], before: int = 0) -> np.ndarray:
    """Where the line was drawn: (H, W) bool. `before` grey lines outside of the axes come first."""
    far = [Line("other", np.array([0.0, 0.0]), np.array([0.0, 0.0]), (9, 9, 9))] * before
    image = plot(
        [*far, Line("it", np.array(x), np.array(y), RED)], title="t", x_label="x", y_label="y"
    )
    colour = np.round(np.array(RED) * DARKER)
    near = (abs(image.astype(int) - colour) < 25).all(-1)
    near[:, SIZE[0] - LEGEND + 10 :] = False
    return near


def test_a_level_line_lies_at_its_height() -> None:
    drawn = draw([0.0, 1.0], [0.5, 0.5])
    rows, columns = np.nonzero(drawn)
    assert abs(rows.mean() - (TOP + SIZE[1] - BOTTOM) / 2) < 1.5
    assert columns.min() <= LEFT + 2 and columns.max() >= SIZE[0] - LEGEND - 3


def test_corners_are_the_ends_of_the_axes() -> None:
    rows, columns = np.nonzero(draw([0.0, 1.0], [0.0, 1.0]))
    assert abs(rows.max() - (SIZE[1] - BOTTOM)) <= 2 and abs(rows.min() - TOP) <= 2
    assert rows[columns.argmin()] > rows[columns.argmax()], "up is up"


def test_later_lines_are_dashed_to_stay_apart() -> None:
    whole, dashed = draw([0.0, 1.0], [0.5, 0.5]), draw([0.0, 1.0], [0.5, 0.5], before=6)
    assert 0.3 < dashed.sum() / whole.sum() < 0.8


def test_a_point_and_nothing_are_drawn_without_failing() -> None:
    for values in ([], [0.5]):
        draw(values, values)
        draw(values, values, before=6)


def test_a_plot_that_cannot_be_written(tmp_path: Path) -> None:
    image = plot([], title="t", x_label="x", y_label="y")
    write_png(tmp_path / "a.png", image)
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(InputError, match="cannot be written"):
        write_png(tmp_path / "no" / "a.png", image)
