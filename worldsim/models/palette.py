"""A palette: kinds of latent cells that a frame may be made of, weighed by what the noised frame says.

A world that is drawn of tiles has few kinds of cells. What comes into view is one of them, and the mean of those that
it may be is none. So the copy head is offered the kinds, and every candidate, copied or of the palette, is weighed by
its likelihood given the noised frame: the network's gates are the prior, the copy head's shares are the posterior of a
mixture, and a pass with some signal decides for one candidate.

B batch, K candidates, C x h x w latents, Y layers of a latent frame.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from worldsim.models.copy_head import Candidates

SPREAD = 0.3  # standard deviation of a latent number about the candidate that it is taken from


class Palette(nn.Module):
    """Cells that are offered everywhere: a candidate source.

    Args:
        size: kinds. channels: C.
    """

    def __init__(self, size: int, channels: int):
        super().__init__()
        self.cells = nn.Parameter(torch.randn(size, channels))

    @torch.no_grad()
    def take_over(self, cells: np.ndarray) -> None:
        """Begin with kinds `[K, C]` that were found in recorded frames."""
        self.cells.copy_(torch.from_numpy(cells))

    def forward(self, latents: Tensor) -> Candidates:
        """The kinds, at each cell of `[B, C, h, w]`. Before anything is learned, all of them count as one candidate."""
        b, _, h, w = latents.shape
        offered = self.cells.float()[None, :, :, None, None].expand(b, -1, -1, h, w)
        bias = offered.new_full((b, 1, 1, h, w), -math.log(self.cells.shape[0]))
        return Candidates(offered, bias)


def weighed(source: Candidates, noisy: Tensor, tau: Tensor, layers: int) -> Candidates:
    """A source whose candidates are also weighed by the noised frame.

    A number x of the frame to come is seen as tau x + (1 - tau) noise. If it is a candidate's, x varies about that by
    `SPREAD`; if it is none's, it has mean 0 and variance 1, as all latents together. The bias is the logarithm of the
    ratio of these two likelihoods, for all numbers of a cell.

    Args:
        source: of one frame each.
        noisy: the noised frame to come `[B, C, h, w]`. tau: its signal level, `[B]` or `[1]`.
        layers: Y.
    """
    noise, signal = (1 - tau).square(), tau.square()
    near, broad = noise + signal * SPREAD**2, noise + signal
    each = (slice(None), *(None,) * 4)
    distance = (noisy[:, None] - tau[each] * source.latents).square()
    ratio = noisy[:, None].square() / broad[each] - distance / near[each] + (broad / near).log()[each]
    evidence = 0.5 * ratio.unflatten(2, (layers, -1)).sum(3)
    return source._replace(bias=evidence if source.bias is None else source.bias + evidence)
