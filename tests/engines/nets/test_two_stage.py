"""The two-stage network: what it proposes, what it cuts out, and that its graph has constant shapes."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")

from engines.nets.road import grid  # noqa: E402
from engines.nets.two_stage import (  # noqa: E402
    POOLED,
    TwoStageNet,
    indexed,
    overlaps,
    refine,
)

SIZE = (64, 64)
CELLS = 64 + 16 + 4


def net(classes: int = 3, proposals: int = 20) -> TwoStageNet:
    torch.manual_seed(0)
    return TwoStageNet(classes, proposals=proposals).eval()


def raw_cells(scores: dict[int, float]) -> torch.Tensor:
    """Raw numbers in which these cells have these scores of class 0, and all others nearly none."""
    raw = torch.zeros(1, CELLS, 5 + 3)
    raw[..., 4:] = -9.0
    for cell, score in scores.items():
        raw[0, cell, 4] = 20.0
        raw[0, cell, 5] = torch.logit(torch.tensor(score))
    return raw


def test_output_has_a_row_per_proposal_at_any_size_and_batch() -> None:
    with torch.no_grad():
        for batch, width, height in ((1, 64, 64), (2, 128, 96)):
            found = net()(torch.rand(batch, 3, height, width) * 255)
            assert found.shape == (batch, 20, 4 + 2 * 3)
            assert found[..., 4:].min() >= 0 and found[..., 4:].max() <= 1


def test_best_cells_are_proposed_first_with_their_scores() -> None:
    boxes, scores = net().propose(raw_cells({9: 0.4, 40: 0.8, 70: 0.6}), SIZE)
    assert scores[0, :3, 0].tolist() == pytest.approx([0.8, 0.6, 0.4], abs=1e-3)
    # Raw zeros: one stride wide around the cell's corner. Cell 40 is row 5, column 0 of stride 8.
    assert boxes[0, 0].tolist() == [0, 36, 4, 44], "cut to the picture"


def test_other_objects_go_before_a_second_box_of_one() -> None:
    # Cells 27 and 28 of stride 8 see the same box; so does 63 its own.
    raw = raw_cells({27: 0.9, 28: 0.7, 63: 0.3})
    raw[0, 27, :4] = torch.tensor([1.0, 1.0, 1.0, 1.0])
    raw[0, 28, :4] = torch.tensor([0.0, 1.0, 1.0, 1.0])
    boxes, scores = net().propose(raw, SIZE)
    assert scores[0, :3, 0].tolist() == pytest.approx([0.9, 0.3, 0.7], abs=1e-3)
    assert boxes[0, 0].tolist() == pytest.approx(boxes[0, 2].tolist(), abs=1e-4)


def test_overlaps_of_a_batch_are_those_of_its_pictures() -> None:
    from torchvision.ops import box_iou

    corner = torch.rand(2, 6, 2) * 50
    boxes = torch.cat([corner, corner + torch.rand(2, 6, 2) * 40], dim=2)
    found = overlaps(boxes)
    for row in range(2):
        torch.testing.assert_close(found[row], box_iou(boxes[row], boxes[row]))


def test_features_are_those_under_the_proposal() -> None:
    """On a ramp, RoIAlign (half-pixel centres) gives the coordinates of its cells."""
    from torchvision.ops import roi_align

    taken = []
    model = net()
    model.head.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0]))
    column = torch.arange(16.0).repeat(16, 1)
    merged = torch.stack([column, column.T]).repeat(32, 1, 1)[None].repeat(2, 1, 1, 1)
    merged[1] += 100
    boxes = torch.tensor([[16.0, 24.0, 72.0, 80.0]])
    with torch.no_grad():
        model.second(merged, indexed([boxes, boxes]))
    (features,) = taken
    centres = (16 + (torch.arange(POOLED) + 0.5) * 56 / POOLED) / 8 - 0.5
    torch.testing.assert_close(features[0, 0, 0], centres)
    torch.testing.assert_close(features[0, 1, :, 0], centres + 1)
    torch.testing.assert_close(features[1], features[0] + 100)
    same = roi_align(merged, [boxes, boxes], POOLED, 1 / 8, 1, True)
    torch.testing.assert_close(features, same)


def test_no_correction_leaves_a_box_and_corrections_move_and_grow_it() -> None:
    box = torch.tensor([[10.0, 20.0, 30.0, 60.0]])
    assert refine(box, torch.zeros(1, 4)).tolist() == box.tolist()
    moved = refine(box, torch.tensor([[1.0, -1.0, 0.0, 0.0]]))
    assert moved[0].tolist() == pytest.approx([12, 16, 32, 56])
    grown = refine(box, torch.tensor([[0.0, 0.0, 5 * 0.6931472, 0.0]]))
    assert grown[0].tolist() == pytest.approx([0, 20, 40, 60], abs=1e-4)


def test_before_training_the_second_stage_leaves_boxes_and_expects_few_objects() -> None:
    model = net()
    picture = torch.rand(1, 3, 64, 64) * 255
    with torch.no_grad():
        found = model(picture)
        boxes, _ = model.propose(model.first(picture)[1], SIZE)
    torch.testing.assert_close(found[..., :4], boxes)
    assert found[..., 7:].max() < 0.05


def test_stacked_second_stage_starts_with_the_scores_of_the_first() -> None:
    torch.manual_seed(0)
    model = TwoStageNet(3, proposals=20, stacked=True).eval()
    with torch.no_grad():
        found = model(torch.rand(1, 3, 64, 64) * 255)
    torch.testing.assert_close(found[..., 4:7].clamp(1e-4), found[..., 7:], rtol=1e-3, atol=1e-6)


def test_folding_keeps_the_function() -> None:
    model = net()
    merged, rois = torch.randn(1, 64, 8, 8), torch.tensor([[0.0, 8, 8, 40, 40]])
    with torch.no_grad():
        before = model.second(merged, rois)
        model.fold()
        after = model.second(merged, rois)
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    assert model.folded and model.road.folded


def test_graph_has_constant_shapes_and_standard_operators_only(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from engines.families.two_stage import two_stage_card, write_static

    model = net()
    model.size = (96, 64)
    path = tmp_path / "two.onnx"
    write_static(model, path, two_stage_card(("a", "b", "c"), model.size))
    graph = onnx.shape_inference.infer_shapes(
        onnx.load(str(path)), strict_mode=True, data_prop=True
    ).graph
    operators = {node.op_type for node in graph.node}
    assert {"RoiAlign", "TopK"} <= operators
    assert not operators & {"NonZero", "NonMaxSuppression", "Loop", "If", "Scan", "Range"}
    assert {node.domain for node in graph.node} == {""}
    for value in (*graph.input, *graph.output, *graph.value_info):
        shape = value.type.tensor_type.shape.dim
        assert all(d.HasField("dim_value") for d in shape), value.name
    corners, _ = grid(96, 64)
    assert [d.dim_value for d in graph.output[0].type.tensor_type.shape.dim] == [1, 20, 10]
    assert len(corners) == 12 * 8 + 6 * 4 + 3 * 2
