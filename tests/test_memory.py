"""Long memory: what is kept, and that frames beyond the window are seen through it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from tiny import tiny_networks

from worldsim.dynamics import Dynamics
from worldsim.errors import WorldsimError
from worldsim.memory import capacity, check_reach, context, remembered

REACH = ((4, 1), (12, 3), (40, 6))
FRAMES = 8


@pytest.mark.parametrize("reach", [REACH, ((32, 1), (128, 4), (1024, 16), (2048, 32))])
def test_what_is_forgotten_stays_forgotten(reach):
    number = np.arange(200)[:, None]
    kept = remembered(number, np.arange(1, 3000), reach)
    assert (kept[:, 1:] <= kept[:, :-1]).all()
    assert kept[:, : reach[0][0]].all() and not kept[:, reach[-1][0] :].any()
    now = np.arange(1, 3000)[:, None]
    past = np.arange(3000)
    counts = (remembered(past, now - past, reach) & (past < now)).sum(1)
    assert counts.max() <= capacity(reach) <= counts.max() + len(reach)


def test_reaches_that_would_bring_frames_back_are_refused():
    for reach in (((4, 1), (4, 2)), ((4, 2), (8, 3))):
        with pytest.raises(WorldsimError, match="ages must rise"):
            check_reach(reach)


def test_what_is_shown_at_the_start_fills_the_window_and_the_dense_memory():
    assert [context(16, reach) for reach in ((), ((64, 1), (128, 4)), ((8, 1),), ((64, 2),))] == [17, 65, 17, 17]


@pytest.fixture(scope="module")
def model() -> Dynamics:
    return tiny_networks(memory=REACH)[1].requires_grad_(False)


@pytest.fixture(scope="module")
def clip(model: Dynamics) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(2, FRAMES, *model.config.latent_shape, generator=generator)
    return model.to_tokens(latents), torch.randint(0, 3, (2, FRAMES), generator=generator)


def test_frames_beyond_the_window_are_seen_through_the_log_alone(model, clip):
    tokens, actions = clip
    other = tokens.clone()
    other[:, 0] += 1
    cut = dataclasses.replace(model.config, memory=())
    without = Dynamics(cut)
    without.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith(("write", "recall"))})
    looks_back = len(model.config.look_back) * model.config.window
    assert looks_back < FRAMES - 1
    for network, sees in ((model, True), (without, False)):
        moved = (network.look(other, actions)[0] - network.look(tokens, actions)[0])[:, -1].abs().max()
        assert (moved > 1e-4) == sees


def test_nothing_in_the_log_is_nothing_found(model, clip):
    tokens, actions = clip
    log = torch.randn(2, 3, *model.config.log_shape, generator=torch.Generator().manual_seed(1))
    alone, _ = model.look(tokens[:, :1], actions[:, :1])
    unseen, _ = model.look(tokens[:, :1], actions[:, :1], log=log, age=torch.zeros(2, 3, dtype=torch.int64))
    torch.testing.assert_close(alone, unseen, atol=1e-6, rtol=1e-5)


def test_cells_in_the_log_are_found_and_copied():
    network = tiny_networks(memory=REACH, copy_reach=1, recall_cells=True)[1].requires_grad_(False)
    config = network.config
    network.recall_cells.nothing.fill_(-50.0)  # something is always found
    tokens = torch.randn(2, 1, config.token_grid[0] * config.token_grid[1], config.token_width)
    actions = torch.zeros(2, 1, dtype=torch.int64)
    kept = torch.randn(2, 1, 1, config.token_width).expand_as(tokens)  # the same at every place
    log = network.remember(kept, torch.randn_like(kept), actions)
    features, _ = network.look(tokens, actions, log=log, age=torch.full((2, 1), 30))
    found = features[:, 0, config.registers :, config.width :]
    torch.testing.assert_close(found, kept[:, 0], atol=1e-5, rtol=1e-4)
    gates = torch.zeros(2, found.shape[1], 18, config.pack[0] * config.pack[1])
    gates[:, :, 9 + 4] = 50.0  # after the nine places of the frame before, its own place in what was found
    copied = network._copied([tokens[:, 0], found], gates.flatten(-2))
    torch.testing.assert_close(copied, found, atol=1e-6, rtol=0)


def test_cells_of_packed_memory_tokens_are_refused():
    config = tiny_networks(memory=REACH, copy_reach=1)[1].config
    with pytest.raises(WorldsimError, match="recall_cells takes memory"):
        dataclasses.replace(config, recall_cells=True)
