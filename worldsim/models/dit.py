"""The diffusion transformer over latent frames (DiT, Peebles & Xie 2023), causal in time, in two halves.

    ContextEncoder   reads a clean frame and the action taken on it, attends to the last `window` frames; once a frame
    Denoiser         denoises the next frame, given those features; K times a frame

(An autoregressive encoder with a diffusion head: MAR, Li et al. 2024.) Knows nothing of pixels, samplers, losses, or of
what a world adds to it (`worldsim.models.world_model`).

B batch, T frames, P past frames in the cache, N tokens a frame, R registers before them, M = R + N, V numbers of a
token, D width, A actions, L blocks that attend over time, G key/value heads, E head width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from worldsim.models.layers import Block, FourierFeatures, axis_angles


@dataclasses.dataclass(frozen=True)
class DiTConfig:
    """Sizes of the transformer.

    Attributes:
        patch_size: latent cells (rows, columns) in one token.
        width: D. heads: query heads. kv_heads: G, of the context encoder.
        depth: blocks of the context encoder. temporal_layers: which of them attend over time.
        denoiser_depth: blocks of the denoiser.
        registers: R tokens of a frame that stand for no place (Darcet et al. 2023); the first carries the outcome.
        window: past frames that a frame attends to.
        tau_octaves: rates of the signal level's embedding, see `FourierFeatures`; what is trained by derivatives needs
            slow ones, such as (-1, 3).
    """

    patch_size: tuple[int, int] = (2, 2)
    width: int = 256
    heads: int = 4
    kv_heads: int = 1
    depth: int = 6
    temporal_layers: tuple[int, ...] = (1, 4)
    denoiser_depth: int = 2
    registers: int = 1
    window: int = 16
    tau_octaves: tuple[float, float] = (0.0, 8.0)

    @property
    def head_width(self) -> int:
        """E."""
        return self.width // self.heads


class TokenPositions(nn.Module):
    """Rotary angles of a frame's tokens: three tenths of the pairs turn with the row, as many with the column, the rest
    with time. Registers stand for no place."""

    def __init__(self, grid: tuple[int, int], registers: int, head_width: int):
        super().__init__()
        pairs = head_width // 2
        axis_pairs = pairs * 3 // 10
        cells = torch.cartesian_prod(torch.arange(grid[0]), torch.arange(grid[1]))
        angles = torch.cat([axis_angles(cells[:, i], axis_pairs, longest=32.0) for i in (0, 1)], dim=-1)
        angles = torch.cat([torch.zeros(registers, 2 * axis_pairs), angles])
        self.time_pairs = pairs - 2 * axis_pairs
        self.register_buffer("grid_angles", angles, persistent=False)  # [M, 2 axis_pairs]

    def forward(self, frames: Tensor) -> Tensor:
        """Positions in time `[F]` -> angles of every token of those frames `[F M, E / 2]`."""
        m = self.grid_angles.shape[0]
        time = axis_angles(frames, self.time_pairs, longest=64.0)[:, None].expand(-1, m, -1)
        return torch.cat([self.grid_angles.expand(frames.shape[0], -1, -1), time], dim=-1).flatten(0, 1)

    def within_frame(self) -> Tensor:
        """Angles of the tokens of one frame `[M, E / 2]`."""
        return self(torch.zeros(1, device=self.grid_angles.device))


class ContextEncoder(nn.Module):
    """Clean frames and actions -> features of the frames to come, and the cache entries that later frames attend to."""

    def __init__(self, config: DiTConfig, grid: tuple[int, int], token_width: int, actions: int):
        super().__init__()
        width = config.width
        self.window, self.temporal_layers = config.window, config.temporal_layers
        self.token_in = nn.Linear(token_width, width)
        self.registers = nn.Parameter(torch.randn(config.registers, width) * 0.02)
        self.action = nn.Embedding(actions + 1, width)  # the last is the null action
        self.action_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.blocks = nn.ModuleList(Block(width, config.heads, config.kv_heads) for _ in range(config.depth))
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.positions = TokenPositions(grid, config.registers, config.head_width)
        for parameter in self.action_modulation[1].parameters():
            nn.init.zeros_(parameter)

    def forward(
        self,
        tokens: Tensor,
        actions: Tensor,
        cache: Tensor | None = None,
        length: Tensor | None = None,
        hint: Tensor | None = None,
        readers: Mapping[int, Callable[[Tensor], Tensor]] | None = None,
        told: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encode T frames at once, or one after those in the cache: both give the same numbers.

        Args:
            tokens: clean `[B, T, N, V]`.
            actions: int64 `[B, T]`, the action taken on seeing each of them; A is the null action.
            cache: entries of the P frames before, oldest first, `[B, P, L, M, 2 G E]`.
            length: int64 `[B]`, how many of the newest entries are real.
            hint: added to the embedded tokens `[B, T, N, D]`.
            readers: for some blocks, by number, what their input `[B, T, M, D]` goes through first.
            told: added to the embedded actions `[B, T, D]`.

        Returns:
            features `[B, T, M, D]`; cache entries of the T frames, before rotation, `[B, T, L, M, 2 G E]`.
        """
        b, t = actions.shape
        x = self.token_in(tokens)
        x = x if hint is None else x + hint
        x = torch.cat([self.registers.expand(b, t, -1, -1), x], dim=2)
        condition = self.action(actions) if told is None else self.action(actions) + told
        shared = self.action_modulation(condition)[:, :, None]  # [B, T, 1, 6 D]
        angles, mask = self._visible(t, cache, length)
        frame_angles = self.positions.within_frame()
        entries: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            if readers and index in readers:
                x = readers[index](x)
            if index in self.temporal_layers:
                past = None if cache is None else cache[:, :, len(entries)]
                x, entry = block.over_time(x, shared, angles, mask, past)
                entries.append(entry)
            else:
                x = block(x.flatten(0, 1), shared.flatten(0, 1), frame_angles).unflatten(0, (b, t))
        return self.norm(x), torch.stack(entries, dim=2)

    def _visible(self, t: int, cache: Tensor | None, length: Tensor | None) -> tuple[Tensor, Tensor]:
        """Rotary angles of all tokens of the P + T frames, and which tokens see which `[B or 1, 1, T M, (P + T) M]`.

        A frame sees itself and the `window` frames before it; never a later one, never an empty slot of the cache.
        """
        p = 0 if cache is None else cache.shape[1]
        time = torch.arange(p + t, device=self.registers.device)
        ago = time[p:, None] - time  # [T, P + T]
        seen = ((ago >= 0) & (ago <= self.window))[None]
        if length is not None:
            seen = seen & (time >= p - length[:, None])[:, None]
        m = self.positions.grid_angles.shape[0]
        return self.positions(time), seen.repeat_interleave(m, dim=1).repeat_interleave(m, dim=2)[:, None]


