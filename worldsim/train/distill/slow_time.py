"""Another embedding of the signal level, slow enough for derivatives, that modulates a denoiser as the old one did."""

from __future__ import annotations

import copy
import dataclasses

import torch
from torch import nn

from worldsim.models.layers import FourierFeatures
from worldsim.models.world_model import WorldModel
from worldsim.train.distill.scm import SMOOTH

FIT_STEPS = 600
LEVELS = 257  # signal levels that both are compared at


def with_slow_time(model: WorldModel, seed: int = 0) -> tuple[WorldModel, float]:
    """A copy whose denoiser has rates of `SMOOTH`, its embedding fitted to the old one's modulation.

    Returns:
        the copy; root mean square of what is left of the difference, as a share of the modulation's changes over the
        levels. 0 and the same rates if they were slow already.
    """
    config = model.config
    made = copy.deepcopy(model)
    if tuple(config.dit.tau_octaves) == SMOOTH:
        return made, 0.0
    made.config = dataclasses.replace(config, dit=dataclasses.replace(config.dit, tau_octaves=SMOOTH))
    tau = torch.linspace(0, 1, LEVELS)
    modulation: nn.Module = made.denoiser.tau_modulation
    with torch.no_grad():
        wanted = modulation(made.denoiser.tau(tau))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        embedding = FourierFeatures(config.dit.width, octaves=SMOOTH).to(wanted)
    optimizer = torch.optim.AdamW(embedding.parameters(), lr=1e-2, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, FIT_STEPS)
    with torch.enable_grad():
        for _ in range(FIT_STEPS):
            optimizer.zero_grad()
            error = (modulation(embedding(tau)) - wanted).square().mean()
            error.backward(inputs=list(embedding.parameters()))
            optimizer.step()
            schedule.step()
    made.denoiser.tau = embedding
    return made, float((error.detach() / wanted.var(0).mean().clamp(min=1e-12)).sqrt())
