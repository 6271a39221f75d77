"""What the road engine's card says of its data."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from engines.families.road import sources
from engines.recipe import load_recipe


@pytest.mark.parametrize("name", ["road", "road_start", "road_tune"])
def test_every_source_of_a_recipe_is_named_with_its_licence(root: Path, name: str) -> None:
    recipe = load_recipe(root / "engines" / "recipes" / f"{name}.toml")
    entries = sources(recipe)
    assert len(entries) == 1 + len(recipe.data.weights)
    assert all(entry["licence"] != "see the recipe" for entry in entries)
    assert ("rendered" in recipe.data.weights) == any("render.py" in e["name"] for e in entries)


def test_a_source_that_is_not_drawn_is_not_named(root: Path) -> None:
    path = root / "engines" / "recipes" / "road_tune.toml"
    recipe = load_recipe(path, ["data.weights.gtsdb=0"])
    assert not any("GTSDB" in entry["name"] for entry in sources(recipe))
