"""Deterministic samplers to compare with that of play (`worldsim.models.sampler`): functions of (model, noise,
schedule).

They follow the same ODE, and differ in what they do with few passes. Know no network.

B batch, N tokens, D width; any shape `[B, ...]` will do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor

from worldsim.models.flow import advance

Denoise = Callable[[Tensor, Tensor], Tensor]  # (noisy [B, ...], tau [1] or [B]) -> clean [B, ...]


def uniform_schedule(passes: int) -> tuple[float, ...]:
    """Signal levels of so many passes, evenly spread from 0 to below 1."""
    return tuple(i / passes for i in range(passes))


def level(tau: Tensor, like: Tensor) -> Tensor:
    """Levels `[1]` or `[B]` that broadcast to `like` `[B, ...]`."""
    return tau.reshape(-1, *[1] * (like.ndim - 1))


def euler(denoise: Denoise, noise: Tensor, schedule: Sequence[float]) -> Tensor:
    """Euler's method on dz/dtau = (clean - z) / (1 - tau) (rectified flow, Liu et al. 2022), one pass a level.

    Args:
        denoise: (noisy `[B, ...]`, tau `[1]`) -> clean `[B, ...]`.
        noise: standard normal `[B, ...]`.
        schedule: rising signal levels, the first 0, all below 1; the last pass goes straight to 1.
    """
    noisy = noise
    for tau, following in pairwise((*schedule, 1.0)):
        noisy = advance(noisy, denoise(noisy, noise.new_full((1,), tau)), tau, following)
    return noisy


def ddim_step(noisy: Tensor, clean: Tensor, tau: float | Tensor, following: float | Tensor) -> Tensor:
    """One step of DDIM from level `tau` to `following`, numbers or tensors that broadcast."""
    predicted_noise = (noisy - tau * clean) / (1 - tau)
    return following * clean + (1 - following) * predicted_noise


def ddim(denoise: Denoise, noise: Tensor, schedule: Sequence[float]) -> Tensor:
    """DDIM (Song et al. 2020, equation 12 with sigma 0): the predicted noise is mixed with the predicted clean sample
    at the next level. In this noise convention it is Euler's method; arguments as for `euler`."""
    noisy = noise
    for tau, following in pairwise((*schedule, 1.0)):
        noisy = ddim_step(noisy, denoise(noisy, noise.new_full((1,), tau)), tau, following)
    return noisy


def karras_sigmas(steps: int, least: float = 0.002, most: float = 80.0, rho: float = 7.0) -> tuple[float, ...]:
    """Noise levels of `steps` steps, falling, the last 0 (EDM, Karras et al. 2022, equation 5)."""
    low, high = least ** (1 / rho), most ** (1 / rho)
    return (*((high + i / max(steps - 1, 1) * (low - high)) ** rho for i in range(steps)), 0.0)


def heun(denoise: Denoise, noise: Tensor, sigmas: Sequence[float]) -> Tensor:
    """EDM's second-order sampler (Karras et al. 2022, algorithm 1 with no churn), two passes a step but the last.

    Its x = clean + sigma noise is z / tau at tau = 1 / (1 + sigma).

    Args:
        denoise, noise: as for `euler`.
        sigmas: falling noise levels, the last 0; see `karras_sigmas`.
    """

    def slope(x: Tensor, sigma: float) -> Tensor:
        tau = 1 / (1 + sigma)
        return (x - denoise(tau * x, noise.new_full((1,), tau))) / sigma

    x = sigmas[0] * noise
    for sigma, following in pairwise(sigmas):
        first = slope(x, sigma)
        ahead = x + (following - sigma) * first
        if following > 0:
            ahead = x + (following - sigma) * (first + slope(ahead, following)) / 2
        x = ahead
    return x
