"""Inertia: what moves goes on as it did, with nobody doing anything, and comes back from what it meets.

Convolutions over single cells that see the last frames and how well each cell fits one that was beside it before, and
may copy cells sideways from the last frame and, for what moves by half a cell a frame, from the one before it. It
learns alone, on runs of its own with a gradient through them, which takes no transformer (`worldsim.train.inertia`).

B batch, C x h x w latents of one picture.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.dynamics_config import PAST

REACH = 2  # cells a frame
LAYERS = 4


class Inertia(nn.Module):
    """The next frame, if nobody does anything.

    Args:
        cells: C. width: of the convolutions.
    """

    def __init__(self, cells: int, width: int):
        super().__init__()
        whole, half = 2 * REACH + 1, REACH + 1
        self.first = nn.Conv2d(PAST * cells + 2 * whole + 2 * half, width, 3, padding=1)
        self.layers = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(LAYERS))
        self.out = nn.Conv2d(width, cells + whole + half + 1, 3, padding=1)
        for weight in self.out.parameters():
            nn.init.zeros_(weight)

    def forward(self, past: Tensor) -> Tensor:
        """Frames `[B, PAST, C, h, w]`, oldest first -> `[B, C, h, w]`."""
        before3, before2, before, now = past.unbind(1)
        steps, halves = range(-REACH, REACH + 1), range(-(REACH // 2), REACH // 2 + 1)
        whole, half = [_aside(now, step) for step in steps], [_aside(before, step) for step in halves]
        seen = [now, now - before, now - before2, before - before3]
        seen += [_differs(cell, _aside(before, 2 * step)) for cell, step in zip(whole, steps, strict=True)]
        seen += [_differs(cell, now) for cell in whole]
        seen += [_differs(cell, _aside(before3, 2 * step)) for cell, step in zip(half, halves, strict=True)]
        seen += [_differs(now, _aside(before2, step)) for step in halves]
        x = F.silu(self.first(torch.cat(seen, dim=1)))
        for layer in self.layers:
            x = x + F.silu(layer(x))
        change, gates = self.out(x).tensor_split([now.shape[1]], dim=1)
        shares = gates.softmax(1)  # the last one is nothing
        return change + sum(shares[:, i : i + 1] * cell for i, cell in enumerate([*whole, *half]))


def _aside(frame: Tensor, step: int) -> Tensor:
    """A frame moved so many cells to the right, its edge repeated."""
    if step == 0:
        return frame
    room, width = abs(step), frame.shape[-1]
    padded = F.pad(frame, (room, room, 0, 0), mode="replicate")
    return padded[..., room - step : room - step + width]


def _differs(cell: Tensor, other: Tensor) -> Tensor:
    """By how much cells differ, about -1 to 1: `[B, 1, h, w]`."""
    return ((cell - other).square().mean(1, keepdim=True) + 1e-3).log() / 3 + 1
