"""Sizes of everything drawn, from the size of the picture."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Style:
    """Sizes in pixels, growing smoothly with the smaller side of the picture.

    Attributes:
        unit: the smaller side over 720; 1 for a 1280 x 720 picture.
        stroke: width of a box's outline.
        rim: width of the dark rim on both sides of it.
        radius: of a box's corners.
        cap: height of a capital on labels.
        pad_x, pad_y: white around the text of a label.
        gap: between a box and its label.
    """

    unit: float
    stroke: int
    rim: int
    radius: float
    cap: int
    pad_x: int
    pad_y: int
    gap: int

    @classmethod
    def of(cls, size: tuple[int, int]) -> Style:
        """The style for a picture of this (width, height)."""
        unit = min(size) / 720.0
        stroke = max(1, round(0.6 + 1.5 * unit))
        cap = max(7, round(4 + 7 * unit))
        return cls(
            unit=unit,
            stroke=stroke,
            rim=max(1, round(0.5 * stroke)),
            radius=max(2.0, 2.5 + 3.5 * unit),
            cap=cap,
            pad_x=max(3, round(0.5 * cap)),
            pad_y=max(2, round(0.36 * cap)),
            gap=max(1, round(0.9 * unit)),
        )

    @property
    def chip_height(self) -> int:
        """Height of a label."""
        return self.cap + 2 * self.pad_y
