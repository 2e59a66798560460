"""A reward model: pixels and words -> how much of the words the picture shows (ImageReward, Xu et al. 2023).

It chooses the best of several pictures that were made. Unlike the two towers (`worldsim.models.clip_towers`), it sees
pixels, and what it sees looks at the words: so it can tell a ball that is nearly a block, and which of two is red.

B pictures, H x W pixels, h x w tokens of 8x8 pixels, K words, D width.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from worldsim.models.layers import Block
from worldsim.models.text import TextConfig, TextEncoder, text_config
from worldsim.models.video_dit import WAVES, WordReader, place_features, places, rotary_angles
from worldsim.models.words import PAD

CELL = 8  # pixels along one side of a token


@dataclasses.dataclass(frozen=True)
class RewardModelConfig:
    """Sizes.

    Attributes:
        widths: of the convolutions at a half, a quarter and an eighth of the resolution; the last one is D.
        heads, depth: of the blocks.
        text: of the text encoder.
    """

    widths: tuple[int, int, int] = (32, 64, 96)
    heads: int = 4
    depth: int = 2
    text: TextConfig = dataclasses.field(default_factory=lambda: TextConfig(width=96, depth=2))

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> RewardModelConfig:
        """What JSON made of one."""
        fine, middle, coarse = settings["widths"]
        return cls(**{**settings, "widths": (fine, middle, coarse), "text": text_config(settings["text"])})


class RewardModel(nn.Module):
    """Convolutions, then transformer blocks whose tokens look at the words, then one number."""

    def __init__(self, config: RewardModelConfig):
        super().__init__()
        self.config = config
        fine, middle, width = config.widths
        self.pixels_in = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, fine, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(fine, middle, 4, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(middle, middle, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(middle, width, 4, stride=2, padding=1),
        )
        self.place_in = nn.Linear(6 * 2 * WAVES, width)
        self.text = TextEncoder(config.text)
        self.word_in = nn.Linear(config.text.width, width)
        self.blocks = nn.ModuleList(Block(width, config.heads, config.heads) for _ in range(config.depth))
        self.readers = nn.ModuleList(WordReader(width, config.heads) for _ in range(config.depth))
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.out = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))

    def forward(self, pixels: Tensor, words: Tensor) -> Tensor:
        """Pixels `[B, 3, H, W]` in [-1, 1] and tokens of words, int64 `[B, K]` -> logits that all is there,
        float32 `[B]`."""
        features = self.pixels_in(pixels)
        h, w = features.shape[-2:]
        place, extent = (x.to(pixels.device) for x in places((1, h, w)))
        x = rearrange(features, "b d h w -> b (h w) d") + self.place_in(place_features(place, extent))
        angles = rotary_angles(place, x.shape[-1] // self.config.heads)
        read = self.word_in(self.text(words)[0])
        there = (words != PAD)[:, None, None]
        unmodulated = x.new_zeros(6 * x.shape[-1])
        for block, reader in zip(self.blocks, self.readers, strict=True):
            x = block(reader(x, read, there), unmodulated, angles)
        pooled: Tensor = self.norm(x).mean(1)
        return torch.as_tensor(self.out(pooled)).float().squeeze(-1)
