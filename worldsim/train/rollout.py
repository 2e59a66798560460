"""The past that the model makes for itself while it trains. Knows no loss and no recording.

B batch, T frames, N tokens a frame, D token width, W window.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from worldsim.dynamics import Dynamics
from worldsim.step import next_tokens


@torch.no_grad()
def own_past(
    model: Dynamics,
    schedule: Sequence[float],
    clean: Tensor,
    actions: Tensor,
    first: int,
    generator: torch.Generator,
) -> Tensor:
    """Replace what follows the first frames of a clip by what the model generates there, frame by frame, as in play.

    (Self Forcing, Huang et al. 2025, without a gradient through the rollout.)

    Args:
        clean: tokens `[B, T, N, D]`. actions: int64 `[B, T]`.
        first: how many frames stay, at least 1.

    Returns:
        `[B, T, N, D]`.
    """
    rows, window = len(clean), model.config.window
    cache = torch.zeros(rows, window + clean.shape[1], *model.config.entry_shape, dtype=torch.float16)
    frames = list(clean[:, :first].unbind(1))
    with torch.autocast("cpu", torch.bfloat16):
        cache[:, window : window + first] = model.look(clean[:, :first], actions[:, :first])[1]
        for t in range(first - 1, clean.shape[1] - 1):
            length = torch.full((rows,), min(t, window))
            noise = torch.randn(frames[-1].shape, generator=generator)
            past = cache[:, t : t + window]
            entry, output = next_tokens(model, schedule, past, length, frames[-1], actions[:, t], noise)
            cache[:, window + t] = entry
            frames.append(output.clean)
    return torch.stack(frames, dim=1)
