"""Where the view is: moves found by matching two frames, with no labels, and summed up (path integration).

A view that moves sideways by whole latent cells, or turns so, has a pose: columns to the right. Where the view comes
round (a turn), it may also walk: an action that changes the picture without turning it was a step ahead, and all steps
are as long. Steps back or aside are not tracked.

B batch, T frames, C x h x w latents, A actions, R the most cells that the view moves in a frame, P numbers of a pose:
columns to the right; where the view comes round also x and y, in steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MISMATCH_CLIP = 0.05  # a cell's squared error counts up to this, so that things that move by themselves don't decide
MISMATCH_SCALE = 0.003  # mismatch of a frame that is worth as much as a factor e of the move's probability
MOVE_COST = 0.01  # of each cell of a move, in the same unit: where all moves fit as badly, nothing moved
STEP_SHARE = 0.25  # of the usual mismatch of an action that walks: with less than that it led nowhere
NEVER = 1e4  # a mismatch that never occurs


class PoseTracker(nn.Module):
    """Tell how the view moved between two frames, from the frames and from how often each action moves it.

    Args:
        max_shift: R. actions: A. ring_columns: columns after which the view has come round; 0 if it never does.
    """

    def __init__(self, max_shift: int, actions: int, ring_columns: int = 0):
        super().__init__()
        self.max_shift, self.ring_columns = max_shift, ring_columns
        # Log probability of each move under each action, of which the last is the null action; see `learn_moves`.
        self.register_buffer("log_prob", torch.zeros(actions + 1, 2 * max_shift + 1))
        if ring_columns:
            # Mismatch from which on an action that moved the view so was a step ahead, too.
            self.register_buffer("step_mismatch", torch.full((actions + 1, 2 * max_shift + 1), NEVER))

    @property
    def width(self) -> int:
        """P."""
        return 3 if self.ring_columns else 1

    def stands_still(self, actions: Tensor) -> Tensor:
        """Probability that the view stays where it is under actions `[...]`: `[...]`."""
        return self.log_prob[actions].exp()[..., self.max_shift]

    def mismatch(self, before: Tensor, after: Tensor) -> Tensor:
        """How badly frames `[..., C, h, w]` fit those that followed them, for each move: `[..., 2 R + 1]`."""
        w = before.shape[-1]
        fits = []
        for move in range(-self.max_shift, self.max_shift + 1):
            first, last = max(0, -move), w - max(0, move)
            error = (after[..., first:last] - before[..., first + move : last + move]).float().square().mean(-3)
            fits.append(error.clamp(max=MISMATCH_CLIP).mean((-1, -2)))
        return torch.stack(fits, dim=-1)

    def motion(self, before: Tensor, after: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """How the view moved between frames `[..., C, h, w]` under actions `[...]`; see `likeliest`."""
        return self.likeliest(self.mismatch(before, after), actions)

    def likeliest(self, mismatch: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """The most probable motion, given a mismatch `[..., 2 R + 1]` and actions `[...]`: cells to the right, int64
        `[...]`, -R to R; and steps ahead, float32 `[...]`, 0 or 1."""
        still = torch.arange(-self.max_shift, self.max_shift + 1, device=mismatch.device).abs() * MOVE_COST
        best = (self.log_prob[actions] - mismatch / MISMATCH_SCALE - still).argmax(-1)
        if not self.ring_columns:
            return best - self.max_shift, torch.zeros_like(mismatch[..., 0])
        least, left = (x.gather(-1, best[..., None])[..., 0] for x in (self.step_mismatch[actions], mismatch))
        return best - self.max_shift, (left > least).float()

    def learn_moves(self, mismatch: Tensor, actions: Tensor, buttons: Sequence[tuple[str, ...]]) -> None:
        """Count how often each action moved the view, by the best fits: mismatches `[N, 2 R + 1]`, actions `[N]`.

        Two `buttons` pressed at once each do what they do alone: a view that turns and walks at once fits no single
        move well.
        """
        left, best = mismatch.min(-1)
        none, size = self.max_shift, mismatch.shape[-1]
        counts = torch.ones_like(self.log_prob).index_add_(0, actions, F.one_hot(best, size).float())
        counts[-1] += counts[:-1].sum(0)  # the null action may be any of them
        chance = counts / counts.sum(-1, keepdim=True)
        least = torch.full((len(counts),), NEVER)
        for action, held in enumerate(buttons):
            if held and chance[action].argmax() == none and (actions == action).any():
                least[action] = STEP_SHARE * left[actions == action].median()
        alone = {held[0]: action for action, held in enumerate(buttons) if len(held) == 1}
        for action, held in enumerate(buttons):
            if len(held) > 1 and all(button in alone for button in held):
                parts = [alone[button] for button in held]
                chance[action] = F.one_hot(torch.tensor(none), size)
                for part in parts:  # moves add up
                    both = F.conv1d(chance[action][None, None], chance[part].flip(0)[None, None], padding=none)
                    chance[action] = both[0, 0] / both.sum()
                least[action] = least[parts].min()
        self.log_prob.copy_(chance.log())
        if self.ring_columns:
            self.step_mismatch.copy_(least[:, None])
            self.step_mismatch[-1, none] = least.min()  # of the null action what doesn't turn is taken for a step

    def follow(self, start: Tensor, moves: Tensor, steps: Tensor) -> Tensor:
        """Where motions `[B, T]` lead from `start` `[B, P]`: before and after each of them, float32 `[B, T, 2, P]`."""
        right = moves.float()
        by = right[..., None]
        if self.ring_columns:
            angle = (start[:, :1] + right.cumsum(1)) * (math.tau / self.ring_columns)
            by = torch.stack([right, steps * angle.cos(), steps * angle.sin()], dim=-1)
        after = start[:, None] + by.cumsum(1)
        return torch.stack([after - by, after], dim=2)

    def relative(self, pose: Tensor, origin: Tensor) -> Tensor:
        """Poses `[..., P]` as seen from `origin` `[..., P]`."""
        return relative_pose(pose, origin, self.ring_columns)

    def stored(self, pose: Tensor) -> Tensor:
        """Poses `[..., P]` as memory keeps them: where the view comes round, how far into a turn it is."""
        if not self.ring_columns:
            return pose
        return torch.cat([pose[..., :1].remainder(self.ring_columns), pose[..., 1:]], dim=-1)


def relative_pose(pose: Tensor, origin: Tensor, ring_columns: int) -> Tensor:
    """Poses `[..., P]` as if the way had begun at `origin` `[..., P]`."""
    away = pose - origin
    if not ring_columns:
        return away
    right, x, y = away.unbind(-1)
    angle = origin[..., 0] * (math.tau / ring_columns)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([right, cos * x + sin * y, cos * y - sin * x], dim=-1)
