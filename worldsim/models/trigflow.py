"""TrigFlow (Lu & Song 2024, "sCM", section 3), written in this project's noise convention. Knows no network.

    x_t = cos(t) clean + sin(t) noise = z_tau / sqrt(tau² + (1 - tau)²)     t = atan2(1 - tau, tau)
    F(x_t, t) = (cos(t) x_t - clean(z_tau, tau)) / sin(t)                   clean = cos(t) x_t - sin(t) F

t is 0 clean and pi / 2 noise; F is what their network predicts, and dx/dt along the flow. A consistency model's clean
is where the flow ends. Latents have a variance near 1. Any shape `[B, ...]` will do.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from worldsim.models.ode_samplers import Denoise, level


def angle(tau: Tensor) -> Tensor:
    """t of a signal level."""
    return torch.atan2(1 - tau, tau)


def signal_level(t: Tensor) -> Tensor:
    """tau of an angle."""
    return t.cos() / (t.cos() + t.sin())


def to_trig(noisy: Tensor, tau: Tensor) -> Tensor:
    """`z_tau` `[B, ...]` -> `x_t`."""
    return noisy / level(torch.hypot(tau, 1 - tau), noisy)


def from_trig(x: Tensor, t: Tensor) -> Tensor:
    """`x_t` `[B, ...]` -> `z_tau`."""
    return x / level(t.cos() + t.sin(), x)


def trig_network(denoise: Denoise) -> Callable[[Tensor, Tensor], Tensor]:
    """F of a denoiser: (x_t `[B, ...]`, t `[B]`) -> `[B, ...]`."""

    def network(x: Tensor, t: Tensor) -> Tensor:
        clean = denoise(from_trig(x, t), signal_level(t))
        return (level(t.cos(), x) * x - clean) / level(t.sin(), x)

    return network
