"""The real worlds: the contract, and what each of them promises beyond it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pygame
import pytest
from gymnasium.wrappers import MaxAndSkipObservation

from worldsim.errors import WorldsimError
from worldsim_envs.base import RealEnv
from worldsim_envs.doom.maze import NEAR
from worldsim_envs.gym_adapter import GymWorld
from worldsim_envs.registry import import_real, make_real
from worldsim_envs.testing import CloneContract, WorldContract
from worldsim_policies.base import make_explorer
from worldsim_policies.scripted.doom_maze import ARMOUR, MazeMap


class TestFreeway(WorldContract):
    """A road, ten cars, a chicken."""

    gym_id = "worldsim/FreewayReal-v0"

    def test_state_is_where_things_are_in_the_frame(self, env):
        env.reset(seed=0)
        for _ in range(30):
            frame, _, _, _, info = env.step(1)
        empty = np.median([env.step(1)[0] for _ in range(200)], axis=0)
        moved = np.abs(frame.astype(int) - empty).max(-1) > 40
        chicken = info["state"][0]
        rows = np.flatnonzero(moved[:, 27:31].any(1))
        assert np.abs(rows + 0.5 - chicken).min() < 3
        for lane, car in enumerate(info["state"][2:]):
            middle = round(107.3 - 9.75 * lane)
            columns = np.flatnonzero(moved[middle - 2 : middle + 3].any(0) & (np.abs(np.arange(96) - 29) > 4))
            if 3 < car < 93 and abs(car - 29) > 8:
                assert np.abs(columns + 0.5 - car).max() < 4, f"lane {lane}: car at {car}, pixels at {columns}"

    def test_up_crosses_the_road_for_a_point(self, env):
        env.reset(seed=1)
        rewards, scores, rows = [], [], []
        for _ in range(400):
            _, reward, _, _, info = env.step(1)
            rewards.append(reward)
            scores.append(info["state"][1])
            rows.append(info["state"][0])
        assert sum(rewards) >= 1
        assert scores[-1] == sum(rewards)
        assert rows[1] > rows[8]

    def test_another_size(self):
        env = make_real("atari-freeway", height=64, width=48)
        assert env.reset(seed=0)[0].shape == (64, 48, 3)
        env.close()


class TestDoomMaze(WorldContract):
    """Rooms and corridors."""

    gym_id = "worldsim/DoomMazeReal-v0"

    @pytest.mark.parametrize("action", ["turn-left", "turn-right"])
    def test_forty_frames_of_turning_are_one_whole_turn(self, env, action):
        before, info = env.reset(seed=4)
        start = math.degrees(math.atan2(*info["state"][2:4]))
        angles = []
        for _ in range(40):
            after, _, _, _, info = env.step(env.world.action_index(action))
            angles.append(math.degrees(math.atan2(*info["state"][2:4])))
        turns = (np.diff([start, *angles]) + 180) % 360 - 180
        np.testing.assert_allclose(turns, 9 if action == "turn-left" else -9, atol=0.01)
        assert np.abs(after.astype(int) - before).mean() < 2

    def test_walking_ends_at_a_wall_that_fills_the_view(self, env):
        env.reset(seed=4)
        for _ in range(120):
            _, _, _, _, info = env.step(env.world.action_index("forward"))
        x, y = info["state"][:2]
        _, _, _, _, info = env.step(env.world.action_index("forward"))
        assert math.dist((x, y), info["state"][:2]) < 1
        assert info["state"][4] < NEAR

    def test_the_armour_pays_one_and_ends_the_episode(self, env):
        observation, info = env.reset(seed=0)
        explorer = make_explorer("doom-maze", np.random.default_rng(0))
        explorer(observation, info)
        explorer._set_out(explorer._map.cell(*ARMOUR))
        total = 0.0
        for _ in range(2500):
            state = info["state"]
            action = explorer._walk(state[0], state[1], math.atan2(state[2], state[3]))
            observation, reward, terminated, truncated, info = env.step(action)
            total += reward
            if terminated:
                break
        assert terminated and not truncated and total == 1.0

    def test_no_clock_ends_an_episode(self, env):
        env.reset(seed=0)
        assert not any(env.step(0)[2] for _ in range(1100))

    def test_the_map_has_every_room_and_no_way_through_walls(self, env):
        walls = env.reset(seed=0)[1]["walls"]
        maze = MazeMap(walls, (464, -60))
        costs = maze.costs(maze.cell(464, -60))
        assert len(costs) > 1500
        assert maze.cell(*ARMOUR) in costs
        assert all(maze.room(*maze.place(cell)) >= 20 for cell in costs)

    def test_the_explorer_sees_more_than_walls(self, env):
        near, places, held = [], set(), []
        for seed in range(3):
            explorer = make_explorer("doom-maze", np.random.default_rng(seed))
            observation, info = env.reset(seed=seed)
            for _ in range(500):
                action = explorer(observation, info)
                observation, _, _, _, info = env.step(action)
                near.append(info["state"][4] < NEAR)
                places.add((info["state"][0] // 160, info["state"][1] // 160))
                held.append(action)
        assert np.mean(near) < 0.15
        assert len(places) >= 10
        assert np.bincount(held, minlength=6).min() > 0.04 * len(held)

    def test_only_4_to_3(self):
        with pytest.raises(WorldsimError, match="4:3"):
            make_real("doom-maze", height=64, width=64)
        env = make_real("doom-maze", height=96, width=128)
        assert env.reset(seed=0)[0].shape == (96, 128, 3)
        env.close()


class TestFreewayClone(CloneContract):
    """Played again."""

    def make(self):
        return make_real("atari-freeway", render_mode="rgb_array")


class TestDoomMazeClone(CloneContract):
    """Played again."""

    def make(self):
        return make_real("doom-maze", render_mode="rgb_array")


def test_what_has_not_begun_cannot_be_saved():
    env = make_real("atari-freeway")
    with pytest.raises(WorldsimError, match="call reset"):
        env.clone_state()


class TestMiniGrid(WorldContract):
    """One that nobody prepared."""

    def make(self, render_mode="rgb_array"):
        return GymWorld("MiniGrid-DoorKey-8x8-v0", height=48, width=64, render_mode=render_mode)

    def test_actions_have_names(self, env):
        assert [action.name for action in env.world.actions][:3] == ["left", "right", "forward"]
        assert env.world.action_for({"ArrowUp"}) == 2


def test_a_game_s_own_keys():
    env = make_real("ALE/Pong-v5")
    assert env.world.actions[env.world.noop].name == "noop"
    assert env.world.action_for({"Space", "KeyD"}) == env.world.action_index("rightfire")
    assert (env.world.height % 16, env.world.width % 16) == (0, 0)
    env.close()


class Odd(gym.Env):
    """Names keys of its own, and rewards as it is told to."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 40}
    observation_space = gym.spaces.Discrete(1)
    action_space = gym.spaces.Discrete(7)

    def __init__(self, render_mode: str | None = None, reward: Any = 0.0, frame_skip: int = 1):
        self.render_mode, self.reward, self.frame_skip = render_mode, reward, frame_skip

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action: int):
        return 0, self.reward, False, False, {}

    def render(self) -> np.ndarray:
        return np.zeros((32, 32, 3), np.uint8)

    def get_keys_to_action(self) -> dict[Any, int]:
        shift, left = pygame.K_LSHIFT, pygame.K_LEFT
        return {(): 0, (shift,): 1, ",": 2, (";", shift): 3, (ord("["), left): 4, pygame.K_PAGEUP: 5, ("no key",): 6}


