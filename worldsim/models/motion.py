"""MotionPrior: how what is there goes on, by what it did so far: a thing that rolls, a hand, and what it carries.

Convolutions over single cells see the last frames of the last picture, how well each cell fits one that was beside it
before, the first picture if there are two, and the action; two of them are dilated, and one sees the mean of all cells,
for a hand is some cells from the foot of what it carries. They copy each cell of the last picture from beside it, or
from the past: what came after the last two frames when they were there before, for what goes back and forth repeats
itself (as induction heads, Olsson et al. 2022), and what came before them the other way round, for what meets a wall
goes back as it came. Or they lay a thing over what stands where it goes, the median of the past: a thing before a fence
is, in latents, the fence and what the thing adds elsewhere, so it can be where nothing ever was (a background that is
subtracted, as in video surveillance; Piccardi 2004). They copy each cell of the first picture, of what is seen, from
beside it, or from the last, where something uncovers it. To all that they add a change; but to nothing that stays as it
is, for what is little in a frame is a stain in a hundred. All of the past is seen from where the view is now, or what
stands would seem to move with the view. It learns alone, on runs of its own with a gradient through them, for which a
transformer is too large here (`worldsim.train.motion`).

B batch, P known frames before the newest, F all frames, C x h x w latents of one picture.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.models.config import PAST

REACH = 2  # cells a frame, sideways
ROWS = 1  # and up or down
LAYERS = 5
WIDE = (2, 4)  # dilations, each after one of the first layers
EVERY = 3  # frames of the past of which one tells what stands
AROUND = (1, 3)  # rows and columns of cells beside one that have to be as they were, each way
MOVED = 0.1  # mean squared difference of a cell that is copied from what is there, from which on it may change whole
UNLIKE = 1.0  # mean squared difference of what was not in view
SHARP = 4.6  # at first: log of one over the mean squared difference that is a bad fit


class MotionPrior(nn.Module):
    """The next frame.

    Args:
        cells: C. width: of the convolutions. actions: how many there are, without the null action. pictures: 1, or 2
            where the second is what is behind the first. largest: see `WorldModelConfig`; runs of its own would grow
            without end where they are lost.
    """

    def __init__(self, cells: int, width: int, actions: int, pictures: int = 1, largest: float = 0.0):
        super().__init__()
        self.cells, self.pictures, self.largest = cells, pictures, largest
        whole, half = 2 * REACH + 1, REACH + 1
        seen = (PAST + 5) * cells + 3 * whole + 3 * half + 2
        over = 1 + (whole - 1) + (half - 1) + 2  # what stands, and what moves over it
        self.parts = [cells, whole + half + 2 + 2 + over + 1]  # what changes, and gates, of the last picture
        if pictures == 2:
            self.parts += [cells, whole + 2 + 1 + 1]  # and of the first
        self.first = nn.Conv2d(seen, width, 3, padding=1)
        self.action = nn.Embedding(actions + 1, width)
        self.layers = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(LAYERS))
        self.wide = nn.ModuleList(nn.Conv2d(width, width, 3, padding=d, dilation=d) for d in WIDE)
        self.whole = nn.Linear(width, width)  # of the picture's mean
        self.out = nn.Conv2d(width, sum(self.parts), 3, padding=1)
        self.sharp = nn.Parameter(torch.tensor(SHARP))
        nn.init.normal_(self.action.weight, std=0.1)
        for weight in (*self.wide.parameters(), *self.whole.parameters(), *self.out.parameters()):
            nn.init.zeros_(weight)

    def forward(self, frames: Tensor, actions: Tensor, places: Tensor) -> Tensor:
        """What comes next: the first of `told`."""
        return self.told(frames, actions, places)[0]

    def told(self, frames: Tensor, actions: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """What comes next, and how undecided it is where that is copied from.

        Args:
            frames: latents of all pictures `[B, P + 1, pictures C, h, w]`, oldest first, P at least PAST - 1.
            actions: int64 `[B]`, the action taken on seeing the newest.
            places: how many cells to the right the view was in each of them, from anywhere, `[B, P + 1]`.

        Returns:
            `[B, pictures C, h, w]`, and the variance of what each cell is mixed of, `[B, pictures, h, w]`, with a
            gradient of the gates alone: 0 where one place is copied.
        """
        last, in_view = from_here(frames[:, :, -self.cells :], places)
        known = [last[:, -1]]  # where one was not in view, it is as the one after it: nothing moved
        for age in range(2, PAST + 1):
            known.append(torch.where(in_view[:, -age], last[:, -age], known[-1]))
        now, before, before2, before3 = known
        sight, sight_before = frames[:, -1, : self.cells], frames[:, -2, : self.cells]
        stood = (places[:, -1] == places[:, -2])[:, None, None, None]
        steps, halves = range(-REACH, REACH + 1), range(-(REACH // 2), REACH // 2 + 1)
        whole, half = [_aside(now, step) for step in steps], [_aside(before, step) for step in halves]
        seen = [now, now - before, now - before2, before - before3]
        seen += [_differs(cell, _aside(before, 2 * step)) for cell, step in zip(whole, steps, strict=True)]
        seen += [_differs(cell, now) for cell in whole]
        seen += [_differs(cell, _aside(before3, 2 * step)) for cell, step in zip(half, halves, strict=True)]
        seen += [_differs(now, _aside(before2, step)) for step in halves]
        seen += [sight, torch.where(stood, sight - sight_before, 0)]
        again, again_misfit, back, back_misfit = self.past(last, in_view)
        seen += [again - now, again_misfit, back - now, back_misfit]
        stands = what_stands(last)
        thing, thing_before, thing_before2 = now - stands, before - stands, before2 - stands
        seen += [thing, *(_differs(thing, _aside(thing_before, step)) for step in steps)]
        seen += [_differs(thing, _aside(thing_before2, step)) for step in halves]
        x = F.silu(self.first(torch.cat(seen, dim=1)) + self.action(actions)[:, :, None, None])
        for i, layer in enumerate(self.layers):
            x = x + F.silu(layer(x))
            if i == 0:
                x = x + F.silu(self.whole(x.mean((-2, -1))))[:, :, None, None]
            if i < len(WIDE):
                x = x + F.silu(self.wide[i](x))
        made = self.out(x).split(self.parts, dim=1)
        moved = [_aside(thing, step) for step in steps if step]
        moved += [_aside(thing_before, step) for step in halves if step]
        over = [stands, *(stands + part for part in (*moved, *_above_and_below(thing)))]
        sources = [*whole, *half, *_above_and_below(now), again, back, *over]
        told = [_taken(made[0], made[1], sources)]
        if self.pictures == 2:
            sources = [*(_aside(sight, step) for step in steps), *_above_and_below(sight), told[0][0]]
            told.insert(0, _taken(made[2], made[3], sources))
        following, spread = (torch.cat(x, dim=1) for x in zip(*told, strict=True))
        if self.largest:
            following = following.clamp(-self.largest, self.largest)
        return following, spread

    def past(self, last: Tensor, in_view: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What came after the last two frames when they were there before, and what came before them the other way
        round: of the last picture `[B, P + 1, C, h, w]`, of which what was not `in_view` (see `from_here`) fits badly,
        cells `[B, C, h, w]` and how badly the best of them fits `[B, 1, h, w]`, about -1 to 1, twice."""
        newest = torch.stack([torch.where(in_view[:, -2], last[:, -2], last[:, -1]), last[:, -1]], dim=1)
        apart = (newest[:, :, None] - last[:, None]).detach().square().mean(3)  # [B, 2, P + 1, h, w]
        apart = torch.where(in_view[:, None, :, 0], apart, UNLIKE)
        rows, columns = (_window(apart.shape[-2 + i], reach).to(apart) for i, reach in enumerate(AROUND))
        apart = F.linear(F.linear(apart, columns).mT, rows).mT
        told = []
        for before, after in ((apart[:, 0, :-2], last[:, 2:]), (apart[:, 0, 2:], last[:, :-2])):
            misfit = apart[:, 1, 1:-1] + before  # of those with one before and one after: [B, P - 1, h, w]
            shares = (-misfit * self.sharp.exp()).softmax(1)
            cells = torch.einsum("bsyx, bscyx -> bcyx", shares, after.to(shares.dtype))
            told += [cells, (misfit.amin(1, keepdim=True) + 1e-3).log() / 3 + 1]
        return told[0], told[1], told[2], told[3]


