"""Rollouts of the motion prior that continue from one training step to the next. Knows no loss.

A lead of some dozen frames does not show where a rollout is after two hundred: an error made early and copied ever
since can be learned from only if the rollout continues. The gradient is cut where a step begins (truncated
backpropagation through time, Williams and Peng 1990).

B rollouts, T frames, C x h x w latents of all layers.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from worldsim.data.latents import LatentDataset
from worldsim.data.windows import draw_rng
from worldsim.errors import WorldsimError
from worldsim.train.draws import Draws

ANEW = 0.04  # of the rollouts are restarted in each step, so that short ones are seen throughout


class MotionRollouts:
    """B rollouts, each from the first frames of an episode towards its end. A resumed training restarts them.

    Every process knows where all rollouts are, and the frames of its own rows.

    Args:
        clips: the latent dataset. cells: C of one layer. episodes: (start, end) of those to begin in.
        count: B. known: recorded frames that a rollout begins with; of two layers only the first is known, as at the
            start of play. back: frames kept besides the newest. length: frames that each step adds.
        noise: standard deviation of the noise on the first frames of half of the rollouts.

    Raises:
        WorldsimError: if no episode is as long as a rollout's first frames and one step.
    """

    def __init__(
        self,
        clips: LatentDataset,
        cells: int,
        episodes: list[tuple[int, int]],
        count: int,
        known: int,
        back: int,
        length: int,
        noise: float,
        seed: int,
    ):
        self._clips, self._cells, self._seed, self._noise = clips, cells, seed, noise
        self._known, self._back, self._length = known, back, length
        self._episodes = [(begin, end) for begin, end in episodes if end - begin >= known + length]
        if not self._episodes:
            longest = max((end - begin for begin, end in episodes), default=0)
            raise WorldsimError(
                f"no episode is as long as a rollout of {known + length} frames (the longest has {longest})"
            )
        self._next, self._end = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self._own = torch.zeros(count, back + 1, *clips.latents.shape[1:])

    def go_on(self, draws: Draws) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What comes next in this process's rollouts.

        Returns:
            latents `[B, T, C, h, w]`, the newest `back + 1` of each rollout and `length` as recorded; all of them as
            recorded; actions `[B, T]`; and how many cells to the right the view was `[B, T]`.
        """
        rng = draw_rng(self._seed, draws.step)
        over = (self._next + self._length > self._end) | (rng.random(len(self._next)) < ANEW)
        for row in np.flatnonzero(over):
            begin, self._end[row] = self._episodes[rng.integers(len(self._episodes))]
            self._next[row] = begin + self._known
            first = torch.from_numpy(self._clips.latents[begin : begin + self._known].astype(np.float32))
            first[:, -self._cells :] = first[:, : self._cells]
            if rng.random() < 0.5:
                first += self._noise * torch.from_numpy(rng.standard_normal(first.shape, np.float32))
            before = first[:1].expand(max(self._back + 1 - self._known, 0), *first.shape[1:])
            self._own[row] = torch.cat([before, first])[-self._back - 1 :]
        now = draws.own(self._next)
        index = now[:, None] + np.arange(-self._back - 1, self._length)
        index = np.maximum(index, self._clips.begins[now][:, None])
        true = draws.put(self._clips.frames(index))
        shown = torch.cat([draws.own(self._own), true[:, self._back + 1 :]], dim=1)
        actions, columns = torch.from_numpy(self._clips.actions[index]), self._clips.poses[index][..., 0]
        return shown, true, draws.put(actions), draws.put(columns)

    def keep(self, made: Tensor, draws: Draws) -> None:
        """How this process's runs went on: `[B, T, C, h, w]`."""
        self._own[draws.rows] = made[:, -self._back - 1 :].detach().to(self._own.device)
        self._next += self._length
