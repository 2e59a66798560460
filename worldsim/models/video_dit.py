"""The diffusion transformer over clips (DiT, Peebles & Xie 2023), bidirectional, of any length and size.

A token is a patch of a latent frame (tubelets: ViViT, Arnab et al. 2021). Every token has a noise level of its own
(diffusion forcing, Chen et al. 2024) and says whether it is given; words are read through their mean and by
cross-attention, and guides (a sketch, a source) through a layer that adds nothing at first. Several clips may be packed
into one row (NaViT, Dehghani et al. 2023). Knows nothing of pixels, samplers or losses.

B rows, S tokens and N texts of a row, K words, V numbers of a token, G of its guides, D width, E head width; t, h, w
latent frames, rows and columns of tokens.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn

from worldsim.errors import WorldsimError
from worldsim.models.guides import guide_width
from worldsim.models.layers import Attention, Block, FourierFeatures, axis_angles
from worldsim.models.text import TextConfig, TextEncoder, text_config
from worldsim.models.words import BEGIN, FIRST, PAD, Vocabulary

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
    width: int = 192
    heads: int = 3
    depth: int = 8
    word_every: int = 2
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
        tau: signal level `[B, S]`. given: bool `[B, S]`. guide: what `guide_tokens` makes, `[B, S, G]`, zeros
            for none; None if no clip has any.
        text: which of its row's texts belongs to it, int64 `[B, S]`, or PADDING; None if a row is one clip.
    """

    values: Tensor
    place: Tensor
    extent: Tensor
    tau: Tensor
    given: Tensor
    guide: Tensor | None = None
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
        self.guide_in = nn.Linear(guide_width(config.token_width), width, bias=False)  # so that zeros add nothing
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
        for weight in (*self.modulation.parameters(), *self.out.parameters(), *self.guide_in.parameters()):
            nn.init.zeros_(weight)

    def forward(self, tokens: Tokens, words: Tensor) -> Tensor:
        """One pass.

        Args:
            tokens: noisy, at their signal levels; clean where given.
            words: tokens of each row's texts, int64 `[B, N, K]`; the empty text is the null condition.

        Returns:
            clean tokens, float32 `[B, S, V]`.
        """
        rows, count, longest = words.shape
        word_features, mean = self.text(words.flatten(0, 1))
        word_features = self.word_in(word_features).unflatten(0, (rows, count)).flatten(1, 2)  # [B, N K, D]
        mean = self.text_in(mean).unflatten(0, (rows, count))  # [B, N, D]
        word_mask, self_mask = (words != PAD).flatten(1)[:, None], None  # [B, 1, N K]
        if tokens.text is not None:
            text = tokens.text
            mean = mean.gather(1, text.clamp(min=0)[..., None].expand(-1, -1, mean.shape[-1]))
            self_mask = (text[:, :, None] == text[:, None])[:, None]
            owner = torch.arange(count, device=words.device).repeat_interleave(longest)
            word_mask = word_mask & (text[..., None] == owner) | (text == PADDING)[..., None]
        x = self.token_in(tokens.values) + self.place_in(place_features(tokens.place, tokens.extent))
        if tokens.guide is not None:
            x = x + self.guide_in(tokens.guide)
        condition = self.tau(tokens.tau) + mean + tokens.given[..., None] * self.given
        shared = self.modulation(condition)  # [B, S, 6 D]
        angles = rotary_angles(tokens.place, self.config.width // self.config.heads)[:, None]
        for index, block in enumerate(self.blocks):
            if (key := str(index)) in self.readers:
                x = self.readers[key](x, word_features, word_mask[:, None])
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


def pack(clips: Sequence[Tokens], words: Tensor, length: int) -> tuple[Tokens, Tensor]:
    """Put clips one after the other into as few rows as first fit gives, the largest first.

    Args:
        clips: a row each of its own, with guides, `[1, S_i, ...]`.
        words: tokens of their texts, int64 `[clips, K]`.
        length: S of the rows; no clip is longer.

    Returns:
        the rows, padded at their ends, and the tokens of their texts `[B, N, K]`, padded with empty ones.
    """
    sizes = [clip.values.shape[1] for clip in clips]
    rows: list[list[int]] = []
    for index in sorted(range(len(clips)), key=lambda i: -sizes[i]):
        assert sizes[index] <= length, f"a clip of {sizes[index]} tokens in rows of {length}"
        fitting = [row for row in rows if sum(sizes[i] for i in row) + sizes[index] <= length]
        if fitting:
            fitting[0].append(index)
        else:
            rows.append([index])
    texts = words.new_full((len(rows), max(map(len, rows)), words.shape[1]), PAD)
    texts[..., 0] = BEGIN
    packed = []
    for row, shown in zip(rows, texts, strict=True):
        shown[: len(row)] = words[row]
        fields = [torch.cat([getattr(clips[i], name)[0] for i in row]) for name in Tokens._fields[:-1]]
        missing = length - len(fields[0])
        padded = [torch.cat([f, f[:1].expand(missing, *f.shape[1:])]) for f in fields]
        owner = [torch.full((sizes[i],), n) for n, i in enumerate(row)]
        packed.append([*padded, torch.cat([*owner, torch.full((missing,), PADDING)]).to(words.device)])
    return Tokens(*(torch.stack(field) for field in zip(*packed, strict=True))), texts


def inherit(dit: VideoDiT, start: VideoDiT) -> None:
    """Give a video DiT the weights of another one that may know other words; those that it doesn't know stay random.

    Raises:
        WorldsimError: if they differ in more than words.
    """
    weights, own, theirs = start.state_dict(), dit.config, start.config
    if dataclasses.replace(theirs, text=dataclasses.replace(theirs.text, words=own.text.words)) != own:
        raise WorldsimError("the networks to begin with are of other sizes; train them anew, without --start")
    embedding = dit.text.embedding.weight.detach().clone()
    mine, there = (Vocabulary(config.text.words) for config in (own, theirs))
    common = [word for word in own.text.words if not there.unknown(word)]
    if common:
        embedding[mine.tokens(common)[:, 1]] = weights["text.embedding.weight"][there.tokens(common)[:, 1]]
    embedding[:FIRST] = weights["text.embedding.weight"][:FIRST]
    dit.load_state_dict({**weights, "text.embedding.weight": embedding})
