"""SimOTA on hand-made cells."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")

from engines.nets.assign import assign, assign_batch  # noqa: E402
from engines.nets.road import grid  # noqa: E402

CORNERS, STRIDES = grid(128, 128)
CELLS = len(CORNERS)


def around(box: list[float], cells: int = CELLS):  # type: ignore[no-untyped-def]
    """Every cell predicts `box`."""
    return torch.tensor([box]).repeat(cells, 1)


def test_no_truth_assigns_nothing() -> None:
    found = assign(
        around([0, 0, 8, 8]),
        torch.full((CELLS, 2), 0.5),
        torch.zeros(0, 4),
        torch.zeros(0, 2, dtype=torch.bool),
        CORNERS,
        STRIDES,
    )
    assert len(found.cells) == len(found.labels) == len(found.iou) == 0


def test_assigned_cells_lie_in_or_near_their_box() -> None:
    truth = torch.tensor([[32.0, 32.0, 64.0, 64.0]])
    allowed = torch.tensor([[True, False]])
    probability = torch.full((CELLS, 2), 0.3)
    found = assign(around([32, 32, 64, 64]), probability, truth, allowed, CORNERS, STRIDES)
    centre = (CORNERS[found.cells] + 0.5) * STRIDES[found.cells, None]
    assert len(found.cells) == 10  # every candidate has IoU 1: the ten best give k = 10
    assert ((centre > 32) & (centre < 64)).all()
    assert torch.equal(found.iou, torch.ones(10))


def test_few_good_predictions_give_few_cells() -> None:
    truth = torch.tensor([[32.0, 32.0, 64.0, 64.0]])
    predicted = torch.zeros(CELLS, 4)
    good = 16 * 5 + 5  # column 5, row 5 at stride 8: centre (44, 44)
    predicted[good] = truth[0]
    found = assign(
        predicted,
        torch.full((CELLS, 1), 0.3),
        truth,
        torch.ones(1, 1, dtype=torch.bool),
        CORNERS,
        STRIDES,
    )
    assert found.cells.tolist() == [good]


def test_a_cell_wanted_twice_goes_to_the_box_it_fits_better() -> None:
    truth = torch.tensor([[32.0, 32.0, 64.0, 64.0], [32.0, 32.0, 64.0, 96.0]])
    found = assign(
        around([32, 32, 64, 64]),
        torch.full((CELLS, 1), 0.3),
        truth,
        torch.ones(2, 1, dtype=torch.bool),
        CORNERS,
        STRIDES,
    )
    assert len(found.cells) == len(set(found.cells.tolist()))
    shared = (found.labels == 0).sum()
    assert shared > 0


def test_among_equal_boxes_the_cell_that_says_the_class_is_chosen() -> None:
    truth = torch.tensor([[32.0, 32.0, 64.0, 64.0]])
    probability = torch.full((CELLS, 2), 0.1)
    inside = 16 * 5 + 5
    probability[inside, 1] = 0.9
    predicted = torch.zeros(CELLS, 4)
    predicted[:] = torch.tensor([0.0, 0.0, 8.0, 8.0])
    predicted[[inside, inside + 1]] = truth[0] * 0.5 + 16  # the same fair box from two cells
    allowed = torch.tensor([[False, True]])
    found = assign(predicted, probability, truth, allowed, CORNERS, STRIDES)
    assert found.cells[0] == inside


def test_open_kind_takes_the_likelier_class() -> None:
    truth = torch.tensor([[32.0, 32.0, 64.0, 64.0]])
    predicted = around([32, 32, 64, 64])
    probability = torch.full((CELLS, 2), 0.05)
    sure_of_first = 16 * 5 + 5
    probability[sure_of_first, 0] = 0.95
    predicted[:] = torch.tensor([30.0, 30.0, 60.0, 60.0])
    closed = assign(predicted, probability, truth, torch.tensor([[False, True]]), CORNERS, STRIDES)
    either = assign(predicted, probability, truth, torch.tensor([[True, True]]), CORNERS, STRIDES)
    assert sure_of_first in either.cells.tolist()
    assert sure_of_first not in closed.cells.tolist() or len(closed.cells) > 1


def test_a_batch_is_its_pictures_one_by_one() -> None:
    generator = torch.Generator().manual_seed(3)
    predicted = torch.rand(3, CELLS, 4, generator=generator) * 60
    predicted[..., 2:] += predicted[..., :2] + 4
    probability = torch.rand(3, CELLS, 2, generator=generator)
    truth = torch.rand(3, 5, 4, generator=generator) * 60
    truth[..., 2:] += truth[..., :2] + 6
    allowed = torch.rand(3, 5, 2, generator=generator) > 0.3
    counts = (5, 0, 2)
    real = torch.arange(5)[None] < torch.tensor(counts)[:, None]
    found = assign_batch(predicted, probability, truth, allowed, real, CORNERS, STRIDES)
    for number, count in enumerate(counts):
        alone = assign(
            predicted[number],
            probability[number],
            truth[number, :count],
            allowed[number, :count],
            CORNERS,
            STRIDES,
        )
        mine = found.pictures == number
        assert torch.equal(found.cells[mine], alone.cells)
        assert torch.equal(found.labels[mine], alone.labels)
        torch.testing.assert_close(found.iou[mine], alone.iou)
