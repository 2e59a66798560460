"""What agents are trained with: each library for real, small but learning, and every block of docs/agents.md."""

from __future__ import annotations

import importlib
import os
import re
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.wrappers import FrameStackObservation, RecordEpisodeStatistics, RecordVideo
from gymnasium.wrappers import vector as wrappers
from safetensors.torch import load_file
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecMonitor
from tensordict.nn import TensorDictModule
from tiny import HEIGHT, WIDTH
from torch import nn
from torchrl.envs import GymEnv, GymWrapper, check_env_specs
from torchrl.modules import ProbabilisticActor, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

from worldsim.data.video import read_frames
from worldsim.errors import WorldsimError
from worldsim_envs import GENERATED, VECTOR
from worldsim_envs.generated.env import GeneratedEnv
from worldsim_envs.generated.sb3 import SB3VecEnv
from worldsim_envs.generated.vector import GeneratedVectorEnv

ROOT = Path(__file__).parents[2]
TINY = "worldsim/TinyAgents-v0"
ROUNDING = 3  # of a batch, in units of 255
# What the page says for weeks of training -> what a test has time for.
SHORTER = {
    "1_000_000": "64",
    "num_envs=16": "num_envs=2",
    "n_steps=128, batch_size=256": "n_steps=32, batch_size=64",
    "n_eval_episodes=100": "n_eval_episodes=2",
    "max_episode_steps=500": "max_episode_steps=12",
}


@pytest.fixture
def tiny_id(tiny_world: Path):
    """The tiny world by its id. Its networks are untrained, but what they pay hangs on the action."""
    gym.register(TINY, entry_point=GENERATED, vector_entry_point=VECTOR, kwargs={"world": str(tiny_world)})
    yield TINY
    del gym.registry[TINY]


def rows(world: str | Path, count: int = 8, mode: str = "SameStep", steps: int = 8) -> GeneratedVectorEnv:
    return GeneratedVectorEnv(world, count, "rgb_array", max_episode_steps=steps, autoreset_mode=mode)


def assert_learned(paid: list[float]) -> None:
    """That the last quarter of what was paid is far above the first sixteenth: by twice how much it varied there."""
    few, quarter = len(paid) // 16, len(paid) // 4
    first, last = np.array(paid[:few]), np.array(paid[-quarter:])
    assert last.mean() > first.mean() + 2 * first.std() / np.sqrt(few) + 1, (first.mean(), last.mean())


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


def test_sb3_begins_where_it_is_told(tiny_world):
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


def test_sb3_ppo_learns(tiny_world):
    """In the tiny world, from frames, by the adapter: it finds the action that pays."""
    envs = VecMonitor(SB3VecEnv(rows(tiny_world)))
    model = PPO("MlpPolicy", envs, n_steps=32, batch_size=64, n_epochs=4, learning_rate=1e-3, gamma=0.9, seed=0)
    paid: list[float] = []
    model.learn(4096, callback=lambda local, _: paid.append(float(local["rewards"].mean())) or True)
    assert_learned(paid)
    assert len(model.ep_info_buffer) > 0  # the monitor saw episodes end


def test_sb3_takes_gymnasium_s_own_rows_and_refuses_the_rest(tiny_id, tiny_world):
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


