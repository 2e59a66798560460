"""The sampler where the mean of what may come is known: something that comes two times in a hundred, or nothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from worldsim.dynamics import HeadOutput
from worldsim.sampler import euler

CHANCE = 0.02
EVENT = torch.full((8,), 4 / math.sqrt(8))  # four standard deviations from nothing


def denoise(noisy: Tensor, tau: Tensor) -> HeadOutput:
    """What an untiring network would say: the mean of all clean latents that this may have been."""
    level = tau[0]
    likelier = ((noisy * EVENT).sum(-1) * level - 0.5 * level**2 * EVENT.square().sum()) / (1 - level) ** 2
    clean = torch.sigmoid(likelier + math.log(CHANCE / (1 - CHANCE)))[..., None] * EVENT
    return HeadOutput(clean, *(torch.zeros(len(noisy)) for _ in HeadOutput._fields[1:]))


def share(passes: int, spread: float = 1.0) -> float:
    """Of 100,000 samples, those in which it came."""
    noise = torch.randn(100_000, 1, 8, generator=torch.Generator().manual_seed(0))
    output, _ = euler(denoise, noise, [i / passes for i in range(passes)], spread)
    return float((output.clean.norm(dim=-1) > 2).float().mean())


def test_many_passes_let_things_come_as_often_as_they_do():
    assert abs(share(100) / CHANCE - 1) < 0.1


def test_few_passes_are_shy_and_a_spread_makes_up_for_it():
    assert share(1) == 0
    assert share(5) < 0.6 * CHANCE
    assert abs(share(5, spread=1.65) / CHANCE - 1) < 0.15
    assert share(5, spread=0.5) < share(5)
