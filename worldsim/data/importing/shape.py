"""Frames of any size -> frames of one: black bars cut off, then the middle of what is left, scaled."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np

from worldsim.errors import WorldsimError

BLACK = 24  # levels; brighter is no bar
MOST_BAR = 0.3  # share of the frame's side that a bar may have
LEAST_BAR = 0.01  # less is the blur of an edge
Fit = Literal["crop", "stretch"]


@dataclasses.dataclass(frozen=True)
class Bars:
    """Widths of black bars, as shares of the frame's sides."""

    top: float = 0.0
    bottom: float = 0.0
    left: float = 0.0
    right: float = 0.0

    def __bool__(self) -> bool:
        """Whether there are any."""
        return any(dataclasses.astuple(self))


NO_BARS = Bars()


def find_bars(frames: Sequence[np.ndarray]) -> Bars:
    """The bars that all of some frames of a file have; none if the frames are all black, as they are in a fade.

    Args:
        frames: uint8 RGB `[h, w, 3]`, which may differ in size.
    """
    shares = [sides for frame in frames if (sides := _dark_sides(frame))]
    if not shares:
        return NO_BARS
    narrowest = np.min(shares, axis=0)
    barred = (narrowest >= LEAST_BAR) & (narrowest <= MOST_BAR)
    pairs = np.repeat(barred.reshape(2, 2).all(1), 2)  # bars come in pairs; a dark sky alone is none
    return Bars(*(float(side) for side in np.where(pairs, narrowest, 0.0)))


def _dark_sides(frame: np.ndarray) -> list[float]:
    """Top, bottom, left and right shares of a frame that are black; nothing for a black frame."""
    bright, sides = frame.max(-1) > BLACK, []
    for lines in (bright.mean(1), bright.mean(0)):
        seen = np.flatnonzero(lines > 0.02)  # a few bright pixels are noise
        if not len(seen):
            return []
        sides += [float(seen[0] / len(lines)), float(1 - (seen[-1] + 1) / len(lines))]
    return sides


@dataclasses.dataclass(frozen=True)
class Shape:
    """The size of frames, and how others are brought to it: "crop" keeps proportions and cuts off what stands out at
    the sides, "stretch" keeps everything."""

    height: int
    width: int
    fit: Fit = "crop"

    def __call__(self, frame: np.ndarray, bars: Bars = NO_BARS) -> np.ndarray:
        """uint8 RGB `[h, w, 3]` -> `[height, width, 3]`, without its bars."""
        h, w = frame.shape[:2]
        inner = frame[
            round(bars.top * h) : h - round(bars.bottom * h), round(bars.left * w) : w - round(bars.right * w)
        ]
        if self.fit == "crop":
            h, w = inner.shape[:2]
            scale = max(self.height / h, self.width / w)
            high, wide = min(h, round(self.height / scale)), min(w, round(self.width / scale))
            top, left = (h - high) // 2, (w - wide) // 2
            inner = inner[top : top + high, left : left + wide]
        shrinks = inner.shape[0] >= self.height and inner.shape[1] >= self.width
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return np.ascontiguousarray(cv2.resize(inner, (self.width, self.height), interpolation=how), np.uint8)


def same_size(frames: Sequence[tuple[str, tuple[int, ...]]]) -> None:
    """Refuse pictures, given as (name, shape), of which two differ in size.

    Raises:
        WorldsimError: naming both.
    """
    for name, shape in frames[1:]:
        if shape[:2] != frames[0][1][:2]:
            (h, w), (high, wide) = frames[0][1][:2], shape[:2]
            raise WorldsimError(
                f"two frame sizes: {frames[0][0]} is {w}x{h} and {name} {wide}x{high}. Put each into its own folder."
            )
