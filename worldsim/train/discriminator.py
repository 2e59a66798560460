"""A small patch discriminator: is each part of a picture real or decoded? Only for training decoders.

B images, H x W pixels, P x Q patches.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PatchDiscriminator(nn.Module):
    """Strided convolutions that judge patches of some tens of pixels (Isola et al. 2017, section 3.2.2)."""

    def __init__(self, width: int = 48, depth: int = 3):
        super().__init__()
        widths = [width * 2**i for i in range(depth)]
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, 4, stride=2, padding=1),
                nn.GroupNorm(8, after) if before > 3 else nn.Identity(),
                nn.LeakyReLU(0.2),
            )
            for before, after in zip([3, *widths], widths, strict=False)
        )
        self.out = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """`[B, 3, H, W]` -> logits that patches are real `[B, 1, P, Q]`, and the features of each stage."""
        features = []
        for stage in self.stages:
            pixels = stage(pixels)
            features.append(pixels)
        return self.out(pixels), features


def hinge_loss(real: Tensor, made: Tensor) -> Tensor:
    """The discriminator's, of logits of real and of made pictures (Lim and Ye 2017)."""
    return (1 - real).relu().mean() + (1 + made).relu().mean()


def feature_distance(real: list[Tensor], made: list[Tensor]) -> Tensor:
    """How far the features of made pictures are from those of the real ones, which stands in for a perceptual loss
    (feature matching, Larsen et al. 2016; Wang et al. 2018, equation 3)."""
    apart = [(b - a.detach()).abs().mean() / (a.detach().abs().mean() + 1e-3) for a, b in zip(real, made, strict=True)]
    return torch.stack(apart).mean()
