"""sCM: continuous-time consistency models (Lu & Song 2024), distilled from a teacher or trained on data.

The student's clean latent becomes where the flow ends, from anywhere on it, so that one pass samples. Its derivative
along the flow comes from `torch.func.jvp`. B batch; any shape `[B, ...]`. Know no network.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.models.layers import FourierFeatures
from worldsim.models.ode_samplers import Denoise, level
from worldsim.models.trigflow import angle, signal_level, to_trig, trig_network

NORMALISER = 0.1  # added to the tangent's norm (section 4.2)
BOUNDARY = 0.1  # t below which the flow has ended: the clean latent is known, and anchors all others
SMOOTH = (-1.0, 3.0)  # octaves of an embedding of the signal level that derivatives can go through


def draw_levels(normal: Tensor, mean: float = -1.0, deviation: float = 1.4) -> Tensor:
    """Signal levels `[B]` of standard normal numbers: the logarithm of sigma = tan(t) is normal (section 5.1)."""
    return signal_level(torch.exp(mean + deviation * normal).atan())


def data_velocity(clean: Tensor, noise: Tensor, tau: Tensor) -> Tensor:
    """dx/dt of a sample: cos(t) noise - sin(t) clean, as training without a teacher has it."""
    t = level(angle(tau), clean)
    return t.cos() * noise - t.sin() * clean


def scm_target(student: Denoise, velocity: Tensor, noisy: Tensor, tau: Tensor, warm_up: float) -> Tensor:
    """What the student should predict, `[B, ...]`: its own prediction, moved along the normalised tangent g of
    algorithm 1, no gradient.

    A network that predicts the clean latent isn't bound to return a clean one as it is, and any constant added to it
    everywhere would be as consistent. So below `BOUNDARY` the target is what `velocity` says is clean.

    Args:
        student: (noisy `[B, ...]`, tau `[B]`) -> clean `[B, ...]`, differentiable in both.
        velocity: dx/dt at `noisy`, by the teacher (`trig_network` of it) or of the data (`data_velocity`).
        noisy, tau: `[B, ...]` and `[B]`.
        warm_up: r, from 0 to 1 over the first part of the training.
    """
    x, t = to_trig(noisy, tau), angle(tau)
    cos, sin = level(t.cos(), x), level(t.sin(), x)
    with torch.no_grad():
        tangents = (cos * sin * velocity, t.cos() * t.sin())
        predicted, derivative = torch.func.jvp(trig_network(student), (x, t), tangents)[:2]
        g = -(cos**2) * (predicted - velocity) - warm_up * (cos * sin * x + derivative)
        moved = predicted + g / (level(g.flatten(1).norm(dim=1), g) + NORMALISER)
        return cos * x - sin * torch.where(level(t, x) < BOUNDARY, velocity, moved)


class AdaptiveWeight(nn.Module):
    """w(t), by which errors at all levels count about as much (section 4.2, after EDM2): `[B]` -> `[B]`. Not below 0:
    a tangent is at most 1 long, and where errors are larger, at the boundary, they have to count."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.out = FourierFeatures(32, pairs=16, octaves=SMOOTH), nn.Linear(32, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, tau: Tensor) -> Tensor:
        """Of signal levels."""
        weight: Tensor = F.softplus(self.out(self.features(tau))[:, 0])
        return weight


def scm_loss(clean: Tensor, target: Tensor, tau: Tensor, weight: Tensor) -> Tensor:
    """e^w |F - F_target|² / D - w (algorithm 1, with no prior weight), `[B]`; `weight` is w `[B]`."""
    square = (clean - target).square().flatten(1).mean(1) / angle(tau).sin().clamp(min=BOUNDARY).square()
    return weight.exp() * square - weight
