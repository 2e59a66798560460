"""Action repeat: rows in which an agent chooses once in a few frames, and what it chose is held until then.

An agent that may change its mind in every frame hardly ever tries to walk somewhere (action repeat, Mnih et al. 2015).
Knows what Gymnasium knows of a vector environment.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper


class ActionRepeat(VectorWrapper):
    """Each step is several frames with the same action; a reward is the sum of theirs.

    A row that ends has begun anew by the last of these frames: what the new episode paid until then is not counted, and
    if it ended as well, a third one has begun.

    Args:
        envs: rows that reset in the same step.
        frames: of a step, at least 1.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any], frames: int):
        super().__init__(envs)
        self._frames = frames

    def step(self, actions: np.ndarray) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """The last frame of each row, and of those that ended the end: as the rows step."""
        paid = np.zeros(self.num_envs)
        terminated, truncated = np.zeros((2, self.num_envs), bool)
        final: dict[str, Any] = {}
        for _ in range(self._frames):
            observations, rewards, ended, cut, infos = self.env.step(actions)
            going = ~(terminated | truncated)
            paid += np.where(going, rewards, 0)
            terminated, truncated = terminated | (ended & going), truncated | (cut & going)
            final = _kept(final, {k: infos.pop(k) for k in list(infos) if "final_" in k}, going & (ended | cut))
        return observations, paid, terminated, truncated, {**infos, **final}


def _kept(before: dict[str, Any], new: dict[str, Any], rows: np.ndarray) -> dict[str, Any]:
    """What was said of ends, and of these rows what is said now; masks `[N]`, values `[N, ...]`."""
    kept = dict(before)
    for name, values in new.items():
        if isinstance(values, dict):
            kept[name] = _kept(before.get(name, {}), values, rows)
        else:
            of_rows = rows.reshape(-1, *[1] * (values.ndim - 1))
            kept[name] = np.where(of_rows, values, before.get(name, np.zeros_like(values)))
    return kept
