"""The generated world as an environment: the contract of all worlds, and what only a generated one promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from tiny import STARTS

from worldsim.errors import WorldsimError
from worldsim.runtime.bundle import Bundle, open_world
from worldsim.runtime.load import load_runtime
from worldsim_envs import GENERATED
from worldsim_envs.generated.env import GeneratedEnv
from worldsim_envs.testing import WorldContract


def lasting(env: Any, steps: int) -> int:
    """The first seed whose episode goes on for so many steps of action 1: an untrained network ends one at any time."""
    for seed in range(1000):
        env.reset(seed=seed)
        for _ in range(steps):
            if env.step(1)[2]:
                break
        else:
            return seed
    raise AssertionError("every episode ends")


class TestGenerated(WorldContract):
    """A tiny world, by `gymnasium.make`."""

    gym_id = "worldsim/Tiny-v0"

    @pytest.fixture(autouse=True)
    def registered(self, tiny_world: Path):
        gym.register(self.gym_id, entry_point=GENERATED, kwargs={"world": str(tiny_world)})
        yield
        del gym.registry[self.gym_id]

    def test_a_start_can_be_asked_for(self, env, tiny_world):
        frames = Bundle(tiny_world).starts.frames[:, -1]
        for start in range(STARTS):
            observation, info = env.reset(seed=1, options={"start": start})
            np.testing.assert_array_equal(observation, frames[start])
            assert info == {
                "start": start,
                "steps_since_real": 0,
                "uncertainty": 0,
                "cumulative_uncertainty": 0,
                "continue": 1.0,
                "return": 0.0,
            }
        for start in (-1, STARTS):
            with pytest.raises(WorldsimError, match=f"no start {start}; it has 0 to {STARTS - 1}"):
                env.reset(options={"start": start})
        for start in ("first", 0.5):
            with pytest.raises(WorldsimError, match=f"start {start!r}: give an integer, 0 to {STARTS - 1}"):
                env.reset(options={"start": start})

    def test_starts_are_drawn_from_the_seed(self, env):
        drawn = [env.reset(seed=seed)[1]["start"] for seed in range(20)]
        assert drawn == [env.reset(seed=seed)[1]["start"] for seed in range(20)]
        assert len(set(drawn)) > 2

    def test_noise_hangs_on_the_seed_whichever_way_a_start_was_chosen(self, env):
        _, info = env.reset(seed=9)
        drawn = env.step(1)[0]
        env.reset(seed=9, options={"start": info["start"]})
        np.testing.assert_array_equal(env.step(1)[0], drawn)
        env.reset(seed=10, options={"start": info["start"]})
        assert (env.step(1)[0] != drawn).any()

    def test_temperature_is_an_option(self):
        def last(**options: Any) -> np.ndarray:
            env = gym.make(self.gym_id, disable_env_checker=True, **options).unwrapped
            return self.play(env, 9)[-1][0]

        np.testing.assert_array_equal(last(temperature=1.0), last())
        np.testing.assert_array_equal(last(temperature=1.5), last(temperature=1.5))
        assert (last(temperature=1.5) != last()).any()
        with pytest.raises(WorldsimError, match="temperature -1: give a number, 0 or more"):
            last(temperature=-1)

    def test_info_counts_and_ends_are_as_frequent_as_it_says(self, env):
        ends, likely = [], []
        for seed in range(80):
            env.reset(seed=seed)
            for count in range(1, 6):
                _, reward, terminated, truncated, info = env.step(count % 3)
                assert info["steps_since_real"] == count and not truncated
                assert np.isfinite(reward)
                ends.append(terminated)
                likely.append(1 - info["continue"])
                if terminated:
                    break
        assert 0.05 < np.mean(likely) < 0.95
        assert abs(np.mean(ends) - np.mean(likely)) < 4 * 0.5 / np.sqrt(len(ends))

    def test_cumulative_uncertainty_sums_up_and_can_end_an_episode(self, env):
        seed = lasting(env, 3)
        env.reset(seed=seed)
        infos = [env.step(1)[-1] for _ in range(3)]
        summed = np.cumsum([info["uncertainty"] for info in infos])
        assert (summed > 0).all()
        np.testing.assert_allclose([info["cumulative_uncertainty"] for info in infos], summed)
        options = {"max_cumulative_uncertainty": float(summed[1:].mean())}
        short = gym.make(self.gym_id, disable_env_checker=True, **options).unwrapped
        short.reset(seed=seed)
        assert [short.step(1)[3] for _ in range(3)] == [False, False, True]
        with pytest.raises(gym.error.ResetNeeded, match="has ended"):
            short.step(1)
        with pytest.raises(WorldsimError, match="max_cumulative_uncertainty 0: give a number above 0"):
            gym.make(self.gym_id, disable_env_checker=True, max_cumulative_uncertainty=0)

    def test_ood_is_how_much_a_frame_changes_when_encoded_again_and_can_end_an_episode(self, env, tiny_world):
        watched, seed = GeneratedEnv(tiny_world, ood=True), lasting(env, 4)
        assert "ood" not in env.reset(seed=seed)[1] and watched.reset(seed=seed)[1]["ood"] == 0
        runtime, measured = load_runtime(open_world(tiny_world)), []
        for _ in range(4):
            kept = watched.clone_state()
            frame, *_, info = watched.step(np.int64(1))
            again = runtime.encode(frame[None, None])[0, 0]
            latents = watched.clone_state().play.state.latents[0]
            assert info["ood"] == pytest.approx(np.sqrt(((again - latents) ** 2).mean()), rel=1e-5) and info["ood"] > 0
            measured.append(info["ood"])
        assert watched.restore_state(kept)[1]["ood"] == pytest.approx(measured[2])
        env.restore_state(kept)
        assert "ood" not in env.step(np.int64(1))[-1]
        strict = GeneratedEnv(tiny_world, max_ood=float(np.sort(measured)[2:].mean()))
        strict.reset(seed=seed)
        for own in measured:
            truncated = strict.step(np.int64(1))[3]
            assert truncated == (own > strict._dream._max_ood)
            if truncated:
                break
        assert truncated
        with pytest.raises(WorldsimError, match="max_ood -1: give a number above 0"):
            GeneratedEnv(tiny_world, max_ood=-1)

    def test_a_clone_of_an_episode_that_has_ended_has_ended(self, tiny_world):
        env, other = GeneratedEnv(tiny_world, max_episode_steps=1), GeneratedEnv(tiny_world, max_episode_steps=1)
        env.reset(seed=0)
        env.step(0)
        other.restore_state(env.clone_state())
        with pytest.raises(gym.error.ResetNeeded, match="has ended"):
            other.step(0)

    def test_torch_is_the_reference(self, env, tiny_world):
        reference = GeneratedEnv(tiny_world, runtime="torch", device="cpu")
        seed = lasting(env, 4)
        for both in (env, reference):
            both.reset(seed=seed)
        for action in (1, 1, 1, 1):
            a, b = env.step(action), reference.step(np.int64(action))
            assert np.abs(a[0].astype(int) - b[0]).max() <= 3
            assert a[1] == pytest.approx(b[1], abs=1e-2)


def test_a_world_that_is_not_there_is_one_error():
    with pytest.raises(WorldsimError, match="no world 'atlantis'"):
        GeneratedEnv("atlantis")


def test_observations_are_drawn_in_a_look_and_the_episode_is_the_same(tiny_world, tmp_path):
    from looked import with_looks

    from worldsim.runtime.looks import looks_for
    from worldsim_envs.generated.vector import GeneratedVectorEnv

    world = with_looks(tiny_world, tmp_path / "world")
    looks = looks_for(open_world(world), "night")
    plain, night = GeneratedEnv(world, device="cpu"), GeneratedEnv(world, device="cpu", look="night")
    rows = GeneratedVectorEnv(world, 1, device="cpu", look="night")
    seen, drawn, row = (env.reset(seed=4)[0] for env in (plain, night, rows))
    for action in (1, 2, 0):
        np.testing.assert_array_equal(drawn, looks.draw(seen[None], "night")[0])
        np.testing.assert_array_equal(row[0], drawn)
        seen, reward, *_ = plain.step(action)
        drawn, same, *_ = night.step(action)
        row = rows.step(np.array([action]))[0]
        assert reward == same
    with pytest.raises(WorldsimError, match="has no look 'dusk'"):
        GeneratedEnv(world, look="dusk")
