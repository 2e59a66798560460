"""Latents that can be predicted: near in time is near in space, and all of the space is used (GRWM, Zhang et al. 2025).

The texture of a wall fills latents with its phase, so that those of two frames in a row differ as much as those of any
two. Slowness pulls such neighbours together, and uniformity keeps frames that differ apart. Knows no decoder.

B frames, C x h x w latents.
"""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class LatentGeometry:
    """Weights beside the loss of the pixels, which is some thousandths in the end.

    Attributes:
        slowness: of how far standardised latents are from those of the frame before.
        uniformity: of how unevenly they lie on the sphere.
    """

    slowness: float = 0.002
    uniformity: float = 0.0005

    def loss(self, latents: Tensor, before: Tensor) -> dict[str, Tensor]:
        """The weighted sum "geometry", and its parts, of latents `[B, C, h, w]` and those of the frames before."""
        slow, even = slowness(latents, before), uniformity(latents)
        return {"geometry": self.slowness * slow + self.uniformity * even, "slowness": slow, "uniformity": even}


def slowness(latents: Tensor, before: Tensor) -> Tensor:
    """Mean squared step, in units of that between any two frames: 0 for a still world, 1 for one without order."""
    return (latents - before).square().mean() / (2 * latents.detach().var(0, unbiased=False).mean() + 1e-6)


def uniformity(latents: Tensor) -> Tensor:
    """Log of the mean Gaussian potential of pairs on the unit sphere, lower is more even (Wang and Isola 2020,
    equation 2, t = 2)."""
    points = F.normalize(latents.flatten(1).float(), dim=1)
    apart = 2 - 2 * points @ points.T  # squared distances
    pairs = ~torch.eye(len(points), dtype=torch.bool, device=points.device)
    return apart[pairs].mul(-2).exp().mean().log()
