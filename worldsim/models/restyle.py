"""Restyler: a frame -> the same frame in another look. Convolutions alone, so any size will do; knows no time.

A look is mostly a palette, but what a dark pixel is (a rail, a cup, the line of a card) is told by what is around it.
So a coarse path looks at some 30 pixels each way, and a fine one paints every pixel by it.

B images, H x W pixels, D width of the embedding of a look.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.models.autoencoder import to_frames, to_pixels

FACTOR = 4  # pixels along one side of a cell of the coarse path


@dataclasses.dataclass(frozen=True)
class RestyleConfig:
    """Sizes of a restyler.

    Attributes:
        looks: what it can paint, by name.
        width: channels of the fine path. blocks: its residual blocks.
        coarse_width, coarse_blocks: of the coarse path.
        embedding: D.
    """

    looks: tuple[str, ...]
    width: int = 24
    blocks: int = 2
    coarse_width: int = 48
    coarse_blocks: int = 3
    embedding: int = 16

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> RestyleConfig:
        """What JSON made of one."""
        return cls(**{**settings, "looks": tuple(map(str, settings["looks"]))})


class FiLMBlock(nn.Module):
    """x + conv(silu(scale(look) * conv(silu(x)) + shift(look))), Perez et al. 2018; no norm, so nothing depends on the
    size. The last convolution starts at zero."""

    def __init__(self, width: int, embedding: int):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.film = nn.Linear(embedding, 2 * width)
        self.last = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor, look: Tensor) -> Tensor:
        """`[B, width, h, w]` and an embedded look `[B, D]` -> `[B, width, h, w]`."""
        scale, shift = self.film(look)[..., None, None].chunk(2, dim=1)
        return x + self.last(F.silu((1 + scale) * self.first(F.silu(x)) + shift))


class Restyler(nn.Module):
    """Paints frames in a look."""

    def __init__(self, config: RestyleConfig):
        super().__init__()
        self.config = config
        width, coarse = config.width, config.coarse_width
        self.look = nn.Embedding(len(config.looks), config.embedding)
        self.fine_in = nn.Conv2d(3, width, 3, padding=1)
        self.coarse_in = nn.Conv2d(3, coarse, 2 * FACTOR, stride=FACTOR, padding=FACTOR // 2)
        self.coarse = nn.ModuleList(FiLMBlock(coarse, config.embedding) for _ in range(config.coarse_blocks))
        self.up = nn.ConvTranspose2d(coarse, width, FACTOR, stride=FACTOR)
        self.fine = nn.ModuleList(FiLMBlock(width, config.embedding) for _ in range(config.blocks))
        self.out = nn.Conv2d(width, 3, 3, padding=1)
        nn.init.zeros_(self.out.weight)

    def forward(self, pixels: Tensor, look: Tensor) -> Tensor:
        """Pixels `[B, 3, H, W]` in [-1, 1], H and W multiples of `FACTOR`, and looks int64 `[B]`, indices into
        `config.looks` -> pixels of the same shape, around [-1, 1]."""
        look = self.look(look)
        coarse = self.coarse_in(pixels)
        for block in self.coarse:
            coarse = block(coarse, look)
        fine = self.fine_in(pixels) + self.up(F.silu(coarse))
        for block in self.fine:
            fine = block(fine, look)
        return pixels + self.out(F.silu(fine))


class Restyle(nn.Module):
    """A restyler from frames to frames, as it is exported."""

    def __init__(self, restyler: Restyler):
        super().__init__()
        self.restyler = restyler

    def forward(self, frames: Tensor, look: Tensor) -> Tensor:
        """uint8 `[B, H, W, 3]` and looks int64 `[B]` -> uint8 `[B, H, W, 3]`."""
        return to_frames(self.restyler(to_pixels(frames), look))


def paint(restyler: Restyler, frames: Tensor, look: str) -> Tensor:
    """Frames uint8 `[B, H, W, 3]` in a look, by its name, on the restyler's device."""
    device = restyler.out.weight.device
    number = torch.full((len(frames),), restyler.config.looks.index(look), device=device)
    with torch.no_grad():
        painted: Tensor = Restyle(restyler)(frames.to(device), number)
    return painted
