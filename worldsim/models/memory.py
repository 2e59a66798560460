"""Long memory: each past frame leaves a few keys and values in a log, and trunk layers look things up there.

What is written is made of latents alone: a frame, what it became, and the action between. So old frames never pass
through the network again, and training reads a log of a thousand frames without running them. A world whose view moves
sideways or turns also keeps the frame's own cells there, with keys and places, for its panorama (`worldsim.models.view_memory`),
which may be all that looks anything up.

B batch, T frames, S frames in the log, Q memory tokens a frame, U memory token width, M tokens of a frame with its
registers, V network width, E head width, H recall heads, K recalling layers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.models.layers import rotate

AGES = 48  # buckets of a quarter of an octave: ages up to 4,096


def age_bucket(age: Tensor) -> Tensor:
    """Ages, int64 of any shape -> 0 to `AGES` - 1."""
    return (4 * age.clamp(min=1).float().log2()).long().clamp(max=AGES - 1)


class Remember(nn.Module):
    """Write a frame into the log: one key and value for each of its memory tokens and each recalling layer; and, for a
    panorama, a token's cells, column by column, and `key` numbers by which each of its `columns` is found."""

    def __init__(
        self, token_width: int, actions: int, width: int, head_width: int, layers: int, columns: int, key: int
    ):
        super().__init__()
        self.action = nn.Embedding(actions + 1, width)
        self.inner = nn.Linear(2 * token_width, width)
        if layers:
            self.outer = nn.Linear(width, layers * 2 * head_width, bias=False)
            self.norm = nn.RMSNorm(head_width, eps=1e-6)
        if columns:
            self.cells_key = nn.Linear(width, key * columns, bias=False)
        self.layers, self.columns = layers, columns

    def forward(self, before: Tensor, after: Tensor, actions: Tensor, place: Tensor) -> Tensor:
        """A frame `[..., Q, U]`, the next one, the action between `[...]`, rotary angles `[Q, E / 2]` ->
        `[..., Q, 2 K E]`, and for a panorama `[..., Q, 2 K E + key columns + U]`."""
        x = F.silu(self.inner(torch.cat([before, after - before], dim=-1)) + self.action(actions)[..., None, :])
        left = []
        if self.layers:
            k, v = self.outer(x).unflatten(-1, (self.layers, -1)).transpose(-3, -2).chunk(2, dim=-1)
            left.append(torch.cat([rotate(self.norm(k), place), v], dim=-1).transpose(-3, -2).flatten(-2))
        if self.columns:
            parts = self.cells_key(x), before.to(x.dtype)
            left += [part.unflatten(-1, (-1, self.columns)).mT.flatten(-2) for part in parts]
        return torch.cat(left, dim=-1)


class Recall(nn.Module):
    """Look up the log: attention over all tokens of all frames in it, with a bias by age, and a way to find nothing."""

    def __init__(self, width: int, heads: int, head_width: int):
        super().__init__()
        self.heads = heads
        self.input_norm = nn.RMSNorm(width, eps=1e-6)
        self.q = nn.Linear(width, heads * head_width, bias=False)
        self.q_norm = nn.RMSNorm(head_width, eps=1e-6)
        self.age = nn.Parameter(torch.zeros(heads, AGES))
        self.nothing = nn.Parameter(torch.zeros(heads))
        self.out = nn.Linear(heads * head_width, width, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, log: Tensor, age: Tensor, place: Tensor) -> Tensor:
        """What is found.

        Args:
            x: `[B, T, M, V]`.
            log: this layer's keys and values `[B, S, Q, 2 E]`.
            age: int64 `[B, T, S]`, how many frames before each of the T; less than 1 is not looked at.
            place: rotary angles of the M tokens `[M, E / 2]`.

        Returns:
            `[B, T, M, V]`.
        """
        (t, m), tokens = x.shape[1:3], log.shape[2]
        q = self.q_norm(self.q(self.input_norm(x)).unflatten(-1, (self.heads, -1)))  # [B, T, M, H, E]
        q = rotate(q.permute(0, 3, 1, 2, 4), place).flatten(2, 3)  # [B, H, T M, E]
        k, v = log.flatten(1, 2).to(q.dtype).chunk(2, dim=-1)  # [B, S Q, E] each
        scores = (q * q.shape[-1] ** -0.5) @ k[:, None].mT  # [B, H, T M, S Q]
        bias = self.age[:, age_bucket(age)].transpose(0, 1)
        bias = bias.masked_fill((age < 1)[:, None], float("-inf"))  # [B, H, T, S]
        scores = scores.unflatten(2, (t, m)).unflatten(-1, (-1, tokens)) + bias[:, :, :, None, :, None].to(q.dtype)
        scores = scores.flatten(-2).flatten(2, 3)
        # A softmax over all that is there and nothing, whose own value is zero.
        nothing = self.nothing[:, None, None]
        most = torch.maximum(scores.amax(-1, keepdim=True).detach().float(), nothing.detach())
        weights = (scores - most).exp()
        found = weights.to(v.dtype) @ v[:, None] / (weights.sum(-1, keepdim=True) + (nothing - most).exp())
        x = self.out(found.to(v.dtype).transpose(1, 2).flatten(2))
        return x.unflatten(1, (t, m))
