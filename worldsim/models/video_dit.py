"""The diffusion transformer over clips (DiT, Peebles & Xie 2023), bidirectional, of any length and size.

A token is a patch of a latent frame (tubelets: ViViT, Arnab et al. 2021). Every token has a noise level of its own
(diffusion forcing, Chen et al. 2024) and says whether it is given; words are read through their mean and by
cross-attention. Several clips may be packed into one row (NaViT, Dehghani et al. 2023). Knows nothing of pixels,
samplers or losses.

B rows, S tokens of a row, N texts, K words, V numbers of a token, D width, E head width; t, h, w latent frames, rows
and columns of tokens.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn

from worldsim.models.layers import Attention, Block, FourierFeatures, axis_angles
from worldsim.models.text import PAD, TextConfig, TextEncoder, text_config

WAVES = 4  # of each number of a token's place
PADDING = -1  # the text of tokens that belong to no clip


@dataclasses.dataclass(frozen=True)
class VideoDiTConfig:
    """Sizes of the transformer.

    Attributes:
        channels: of a latent cell. patch_size: latent cells (rows, columns) in one token.
        width: D. heads, depth: of the blocks. word_every: one block in so many reads the words first.
        text: of the text encoder, which is part of it.
    """

    channels: int = 24
    patch_size: tuple[int, int] = (2, 2)
    width: int = 256
    heads: int = 4
    depth: int = 9
    word_every: int = 3
    text: TextConfig = dataclasses.field(default_factory=TextConfig)

    @property
    def token_width(self) -> int:
        """V."""
        return self.channels * self.patch_size[0] * self.patch_size[1]

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> VideoDiTConfig:
        """What JSON made of one."""
        rows, columns = settings["patch_size"]
        return cls(**{**settings, "patch_size": (rows, columns), "text": text_config(settings["text"])})


class Tokens(NamedTuple):
    """Tokens of clips, and what is known of each.

    Attributes:
        values: `[B, S, V]`. place: (t, h, w) in its clip, `[B, S, 3]`. extent: (t, h, w) of its clip, `[B, S, 3]`.
        tau: signal level `[B, S]`. given: bool `[B, S]`.
        text: which of the texts belongs to it, int64 `[B, S]`, or PADDING; None if text b belongs to all of row b, and
            no two clips share a row.
    """

    values: Tensor
    place: Tensor
    extent: Tensor
    tau: Tensor
    given: Tensor
    text: Tensor | None = None


class WordReader(nn.Module):
    """Cross-attention from tokens to words; adds nothing at first."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.attention = Attention(width, heads, heads)
        nn.init.zeros_(self.attention.out.weight)

    def forward(self, x: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """Tokens `[B, S, D]`, words `[B, K, D]`, mask True where a token may look, `[B, 1, S or 1, K]` -> as tokens."""
        k, v = self.attention.keys_values(words)
        return x + self.attention.attend(self.attention.queries(self.norm(x)), k, v, mask)


class VideoDiT(nn.Module):
    """Noisy tokens of clips, and words -> the clean tokens that are expected."""

    def __init__(self, config: VideoDiTConfig):
        super().__init__()
        self.config = config
        width = config.width
        self.text = TextEncoder(config.text)
        self.word_in = nn.Linear(config.text.width, width)
        self.text_in = nn.Linear(config.text.width, width)
        self.token_in = nn.Linear(config.token_width, width)
        self.place_in = nn.Linear(6 * 2 * WAVES, width)
        self.tau = FourierFeatures(width)
        self.given = nn.Parameter(torch.randn(width) * 0.02)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.blocks = nn.ModuleList(Block(width, config.heads, config.heads) for _ in range(config.depth))
        self.readers = nn.ModuleDict(
            {str(i): WordReader(width, config.heads) for i in range(config.depth) if i % config.word_every == 0}
        )
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.out = nn.Linear(width, config.token_width)
        for layer in (self.modulation[1], self.out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, tokens: Tokens, words: Tensor) -> Tensor:
        """One pass.

        Args:
            tokens: noisy, at their signal levels; clean where given.
            words: tokens of the texts, int64 `[N, K]`; the empty text is the null condition.

        Returns:
            clean tokens, float32 `[B, S, V]`.
        """
        word_features, mean = self.text(words)  # [N, K, D'], [N, D']
        word_features, mean, there = self.word_in(word_features), self.text_in(mean), words != PAD
        if tokens.text is None:
            mean, self_mask = mean[:, None], None
            word_mask = there[:, None, None]
        else:
            mean = mean[tokens.text.clamp(min=0)]
            self_mask = (tokens.text[:, :, None] == tokens.text[:, None])[:, None]
            owner = torch.arange(len(words), device=words.device).repeat_interleave(words.shape[1])
            seen = (tokens.text[..., None] == owner) & there.flatten()
            word_mask = (seen | (tokens.text == PADDING)[..., None])[:, None]
            word_features = word_features.flatten(0, 1).expand(len(tokens.text), -1, -1)
        x = self.token_in(tokens.values) + self.place_in(place_features(tokens.place, tokens.extent))
        condition = self.tau(tokens.tau) + mean + tokens.given[..., None] * self.given
        shared = self.modulation(condition)  # [B, S, 6 D]
        angles = rotary_angles(tokens.place, self.config.width // self.config.heads)[:, None]
        for index, block in enumerate(self.blocks):
            if (key := str(index)) in self.readers:
                x = self.readers[key](x, word_features, word_mask)
            x = block(x, shared, angles, self_mask)
        return self.out(self.norm(x)).float()


def place_features(place: Tensor, extent: Tensor) -> Tensor:
    """Where tokens are in their clips, and how large those are: `[..., 3]` twice -> float32 `[..., 12 WAVES]`.

    Rows and columns count as shares of the clip, so that floors are below in clips of every height.
    """
    place, extent = place.float(), extent.float()
    share = (place[..., 1:] + 0.5) / extent[..., 1:]
    numbers = torch.cat([place[..., :1] / 16, share, extent.log2() / 8], dim=-1)
    angles = numbers[..., None] * (torch.pi * 2.0 ** torch.arange(WAVES, device=place.device))
    return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)


def rotary_angles(place: Tensor, head_width: int) -> Tensor:
    """Rotary angles of tokens at (t, h, w) `[..., 3]`: three tenths of the pairs turn with the row, as many with the
    column, the rest with time; float32 `[..., E / 2]`."""
    pairs = head_width // 2
    side = pairs * 3 // 10
    axes = ((0, pairs - 2 * side, 64.0), (1, side, 32.0), (2, side, 32.0))
    return torch.cat([axis_angles(place[..., axis], count, longest) for axis, count, longest in axes], dim=-1)


def to_tokens(latents: Tensor, patch_size: tuple[int, int]) -> Tensor:
    """Latents `[B, t, C, rows, columns]` -> tokens `[B, S, V]`, frame by frame and row by row."""
    p, q = patch_size
    return rearrange(latents, "b t c (h p) (w q) -> b (t h w) (c p q)", p=p, q=q)


def to_latents(tokens: Tensor, extent: tuple[int, int, int], patch_size: tuple[int, int]) -> Tensor:
    """Tokens of clips of (t, h, w) -> latents: undoes `to_tokens`."""
    (t, h, w), (p, q) = extent, patch_size
    return rearrange(tokens, "b (t h w) (c p q) -> b t c (h p) (w q)", t=t, h=h, w=w, p=p, q=q)


def places(extent: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """(t, h, w) of every token of a clip, and of the clip: int64 `[S, 3]` twice."""
    place = torch.cartesian_prod(*(torch.arange(n) for n in extent)).reshape(-1, 3)
    return place, torch.tensor(extent).expand(len(place), -1)


def pack(clips: list[Tokens], length: int) -> Tokens:
    """Clips, one row each of its own `[1, S_i, ...]`, one after the other in as few rows of `length` as first fit
    gives; text i belongs to clip i."""
    rows: list[list[int]] = []
    free: list[int] = []
    for index in sorted(range(len(clips)), key=lambda i: -clips[i].values.shape[1]):
        size = clips[index].values.shape[1]
        assert size <= length, f"a clip of {size} tokens in rows of {length}"
        row = next((r for r, room in enumerate(free) if room >= size), len(rows))
        if row == len(rows):
            rows.append([])
            free.append(length)
        rows[row].append(index)
        free[row] -= size
    packed = []
    for row in rows:
        parts = [clips[i] for i in row]
        text = torch.cat([torch.full((clips[i].values.shape[1],), i) for i in row])
        fields = [torch.cat([getattr(part, name)[0] for part in parts]) for name in Tokens._fields[:-1]]
        missing = length - len(text)
        padded = [torch.cat([f, f[:1].expand(missing, *f.shape[1:])]) for f in fields]
        padded.append(torch.cat([text, torch.full((missing,), PADDING)]).to(fields[0].device))
        packed.append(padded)
    return Tokens(*(torch.stack(field) for field in zip(*packed, strict=True)))
