"""Samplers that add noise between passes: DDPM, and IDDPM with the variance that is best, given or learned; and the
loss that a variance is learned by. Know no network.

A latent z at signal level tau is, up to its scale, the y of DDPM: y = z / sqrt(tau² + (1 - tau)²), with the share of
signal abar = tau² / (tau² + (1 - tau)²). Any shape `[B, ...]` will do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from worldsim.models.ode_samplers import Denoise


class Posterior(NamedTuple):
    """q(y' | y, clean) of one step: y' is normal about `of_clean` clean + `of_y` y (DDPM, Ho et al. 2020, equation 7).

    Levels, and so all of it, are numbers or tensors that broadcast to the latents.

    Attributes:
        scale, next_scale: of z in y: y = z / scale.
        of_clean, of_y: what the mean is made of.
        beta: of the step; 1 from pure noise.
        variance: beta tilde, 0 if the step ends clean.
    """

    scale: Any
    next_scale: Any
    of_clean: Any
    of_y: Any
    beta: Any
    variance: Any

    @classmethod
    def of(cls, tau: Any, following: Any) -> Posterior:
        """Of the step from signal level `tau` to `following`."""
        scale, next_scale = ((level**2 + (1 - level) ** 2) ** 0.5 for level in (tau, following))
        signal, next_signal = (tau / scale) ** 2, (following / next_scale) ** 2  # abar and abar'
        beta = 1 - signal / next_signal
        of_clean = next_signal**0.5 * beta / (1 - signal)
        of_y = (signal / next_signal) ** 0.5 * (1 - next_signal) / (1 - signal)
        return cls(scale, next_scale, of_clean, of_y, beta, beta * (1 - next_signal) / (1 - signal))

    def step(self, noisy: Tensor, clean: Tensor, variance: Any, fresh: Tensor) -> Tensor:
        """The noisy latent of the next level, given the clean one that is expected and fresh noise."""
        mean = self.of_clean * clean + self.of_y * noisy / self.scale
        stepped: Tensor = self.next_scale * (mean + variance**0.5 * fresh)
        return stepped


Step = Callable[[Tensor, float, Posterior], tuple[Tensor, Tensor | float]]  # (noisy, tau, q) -> clean, variance


def _sample(step: Step, noise: Tensor, schedule: Sequence[float], generator: torch.Generator | None) -> Tensor:
    """Ancestral sampling; the last step ends at its mean, without noise."""
    noisy = noise
    for tau, following in pairwise((*schedule, 1.0)):
        q = Posterior.of(tau, following)
        clean, variance = step(noisy, tau, q)
        fresh = torch.randn(noise.shape, generator=generator, device=noise.device, dtype=noise.dtype)
        noisy = q.step(noisy, clean, variance if following < 1 else 0.0, fresh)
    return noisy


def ddpm(
    denoise: Denoise, noise: Tensor, schedule: Sequence[float], generator: torch.Generator | None = None
) -> Tensor:
    """Ancestral sampling (DDPM, Ho et al. 2020, algorithm 2, with the smaller variance, beta tilde).

    Args:
        denoise: (noisy `[B, ...]`, tau `[1]`) -> clean `[B, ...]`.
        noise: standard normal `[B, ...]`.
        schedule: rising signal levels, the first 0, all below 1; the last pass goes straight to 1.
        generator: of the noise that is added.
    """

    def step(noisy: Tensor, tau: float, q: Posterior) -> tuple[Tensor, float]:
        return denoise(noisy, noise.new_full((1,), tau)), q.variance

    return _sample(step, noise, schedule, generator)


def analytic_ddpm(
    denoise: Denoise,
    error: Callable[[float], float],
    noise: Tensor,
    schedule: Sequence[float],
    generator: torch.Generator | None = None,
) -> Tensor:
    """DDPM with the best variance that is the same for all numbers (Analytic-DPM, Bao et al. 2022, theorem 1): that of
    the posterior, and that of what the clean sample may be, which is the denoiser's squared error.

    Args:
        denoise, noise, schedule, generator: as for `ddpm`.
        error: mean squared error of the denoiser at a signal level, of held-out data.
    """

    def step(noisy: Tensor, tau: float, q: Posterior) -> tuple[Tensor, float]:
        return denoise(noisy, noise.new_full((1,), tau)), q.variance + q.of_clean**2 * error(tau)

    return _sample(step, noise, schedule, generator)


def learned_ddpm(
    denoise: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    noise: Tensor,
    schedule: Sequence[float],
    generator: torch.Generator | None = None,
) -> Tensor:
    """DDPM with a learned variance (IDDPM, Nichol & Dhariwal 2021, equation 15).

    Args:
        denoise: (noisy, tau) -> clean and where its variance lies, both `[B, ...]`: -1 beta tilde, 1 beta.
        noise, schedule, generator: as for `ddpm`.
    """

    def step(noisy: Tensor, tau: float, q: Posterior) -> tuple[Tensor, Tensor]:
        clean, between = denoise(noisy, noise.new_full((1,), tau))
        return clean, learned_variance(between, q)

    return _sample(step, noise, schedule, generator)


def learned_variance(between: Tensor, q: Posterior) -> Tensor:
    """The variance between beta tilde (-1) and beta (1), evenly in its logarithm; IDDPM, equation 15."""
    share = (between + 1) / 2
    return torch.exp(share * math.log(q.beta) + (1 - share) * math.log(max(q.variance, 1e-20)))


def variance_loss(clean: Tensor, between: Tensor, target: Tensor, tau: float, following: float) -> Tensor:
    """What a step's learned variance costs, L_vlb of IDDPM's hybrid loss (section 3.1), `[B, ...]` in nats: the
    divergence of the step from q(y' | y, target). No gradient goes to the mean.

    Args:
        clean, between: as `learned_ddpm`'s denoiser predicts them. target: what is clean in truth.
        tau, following: of the step, which does not end clean.
    """
    q = Posterior.of(tau, following)
    log_variance = learned_variance(between, q).log()
    missed = (q.of_clean * (clean.detach() - target)).square()
    truth = math.log(q.variance)
    return 0.5 * (log_variance - truth - 1 + (missed + q.variance) * torch.exp(-log_variance))
