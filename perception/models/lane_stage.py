"""The lane stage: fills `lanes` of a result."""

from __future__ import annotations

from pathlib import Path

from perception.backends import Engine, for_many_threads, open_engine
from perception.backends.installed import engine_path
from perception.errors import ConfigError, unknown
from perception.models.lane_lines import Stroke
from perception.models.lanes import LaneFinder, LaneMasks, to_lanes, twinlitenet_card
from perception.tracking.lanes import LaneSmoother
from perception.types import Frame, FrameResult

FAMILIES = ("lanes", "twinlitenet")
# What a public checkpoint without a card needs to be told.
PUBLIC_CARDS = {"twinlitenet": twinlitenet_card}


class LaneStage:
    """A stage that finds lane lines and the drivable area.

    Args:
        engine: an installed engine's name, the path of an ONNX file, or an open `Engine`.
        family: for an ONNX file without a card ("twinlitenet"); the card decides otherwise.
        backend: see `perception.backends.open_engine`.
        min_score: least probability of a pixel of paint or of drivable area.
        pixels: most pixels of the input of a network that takes any size; None takes the card's.
        settle_s: seconds in which a line takes up a new shape; 0 shows each frame's own lines.
            Pictures are always on their own.
        name: of the stage.
        threads: threads inside one operator of a CPU runtime.

    Raises:
        ConfigError: unknown family, or a file that needs `family` and has none.
        InputError: no such engine.
        EngineError: the engine cannot be opened.
    """

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ("lanes",)

    def __init__(
        self,
        engine: str | Path | Engine = "lanes",
        *,
        family: str | None = None,
        backend: str = "auto",
        min_score: float = 0.5,
        pixels: int | None = None,
        settle_s: float = 0.2,
        name: str = "lanes",
        threads: int = 1,
    ) -> None:
        if family is not None and family not in FAMILIES:
            raise ConfigError(unknown("family", family, FAMILIES))
        if not 0 < min_score < 1:
            raise ConfigError(f"min_score must be between 0 and 1, but is {min_score}")
        if not 0 <= settle_s < 60:
            raise ConfigError(f"settle_s must be 0 to 60 seconds, but is {settle_s}")
        if isinstance(engine, (str, Path)):
            engine = open_engine(engine_path(engine), backend=backend, threads=threads)
        self.engine = engine
        card = engine.card
        if card is None:
            if family not in PUBLIC_CARDS:
                raise ConfigError(
                    f"{engine.path} does not say what it is; name its family: "
                    f'family = "{next(iter(PUBLIC_CARDS))}"'
                )
            card = PUBLIC_CARDS[family](engine)
        elif card.family not in FAMILIES:
            raise ConfigError(
                f"{engine.path} is a {card.family!r} engine, and a lane stage needs one of "
                f"{', '.join(FAMILIES)}"
            )
        self.card = card
        self.name = name
        self.together = for_many_threads(engine)
        self.model = LaneFinder(engine, card, min_score=min_score, pixels=pixels)
        self._smoother = LaneSmoother(settle_s=settle_s) if settle_s > 0 else None

    def __call__(self, result: FrameResult) -> None:
        self.tell(result, self.look(result.frame))

    def look(self, frame: Frame) -> tuple[LaneMasks, list[Stroke]]:
        """The frame's own masks, and the lines in them."""
        masks = self.model.masks(frame)
        return masks, self.model.strokes(masks)

    def tell(self, result: FrameResult, seen: tuple[LaneMasks, list[Stroke]]) -> None:
        """Steady lines and drivable area over time, and put them into the result."""
        frame = result.frame
        masks, strokes = seen
        drivable = masks.drivable
        if self._smoother is not None and frame.path is None:
            strokes, drivable = self._smoother(frame.time, strokes, drivable)
        result.lanes = to_lanes(masks, strokes, drivable, min_score=self.model.min_score)

    def close(self) -> None:
        self.engine.close()
