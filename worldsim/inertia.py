"""Inertia: how what is there goes on, by what it did so far: a thing that rolls, and what is carried.

Convolutions over single cells see the last frames of the last picture, how well each cell fits one that was beside it
before, the hand in the first picture, and the action. They copy each cell from beside it, or from the past: what came
after the last two frames when they were there before, for what goes back and forth repeats itself (as induction heads,
Olsson et al. 2022), and what came before them the other way round, for what meets a wall goes back as it came. It
learns alone, on runs of its own with a gradient through them, for which a transformer is too large here
(`worldsim.train.inertia`).

B batch, P known frames before the newest, T newest frames, C x h x w latents of one picture, S frames of the past.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.dynamics_config import PAST

REACH = 2  # cells a frame, sideways
ROWS = 1  # and up or down
LAYERS = 5
AROUND = (1, 3)  # rows and columns of cells beside one that have to be as they were, each way
SHARP = 4.6  # at first: log of one over the mean squared difference that is a bad fit


class Inertia(nn.Module):
    """The last picture of the next frame.

    Args:
        cells: C. width: of the convolutions. actions: how many there are, without the null action.
    """

    def __init__(self, cells: int, width: int, actions: int):
        super().__init__()
        self.cells = cells
        whole, half = 2 * REACH + 1, REACH + 1
        seen = (PAST + 4) * cells + 2 * whole + 2 * half + 2
        self.first = nn.Conv2d(seen, width, 3, padding=1)
        self.action = nn.Embedding(actions + 1, width)
        self.layers = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(LAYERS))
        self.out = nn.Conv2d(width, cells + whole + half + 2 + 2 + 1, 3, padding=1)
        self.sharp = nn.Parameter(torch.tensor(SHARP))
        nn.init.normal_(self.action.weight, std=0.1)
        for weight in self.out.parameters():
            nn.init.zeros_(weight)

    def forward(self, frames: Tensor, actions: Tensor) -> Tensor:
        """What comes after each of the T newest frames.

        Args:
            frames: latents of all pictures `[B, P + T, pictures C, h, w]`, oldest first, P at least PAST - 1.
            actions: int64 `[B, T]`, the action taken on seeing each of the T.

        Returns:
            `[B, T, C, h, w]`.
        """
        count, t = frames.shape[1], actions.shape[1]
        first, last = frames[:, :, : self.cells], frames[:, :, -self.cells :]
        newest = [last[:, count - t - age : count - age] for age in range(PAST)]
        now, before, before2, before3 = torch.stack(newest, dim=2).flatten(0, 1).unbind(1)
        hand, hand_before = (first[:, count - t - age : count - age].flatten(0, 1) for age in range(2))
        steps, halves = range(-REACH, REACH + 1), range(-(REACH // 2), REACH // 2 + 1)
        whole, half = [_aside(now, step) for step in steps], [_aside(before, step) for step in halves]
        seen = [now, now - before, now - before2, before - before3]
        seen += [_differs(cell, _aside(before, 2 * step)) for cell, step in zip(whole, steps, strict=True)]
        seen += [_differs(cell, now) for cell in whole]
        seen += [_differs(cell, _aside(before3, 2 * step)) for cell, step in zip(half, halves, strict=True)]
        seen += [_differs(now, _aside(before2, step)) for step in halves]
        seen += [hand, hand - hand_before]
        again, again_misfit, back, back_misfit = (x.flatten(0, 1) for x in self.past(last, t))
        seen += [again - now, again_misfit, back - now, back_misfit]
        x = F.silu(self.first(torch.cat(seen, dim=1)) + self.action(actions.flatten())[:, :, None, None])
        for layer in self.layers:
            x = x + F.silu(layer(x))
        change, gates = self.out(x).tensor_split([self.cells], dim=1)
        shares = gates.softmax(1)  # the last one is nothing
        below, above = (_aside(now.mT, step).mT for step in (ROWS, -ROWS))
        places = [*whole, *half, below, above, again, back]
        made = change + sum(shares[:, i : i + 1] * cell for i, cell in enumerate(places))
        return made.unflatten(0, (-1, t))

    def past(self, last: Tensor, t: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What came after the last two frames when they were there before, and what came before them the other way
        round: of the last picture `[B, P + T, C, h, w]`, for each of its T newest frames cells `[B, T, C, h, w]` and
        how badly the best of them fits `[B, T, 1, h, w]`, about -1 to 1, twice."""
        count = last.shape[1]
        newest = last[:, count - t - 1 :, None].detach()
        apart = (newest - last[:, None].detach()).square().mean(3)  # [B, T + 1, P + T, h, w]
        rows, columns = (_window(apart.shape[-2 + i], reach).to(apart) for i, reach in enumerate(AROUND))
        apart = F.linear(F.linear(apart, columns).mT, rows).mT
        here = torch.arange(count - t, count, device=last.device)[:, None]
        then = torch.arange(1, count - 1, device=last.device)  # with one before and one after
        known = (then < here) & (then > here - (count - t))  # [T, S]: no more than P + 1 frames
        told = []
        for before, after in ((apart[:, :-1, :-2], last[:, 2:]), (apart[:, :-1, 2:], last[:, :-2])):
            misfit = (apart[:, 1:, 1:-1] + before).masked_fill(~known[:, :, None, None], float("inf"))
            shares = (-misfit * self.sharp.exp()).softmax(2)  # [B, T, S, h, w]
            cells = torch.einsum("btsyx, bscyx -> btcyx", shares, after.to(shares.dtype))
            told += [cells, (misfit.amin(2, keepdim=True) + 1e-3).log() / 3 + 1]
        return told[0], told[1], told[2], told[3]


def _aside(frame: Tensor, step: int) -> Tensor:
    """A frame moved so many cells to the right, its edge repeated."""
    if step == 0:
        return frame
    room, width = abs(step), frame.shape[-1]
    padded = F.pad(frame, (room, room, 0, 0), mode="replicate")
    return padded[..., room - step : room - step + width]


def _window(size: int, reach: int) -> Tensor:
    """What makes each of so many numbers the mean of those up to `reach` beside it: `[size, size]`."""
    here = torch.arange(size)
    beside = ((here[:, None] - here).abs() <= reach).float()
    return beside / beside.sum(1, keepdim=True)


def _differs(cell: Tensor, other: Tensor) -> Tensor:
    """By how much cells differ, about -1 to 1: `[B, 1, h, w]`."""
    return ((cell - other).square().mean(1, keepdim=True) + 1e-3).log() / 3 + 1
