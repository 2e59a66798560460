"""A two-dimensional mixture of normal distributions, of which everything is known: samples, and the posterior mean."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from worldsim.models.layers import FourierFeatures
from worldsim.models.ode_samplers import Denoise
from worldsim.models.sampler import multistep, resampling
from worldsim.models.world_model import Prediction

MEANS = torch.tensor([[1.3, 0.2], [-0.9, 0.9], [-0.3, -1.2]])
SHARES = torch.tensor([0.5, 0.3, 0.2])
DEVIATION = 0.25


def sample(count: int, seed: int) -> Tensor:
    """`[count, 2]`."""
    generator = torch.Generator().manual_seed(seed)
    which = torch.multinomial(SHARES, count, replacement=True, generator=generator)
    return MEANS[which] + DEVIATION * torch.randn(count, 2, generator=generator)


def denoise(noisy: Tensor, tau: Tensor) -> Tensor:
    """The exact mean of the clean sample, given a noisy one `[B, 2]` at signal level tau `[1]` or `[B]`."""
    means, tau = MEANS.to(noisy), tau.to(noisy).reshape(-1, 1)
    variance = tau**2 * DEVIATION**2 + (1 - tau) ** 2  # [B, 1]
    away = noisy[:, None] - tau[..., None] * means  # [B, 3, 2]
    likelihood = SHARES.to(noisy).log() - away.square().sum(-1) / (2 * variance)
    parts = means + (tau * DEVIATION**2 / variance)[..., None] * away
    return (likelihood.softmax(-1)[..., None] * parts).sum(1)


def by_play(plain: Denoise, noise: Tensor, schedule: Sequence[float], fresh_noise: bool = False) -> Tensor:
    """A denoiser of `[B, 2]` sampled by one of the samplers of play."""

    def predict(noisy: Tensor, tau: Tensor) -> Prediction:
        clean = plain(noisy[:, 0], tau)[:, None]
        return Prediction(clean, *(noise.new_zeros(0) for _ in range(3)))

    if not fresh_noise:
        return multistep(predict, noise[:, None], schedule)[0].clean[:, 0]
    generator = torch.Generator().manual_seed(4)
    anew = torch.randn(len(noise), len(schedule) - 1, 1, 2, generator=generator)
    return resampling(predict, torch.cat([noise[:, None, None], anew], dim=1), schedule)[0].clean[:, 0]


def sliced_wasserstein(samples: Tensor, others: Tensor) -> float:
    """Mean distance between sorted projections of as many samples, over 32 directions."""
    angles = torch.linspace(0, torch.pi, 33)[:-1]
    directions = torch.stack([angles.cos(), angles.sin()]).to(samples)
    a, b = ((x @ directions).sort(dim=0).values for x in (samples, others))
    return float((a - b).abs().mean())


class Mlp(nn.Module):
    """A small denoiser: (noisy `[B, 2]`, tau `[B]` or `[1]`, span likewise) -> clean `[B, 2]`."""

    def __init__(self, width: int = 96):
        super().__init__()
        self.tau, self.span = (FourierFeatures(width, pairs=8, octaves=(-1.0, 1.5)) for _ in range(2))
        self.noisy = nn.Linear(2, width)
        self.body = nn.Sequential(
            nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2)
        )

    def forward(self, noisy: Tensor, tau: Tensor, span: Tensor | None = None) -> Tensor:
        """Predict."""
        span = torch.zeros_like(tau) if span is None else span
        out: Tensor = self.body(self.noisy(noisy) + self.tau(tau) + self.span(span))
        return out
