"""Motion prior: how what is there goes on, from what it did so far: a thing that rolls, a hand, and what it carries.

Convolutions over single cells see the last frames of the last layer, how well each cell matches its neighbours of
earlier frames, the first layer if there are two, and the action; two of them are dilated, and one sees the mean of all
cells. For each cell of the last layer they mix candidates by a softmax:

    neighbours         of the newest frame, and of the one before
    repetition         what followed the last two frames when they were there before (as induction heads, Olsson et al.
                       2022), and what came before them in reversed order, for what meets a wall returns as it came
    composition        a moving thing over the static background, the median of the past (background subtraction,
                       Piccardi 2004): so a thing can be where nothing ever was

Cells of the first layer, what is seen, are mixed from its neighbours and the last layer. A residual is added, but only
where something moves: a small error in each frame would be a stain after a hundred. Earlier frames are first aligned
with the newest view, or what stands would seem to move with the view. It is trained by itself, on rollouts of its own
with a gradient through them, for which a transformer is too large here (`worldsim.train.motion`).

B batch, P known frames before the newest, F all frames, C x h x w latents of one layer.
"""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.errors import WorldsimError

PAST = 4  # frames by which speed is told
REACH = 2  # cells a frame, sideways
ROWS = 1  # and up or down
LAYERS = 5
WIDE = (2, 4)  # dilations, each after one of the first layers
EVERY = 3  # frames of the past of which one tells what stands
AROUND = (1, 3)  # rows and columns of cells around one that have to match, each way
MOVED = 0.1  # mean squared difference of a cell that is copied from what is there, from which on it may change whole
UNLIKE = 1.0  # mean squared difference of what was not in view
SHARP = 4.6  # at first: log of one over the mean squared difference that is a bad fit


@dataclasses.dataclass(frozen=True)
class MotionConfig:
    """A motion prior.

    Attributes:
        width: of its convolutions.
        gate_bias: added to the gates that copy it, for cells off the picture's edge, by the probability that the view
            stands still: there it is preferred.
    """

    width: int = 96
    gate_bias: float = 0.0

    def __post_init__(self) -> None:
        if self.width < 1:
            raise WorldsimError(f"motion.width {self.width}: give 1 or more, or no motion config at all")


