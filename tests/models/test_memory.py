"""Long memory: what is kept, and that frames beyond the window are seen through it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny import tiny_config, tiny_networks

from worldsim.errors import WorldsimError
from worldsim.models.history import History
from worldsim.models.pose import PoseTracker
from worldsim.models.retention import capacity, check_retention, context, retained
from worldsim.models.view_memory import ViewMemory, ViewMemoryConfig
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
    return tiny_networks(retention=REACH)[1].requires_grad_(False)


@pytest.fixture(scope="module")
def clip(model: WorldModel) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(2, FRAMES, *model.config.latent_shape, generator=generator)
    return model.to_tokens(latents), torch.randint(0, 3, (2, FRAMES), generator=generator)


def test_frames_beyond_the_window_are_seen_through_the_log_alone(model, clip):
    tokens, actions = clip
    other = tokens.clone()
    other[:, 0] += 1
    without = WorldModel(dataclasses.replace(model.config, memory=None))
    kept = {k: v for k, v in model.state_dict().items() if not k.startswith(("writer", "readers"))}
    without.load_state_dict(kept)
    looks_back = len(model.config.dit.temporal_layers) * model.config.dit.window
    assert looks_back < FRAMES - 1
    for network, sees in ((model, True), (without, False)):
        first, second = (network.encode_context(x, actions)[0].tokens for x in (other, tokens))
        assert ((first - second)[:, -1].abs().max() > 1e-4) == sees


def test_an_empty_memory_is_nothing_found(model, clip):
    tokens, actions = clip
    memory = torch.randn(2, 3, *model.config.memory_shape, generator=torch.Generator().manual_seed(1))
    here = tokens[:, :1], actions[:, :1]
    alone, _ = model.encode_context(*here)
    unseen, _ = model.encode_context(*here, History(memory=memory, age=torch.zeros(2, 3, dtype=torch.int64)))
    torch.testing.assert_close(alone.tokens, unseen.tokens, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("read_layers", [(0, 1), ()])
def test_what_left_the_view_is_found_where_it_was_and_offered(read_layers):
    parts = {"retention": REACH, "copy_reach": 1, "max_shift": 1, "read_layers": read_layers}
    network = tiny_networks(**parts)[1].requires_grad_(False)
    c, h, w = network.config.latent_shape
    network.view.nothing.fill_(-50.0)  # something is always found, where there was something
    room = torch.randn(2, c, h, w + 3)
    views = network.to_tokens(torch.stack([room[..., place : place + w] for place in (3, 2)], dim=1))
    actions = torch.zeros(2, 1, dtype=torch.int64)
    memory, pose = network.remember(views[:, :1], views[:, 1:], actions, torch.tensor([[[[3.0], [2.0]]]] * 2))
    history = History(memory=memory, age=torch.ones(2, 1, dtype=torch.int64), pose=pose)
    found = network.encode_context(views[:, 1:], actions, history)[0].view[:, 0]
    left, here, right = network.view.candidates(found).latents.unbind(1)
    torch.testing.assert_close(right, room[..., 3 : 3 + w], atol=1e-5, rtol=1e-4)  # what a step to the right shows
    torch.testing.assert_close(here[..., 1:], room[..., 3 : 2 + w], atol=1e-5, rtol=1e-4)
    assert not here[..., 0].any() and not left[..., :2].any()  # never seen
    sure = found[:, -1]
    assert (sure[..., -2:] > 0.99).all() and not sure[..., 0].any()


def test_the_moves_of_a_view_are_told_from_the_pictures_and_from_how_often_actions_move_it():
    tracker = tiny_networks(retention=REACH, copy_reach=1, max_shift=1)[1].pose
    room = torch.randn(40, 4, 6, 20)
    moves = torch.randint(-1, 2, (40,), generator=torch.Generator().manual_seed(0))
    before = room[..., 4:12]
    after = torch.stack([cells[:, :, 4 + move : 12 + move] for cells, move in zip(room, moves, strict=True)])
    assert (tracker.motion(before, after, torch.zeros(40, dtype=torch.int64))[0] == moves).all()
    mismatch = tracker.mismatch(before, after)
    tracker.learn_moves(mismatch, moves + 1, [("left",), (), ("right",)])  # the action says the move
    blank = torch.zeros(3, 4, 6, 8)  # nothing to be seen: the action alone decides
    assert tracker.motion(blank, blank, torch.arange(3))[0].tolist() == [-1, 0, 1]


def test_a_view_memory_without_what_it_needs_is_refused():
    for parts in ({"copy_reach": 0}, {"retention": ()}, {"retention": ((4, 2), (8, 4))}):
        with pytest.raises(WorldsimError, match="view takes a copy config, and a memory"):
            tiny_config(**({"retention": REACH, "copy_reach": 1, "max_shift": 1} | parts))


def test_a_memory_that_nothing_reads_is_refused():
    with pytest.raises(WorldsimError, match="a memory that nothing reads"):
        tiny_config(retention=REACH, read_layers=())


def test_a_motion_prior_without_what_it_sees_is_refused():
    whole = {"retention": REACH, "copy_reach": 1, "max_shift": 1, "refiner_width": 8, "motion": 8}
    for wrong in ({"refiner_width": 0}, {"retention": ((2, 1),)}):
        with pytest.raises(WorldsimError, match="motion takes a view, copy.refiner_width, and a memory"):
            tiny_config(**(whole | wrong))


def test_what_was_seen_comes_round_again():
    """A view that turned all around finds what was there; one that never comes round doesn't."""
    wide, rows = 6, 2
    room = torch.randn(1, rows, 10, 3)  # ten columns all around
    views = torch.stack([room.roll(-t, dims=2)[:, :, :wide] for t in range(13)], dim=1)[0]  # [S, rows, wide, numbers]
    here, place = (F.pad(t, (0, 2)).float() for t in (torch.tensor([[[13]]]), torch.arange(13)[None, :, None] % 10))
    asked, keys = torch.zeros(1, 1, rows, wide, 2), torch.zeros(1, 13, rows, wide, 2)
    age = torch.arange(13, 0, -1)[None, None]
    for around, there in ((10, True), (0, False)):
        view = ViewMemory(ViewMemoryConfig(1, around), 8, (1, 1), 3).requires_grad_(False)
        view.nothing.fill_(-30.0)
        old = age.masked_fill(age < 10, 0)  # of the first four frames alone
        found = view(asked, keys, views[None], old, here, place)[0, 0]
        expected = room.roll(-12, dims=2)[0, :, : wide + 2].movedim(-1, 0)
        assert torch.allclose(found[:3, :, 1:-1], expected[:, :, 1:-1], atol=1e-5) == there
        assert (found[3, :, 1:-1] > 0.99).all() == there


