"""The methods of distillation where the flow is known: of one normal distribution exactly, of a mixture by a solver.

Figures on the mixture, root mean square distance to the exact map and sliced Wasserstein distance (floor 0.03), one
pass: the exact posterior mean 1.27 and 0.78, segment consistency 0.18 and 0.06, sCM 0.30 and 0.12 (on data 0.41 and
0.17). Two passes: the exact posterior mean 0.60 and 0.36, segment consistency 0.17 and 0.06.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import mixture
import pytest
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from worldsim.models.flow import add_noise, draw_tau, pseudo_huber
from worldsim.models.ode_samplers import Denoise, euler, heun, karras_sigmas
from worldsim.models.trigflow import angle, from_trig, signal_level, to_trig, trig_network
from worldsim.train.distill import meanflow, scm, segment

MEAN, DEVIATION = torch.tensor([0.7, -0.4], dtype=torch.float64), 0.6


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def spread(tau: Tensor) -> Tensor:
    """Of the noisy sample of the one normal distribution, `[B, 1]`."""
    return torch.hypot(tau * DEVIATION, 1 - tau)[:, None]


def posterior_mean(noisy: Tensor, tau: Tensor) -> Tensor:
    return MEAN + (tau[:, None] * DEVIATION**2 / spread(tau) ** 2) * (noisy - tau[:, None] * MEAN)


def flow(noisy: Tensor, tau: Tensor, end: Tensor) -> Tensor:
    """The exact flow from one level to another."""
    return end[:, None] * MEAN + spread(end) / spread(tau) * (noisy - tau[:, None] * MEAN)


def flow_end(noisy: Tensor, tau: Tensor) -> Tensor:
    """The exact consistency model."""
    return flow(noisy, tau, torch.ones_like(tau))


def batch(rows: int = 64, most: float = 0.97) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    tau = most * torch.rand(rows, generator=generator, dtype=torch.float64)
    tau[:8] = 0
    return 1.5 * torch.randn(rows, 2, generator=generator, dtype=torch.float64), tau


def test_trigflow_is_the_same_flow():
    noisy, tau = batch()
    x, t = to_trig(noisy, tau), angle(tau)
    torch.testing.assert_close(from_trig(x, t), noisy)
    torch.testing.assert_close(signal_level(t), tau)
    earlier = signal_level(t - 1e-5)
    ahead = to_trig(flow(noisy, tau, earlier), earlier)
    torch.testing.assert_close(trig_network(posterior_mean)(x, t), (x - ahead) / 1e-5, atol=1e-4, rtol=1e-4)


def test_the_exact_consistency_model_is_what_scm_wants():
    noisy, tau = batch()
    velocity = trig_network(posterior_mean)(to_trig(noisy, tau), angle(tau))
    clean = flow_end(noisy, tau)
    target = scm.scm_target(flow_end, velocity, noisy, tau, warm_up=1.0)
    within = angle(tau) >= scm.BOUNDARY
    torch.testing.assert_close(target[within], clean[within])
    assert scm.scm_loss(clean, target, tau, torch.zeros_like(tau))[within].max() < 1e-9
    other = scm.scm_target(posterior_mean, velocity, noisy, tau, warm_up=1.0)
    nearer = (other - clean).norm(dim=1) < (posterior_mean(noisy, tau) - clean).norm(dim=1)
    assert nearer[within & (tau > 0)].float().mean() > 0.6  # and another one is moved towards it


def test_the_derivative_along_the_flow_is_that_of_finite_differences():
    net = mixture.Mlp().double()
    noisy, tau = batch(16, most=0.9)
    x, t = to_trig(noisy, tau), angle(tau)
    along, speed = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64), t.cos()
    with torch.no_grad():
        network = trig_network(net)
        _, derivative = torch.func.jvp(network, (x, t), (along, speed))
        step = 1e-3  # angles are float32 inside
        after, before = (network(x + h * along, t + h * speed) for h in (step, -step))
    torch.testing.assert_close(derivative, (after - before) / (2 * step), atol=2e-3, rtol=2e-3)


def test_the_exact_mean_velocity_is_what_meanflow_wants():
    noisy, tau = batch(most=0.9)
    span = meanflow.draw_spans(tau, torch.linspace(0, 1, len(tau), dtype=torch.float64))
    assert (span == 0).sum() >= 32 and torch.isclose(span, 1 - tau).any() and (span <= 1 - tau + 1e-9).all()

    def exact(z: Tensor, tau: Tensor, span: Tensor) -> Tensor:
        """Of clean = z - t u, the mean velocity u over the span being exact; the derivative is that of the limit."""
        safe = torch.where(span > 0, span, 1e-4)
        return z - ((1 - tau) / safe)[:, None] * (z - flow(z, tau, tau + safe))

    velocity = meanflow.velocity_towards(posterior_mean(noisy, tau), noisy, tau)
    target = meanflow.meanflow_target(exact, velocity, noisy, tau, span)
    torch.testing.assert_close(target, exact(noisy, tau, span), atol=2e-3, rtol=2e-3)
    assert meanflow.meanflow_loss(exact(noisy, tau, span), target, tau).max() < 1e-2


@pytest.mark.parametrize("schedule", [(0.0,), (0.0, 0.5), (0.0, 0.2, 0.6)])
def test_segments_end_where_the_flow_does(schedule: tuple[float, ...]):
    noisy, tau = batch()
    end = segment.segment_ends(tau, schedule)
    assert end.tolist() == [min(b for b in (*schedule[1:], 1.0) if b > a) for a in tau.tolist()]
    exact = flow(noisy, tau, end)

    def missed(passes: int) -> float:
        target = segment.trajectory_target(posterior_mean, noisy, tau, end, passes)
        return float((segment.jump(noisy, target, tau, end) - exact).norm(dim=1).mean())

    assert missed(64) < 5e-3 and missed(64) < missed(8) / 4

    def exact_jump(z: Tensor, level: Tensor) -> Tensor:
        return segment.jump_target(z, flow(z, level, torch.maximum(end, level)), level, end)

    again = segment.bootstrapped_target(posterior_mean, exact_jump, noisy, tau, end, 1 / 64)
    torch.testing.assert_close(segment.jump(noisy, again, tau, end), exact, atol=2e-3, rtol=2e-3)


def plain_model(steps: int = 500) -> mixture.Mlp:
    """A network that predicts the posterior mean, as a teacher's copy does."""
    torch.manual_seed(0)
    net = mixture.Mlp()

    def loss(net: torch.nn.Module, average: torch.nn.Module, clean: Tensor, noise: Tensor, share: float) -> Tensor:
        tau = draw_tau((len(clean),), 0.2, torch.Generator().manual_seed(int(1e6 * share)))
        noisy = add_noise(clean, noise, tau)
        return (net(noisy, tau) - mixture.denoise(noisy, tau)).square().mean()

    return fit(net, loss, steps)


