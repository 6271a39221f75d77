"""The panel in a corner: stream time, frames per second, how many of each class."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping
from functools import partial

import numpy as np

from perception.render.canvas import Canvas
from perception.render.chips import panel_text
from perception.render.items import Rect
from perception.render.palette import BGR, CLASS_COLOURS, DIM, INK, PAPER, class_colour, short_name
from perception.render.shapes import disc, rounded
from perception.render.sprites import ColourSpace, Sprite, SpriteCache
from perception.render.style import Style

_HOLD_S = 2.0  # a class stays listed this long after it was last seen: the panel should not flicker
_WINDOW_S = 2.0  # over which the frame rate is measured
_REFRESH_S = 0.5  # how often the figure shown changes
CORNERS = ("top-left", "top-right", "bottom-left", "bottom-right")
_OTHERS = "others"  # the row for classes that have none of their own
_TALLEST = 0.4  # of the picture's height
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
        corner: one of `CORNERS`.
    """

    def __init__(self, corner: str) -> None:
        self._bottom, self._right = corner.startswith("bottom"), corner.endswith("right")
        self._seen: dict[str, float] = {}
        self._placed: list[tuple[Sprite, int, int]] = []
        # For which contents it was laid out last, and where.
        self._laid_out: tuple[Hashable, Rect | None] = (None, None)

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
        time: float,
        fps: float,
        moving: bool,
        counts: Mapping[str, int],
    ) -> Rect | None:
        """Lay the panel out, for `draw`.

        Args:
            picture: (width, height).
            style: sizes.
            space: of the canvas.
            cache: where its sprites are kept.
            time: of the stream, seconds.
            fps: frames per second, 0 when not known.
            moving: False for single pictures: neither time nor rate is shown.
            counts: objects by class.

        Returns:
            Its rectangle; None when there is nothing to show or the picture is too small for it.
        """
        clock = clock_text(time) if moving else ""
        rate = ""
        if moving and fps > 0:
            rate = f"{fps:.0f} fps" if fps >= 9.95 else f"{fps:.1f} fps"
        rows = self.rows(time, counts)
        contents = (clock, rate, tuple(rows), picture, style, space)
        if contents != self._laid_out[0]:
            self._laid_out = (
                contents,
                self._lay_out(picture, style, space, cache, clock, rate, rows),
            )
        return self._laid_out[1]

    def _lay_out(
        self,
        picture: tuple[int, int],
        style: Style,
        space: ColourSpace,
        cache: SpriteCache,
        clock: str,
        rate: str,
        rows: list[tuple[str, int]],
    ) -> Rect | None:
        self._placed = []
        cap = style.cap
        line, pad, margin = round(cap * 1.85), round(cap * 0.9), round(4 + 8 * style.unit)
        dot = round(cap * 0.86)

        def text(words: str, bgr: BGR, weight: float = 1.0) -> Sprite:
            return cache.get(
                ("text", words, bgr, weight), partial(panel_text, space, words, cap, bgr, weight)
            )

        # The last digit on its own: it alone changes ten times a second.
        head = [text(part, PAPER, 1.15) for part in (clock[:-1], clock[-1:]) if part]
        if rate:
            head.append(text(rate, DIM))
        rows = _shorten(rows, int(_TALLEST * picture[1] / line) - 1)
        names = [text(short_name(name), PAPER if count else DIM) for name, count in rows]
        numbers = [text(str(count), PAPER if count else DIM, 1.15) for _, count in rows]
        if not head and not rows:
            return None
        apart = round(1.5 * cap)
        widths = [
            dot + cap + a.size[0] + apart + b.size[0] for a, b in zip(names, numbers, strict=True)
        ]
        widths.append(sum(sprite.size[0] for sprite in head) + (apart if rate else 0))
        widths.append(round(cap * (10.5 if rate else 6)))  # the usual text: a steady width
        gap = round(cap * 0.45) if head and rows else 0
        width = max(widths) + 2 * pad
        height = line * (len(rows) + bool(head)) + gap + 2 * pad - (line - cap)
        if width + 2 * margin > picture[0] or height + 2 * margin > picture[1]:
            return None
        x = picture[0] - margin - width if self._right else margin
        y = picture[1] - margin - height if self._bottom else margin
        left, right, top = x + pad, x + width - pad, y + pad
        place = self._placed.append
        place(
            (cache.get(("panel", width, height), partial(_panel, space, width, height, cap)), x, y)
        )
        if head:
            place((head[0], left, top - 1))
            place((head[1], left + head[0].size[0], top - 1))
            if rate:
                place((head[2], right - head[2].size[0], top - 1))
            top += line + gap
        for (name, _), label, number in zip(rows, names, numbers, strict=True):
            bgr = DIM if name == _OTHERS else class_colour(name)
            mark = cache.get(("dot", bgr), partial(_dot, space, dot, bgr))
            place((mark, left, top + (cap - dot) // 2))
            place((label, left + dot + cap // 2 + 1, top - 1))
            place((number, right - number.size[0], top - 1))
            top += line
        return x, y, x + width, y + height

    def draw(self, canvas: Canvas) -> None:
        """Draw the panel as it was laid out last."""
        for sprite, x, y in self._placed:
            canvas.blit(sprite, x, y)


def _shorten(rows: list[tuple[str, int]], most: int) -> list[tuple[str, int]]:
    """At most so many rows: the rarest classes become one."""
    if len(rows) <= max(most, 1):
        return rows
    kept = sorted(rows, key=lambda row: -row[1])[: max(most - 1, 0)]
    others = sum(count for _, count in rows) - sum(count for _, count in kept)
    return [row for row in rows if row in kept] + [(_OTHERS, others)]


def _panel(space: ColourSpace, width: int, height: int, cap: int) -> Sprite:
    return Sprite.compose(space, [(rounded(width, height, cap * 0.75) * np.float32(0.62), INK)])


def _dot(space: ColourSpace, side: int, bgr: BGR) -> Sprite:
    return Sprite.compose(space, [(disc(side, side, side / 2, side / 2, side * 0.42), bgr)])
