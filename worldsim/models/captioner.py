"""Clips -> words: a small transformer that writes one word after the other, looking at what the clips' tower makes of
every token of a clip. Knows nothing of pixels or losses.

B clips, S tokens of a clip, K words, V the vocabulary with its tokens that are no words, D width.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor, nn

from worldsim.models.layers import Block, axis_angles
from worldsim.models.video_dit import WordReader
from worldsim.models.words import BEGIN, FIRST, PAD, UNKNOWN

LIKELY = 0.1  # of the most likely word's probability: rarer ones are not drawn (min-p sampling, Nguyen et al. 2024)


@dataclasses.dataclass(frozen=True)
class CaptionerConfig:
    """Sizes of the captioner.

    Attributes:
        words: the vocabulary, in the order of the tokens; that of the towers' text encoder.
        features: width of what the clips' tower makes of a token.
        width: D. heads, depth: of the transformer.
    """

    words: tuple[str, ...] = ()
    features: int = 128
    width: int = 128
    heads: int = 4
    depth: int = 3

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> CaptionerConfig:
        """What JSON made of one."""
        return cls(**{**settings, "words": tuple(map(str, settings["words"]))})


class Captioner(nn.Module):
    """Words so far, and features of a clip -> what comes next. A padding token ends a caption."""

    def __init__(self, config: CaptionerConfig):
        super().__init__()
        self.config = config
        width, heads = config.width, config.heads
        self.embedding = nn.Embedding(FIRST + len(config.words), width)
        self.feature_in = nn.Linear(config.features, width)
        self.blocks = nn.ModuleList(Block(width, heads, heads) for _ in range(config.depth))
        self.readers = nn.ModuleList(WordReader(width, heads) for _ in range(config.depth))
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.out = nn.Linear(width, FIRST + len(config.words))
        nn.init.normal_(self.embedding.weight, std=0.5)

    def forward(self, tokens: Tensor, features: Tensor) -> Tensor:
        """Tokens int64 `[B, K]`, the first of them BEGIN, and features `[B, S, features]` -> logits of the token after
        each, float32 `[B, K, V]`; later tokens change nothing."""
        config, count = self.config, tokens.shape[1]
        x, seen = self.embedding(tokens), self.feature_in(features)
        angles = axis_angles(torch.arange(count, device=x.device), config.width // config.heads // 2, 64.0)
        earlier = torch.ones(count, count, dtype=torch.bool, device=x.device).tril()
        unmodulated, everywhere = x.new_zeros(6 * config.width), earlier.new_ones(1, 1)
        for block, reader in zip(self.blocks, self.readers, strict=True):
            x = block(reader(x, seen, everywhere), unmodulated, angles, earlier)
        return self.out(self.norm(x)).float()

    def write(self, features: Tensor, generator: torch.Generator, drawn: int = 1, longest: int = 48) -> list[str]:
        """Captions of clips.

        Args:
            features: `[B, S, features]`.
            generator: draws the first `drawn` words, which decide what kind of caption it will be; the others are the
                most likely ones. With 0, all are.
            longest: words of a caption at most; it has at least one.
        """
        tokens = torch.full((len(features), 1), BEGIN, device=features.device)
        for place in range(longest):
            logits = self(tokens, features)[:, -1]
            logits[:, [BEGIN, UNKNOWN] if place else [BEGIN, UNKNOWN, PAD]] = -torch.inf
            if place < drawn:
                likely = logits - logits.amax(-1, keepdim=True) > math.log(LIKELY)
                logits = logits.masked_fill(~likely, -torch.inf)
                following = torch.multinomial(logits.softmax(-1).cpu(), 1, generator=generator).to(tokens.device)
            else:
                following = logits.argmax(-1, keepdim=True)
            over = (tokens[:, -1:] == PAD) & (place > 0)
            tokens = torch.cat([tokens, following.masked_fill(over, PAD)], dim=1)
            if (tokens[:, -1] == PAD).all():
                break
        return [" ".join(self.config.words[t - FIRST] for t in row if t >= FIRST) for row in tokens.tolist()]
