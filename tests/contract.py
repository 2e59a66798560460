"""What every world keeps, real or generated: subclass `WorldContract`, name the Gymnasium id, and pytest checks it.

class TestMyWorld(WorldContract):
    gym_id = "worldsim/MyWorld-v0"
"""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import worldsim_envs  # noqa: F401  (registers the ids)
from worldsim.errors import WorldsimError


class WorldContract:
    """The contract; `make` can be overridden where a world has no id."""

    gym_id: str
    steps = 12

    def make(self, render_mode: str | None = "rgb_array") -> Any:
        return gym.make(self.gym_id, render_mode=render_mode, disable_env_checker=True).unwrapped

    @pytest.fixture
    def env(self):
        env = self.make()
        yield env
        env.close()

    def play(self, env: Any, seed: int) -> list[tuple[np.ndarray, float, bool, bool, dict[str, Any]]]:
        """A reset and some steps with the same actions each time."""
        observation, info = env.reset(seed=seed)
        history = [(observation, 0.0, False, False, info)]
        for action in np.random.default_rng(0).integers(env.action_space.n, size=self.steps):
            history.append(env.step(action))
            if history[-1][2] or history[-1][3]:
                break
        return history

    def test_check_env_without_a_warning(self):
        env = self.make()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_env(env, skip_render_check=env.spec is None)

    def test_spaces_are_the_spec_s(self, env):
        world = env.world
        assert env.observation_space == gym.spaces.Box(0, 255, (world.height, world.width, 3), np.uint8)
        assert env.action_space == gym.spaces.Discrete(len(world.actions))
        assert env.metadata["render_fps"] == world.fps
        for observation, reward, terminated, truncated, info in self.play(env, 0):
            assert env.observation_space.contains(observation)
            assert isinstance(reward, float) and isinstance(terminated, bool) and isinstance(truncated, bool)
            if world.state_names:
                assert info["state"].shape == (len(world.state_names),) and info["state"].dtype == np.float32

    def test_same_seed_same_play(self, env):
        first = self.play(env, 3)
        other = self.make()
        for again in (self.play(env, 3), self.play(other, 3)):
            assert len(first) == len(again)
            for a, b in zip(first, again, strict=True):
                np.testing.assert_array_equal(a[0], b[0])
                assert a[1:4] == b[1:4]
                assert a[4].keys() == b[4].keys()
                for key in a[4]:
                    np.testing.assert_array_equal(a[4][key], b[4][key])
        other.close()

    def test_a_reset_without_seed_goes_on_with_the_last_one(self, env):
        env.reset(seed=1)
        first = env.reset()[0]
        env.reset(seed=1)
        np.testing.assert_array_equal(first, env.reset()[0])

    def test_seeds_matter(self, env):
        frames = [self.play(env, seed)[-1][0] for seed in range(4)]
        assert any((frames[0] != frame).any() for frame in frames[1:])

    def test_actions_matter(self, env):
        ends = []
        for action in range(env.action_space.n):
            env.reset(seed=2)
            ends.append([env.step(action)[0] for _ in range(self.steps)][-1])
        assert any((ends[0] != end).any() for end in ends[1:])

    @pytest.mark.parametrize("action", [-1, 99])
    def test_an_unknown_action_is_one_error(self, env, action):
        env.reset(seed=0)
        with pytest.raises(WorldsimError, match=r"action"):
            env.step(action)

    def test_every_action_has_its_keys(self, env):
        keys = env.get_keys_to_action()
        assert set(keys.values()) == set(range(env.action_space.n))
        assert keys[()] == env.world.noop
        assert all(tuple(sorted(combination)) == combination for combination in keys)

    def test_render_is_the_observation_and_a_copy(self, env):
        observation = self.play(env, 0)[-1][0]
        np.testing.assert_array_equal(env.render(), observation)
        env.render()[:] = 0
        kept = observation.copy()
        observation[:] = 0
        np.testing.assert_array_equal(env.render(), kept)

    def test_a_window_shows_what_is_observed(self, monkeypatch):
        import pygame

        monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
        env = self.make("human")
        observation = env.reset(seed=0)[0]
        observation = env.step(env.world.noop)[0]
        assert env.render() is None
        shown = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
        scale = shown.shape[0] // observation.shape[0]
        assert scale >= 1
        np.testing.assert_array_equal(shown[::scale, ::scale], observation)
        env.close()
        assert pygame.display.get_surface() is None
