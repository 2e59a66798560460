"""The noise convention, written once, and the losses that follow from it. Knows no network.

`tau` is the signal level, 1 is clean, 0 is noise: `z_tau = (1 - tau) * eps + tau * z` (rectified flow, Liu et al.
2022). The model predicts the clean latent z (x-prediction; JiT, Li & He 2025).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

REWARD_BINS = torch.linspace(-4, 4, 33)  # in symlog units: rewards from -53.6 to 53.6


def add_noise(clean: Tensor, noise: Tensor, tau: Tensor) -> Tensor:
    """`z_tau` for `clean` and `noise` `[..., D]` at `tau` `[...]`, one for each leading index."""
    tau = tau[..., None]
    return (1 - tau) * noise + tau * clean


def advance(z_tau: Tensor, clean: Tensor, tau: float | Tensor, next_tau: float | Tensor) -> Tensor:
    """One Euler step along the straight path from `tau` to `next_tau`, given a prediction of the clean latent.

    Levels are numbers, or broadcast to `z_tau`."""
    velocity = (clean - z_tau) / (1 - tau)
    return z_tau + (next_tau - tau) * velocity


def pseudo_huber(square: Tensor, bend: float) -> Tensor:
    """Squared errors that count as they are far below `bend**2`, and by their root far above (Song & Dhariwal 2023,
    section 3.3): the least of it is near a median, where that of the squares is the mean. As they are with `bend` 0."""
    return 2 * bend * ((square + bend**2).sqrt() - bend) if bend else square


def draw_tau(shape: tuple[int, ...], pure_noise_prob: float, generator: torch.Generator) -> Tensor:
    """Signal levels for training: a share `pure_noise_prob` of exactly 0, the rest uniform in [0, 1).

    At 0, pure noise, the next frame is decided.
    """
    tau = torch.rand(shape, generator=generator)
    return torch.where(torch.rand(shape, generator=generator) < pure_noise_prob, 0.0, tau)


def symlog(x: Tensor) -> Tensor:
    """sign(x) ln(|x| + 1) (DreamerV3, Hafner et al. 2023, equation 9)."""
    return x.sign() * x.abs().log1p()


def reward_loss(logits: Tensor, reward: Tensor) -> Tensor:
    """Cross-entropy of `logits` `[..., 33]` to the two-hot target of `reward` `[...]` over symlog bins: `[...]`.

    DreamerV3, equations 9-11.
    """
    bins = REWARD_BINS.to(logits.device)
    place = (symlog(reward).clamp(bins[0], bins[-1]) - bins[0]) / (bins[1] - bins[0])
    low = place.floor().long().clamp(max=len(bins) - 2)
    high_share = (place - low)[..., None]
    target = F.one_hot(low, len(bins)) * (1 - high_share) + F.one_hot(low + 1, len(bins)) * high_share
    return -(target * logits.float().log_softmax(-1)).sum(-1)


def expected_reward(logits: Tensor) -> Tensor:
    """Mean of the predicted distribution over rewards: `[..., 33]` -> `[...]`."""
    bins = REWARD_BINS.to(logits.device)
    return (logits.float().softmax(-1) * (bins.sign() * (bins.abs().exp() - 1))).sum(-1)
