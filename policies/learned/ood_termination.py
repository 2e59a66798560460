"""Pessimism: where a generated world no longer knows what it shows, an episode is lost.

An agent finds where a dream is wrong, and lives there (MOReL, Kidambi et al. 2020: model-based offline reinforcement
learning with a state from which nothing leads anywhere, in place of what the model does not know). Knows what Gymnasium
knows of a vector environment, and `info["ood"]`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper


class OODTermination(VectorWrapper):
    """Rows that were cut because a picture was too unlike what the world learned from have ended, and not just stopped.

    An end is worth nothing to an agent; what was only cut would be worth what still might have come.

    Args:
        envs: generated rows that reset in the same step, made with `most_ood`.
        most_ood: the same number.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any], most_ood: float):
        super().__init__(envs)
        self._most = most_ood

    def step(self, actions: np.ndarray) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """As the rows step, but for `terminated` and `truncated`."""
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        if "final_info" in infos:
            lost = truncated & infos["_final_info"] & (infos["final_info"]["ood"] > self._most)
            terminated, truncated = terminated | lost, truncated & ~lost
        return observations, rewards, terminated, truncated, infos