def test_a_view_comes_round_no_sooner_than_it_is_wide():
    config = tiny_config(retention=REACH, copy_reach=1, max_shift=1, ring_columns=8)
    assert config.fit((4, 4, 6), 3).view.ring_columns == 8
    with pytest.raises(WorldsimError, match="wider than a whole turn"):
        config.fit((4, 4, 8), 3)


def test_of_two_buttons_held_at_once_each_does_what_it_does_alone():
    tracker = PoseTracker(1, 4, 10)
    mismatch = torch.tensor(
        [[0.05, 0.0, 0.05], [0.05, 0.01, 0.05], [0.0, 0.05, 0.05], [0.024, 0.02, 0.05]]  # whole: stands, walks, turns;
    ).repeat(50, 1)  # and of who does both, that it stood fits a little better
    actions = torch.arange(4).repeat(50)
    tracker.learn_moves(mismatch, actions, [(), ("forward",), ("left",), ("forward", "left")])
    moves, steps = tracker.likeliest(mismatch[:4], actions[:4])
    assert moves.tolist() == [0, 0, -1, -1]
    assert steps.tolist() == [0, 1, 0, 1]
    assert tracker.likeliest(mismatch[:1], actions[1:2])[1] == 0  # into a wall: nothing changed


def test_who_walks_round_is_back_where_it_began_and_nearer_frames_say_more():
    tracker = PoseTracker(1, 3, 12)
    view = ViewMemory(ViewMemoryConfig(1, 12), 8, (1, 1), 3).requires_grad_(False)
    view.nothing.fill_(-30.0)
    moves, steps = torch.tensor([[0, 0, 1, 1, 1] * 4]), torch.tensor([[1.0, 1, 0, 0, 0] * 4])  # a square, to the right
    way = tracker.follow(torch.zeros(1, 3), moves, steps)
    torch.testing.assert_close(way[0, -1, 1], torch.tensor([12.0, 0, 0]), atol=1e-5, rtol=0)
    assert way[0, 9, 1].tolist() == pytest.approx([6, 2, 2], abs=1e-5)  # half of it: at the other corner
    torch.testing.assert_close(way[:, 1:, 0], way[:, :-1, 1])
    since = tracker.relative(way[:, 10:], way[:, 9, 1])  # from there on, as if it had begun there
    torch.testing.assert_close(since, tracker.follow(torch.zeros(1, 3), moves[:, 10:], steps[:, 10:]))
    views, here = torch.randn(1, 2, 2, 6, 3), way[:, -1:, 1]
    asked, keys = torch.zeros(1, 1, 2, 6, 2), torch.zeros(1, 2, 2, 6, 2)
    there = torch.stack([way[:, 0, 0], way[:, 0, 0] + torch.tensor([0, 9.0, 0])], dim=1)
    for nearer in (0, 1):
        age = torch.tensor([[[20, 20]]])
        found = view(asked, keys, views, age, here, there if nearer == 0 else there.flip(1))[0, 0, :3, :, 1:-1]
        torch.testing.assert_close(found, views[0, nearer].movedim(-1, 0), atol=0.1, rtol=0)