def fit(
    net: torch.nn.Module, loss: Callable[..., Tensor], steps: int, rows: int = 256, more: tuple = ()
) -> mixture.Mlp:
    """Train a copy of `net`; returns the moving average."""
    net, rows = copy.deepcopy(net), 256
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.98))
    optimizer = torch.optim.AdamW([*net.parameters(), *more], 1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: min(1, (i + 1) / 30, (steps - i) / (0.4 * steps)))
    for step in range(steps):
        noise = torch.randn(rows, 2, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        loss(net, average.module, mixture.sample(rows, step), noise, step / steps).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(net)
    return average.module


def distances(denoise: Denoise, schedule: tuple[float, ...]) -> tuple[float, float]:
    """To the exact map, root mean square, and to the distribution."""
    noise = torch.randn(2000, 2, generator=torch.Generator().manual_seed(99))
    exact = heun(mixture.denoise, noise.double(), karras_sigmas(100)).float()
    with torch.no_grad():
        made = euler(denoise, noise, schedule)
    apart = float((made - exact).square().sum(1).mean().sqrt())
    return apart, mixture.sliced_wasserstein(made, mixture.sample(2000, 7))


@pytest.mark.parametrize("schedule", [(0.0,), (0.0, 0.5)])
def test_segment_consistency_in_one_pass_and_in_two(schedule: tuple[float, ...]):
    def loss(net: torch.nn.Module, average: torch.nn.Module, clean: Tensor, noise: Tensor, share: float) -> Tensor:
        generator = torch.Generator().manual_seed(int(1e6 * share))
        tau = draw_tau((len(clean),), 0.4, generator)
        starts = torch.tensor(schedule)[torch.randint(len(schedule), tau.shape, generator=generator)]
        tau = torch.where(tau == 0, starts, tau)
        noisy, end = add_noise(clean, noise, tau), segment.segment_ends(tau, schedule)
        with torch.no_grad():
            if share < 0.5:
                target = segment.trajectory_target(mixture.denoise, noisy, tau, end, 8)
            else:
                target = segment.bootstrapped_target(mixture.denoise, average, noisy, tau, end, 1 / 8)
        error = segment.jump_share(tau, end)[:, None] * (net(noisy, tau) - target)
        return pseudo_huber(error.square().mean(1), 0.05).mean()

    plain, learned = distances(mixture.denoise, schedule), distances(fit(plain_model(), loss, 600), schedule)
    print(schedule, plain, learned)
    assert learned[0] < 0.4 * plain[0] and learned[1] < 0.3 * plain[1]


@pytest.mark.slow
@pytest.mark.parametrize("distill", [True, False])
def test_scm_in_one_pass(distill: bool):
    weight = scm.AdaptiveWeight()

    def loss(net: torch.nn.Module, average: torch.nn.Module, clean: Tensor, noise: Tensor, share: float) -> Tensor:
        normal = torch.randn(len(clean), generator=torch.Generator().manual_seed(int(1e6 * share)))
        tau = scm.draw_levels(normal, mean=-0.5)
        noisy = add_noise(clean, noise, tau)
        velocity = scm.data_velocity(clean, noise, tau)
        if distill:
            velocity = trig_network(mixture.denoise)(to_trig(noisy, tau), angle(tau))
        target = scm.scm_target(net, velocity, noisy, tau, min(1.0, share / 0.3))
        return scm.scm_loss(net(noisy, tau), target, tau, weight(tau)).mean()

    net = fit(plain_model(), loss, 1500, more=tuple(weight.parameters()))
    plain, learned = distances(mixture.denoise, (0.0,)), distances(net, (0.0,))
    noise = torch.randn(2000, 2, generator=torch.Generator().manual_seed(98))
    twice = mixture.sliced_wasserstein(
        mixture.by_play(net, noise, (0.0, 0.55), fresh_noise=True).detach(), mixture.sample(2000, 7)
    )
    print(distill, plain, learned, twice)
    assert learned[0] < 0.4 * plain[0] and learned[1] < 0.3 * plain[1] and twice < 0.3


@pytest.mark.slow
def test_meanflow_of_a_teacher_in_one_pass_and_in_two():
    def loss(net: torch.nn.Module, average: torch.nn.Module, clean: Tensor, noise: Tensor, share: float) -> Tensor:
        generator = torch.Generator().manual_seed(int(1e6 * share))
        tau = draw_tau((len(clean),), 0.2, generator)
        noisy, span = (
            add_noise(clean, noise, tau),
            meanflow.draw_spans(tau, torch.rand(len(clean), generator=generator)),
        )
        velocity = meanflow.velocity_towards(mixture.denoise(noisy, tau), noisy, tau)
        target = meanflow.meanflow_target(net, velocity, noisy, tau, span)
        return meanflow.meanflow_loss(net(noisy, tau, span), target, tau).mean()

    net = fit(plain_model(), loss, 1500)
    for schedule in ((0.0,), (0.0, 0.5)):
        span = torch.tensor([1 / len(schedule)])
        plain = distances(mixture.denoise, schedule)
        learned = distances(lambda noisy, tau, span=span: net(noisy, tau, span), schedule)
        assert learned[0] < 0.5 * plain[0] and learned[1] < 0.4 * plain[1]
