"""Agents of RL libraries learn in a generated world: Stable-Baselines3, TorchRL, docs/ppo.py; Gymnasium's wrappers."""

from __future__ import annotations

import importlib
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.wrappers import FrameStackObservation, RecordEpisodeStatistics, RecordVideo
from gymnasium.wrappers import vector as wrappers
from safetensors.torch import load_file
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor
from tensordict.nn import TensorDictModule
from tiny import HEIGHT, WIDTH
from torch import nn
from torchrl.envs import GymEnv, GymWrapper, check_env_specs
from torchrl.modules import ProbabilisticActor, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

from worldsim.data.video import read_frames
from worldsim_envs.generated.env import GeneratedEnv
from worldsim_envs.generated.sb3 import SB3VecEnv
from worldsim_envs.generated.vector import GeneratedVectorEnv

ROOT = Path(__file__).parents[2]


def rows(world: str | Path, count: int = 8, mode: str = "SameStep", steps: int = 8) -> GeneratedVectorEnv:
    return GeneratedVectorEnv(world, count, "rgb_array", max_episode_steps=steps, autoreset_mode=mode)


def assert_learned(paid: list[float]) -> None:
    """That the last quarter of what was paid is far above the first sixteenth: by twice how much it varied there."""
    few, quarter = len(paid) // 16, len(paid) // 4
    first, last = np.array(paid[:few]), np.array(paid[-quarter:])
    assert last.mean() > first.mean() + 2 * first.std() / np.sqrt(few) + 1, (first.mean(), last.mean())


def test_sb3_ppo_learns(tiny_world):
    """In the tiny world, from frames, by the adapter: it finds the action that pays."""
    envs = VecMonitor(SB3VecEnv(rows(tiny_world)))
    model = PPO("MlpPolicy", envs, n_steps=32, batch_size=64, n_epochs=4, learning_rate=1e-3, gamma=0.9, seed=0)
    paid: list[float] = []
    model.learn(4096, callback=lambda local, _: paid.append(float(local["rewards"].mean())) or True)
    assert_learned(paid)
    assert len(model.ep_info_buffer) > 0  # the monitor saw episodes end


def test_ppo_in_one_file_learns(generated, tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    ppo = importlib.import_module("ppo")
    settings = {
        "world": generated,
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


def test_torchrl_learns(generated):
    """PPO of its own parts: `GymEnv` on one row, `GymWrapper` on eight, which resets by mask those that ended."""
    torch.manual_seed(0)
    single = GymEnv(generated, categorical_action_encoding=True)
    check_env_specs(single)
    envs = gym.make_vec(generated, num_envs=8, max_episode_steps=8, autoreset_mode="Disabled")
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


def test_gymnasium_s_wrappers_of_one(generated, tmp_path):
    env = gym.make(generated, render_mode="rgb_array", max_episode_steps=5)
    env = RecordVideo(env, str(tmp_path), episode_trigger=lambda episode: True)
    env = FrameStackObservation(RecordEpisodeStatistics(env), 3)
    plain = gym.make(generated)
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
