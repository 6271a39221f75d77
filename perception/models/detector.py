"""The detector stage: opens an engine, picks the family that can read it, fills `detections.<task>`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from perception.backends import Engine, for_many_threads, open_engine
from perception.backends.installed import engine_path
from perception.errors import ConfigError, unknown
from perception.models.anchor_free import AnchorFree, yolox_card
from perception.models.anchors import Anchors, ultralight_card
from perception.models.two_stage import TwoStage
from perception.models.yunet import yunet_card
from perception.types import Detections, Frame, FrameResult

FAMILIES: dict[str, type[AnchorFree] | type[Anchors] | type[TwoStage]] = {
    "anchor_free": AnchorFree,
    "anchors": Anchors,
    "two_stage": TwoStage,
    "ultralight": Anchors,
    "yolox": AnchorFree,
    "yunet": AnchorFree,
}
# What a public checkpoint without a card needs to be told.
PUBLIC_CARDS = {"ultralight": ultralight_card, "yolox": yolox_card, "yunet": yunet_card}


class Detector:
    """A stage that detects objects on every frame.

    Args:
        engine: an installed engine's name, the path of an ONNX file, or an open `Engine`.
        family: for an ONNX file without a card ("yolox", "yunet", "ultralight"); the card decides otherwise.
        task: what results are filed under; None takes the card's.
        backend, precision: see `perception.backends.open_engine`.
        min_score: detections below are dropped.
        max_iou: for non-maximum suppression; None takes the card's.
        pixels: most pixels of the input of a network that takes any size; None takes the card's.
        classes: keep only these; None keeps all.
        threads: threads inside one operator of a CPU runtime.

    Raises:
        ConfigError: unknown family or class, or a file that needs `family` and has none.
        InputError: no such engine.
        EngineError: the engine cannot be opened.
    """

    reads: tuple[str, ...] = ()

    def __init__(
        self,
        engine: str | Path | Engine = "road",
        *,
        family: str | None = None,
        task: str | None = None,
        backend: str = "auto",
        precision: str = "auto",
        min_score: float = 0.3,
        max_iou: float | None = None,
        pixels: int | None = None,
        classes: Sequence[str] | None = None,
        threads: int = 1,
    ) -> None:
        if family is not None and family not in FAMILIES:
            raise ConfigError(unknown("family", family, FAMILIES))
        if not 0 <= min_score <= 1:
            raise ConfigError(f"min_score must be in 0..1, but is {min_score}")
        if isinstance(engine, (str, Path)):
            engine = open_engine(
                engine_path(engine), backend=backend, precision=precision, threads=threads
            )
        self.engine = engine
        card = engine.card
        if card is None:
            if family is None:
                raise ConfigError(
                    f"{engine.path} does not say what it is; name its family: "
                    f"--family {' or '.join(sorted(PUBLIC_CARDS))}"
                )
            if family not in PUBLIC_CARDS:
                raise ConfigError(
                    f"{engine.path} carries no card, and family {family!r} needs one; "
                    f"families of public checkpoints: {', '.join(sorted(PUBLIC_CARDS))}"
                )
            card = PUBLIC_CARDS[family](engine)
        elif card.family not in FAMILIES:
            raise ConfigError(
                f"{engine.path} is a {card.family!r} engine, not a detector; "
                f"detectors are {', '.join(sorted(FAMILIES))}"
            )
        for name in classes or ():
            if name not in card.classes:
                raise ConfigError(unknown(f"class of engine {card.name!r}", name, card.classes))
        self.card = card
        self.task = task or card.task
        self.name = self.task
        self.together = for_many_threads(engine)
        self.writes = (f"detections.{self.task}",)
        self.model = FAMILIES[card.family](
            engine, card, min_score=min_score, max_iou=max_iou, pixels=pixels, classes=classes
        )

    def __call__(self, result: FrameResult) -> None:
        self.tell(result, self.look(result.frame))

    def look(self, frame: Frame) -> Detections:
        """What is on the frame."""
        return self.model(frame)

    def tell(self, result: FrameResult, seen: Detections) -> None:
        """Put it into the result."""
        result.detections[self.task] = seen

    def close(self) -> None:
        self.engine.close()
