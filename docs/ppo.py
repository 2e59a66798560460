"""PPO on a generated world, in one file to read and to change: python docs/ppo.py --world worldsim/DoomMaze-v0

Needs: pip install '.[rl]'. Saves the agent's weights as safetensors. The algorithm: Schulman et al., 2017
(arXiv:1707.06347), with the advantages of arXiv:1506.02438.

N rows, T steps, H x W pixels, A actions.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from pathlib import Path

import gymnasium
import numpy as np
import torch
import tyro
from safetensors.torch import save_file
from torch import nn
from torch.distributions import Categorical

import worldsim_envs  # noqa: F401  (registers the worlds)


@dataclasses.dataclass(frozen=True)
class PPOConfig:
    """Train an agent in a world."""

    world: str = "worldsim/DoomMaze-v0"
    envs: int = 16
    episode: int = 500  # steps after which an episode is truncated
    frames: int = 1_000_000
    steps: int = 64  # of each row between two updates
    epochs: int = 4
    minibatches: int = 4
    lr: float = 5e-4
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip: float = 0.2
    entropy: float = 0.01
    seed: int = 0
    out: Path = Path("agent.safetensors")


class Agent(nn.Module):
    """uint8 frames [N, H, W, 3] -> logits [N, A] and values [N]."""

    def __init__(self, height: int, width: int, actions: int):
        super().__init__()
        encoder = [nn.Conv2d(3, 16, 8, 4), nn.ReLU(), nn.Conv2d(16, 32, 4, 2), nn.ReLU(), nn.Flatten()]
        features = nn.Sequential(*encoder)(torch.zeros(1, 3, height, width)).shape[1]
        self.features = nn.Sequential(*encoder, nn.Linear(features, 128), nn.ReLU())
        self.policy, self.value = nn.Linear(128, actions), nn.Linear(128, 1)
        nn.init.orthogonal_(self.policy.weight, 0.01)  # uniform actions at first

    def forward(self, frames: torch.Tensor) -> tuple[Categorical, torch.Tensor]:
        """The distribution of actions, and the value."""
        features = self.features(frames.permute(0, 3, 1, 2) / 255.0)
        return Categorical(logits=self.policy(features)), self.value(features)[:, 0]


def train(config: PPOConfig) -> list[float]:
    """Train and save an agent. Returns the return of every episode, in the order in which they ended."""
    torch.manual_seed(config.seed)
    envs = gymnasium.make_vec(
        config.world, num_envs=config.envs, max_episode_steps=config.episode, autoreset_mode="SameStep"
    )
    agent = Agent(*envs.single_observation_space.shape[:2], envs.single_action_space.n)
    optimizer = torch.optim.Adam(agent.parameters(), config.lr, eps=1e-5)
    frame, returns, recent = envs.reset(seed=config.seed)[0], [], deque(maxlen=100)
    for update in range(config.frames // (config.envs * config.steps)):
        rollout = {name: [] for name in ("frames", "actions", "logs", "values", "rewards", "alive")}
        for _ in range(config.steps):
            with torch.no_grad():
                policy, value = agent(torch.from_numpy(frame))
            action = policy.sample()
            after, reward, terminated, truncated, infos = envs.step(action.numpy())
            ended = terminated | truncated
            if ended.any():
                returns += infos["final_info"]["return"][ended].tolist()
                recent.extend(returns[-int(ended.sum()) :])
            if truncated.any():  # not terminated: bootstrap with the value
                last = torch.from_numpy(np.stack(infos["final_obs"][truncated]))
                with torch.no_grad():
                    reward[truncated] += config.gamma * agent(last)[1].numpy() * ~terminated[truncated]
            step = (frame, action, policy.log_prob(action), value, reward.astype(np.float32), ~ended)
            for values, new in zip(rollout.values(), step, strict=True):
                values.append(torch.as_tensor(new))
            frame = after
        frames, actions, logs, values, rewards, alive = (torch.stack(values) for values in rollout.values())  # [T, N]
        with torch.no_grad():
            next_values = torch.cat([values[1:], agent(torch.from_numpy(frame))[1][None]])
        errors = rewards + config.gamma * alive * next_values - values
        advantages, running = torch.zeros_like(values), torch.zeros(config.envs)
        for t in reversed(range(config.steps)):
            running = advantages[t] = errors[t] + config.gamma * config.gae_lambda * alive[t] * running
        targets = advantages + values
        flat = [tensor.flatten(0, 1) for tensor in (frames, actions, logs, advantages, targets)]
        for _ in range(config.epochs):
            for rows in torch.randperm(len(flat[0])).chunk(config.minibatches):
                observed, taken, old, advantage, target = (tensor[rows] for tensor in flat)
                policy, value = agent(observed)
                ratio = (policy.log_prob(taken) - old).exp()
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                gain = torch.min(ratio * advantage, ratio.clamp(1 - config.clip, 1 + config.clip) * advantage)
                loss = -gain.mean() + 0.5 * (value - target).square().mean() - config.entropy * policy.entropy().mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                optimizer.step()
        played = (update + 1) * config.envs * config.steps
        print(f"{played} frames: imagined return {np.mean(recent) if recent else float('nan'):.3f}", flush=True)
    envs.close()
    save_file(agent.state_dict(), config.out)
    return returns


if __name__ == "__main__":
    train(tyro.cli(PPOConfig))
