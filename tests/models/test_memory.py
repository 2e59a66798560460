"""Long memory: what is kept, and that frames beyond the window are seen through it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import tiny_networks

from worldsim.errors import WorldsimError
from worldsim.models.retention import capacity, check_retention, context, retained
from worldsim.models.view_memory import ViewMemory, seen_from
from worldsim.models.world_model import WorldModel

REACH = ((4, 1), (12, 3), (40, 6))
FRAMES = 8


@pytest.mark.parametrize("reach", [REACH, ((32, 1), (128, 4), (1024, 16), (2048, 32))])
def test_what_is_forgotten_stays_forgotten(reach):
    number = np.arange(200)[:, None]
    kept = retained(number, np.arange(1, 3000), reach)
    assert (kept[:, 1:] <= kept[:, :-1]).all()
    assert kept[:, : reach[0][0]].all() and not kept[:, reach[-1][0] :].any()
    now = np.arange(1, 3000)[:, None]
    past = np.arange(3000)
    counts = (retained(past, now - past, reach) & (past < now)).sum(1)
    assert counts.max() <= capacity(reach) <= counts.max() + len(reach)


def test_reaches_that_would_bring_frames_back_are_refused():
    for reach in (((4, 1), (4, 2)), ((4, 2), (8, 3))):
        with pytest.raises(WorldsimError, match="ages must rise"):
            check_retention(reach)


def test_what_is_shown_at_the_start_fills_the_window_and_the_dense_memory():
    assert [context(16, reach) for reach in ((), ((64, 1), (128, 4)), ((8, 1),), ((64, 2),))] == [17, 65, 17, 17]


@pytest.fixture(scope="module")
def model() -> WorldModel:
    return tiny_networks(memory=REACH)[1].requires_grad_(False)


@pytest.fixture(scope="module")
def clip(model: WorldModel) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(2, FRAMES, *model.config.latent_shape, generator=generator)
    return model.to_tokens(latents), torch.randint(0, 3, (2, FRAMES), generator=generator)


def test_frames_beyond_the_window_are_seen_through_the_log_alone(model, clip):
    tokens, actions = clip
    other = tokens.clone()
    other[:, 0] += 1
    cut = dataclasses.replace(model.config, memory=())
    without = WorldModel(cut)
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


@pytest.mark.parametrize("recall", [(0, 1), ()])
def test_what_left_the_view_is_found_where_it_was_and_copied(recall):
    network = tiny_networks(memory=REACH, copy_reach=1, pan=1, recall=recall)[1].requires_grad_(False)
    config = network.config
    (c, h, w), (p, q) = config.latent_shape, config.pack
    network.panorama.nothing.fill_(-50.0)  # something is always found, where there was something
    room = torch.randn(2, c, h, w + 3)
    views = network.to_tokens(torch.stack([room[..., place : place + w] for place in (3, 2)], dim=1))
    actions = torch.zeros(2, 1, dtype=torch.int64)
    log = network.remember(views[:, :1], views[:, 1:], actions, torch.tensor([[[[3.0], [2.0]]]] * 2))
    features, _ = network.look(views[:, 1:], actions, log=log, age=torch.ones(2, 1, dtype=torch.int64))
    found = features[:, 0, config.registers :, config.width :]
    parts = found.unflatten(-1, (c * p + 1, q + 2))
    there = [network.to_latents(parts[:, :, : c * p, i : i + q].flatten(2)) for i in range(3)]
    torch.testing.assert_close(there[2], room[..., 3 : 3 + w], atol=1e-5, rtol=1e-4)  # what a step to the right shows
    torch.testing.assert_close(there[1][..., 1:], room[..., 3 : 2 + w], atol=1e-5, rtol=1e-4)
    assert not there[1][..., 0].any() and not there[0][..., :2].any()  # never seen
    sure = parts[:, :, c * p].unflatten(1, config.token_grid)
    assert (sure[:, :, -1] > 0.99).all() and not sure[:, :, 0, 0].any()
    gates = torch.zeros(2, found.shape[1], 9 + 3, p * q)
    gates[:, :, 9 + 2] = 50.0  # after the nine places of the frame before: of what was found, the place to the right
    copied = network._copied(views[:, 1], found, found[..., :0], gates.flatten(-2))
    torch.testing.assert_close(network.to_latents(copied), room[..., 3 : 3 + w], atol=1e-5, rtol=1e-4)


def test_the_moves_of_a_view_are_told_from_the_pictures_and_from_how_often_actions_move_it():
    panorama = tiny_networks(memory=REACH, copy_reach=1, pan=1)[1].panorama
    room = torch.randn(40, 4, 6, 20)
    moves = torch.randint(-1, 2, (40,), generator=torch.Generator().manual_seed(0))
    before = room[..., 4:12]
    after = torch.stack([cells[:, :, 4 + move : 12 + move] for cells, move in zip(room, moves, strict=True)])
    assert (panorama.motion(before, after, torch.zeros(40, dtype=torch.int64))[0] == moves).all()
    mismatch = panorama.mismatch(before, after)
    panorama.learn_moves(mismatch, moves + 1, [("left",), (), ("right",)])  # the action says the move
    blank = torch.zeros(3, 4, 6, 8)  # nothing to be seen: the action alone decides
    assert panorama.motion(blank, blank, torch.arange(3))[0].tolist() == [-1, 0, 1]


def test_a_panorama_without_what_it_needs_is_refused():
    config = tiny_networks(memory=REACH, copy_reach=1)[1].config
    with pytest.raises(WorldsimError, match="pan 1 takes a memory"):
        dataclasses.replace(config, pan=1)
    whole = tiny_networks(memory=REACH, copy_reach=1, pan=1)[1].config
    for change in ({"memory": ()}, {"copy_reach": 0}, {"memory": ((4, 2), (8, 4))}):
        with pytest.raises(WorldsimError, match="pan 1 takes a memory"):
            dataclasses.replace(whole, **change)


def test_a_memory_that_nothing_looks_up_is_refused():
    config = tiny_networks(memory=REACH)[1].config
    with pytest.raises(WorldsimError, match="a memory that nothing looks up"):
        dataclasses.replace(config, recall=())


def test_what_was_seen_comes_round_again():
    """A view that turned all around finds what was there; one that never comes round doesn't."""
    wide, rows = 6, 2
    room = torch.randn(1, rows, 10, 3)  # ten columns all around
    views = torch.stack([room.roll(-t, dims=2)[:, :, :wide] for t in range(13)], dim=1)[0]  # [S, rows, wide, numbers]
    here, place = (F.pad(t, (0, 2)).float() for t in (torch.tensor([[[13]]]), torch.arange(13)[None, :, None] % 10))
    asked, keys = torch.zeros(1, 1, rows, wide, 2), torch.zeros(1, 13, rows, wide, 2)
    age = torch.arange(13, 0, -1)[None, None]
    for around, there in ((10, True), (0, False)):
        panorama = ViewMemory(1, 3, around).requires_grad_(False)
        panorama.nothing.fill_(-30.0)
        old = age.masked_fill(age < 10, 0)  # of the first four frames alone
        found = panorama(asked, keys, views[None], old, here, place)[0, 0]
        expected = room.roll(-12, dims=2)[0, :, : wide + 2].movedim(-1, 0)
        assert torch.allclose(found[:3, :, 1:-1], expected[:, :, 1:-1], atol=1e-5) == there
        assert (found[3, :, 1:-1] > 0.99).all() == there


