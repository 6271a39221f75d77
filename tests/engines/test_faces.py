"""Faces: labels and their splits, pictures, losses, agreement; a tiny training of each detector."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("onnxruntime")

import engines.train as training  # noqa: E402
from engines.data.face_pictures import FacePicture, Settings, make_picture  # noqa: E402
from engines.data.faces import FaceLoader, Faces, FaceSample, load_labels  # noqa: E402
from engines.export import export  # noqa: E402
from engines.face_figures import agreement, best_agreement  # noqa: E402
from engines.nets import face_anchor  # noqa: E402
from engines.nets.face_loss import anchor_loss, decoded, free_loss, match_anchors  # noqa: E402
from engines.nets.road import boxes_of, grid  # noqa: E402
from engines.recipe import load_recipe  # noqa: E402
from perception.errors import ConfigError, InputError  # noqa: E402
from perception.models.anchors import anchor_boxes  # noqa: E402
from perception.models.detector import Detector  # noqa: E402
from perception.types import Detections, Frame  # noqa: E402

PLAIN = {"glasses": 0.0, "mask": 0.0, "cover": 0.0, "grey": 0.0}
NO_DAMAGE = {
    name: 0.0 for name in ("light", "night", "rain", "blur", "noise", "compression", "coarse")
}
RECIPE = """
name = "tiny"
family = "{family}"
classes = ["face"]
[data]
paths = ["{data}"]
[data.weights]
driver = 1.0
[teacher]
labels = "{labels}"
sure = 0.6
unsure = 0.25
[augment]
mosaic = 0.0
zoom = [0.9, 1.1]
turn = 4.0
[train]
steps = {steps}
batch = 8
rate = 0.004
warmup = 5
ema = 0.9
bf16 = false
sizes = [[96, 64]]
[validate]
every = 1000
pixels = 6144
"""
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard.*")


def draw_face(image: np.ndarray, x: int, y: int, side: int) -> list[list[float]]:
    """A bright disc with dark eyes and mouth; returns its landmarks."""
    middle = (x + side // 2, y + side // 2)
    cv2.circle(image, middle, side // 2, (170, 200, 230), -1)
    places = [(0.3, 0.35), (0.7, 0.35), (0.5, 0.55), (0.35, 0.75), (0.65, 0.75)]
    points = [[x + side * a, y + side * b] for a, b in places]
    for point in (points[0], points[1], points[3], points[4]):
        cv2.circle(image, (round(point[0]), round(point[1])), max(1, side // 12), (30, 30, 30), -1)
    return points


@pytest.fixture(scope="module")
def drivers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(folder of drawn drivers, their labels)."""
    folder = tmp_path_factory.mktemp("faces") / "driver"
    folder.mkdir()
    rng = np.random.default_rng(0)
    entries = []
    for number in range(40):
        image = np.full((64, 96, 3), int(rng.integers(40, 110)), np.uint8)
        side = int(rng.integers(22, 40))
        x, y = int(rng.integers(0, 96 - side)), int(rng.integers(0, 64 - side))
        face = {"xyxy": [x, y, x + side, y + side], "score": 0.9}
        face["landmarks"] = draw_face(image, x, y, side)
        unsure = {"xyxy": [0, 0, 5, 5], "score": 0.4, "landmarks": [[1, 1]] * 5}
        cv2.imwrite(str(folder / f"{number}.png"), image)
        entries.append(
            {
                "folder": "driver", "file_name": f"{number}.png", "source": "driver",
                "group": f"{number}_x", "split": "", "width": 96, "height": 64,
                "faces": [face, unsure, {**face, "score": 0.1}],
            }
        )  # fmt: skip
    labels = folder.parent / "labels.json"
    labels.write_text(json.dumps({"images": entries}))
    return folder, labels


def test_labels_become_faces_ignored_places_or_nothing(drivers: tuple[Path, Path]) -> None:
    folder, labels = drivers
    samples = load_labels(labels, [str(folder)], sure=0.6, unsure=0.25)
    assert len(samples) == 40 and 2 <= sum(s.held for s in samples) <= 16
    assert all(len(s.xyxy) == 1 and len(s.ignore) == 1 for s in samples)
    assert samples[0].landmarks.shape == (1, 5, 2)
    with pytest.raises(InputError, match="unknown data folder 'drivers': did you mean 'driver'"):
        load_labels(labels, ["drivers"], sure=0.6, unsure=0.25)
    with pytest.raises(InputError, match=r"make them with: python -m engines\.label_faces"):
        load_labels(labels.with_name("no.json"), [str(folder)], sure=0.6, unsure=0.25)


