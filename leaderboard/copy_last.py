"""The entry that remembers nothing and changes nothing: what any model must be better than.

worldsim eval permanence --world toybox --tier smoke --model leaderboard.copy_last:CopyLast --out leaderboard/copy-last
"""

from __future__ import annotations

import numpy as np


class CopyLast:
    """Shows the last frame it saw, for ever."""

    context_length = 1

    def reset(self, context_frames: np.ndarray, context_actions: np.ndarray, seed: int) -> np.ndarray:
        """Frames uint8 `[32, H, W, 3]` -> the last."""
        return context_frames[-1]

    def step(self, state: np.ndarray, action: int) -> tuple[np.ndarray, np.ndarray]:
        """The same again."""
        return state, state
