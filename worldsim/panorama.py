"""The panorama: what was seen at every place of the room, found again wherever the view has moved since.

Where a world's view moves sideways by whole latent cells, or turns so, a cell that left the picture has a place, and
comes back there. So the log keeps the cells of its frames and where the view was; how far it moved is found by matching
two frames, with no labels. For each place that may come into view, one attention over time alone, to the same place in
the frames of the log, finds what was there. It costs no more than there are frames, and what is found can be copied as
it is. A place is a column of a few cells, whose number is a compromise: finer ones see past what hides half of them.

B batch, T frames, S frames in the log, C x h x w latents, X numbers of a place, y rows of places, E width of a key, A
actions, R the most cells that the view moves in a frame, v = w + 2 R columns: the view, and what may come into it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.recall import AGES, age_bucket

MOST_DIFFERENT = 0.05  # a cell's squared error counts up to this: things that move for themselves don't decide
SCALE = 0.003  # mismatch of a frame that is worth as much as e times the chance
STILL = 0.01  # what a cell of a move has to be worth: where all fit as badly, nothing moved


class Panorama(nn.Module):
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

    def mismatch(self, before: Tensor, after: Tensor) -> Tensor:
        """How badly frames `[..., C, h, w]` fit those that followed them, for each move: `[..., 2 R + 1]`."""
        w = before.shape[-1]
        fits = []
        for move in range(-self.reach, self.reach + 1):
            first, last = max(0, -move), w - max(0, move)
            error = (after[..., first:last] - before[..., first + move : last + move]).float().square().mean(-3)
            fits.append(error.clamp(max=MOST_DIFFERENT).mean((-1, -2)))
        return torch.stack(fits, dim=-1)

    def moves(self, before: Tensor, after: Tensor, actions: Tensor) -> Tensor:
        """By how many cells the view moved to the right between frames `[..., C, h, w]` under actions `[...]`: int64
        `[...]`, -R to R."""
        return self.likeliest(self.mismatch(before, after), actions)

    def likeliest(self, mismatch: Tensor, actions: Tensor) -> Tensor:
        """The move that such a mismatch `[..., 2 R + 1]` under actions `[...]` tells of: int64 `[...]`."""
        still = torch.arange(-self.reach, self.reach + 1, device=mismatch.device).abs() * STILL
        return (self.chance[actions] - mismatch / SCALE - still).argmax(-1) - self.reach

    def learn_moves(self, mismatch: Tensor, actions: Tensor) -> None:
        """Count how often each action moved the view, by the best fits: mismatches `[N, 2 R + 1]`, actions `[N]`."""
        best = F.one_hot(mismatch.argmin(-1), mismatch.shape[-1]).float()
        counts = torch.ones_like(self.chance).index_add_(0, actions, best)
        counts[-1] += best.sum(0)  # the null action may be any of them
        self.chance.copy_((counts / counts.sum(-1, keepdim=True)).log())

    def forward(self, q: Tensor, k: Tensor, cells: Tensor, age: Tensor, here: Tensor, place: Tensor) -> Tensor:
        """What was there.

        Args:
            q: what is asked for at each place of the view, `[B, T, y, w, E]`; at its edge, of what is beside it too.
            k: keys of the log's places, `[B, S, y, w, E]`.
            cells: what was in them, `[B, S, y, w, X]`.
            age: int64 `[B, T, S]`, how many frames before each of the T; less than 1 is not looked at.
            here: int64 `[B, T]`, where the view is in each of the T frames.
            place: int64 `[B, S]`, where it was in those of the log.

        Returns:
            `[B, T, X + 1, y, v]`: what was in them, and how sure it is that there was something.
        """
        t, view = q.shape[1], q.shape[3] + 2 * self.reach
        left = here.amin(1, keepdim=True) - self.reach  # the column of the room where all that is looked at begins
        columns = torch.arange(view + (t - 1) * self.reach, device=q.device) + left  # [B, K]
        (keys, stored), (values, _) = (_take(x, columns, place, self.around) for x in (k, cells.to(k.dtype)))
        asked, _ = _take(q, columns, here)
        scores = asked * q.shape[-1] ** -0.5 @ keys.mT  # [B, y, K, T, S]
        bias = self.age[age_bucket(age)].masked_fill(age < 1, float("-inf"))[:, None]  # [B, 1, T, S]
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
