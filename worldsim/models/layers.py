"""Layers that several models share: rotary positions, attention, gated MLP, adaLN block.

Knows nothing of worlds or noise.

B batch, T frames, N tokens a frame, S tokens in one attention call, D width, G key/value heads, E head width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


def axis_angles(positions: Tensor, pairs: int, longest: float = 256.0) -> Tensor:
    """Rotary angles of one axis (RoFormer, Su et al. 2021, section 3.2), always float32.

    Args:
        positions: `[...]` positions along the axis.
        pairs: number of channel pairs turned by this axis.
        longest: the slowest pair turns once in about `2 pi * longest` positions.

    Returns:
        `[..., pairs]` radians.
    """
    rates = longest ** -(torch.arange(pairs, dtype=torch.float32, device=positions.device) / max(pairs, 1))
    return positions.float()[..., None] * rates


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Turn channel pairs (i, i + E/2) of `x` `[..., S, E]` by `angles` `[..., S, E/2]`; float32 inside."""
    x32, cos, sin = x.float(), angles.cos(), angles.sin()
    a, b = x32.chunk(2, dim=-1)
    # Fewer operations than on the halves, and where the angles are constants an exported graph folds the tables.
    turned = x32 * torch.cat([cos, cos], dim=-1) + torch.cat([b, a], dim=-1) * torch.cat([-sin, sin], dim=-1)
    return turned.to(x.dtype)


