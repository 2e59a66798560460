"""What scrolls is a linear map of the latents."""

from __future__ import annotations

import pytest
import torch

from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import AutoencoderConfig
from worldsim.models.config import WorldModelConfig
from worldsim.models.copy_head import CopyConfig
from worldsim.models.dit import DiTConfig
from worldsim.models.shifts import GRID, Shifted, ShiftKernels, shifted_pixels
from worldsim.models.world_model import WorldModel


def test_a_picture_moves_down_and_right():
    picture = torch.zeros(1, 3, 8, 8)
    picture[..., 2, 3] = 1
    assert torch.equal(shifted_pixels(picture, torch.tensor([3.0, -1.0])).nonzero()[0, 2:], torch.tensor([5, 2]))
    picture[..., 0, :] = 0.5
    assert (shifted_pixels(picture, torch.tensor([4.0, 0.0]))[..., :5, 0] == 0.5).all(), "the edge is repeated"


def test_no_shift_changes_nothing_at_first():
    latents = torch.randn(2, 4, 6, 6)
    assert torch.allclose(ShiftKernels(4)(latents, torch.tensor([2.0, 1.0])), latents, atol=1e-6)


def test_the_grid_has_each_shift_once_and_none():
    assert len(set(GRID)) == len(GRID) and (0, 0) in GRID and all((-y, -x) in GRID and (x, y) in GRID for y, x in GRID)


def test_a_world_model_begins_with_the_shifts_of_its_autoencoder():
    torch.manual_seed(0)
    kernels, shifted = ShiftKernels(4), Shifted(4)
    torch.nn.init.normal_(kernels.net[-1].weight, std=0.1)
    shifted.take_over(kernels)
    latents = torch.randn(2, 4, 6, 6)
    for found, shift in zip(shifted(latents).unbind(1), GRID, strict=True):
        assert torch.allclose(found, kernels(latents, torch.tensor(shift).float()), atol=1e-5), shift


def test_a_scrolled_frame_can_be_copied():
    """The gates of one shift open: the next frame is the frame before under that shift."""
    torch.manual_seed(0)
    config = WorldModelConfig(
        dit=DiTConfig(width=16, heads=2, depth=1, temporal_layers=(0,), denoiser_depth=1),
        copy=CopyConfig(shifts=True),
        latent_shape=(4, 4, 4),
        actions=2,
    )
    model = WorldModel(config).eval()
    latents, chosen = torch.randn(1, 4, 4, 4), GRID.index((1, 0))
    previous = model.to_tokens(latents)
    gates = model.denoiser.token_out.bias[config.token_width :].view(-1, 4)
    with torch.no_grad():
        gates[(2 * config.copy.reach + 1) ** 2 + chosen] = 50.0
    features, _ = model.encode_context(previous[:, None], torch.zeros(1, 1, dtype=torch.long))
    noisy, tau = torch.randn_like(previous), torch.zeros(1)
    made = model.denoise(features.map(lambda part: part[:, 0]), previous, noisy, tau).clean
    assert torch.allclose(model.to_latents(made), model.shifted(latents).chunk(len(GRID), dim=1)[chosen], atol=1e-4)


def test_latents_of_two_layers_and_small_cells_are_refused():
    with pytest.raises(WorldsimError, match="one layer"):
        WorldModelConfig(copy=CopyConfig(shifts=True, hidden_layer=True))
    for fields in ({"hidden_layer": True}, {"widths": (16,)}):
        with pytest.raises(WorldsimError, match="one layer, and cells of 6 pixels"):
            AutoencoderConfig(shifts=True, **fields)
