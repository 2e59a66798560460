"""Self-rollout: a past that the model generates for itself while it trains. Knows no loss and no recording.

B batch, T frames, N tokens a frame, V token width, W window.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from worldsim.data.latents import PastFrames
from worldsim.device import mixed_precision
from worldsim.models.config import WorldModelConfig
from worldsim.models.history import History
from worldsim.models.sampling import Sampling
from worldsim.models.step import next_tokens
from worldsim.models.world_model import WorldModel
from worldsim.train.draws import Draws


@torch.no_grad()
def self_rollout(
    model: WorldModel,
    sampling: Sampling,
    clean: Tensor,
    actions: Tensor,
    first: int,
    draws: Draws,
    past: PastFrames | None = None,
    noise_share: Tensor | None = None,
) -> Tensor:
    """Replace what follows the first frames of a clip by what the model generates there, frame by frame, as in play.

    (Self Forcing, Huang et al. 2025, without a gradient through the rollout.)

    Args:
        clean: tokens `[B, T, N, V]`. actions: int64 `[B, T]`.
        first: how many frames stay, at least 1.
        past: frames before the clip that memory is made of, if there is memory.
        noise_share: of the frames that stay `[B, T]`, for a model that is told it.

    Returns:
        `[B, T, N, V]`.
    """
    rows, window = len(clean), model.config.dit.window
    shape = rows, window + clean.shape[1], *model.config.entry_shape
    cache = torch.zeros(shape, dtype=torch.float16, device=clean.device)
    frames = list(clean[:, :first].unbind(1))
    with mixed_precision(clean.device):
        known = clean[:, :first], actions[:, :first]
        told = None if noise_share is None else noise_share[:, :first]
        cache[:, window : window + first] = model.encode_context(*known, past and past.history(model), told)[1]
        memory = past.extended(model, *known, first - 1, first - 1).history(model) if past else History()
        for t in range(first - 1, clean.shape[1] - 1):
            length = torch.full((rows,), min(t, window), device=clean.device)
            noise = draws.randn(sampling.draws, *frames[-1].shape[1:])
            history = memory._replace(cache=cache[:, t : t + window], length=length)
            made = next_tokens(model, sampling, history, frames[-1], actions[:, t], noise)
            cache[:, window + t] = made.entry
            if past:
                pair = frames[-1][:, None], made.clean[:, None], actions[:, t : t + 1]
                memory = _remember(model, memory, *pair)
            frames.append(made.clean)
    return torch.stack(frames, dim=1)


def _remember(model: WorldModel, memory: History, before: Tensor, after: Tensor, actions: Tensor) -> History:
    """With one frame more, `[B, 1, N, V]` and the one after it."""
    entry, pose = model.remember(before, after, actions, model.poses(before, after, actions, memory))
    age = torch.where(memory.age > 0, memory.age + 1, 0)
    return History(
        memory=torch.cat([memory.memory, entry], dim=1),
        age=torch.cat([age, age.new_ones(len(age), 1)], dim=1),
        pose=None if pose is None else torch.cat([memory.pose, pose], dim=1),
    )


def diverged_tokens(own: Tensor, clean: Tensor, most: float, config: WorldModelConfig) -> Tensor:
    """Where a generated past has diverged from the recorded one, so that the recorded future does not follow from it.

    Otherwise the model would learn that an object fades where it is, and appears elsewhere without a cause.

    Args:
        own, clean: tokens `[B, T, N, V]`, generated and recorded.
        most: mean squared error of a latent cell that is still the same past.

    Returns:
        bool `[B, T, N]`: tokens in which a cell differs, and their neighbours, into which its content may move.
    """
    cells = (own - clean).square().unflatten(-1, config.token_layout).mean(-2)  # [B, T, N, layers, cells of a token]
    apart = (cells.amax((-1, -2)) > most).float()
    beside = F.max_pool2d(apart.flatten(0, 1).unflatten(-1, config.token_grid), 3, stride=1, padding=1)
    return beside.reshape(apart.shape).bool()
