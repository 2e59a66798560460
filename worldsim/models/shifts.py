"""Shifts of the picture as linear maps of its latents, so that what scrolls can be copied.

A cell of the latents stands for several pixels. Where a view scrolls by fewer, no cell of the next frame is a cell of
this one, and all would have to be drawn anew. An autoencoder that is trained for it (EQ-VAE, Kouzelis et al. 2025) has
latents in which a shift by any number of pixels is a convolution of 3x3 cells.

B batch, C x h x w latents, K shifts.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FINE, COARSE, BESIDE = 2, 6, 1  # pixels: shifts up to FINE in all directions, up to COARSE along an axis and BESIDE it
GRID = [
    (down, right)
    for down in range(-COARSE, COARSE + 1)
    for right in range(-COARSE, COARSE + 1)
    if max(abs(down), abs(right)) <= FINE or min(abs(down), abs(right)) <= BESIDE
]
WIDTH = 128


class ShiftKernels(nn.Module):
    """A convolution for each shift, made by a small network from how far it goes."""

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels
        self.net = nn.Sequential(
            nn.Linear(10, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 9 * channels**2)
        )
        nothing = torch.zeros(channels, channels, 3, 3)
        nothing[range(channels), range(channels), 1, 1] = 1
        nn.init.zeros_(self.net[-1].weight)
        self.net[-1].bias.data = nothing.flatten()

    def kernels(self, shifts: Tensor) -> Tensor:
        """Pixels down and right `[K, 2]` -> `[K, C, C, 3, 3]`."""
        far = shifts / COARSE
        waves = [wave(math.pi / 2 * octave * far) for octave in (1, 2) for wave in (torch.sin, torch.cos)]
        made: Tensor = self.net(torch.cat([far, *waves], dim=-1))
        return made.view(-1, self.channels, self.channels, 3, 3)

    def forward(self, latents: Tensor, shift: Tensor) -> Tensor:
        """Latents `[B, C, h, w]` of a picture -> those of the picture so many pixels down and right `[2]`."""
        return F.conv2d(latents, self.kernels(shift[None])[0].to(latents.dtype), padding=1)


class Shifted(nn.Module):
    """A latent frame under all shifts of `GRID`, as an autoencoder learned them: they do not learn here."""

    def __init__(self, channels: int):
        super().__init__()
        self.all = nn.Conv2d(channels, len(GRID) * channels, 3, padding=1, bias=False).requires_grad_(False)

    def take_over(self, kernels: ShiftKernels) -> None:
        """Begin with what an autoencoder learned."""
        with torch.no_grad():
            self.all.weight.copy_(kernels.kernels(torch.tensor(GRID).to(self.all.weight)).flatten(0, 1))

    def forward(self, latents: Tensor) -> Tensor:
        """`[..., C, h, w]` -> `[..., K, C, h, w]`."""
        found = self.all(latents.flatten(0, -4)).float()
        return found.unflatten(1, (len(GRID), -1)).unflatten(0, latents.shape[:-3])


def shifted_pixels(pixels: Tensor, shift: Tensor) -> Tensor:
    """Pixels `[B, 3, H, W]` moved so many down and right `[2]`, their edges repeated."""
    rows, columns = (
        (torch.arange(size, device=pixels.device) - by).clamp(0, size - 1)
        for size, by in zip(pixels.shape[-2:], shift.long(), strict=True)
    )
    return pixels[..., rows[:, None], columns]
