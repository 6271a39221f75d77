from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from engines.data.augment import Settings  # noqa: E402
from engines.data.lanes import LaneData, LaneLoader, Moves, move  # noqa: E402
from perception.errors import ConfigError, InputError  # noqa: E402
from tests.lane_scenes import draw, line  # noqa: E402

PLAIN = Settings(light=0, night=0, rain=0, blur=0, noise=0, compression=0, coarse=0)


def write(folder: Path, count: int = 4) -> Path:
    """Drawn roads with the masks that their colours are."""
    folder.mkdir(parents=True, exist_ok=True)
    index = {}
    for number in range(count):
        image = draw([line(0.1 + 0.02 * number, (640, 360)), line(0.9, (640, 360))])
        cv2.imwrite(str(folder / f"p{number}.webp"), image, [cv2.IMWRITE_WEBP_QUALITY, 101])
        small = cv2.resize(image, (320, 180), interpolation=cv2.INTER_AREA)
        masks = np.concatenate([small[..., 1], small[..., 2]])
        cv2.imwrite(str(folder / f"p{number}.png"), masks)
        index[f"p{number}"] = "even" if number % 2 == 0 else "odd"
    (folder / "index.json").write_text(json.dumps(index))
    return folder


def test_masks_move_with_the_picture(tmp_path: Path) -> None:
    image, masks = LaneData(write(tmp_path), {"even": 1.0}).read("p0")
    moves = Moves(zoom=(0.8, 1.5), turn=4.0, aspect=0.2)
    for seed in range(6):
        shown, moved = move(image, masks, (512, 288), np.random.default_rng(seed), moves)
        assert shown.shape == (288, 512, 3) and moved.shape == (144, 256, 2)
        small = cv2.resize(shown, (256, 144), interpolation=cv2.INTER_AREA).astype(int)
        red = np.clip(small[..., 2] - small[..., 0], 0, 255)
        ys, xs = np.nonzero(red > 150)
        _, mask_xs = np.nonzero(moved[..., 1] > 150)
        if len(xs) < 50:
            continue
        # The same paint: its mean place agrees to a fraction of a pixel.
        assert abs(xs.mean() - mask_xs.mean()) < 0.8
        assert np.abs(red[ys, xs] - moved[ys, xs, 1]).mean() < 45


def test_batches_repeat_and_shares_make_the_whole(tmp_path: Path) -> None:
    data = LaneData(write(tmp_path), {"even": 1.0, "odd": 2.0})

    def loader(share: tuple[int, int]) -> LaneLoader:
        return LaneLoader(
            data, batch=4, sizes=[(64, 32), (96, 64)], moves=Moves(), settings=Settings(),
            seed=5, share=share,
        )  # fmt: skip

    whole = loader((0, 1)).batch(3)
    assert whole.pictures.shape[0] == 4 and whole.pictures.dtype == torch.uint8
    assert whole.masks.shape[2] * 2 == whole.pictures.shape[2]
    again = loader((0, 1)).batch(3)
    assert torch.equal(whole.pictures, again.pictures) and torch.equal(whole.masks, again.masks)
    halves = [loader((rank, 2)).batch(3).pictures for rank in (0, 1)]
    assert torch.equal(whole.pictures[0::2], halves[0])
    assert torch.equal(whole.pictures[1::2], halves[1])


def test_sources_are_drawn_by_weight(tmp_path: Path) -> None:
    data = LaneData(write(tmp_path), {"even": 1.0, "odd": 3.0})
    rng = np.random.default_rng(0)
    odd = data.read("p1")[0]
    also = data.read("p3")[0]
    drawn = [data.draw(rng)[0] for _ in range(400)]
    share = np.mean([np.array_equal(one, odd) or np.array_equal(one, also) for one in drawn])
    assert 0.68 < share < 0.82


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="make it with: python -m"):
        LaneData(tmp_path / "nowhere", {})
    folder = write(tmp_path / "data")
    with pytest.raises(ConfigError, match="did you mean 'even'"):
        LaneData(folder, {"evan": 1.0})
    with pytest.raises(ConfigError, match="no picture to train on"):
        LaneData(folder, {}).draw(np.random.default_rng(0))
    (folder / "p0.png").unlink()
    with pytest.raises(InputError, match=r"p0: the picture or its masks are missing"):
        LaneData(folder, {}).read("p0")
