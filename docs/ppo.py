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
    episode: int = 500  # steps after which an episode is cut
    frames: int = 1_000_000
    steps: int = 64  # of every row between two updates
    epochs: int = 4
    minibatches: int = 4
    rate: float = 5e-4
    discount: float = 0.99
    smoothing: float = 0.95  # lambda of the advantages
    clip: float = 0.2
    entropy: float = 0.01
    seed: int = 0
    out: Path = Path("agent.safetensors")


class Agent(nn.Module):
    """uint8 frames [N, H, W, 3] -> logits [N, A] and values [N]."""

    def __init__(self, height: int, width: int, actions: int):
        super().__init__()
        eye = [nn.Conv2d(3, 16, 8, 4), nn.ReLU(), nn.Conv2d(16, 32, 4, 2), nn.ReLU(), nn.Flatten()]
        seen = nn.Sequential(*eye)(torch.zeros(1, 3, height, width)).shape[1]
        self.trunk = nn.Sequential(*eye, nn.Linear(seen, 128), nn.ReLU())
        self.policy, self.value = nn.Linear(128, actions), nn.Linear(128, 1)
        nn.init.orthogonal_(self.policy.weight, 0.01)  # at first, all actions alike

    def forward(self, frames: torch.Tensor) -> tuple[Categorical, torch.Tensor]:
        """What to do, and what is still to come."""
        features = self.trunk(frames.permute(0, 3, 1, 2) / 255.0)
        return Categorical(logits=self.policy(features)), self.value(features)[:, 0]


def train(config: PPOConfig) -> list[float]:
    """Train and save an agent; the return of every episode, in the order they ended."""
    torch.manual_seed(config.seed)
    envs = gymnasium.make_vec(
        config.world, num_envs=config.envs, max_episode_steps=config.episode, autoreset_mode="SameStep"
    )
    agent = Agent(*envs.single_observation_space.shape[:2], envs.single_action_space.n)
    optimizer = torch.optim.Adam(agent.parameters(), config.rate, eps=1e-5)
    frame, returns, recent = envs.reset(seed=config.seed)[0], [], deque(maxlen=100)
    for update in range(config.frames // (config.envs * config.steps)):
        kept = {name: [] for name in ("frames", "actions", "logs", "values", "rewards", "goes_on")}
        for _ in range(config.steps):
            with torch.no_grad():
                policy, value = agent(torch.from_numpy(frame))
            action = policy.sample()
            after, reward, terminated, truncated, infos = envs.step(action.numpy())
            ended = terminated | truncated
            if ended.any():
                returns += infos["final_info"]["return"][ended].tolist()
                recent.extend(returns[-int(ended.sum()) :])
            if truncated.any():  # cut, not over: what would still have come counts
                last = torch.from_numpy(np.stack(infos["final_obs"][truncated]))
                with torch.no_grad():
                    reward[truncated] += config.discount * agent(last)[1].numpy() * ~terminated[truncated]
            step = (frame, action, policy.log_prob(action), value, reward.astype(np.float32), ~ended)
            for values, new in zip(kept.values(), step, strict=True):
                values.append(torch.as_tensor(new))
            frame = after
        frames, actions, logs, values, rewards, goes_on = (torch.stack(values) for values in kept.values())  # [T, N]
        with torch.no_grad():
            following = torch.cat([values[1:], agent(torch.from_numpy(frame))[1][None]])
        errors = rewards + config.discount * goes_on * following - values
        advantages, running = torch.zeros_like(values), torch.zeros(config.envs)
        for t in reversed(range(config.steps)):
            running = advantages[t] = errors[t] + config.discount * config.smoothing * goes_on[t] * running
        targets = advantages + values
        flat = [kept.flatten(0, 1) for kept in (frames, actions, logs, advantages, targets)]
        for _ in range(config.epochs):
            for rows in torch.randperm(len(flat[0])).chunk(config.minibatches):
                seen, taken, old, advantage, target = (tensor[rows] for tensor in flat)
                policy, value = agent(seen)
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