class Denoiser(nn.Module):
    """Noisy tokens of the frame to come -> what is predicted of each, and of the frame's outcome.

    Args:
        out: numbers predicted for each token. outcomes: numbers predicted for the frame.
    """

    def __init__(self, config: DiTConfig, grid: tuple[int, int], token_width: int, out: int, outcomes: int):
        super().__init__()
        width = config.width
        self.noisy_in = nn.Linear(token_width, width)
        self.tau = FourierFeatures(width, octaves=config.tau_octaves)
        self.tau_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.blocks = nn.ModuleList(Block(width, config.heads, config.heads) for _ in range(config.denoiser_depth))
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.token_out = nn.Linear(width, out)
        self.outcome_out = nn.Linear(width, outcomes)
        self.positions = TokenPositions(grid, config.registers, config.head_width)
        self.registers = config.registers
        for layer in (self.tau_modulation[1], self.token_out, self.outcome_out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self, features: Tensor, noisy: Tensor, tau: Tensor, hint: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One pass.

        Args:
            features: of the context encoder `[B, M, D]`.
            noisy: tokens of the frame to come `[B, N, V]` at signal level tau `[B]` or `[1]`.
            hint: added to the embedded tokens `[B, N, D]`.

        Returns:
            hidden tokens `[B, N, D]`; predictions float32 `[B, N, out]` and `[B, outcomes]`.
        """
        r = self.registers
        x = features[:, r:] + self.noisy_in(noisy)
        x = x if hint is None else x + hint
        x = torch.cat([features[:, :r], x], dim=1)
        shared = self.tau_modulation(self.tau(tau))[:, None]  # [B, 1, 6 D]
        angles = self.positions.within_frame()
        for block in self.blocks:
            x = block(x, shared, angles)
        x = self.norm(x)
        return x[:, r:], self.token_out(x[:, r:]).float(), self.outcome_out(x[:, 0]).float()