def test_ppo_in_one_file_learns(tiny_id, tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    ppo = importlib.import_module("ppo")
    settings = {
        "world": tiny_id,
        "envs": 8,
        "episode": 8,
        "steps": 32,
        "lr": 1e-3,
        "gamma": 0.9,
        "out": tmp_path / "agent",
    }
    returns = ppo.train(ppo.PPOConfig(frames=4096, **settings))
    assert_learned(returns)
    assert capsys.readouterr().out.count("imagined return") == 16
    agent = ppo.Agent(HEIGHT, WIDTH, 3)
    agent.load_state_dict(load_file(tmp_path / "agent"))
    first, again = (ppo.train(ppo.PPOConfig(frames=512, **settings)) for _ in range(2))
    assert first == again


class Floats(nn.Module):
    """uint8 frames `[..., H, W, 3]` -> float `[..., H * W * 3]`."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return frames.flatten(-3) / 255.0


def test_torchrl_learns(tiny_id):
    """PPO of its own parts: `GymEnv` on one row, `GymWrapper` on eight, which resets by mask those that ended."""
    torch.manual_seed(0)
    single = GymEnv(tiny_id, categorical_action_encoding=True)
    check_env_specs(single)
    envs = gym.make_vec(tiny_id, num_envs=8, max_episode_steps=8, autoreset_mode="Disabled")
    env = GymWrapper(envs, categorical_action_encoding=True)
    env.set_seed(0)
    policy = nn.Sequential(Floats(), nn.Linear(HEIGHT * WIDTH * 3, 64), nn.Tanh(), nn.Linear(64, 3))
    value = nn.Sequential(Floats(), nn.Linear(HEIGHT * WIDTH * 3, 64), nn.Tanh(), nn.Linear(64, 1))
    actor = ProbabilisticActor(
        TensorDictModule(policy, ["observation"], ["logits"]),
        in_keys=["logits"],
        distribution_class=torch.distributions.Categorical,
        return_log_prob=True,
    )
    critic = ValueOperator(value, in_keys=["observation"])
    loss, advantage = ClipPPOLoss(actor, critic), GAE(gamma=0.9, lmbda=0.95, value_network=critic)
    optimizer = torch.optim.Adam(loss.parameters(), 1e-3)
    paid: list[float] = []
    for _ in range(16):
        with torch.no_grad():
            played = env.rollout(32, actor, break_when_any_done=False)
            advantage(played)
        paid += played["next", "reward"].mean((0, 2)).tolist()
        for rows_ in [rows_ for _ in range(4) for rows_ in torch.randperm(256).chunk(4)]:
            lost = loss(played.reshape(-1)[rows_])
            optimizer.zero_grad()
            sum(value for name, value in lost.items() if name.startswith("loss_")).backward()
            nn.utils.clip_grad_norm_(loss.parameters(), 0.5)
            optimizer.step()
    assert_learned(paid)
    played = env.rollout(12, break_when_any_done=False)
    assert played["next", "done"].any() and played.shape == (8, 12)


def test_gymnasium_s_wrappers_of_one(tiny_id, tmp_path):
    env = gym.make(tiny_id, render_mode="rgb_array", max_episode_steps=5)
    env = RecordVideo(env, str(tmp_path), episode_trigger=lambda episode: True)
    env = FrameStackObservation(RecordEpisodeStatistics(env), 3)
    plain = gym.make(tiny_id)
    frames = [plain.reset(seed=1)[0]]
    observation, _ = env.reset(seed=1)
    total, done, count = 0.0, False, 0
    while not done:
        observation, reward, terminated, truncated, info = env.step(1)
        frames.append(plain.step(1)[0])
        total, done, count = total + reward, terminated or truncated, count + 1
    assert env.observation_space.contains(observation)
    np.testing.assert_array_equal(observation, np.stack([frames[0]] * 2 + frames)[-3:])
    assert info["episode"]["l"] == count and info["episode"]["r"] == pytest.approx(total)
    env.close()
    (video,) = tmp_path.glob("*.mp4")
    assert len(list(read_frames(video))) == count + 1


def test_gymnasium_s_wrappers_of_many(tiny_world, tmp_path):
    envs = wrappers.RecordVideo(rows(tiny_world, 2, "NextStep", 5), str(tmp_path), step_trigger=lambda step: step == 0)
    envs = wrappers.RecordEpisodeStatistics(envs)
    single = GeneratedEnv(tiny_world, max_episode_steps=5)
    envs.reset(seed=4)
    single.reset(seed=4)
    total, done = 0.0, False
    while not done:
        infos = envs.step(np.array([1, 2]))[4]
        _, reward, terminated, truncated, _ = single.step(np.int64(1))
        total, done = total + reward, terminated or truncated
    assert infos["_episode"][0] and infos["episode"]["r"][0] == pytest.approx(total, abs=5e-2)
    envs.close()
    (video,) = tmp_path.glob("*.mp4")
    first = next(iter(read_frames(video)))
    assert first.shape[0] * first.shape[1] >= 2 * HEIGHT * WIDTH


def test_every_block_of_the_page_runs(tmp_path, monkeypatch):
    """In order, in one interpreter, as a reader would; only the numbers of `SHORTER` are smaller."""
    page = (ROOT / "docs" / "agents.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == page.count("```python") >= 5
    blocks = [block for block in blocks if "import ray" not in block]  # which test_rllib.py runs
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    source = "\n".join(blocks)
    for long, short in SHORTER.items():
        assert long in source, f"the page says {long} no more"
        source = source.replace(long, short)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other people's packages
        exec(compile(source, "docs/agents.md", "exec"), names)
    assert sorted(os.listdir(tmp_path)) == ["agent.safetensors", "videos"]
    assert len(load_file(tmp_path / "agent.safetensors")) > 4
    assert names["observation"].shape == (4, 48, 64, 3)
