"""What a frame may be made of, and how the noised frame decides for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worldsim.errors import WorldsimError
from worldsim.models.config import WorldModelConfig
from worldsim.models.copy_head import Candidates, CopyConfig
from worldsim.models.dit import DiTConfig
from worldsim.models.flow import add_noise
from worldsim.models.history import History
from worldsim.models.palette import SPREAD, Palette, weighed
from worldsim.models.sampling import Sampling
from worldsim.models.step import next_tokens
from worldsim.models.world_model import WorldModel


def test_the_weights_are_the_likelihoods_of_a_mixture():
    """Shares that follow from the weights are how often each kind was drawn, among noised cells like this one."""
    torch.manual_seed(0)
    count, tau = 200_000, torch.tensor([0.4])
    kinds = torch.tensor([[1.0, 0.0], [-1.0, 0.5]])
    chosen = torch.randint(0, 3, (count,))  # the third is none of them
    clean = torch.where((chosen < 2)[:, None], kinds[chosen.clamp(max=1)], torch.zeros(2))
    clean = clean + torch.where(chosen < 2, SPREAD, 1.0)[:, None] * torch.randn(count, 2)
    noisy = add_noise(clean, torch.randn_like(clean), tau.expand(count))
    source = Candidates(kinds[None, :, :, None, None].expand(count, -1, -1, 1, 1))
    bias = weighed(source, noisy[..., None, None], tau, 1).bias
    assert bias is not None
    shares = torch.cat([bias[:, :, 0, 0, 0], torch.zeros(count, 1)], dim=1).softmax(1)
    for kind in range(3):
        for alike in shares[:, kind].argsort().chunk(10):
            drawn, expected = (chosen[alike] == kind).float().mean(), shares[alike, kind].mean()
            assert abs(drawn - expected) < 0.015, (kind, drawn, expected)


def test_pure_noise_says_nothing():
    source = Candidates(torch.randn(2, 5, 4, 3, 3), torch.randn(2, 5, 2, 3, 3))
    bias = weighed(source, torch.randn(2, 4, 3, 3), torch.zeros(1), layers=2).bias
    assert bias is not None and source.bias is not None
    torch.testing.assert_close(bias, source.bias)


@torch.no_grad()
def test_a_network_that_does_not_know_which_kind_comes_decides_for_one():
    """Gates are even over the kinds, and shut for all that could be copied. The mean of the kinds is 0."""
    torch.manual_seed(0)
    config = WorldModelConfig(
        dit=DiTConfig(width=16, heads=2, depth=1, temporal_layers=(0,), denoiser_depth=1),
        copy=CopyConfig(palette=4),
        latent_shape=(8, 6, 6),
        actions=1,
    )
    model = WorldModel(config).eval()
    kinds = torch.tensor([[1.0], [-1.0]]) * torch.tensor([[1.0] * 8, [1.0, -1.0] * 4])[:, None]
    model.palette.take_over(kinds.flatten(0, 1).numpy())
    gates = model.denoiser.token_out.bias[config.token_width :].view(-1, config.patch_cells)
    gates[:-4] = -50.0
    gates[-4:] = 50.0
    previous = model.to_tokens(torch.zeros(4, 8, 6, 6))
    noise = torch.randn_like(previous)[:, None]
    made = next_tokens(model, Sampling(), History(), previous, torch.zeros(4, dtype=torch.long), noise)
    cells = model.to_latents(made.clean).movedim(1, -1).flatten(0, -2)
    distance = (cells[:, None] - kinds.flatten(0, 1)).square().mean(-1).sqrt()
    assert (distance.amin(1) < 0.3).float().mean() > 0.95
    counts = np.bincount(distance.argmin(1).numpy(), minlength=4) / len(cells)
    assert counts.min() > 0.15, counts


def test_all_kinds_together_count_as_one_candidate_at_first():
    offered = Palette(16, 4)(torch.zeros(2, 4, 3, 3))
    assert offered.latents.shape == (2, 16, 4, 3, 3) and offered.bias is not None
    assert offered.bias.expand(-1, 16, -1, -1, -1).exp().sum(1).sub(1).abs().max() < 1e-5


def test_too_many_kinds_are_refused():
    with pytest.raises(WorldsimError, match=r"copy\.palette 5000"):
        CopyConfig(palette=5000)
