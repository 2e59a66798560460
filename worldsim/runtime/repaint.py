"""The imaginer as the painter of spoken events: it repaints a region of a frame by words."""

from __future__ import annotations

import dataclasses

import numpy as np

from worldsim.runtime.imagine import Imaginer, imagine
from worldsim.runtime.request import Given


@dataclasses.dataclass(frozen=True, eq=False)
class Repainter:
    """A `worldsim.runtime.events.Painter`, for frames whose sides are multiples of the imaginer's cell.

    Attributes:
        model: the networks.
        nothing: what it is told where a thing vanishes, in the words of the world's captions.
    """

    model: Imaginer
    nothing: str = "no toys"

    @property
    def cell(self) -> tuple[int, int]:
        """(rows, columns) in pixels."""
        return self.model.cell

    def __call__(self, frame: np.ndarray, region: np.ndarray, thing: str, seed: int) -> np.ndarray:
        """The frame uint8 `[H, W, 3]` with a thing in the region, or nothing."""
        given, size = Given(clip=frame[None].copy(), region=region), (frame.shape[0], frame.shape[1])
        words = f"a {thing}" if thing else self.nothing
        return imagine(self.model, given, words, size, 1, seed=seed)[0]
