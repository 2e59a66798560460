"""OOD termination: where generated frames leave the training distribution, the episode is lost.

Otherwise an agent finds the places where a world model is wrong, and exploits them. MOReL (Kidambi et al. 2020)
likewise makes states absorbing that its model does not know. Works with any Gymnasium vector environment whose infos
have `ood`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper


class OODTermination(VectorWrapper):
    """Rows that were truncated because a frame was out of distribution are terminated instead.

    The value after termination is zero; after truncation it would be bootstrapped from the critic.

    Args:
        envs: generated rows with autoreset "SameStep", made with the same threshold.
        max_ood: the threshold of `info["ood"]`.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any], max_ood: float):
        super().__init__(envs)
        self._max_ood = max_ood

    def step(self, actions: np.ndarray) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """As the rows step, except for `terminated` and `truncated`."""
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        if "final_info" in infos:
            lost = truncated & infos["_final_info"] & (infos["final_info"]["ood"] > self._max_ood)
            terminated, truncated = terminated | lost, truncated & ~lost
        return observations, rewards, terminated, truncated, infos
