"""A map that the view moves over: what left the view is found where it was, and frame by frame is the whole clip."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from tiny import WINDOW

from worldsim.errors import WorldsimError
from worldsim.models.config import WorldModelConfig
from worldsim.models.copy_head import Candidates, CopyConfig, neighbourhood
from worldsim.models.dit import DiTConfig
from worldsim.models.flow import add_noise
from worldsim.models.history import History
from worldsim.models.map_memory import MOVES, STILL, MapMemoryConfig, MapPose, moved_together
from worldsim.models.memory import MemoryConfig
from worldsim.models.palette import weighed
from worldsim.models.world_model import WorldModel

C, H, W, MAP_ROWS = 4, 6, 4, 4  # the last two rows stand
CONFIG = WorldModelConfig(
    dit=DiTConfig((3, 2), width=32, heads=2, depth=2, temporal_layers=(0, 1), denoiser_depth=1, window=WINDOW),
    copy=CopyConfig(1, refiner_width=8, palette=3),
    memory=MemoryConfig(((8, 1), (16, 2)), read_layers=()),
    view=MapMemoryConfig(MAP_ROWS),
).fit((C, H, W), 5)
PATH = (3, 3, 4, 1, 1, 0, 2, 3)  # of MOVES: two steps right, one down, two left, one up, none, one right


@pytest.fixture(scope="module")
def model() -> WorldModel:
    torch.manual_seed(0)
    model = WorldModel(CONFIG).requires_grad_(False)
    for weight in model.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.2)
    return model


def walk(path: tuple[int, ...], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents `[2, len(path) + 1, C, H, W]` of a view that moves over two maps, and its poses `[len(path) + 1, 2]`."""
    generator = torch.Generator().manual_seed(seed)
    maps, stands = (torch.randn(2, C, *size, generator=generator) for size in ((20, 20), (H - MAP_ROWS, W)))
    y, x, frames, poses = 8, 8, [], []
    for move in (STILL, *path):
        y, x = y + MOVES[move][0], x + MOVES[move][1]
        frames.append(torch.cat([maps[..., y : y + MAP_ROWS, x : x + W], stands], dim=-2))
        poses.append((x - 8, y - 8))
    return torch.stack(frames, dim=1), torch.tensor(poses).float()


def test_moves_are_told_from_the_pictures_and_from_how_often_actions_cause_them() -> None:
    frames, poses = walk(PATH)
    tracker, none = MapPose(MAP_ROWS, len(MOVES)), torch.zeros(2, len(PATH), dtype=torch.int64)
    (moves,) = tracker.motion(frames[:, :-1], frames[:, 1:], none)
    assert moves.tolist() == [list(PATH)] * 2
    torch.testing.assert_close(tracker.follow(torch.zeros(2, 2), moves)[0, :, 1], poses[1:])
    mismatch = tracker.mismatch(frames[:, :-1], frames[:, 1:]).flatten(0, 1)
    tracker.learn_moves(mismatch, moves.flatten(), [()] * len(MOVES))  # the action says the move
    blank = torch.zeros(len(MOVES), C, H, W)
    assert tracker.motion(blank, blank, torch.arange(len(MOVES)))[0].tolist() == list(range(len(MOVES)))


