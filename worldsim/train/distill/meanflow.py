"""MeanFlow (Geng et al. 2025), for a network that predicts the clean latent: it learns the mean velocity over a span.

Time is t = 1 - tau here, 1 noise, and span = t - r. B batch; any shape `[B, ...]`. Know no network.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from worldsim.models.ode_samplers import level

LEAST = 0.05  # t to divide by
SpanDenoise = Callable[[Tensor, Tensor, Tensor], Tensor]  # (noisy [B, ...], tau [B], span [B]) -> clean [B, ...]


def velocity_towards(clean: Tensor, noisy: Tensor, tau: Tensor) -> Tensor:
    """dz/dt = (z - clean) / t, of a predicted or a true clean latent."""
    return (noisy - clean) / level((1 - tau).clamp(min=LEAST), noisy)


def meanflow_target(student: SpanDenoise, velocity: Tensor, noisy: Tensor, tau: Tensor, span: Tensor) -> Tensor:
    """What the student should predict, `[B, ...]`, by the MeanFlow identity u = v - (t - r) du/dt (equation 6), no
    gradient.

    Args:
        student: differentiable in all three; clean = z - t u.
        velocity: v at `noisy`, by a teacher or of the data (`velocity_towards`).
        noisy, tau, span: `[B, ...]`, `[B]`, `[B]`; a span of 0 is the velocity itself.
    """

    def mean_velocity(z: Tensor, t: Tensor, span: Tensor) -> Tensor:
        return velocity_towards(student(z, 1 - t, span), z, 1 - t)

    with torch.no_grad():
        t, one = 1 - tau, torch.ones_like(tau)
        along = mean_velocity(noisy, t, torch.zeros_like(span))
        derivative = torch.func.jvp(mean_velocity, (noisy, t, span), (along, one, one))[1]
        wanted = velocity - level(span, noisy) * derivative
        return noisy - level(t.clamp(min=LEAST), noisy) * wanted


def meanflow_loss(clean: Tensor, target: Tensor, tau: Tensor) -> Tensor:
    """Squared error of the mean velocity over itself, without gradient (equation 22 with p = 1), `[B]`."""
    square = ((clean - target) / level((1 - tau).clamp(min=LEAST), clean)).square().flatten(1).mean(1)
    return square / (square.detach() + 0.01)


def draw_spans(tau: Tensor, uniform: Tensor) -> Tensor:
    """Spans `[B]` of uniform numbers: 0 for half of them, all that is left for an eighth, else evenly between."""
    share = ((uniform - 0.5) / 0.375).clamp(0, 1)
    return (1 - tau) * share