@pytest.fixture
def odd():
    """`odd(**options)`: the odd environment as a world."""
    made = []

    def make(wrap: Callable[[gym.Env], gym.Env] = lambda env: env, **options: Any) -> RealEnv:
        gym.register("Odd-v0", entry_point=lambda **given: wrap(Odd(**given, **options)))
        made.append(make_real("Odd-v0"))
        return made[-1]

    yield make
    for env in made:
        env.close()
    gym.registry.pop("Odd-v0", None)


def test_keys_that_a_game_names_can_be_pressed(odd):
    env = odd()
    ways = [("ShiftLeft",), ("Comma",), ("Semicolon", "ShiftLeft"), ("ArrowLeft", "BracketLeft"), ("PageUp",)]
    for action, held in enumerate(ways, 1):
        assert env.world.action_for(held) == action
    assert env.world.action_for({"Digit1"}) == 6  # whose own key there is not
    keys = env.get_keys_to_action()
    assert keys[(pygame.K_LSHIFT,)] == 1 and keys[(pygame.K_SEMICOLON, pygame.K_LSHIFT)] == 3


@pytest.mark.parametrize("reward", [np.array([0.5]), np.float32(0.5), np.array(0.5), 0.5, [0.5]])
def test_a_reward_is_one_number(odd, reward):
    env = odd(reward=reward)
    env.reset(seed=0)
    paid = env.step(1)[1]
    assert type(paid) is float and paid == 0.5


