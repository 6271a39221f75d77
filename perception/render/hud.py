"""The panel in a corner: stream time, frames per second, how many of each class."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

import numpy as np

from perception.render.canvas import Canvas, ColourSpace, Sprite
from perception.render.chips import panel_text
from perception.render.palette import CLASS_COLOURS, DIM, INK, PAPER, class_colour, short_name
from perception.render.shapes import disc, rounded
from perception.render.sprites import SpriteCache
from perception.render.style import Style

_HOLD_S = 2.0  # a class stays listed this long after it was last seen: the panel should not flicker
_WINDOW_S = 2.0  # over which the frame rate is measured
_REFRESH_S = 0.5  # how often the figure shown changes
_ORDER = {name: rank for rank, name in enumerate(CLASS_COLOURS)}


def clock_text(seconds: float) -> str:
    """Stream time as mm:ss.s, with hours in front from one hour on.

    >>> clock_text(74.26), clock_text(3723.0), clock_text(-0.5)
    ('01:14.2', '1:02:03.0', '-00:00.5')
    """
    tenths = int(abs(seconds) * 10 + 1e-6)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    sign = "-" if seconds < 0 and tenths else ""
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes:02d}"
    return f"{sign}{head}:{rest // 10:02d}.{rest % 10}"


class FpsMeter:
    """Frames per second over the last two seconds of the machine's clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ticks: deque[float] = deque(maxlen=1024)
        self._shown = 0.0
        self._shown_at = float("-inf")

    def tick(self) -> float:
        """Count a frame; returns the rate to show, 0 while it is not known yet."""
        now = self._clock()
        self._ticks.append(now)
        while now - self._ticks[0] > _WINDOW_S:
            self._ticks.popleft()
        span = now - self._ticks[0]
        if (
            span > 0
            and (now - self._shown_at >= _REFRESH_S or not self._shown)
            and len(self._ticks) > 4
        ):
            self._shown, self._shown_at = (len(self._ticks) - 1) / span, now
        return self._shown


class Hud:
    """Keeps the panel's rows steady from frame to frame and draws them.

    Args:
        corner: "top-left", "top-right", "bottom-left" or "bottom-right".
    """

    def __init__(self, corner: str) -> None:
        self._bottom, self._right = corner.startswith("bottom"), corner.endswith("right")
        self._seen: dict[str, float] = {}

    def rows(self, time: float, counts: Mapping[str, int]) -> list[tuple[str, int]]:
        """The classes to list with their counts, in a fixed order."""
        for name, last in list(self._seen.items()):
            if not 0 <= time - last <= _HOLD_S:
                del self._seen[name]
        for name, count in counts.items():
            if count:
                self._seen[name] = time
        names = sorted(self._seen, key=lambda name: (_ORDER.get(name, len(_ORDER)), name))
        return [(name, counts.get(name, 0)) for name in names]

    def compose(
        self,
        picture: tuple[int, int],
        style: Style,
        space: ColourSpace,
        cache: SpriteCache,
        *,
        time: float | None,
        fps: float,
        rows: list[tuple[str, int]],
    ) -> tuple[tuple[int, int, int, int], list[tuple[Sprite, int, int]]]:
        """Lay the panel out.

        Returns:
            Its rectangle xyxy, and the sprites to draw with their places. Both empty (a rectangle of
            zeros) when there is nothing to show or the picture is too small for it.
        """
        cap = style.cap
        line = round(cap * 1.85)
        pad = round(cap * 0.9)

        def text(words: str, bgr: tuple[int, int, int], weight: float = 1.0) -> Sprite:
            return cache.get(
                ("text", words, bgr, weight), lambda: panel_text(space, words, cap, bgr, weight)
            )

        head = [] if time is None else [text(clock_text(time), PAPER, 1.15)]
        if fps > 0:
            head.append(text(f"{fps:.0f} fps" if fps >= 10 else f"{fps:.1f} fps", DIM))
        dot = round(cap * 0.86)
        labels = [
            (text(short_name(name), PAPER if n else DIM), text(str(n), PAPER if n else DIM, 1.15))
            for name, n in rows
        ]
        if not head and not labels:
            return (0, 0, 0, 0), []
        space_between = 2 * cap
        inner = max(
            [sum(s.size[0] for s in head) + space_between * (len(head) - 1)]
            + [dot + cap + name.size[0] + space_between + number.size[0] for name, number in labels]
        )
        inner = max(
            inner, round(cap * (11.5 if head else 6))
        )  # room for the usual text: a steady width
        gap = round(cap * 0.45) if head and labels else 0
        width = inner + 2 * pad
        height = line * (len(labels) + bool(head)) + gap + 2 * pad - (line - cap)
        margin = round(4 + 8 * style.unit)
        if width + 2 * margin > picture[0] or height + 2 * margin > picture[1]:
            return (0, 0, 0, 0), []
        x = picture[0] - margin - width if self._right else margin
        y = picture[1] - margin - height if self._bottom else margin
        panel = cache.get(("panel", width, height), lambda: _panel(space, width, height, cap))
        placed = [(panel, x, y)]
        top = y + pad
        if head:
            placed.append((head[0], x + pad, top - 1))
            if len(head) > 1:
                placed.append((head[1], x + width - pad - head[1].size[0], top - 1))
            top += line + gap
        for (name, _), (label, number) in zip(rows, labels, strict=True):
            bgr = class_colour(name)
            mark = cache.get(("dot", bgr), lambda bgr=bgr: _dot(space, dot, bgr))  # type: ignore[misc]
            placed.append((mark, x + pad, top + (cap - dot) // 2))
            placed.append((label, x + pad + dot + cap // 2 + 1, top - 1))
            placed.append((number, x + width - pad - number.size[0], top - 1))
            top += line
        return (x, y, x + width, y + height), placed


def draw_panel(canvas: Canvas, placed: list[tuple[Sprite, int, int]]) -> None:
    """Draw what `Hud.compose` laid out."""
    for sprite, x, y in placed:
        canvas.blit(sprite, x, y)


def _panel(space: ColourSpace, width: int, height: int, cap: int) -> Sprite:
    return Sprite.compose(space, [(rounded(width, height, cap * 0.75) * np.float32(0.62), INK)])


def _dot(space: ColourSpace, side: int, bgr: tuple[int, int, int]) -> Sprite:
    return Sprite.compose(space, [(disc(side, side, side / 2, side / 2, side * 0.42), bgr)])
