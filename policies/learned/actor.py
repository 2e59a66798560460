"""`ActorCritic` as a policy of Stable-Baselines3's PPO, and rows seen through a frozen encoder. Knows no world.

N rows, V views (see `network`).
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

from worldsim_policies.learned.network import ActorCritic


class Actor(ActorCriticPolicy):
    """An `ActorCritic` in place of Stable-Baselines3's own network.

    Args:
        network: is trained in place; its weights are drawn anew, except those of a pretrained encoder.
        pretrained: whether the encoder is pretrained. Then observations are its features (see `EncodedRows`), and only
            the heads learn.
        args, settings: what Stable-Baselines3 passes to any policy.
    """

    def __init__(self, *args: Any, network: ActorCritic, pretrained: bool, **settings: Any):
        self._given, self._pretrained = [network], pretrained  # in a list: no module may be set before Module.__init__
        super().__init__(*args, **settings)

    def _build(self, lr_schedule: Any) -> None:
        (self.network,) = self._given
        heads = [self.network.policy_head, self.network.value_head]
        for module in heads if self._pretrained else [self.network]:
            module.apply(functools.partial(self.init_weights, gain=np.sqrt(2)))
        for head, gain in zip(heads, (0.01, 1.0), strict=True):
            self.init_weights(head[-1], gain)
        settings: dict[str, Any] = {"lr": lr_schedule(1), **self.optimizer_kwargs}
        self.optimizer = self.optimizer_class(self.parameters(), **settings)

    def forward(self, obs: Tensor, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Observations -> actions `[N]`, values `[N, 1]` and log-probabilities `[N]`."""
        logits, values = self._outputs(obs)
        distribution = self.action_dist.proba_distribution(logits)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, values[:, None], distribution.log_prob(actions)

    def evaluate_actions(self, obs: Any, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Of actions taken `[N]`: values `[N, 1]`, log-probabilities `[N]`, and entropies of the policy `[N]`."""
        logits, values = self._outputs(obs)
        distribution = self.action_dist.proba_distribution(logits)
        return values[:, None], distribution.log_prob(actions), distribution.entropy()

    def get_distribution(self, obs: Any) -> Distribution:
        """Of the actions."""
        return self.action_dist.proba_distribution(self._outputs(obs)[0])

    def predict_values(self, obs: Any) -> Tensor:
        """Expected returns `[N, 1]`."""
        values: Tensor = self._outputs(obs)[1]
        return values[:, None]

    def _outputs(self, obs: Any) -> tuple[Tensor, Tensor]:
        outputs: tuple[Tensor, Tensor] = self.network.evaluate(obs) if self._pretrained else self.network(obs)
        return outputs


class EncodedRows(VecEnvWrapper):
    """Rows whose observations, stacks uint8 `[N, H, W, 3 S]`, are replaced by the encoder's features.

    Args:
        rows: of a world.
        network: whose encoder it is.
    """

    def __init__(self, rows: VecEnv, network: ActorCritic):
        self._network = network
        height, width, channels = rows.observation_space.shape  # type: ignore[misc]
        shape = self._features(np.zeros((1, height, width, channels), np.uint8)).shape[1:]
        super().__init__(rows, observation_space=gym.spaces.Box(-np.inf, np.inf, shape, np.float32))

    def reset(self) -> np.ndarray:
        """Features, float32 `[N, V, hidden]`."""
        return self._features(self.venv.reset())

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """As the rows step; terminal observations are features too."""
        stacks, rewards, ends, infos = self.venv.step_wait()
        for row in np.flatnonzero(ends):
            infos[row]["terminal_observation"] = self._features(infos[row]["terminal_observation"][None])[0]
        return self._features(stacks), rewards, ends, infos

    @torch.no_grad()
    def _features(self, stacks: Any) -> np.ndarray:
        device = next(self._network.parameters()).device
        return self._network.encode(torch.from_numpy(stacks).permute(0, 3, 1, 2).to(device)).cpu().numpy()
