"""The second stage's loss: matches by overlap, learns what is known, and falls."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")

from engines.nets.loss import Target  # noqa: E402
from engines.nets.two_stage import TwoStageNet, indexed, refine  # noqa: E402
from engines.nets.two_stage_loss import second_stage_loss, with_labels  # noqa: E402

CLASSES = 3
BOX = [16.0, 16.0, 48.0, 48.0]
FAR = [100.0, 100.0, 140.0, 120.0]


def target(  # type: ignore[no-untyped-def]
    boxes=(), allowed=(), known=(True, True, True), ignore=(), ignore_classes=()
) -> Target:
    return Target(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(allowed, dtype=torch.bool).reshape(-1, CLASSES),
        torch.tensor(known),
        torch.tensor(ignore, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(ignore_classes, dtype=torch.bool).reshape(-1, CLASSES),
    )


def learn(boxes: list[list[float]], one: Target, logits: torch.Tensor | None = None):  # type: ignore[no-untyped-def]
    """Gradients (logits, corrections) and the losses of one picture."""
    logits = torch.zeros(len(boxes), CLASSES) if logits is None else logits.clone()
    corrections = torch.zeros(len(boxes), 4)
    logits.requires_grad_(True)
    corrections.requires_grad_(True)
    losses = second_stage_loss([torch.tensor(boxes)], logits, corrections, [one])
    losses["total"].backward()
    return logits.grad, corrections.grad, losses


def test_overlap_decides_which_proposals_learn_a_box() -> None:
    near, half = [18.0, 16.0, 50.0, 48.0], [38.0, 16.0, 70.0, 48.0]
    grad, moved, losses = learn([near, half, FAR], target([BOX], [[False, True, False]]))
    assert losses["cells"] == 1
    assert grad[0, 1] < 0, "descending raises the labelled class"
    assert (grad[0, [0, 2]] > 0).all() and (grad[1:] > 0).all()
    assert moved[0].abs().max() > 0 and moved[1:].abs().max() == 0
    assert moved[0, 0] > 0, "descending moves the box to the left, onto the label"


def test_unknown_class_costs_nothing_even_where_another_is_learnt() -> None:
    grad, _, _ = learn([BOX, FAR], target([BOX], [[True, False, False]], known=(True, False, True)))
    assert grad[:, 1].abs().max() == 0
    assert grad[0, 0] < 0 and grad[1, 0] > 0 and (grad[:, 2] > 0).all()


def test_picture_of_unknowns_teaches_nothing() -> None:
    grad, moved, losses = learn([BOX, FAR], target(known=(False, False, False)))
    assert grad.abs().max() == 0 and moved.abs().max() == 0 and losses["cells"] == 0


def test_ignored_region_spares_its_class_in_proposals_inside_it() -> None:
    one = target(ignore=[[0, 0, 60, 60]], ignore_classes=[[True, False, False]])
    grad, _, _ = learn([BOX, [50.0, 16.0, 90.0, 48.0]], one)
    assert grad[0, 0] == 0 and grad[0, 1] > 0, "inside"
    assert grad[1, 0] > 0, "only a quarter of it is inside"


def test_open_kind_teaches_the_likelier_class_and_spares_the_other() -> None:
    logits = torch.tensor([[1.0, -1.0, 0.0]])
    grad, _, _ = learn([BOX], target([BOX], [[True, True, False]]), logits)
    assert grad[0, 0] < 0 and grad[0, 1] == 0 and grad[0, 2] > 0


def test_better_placed_proposal_wants_the_higher_score() -> None:
    logits = torch.full((2, CLASSES), 1.7)  # about 0.85
    grad, _, _ = learn(
        [BOX, [24.0, 16.0, 56.0, 48.0]], target([BOX], [[True, False, False]]), logits
    )
    assert grad[0, 0] < 0 < grad[1, 0], "IoU 1 asks for more, IoU 0.6 for less"


def test_labels_are_proposals_too_a_little_moved_and_inside_the_picture() -> None:
    torch.manual_seed(0)
    edge = [0.0, 0.0, 40.0, 20.0]
    both = with_labels(
        torch.zeros(2, 5, 4), [target([BOX, edge], [[True] * 3] * 2), target()], (64, 64)
    )
    assert [len(boxes) for boxes in both] == [7, 5]
    moved = both[0][5:]
    assert (moved - torch.tensor([BOX, edge])).abs().max() <= 0.15 * 40
    assert moved.min() >= 0 and moved.max() <= 64
    assert not torch.equal(moved[0], torch.tensor(BOX))


def test_batch_of_pictures_keeps_their_proposals_apart() -> None:
    logits = torch.zeros(3, CLASSES, requires_grad=True)
    corrections = torch.zeros(3, 4, requires_grad=True)
    second_stage_loss(
        [torch.tensor([FAR]), torch.tensor([BOX, FAR])],
        logits,
        corrections,
        [target([BOX], [[True, False, False]]), target([BOX], [[True, False, False]])],
    )["total"].backward()
    assert (logits.grad[:, 0] < 0).tolist() == [False, True, False]


def test_second_stage_learns_a_drawn_scene() -> None:
    """Bright squares are class 0, dark ones class 1; proposals are off by some pixels."""
    torch.manual_seed(0)
    net = TwoStageNet(CLASSES, proposals=8).train()
    net.road.eval().requires_grad_(False)
    optimiser = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=3e-3)
    boxes = torch.tensor([[16.0, 16, 56, 56], [72.0, 24, 112, 64], [70.0, 70, 90, 90]])
    off = boxes + torch.tensor([5.0, -4.0, 5.0, -4.0])
    merged = torch.randn(1, 64, 16, 16) * 0.1
    for value, box in ((2.0, boxes[0]), (-2.0, boxes[1])):
        x1, y1, x2, y2 = (box / 8).int().tolist()
        merged[0, :8, y1:y2, x1:x2] += value
    one = target(boxes[:2].tolist(), [[True, False, False], [False, True, False]])
    history = []
    for _ in range(60):
        logits, corrections = net.second(merged, indexed([off]))
        losses = second_stage_loss([off], logits, corrections, [one])
        optimiser.zero_grad()
        losses["total"].backward()
        optimiser.step()
        history.append(float(losses["total"].detach()))
    assert history[-1] < 0.3 * history[0]
    score = logits.detach().sigmoid()
    assert score[0, 0] > 0.6 and score[1, 1] > 0.6 and score[2].max() < 0.2
    refined = refine(off, corrections.detach())
    assert (refined[:2] - boxes[:2]).abs().max() < 2.5 < (off - boxes).abs().max()
