"""The past that the model makes for itself while it trains. Knows no loss and no recording.

B batch, T frames, N tokens a frame, D token width, W window.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from worldsim.data.latents import Log
from worldsim.device import mixed_precision
from worldsim.models.config import WorldModelConfig
from worldsim.models.step import next_tokens
from worldsim.models.world_model import WorldModel


@torch.no_grad()
def self_rollout(
    model: WorldModel,
    schedule: Sequence[float],
    clean: Tensor,
    actions: Tensor,
    first: int,
    generator: torch.Generator,
    log: Log | None = None,
) -> Tensor:
    """Replace what follows the first frames of a clip by what the model generates there, frame by frame, as in play.

    (Self Forcing, Huang et al. 2025, without a gradient through the rollout.)

    Args:
        clean: tokens `[B, T, N, D]`. actions: int64 `[B, T]`.
        first: how many frames stay, at least 1.
        log: what is retained of the frames before, if there is memory.

    Returns:
        `[B, T, N, D]`.
    """
    rows, window = len(clean), model.config.window
    cache = torch.zeros(rows, window + clean.shape[1], *model.config.entry_shape, dtype=torch.float16)
    frames = list(clean[:, :first].unbind(1))
    with mixed_precision():
        known = clean[:, :first], actions[:, :first]
        cache[:, window : window + first] = model.look(*known, log=log and log.entries(model), age=log and log.age)[1]
        if log:
            seen = log.followed_by(model, *known, first - 1, first - 1)
            entries, age = seen.entries(model), seen.age
        for t in range(first - 1, clean.shape[1] - 1):
            length = torch.full((rows,), min(t, window))
            noise = torch.randn(frames[-1].shape, generator=generator)
            past = cache[:, t : t + window]
            memory = (entries, age) if log else ()
            entry, output, _ = next_tokens(model, schedule, past, length, frames[-1], actions[:, t], noise, *memory)
            cache[:, window + t] = entry
            if log:
                made = frames[-1][:, None], output.clean[:, None], actions[:, t : t + 1]
                entries = torch.cat([entries, model.remember(*made, model.places(*made, entries, age))], dim=1)
                age = torch.cat([torch.where(age > 0, age + 1, 0), age.new_ones(rows, 1)], dim=1)
            frames.append(output.clean)
    return torch.stack(frames, dim=1)


def diverged_tokens(own: Tensor, clean: Tensor, most: float, config: WorldModelConfig) -> Tensor:
    """Where a generated past has come apart from the recorded one, so that the recorded future is not what follows.

    A thing that the model has put elsewhere would be taught to fade there and to appear where nothing leads to it.

    Args:
        own, clean: tokens `[B, T, N, D]`, generated and recorded.
        most: mean squared error of a latent cell that is still the same past.

    Returns:
        bool `[B, T, N]`: tokens in which a cell differs, and those beside them, where what is in them may move to.
    """
    cells = (own - clean).square().unflatten(-1, config.cells).mean(-2)  # [B, T, N, pictures, cells of a token]
    apart = (cells.amax((-1, -2)) > most).float()
    beside = F.max_pool2d(apart.flatten(0, 1).unflatten(-1, config.token_grid), 3, stride=1, padding=1)
    return beside.reshape(apart.shape).bool()
