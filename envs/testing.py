"""Contract suites for environments of worlds, for pytest: subclass one, and say how the environment is made.

For an environment of your own, in a test file of your own:

    import pytest
    from worldsim_envs.testing import CloneContract, VectorContract, WorldContract

    class TestMyWorld(WorldContract):          # any WorldEnv: spaces, seeds, actions, rendering, windows, keys, ends
        def make(self, render_mode="rgb_array"):
            return MyWorldEnv(render_mode=render_mode)

    class TestMyWorldClone(CloneContract):     # one, or a vector of them, with clone_state() and restore_state()
        def make(self):
            return MyWorldEnv(render_mode="rgb_array")

    class TestMyVector(VectorContract):        # a vector environment, against its single one
        def make(self, mode=AutoresetMode.NEXT_STEP):
            return MyVectorEnv(self.count, max_episode_steps=self.most, autoreset_mode=mode)
        def make_single(self):
            return MyWorldEnv()

A world that is registered needs no `make`: `gym_id = "mine/MyWorld-v0"` is enough. The suites ask what
`worldsim_envs.base.WorldEnv` gives to an environment that derives from it.
"""

from __future__ import annotations

import abc
import copy
import multiprocessing
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import worldsim_envs  # noqa: F401  (registers the ids)
from worldsim.errors import WorldsimError

DISPLAYS = ("SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER", "DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR")


