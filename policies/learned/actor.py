"""The network of a learned policy as Stable-Baselines3's PPO trains it, and rows as an eye sees them. Knows no world.

N rows.
"""

from __future__ import annotations

import functools
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from torch import Tensor

from worldsim_policies.learned.policy import Network


class Actor(ActorCriticPolicy):
    """A `Network` in the place of Stable-Baselines3's own.

    Args:
        network: what a training is for; its weights are drawn anew, but not those of an eye that sees already.
        sees: whether it does. Then observations are its features (of `Seen`), and it learns no more.
        others: what Stable-Baselines3 gives to any policy.
    """

    def __init__(self, *others: Any, network: Network, sees: bool, **settings: Any):
        self._given, self._sees = [network], sees  # in a list, since a module can't hold another one yet
        super().__init__(*others, **settings)

    def _build(self, lr_schedule: Any) -> None:
        (self.network,) = self._given
        drawn = [self.network.policy, self.network.value] if self._sees else [self.network]
        for part in drawn:
            part.apply(functools.partial(self.init_weights, gain=np.sqrt(2)))
        for last, gain in ((self.network.policy[-1], 0.01), (self.network.value[-1], 1.0)):
            self.init_weights(last, gain)
        settings: dict[str, Any] = {"lr": lr_schedule(1), **self.optimizer_kwargs}
        self.optimizer = self.optimizer_class(self.parameters(), **settings)

    def forward(self, obs: Tensor, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Observations -> actions `[N]`, values `[N, 1]` and log-probabilities `[N]`."""
        logits, values = self._answer(obs)
        chosen = self.action_dist.proba_distribution(logits)
        actions = chosen.get_actions(deterministic=deterministic)
        return actions, values[:, None], chosen.log_prob(actions)

    def evaluate_actions(self, obs: Any, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Of actions taken `[N]`: values `[N, 1]`, log-probabilities `[N]`, and the entropy of the choice `[N]`."""
        logits, values = self._answer(obs)
        chosen = self.action_dist.proba_distribution(logits)
        return values[:, None], chosen.log_prob(actions), chosen.entropy()

    def get_distribution(self, obs: Any) -> Distribution:
        """Of the choice."""
        return self.action_dist.proba_distribution(self._answer(obs)[0])

    def predict_values(self, obs: Any) -> Tensor:
        """What is still to come `[N, 1]`."""
        values: Tensor = self._answer(obs)[1]
        return values[:, None]

    def _answer(self, obs: Any) -> tuple[Tensor, Tensor]:
        answer: tuple[Tensor, Tensor] = self.network.choose(obs) if self._sees else self.network(obs)
        return answer


class Seen(VecEnvWrapper):
    """Rows whose observations, stacks uint8 `[N, H, W, 3 S]`, are the features that a network sees in them.

    Args:
        rows: of a world.
        network: whose eye it is.
    """

    def __init__(self, rows: VecEnv, network: Network):
        self._network = network
        height, width, channels = rows.observation_space.shape  # type: ignore[misc]
        shape = self._features(np.zeros((1, height, width, channels), np.uint8)).shape[1:]
        super().__init__(rows, observation_space=gym.spaces.Box(-np.inf, np.inf, shape, np.float32))

    def reset(self) -> np.ndarray:
        """Features, float32 `[N, views, hidden]`."""
        return self._features(self.venv.reset())

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """As the rows step."""
        stacks, rewards, ends, infos = self.venv.step_wait()
        for row in np.flatnonzero(ends):
            infos[row]["terminal_observation"] = self._features(infos[row]["terminal_observation"][None])[0]
        return self._features(stacks), rewards, ends, infos

    @torch.no_grad()
    def _features(self, stacks: Any) -> np.ndarray:
        device = next(self._network.parameters()).device
        return self._network.see(torch.from_numpy(stacks).permute(0, 3, 1, 2).to(device)).cpu().numpy()
