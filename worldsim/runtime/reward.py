"""How much of what is told pictures and clips show, by a reward model: to choose the best of several. Knows no files.

N pictures, H x W pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from worldsim.device import mixed_precision
from worldsim.models.autoencoder import to_pixels
from worldsim.models.reward_model import RewardModel

LOOKED_AT = 4  # one frame in so many of a clip
ROWS = 256  # pictures looked at together


@dataclasses.dataclass(frozen=True, eq=False)
class PictureScorer:
    """A reward model in evaluation mode. Sides of pictures are multiples of 8 pixels."""

    model: RewardModel

    def pictures(self, frames: np.ndarray, text: str) -> Tensor:
        """Pictures uint8 RGB `[N, H, W, 3]` -> how much of what is told each shows, float32 `[N]`."""
        return self.pairs(frames, self.model.text.tokens([text]).expand(len(frames), -1))

    @torch.no_grad()
    def pairs(self, frames: np.ndarray, words: Tensor) -> Tensor:
        """Pictures `[N, H, W, 3]`, each with the tokens of a text of its own `[N, K]` -> scores `[N]`."""
        device, given = self.model.place_in.weight.device, []
        with mixed_precision(device):
            for i in range(0, len(frames), ROWS):
                pixels = to_pixels(torch.from_numpy(np.ascontiguousarray(frames[i : i + ROWS])).to(device))
                given.append(self.model(pixels, words[i : i + ROWS].to(device)).cpu())
        return torch.cat(given)

    def score(self, frames: np.ndarray, text: str) -> float:
        """Score of a clip uint8 RGB `[T, H, W, 3]`, in the mean over one frame in four."""
        return float(self.pictures(frames[::LOOKED_AT], text).mean())


def best_of(
    count: int, make: Callable[[int], np.ndarray], score: Callable[[np.ndarray], float]
) -> tuple[int, np.ndarray]:
    """Make clips number 0 to `count` - 1, and give back the one that scores best: (number, clip)."""
    made = [make(number) for number in range(count)]
    best = max(range(count), key=lambda number: score(made[number]))
    return best, made[best]