class Attention(nn.Module):
    """Attention with normalised queries and keys, and grouped key/value heads.

    QK-norm, Henry et al. 2020; GQA, Ainslie et al. 2023. Keys are handed out before rotation, so a cache is free of
    positions.
    """

    def __init__(self, width: int, heads: int, kv_heads: int):
        super().__init__()
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, width // heads
        self.q = nn.Linear(width, width, bias=False)
        self.k = nn.Linear(width, kv_heads * self.head_width, bias=False)
        self.v = nn.Linear(width, kv_heads * self.head_width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.q_norm = nn.RMSNorm(self.head_width, eps=1e-6)
        self.k_norm = nn.RMSNorm(self.head_width, eps=1e-6)

    def queries(self, x: Tensor) -> Tensor:
        """`[B, S, D]` -> `[B, heads, S, E]`, not yet rotated."""
        return self.q_norm(self.q(x).unflatten(-1, (self.heads, self.head_width))).transpose(1, 2)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`[B, S, D]` -> two of `[B, G, S, E]`, not yet rotated."""
        k = self.k_norm(self.k(x).unflatten(-1, (self.kv_heads, self.head_width))).transpose(1, 2)
        return k, self.v(x).unflatten(-1, (self.kv_heads, self.head_width)).transpose(1, 2)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        """Rotated q `[B, heads, S, E]`, k and v `[B, G, S', E]` -> `[B, S, D]`.

        `mask` is True where a query may look, broadcastable to `[B, heads, S, S']`.
        """
        groups = self.heads // self.kv_heads
        if groups > 1 and (self.kv_heads > 1 or q.is_cuda):  # one head for all is broadcast, but by the fused kernel
            k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        # On a CPU the gradient of a written-out softmax is several times faster than the fused kernel's, and ONNX wants
        # no other; on a GPU the fused kernel is.
        attend = F.scaled_dot_product_attention if q.is_cuda else written_out_attention
        x = attend(q, k.to(q.dtype), v.to(q.dtype), attn_mask=mask)
        return self.out(x.transpose(1, 2).flatten(2))


def written_out_attention(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """What `F.scaled_dot_product_attention` computes, step by step: `[B, heads, S, E]`, `[B, heads, S', E]` twice, a
    mask that is True where a query may look -> `[B, heads, S, E]`."""
    scores = (q * q.shape[-1] ** -0.5) @ k.mT
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, float("-inf"))
    return scores.softmax(dim=-1).to(q.dtype) @ v


class Mlp(nn.Module):
    """SwiGLU (Shazeer 2020)."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., D]` -> `[..., D]`."""
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    """Transformer block with adaLN (DiT, Peebles & Xie 2023); the modulation is made once for all blocks and only
    offset here (adaLN-single, PixArt-alpha, Chen et al. 2023, section 2.3)."""

    def __init__(self, width: int, heads: int, kv_heads: int):
        super().__init__()
        self.attention_norm = nn.RMSNorm(width, eps=1e-6, elementwise_affine=False)
        self.attention = Attention(width, heads, kv_heads)
        self.mlp_norm = nn.RMSNorm(width, eps=1e-6, elementwise_affine=False)
        self.mlp = Mlp(width, width * 8 // 3 // 32 * 32)
        self.offset = nn.Parameter(torch.zeros(6, width))

    def modulation(self, shared: Tensor) -> tuple[Tensor, ...]:
        """`[..., 6 D]` shared by all blocks -> six of `[..., D]`: scale, shift, gate of attention, then of the MLP."""
        return (shared.unflatten(-1, self.offset.shape) + self.offset).unbind(-2)

    def attention_input(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """What attention reads of `x` `[..., D]`: normalised, then scaled and shifted."""
        return self.attention_norm(x) * (1 + scale) + shift

    def finish(self, x: Tensor, attended: Tensor, modulation: tuple[Tensor, ...]) -> Tensor:
        """Add what attention found, then the MLP."""
        _, _, gate, mlp_scale, mlp_shift, mlp_gate = modulation
        x = x + (1 + gate) * attended
        return x + (1 + mlp_gate) * self.mlp(self.mlp_norm(x) * (1 + mlp_scale) + mlp_shift)

    def forward(self, x: Tensor, shared: Tensor, angles: Tensor, mask: Tensor | None = None) -> Tensor:
        """The whole block with attention inside each row of `x` `[B, S, D]`; `shared` broadcasts to `[B, S, 6 D]`, and
        `mask`, True where a token may look, to `[B, heads, S, S]`."""
        modulation = self.modulation(shared)
        inner = self.attention_input(x, *modulation[:2])
        k, v = self.attention.keys_values(inner)
        q = rotate(self.attention.queries(inner), angles)
        return self.finish(x, self.attention.attend(q, rotate(k, angles), v, mask), modulation)

    def over_time(
        self, x: Tensor, shared: Tensor, angles: Tensor, mask: Tensor, cache: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The whole block with attention over all tokens of T frames and of P cached ones.

        Args:
            x: `[B, T, M, D]`. shared: broadcasts to `[B, T, M, 6 D]`.
            angles: rotary angles of all tokens of the P + T frames `[(P + T) M, E / 2]`.
            mask: True where a query may look, `[B or 1, 1, T M, (P + T) M]`.
            cache: keys and values of the P frames, before rotation, `[B, P, M, 2 G E]`.

        Returns:
            `[B, T, M, D]`, and the cache entries of the T frames `[B, T, M, 2 G E]`.
        """
        t, m = x.shape[1:3]
        modulation = self.modulation(shared)
        inner = self.attention_input(x, *modulation[:2]).flatten(1, 2)  # [B, T M, D]
        k, v = self.attention.keys_values(inner)
        new = torch.cat([k, v], dim=-1)  # [B, G, T M, 2 E]
        if cache is not None:
            old = rearrange(cache, "b p m (g e) -> b g (p m) e", g=k.shape[1]).to(k.dtype)
            k, v = torch.cat([old, new], dim=2).chunk(2, dim=-1)
        q = rotate(self.attention.queries(inner), angles[-t * m :])
        attended = self.attention.attend(q, rotate(k, angles), v, mask)
        x = self.finish(x, attended.unflatten(1, (t, m)), modulation)
        return x, rearrange(new, "b g (t m) e -> b t m (g e)", m=m)


class CellRefiner(nn.Module):
    """Convolutions over single latent cells, conditioned on the token that holds each: an event looks alike wherever in
    a token it happens (as the convolution that ends U-ViT, Bao et al. 2023).

    Args:
        cells: channels of a cell. width: of the layers. tokens: D. out: channels made of a cell, all 0 at first.
    """

    def __init__(self, cells: int, width: int, tokens: int, out: int):
        super().__init__()
        self.condition = nn.Linear(tokens, 2 * width)
        self.first = nn.Conv2d(cells, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.third = nn.Conv2d(width, width, 3, padding=1)
        self.out = nn.Conv2d(width, out, 3, padding=1)
        for weight in self.out.parameters():
            nn.init.zeros_(weight)

    def forward(self, cells: Tensor, tokens: Tensor) -> Tensor:
        """Cells `[B, cells, h, w]`, the tokens that hold them `[B, D, rows, columns]` -> `[B, out, h, w]`."""
        condition = self.condition(tokens.movedim(1, -1)).movedim(-1, 1)
        condition = F.interpolate(condition, size=tuple(cells.shape[-2:]), mode="nearest")
        first, second = condition.chunk(2, dim=1)
        x = F.silu(self.first(cells) + first)
        x = x + F.silu(self.second(x) + second)
        x = x + F.silu(self.third(x))
        return self.out(x)


class FourierFeatures(nn.Module):
    """A number in [0, 1] as sines and cosines (float32) and a small MLP: `[...]` -> `[..., width]`.

    Args:
        octaves: the slowest and the fastest rate, as powers of 2 of pi a unit. Fast rates make derivatives by the
            number explode (Lu and Song 2024, section 4.1).
    """

    def __init__(self, width: int, pairs: int = 32, octaves: tuple[float, float] = (0.0, 8.0)):
        super().__init__()
        self.register_buffer("rates", torch.pi * 2.0 ** torch.linspace(*octaves, pairs), persistent=False)
        self.net = nn.Sequential(nn.Linear(2 * pairs, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """`[...]` in [0, 1] -> `[..., width]`."""
        angles = x.float()[..., None] * self.rates
        return self.net(torch.cat([angles.cos(), angles.sin()], dim=-1))
