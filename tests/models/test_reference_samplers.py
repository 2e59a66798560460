"""Every sampler where the model is exact: a mixture whose posterior mean is known in closed form."""

from __future__ import annotations

import functools
from collections.abc import Callable

import mixture
import pytest
import torch
from torch import Tensor

from worldsim.models import ddpm, ode_samplers
from worldsim.models.flow import add_noise
from worldsim.models.ode_samplers import euler, karras_sigmas, uniform_schedule

COUNT = 4000
EXACT = mixture.sample(COUNT, 1)
NOISE = torch.randn(COUNT, 2, generator=torch.Generator().manual_seed(2))
FLOOR = mixture.sliced_wasserstein(mixture.sample(COUNT, 3), EXACT)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(4)


resampled = functools.partial(mixture.by_play, fresh_noise=True)


def mean_error(tau: float) -> float:
    """Of the exact denoiser, at a level."""
    clean = mixture.sample(20_000, 5)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(6))
    level = torch.full((len(clean),), tau)
    return float((mixture.denoise(add_noise(clean, noise, level), level) - clean).square().mean())


def by_learned_variance(noise: Tensor, passes: int) -> Tensor:
    """With what a network would learn: the variance halfway between the bounds."""
    both = lambda noisy, tau: (mixture.denoise(noisy, tau), torch.zeros_like(noisy))  # noqa: E731
    return ddpm.learned_ddpm(both, noise, uniform_schedule(passes), generator())


DETERMINISTIC: dict[str, Callable[[Tensor, int], Tensor]] = {
    "euler": lambda noise, n: euler(mixture.denoise, noise, uniform_schedule(n)),
    "ddim": lambda noise, n: ode_samplers.ddim(mixture.denoise, noise, uniform_schedule(n)),
    "heun": lambda noise, n: ode_samplers.heun(mixture.denoise, noise, karras_sigmas(n // 2)),
    "multistep": lambda noise, n: mixture.by_play(mixture.denoise, noise, uniform_schedule(n)),
}
STOCHASTIC: dict[str, Callable[[Tensor, int], Tensor]] = {
    "ddpm": lambda noise, n: ddpm.ddpm(mixture.denoise, noise, uniform_schedule(n), generator()),
    "analytic": lambda noise, n: ddpm.analytic_ddpm(
        mixture.denoise, mean_error, noise, uniform_schedule(n), generator()
    ),
    "learned": by_learned_variance,
}


@pytest.mark.parametrize("name", [*DETERMINISTIC, *STOCHASTIC])
def test_reaches_the_distribution_with_many_passes(name: str):
    sampler = {**DETERMINISTIC, **STOCHASTIC}[name]
    few, many = (mixture.sliced_wasserstein(sampler(NOISE, n), EXACT) for n in (2, 64))
    print(name, FLOOR, few, many)
    assert FLOOR < 0.03 and many < FLOOR + 0.02 < few
    found = sampler(NOISE, 64)
    assert (found.mean(0) - EXACT.mean(0)).abs().max() < 0.05
    assert (found.T.cov() - EXACT.T.cov()).abs().max() < 0.06


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_deterministic_ones_reach_the_flows_end(name: str):
    noise = NOISE[:500].double()
    end = ode_samplers.heun(mixture.denoise, noise, karras_sigmas(400))
    errors = [(DETERMINISTIC[name](noise, n) - end).norm(dim=1).median() for n in (8, 64)]
    print(name, errors)
    assert errors[1] < 0.02 and errors[1] < errors[0] / 4


def test_ddim_is_eulers_method():
    schedule = (0.0, 0.1, 0.55, 0.7)
    torch.testing.assert_close(
        ode_samplers.ddim(mixture.denoise, NOISE, schedule), euler(mixture.denoise, NOISE, schedule)
    )


@pytest.mark.parametrize("sampler", [euler, ode_samplers.ddim, ddpm.ddpm, mixture.by_play, resampled])
def test_one_pass_is_the_posterior_mean(sampler: Callable[..., Tensor]):
    mean = mixture.denoise(NOISE, torch.zeros(1))
    torch.testing.assert_close(sampler(mixture.denoise, NOISE, (0.0,)), mean)


def test_few_ancestral_passes_spread_as_they_should_with_the_analytic_variance():
    """With beta tilde alone, what is missing is the spread of what the clean sample may be."""
    plain, analytic = (STOCHASTIC[name](NOISE, 4).var(0).sum() for name in ("ddpm", "analytic"))
    truth = EXACT.var(0).sum()
    assert abs(analytic - truth) < abs(plain - truth)


def test_the_learned_variance_is_what_costs_least():
    """L_vlb is least where the variance is that of the analytic sampler."""
    tau, following = 0.3, 0.4
    clean = mixture.sample(20_000, 5)
    level = torch.full((len(clean),), tau)
    noisy = add_noise(clean, torch.randn(clean.shape, generator=generator()), level)
    predicted = mixture.denoise(noisy, level).requires_grad_()
    q = ddpm.Posterior.of(tau, following)
    best = q.variance + q.of_clean**2 * mean_error(tau)
    between = torch.linspace(-1, 1.5, 101)
    cost = [ddpm.variance_loss(predicted, b.expand_as(clean), clean, tau, following).mean() for b in between]
    costs = torch.stack(cost)
    assert ddpm.learned_variance(between[costs.argmin()], q) == pytest.approx(best, rel=0.1)
    assert not costs.requires_grad  # the mean learns by the other loss


def test_a_consistency_model_is_sampled_in_one_pass_and_in_two():
    def ends(noisy: Tensor, tau: Tensor) -> Tensor:
        """The exact consistency model: where the flow from here ends."""
        start = float(tau.flatten()[0])
        noisy, steps = noisy.double(), 200
        for i in range(steps):
            a, b = (start + (1 - start) * j / steps for j in (i, i + 1))
            clean = mixture.denoise(noisy, torch.tensor([a]))
            noisy = noisy + (b - a) / (1 - a) * (clean - noisy)
        return noisy.float()

    for schedule in ((0.0,), (0.0, 0.55)):
        found = resampled(ends, NOISE, schedule)
        assert mixture.sliced_wasserstein(found, EXACT) < FLOOR + 0.02
