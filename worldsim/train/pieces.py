"""Pieces of clips that the video DiT learns from: tokens, the sketch or other look that they follow, and captions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from worldsim.data import sketch
from worldsim.data.captioned import MOMENT
from worldsim.data.clip_latents import ClipLatents
from worldsim.models.guides import guide_tokens
from worldsim.models.video_dit import to_tokens

FIRST_ALONE = 0.5  # share of the sketched pieces of which only the first frame is drawn
INSTRUCTED = 0.5  # share of the restyled pieces that are told the last clause of a caption alone: "at night"


class Piece(NamedTuple):
    """What is learned from.

    Attributes:
        values: clean tokens `[S, V]`. extent: (t, h, w).
        guide: `[S, G]`.
        captions: any of them may be told.
    """

    values: Tensor
    extent: tuple[int, int, int]
    guide: Tensor
    captions: Sequence[str]


class Pieces:
    """Draws pieces of clips, and what they follow.

    Args:
        latents: of the clips.
        patch_size: latent cells (rows, columns) in one token.
        sketched: share of the pieces that follow a sketch of themselves.
        restyled: share of those which there are in several looks that follow another look. They are told captions that
            name their own look, or the last clause of one.
    """

    def __init__(self, latents: ClipLatents, patch_size: tuple[int, int], sketched: float, restyled: float):
        self._latents, self._patch_size = latents, patch_size
        self._sketched, self._restyled = sketched, restyled

    def draw(self, number: int, length: int, rng: np.random.Generator) -> Piece:
        """The first frames of a clip, or, if that is one, any of its pictures."""
        clips = self._latents.clips
        which = int(rng.integers(self._latents.pictures(number))) if length == 1 else 0
        latents, captions = self._read(number, length, which)
        (p, q), (t, channels, rows, columns) = self._patch_size, latents.shape
        drawing = self._sketch(number, length, which, rng) if rng.random() < self._sketched else None
        pairs, source = clips.paired(number), None
        if pairs and rng.random() < self._restyled:
            source = self._tokens(self._read(int(rng.choice(pairs)), length, which)[0])
            look, _ = clips.label(number)
            captions = [text for text in captions if look in text] or captions
            if rng.random() < INSTRUCTED:
                captions = [last_clause(text) for text in captions]
        extent = (t, rows // p, columns // q)
        return Piece(self._tokens(latents), extent, guide_tokens(extent, channels * p * q, drawing, source), captions)

    def _read(self, number: int, length: int, which: int) -> tuple[Tensor, Sequence[str]]:
        """Latents `[t, C, h, w]`, and what is true of them."""
        if length == 1:
            return self._latents.picture(number, which)
        story, moments = self._latents.clips.words(number)
        whole = length == self._latents.clips.bucket(number)[0]
        return self._latents.clip(number, length), story if whole else moments[0]

    def _sketch(self, number: int, length: int, which: int, rng: np.random.Generator) -> Tensor:
        """Of the last real frame of every latent frame, or of the first alone: 0 to 1, `[n, H, W]`."""
        begin = self._latents.frame(which)
        frames = self._latents.clips.clip(number).frames[begin : begin + length : MOMENT]
        frames = frames[: 1 if rng.random() < FIRST_ALONE else None]
        return torch.from_numpy(sketch.draw(frames, rng)).float() / 255

    def _tokens(self, latents: Tensor) -> Tensor:
        return to_tokens(latents[None].float(), self._patch_size)[0]


def last_clause(text: str) -> str:
    """`"Two toys: a ball and a box. It is night."` -> `"It is night"`."""
    return re.split(r"[,;:.]\s+", text.rstrip(". "))[-1]
