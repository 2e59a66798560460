"""Long memory: each past frame leaves a few keys and values, and blocks of the context encoder attend to them.

What is written is made of latents alone: a frame, the frame that followed, and the action between. So old frames never
pass through the network again, and training reads a memory of a thousand frames without running them. Which frames are
kept is `worldsim.models.retention`'s business. For a view memory (`worldsim.models.view_memory`) a frame also leaves
its own cells, with keys to find them by.

B batch, T frames, S frames in memory, Q = N memory tokens a frame, U numbers of each, V numbers of a token, M tokens of
a frame with its registers, D network width, E head width, H heads, K reading layers.
"""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.models.history import History
from worldsim.models.layers import rotate
from worldsim.models.retention import Retention, check_retention

AGES = 48  # buckets of a quarter of an octave: ages up to 4,096


@dataclasses.dataclass(frozen=True)
class MemoryConfig:
    """A memory of older frames than the window holds.

    Attributes:
        retention: which of them are kept, see `worldsim.models.retention`.
        read_layers: blocks of the context encoder before which memory is read; () if a view memory reads alone.
        read_heads: query heads there.
    """

    retention: Retention
    read_layers: tuple[int, ...] = (2, 5)
    read_heads: int = 2

    def __post_init__(self) -> None:
        check_retention(self.retention)


def age_bucket(age: Tensor) -> Tensor:
    """Ages, int64 of any shape -> 0 to `AGES` - 1."""
    return (4 * age.clamp(min=1).float().log2()).long().clamp(max=AGES - 1)


class MemoryWriter(nn.Module):
    """What a frame leaves in memory: for each token one key and value of each reading layer; and for a view memory the
    token's cells, column by column, and `key` numbers by which each of its `columns` is found."""

    def __init__(
        self, token_width: int, actions: int, width: int, head_width: int, layers: int, columns: int = 0, key: int = 0
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

    def forward(self, before: Tensor, after: Tensor, actions: Tensor, angles: Tensor) -> Tensor:
        """Tokens of a frame and of the one that followed, two of `[..., Q, V]`, the action between them `[...]`, rotary
        angles of the tokens `[Q, E / 2]` -> `[..., Q, 2 K E]`, for a view memory `[..., Q, 2 K E + key columns +
        V]`."""
        x = F.silu(self.inner(torch.cat([before, after - before], dim=-1)) + self.action(actions)[..., None, :])
        parts = []
        if self.layers:
            k, v = self.outer(x).unflatten(-1, (self.layers, -1)).transpose(-3, -2).chunk(2, dim=-1)
            parts.append(torch.cat([rotate(self.norm(k), angles), v], dim=-1).transpose(-3, -2).flatten(-2))
        if self.columns:
            cells = self.cells_key(x), before.to(x.dtype)
            parts += [part.unflatten(-1, (-1, self.columns)).mT.flatten(-2) for part in cells]
        return torch.cat(parts, dim=-1)


class MemoryReader(nn.Module):
    """Attention over all tokens of all frames in memory, with a bias by age, and a way to find nothing."""

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

    def forward(self, x: Tensor, memory: Tensor, age: Tensor, angles: Tensor) -> Tensor:
        """What is found.

        Args:
            x: `[B, T, M, D]`.
            memory: this layer's keys and values `[B, S, Q, 2 E]`.
            age: int64 `[B, T, S]`, how many frames before each of the T; less than 1 is not read.
            angles: rotary angles of the M tokens `[M, E / 2]`.

        Returns:
            `[B, T, M, D]`, to be added to x.
        """
        (t, m), tokens = x.shape[1:3], memory.shape[2]
        q = self.q_norm(self.q(self.input_norm(x)).unflatten(-1, (self.heads, -1)))  # [B, T, M, H, E]
        q = rotate(q.permute(0, 3, 1, 2, 4), angles).flatten(2, 3)  # [B, H, T M, E]
        k, v = memory.flatten(1, 2).to(q.dtype).chunk(2, dim=-1)  # [B, S Q, E] each
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
        return self.out(found.to(v.dtype).transpose(1, 2).flatten(2)).unflatten(1, (t, m))


def newest(history: History, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The newest `count` memory entries, ages from `count` to 1.

    Returns:
        entries `[B, count, Q, U]` and poses `[B, count, 2 P]`, without a gradient; and whether there is any, bool
        `[B]`. Where there is none of an age, it is the oldest there is of those.
    """
    b, s, q, _ = history.memory.shape
    ages = torch.arange(count, 0, -1, device=history.age.device)
    known = (history.age > 0) & (history.age <= count)
    oldest = (history.age * known).amax(1, keepdim=True)
    match = history.age[:, None] == torch.minimum(ages, oldest)[:, :, None]  # [B, count, S]
    row = torch.arange(b, device=ages.device)[:, None] * s + match.long().argmax(2)
    entries = F.embedding(row, history.memory.detach().flatten(0, 1).flatten(1)).unflatten(-1, (q, -1))
    return entries, F.embedding(row, history.pose.detach().flatten(0, 1)), known.any(1)
