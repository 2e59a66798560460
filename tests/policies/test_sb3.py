"""`SB3VecEnv`: a vector environment behaves as Stable-Baselines3's own would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import vector as wrappers
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

from worldsim.errors import WorldsimError
from worldsim_envs.generated.env import GeneratedEnv
from worldsim_envs.generated.sb3 import SB3VecEnv
from worldsim_envs.generated.vector import GeneratedVectorEnv

ROUNDING = 3  # of a batch, in units of 255


def rows(world: str | Path, count: int = 8, mode: str = "SameStep", steps: int = 8) -> GeneratedVectorEnv:
    return GeneratedVectorEnv(world, count, "rgb_array", max_episode_steps=steps, autoreset_mode=mode)


def test_sb3_gets_what_its_own_vector_environment_would_give(tiny_world):
    """Observations, rewards, ends, infos with the last frame and why it was that, and the infos of resets."""
    ours = SB3VecEnv(rows(tiny_world, 3, steps=4))
    theirs = DummyVecEnv([lambda: GeneratedEnv(tiny_world, "rgb_array", max_episode_steps=4)] * 3)
    assert (ours.observation_space, ours.action_space) == (theirs.observation_space, theirs.action_space)
    assert (ours.num_envs, ours.render_mode) == (theirs.num_envs, theirs.render_mode) == (3, "rgb_array")
    for envs in (ours, theirs):
        envs.seed(5)
    assert_near(ours.reset(), theirs.reset())
    assert_near(ours.reset_infos, theirs.reset_infos)
    why = set()
    for step in range(12):
        actions = (np.arange(3) + max(0, step - 6)) % 3  # held at first: with one of them play goes on until it is cut
        seen, expected = ours.step(actions), theirs.step(actions)
        assert_near(seen, expected)
        assert_near(ours.reset_infos, theirs.reset_infos)
        assert (seen[1].dtype, seen[2].dtype) == (np.float32, np.bool_)
        why |= {info["TimeLimit.truncated"] for info, done in zip(seen[3], seen[2], strict=True) if done}
    assert why == {True, False}  # both kinds of end were seen
    assert_near(ours.render(), theirs.render())


def assert_near(one: Any, other: Any) -> None:
    """The same names, shapes and ends, and the same pixels and numbers but for the rounding of a batch."""
    if isinstance(one, dict):
        assert sorted(one) == sorted(other)
        one, other = [one[name] for name in sorted(one)], [other[name] for name in sorted(one)]
    if isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_near(a, b)
    else:
        pixels = getattr(one, "dtype", None) == np.uint8
        np.testing.assert_allclose(np.asarray(one, float), np.asarray(other, float), atol=ROUNDING if pixels else 2e-2)


def test_sb3_begins_at_the_start_of_its_options(tiny_world):
    envs = SB3VecEnv(rows(tiny_world, 3))
    envs.set_options({"start": 2})
    envs.reset()
    assert [info["start"] for info in envs.reset_infos] == [2, 2, 2]
    envs.set_options([{"start": 4}, {"start": 0}, {"start": 1}])
    envs.reset()
    assert [info["start"] for info in envs.reset_infos] == [4, 0, 1]
    envs.seed(3)
    first = envs.reset()
    envs.seed(3)
    np.testing.assert_array_equal(envs.reset(), first)  # and the options are forgotten


def test_sb3_takes_gymnasium_s_own_rows_and_refuses_the_rest(tiny_world):
    real = gym.make_vec(
        "worldsim/ToyboxReal-v0",
        num_envs=2,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": "SameStep"},
        max_episode_steps=3,
    )
    envs = VecFrameStack(SB3VecEnv(wrappers.RecordEpisodeStatistics(real)), 2)
    assert envs.reset().shape == (2, 64, 64, 6)
    infos = [envs.step(np.zeros(2, int))[3] for _ in range(3)][-1]
    assert [info["terminal_observation"].shape for info in infos] == [(64, 64, 6)] * 2
    assert all(info["TimeLimit.truncated"] for info in infos)
    for mode in ("NextStep", "Disabled"):
        with pytest.raises(WorldsimError, match=f"autoreset_mode {mode}: .* autoreset_mode='SameStep'"):
            SB3VecEnv(rows(tiny_world, 2, mode))
    with pytest.raises(WorldsimError, match="GeneratedEnv is no vector environment"):
        SB3VecEnv(GeneratedEnv(tiny_world))  # type: ignore[arg-type]
    envs = SB3VecEnv(rows(tiny_world, 2))
    envs.reset()
    with pytest.raises(WorldsimError, match="no action 3"):
        envs.step(np.array([0, 3]))
    with pytest.raises(WorldsimError, match="rows of one environment have no close"):
        envs.env_method("close")
    with pytest.raises(WorldsimError, match="rows of one environment can't differ in 'render_mode'"):
        envs.set_attr("render_mode", None, indices=[0])
    envs.set_options([{"start": 1}, {}])
    with pytest.raises(WorldsimError, match="options of rows differ"):
        envs.reset()
