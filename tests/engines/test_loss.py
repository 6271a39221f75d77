"""The loss: what is unknown costs nothing, what is known is learnt."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")

from engines.nets.loss import Target, detection_loss, log_score  # noqa: E402
from engines.nets.road import grid  # noqa: E402

SIZE = (64, 64)
CORNERS, STRIDES = grid(*SIZE)
CELLS, CLASSES = len(CORNERS), 3


def raw_predictions(seed: int = 0):  # type: ignore[no-untyped-def]
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(1, CELLS, 5 + CLASSES, generator=generator)
    return raw.requires_grad_(True)


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


def test_unknown_class_gets_no_gradient() -> None:
    raw = raw_predictions()
    detection_loss(raw, [target(known=(True, False, True))], SIZE)["total"].backward()
    assert raw.grad[..., 6].abs().max() == 0
    assert raw.grad[..., 5].abs().min() > 0 and raw.grad[..., 7].abs().min() > 0


def test_objectness_does_not_learn_from_a_picture_of_unknowns() -> None:
    raw = raw_predictions()
    detection_loss(raw, [target(known=(False, False, False))], SIZE)["total"].backward()
    assert raw.grad.abs().max() == 0


def test_labelled_box_of_a_partly_labelled_class_is_learnt() -> None:
    raw = raw_predictions()
    one = target([[16, 16, 48, 48]], [[False, True, False]], known=(False, False, False))
    losses = detection_loss(raw, [one], SIZE)
    losses["total"].backward()
    learning = raw.grad[0, :, 6].nonzero().squeeze(1)
    assert len(learning) == int(losses["cells"]) > 0
    assert (raw.grad[0, learning, 6] < 0).all()  # descending raises the score
    assert raw.grad[..., 5].abs().max() == 0


def test_ignored_region_spares_its_class_only() -> None:
    raw = raw_predictions()
    one = target(ignore=[[0, 0, 32, 64]], ignore_classes=[[True, False, False]])
    detection_loss(raw, [one], SIZE)["total"].backward()
    centre = (CORNERS + 0.5) * STRIDES[:, None]
    inside = centre[:, 0] < 32
    assert raw.grad[0, inside, 5].abs().max() == 0
    assert raw.grad[0, ~inside, 5].abs().min() > 0
    assert raw.grad[0, inside, 6].abs().min() > 0


def test_open_kind_teaches_the_likelier_class_and_spares_the_other() -> None:
    raw = raw_predictions().detach()
    raw[..., 4], raw[..., 5], raw[..., 6] = -4.0, 2.0, -1.0
    raw.requires_grad_(True)
    one = target([[16, 16, 48, 48]], [[True, True, False]])
    losses = detection_loss(raw, [one], SIZE)
    losses["total"].backward()
    learning = (raw.grad[0, :, 6] == 0).nonzero().squeeze(1)
    assert len(learning) == int(losses["cells"]) > 0
    assert (raw.grad[0, learning, 5] < 0).all()


def test_score_is_the_product_of_objectness_and_class() -> None:
    raw = raw_predictions()
    product = raw[..., 4:5].sigmoid() * raw[..., 5:].sigmoid()
    torch.testing.assert_close(log_score(raw).exp(), product)


def test_extreme_predictions_keep_the_loss_finite() -> None:
    for value in (-80.0, 80.0):
        raw = torch.full((1, CELLS, 5 + CLASSES), value, requires_grad=True)
        one = target([[16, 16, 48, 48]], [[True, False, False]])
        loss = detection_loss(raw, [one], SIZE)["total"]
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(raw.grad).all()


def test_descending_the_loss_finds_the_box() -> None:
    raw = raw_predictions().detach()
    raw[..., 4:] = -3.0
    raw.requires_grad_(True)
    one = target([[8, 16, 40, 48]], [[False, False, True]])
    optimiser = torch.optim.Adam([raw], lr=0.2)
    for _ in range(80):
        optimiser.zero_grad()
        detection_loss(raw, [one], SIZE)["total"].backward()
        optimiser.step()
    score = log_score(raw.detach()).exp()[0]
    best = int(score[:, 2].argmax())
    from engines.nets.road import boxes_of

    box = boxes_of(raw.detach()[0], CORNERS, STRIDES)[best]
    assert score[best, 2] > 0.7 and score[:, :2].max() < 0.2
    assert box.tolist() == pytest.approx([8, 16, 40, 48], abs=2)