class WorldContract:
    """What every world keeps, real or generated."""

    gym_id: str
    steps = 12

    def make(self, render_mode: str | None = "rgb_array") -> Any:
        """One of it; override where a world has no id."""
        return gym.make(self.gym_id, render_mode=render_mode, disable_env_checker=True).unwrapped

    @pytest.fixture
    def env(self) -> Iterator[Any]:
        env = self.make()
        yield env
        env.close()

    @pytest.fixture
    def human(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
        """One with a window, on a display that nobody sees."""
        monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
        env = self.make("human")
        yield env
        env.close()

    def play(self, env: Any, seed: int) -> list[tuple[np.ndarray, float, bool, bool, dict[str, Any]]]:
        """A reset and some steps with the same actions each time, to the end of the episode at most."""
        observation, info = env.reset(seed=seed)
        history = [(observation, 0.0, False, False, info)]
        for action in np.random.default_rng(0).integers(env.action_space.n, size=self.steps):
            history.append(env.step(action))
            if history[-1][2] or history[-1][3]:
                break
        return history

    def test_check_env_without_a_warning(self) -> None:
        env = self.make()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_env(env, skip_render_check=env.spec is None)

    def test_check_env_of_a_window_without_a_display(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import pygame

        pygame.display.quit()
        for name in DISPLAYS:
            monkeypatch.delenv(name, raising=False)
        env = self.make("human")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "no display")
            check_env(env, skip_render_check=env.spec is None)
        pygame.display.quit()

    def test_spaces_are_the_spec_s(self, env: Any) -> None:
        world = env.world
        assert env.observation_space == gym.spaces.Box(0, 255, (world.height, world.width, 3), np.uint8)
        assert env.action_space == gym.spaces.Discrete(len(world.actions))
        assert isinstance(env.metadata["render_fps"], int) and abs(env.metadata["render_fps"] - world.fps) <= 0.5
        for observation, reward, terminated, truncated, info in self.play(env, 0):
            assert env.observation_space.contains(observation)
            assert isinstance(reward, float) and isinstance(terminated, bool) and isinstance(truncated, bool)
            if world.state_names:
                assert info["state"].shape == (len(world.state_names),) and info["state"].dtype == np.float32

    def test_same_seed_same_play(self, env: Any) -> None:
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

    def test_a_reset_without_seed_goes_on_with_the_last_one(self, env: Any) -> None:
        env.reset(seed=1)
        first = env.reset()[0]
        env.reset(seed=1)
        np.testing.assert_array_equal(first, env.reset()[0])

    def test_seeds_matter(self, env: Any) -> None:
        frames = [self.play(env, seed)[-1][0] for seed in range(4)]
        assert any((frames[0] != frame).any() for frame in frames[1:])

    def test_actions_matter(self, env: Any) -> None:
        plays: list[list[np.ndarray]] = []
        for action in range(env.action_space.n):
            env.reset(seed=2)
            plays.append([])
            for _ in range(self.steps):
                frame, _, terminated, truncated, _ = env.step(action)
                plays[-1].append(frame)
                if terminated or truncated:
                    break
        assert any((a != b).any() for play in plays[1:] for a, b in zip(plays[0], play, strict=False))

    @pytest.mark.parametrize("action", [-1, 99, 0.5, 1.0, "left", None, np.array([1]), np.float32(1), [1]])
    def test_an_unknown_action_is_one_error(self, env: Any, action: Any) -> None:
        env.reset(seed=0)
        with pytest.raises(WorldsimError, match=r"action"):
            env.step(action)

    def test_an_action_is_what_the_space_contains(self, env: Any) -> None:
        frames = []
        for action in (1, np.int64(1), np.uint8(1), np.array(1), True):
            assert env.action_space.contains(action)
            env.reset(seed=0)
            frames.append(env.step(action)[0])
        for frame in frames[1:]:
            np.testing.assert_array_equal(frame, frames[0])

    def test_an_unknown_option_is_one_error(self, env: Any) -> None:
        if env.reset_options is None:
            pytest.skip("takes the options of the environment inside")
        before = env.reset(seed=0)[0]
        with pytest.raises(WorldsimError, match=r"no option 'strat'; (there are .*start|it takes none|there are )"):
            env.reset(options={"strat": 1})
        np.testing.assert_array_equal(env.reset(seed=0)[0], before)

    def test_no_step_before_a_reset_or_after_the_end_or_when_closed(self) -> None:
        env = self.make()
        with pytest.raises(gym.error.ResetNeeded, match="has not begun"):
            env.step(0)
        *_, (_, _, terminated, truncated, _) = self.play(env, 0)
        if terminated or truncated:
            with pytest.raises(gym.error.ResetNeeded, match="has ended"):
                env.step(0)
        env.close()
        env.close()
        for call in (lambda: env.step(0), lambda: env.reset(seed=0)):
            with pytest.raises(gym.error.ClosedEnvironmentError, match=r"closed"):
                call()

    def test_every_action_has_its_keys(self, env: Any) -> None:
        keys = env.get_keys_to_action()
        assert set(keys.values()) == set(range(env.action_space.n)) - {env.world.noop}
        assert all(combination and tuple(sorted(combination)) == combination for combination in keys)

    def test_gymnasium_plays_it(self, env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """By `gymnasium.utils.play`: keys are pressed and let go, and the window is closed."""
        import pygame
        from gymnasium.utils.play import play

        monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
        noop, (held, action) = env.world.noop, list(env.get_keys_to_action().items())[-1]
        taken: list[int] = []

        def after_a_step(before: Any, after: Any, chosen: int, *rest: Any) -> None:
            taken.append(chosen)
            for moment, kind in ((2, pygame.KEYDOWN), (4, pygame.KEYUP)):
                if len(taken) == moment:
                    for key in held:
                        pygame.event.post(pygame.Event(kind, key=key))
            if len(taken) == 6:
                pygame.event.post(pygame.Event(pygame.QUIT))

        play(env, callback=after_a_step, seed=0, noop=noop)
        assert taken == [noop, noop, action, action, noop, noop]

    def test_render_is_the_observation_and_a_copy(self, env: Any) -> None:
        observation = self.play(env, 0)[-1][0]
        np.testing.assert_array_equal(env.render(), observation)
        env.render()[:] = 0
        kept = observation.copy()
        observation[:] = 0
        np.testing.assert_array_equal(env.render(), kept)

    def test_a_window_shows_what_is_observed(self, human: Any) -> None:
        import pygame

        observation = human.reset(seed=0)[0]
        observation = human.step(human.world.noop)[0]
        assert human.render() is None
        surface = pygame.display.get_surface()
        assert surface is not None
        shown = pygame.surfarray.array3d(surface).swapaxes(0, 1)
        scale = shown.shape[0] // observation.shape[0]
        assert scale >= 1
        np.testing.assert_array_equal(shown[::scale, ::scale], observation)
        human.close()
        assert pygame.display.get_surface() is None

    def test_a_window_that_is_closed_ends_the_episode(self, human: Any) -> None:
        import pygame

        human.reset(seed=0)
        pygame.event.post(pygame.Event(pygame.QUIT))
        _, _, terminated, truncated, _ = human.step(human.world.noop)
        assert terminated or truncated
        assert pygame.display.get_surface() is None
        with pytest.raises(gym.error.ClosedEnvironmentError, match="window"):
            human.step(human.world.noop)


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


def sent(value: Any) -> Any:
    """A value as it comes out of a queue between processes: so the workers of a vector get environments and states."""
    queue: Any = multiprocessing.Queue()
    queue.put(value)
    return queue.get(timeout=60)  # what can't be sent never comes


class CloneContract(abc.ABC):
    """`make` gives an environment that can be cloned, or a vector of them with autoreset."""

    steps = 6

    @abc.abstractmethod
    def make(self) -> Any:
        """The environment, or several."""

    def follow(self, env: Any) -> list[Any]:
        """Some steps with the same actions each time, and a reset of no seed, which shows how the generator stands."""
        rng, history = np.random.default_rng(1), []
        for _ in range(self.steps):
            history.append(env.step(rng.integers(len(env.world.actions), size=env.action_space.shape)[()]))
            if env.action_space.shape == () and (history[-1][2] or history[-1][3]):
                history.append(env.reset())
        return [*history, env.reset()]

    @pytest.fixture
    def played(self) -> Iterator[Any]:
        env = self.make()
        env.reset(seed=5)
        self.follow(env)
        yield env
        env.close()

    def test_restored_is_never_left(self, played: Any) -> None:
        clone = played.clone_state()
        before = played.render()
        first = self.follow(played)
        for _ in range(2):
            observation, _ = played.restore_state(clone)
            np.testing.assert_array_equal(observation, np.array(before))
            np.testing.assert_array_equal(played.render(), np.array(before))
            assert_same(self.follow(played), first)

    def test_restored_in_another_one(self, played: Any) -> None:
        clone = sent(played.clone_state())
        first = self.follow(played)
        other = self.make()
        other.restore_state(clone)
        assert_same(self.follow(other), first)
        other.close()

    def test_the_info_of_a_restored_one_is_that_of_its_last_frame(self, played: Any) -> None:
        seen = played.step(played.action_space.sample() * 0)
        observation, info = played.restore_state(played.clone_state())
        assert_same(observation, seen[0])
        assert_same({name: info[name] for name in seen[-1]}, seen[-1])

    @pytest.mark.parametrize("copied", [copy.deepcopy, sent])
    def test_a_copy_goes_on_and_leaves_the_original_alone(self, played: Any, copied: Callable[[Any], Any]) -> None:
        copies = [copied(played), copied(played)]
        first = self.follow(copies[0])
        assert_same(self.follow(played), first)
        assert_same(self.follow(copies[1]), first)

    def test_a_copy_of_one_that_has_not_begun(self) -> None:
        env = self.make()
        other = sent(copy.deepcopy(env))
        assert_same(env.reset(seed=3), other.reset(seed=3))

    @pytest.mark.parametrize("junk", [None, b"junk", b"{}", b"[]"])
    def test_no_state_at_all_is_one_error(self, played: Any, junk: Any) -> None:
        before = played.clone_state()
        with pytest.raises(WorldsimError, match="state"):
            played.restore_state(junk)
        first = self.follow(played)
        played.restore_state(before)
        assert_same(self.follow(played), first)


class VectorContract(abc.ABC):
    """What Gymnasium documents of vector environments; `make` and `make_single` give the many and one of them."""

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
    def envs(self, request: pytest.FixtureRequest) -> Iterator[Any]:
        envs = self.make(request.param)
        yield envs
        envs.close()

    def test_spaces_and_mode(self, envs: Any) -> None:
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

    def test_seeds_are_of_rows(self, envs: Any) -> None:
        first = envs.reset(seed=5)
        assert envs.np_random_seed == (5, 6, 7)
        again = [envs.step(self.actions(0)) for _ in range(1)]
        assert_same(envs.reset(seed=[5, 6, 7]), first)
        assert_same([envs.step(self.actions(0)) for _ in range(1)], again)
        kept = envs.reset(seed=[5, None, 7])[0]
        np.testing.assert_array_equal(kept[[0, 2]], first[0][[0, 2]])

    def test_an_array_that_was_handed_out_is_the_caller_s(self, envs: Any) -> None:
        observations, _ = envs.reset(seed=1)
        kept = observations.copy()
        envs.step(self.actions(0))
        np.testing.assert_array_equal(observations, kept)

    def test_rows_that_are_reset_leave_the_others(self, envs: Any) -> None:
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

    def test_reset_in_the_next_step(self) -> None:
        envs = self.make(AutoresetMode.NEXT_STEP)
        seen, over = self.until_the_end(envs)
        chance = copy.deepcopy(envs.np_random)
        assert "final_obs" not in seen[4]
        observations, rewards, terminated, truncated, _ = envs.step(self.actions(0))
        assert not terminated[over].any() and not truncated[over].any() and not rewards[over].any()
        self.assert_reset(observations, over, chance)

    def test_reset_in_the_same_step(self) -> None:
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

    def test_no_reset_by_itself(self) -> None:
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
