"""Guides of the video DiT: what a clip follows beside words, token by token. Knows no networks.

A sketch says where lines are (edges of ControlNet, Zhang et al. 2023); a source is another clip of the same layout, to
be redone in other words (InstructPix2Pix, Brooks et al. 2023). Each has a bit that says it is there; a guide that is
absent is all zeros, of which the network makes nothing.

S tokens, V numbers of a token, t, h, w latent frames, rows and columns of tokens.
"""

from __future__ import annotations

import torch
from einops import reduce
from torch import Tensor

SIDE = 8  # rows and columns of a token's part of a sketch
SOURCE = 1 + SIDE**2  # the first number of the source


def guide_width(token_width: int) -> int:
    """G, numbers of a token's guides, from V."""
    return SOURCE + 1 + token_width


def guide_tokens(
    extent: tuple[int, int, int], token_width: int, sketch: Tensor | None = None, source: Tensor | None = None
) -> Tensor:
    """The guides of a clip of (t, h, w) tokens.

    Args:
        extent: (t, h, w). token_width: V.
        sketch: 0 to 1, 1 where there is a line, of the last real frames of the first n <= t latent frames
            `[n, H, W]`; H and W are multiples of 8 h and 8 w.
        source: clean tokens of the other clip `[S, V]`.

    Returns:
        float32 `[S, G]`, on the CPU or where `source` is.
    """
    t, h, w = extent
    device = None if source is None else source.device
    guides = torch.zeros(t, h * w, guide_width(token_width), device=device)
    if sketch is not None:
        lines = reduce(sketch, "n (h r p) (w c q) -> n (h w) (r c)", "mean", h=h, w=w, r=SIDE, c=SIDE)
        guides[: len(lines), :, 0] = 1
        guides[: len(lines), :, 1:SOURCE] = lines
    guides = guides.flatten(0, 1)
    if source is not None:
        guides[:, SOURCE] = 1
        guides[:, SOURCE + 1 :] = source
    return guides
