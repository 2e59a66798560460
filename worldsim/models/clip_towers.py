"""Two towers that meet: clips and words -> unit vectors that lie close where the words are true of the clip (CLIP,
Radford et al. 2021).

Clips are latents of the video autoencoder, of any size and length; a picture is a clip of one frame. Knows nothing of
pixels or losses.

B clips or texts, t latent frames, C channels, h x w latents, S tokens, K words, D width, E width of the vectors.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.models.layers import Block
from worldsim.models.text import TextConfig, TextEncoder, text_config
from worldsim.models.video_dit import WAVES, place_features, places, rotary_angles, to_tokens

SHARPEST = 100.0  # what cosines are multiplied by, at most


@dataclasses.dataclass(frozen=True)
class ClipTowersConfig:
    """Sizes of both towers.

    Attributes:
        channels: of a latent cell. patch_size: latent cells (rows, columns) in one token.
        width: D. heads, depth: of the blocks of the clips' tower.
        embedding: E.
        sentence: width of the vectors of a sentence encoder that the text tower is aligned to; 0 for none.
        text: of the text tower.
    """

    channels: int = 24
    patch_size: tuple[int, int] = (2, 2)
    width: int = 128
    heads: int = 4
    depth: int = 3
    embedding: int = 128
    sentence: int = 0
    text: TextConfig = dataclasses.field(default_factory=lambda: TextConfig(depth=2))

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> ClipTowersConfig:
        """What JSON made of one."""
        rows, columns = settings["patch_size"]
        return cls(**{**settings, "patch_size": (rows, columns), "text": text_config(settings["text"])})


class ClipTowers(nn.Module):
    """A transformer over tokens of clips, a text encoder, and a learned temperature."""

    def __init__(self, config: ClipTowersConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.text = TextEncoder(config.text)
        self.text_out = nn.Linear(config.text.width, config.embedding, bias=False)
        self.token_in = nn.Linear(config.channels * config.patch_size[0] * config.patch_size[1], width)
        self.place_in = nn.Linear(6 * 2 * WAVES, width)
        self.blocks = nn.ModuleList(Block(width, config.heads, config.heads) for _ in range(config.depth))
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.clip_out = nn.Linear(width, config.embedding, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.sentence_out = nn.Linear(config.text.width, config.sentence, bias=False) if config.sentence else None

    @property
    def scale(self) -> Tensor:
        """What cosines are multiplied by: one over the temperature."""
        return self.log_scale.exp().clamp(max=SHARPEST)

    def clips(self, latents: Tensor) -> Tensor:
        """Latents `[B, t, C, h, w]` -> unit vectors, float32 `[B, E]`."""
        rows, columns = self.config.patch_size
        t, _, h, w = latents.shape[1:]
        place, extent = (x.to(latents.device) for x in places((t, h // rows, w // columns)))
        x = self.token_in(to_tokens(latents, self.config.patch_size)) + self.place_in(place_features(place, extent))
        angles = rotary_angles(place, self.config.width // self.config.heads)
        unmodulated = x.new_zeros(6 * self.config.width)
        for block in self.blocks:
            x = block(x, unmodulated, angles)
        return F.normalize(self.clip_out(self.norm(x).mean(1)).float(), dim=-1)

    def texts(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens `[B, K]` -> unit vectors, float32 `[B, E]`, and the mean features that they are made of."""
        mean = self.text(tokens)[1]
        return F.normalize(self.text_out(mean).float(), dim=-1), mean