@pytest.mark.parametrize(
    ("score", "checked", "wanted"),
    [(0.7, 0.9, "face"), (0.7, 0.4, "ignored"), (0.5, 0.1, "none"), (0.7, 0.1, "ignored"),
     (0.4, 0.9, "ignored"), (0.2, 0.9, "none")],
)  # fmt: skip
def test_a_second_opinion_may_deny_a_face(
    score: float, checked: float, wanted: str, tmp_path: Path
) -> None:
    face = {"xyxy": [1, 1, 9, 9], "score": score, "landmarks": [[5, 5]] * 5, "checked": checked}
    entry = {"folder": "driver", "source": "s", "group": "1", "split": "", "file_name": "1.png"}
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"images": [{**entry, "faces": [face]}]}))
    (sample,) = load_labels(path, ["driver"], sure=0.6, unsure=0.25)
    found = {"face": (1, 0), "ignored": (0, 1), "none": (0, 0)}[wanted]
    assert (len(sample.xyxy), len(sample.ignore)) == found


def test_a_clip_judges_by_its_end_and_a_person_is_on_one_side(tmp_path: Path) -> None:
    entry = {"split": "", "width": 9, "height": 9, "faces": []}
    entries = [
        {**entry, "folder": "f", "source": "clips", "group": "a", "file_name": f"a_{n:03}.webp"}
        for n in range(10)
    ]
    entries += [
        {**entry, "folder": "driver", "source": "s", "group": f"{n % 5}_{n}", "file_name": f"{n}"}
        for n in range(50)
    ]
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"images": entries}))
    samples = load_labels(path, ["f", "driver"], sure=0.5, unsure=0.2)
    assert [s.held for s in samples[:10]] == [False] * 6 + [True] * 4
    for person in range(5):
        sides = {s.held for n, s in enumerate(samples[10:]) if n % 5 == person}
        assert len(sides) == 1


@pytest.mark.parametrize("seed", range(6))
def test_boxes_and_landmarks_go_where_the_face_goes(seed: int) -> None:
    image = np.full((120, 160, 3), 60, np.uint8)
    points = draw_face(image, 50, 30, 60)
    whole = FacePicture(
        image,
        np.array([[50, 30, 110, 90]], np.float32),
        np.array([points], np.float32),
        np.zeros((0, 4), np.float32),
    )
    settings = Settings(mosaic=0.0, zoom=(0.5, 1.2), turn=12.0, damage=NO_DAMAGE, **PLAIN)
    made = make_picture(lambda _: whole, np.random.default_rng(seed), (200, 160), settings)
    assert made.image.shape == (160, 200, 3)
    if not len(made.xyxy):
        assert len(made.ignore) == 1
        return
    x1, y1, x2, y2 = made.xyxy[0]
    skin = (np.abs(made.image.astype(int) - (170, 200, 230)) < 25).all(axis=2)
    ys, xs = np.nonzero(skin)
    assert [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] == pytest.approx(
        [x1, y1, x2, y2], abs=2.5
    )
    for x, y in made.landmarks[0][[0, 1, 3, 4]]:
        if 1 < x < 199 and 1 < y < 159:
            assert made.image[int(y), int(x)].mean() < 110, "dark"
    left, right = made.landmarks[0][0], made.landmarks[0][1]
    assert left[0] < right[0], "also when mirrored, the eye at the picture's left comes first"


def faces_of(xyxy: list[list[float]], ignore: list[list[float]] | None = None) -> Faces:
    boxes = torch.tensor(xyxy).reshape(1, -1, 4)
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    return Faces(
        xyxy=boxes,
        landmarks=middle[:, :, None].repeat(1, 1, 5, 1),
        real=torch.ones(1, boxes.shape[1], dtype=torch.bool),
        ignore=torch.tensor(ignore or []).reshape(1, -1, 4),
    )


def whole(value: torch.Tensor) -> torch.Tensor:
    return value


def test_cells_learn_box_score_and_landmarks_of_a_face() -> None:
    size, corners, strides = (96, 64), *grid(96, 64)
    faces = faces_of([[20.0, 10.0, 60.0, 50.0]])
    raw = torch.zeros(1, len(corners), 16)
    raw[..., 4:6] = -3.0
    raw.requires_grad_()
    optimiser = torch.optim.Adam([raw], lr=0.1)
    for _ in range(200):
        optimiser.zero_grad()
        losses = free_loss(raw, faces, size, add_up=whole)
        losses["total"].backward()
        optimiser.step()
    best = int((raw[0, :, 4].sigmoid() * raw[0, :, 5].sigmoid()).argmax())
    box = boxes_of(raw, corners, strides)[0, best]
    assert box.tolist() == pytest.approx([20, 10, 60, 50], abs=1)
    points = (raw[0, best, 6:].reshape(5, 2) + corners[best]) * strides[best]
    assert points.detach().numpy() == pytest.approx(np.full((5, 2), (40, 30)), abs=1)


@pytest.mark.parametrize("kind", ["free", "anchor"])
def test_nothing_is_learnt_where_a_face_may_be(kind: str) -> None:
    def gradient(faces: Faces) -> torch.Tensor:
        if kind == "free":
            raw = torch.zeros(1, len(grid(96, 64)[0]), 16, requires_grad=True)
            losses = free_loss(raw, faces, (96, 64), add_up=whole)
        else:
            anchors = torch.from_numpy(
                anchor_boxes((96, 64), face_anchor.STRIDES, face_anchor.SIZES)
            )
            raw = torch.zeros(1, len(anchors), 5, requires_grad=True)
            losses = anchor_loss(raw, faces, anchors, face_anchor.VARIANCES, add_up=whole)
        losses["total"].backward()
        assert raw.grad is not None
        return raw.grad[0, :, 4]

    assert (gradient(faces_of([])) > 0).all(), "without faces every score falls"
    partly = gradient(faces_of([], [[0.0, 0.0, 48.0, 64.0]]))
    assert 0.4 < float((partly == 0).float().mean()) < 0.6


