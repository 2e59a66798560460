"""Samplers: functions of (model, noise, schedule) that turn noise into a clean latent. Know no network and no cache."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor

from worldsim.models.flow import advance
from worldsim.models.sampling import Sampling
from worldsim.models.world_model import Prediction

Denoise = Callable[[Tensor, Tensor], Prediction]
"""(noisy `[B, N, D]`, tau `[1]`) -> prediction of the clean latent."""


def sample(denoise: Denoise, noise: Tensor, sampling: Sampling) -> tuple[Prediction, Tensor]:
    """A frame from normal noise `[B, R, N, D]`, R as `sampling.draws` says; returns what `multistep` does."""
    noise = sampling.temperature * noise
    if sampling.fresh_noise:
        return resampling(denoise, noise, sampling.schedule)
    return multistep(denoise, noise[:, 0], sampling.schedule)


def multistep(denoise: Denoise, noise: Tensor, schedule: Sequence[float]) -> tuple[Prediction, Tensor]:
    """Deterministic second-order sampler of the rectified flow (Liu et al. 2022), in len(schedule) passes: a multistep
    solver of the data prediction (DPM-Solver++(2M), Lu et al. 2022, algorithm 2).

    Each pass predicts the posterior mean. Between passes the prediction is extrapolated linearly, where Euler's method
    keeps it constant: with few passes that would make rare events too rare.

    Args:
        denoise: the network. noise: `[B, N, D]`, normal.
        schedule: rising signal levels, the first 0, all below 1; the last pass goes straight to 1.

    Returns:
        the last pass's output, whose `clean` is the sample; and float32 `[B]`, how far that is from what the first pass
        predicted, as a root mean square: 0 for a single pass.
    """
    noisy, passes = noise, []
    for i, tau in enumerate(schedule):
        output = denoise(noisy, noise.new_full((1,), tau))
        passes.append(output.clean)
        if i + 1 < len(schedule):
            clean, following = output.clean, schedule[i + 1]
            if i:
                clean = clean + _extrapolation(schedule[i - 1], tau, following) * (clean - passes[-2])
            noisy = advance(noisy, clean, tau, following)
    return output, _apart(passes)


def resampling(denoise: Denoise, noise: Tensor, schedule: Sequence[float]) -> tuple[Prediction, Tensor]:
    """Stochastic sampler: every pass sees the last one's prediction under noise that is drawn anew (DDIM with the
    greatest variance, Song et al. 2021, equation 12 with sigma squared = 1 - alpha of the next step; multistep
    consistency sampling, Song et al. 2023, algorithm 1).

    Args:
        denoise: the network. noise: `[B, K, N, D]`, normal, for each of the K passes.
        schedule: K signal levels, as for `multistep`.

    Returns:
        what `multistep` does.
    """
    noisy, passes = noise[:, 0], []
    for i, tau in enumerate(schedule):
        output = denoise(noisy, noise.new_full((1,), tau))
        passes.append(output.clean)
        if i + 1 < len(schedule):
            noisy = schedule[i + 1] * output.clean + (1 - schedule[i + 1]) * noise[:, i + 1]
    return output, _apart(passes)


def _apart(passes: list[Tensor]) -> Tensor:
    """How far the last of some predictions `[B, N, D]` is from the first, as a root mean square: `[B]`."""
    return (passes[-1] - passes[0]).square().mean((1, 2)).sqrt()


def _extrapolation(before: float, tau: float, following: float) -> float:
    """How much of its change from `before` to `tau` the prediction adds on the way to `following`, on average.

    With s = -ln(1 - tau) the flow is dz/ds = clean - z; this is its exact solution if `clean` is linear in s.
    """
    past, ahead = math.log((1 - before) / (1 - tau)), math.log((1 - tau) / (1 - following))
    return (ahead - 1 + math.exp(-ahead)) / (1 - math.exp(-ahead)) / past
