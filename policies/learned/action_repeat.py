"""Action repeat: the agent chooses once in a few frames, and its action is held in between (Mnih et al. 2015).

An agent that may change its action at every frame explores by jitter and rarely gets anywhere. Works with any Gymnasium
vector environment.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper

from worldsim_policies.base import merge_infos


class ActionRepeat(VectorWrapper):
    """Each step is several frames with the same action; its reward is the sum of theirs.

    A row whose episode ends within a step is reset within it: rewards of the new episode in that step are dropped, and
    if the new episode ends as well, that end is not reported.

    Args:
        envs: rows with autoreset "SameStep".
        frames: per step, at least 1.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any], frames: int):
        super().__init__(envs)
        self._frames = frames

    def step(self, actions: np.ndarray) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """The last frame of each row; `final_obs` and `final_info` of those whose episode ended."""
        total = np.zeros(self.num_envs)
        terminated, truncated = np.zeros((2, self.num_envs), bool)
        final: dict[str, Any] = {}
        for _ in range(self._frames):
            observations, rewards, ended, cut, infos = self.env.step(actions)
            running = ~(terminated | truncated)
            total += np.where(running, rewards, 0)
            terminated, truncated = terminated | (ended & running), truncated | (cut & running)
            new = {name: infos.pop(name) for name in list(infos) if "final_" in name}
            final = merge_infos(final, new, running & (ended | cut))
        return observations, total, terminated, truncated, {**infos, **final}