def test_every_face_gets_anchors_and_the_nearest_win() -> None:
    anchors = torch.from_numpy(anchor_boxes((128, 128), face_anchor.STRIDES, face_anchor.SIZES))
    placed = torch.cat(
        [anchors[:, :2] - anchors[:, 2:] / 2, anchors[:, :2] + anchors[:, 2:] / 2], 1
    )
    tiny, large = [60.0, 60.0, 66.0, 67.0], [10.0, 10.0, 70.0, 80.0]
    truth = torch.tensor([[tiny, large, [0.0] * 4]])
    real = torch.tensor([[True, True, False]])
    pictures, cells, labels = match_anchors(placed, truth, real)
    assert set(labels.tolist()) == {0, 1} and set(pictures.tolist()) == {0}
    of_tiny = anchors[cells[labels == 0]]
    assert 1 <= len(of_tiny) <= 3 and (of_tiny[:, 2] <= 16).all()
    exact = decoded(torch.zeros(len(anchors), 4), anchors, face_anchor.VARIANCES)
    torch.testing.assert_close(exact, placed)


def test_agreement_counts_right_wrong_and_missed() -> None:
    sample = FaceSample(
        Path("x"), "f", "s", True,
        xyxy=np.array([[0, 0, 10, 10], [50, 50, 70, 70]], np.float32),
        landmarks=np.zeros((2, 5, 2), np.float32),
        ignore=np.array([[100, 100, 120, 120]], np.float32),
    )  # fmt: skip
    boxes = [[0, 0, 10, 11], [1, 0, 10, 10], [101, 100, 120, 120], [200, 0, 220, 20]]
    found = Detections(
        np.array(boxes, np.float32),
        np.array([0.9, 0.75, 0.7, 0.3], np.float32),
        np.zeros(4, np.int32),
        ("face",),
    )
    figure = agreement([sample], [found], min_score=0.5)
    assert (figure.right, figure.wrong, figure.missed) == (1, 1, 1)
    assert figure.f1 == pytest.approx(0.5) and figure.alarms == 1
    limit, figures = best_agreement({"a": ([sample], [found])})
    assert limit >= 0.8 and figures["a"].f1 == pytest.approx(2 / 3)


def test_a_batch_depends_on_seed_and_number_only(drivers: tuple[Path, Path]) -> None:
    folder, labels = drivers
    samples = load_labels(labels, [str(folder)], sure=0.6, unsure=0.25)

    def loader(seed: int, share: tuple[int, int] = (0, 1)) -> FaceLoader:
        return FaceLoader(
            samples, weights={"driver": 1.0}, batch=4, sizes=[(96, 64)], settings=Settings(),
            seed=seed, share=share,
        )  # fmt: skip

    one, two = loader(1), loader(1)
    one.batch(0)
    (a, faces_a, _), (b, faces_b, _) = one.batch(3), two.batch(3)
    assert torch.equal(a, b) and torch.equal(faces_a.xyxy, faces_b.xyxy)
    assert not torch.equal(a, loader(2).batch(3)[0])
    halves = [loader(1, (rank, 2)).batch(3)[0] for rank in range(2)]
    assert torch.equal(halves[0], a[::2]) and torch.equal(halves[1], a[1::2])
    with pytest.raises(ConfigError, match="unknown data source 'drivr'"):
        FaceLoader(
            samples, weights={"drivr": 1.0}, batch=4, sizes=[(96, 64)], settings=Settings(), seed=0
        )


@pytest.mark.slow
@pytest.mark.parametrize("family", ["face_free", "face_anchor"])
def test_a_tiny_run_learns_exports_and_detects(
    family: str, drivers: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, labels = drivers
    path = tmp_path / "tiny.toml"
    text = RECIPE.format(family=family, data=folder.as_posix(), labels=labels.as_posix(), steps=220)
    path.write_text(text)
    last = training.train(load_recipe(path), tmp_path / "work", device=torch.device("cpu"))
    rows = (tmp_path / "work" / "validation.csv").read_text().splitlines()
    f1 = next(float(row.split(",")[2]) for row in rows if ",driver/f1," in row)
    assert f1 > 0.5, "an untrained net finds none"
    report = export(last, tmp_path / "tiny.onnx")
    assert report.count("| 1 |") == 2
    detector = Detector(tmp_path / "tiny.onnx", min_score=0.2, pixels=6144)
    assert detector.task == "face" and detector.card.classes == ("face",)
    picture = cv2.imread(str(folder / "0.png"))
    found = detector.model(Frame(picture))
    assert len(found) and found.keypoints.shape[1] == (5 if family == "face_free" else 0)
