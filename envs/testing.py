"""What every world keeps, real or generated: subclass `WorldContract`, name the Gymnasium id, and pytest checks it.

class TestMyWorld(WorldContract):
    gym_id = "worldsim/MyWorld-v0"

`CloneContract` is for those that can be cloned, one or many at once; `VectorContract` for many at once.
"""

from __future__ import annotations

import abc
import copy
import pickle
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

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

    @pytest.mark.parametrize("action", [-1, 99, 0.5, "left"])
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


def assert_same(a: Any, b: Any) -> None:
    """Equal to the bit and of the same types, however deep."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        a, b = list(a.values()), list(b.values())
    if isinstance(a, (list, tuple)) or (isinstance(a, np.ndarray) and a.dtype.hasobject):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    else:
        assert getattr(a, "dtype", None) == getattr(b, "dtype", None)
        np.testing.assert_array_equal(a, b)


class CloneContract(abc.ABC):
    """`make` gives an environment, or a vector of them; `steps` without an end, or with autoreset."""

    steps = 6

    @abc.abstractmethod
    def make(self) -> Any:
        """The environment, or several."""

    def follow(self, env: Any) -> list[Any]:
        """Some steps with the same actions each time, and a reset of no seed, which tells how chance stands."""
        rng = np.random.default_rng(1)
        count = len(env.world.actions)
        history = [env.step(rng.integers(count, size=env.action_space.shape)[()]) for _ in range(self.steps)]
        return [*history, env.reset(), env.step(env.action_space.sample() * 0)]

    @pytest.fixture
    def played(self):
        env = self.make()
        env.reset(seed=5)
        self.follow(env)
        yield env
        env.close()

    def test_restored_is_never_left(self, played):
        clone = played.clone_state()
        before = played.render()
        first = self.follow(played)
        for _ in range(2):
            observation, _ = played.restore_state(clone)
            np.testing.assert_array_equal(observation, np.array(before))
            np.testing.assert_array_equal(played.render(), np.array(before))
            assert_same(self.follow(played), first)

    def test_restored_in_another_one(self, played):
        clone = pickle.loads(pickle.dumps(played.clone_state()))
        first = self.follow(played)
        other = self.make()
        other.restore_state(clone)
        assert_same(self.follow(other), first)
        other.close()

    def test_the_info_of_a_restored_one_is_that_of_its_last_frame(self, played):
        seen = played.step(played.action_space.sample() * 0)
        observation, info = played.restore_state(played.clone_state())
        assert_same(observation, seen[0])
        assert_same({name: info[name] for name in seen[-1]}, seen[-1])

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
    def test_a_copy_goes_on_and_leaves_the_original_alone(self, played, copied):
        copies = [copied(played), copied(played)]
        first = self.follow(copies[0])
        assert_same(self.follow(played), first)
        assert_same(self.follow(copies[1]), first)

    def test_a_copy_of_one_that_has_not_begun(self):
        env = self.make()
        other = pickle.loads(pickle.dumps(copy.deepcopy(env)))
        assert_same(env.reset(seed=3), other.reset(seed=3))

    @pytest.mark.parametrize("junk", [None, b"junk", b"{}", b"[]"])
    def test_no_state_at_all_is_one_error(self, played, junk):
        before = played.clone_state()
        with pytest.raises(WorldsimError, match="state"):
            played.restore_state(junk)
        first = self.follow(played)
        played.restore_state(before)
        assert_same(self.follow(played), first)


class VectorContract(abc.ABC):
    """What Gymnasium says of vector environments; `make` and `make_single` give the many and one of them."""

    count = 3
    most = 4

    @abc.abstractmethod
    def make(self, mode: AutoresetMode = AutoresetMode.NEXT_STEP) -> Any:
        """`count` rows whose episodes are truncated after `most` steps."""

    @abc.abstractmethod
    def make_single(self) -> Any:
        """One of them."""

    def actions(self, step: int) -> np.ndarray:
        return (np.arange(self.count) + step) % 3

    @pytest.fixture(params=list(AutoresetMode), ids=lambda mode: mode.value)
    def envs(self, request):
        envs = self.make(request.param)
        yield envs
        envs.close()

    def test_spaces_and_mode(self, envs):
        single = self.make_single()
        assert envs.single_observation_space == single.observation_space
        assert envs.single_action_space == single.action_space
        assert envs.observation_space == gym.vector.utils.batch_space(single.observation_space, self.count)
        assert envs.action_space == gym.vector.utils.batch_space(single.action_space, self.count)
        assert envs.num_envs == self.count
        assert envs.metadata["autoreset_mode"] is envs.autoreset_mode
        observations, infos = envs.reset(seed=0)
        assert envs.observation_space.contains(observations)
        for name in [name for name in infos if not name.startswith("_")]:
            assert len(infos[name]) == self.count and infos[f"_{name}"].all()
        observations, rewards, terminated, truncated, _ = envs.step(envs.action_space.sample())
        assert envs.observation_space.contains(observations)
        assert rewards.dtype == np.float64 and terminated.dtype == truncated.dtype == np.bool_
        assert rewards.shape == terminated.shape == truncated.shape == (self.count,)
        for frame, row in zip(envs.render(), observations, strict=True):
            np.testing.assert_array_equal(frame, row)

    def test_seeds_are_of_rows(self, envs):
        first = envs.reset(seed=5)
        assert envs.np_random_seed == (5, 6, 7)
        again = [envs.step(self.actions(0)) for _ in range(1)]
        assert_same(envs.reset(seed=[5, 6, 7]), first)
        assert_same([envs.step(self.actions(0)) for _ in range(1)], again)
        kept = envs.reset(seed=[5, None, 7])[0]
        np.testing.assert_array_equal(kept[[0, 2]], first[0][[0, 2]])

    def test_an_array_that_was_handed_out_is_the_caller_s(self, envs):
        observations, _ = envs.reset(seed=1)
        kept = observations.copy()
        envs.step(self.actions(0))
        np.testing.assert_array_equal(observations, kept)

    def test_rows_that_are_reset_leave_the_others(self, envs):
        envs.reset(seed=0)
        before = envs.step(self.actions(0))[0]
        options = {"reset_mask": np.array([False, True, False])}
        observations, infos = envs.reset(seed=[9, 8, 9], options=options)
        np.testing.assert_array_equal(observations[[0, 2]], before[[0, 2]])
        np.testing.assert_array_equal(observations[1], self.make_single().reset(seed=8)[0])
        assert all(infos[name].tolist() == [False, True, False] for name in infos if name.startswith("_"))

    def until_the_end(self, envs: Any) -> tuple[Any, np.ndarray]:
        envs.reset(seed=0)
        for step in range(self.most):
            seen = envs.step(self.actions(step))
            if (over := seen[2] | seen[3]).any():
                return seen, over
        raise AssertionError("no episode ended")

    def test_reset_in_the_next_step(self):
        envs = self.make(AutoresetMode.NEXT_STEP)
        seen, over = self.until_the_end(envs)
        chance = copy.deepcopy(envs.np_random)
        assert "final_obs" not in seen[4]
        observations, rewards, terminated, truncated, _ = envs.step(self.actions(0))
        assert not terminated[over].any() and not truncated[over].any() and not rewards[over].any()
        self.assert_reset(observations, over, chance)

    def test_reset_in_the_same_step(self):
        envs, other = self.make(AutoresetMode.SAME_STEP), self.make(AutoresetMode.NEXT_STEP)
        seen, over = self.until_the_end(envs)
        last, _ = self.until_the_end(other)
        self.assert_reset(seen[0], over, other.np_random)
        infos = seen[4]
        assert_same(infos["_final_obs"], over)
        assert_same(infos["_final_info"], over)
        for row in range(self.count):
            if over[row]:
                np.testing.assert_array_equal(infos["final_obs"][row], last[0][row])
            else:
                assert infos["final_obs"][row] is None
                np.testing.assert_array_equal(seen[0][row], last[0][row])
        for name, values in infos["final_info"].items():
            expected = over if name.startswith("_") else last[4][name][over]
            np.testing.assert_array_equal(values if name.startswith("_") else values[over], expected)

    def test_no_reset_by_itself(self):
        envs = self.make(AutoresetMode.DISABLED)
        _, over = self.until_the_end(envs)
        with pytest.raises((gym.error.ResetNeeded, AssertionError)):
            envs.step(self.actions(0))
        chance = copy.deepcopy(envs.np_random)
        observations, _ = envs.reset(options={"reset_mask": over})
        self.assert_reset(observations, over, chance)
        envs.step(self.actions(0))

    def assert_reset(self, observations: np.ndarray, over: np.ndarray, chance: Any) -> None:
        """That these rows begin as one would whose random generator is theirs."""
        single = self.make_single()
        for row in np.flatnonzero(over):
            single.np_random = copy.deepcopy(chance[row])
            np.testing.assert_array_equal(observations[row], single.reset()[0])
