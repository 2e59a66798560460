"""Sampling where every token has a signal level of its own (diffusion forcing, Chen et al. 2024). Knows no network.

S tokens, V numbers of a token.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from worldsim.models.ddpm import Posterior
from worldsim.models.flow import add_noise, advance
from worldsim.models.ode_samplers import ddim_step

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(noisy `[S, V]`, signal levels `[S]`) -> the clean tokens that are expected `[S, V]`."""

StepRule = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""(noisy and expected clean `[S, V]`, levels before and after `[S, 1]`, fresh noise `[S, V]`) -> noisy `[S, V]`."""


def euler(noisy: Tensor, clean: Tensor, tau: Tensor, following: Tensor, fresh: Tensor) -> Tensor:
    """One step of Euler's method."""
    return advance(noisy, clean, tau, following)


def ddim(noisy: Tensor, clean: Tensor, tau: Tensor, following: Tensor, fresh: Tensor) -> Tensor:
    """One deterministic step of DDIM."""
    return ddim_step(noisy, clean, tau, following)


def ddpm(noisy: Tensor, clean: Tensor, tau: Tensor, following: Tensor, fresh: Tensor) -> Tensor:
    """One ancestral step of DDPM, with the smaller variance."""
    q = Posterior.of(tau, following)
    return q.step(noisy, clean, q.variance, fresh)


SAMPLERS: dict[str, StepRule] = {"euler": euler, "ddim": ddim, "ddpm": ddpm}


def sample(
    denoise: Denoiser, known: Tensor, start: Tensor, steps: int, rule: StepRule, noise: Callable[[int], Tensor]
) -> Tensor:
    """Bring every token from its own level to 1, in `steps` passes; tokens that begin at 1 stay as they are.

    Args:
        denoise: of one clip.
        known: clean tokens `[S, V]`; they matter where `start` is above 0.
        start: signal levels `[S]`.
        steps: passes. rule: how a step is made.
        noise: number of the draw -> normal `[S, V]`.
    """
    noisy = add_noise(known, noise(0), start)
    painted = start < 1
    for i in range(steps):
        tau, following = (start + (1 - start) * n / steps for n in (i, i + 1))
        clean = denoise(noisy, tau)
        if i + 1 == steps:
            return torch.where(painted[:, None], clean, known)
        before, after = tau[painted, None], following[painted, None]
        noisy[painted] = rule(noisy[painted], clean[painted], before, after, noise(i + 1)[painted])
    raise AssertionError(f"{steps} steps")