class MotionPrior(nn.Module):
    """The next frame.

    Args:
        channels: C. width: of the convolutions. actions: how many there are, without the null action. layers: 1, or 2
            with a hidden layer. latent_clip: see `WorldModelConfig`; its own rollouts would grow without end where they
            diverge.
    """

    def __init__(self, channels: int, width: int, actions: int, layers: int = 1, latent_clip: float = 0.0):
        super().__init__()
        self.channels, self.layer_count, self.latent_clip = channels, layers, latent_clip
        whole, half = 2 * REACH + 1, REACH + 1
        seen = (PAST + 5) * channels + 3 * whole + 3 * half + 2
        over = 1 + (whole - 1) + (half - 1) + 2  # what stands, and what moves over it
        self.parts = [channels, whole + half + 2 + 2 + over + 1]  # what changes, and gates, of the last layer
        if layers == 2:
            self.parts += [channels, whole + 2 + 1 + 1]  # and of the first
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

    def forward(self, frames: Tensor, actions: Tensor, columns: Tensor) -> Tensor:
        """The next frame: the first of `predict`."""
        return self.predict(frames, actions, columns)[0]

    def predict(self, frames: Tensor, actions: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """The next frame, and the variance of the candidates that each of its cells is mixed of.

        Args:
            frames: latents of all layers `[B, P + 1, layers C, h, w]`, oldest first, P at least PAST - 1.
            actions: int64 `[B]`, the action taken on seeing the newest.
            columns: how many cells to the right the view was in each of them, from anywhere, `[B, P + 1]`.

        Returns:
            `[B, layers C, h, w]`; and `[B, layers, h, w]`, with a gradient of the gates alone: 0 where one candidate
            is copied.
        """
        last, in_view = aligned(frames[:, :, -self.channels :], columns)
        known = [last[:, -1]]  # where one was not in view, it is as the one after it: nothing moved
        for age in range(2, PAST + 1):
            known.append(torch.where(in_view[:, -age], last[:, -age], known[-1]))
        now, before, before2, before3 = known
        seen_layer, seen_before = frames[:, -1, : self.channels], frames[:, -2, : self.channels]
        stood = (columns[:, -1] == columns[:, -2])[:, None, None, None]
        steps, halves = range(-REACH, REACH + 1), range(-(REACH // 2), REACH // 2 + 1)
        whole, half = [_shifted(now, step) for step in steps], [_shifted(before, step) for step in halves]
        seen = [now, now - before, now - before2, before - before3]
        seen += [_difference(cell, _shifted(before, 2 * step)) for cell, step in zip(whole, steps, strict=True)]
        seen += [_difference(cell, now) for cell in whole]
        seen += [_difference(cell, _shifted(before3, 2 * step)) for cell, step in zip(half, halves, strict=True)]
        seen += [_difference(now, _shifted(before2, step)) for step in halves]
        seen += [seen_layer, torch.where(stood, seen_layer - seen_before, 0)]
        again, again_misfit, back, back_misfit = self.past(last, in_view)
        seen += [again - now, again_misfit, back - now, back_misfit]
        stands = background(last)
        thing, thing_before, thing_before2 = now - stands, before - stands, before2 - stands
        seen += [thing, *(_difference(thing, _shifted(thing_before, step)) for step in steps)]
        seen += [_difference(thing, _shifted(thing_before2, step)) for step in halves]
        x = F.silu(self.first(torch.cat(seen, dim=1)) + self.action(actions)[:, :, None, None])
        for i, layer in enumerate(self.layers):
            x = x + F.silu(layer(x))
            if i == 0:
                x = x + F.silu(self.whole(x.mean((-2, -1))))[:, :, None, None]
            if i < len(WIDE):
                x = x + F.silu(self.wide[i](x))
        made = self.out(x).split(self.parts, dim=1)
        moved = [_shifted(thing, step) for step in steps if step]
        moved += [_shifted(thing_before, step) for step in halves if step]
        over = [stands, *(stands + part for part in (*moved, *_shifted_vertically(thing)))]
        sources = [*whole, *half, *_shifted_vertically(now), again, back, *over]
        mixed = [_mixed(made[0], made[1], sources)]
        if self.layer_count == 2:
            sources = [*(_shifted(seen_layer, step) for step in steps), *_shifted_vertically(seen_layer), mixed[0][0]]
            mixed.insert(0, _mixed(made[2], made[3], sources))
        following, spread = (torch.cat(x, dim=1) for x in zip(*mixed, strict=True))
        if self.latent_clip:
            following = following.clamp(-self.latent_clip, self.latent_clip)
        return following, spread

    def past(self, last: Tensor, in_view: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What followed the last two frames when they were there before, and what came before them in reversed order.

        Of the last layer `[B, P + 1, C, h, w]`, of which cells that were not `in_view` (see `aligned`) match badly:
        twice cells `[B, C, h, w]`, and how badly the best match differs `[B, 1, h, w]`, about -1 to 1."""
        newest = torch.stack([torch.where(in_view[:, -2], last[:, -2], last[:, -1]), last[:, -1]], dim=1)
        apart = (newest[:, :, None] - last[:, None]).detach().square().mean(3)  # [B, 2, P + 1, h, w]
        apart = torch.where(in_view[:, None, :, 0], apart, UNLIKE)
        rows, columns = (_window(apart.shape[-2 + i], reach).to(apart) for i, reach in enumerate(AROUND))
        apart = F.linear(F.linear(apart, columns).mT, rows).mT
        recalled = []
        for before, after in ((apart[:, 0, :-2], last[:, 2:]), (apart[:, 0, 2:], last[:, :-2])):
            misfit = apart[:, 1, 1:-1] + before  # of those with one before and one after: [B, P - 1, h, w]
            shares = (-misfit * self.sharp.exp()).softmax(1)
            cells = torch.einsum("bsyx, bscyx -> bcyx", shares, after.to(shares.dtype))
            recalled += [cells, (misfit.amin(1, keepdim=True) + 1e-3).log() / 3 + 1]
        return recalled[0], recalled[1], recalled[2], recalled[3]


def aligned(frames: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Frames `[B, F, C, h, w]` as seen from where the view is in the newest of them, `columns` cells to the right `[B,
    F]`: what was not in view then is as it is now; and whether it was in view, bool `[B, F, 1, 1, w]`."""
    cells = torch.arange(frames.shape[-1], device=frames.device)
    index = (columns[:, -1:] - columns).round().long()[..., None, None, None] + cells
    in_view = (index >= 0) & (index < len(cells))
    moved = frames.gather(-1, index.clamp(0, len(cells) - 1).expand_as(frames))
    return torch.where(in_view, moved, frames[:, -1:]), in_view


def background(frames: Tensor) -> Tensor:
    """The static background: the median of frames `[B, F, C, h, w]`, `[B, C, h, w]`, with no gradient."""
    some = frames.detach()[:, ::EVERY].movedim(1, -1).sort(-1).values
    return some[..., some.shape[-1] // 2]


def _shifted(frame: Tensor, step: int) -> Tensor:
    """A frame moved so many cells to the right, its edge repeated."""
    if step == 0:
        return frame
    room, width = abs(step), frame.shape[-1]
    padded = F.pad(frame, (room, room, 0, 0), mode="replicate")
    return padded[..., room - step : room - step + width]


def _shifted_vertically(frame: Tensor) -> tuple[Tensor, Tensor]:
    """A frame moved down, and up."""
    return _shifted(frame.mT, ROWS).mT, _shifted(frame.mT, -ROWS).mT


def _mixed(change: Tensor, gates: Tensor, candidates: list[Tensor]) -> tuple[Tensor, Tensor]:
    """A softmax of candidates `[B, C, h, w]` by gates `[B, candidates + 1, h, w]`, and a change where they are not
    copied as they are; and the variance of what they are mixed of `[B, 1, h, w]`."""
    shares, cells = gates.softmax(1), torch.stack(candidates, dim=1)  # the last share is of nothing
    copied = torch.einsum("bkyx, bkcyx -> bcyx", shares[:, :-1], cells)
    apart = torch.cat([(cells - copied[:, None]).square().mean(2), copied.square().mean(1, keepdim=True)], dim=1)
    moved = (copied - candidates[REACH]).square().mean(1, keepdim=True) / MOVED
    return copied + (moved + shares[:, -1:]).clamp(max=1) * change, (shares * apart.detach()).sum(1, keepdim=True)


def _window(size: int, reach: int) -> Tensor:
    """A matrix that replaces each of `size` numbers by the mean of those up to `reach` beside it."""
    here = torch.arange(size)
    beside = ((here[:, None] - here).abs() <= reach).float()
    return beside / beside.sum(1, keepdim=True)


def _difference(cell: Tensor, other: Tensor) -> Tensor:
    """How much cells differ, on a log scale, about -1 to 1: `[B, 1, h, w]`."""
    return ((cell - other).square().mean(1, keepdim=True) + 1e-3).log() / 3 + 1
