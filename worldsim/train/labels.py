"""A few labelled steps: changes whose true action may be looked at (Nikulin et al. 2025: a few labels in training keep
latent actions to what is steered, where much else moves).

n labelled steps, P past frames, A actions.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from worldsim.data.recording import Recording


@dataclasses.dataclass(frozen=True)
class Labels:
    """What the true actions did.

    Attributes:
        clips: uint8 `[n, P + 1, H, W, 3]`, P frames and the one after the action.
        actions: int64 `[n]`.
        count: A, how many actions there are.
        steps: int64 `[n]`, indices into the recording.
    """

    clips: np.ndarray
    actions: np.ndarray
    count: int
    steps: np.ndarray

    @classmethod
    def of(cls, recording: Recording, steps: np.ndarray, past: int) -> Labels:
        """Those of a recording's `steps`, none of them the last of its episode. The past of an episode's first frames
        is the first of them."""
        ends = np.concatenate([[0], recording.ends])
        starts = ends[np.searchsorted(recording.ends, steps, side="right")]
        rows = np.maximum(steps[:, None] + np.arange(1 - past, 2), starts[:, None])
        clips = np.stack([np.stack([recording.frames[int(i)] for i in row]) for row in rows])
        return cls(clips, recording.actions[steps].astype(np.int64), len(recording.spec.actions), steps)

    def draw(self, count: int, seed: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Some of them, with repetition: clips `[count, P + 1, H, W, 3]` and actions `[count]`."""
        chosen = np.random.default_rng([seed, step, 1]).integers(len(self.actions), size=count)
        return self.clips[chosen], self.actions[chosen]
