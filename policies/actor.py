"""The network of a learned policy as Stable-Baselines3's PPO trains it. Knows no world.

N rows.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor

from worldsim_policies.learned import Network, PolicyConfig


class Actor(ActorCriticPolicy):
    """A `Network` in the place of Stable-Baselines3's own: `network` is what comes out of a training.

    Args:
        config: of the network.
        others: what Stable-Baselines3 gives to any policy.
    """

    def __init__(self, *others: Any, config: PolicyConfig, **settings: Any):
        self._config = config
        super().__init__(*others, **settings)

    def _build(self, lr_schedule: Any) -> None:
        self.network = Network(self._config)
        self.network.apply(functools.partial(self.init_weights, gain=np.sqrt(2)))
        for last, gain in ((self.network.policy[-1], 0.01), (self.network.value[-1], 1.0)):
            self.init_weights(last, gain)
        settings: dict[str, Any] = {"lr": lr_schedule(1), **self.optimizer_kwargs}
        self.optimizer = self.optimizer_class(self.parameters(), **settings)

    def forward(self, obs: Tensor, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Stacks uint8 `[N, 3 S, H, W]` -> actions `[N]`, values `[N, 1]` and log-probabilities `[N]`."""
        logits, values = self.network(obs)
        chosen = self.action_dist.proba_distribution(logits)
        actions = chosen.get_actions(deterministic=deterministic)
        return actions, values[:, None], chosen.log_prob(actions)

    def evaluate_actions(self, obs: Any, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Of actions taken `[N]`: values `[N, 1]`, log-probabilities `[N]`, and the entropy of the choice `[N]`."""
        logits, values = self.network(obs)
        chosen = self.action_dist.proba_distribution(logits)
        return values[:, None], chosen.log_prob(actions), chosen.entropy()

    def get_distribution(self, obs: Any) -> Distribution:
        """Of the choice."""
        return self.action_dist.proba_distribution(self.network(obs)[0])

    def predict_values(self, obs: Any) -> Tensor:
        """What is still to come `[N, 1]`."""
        values: Tensor = self.network(obs)[1]
        return values[:, None]
