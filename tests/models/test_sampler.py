"""The sampler where the mean of what may come is known: something that comes two times in a hundred, or nothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from worldsim.models.flow import advance
from worldsim.models.sampler import multistep, sample
from worldsim.models.sampling import Sampling
from worldsim.models.world_model import Prediction

CHANCE = 0.02
EVENT = torch.full((8,), 4 / math.sqrt(8))  # four standard deviations from nothing


def denoise(noisy: Tensor, tau: Tensor) -> Prediction:
    """What an untiring network would say: the mean of all clean latents that this may have been."""
    level = tau[0]
    likelier = ((noisy * EVENT).sum(-1) * level - 0.5 * level**2 * EVENT.square().sum()) / (1 - level) ** 2
    clean = torch.sigmoid(likelier + math.log(CHANCE / (1 - CHANCE)))[..., None] * EVENT
    return Prediction(clean, *(torch.zeros(len(noisy)) for _ in Prediction._fields[1:]))


def share(passes: int, temperature: float = 1.0, sampler=multistep) -> float:
    """Of 100,000 samples, those in which it came."""
    noise = temperature * torch.randn(100_000, 1, 8, generator=torch.Generator().manual_seed(0))
    output, _ = sampler(denoise, noise, [i / passes for i in range(passes)])
    return float((output.clean.norm(dim=-1) > 2).float().mean())


def euler(denoise, noise: Tensor, schedule: list[float]) -> tuple[Prediction, None]:
    """The first-order sampler."""
    for tau, following in zip(schedule, [*schedule[1:], 1.0], strict=True):
        output = denoise(noise, torch.tensor([tau]))
        noise = advance(noise, output.clean, tau, following)
    return output, None


def test_many_passes_let_things_come_as_often_as_they_do():
    assert abs(share(100) / CHANCE - 1) < 0.1


def test_few_passes_are_shy_by_the_first_order_and_not_by_the_second():
    assert share(1) == 0
    assert share(5, sampler=euler) < 0.6 * CHANCE
    assert abs(share(5) / CHANCE - 1) < 0.15


def test_two_passes_are_the_same_by_both_orders():
    assert share(2) == share(2, sampler=euler)


def test_what_seldom_happens_comes_more_often_when_it_is_warm():
    assert share(5, temperature=0.9) < share(5) < share(5, temperature=1.1)


def test_the_error_falls_by_the_square_of_the_passes():
    noise = torch.randn(64, 1, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def reached(sampler, passes: int) -> Tensor:
        """As far as 0.8: a last pass straight to 1 would hide the order."""
        levels = [0.8 * i / passes for i in range(passes)]
        seen = []
        sampler(lambda noisy, tau: seen.append(noisy) or denoise(noisy, tau), noise, [*levels, 0.8])
        return seen[-1]

    exact = reached(multistep, 2000)
    first, second = ((reached(multistep, n) - exact).square().mean().sqrt() for n in (40, 80))
    assert 3 < first / second < 5


def test_what_a_pass_got_wrong_is_forgotten_with_noise_anew():
    """Two things come equally often. The first two passes see neither, but something beside both: with the noise of one
    draw that leads astray."""

    def mistaken(noisy: Tensor, tau: Tensor) -> Prediction:
        level = tau[0]
        side = torch.tanh((noisy * EVENT).sum(-1) * level / (1 - level) ** 2)[..., None] * EVENT
        wrong = EVENT.roll(1) * torch.tensor([1.0, -1.0]).repeat(4)
        clean = side + 0.5 * wrong if level < 0.5 else side + 0.5 * (noisy / level - side)
        return Prediction(clean, *(torch.zeros(len(noisy)) for _ in Prediction._fields[1:]))

    def distance(fresh_noise: bool) -> Tensor:
        sampling = Sampling((0.0, 0.3, 0.6, 0.9), fresh_noise=fresh_noise)
        noise = torch.randn(20_000, sampling.draws, 1, 8, generator=torch.Generator().manual_seed(0))
        made = sample(mistaken, noise, sampling)[0].clean
        return torch.minimum((made - EVENT).norm(dim=-1), (made + EVENT).norm(dim=-1)).mean()

    assert distance(True) < 0.8 * distance(False)


def test_noise_anew_takes_a_draw_for_every_pass():
    sampling = Sampling((0.0, 0.4, 0.8), 1.2, fresh_noise=True)
    assert sampling.draws == 3 and Sampling((0.0, 0.4, 0.8)).draws == 1
    noise = torch.randn(16, 3, 1, 8, generator=torch.Generator().manual_seed(0))
    seen: list[Tensor] = []

    def nothing(noisy: Tensor, tau: Tensor) -> Prediction:
        seen.append(noisy)
        return Prediction(torch.zeros_like(noisy), *(torch.zeros(len(noisy)) for _ in Prediction._fields[1:]))

    sample(nothing, noise, sampling)
    for i, level in enumerate(sampling.schedule):
        torch.testing.assert_close(seen[i], 1.2 * (1 - level) * noise[:, i])
