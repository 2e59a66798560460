"""A reward model: pixels and words -> how much of the words the picture shows (ImageReward, Xu et al. 2023).

It chooses the best of several pictures that were made. Unlike the two towers (`worldsim.models.clip_towers`), it sees
pixels, so it can tell a ball that is nearly a block; and every word looks for its own place in the picture (FILIP, Yao
et al. 2022), so it can tell which of two things is red.

B pictures, C texts, H x W pixels, h x w tokens of 8x8 pixels, S of them, K words, D width.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from worldsim.models.layers import Block
from worldsim.models.text import TextConfig, TextEncoder, text_config
from worldsim.models.video_dit import WAVES, place_features, places, rotary_angles
from worldsim.models.words import PAD


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
    """Convolutions and blocks over a picture, a text encoder, and how well each word fits its best place."""

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
        self.blocks = nn.ModuleList(Block(width, config.heads, config.heads) for _ in range(config.depth))
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.picture_out = nn.Linear(width, width, bias=False)
        self.text = TextEncoder(config.text)
        self.word_out = nn.Linear(config.text.width, width, bias=False)
        self.weight_out = nn.Linear(config.text.width, 1)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    def pictures(self, pixels: Tensor) -> Tensor:
        """Pixels `[B, 3, H, W]` in [-1, 1] -> a unit vector of every token, float32 `[B, S, D]`."""
        features = self.pixels_in(pixels)
        place, extent = (x.to(pixels.device) for x in places((1, *features.shape[-2:])))
        x = rearrange(features, "b d h w -> b (h w) d") + self.place_in(place_features(place, extent))
        angles = rotary_angles(place, x.shape[-1] // self.config.heads)
        unmodulated = x.new_zeros(6 * x.shape[-1])
        for block in self.blocks:
            x = block(x, unmodulated, angles)
        return F.normalize(self.picture_out(self.norm(x)).float(), dim=-1)

    def texts(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens of words, int64 `[C, K]` -> a unit vector of every word, float32 `[C, K, D]`, and how much each
        counts, `[C, K]`, 1 in all."""
        features, _ = self.text(words)
        weights = self.weight_out(features).float().squeeze(-1).masked_fill(words == PAD, -torch.inf).softmax(-1)
        return F.normalize(self.word_out(features).float(), dim=-1), weights

    def match(self, pictures: Tensor, texts: tuple[Tensor, Tensor]) -> Tensor:
        """What `pictures` and `texts` gave, of every picture and every text -> scores `[B, C]`."""
        words, weights = texts
        found = torch.einsum("bsd,ckd->bcsk", pictures, words).amax(2)  # [B, C, K]
        return self.log_scale.exp() * (found * weights).sum(-1)

    def forward(self, pixels: Tensor, words: Tensor) -> Tensor:
        """Pixels `[B, 3, H, W]` in [-1, 1] and tokens of a text for each, int64 `[B, K]` -> scores, float32 `[B]`."""
        pictures, (each, weights) = self.pictures(pixels), self.texts(words)
        found = torch.einsum("bsd,bkd->bsk", pictures, each).amax(1)
        return torch.as_tensor(self.log_scale.exp() * (found * weights).sum(-1))
