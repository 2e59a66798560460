"""Pictures and clips in words, by the towers and the captioner of a run. Knows no files."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from worldsim.device import mixed_precision
from worldsim.models.autoencoder import to_pixels
from worldsim.models.captioner import Captioner
from worldsim.runtime.clip_score import ClipScorer


@dataclasses.dataclass(frozen=True, eq=False)
class Describer:
    """The networks that describe, in evaluation mode on one device."""

    scorer: ClipScorer
    captioner: Captioner

    @torch.no_grad()
    def captions(self, clips: np.ndarray, seed: int | None = None) -> list[str]:
        """A caption of each clip uint8 RGB `[B, 4 k + 1, H, W, 3]`, whose sides are multiples of 16.

        Args:
            seed: draws their first words, and so what kind of captions they are; None for the most likely ones.
        """
        device = self.captioner.out.weight.device
        pixels = to_pixels(torch.from_numpy(np.ascontiguousarray(clips)).to(device))
        generator = torch.Generator().manual_seed(seed or 0)
        with mixed_precision(device):
            features = self.scorer.towers.features(self.scorer.autoencoder.encode(pixels)).float()
            return self.captioner.write(features, generator, drawn=0 if seed is None else 1)
