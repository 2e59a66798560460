"""How well words fit pictures and clips, by the two towers: to score what was imagined, and to find frames. Knows no
files.

N pictures, H x W pixels, E width of the vectors.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from worldsim.device import mixed_precision
from worldsim.models.autoencoder import to_pixels
from worldsim.models.clip_towers import ClipTowers
from worldsim.models.video_autoencoder import VideoAutoencoder

PIECE = 17  # frames of a clip that are looked at together
ROWS = 64  # pictures encoded at once


@dataclasses.dataclass(frozen=True, eq=False)
class ClipScorer:
    """The networks that compare, in evaluation mode on one device. Sides are multiples of 16 pixels."""

    autoencoder: VideoAutoencoder
    towers: ClipTowers

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """Texts -> unit vectors `[texts, E]`."""
        with mixed_precision(self._device):
            return self.towers.texts(self.towers.text.tokens(texts).to(self._device))[0]

    def pictures(self, frames: np.ndarray) -> Tensor:
        """Pictures uint8 RGB `[N, H, W, 3]` -> unit vectors `[N, E]`."""
        return torch.cat([self._clips(frames[i : i + ROWS, None]) for i in range(0, len(frames), ROWS)])

    def score(self, frames: np.ndarray, text: str) -> float:
        """Cosine of a clip uint8 RGB `[4 k + 1, H, W, 3]` and a text, in the mean over pieces of 17 frames."""
        starts = range(0, max(len(frames) - 1, 1), PIECE - 1)
        pieces = torch.cat([self._clips(frames[None, start : start + PIECE]) for start in starts])
        return float((pieces @ self.texts([text]).T).mean())

    @property
    def _device(self) -> torch.device:
        return self.towers.log_scale.device

    @torch.no_grad()
    def _clips(self, frames: np.ndarray) -> Tensor:
        """uint8 `[N, T, H, W, 3]` -> `[N, E]`."""
        with mixed_precision(self._device):
            latents = self.autoencoder.encode(
                to_pixels(torch.from_numpy(np.ascontiguousarray(frames)).to(self._device))
            )
            return self.towers.clips(latents)


def recall(similarity: np.ndarray, right: np.ndarray, first: int) -> float:
    """Share of queries with a right answer among their `first` most similar ones: both `[queries, answers]`."""
    answers = np.argsort(-similarity, axis=1, kind="stable")[:, :first]
    return float(np.take_along_axis(right, answers, 1).any(1).mean())
