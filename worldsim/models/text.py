"""Text encoder: words of a closed vocabulary -> features. A word it doesn't know is one token, and can be said.

B texts, K words at most, D width.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from worldsim.models.layers import Block, axis_angles
from worldsim.models.words import FIRST, PAD, Vocabulary, split_words


@dataclasses.dataclass(frozen=True)
class TextConfig:
    """Sizes of the text encoder.

    Attributes:
        words: the vocabulary, in the order of the tokens.
        width: D. heads, depth: of the transformer.
    """

    words: tuple[str, ...] = ()
    width: int = 128
    heads: int = 4
    depth: int = 3


def vocabulary(texts: Iterable[str], more: Iterable[str] = (), fewest: int = 3) -> tuple[str, ...]:
    """Words that occur at least so often in texts, and all of those in `more`, in order of the alphabet."""
    counts = collections.Counter(word for text in texts for word in split_words(text))
    frequent = {word for word, count in counts.items() if count >= fewest}
    return tuple(sorted(frequent.union(*map(split_words, more))))


class TextEncoder(nn.Module):
    """A small transformer over words. The empty text, one begin token, is the null condition."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self.config = config
        self.vocabulary = Vocabulary(config.words)
        self.embedding = nn.Embedding(FIRST + len(config.words), config.width)
        self.blocks = nn.ModuleList(Block(config.width, config.heads, config.heads) for _ in range(config.depth))
        self.norm = nn.RMSNorm(config.width, eps=1e-6)
        nn.init.normal_(self.embedding.weight, std=0.5)

    def unknown(self, text: str) -> list[str]:
        """Words of a text that are not in the vocabulary, each once."""
        return self.vocabulary.unknown(text)

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """Texts -> tokens int64 `[B, K]`, as many as the longest needs, padded at the end."""
        return torch.from_numpy(self.vocabulary.tokens(texts))

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens `[B, K]` -> features of the words `[B, K, D]`, and their mean `[B, D]`; padding changes nothing."""
        there = tokens != PAD  # [B, K]
        x = self.embedding(tokens)
        config = self.config
        angles = axis_angles(torch.arange(tokens.shape[1], device=x.device), config.width // config.heads // 2, 64.0)
        none = x.new_zeros(6 * config.width)
        for block in self.blocks:
            x = block(x, none, angles, there[:, None, None])
        x = self.norm(x)
        share = there[..., None].to(x.dtype)
        return x, (x * share).sum(1) / share.sum(1)


def text_config(settings: dict[str, Any]) -> TextConfig:
    """What JSON made of one."""
    return TextConfig(**{**settings, "words": tuple(map(str, settings["words"]))})
