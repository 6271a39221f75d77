from __future__ import annotations

import perception


def test_every_public_name_can_be_had_and_nothing_is_public_by_accident() -> None:
    for name in perception.__all__:
        assert getattr(perception, name) is not None
    assert list(perception.__all__) == sorted(perception.__all__, key=lambda n: (n.islower(), n))


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(perception, "opne")
    assert "open" in dir(perception)
