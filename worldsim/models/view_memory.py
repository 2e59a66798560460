"""The panorama: what was seen at every place of the room, found again wherever the view has moved since.

Where a world's view moves sideways by whole latent cells, or turns so, a cell that left the picture has a place, and
comes back there. So the log keeps the cells of its frames and where the view was; how far it moved is found by matching
two frames, with no labels. For each place that may come into view, one attention over time alone, to the same place in
the frames of the log, finds what was there. It costs no more than there are frames, and what is found can be copied as
it is. A place is a column of a few cells, whose number is a compromise: finer ones see past what hides half of them.

Who turns may walk too, and what is ahead is seen otherwise from elsewhere. So where the view comes round, the way is
kept as an animal keeps it (path integration): what changes the picture and doesn't turn it was a step ahead, all steps
are as long, and the nearer a frame of the log was, the more it says. Steps back or aside are not known of.

B batch, T frames, S frames in the log, C x h x w latents, X numbers of a place, y rows of places, E width of a key, A
actions, R the most cells that the view moves in a frame, v = w + 2 R columns: the view, and what may come into it. P
numbers say where the view was: cells to the right, and where it comes round how many steps off, in x and in y.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.models.memory import AGES, age_bucket

MOST_DIFFERENT = 0.05  # a cell's squared error counts up to this: things that move for themselves don't decide
SCALE = 0.003  # mismatch of a frame that is worth as much as e times the chance
STILL = 0.01  # what a cell of a move has to be worth: where all fit as badly, nothing moved
STEP = 0.25  # of the usual mismatch of an action that walks: with less than that it led nowhere
NEVER = 1e4  # a mismatch that there is none of
NEAR = 32  # buckets of a quarter of an octave: distances up to 250 steps
NEAR_RATE = 10.0  # by which the bias by distance learns faster than other weights, for it starts far from its end


class ViewMemory(nn.Module):
    """Find what was seen before at the places of the view and beside it.

    Args:
        reach: R. actions: A. around: columns after which the view has come round; 0 if it never does.
    """

    def __init__(self, reach: int, actions: int, around: int = 0):
        super().__init__()
        self.reach, self.around = reach, around
        self.age = nn.Parameter(torch.zeros(AGES))
        self.nothing = nn.Parameter(torch.zeros(()))
        # Log of the chance of each move under each action, of which the last is the null action; see `learn_moves`.
        self.register_buffer("chance", torch.zeros(actions + 1, 2 * reach + 1))
        if around:
            self.near = nn.Parameter(-torch.arange(NEAR) * (math.log(2) / 2 / NEAR_RATE))  # one over distance squared
            # Mismatch from which on an action that moved the view so led a step ahead, too.
            self.register_buffer("walks", torch.full((actions + 1, 2 * reach + 1), NEVER))

    def mismatch(self, before: Tensor, after: Tensor) -> Tensor:
        """How badly frames `[..., C, h, w]` fit those that followed them, for each move: `[..., 2 R + 1]`."""
        w = before.shape[-1]
        fits = []
        for move in range(-self.reach, self.reach + 1):
            first, last = max(0, -move), w - max(0, move)
            error = (after[..., first:last] - before[..., first + move : last + move]).float().square().mean(-3)
            fits.append(error.clamp(max=MOST_DIFFERENT).mean((-1, -2)))
        return torch.stack(fits, dim=-1)

    def motion(self, before: Tensor, after: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """How the view moved between frames `[..., C, h, w]` under actions `[...]`; see `likeliest`."""
        return self.likeliest(self.mismatch(before, after), actions)

    def likeliest(self, mismatch: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """The motion that such a mismatch `[..., 2 R + 1]` under actions `[...]` tells of: cells to the right, int64
        `[...]`, -R to R; and steps ahead, float32 `[...]`, 0 or 1."""
        still = torch.arange(-self.reach, self.reach + 1, device=mismatch.device).abs() * STILL
        best = (self.chance[actions] - mismatch / SCALE - still).argmax(-1)
        if not self.around:
            return best - self.reach, torch.zeros_like(mismatch[..., 0])
        least, left = (x.gather(-1, best[..., None])[..., 0] for x in (self.walks[actions], mismatch))
        return best - self.reach, (left > least).float()

    def learn_moves(self, mismatch: Tensor, actions: Tensor, buttons: Sequence[tuple[str, ...]]) -> None:
        """Count how often each action moved the view, by the best fits: mismatches `[N, 2 R + 1]`, actions `[N]`.

        Of two `buttons` that are held at once, each does what it does alone: the picture of who walks and turns fits no
        move well.
        """
        left, best = mismatch.min(-1)
        none, size = self.reach, mismatch.shape[-1]
        counts = torch.ones_like(self.chance).index_add_(0, actions, F.one_hot(best, size).float())
        counts[-1] += counts[:-1].sum(0)  # the null action may be any of them
        chance = counts / counts.sum(-1, keepdim=True)
        least = torch.full((len(counts),), NEVER)
        for action, held in enumerate(buttons):
            if held and chance[action].argmax() == none and (actions == action).any():
                least[action] = STEP * left[actions == action].median()
        alone = {held[0]: action for action, held in enumerate(buttons) if len(held) == 1}
        for action, held in enumerate(buttons):
            if len(held) > 1 and all(button in alone for button in held):
                parts = [alone[button] for button in held]
                chance[action] = F.one_hot(torch.tensor(none), size)
                for part in parts:  # moves add up
                    both = F.conv1d(chance[action][None, None], chance[part].flip(0)[None, None], padding=none)
                    chance[action] = both[0, 0] / both.sum()
                least[action] = least[parts].min()
        self.chance.copy_(chance.log())
        if self.around:
            self.walks.copy_(least[:, None])
            self.walks[-1, none] = least.min()  # of the null action what doesn't turn is taken for a step

    def follow(self, start: Tensor, moves: Tensor, steps: Tensor) -> Tensor:
        """Where motions `[B, T]` lead from `start` `[B, P]`: before and after each of them, float32 `[B, T, 2, P]`."""
        right = moves.float()
        by = right[..., None]
        if self.around:
            angle = (start[:, :1] + right.cumsum(1)) * (math.tau / self.around)
            by = torch.stack([right, steps * angle.cos(), steps * angle.sin()], dim=-1)
        after = start[:, None] + by.cumsum(1)
        return torch.stack([after - by, after], dim=2)

    def forward(self, q: Tensor, k: Tensor, cells: Tensor, age: Tensor, here: Tensor, place: Tensor) -> Tensor:
        """What was there.

        Args:
            q: what is asked for at each place of the view, `[B, T, y, w, E]`; at its edge, of what is beside it too.
            k: keys of the log's places, `[B, S, y, w, E]`.
            cells: what was in them, `[B, S, y, w, X]`.
            age: int64 `[B, T, S]`, how many frames before each of the T; less than 1 is not looked at.
            here: `[B, T, P]`, where the view is in each of the T frames.
            place: `[B, S, P]`, where it was in those of the log.

        Returns:
            `[B, T, X + 1, y, v]`: what was in them, and how sure it is that there was something.
        """
        t, view = q.shape[1], q.shape[3] + 2 * self.reach
        bias = self.age[age_bucket(age)]
        if self.around:
            apart = (here[:, :, None, 1:] - place[:, None, :, 1:]).square().sum(-1).sqrt()  # [B, T, S], steps
            bias = bias + NEAR_RATE * self.near[(4 * (1 + apart).log2()).long().clamp(max=NEAR - 1)]
        here, place = (x[..., 0].round().long() for x in (here, place))
        left = here.amin(1, keepdim=True) - self.reach  # the column of the room where all that is looked at begins
        columns = torch.arange(view + (t - 1) * self.reach, device=q.device) + left  # [B, K]
        (keys, stored), (values, _) = (_take(x, columns, place, self.around) for x in (k, cells.to(k.dtype)))
        asked, _ = _take(q, columns, here)
        scores = asked * q.shape[-1] ** -0.5 @ keys.mT  # [B, y, K, T, S]
        bias = bias.masked_fill(age < 1, float("-inf"))[:, None]  # [B, 1, T, S]
        bias = bias.masked_fill(~stored[:, :, None], float("-inf"))  # [B, K, T, S]
        scores = scores + bias[:, None].to(q.dtype)
        # A softmax over all that is there and nothing, whose own cells are zero.
        most = torch.maximum(scores.amax(-1, keepdim=True).detach().float(), self.nothing.detach())
        weights = (scores - most).exp()
        there = weights.sum(-1, keepdim=True)
        found = torch.cat([weights.to(values.dtype) @ values, there], dim=-1)
        found = found / (there + (self.nothing - most).exp())
        found = found.permute(0, 3, 4, 1, 2)  # [B, T, X + 1, y, K]
        if t == 1:  # in play: these columns are the view's own
            return found
        index = torch.arange(view, device=q.device) + (here - self.reach - left)[..., None]  # [B, T, v]
        return found.gather(-1, index[:, :, None, None].expand(*found.shape[:4], view))


def seen_from(now: Tensor, places: Tensor, around: int) -> Tensor:
    """Places `[..., P]` as if the way had begun at `now` `[..., P]`."""
    away = places - now
    if not around:
        return away
    right, x, y = away.unbind(-1)
    angle = now[..., 0] * (math.tau / around)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([right, cos * x + sin * y, cos * y - sin * x], dim=-1)


def _take(x: Tensor, columns: Tensor, first: Tensor, around: int = 0) -> tuple[Tensor, Tensor]:
    """The room's columns `[B, K]` of pictures `[B, S, y, w, X]` whose first column is at `first` `[B, S]`: `[B, y, K,
    S, X]`, beside the picture its edge, and which of them are in it, bool `[B, K, S]`. With `around` a column is that
    many columns further on again."""
    b, s, y, w = x.shape[:4]
    index = columns[:, :, None] - first[:, None]
    if around:
        index = index.remainder(around)
    inside = (index >= 0) & (index < w)
    row = torch.arange(b * s * y, device=x.device).view(b, s, y, 1).permute(0, 2, 3, 1) * w  # [B, y, 1, S]
    return F.embedding(row + index.clamp(0, w - 1)[:, None], x.flatten(0, 3)), inside