def test_a_view_comes_round_no_sooner_than_it_is_wide():
    config = tiny_networks(memory=REACH, copy_reach=1, pan=1)[1].config
    wide = config.latent_shape[2] + 2
    assert dataclasses.replace(config, around=wide).around == wide
    for wrong in ({"around": wide - 1}, {"around": wide, "pan": 0}):
        with pytest.raises(WorldsimError, match="takes a pan, and no more than a whole turn in view"):
            dataclasses.replace(config, **wrong)


def test_of_two_buttons_held_at_once_each_does_what_it_does_alone():
    panorama = ViewMemory(1, 4, 10).requires_grad_(False)
    mismatch = torch.tensor(
        [[0.05, 0.0, 0.05], [0.05, 0.01, 0.05], [0.0, 0.05, 0.05], [0.024, 0.02, 0.05]]  # whole: stands, walks, turns;
    ).repeat(50, 1)  # and of who does both, that it stood fits a little better
    actions = torch.arange(4).repeat(50)
    panorama.learn_moves(mismatch, actions, [(), ("forward",), ("left",), ("forward", "left")])
    moves, steps = panorama.likeliest(mismatch[:4], actions[:4])
    assert moves.tolist() == [0, 0, -1, -1]
    assert steps.tolist() == [0, 1, 0, 1]
    assert panorama.likeliest(mismatch[:1], actions[1:2])[1] == 0  # into a wall: nothing changed


def test_who_walks_round_is_back_where_it_began_and_nearer_frames_say_more():
    panorama = ViewMemory(1, 3, 12).requires_grad_(False)
    panorama.nothing.fill_(-30.0)
    moves, steps = torch.tensor([[0, 0, 1, 1, 1] * 4]), torch.tensor([[1.0, 1, 0, 0, 0] * 4])  # a square, to the right
    way = panorama.follow(torch.zeros(1, 3), moves, steps)
    torch.testing.assert_close(way[0, -1, 1], torch.tensor([12.0, 0, 0]), atol=1e-5, rtol=0)
    assert way[0, 9, 1].tolist() == pytest.approx([6, 2, 2], abs=1e-5)  # half of it: at the other corner
    torch.testing.assert_close(way[:, 1:, 0], way[:, :-1, 1])
    since = seen_from(way[:, 9, 1], way[:, 10:], 12)  # from there on, as if it had begun there
    torch.testing.assert_close(since, panorama.follow(torch.zeros(1, 3), moves[:, 10:], steps[:, 10:]))
    views, here = torch.randn(1, 2, 2, 6, 3), way[:, -1:, 1]
    asked, keys = torch.zeros(1, 1, 2, 6, 2), torch.zeros(1, 2, 2, 6, 2)
    there = torch.stack([way[:, 0, 0], way[:, 0, 0] + torch.tensor([0, 9.0, 0])], dim=1)
    for nearer in (0, 1):
        age = torch.tensor([[[20, 20]]])
        found = panorama(asked, keys, views, age, here, there if nearer == 0 else there.flip(1))[0, 0, :3, :, 1:-1]
        torch.testing.assert_close(found, views[0, nearer].movedim(-1, 0), atol=0.1, rtol=0)