def from_here(frames: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Frames `[B, F, C, h, w]` as seen from where the view is in the newest of them, `places` cells to the right `[B,
    F]`: what was not in view then is as it is now; and whether it was in view, bool `[B, F, 1, 1, w]`."""
    columns = torch.arange(frames.shape[-1], device=frames.device)
    index = (places[:, -1:] - places).round().long()[..., None, None, None] + columns
    in_view = (index >= 0) & (index < len(columns))
    moved = frames.gather(-1, index.clamp(0, len(columns) - 1).expand_as(frames))
    return torch.where(in_view, moved, frames[:, -1:]), in_view


def what_stands(frames: Tensor) -> Tensor:
    """What is behind all that moves: the median of frames `[B, F, C, h, w]`, `[B, C, h, w]`, with no gradient."""
    some = frames.detach()[:, ::EVERY].movedim(1, -1).sort(-1).values
    return some[..., some.shape[-1] // 2]


def _aside(frame: Tensor, step: int) -> Tensor:
    """A frame moved so many cells to the right, its edge repeated."""
    if step == 0:
        return frame
    room, width = abs(step), frame.shape[-1]
    padded = F.pad(frame, (room, room, 0, 0), mode="replicate")
    return padded[..., room - step : room - step + width]


def _above_and_below(frame: Tensor) -> tuple[Tensor, Tensor]:
    """A frame moved down, and up."""
    return _aside(frame.mT, ROWS).mT, _aside(frame.mT, -ROWS).mT


def _taken(change: Tensor, gates: Tensor, places: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Cells `[B, C, h, w]` as they are in some places, by gates `[B, places + 1, h, w]`, and what changes, where they
    are not copied as they are; and the variance of what they are mixed of `[B, 1, h, w]`."""
    shares, cells = gates.softmax(1), torch.stack(places, dim=1)  # the last share is of nothing
    copied = torch.einsum("bkyx, bkcyx -> bcyx", shares[:, :-1], cells)
    apart = torch.cat([(cells - copied[:, None]).square().mean(2), copied.square().mean(1, keepdim=True)], dim=1)
    moved = (copied - places[REACH]).square().mean(1, keepdim=True) / MOVED
    return copied + (moved + shares[:, -1:]).clamp(max=1) * change, (shares * apart.detach()).sum(1, keepdim=True)


def _window(size: int, reach: int) -> Tensor:
    """What makes each of so many numbers the mean of those up to `reach` beside it: `[size, size]`."""
    here = torch.arange(size)
    beside = ((here[:, None] - here).abs() <= reach).float()
    return beside / beside.sum(1, keepdim=True)


def _differs(cell: Tensor, other: Tensor) -> Tensor:
    """By how much cells differ, about -1 to 1: `[B, 1, h, w]`."""
    return ((cell - other).square().mean(1, keepdim=True) + 1e-3).log() / 3 + 1