@pytest.mark.parametrize(
    ("reward", "words"),
    [
        (float("nan"), "gave the reward nan, which is not finite"),
        (-np.inf, "gave the reward -inf, which is not finite"),
        (1e39, "gave the reward 1e.39, which is not finite in float32"),
        (np.zeros(2), "not one number"),
        ("much", "not one number"),
        (None, "not finite"),
    ],
)
def test_a_reward_that_nothing_can_learn_is_one_error(odd, reward, words):
    env = odd(reward=reward)
    env.reset(seed=0)
    with pytest.raises(WorldsimError, match=f"Odd-v0 .*{words}"):
        env.step(1)


def test_the_clock_counts_observations(odd):
    for name, skip in (("ALE/Boxing-v5", 4), ("BoxingNoFrameskip-v4", 1), ("Boxing-v4", 3)):  # v4 skips 2 to 4
        env = make_real(name)
        assert (env.world.fps, env.world.frame_skip) == (60 / skip, skip)
        env.close()
    world = odd(frame_skip=2).world
    assert (world.fps, world.frame_skip) == (40, 2)  # render_fps is of what it shows
    gym.registry.pop("Odd-v0")
    world = odd(lambda env: MaxAndSkipObservation(env, 4), frame_skip=2).world
    assert (world.fps, world.frame_skip) == (10, 8)


def test_no_idle_action_makes_the_first_one_idle():
    env = make_real("CartPole-v1")
    assert env.world.noop == 0 and env.world.fps == 50
    assert env.world.action_for({"Digit1"}) == 1
    env.close()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NoSuchWorld-v0", "package:NoSuchWorld-v0"),
        ("CartPole-v9", "version"),
        ("nosuchpackage:X-v0", "nosuchpackage"),
        ("Pendulum-v1", "Box actions"),
        ("LunarLander-v3", "install"),
    ],
)
def test_what_cannot_be_recorded_says_why(name, words):
    with pytest.raises(WorldsimError, match=words):
        import_real(name)


@pytest.mark.parametrize(
    ("name", "module", "extra"), [("doom-maze", "vizdoom", "doom"), ("atari-freeway", "ale_py", "atari")]
)
def test_a_missing_package_names_its_extra(monkeypatch, name, module, extra):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(WorldsimError, match=rf"pip install '\.\[{extra}\]'"):
        make_real(name)


def test_no_explorer_for_a_stranger():
    with pytest.raises(WorldsimError, match="no explorer"):
        make_explorer("stranger", np.random.default_rng(0))


@pytest.mark.parametrize("world", ["atari-freeway", "doom-maze", "CartPole-v1"])
def test_the_same_chance_makes_the_same_explorer(world):
    env = make_real(world)
    plays = []
    for _ in range(2):
        explorer = make_explorer(world, np.random.default_rng(7), env.action_space.n)
        observation, info = env.reset(seed=7)
        actions = []
        for _ in range(8):
            actions.append(explorer(observation, info))
            observation, _, _, _, info = env.step(actions[-1])
        plays.append(actions)
    assert plays[0] == plays[1]
    env.close()
