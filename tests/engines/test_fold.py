"""Folding normalisations away changes how a network is stored, not what it computes."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")

from engines.nets.road import RoadNet  # noqa: E402


def test_folded_network_computes_the_same() -> None:
    torch.manual_seed(0)
    net = RoadNet(3)
    net.train()
    for _ in range(3):
        net(torch.rand(2, 3, 64, 64) * 255)  # gives the normalisations statistics
    net.eval()
    picture = torch.rand(1, 3, 64, 64) * 255
    with torch.no_grad():
        before = net(picture)
        net.fold()
        net.fold()  # again: nothing left to fold
        after = net(picture)
    assert net.folded
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules())
    torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-3)


def test_a_network_built_folded_takes_the_weights_of_a_folded_one() -> None:
    net = RoadNet(3)
    net.fold()
    other = RoadNet(3, folded=True)
    other.load_state_dict(net.state_dict())
    picture = torch.zeros(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(net.eval()(picture), other.eval()(picture))
