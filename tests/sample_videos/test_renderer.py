"""The renderer at a tiny size: same seed, same picture; boxes are the extent of the pixels."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "sample_videos"
SIZE = (160, 96)


@pytest.fixture(scope="module")
def renderer() -> Iterator[Any]:
    """A renderer of tiny pictures."""
    pytest.importorskip("moderngl", reason="drawing needs moderngl (the extra 'render')")
    sys.path.insert(0, str(FOLDER))
    try:
        from renderer.context import RendererUnavailable, create_context
        from renderer.draw import Renderer

        try:
            context = create_context()
        except RendererUnavailable as error:
            pytest.skip(str(error))
        yield Renderer(context, SIZE, samples=0, shadow_size=256)
    finally:
        sys.path.remove(str(FOLDER))


def test_the_same_seed_draws_the_same_picture(renderer: Any) -> None:
    from renderer.training import random_scene, take_picture

    pictures = []
    for _ in range(2):
        rng = np.random.default_rng([7, 0])
        scene, _ = random_scene(renderer, rng)
        drawing = renderer.draw(scene)
        pictures.append(take_picture(renderer, scene, drawing.light, rng))
    assert pictures[0].shape == (96, 160, 3)
    np.testing.assert_array_equal(pictures[0], pictures[1])


@pytest.mark.parametrize("number", [1, 2])
def test_a_box_is_the_extent_of_the_pixels_of_its_identity(renderer: Any, number: int) -> None:
    from renderer.training import random_scene
    from renderer.truth import objects

    scene, _ = random_scene(renderer, np.random.default_rng([7, number]))
    drawing = renderer.draw(scene)
    found = objects(scene, drawing, min_plate=(3, 2))
    assert found
    for entry in found:
        family = [i for i, t in scene.things.items() if entry["id"] in (i, t.parent)]
        rows, columns = np.nonzero(np.isin(drawing.identities, family))
        assert entry["xyxy"] == [
            columns.min(), rows.min(), columns.max() + 1, rows.max() + 1,
        ]  # fmt: skip


def test_what_stands_in_front_lowers_visibility(renderer: Any) -> None:
    from renderer.builder import Builder
    from renderer.camera import Camera
    from renderer.road import Road
    from renderer.scene import Scene, Weather
    from renderer.truth import objects

    camera = Camera(size=SIZE)
    builder = Builder(
        Scene(camera, Road(), Weather()), renderer.bank.models, np.random.default_rng(1)
    )
    near = builder.actor("van", 0.0, 12.0)
    far = builder.actor("hatchback", 2.4, 26.0)
    beside = builder.actor("semi0", 7.0, 9.0)
    for actor in (near, far, beside):
        builder.add(actor)
    seen = {entry["id"]: entry for entry in objects(builder.scene, renderer.draw(builder.scene))}
    assert seen[near.identity]["visibility"] == 1.0
    assert seen[near.identity]["truncated"] == 0.0
    assert seen[far.identity]["visibility"] < 0.8
    assert seen[beside.identity]["truncated"] > 0.1


def test_training_pictures_come_with_coco_annotations(renderer: Any, tmp_path: Path) -> None:
    from renderer.training import make_pictures

    result = make_pictures(tmp_path, 2, seed=3, size=SIZE, with_masks=True)
    written = json.loads((tmp_path / "annotations.json").read_text())
    assert written == json.loads(json.dumps(result))
    assert [c["id"] for c in written["categories"]] == list(range(1, 10))
    for image in written["images"]:
        assert (tmp_path / image["file_name"]).is_file()
        assert (tmp_path / image["file_name"].replace(".jpg", ".drivable.png")).is_file()
        assert image["source"] == "rendered"
        assert len(image["labelled"]) == 9
    ids = {image["id"] for image in written["images"]}
    for annotation in written["annotations"]:
        assert annotation["image_id"] in ids
        x, y, w, h = annotation["bbox"]
        assert x >= 0
        assert y >= 0
        assert x + w <= SIZE[0]
        assert y + h <= SIZE[1]


def test_a_machine_without_egl_gets_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    moderngl = pytest.importorskip("moderngl", reason="drawing needs moderngl (the extra 'render')")
    monkeypatch.syspath_prepend(str(FOLDER))
    from renderer.context import RendererUnavailable, create_context

    def refuse(**_: object) -> None:
        raise RuntimeError("no display")

    monkeypatch.setattr(moderngl, "create_context", refuse)
    with pytest.raises(RendererUnavailable, match=r"EGL driver.*apt-get install"):
        create_context()