def test_what_left_the_view_is_found_where_it_was_and_offered(model: WorldModel) -> None:
    """Two steps right, one down and one left: on the way back, what was seen at first is known beyond the edge."""
    frames, _ = walk((3, 3, 4, 1))
    tokens, actions = model.to_tokens(frames), torch.zeros(2, 5, dtype=torch.int64)
    sure = WorldModel(CONFIG).requires_grad_(False)
    sure.load_state_dict(model.state_dict())
    sure.view.nothing.fill_(-50.0)  # something is always found, where there was something
    features = sure.encode_context(tokens, actions)[0].map(lambda part: part[:, -1])
    assert features.view is not None
    _, left, here, right, _ = sure.view.candidates(features.view).latents.unbind(1)
    torch.testing.assert_close(here[..., :MAP_ROWS, :], here[..., :MAP_ROWS, :])
    seen = frames[:, :-1]  # the view is now one cell right of and one cell below where it began
    torch.testing.assert_close(left[..., :3, :], seen[:, 0, :, 1:MAP_ROWS, :], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(right[..., :MAP_ROWS, :], seen[:, 3, :, :MAP_ROWS, :], atol=1e-4, rtol=1e-4)
    assert not here[..., MAP_ROWS:, :].any()  # the rows that stand are not of the map
    assert (features.view[:, -1, 1 : 1 + MAP_ROWS, -1] > 0.99).all()
    assert not left[..., 3, 0].any()  # never seen


def test_frame_by_frame_is_the_whole_clip_at_once(model: WorldModel) -> None:
    frames, poses = walk(PATH)
    tokens, actions = model.to_tokens(frames), torch.arange(len(PATH) + 1).remainder(5).expand(2, -1)
    features, entries = model.encode_context(tokens, actions)
    history = History(torch.zeros(2, WINDOW, *model.config.entry_shape), torch.zeros(2).long())
    left: list[tuple[torch.Tensor, torch.Tensor | None]] = []
    for t in range(len(PATH)):
        if left:
            memory, kept = zip(*left, strict=True)
            ages = torch.arange(t, 0, -1).expand(2, -1)
            history = history._replace(memory=torch.stack(memory, 1), age=ages, pose=torch.stack(kept, 1))
        here = tokens[:, t : t + 1], actions[:, t : t + 1]
        now, entry = model.encode_context(*here, history)
        for part, whole in zip(now, features, strict=True):
            if part is not None and whole is not None:
                torch.testing.assert_close(part[:, 0], whole[:, t], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(entry[:, 0], entries[:, t], atol=1e-5, rtol=1e-4)
        following = here[0], tokens[:, t + 1 : t + 2], here[1]
        walked = model.poses(*following, history)
        assert walked is not None and torch.equal(walked[0, 0, 1], poses[t + 1])
        memory_entry, pose = model.remember(*following, walked)
        left.append((memory_entry[:, 0], None if pose is None else pose[:, 0]))
        cache = torch.cat([history.cache[:, 1:], entry], dim=1)
        history = history._replace(cache=cache, length=torch.full((2,), min(t + 1, WINDOW)))


def test_a_config_survives_json_and_what_does_not_fit_is_refused() -> None:
    assert WorldModelConfig.from_json(json.loads(json.dumps(dataclasses.asdict(CONFIG)))) == CONFIG
    with pytest.raises(WorldsimError, match="the latents have 3 rows"):
        CONFIG.fit((C, 3, W), 5)
    with pytest.raises(WorldsimError, match=r"view\.rows 1"):
        MapMemoryConfig(1)


@pytest.mark.parametrize("move", range(len(MOVES)))
def test_all_cells_together_say_how_the_view_moves(move: int) -> None:
    """At a signal at which a cell alone says little. A few cells go their own way, and the inventory stands."""
    torch.manual_seed(0)
    before, rows, tau = torch.randn(3, 8, 9, 9), 7, torch.tensor([0.2])
    down, right = MOVES[move]
    after = torch.roll(before, (-down, -right), (-2, -1))
    after[:, :, 2, 2:4] = torch.randn(3, 8, 2)
    noisy = add_noise(after, torch.randn_like(after), tau.expand(3, 8, 9))
    near = weighed(neighbourhood(before, 1), noisy, tau, 1)
    found = weighed(Candidates(torch.randn(3, 5, 8, 9, 9)), noisy, tau, 1)
    both = moved_together(near, found, rows)
    added = [after.bias - before.bias for before, after in zip((near, found), both, strict=True)]
    for source, places in zip(added, ([1, 3, 4, 5, 7], range(5)), strict=True):
        moves = source[:, list(places), 0]
        assert (moves[:, :, rows:] == 0).all() and moves.min() >= -4
        assert (moves[..., 0, 0].argmax(1) == move).all() and (moves[:, move, 0, 0] > 1).all()
        assert ((moves[..., 0, 0] > 0).sum(1) == 1).all()
        for k, (y, x) in enumerate(MOVES):  # who is steered stands in the middle, and is not taken along
            of_middle = moves[:, k, rows // 2 - y, 4 - x]
            assert (of_middle >= 0).all() if k == STILL else (of_middle <= 0).all()
    assert (added[0][:, [0, 2, 6, 8]] == 0).all(), "the view doesn't move along a diagonal"


def test_pure_noise_says_nothing_of_the_view() -> None:
    sources = [Candidates(torch.randn(2, count, 4, 6, 7)) for count in (9, 5)]
    near, found = (weighed(source, torch.randn(2, 4, 6, 7), torch.zeros(1), 1) for source in sources)
    for source, same in zip(moved_together(near, found, 4), (near, found), strict=True):
        torch.testing.assert_close(source.bias, same.bias, atol=1e-5, rtol=0)


def test_the_view_is_followed_over_a_meadow_with_trees():
    """Most of what is seen looks alike, who is steered stands in the middle, and a step often fails."""
    generator = torch.Generator().manual_seed(0)
    count, size = 400, 40
    tree, player = 2 * torch.randn(2, 8, generator=generator)
    land = torch.zeros(8, size, size)
    land[:, torch.rand(size, size, generator=generator) < 0.15] = tree[:, None]
    actions = torch.randint(0, len(MOVES), (count,), generator=generator)
    goes = torch.rand(count, generator=generator) < 0.7

    def view(y: int, x: int) -> torch.Tensor:
        seen = land[:, y : y + 7, x : x + 9].clone()
        seen[:, 3, 4] = player
        return seen + 0.2 * torch.randn(seen.shape, generator=generator)

    y, x, frames, moves = 16, 16, [view(16, 16)], []
    for action, may in zip(actions.tolist(), goes.tolist(), strict=True):
        move = action if may and 0 < y < size - 8 and 0 < x < size - 10 else STILL
        moves.append(move)
        y, x = y + MOVES[move][0], x + MOVES[move][1]
        frames.append(view(y, x))
    seen, tracker = torch.stack(frames), MapPose(7, len(MOVES))
    tracker.learn_moves(tracker.mismatch(seen[:-1], seen[1:]), actions, [()] * len(MOVES))
    (found,) = tracker.motion(seen[:-1], seen[1:], actions)
    assert (found == torch.tensor(moves)).float().mean() > 0.97
    assert tracker.log_prob.exp()[0, 0] == pytest.approx(0.7, abs=0.1)
