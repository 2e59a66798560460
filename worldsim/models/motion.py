"""Motion prior: how objects continue to move, from how they moved so far: rolling, carried, or a hand itself.

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
with the newest view, or static objects would seem to move with it. It is trained alone, on its own rollouts with a
gradient through them, for which a transformer is too large here (`worldsim.train.motion`).

B batch, P known frames before the newest, F all frames, C x h x w latents of one layer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.errors import WorldsimError

PAST = 4  # newest frames, which show the speed
REACH = 2  # cells a frame, sideways
ROWS = 1  # and up or down
STEPS, HALF_STEPS = range(-REACH, REACH + 1), range(-(REACH // 2), REACH // 2 + 1)  # in one frame, in two
LAYERS = 5
WIDE = (2, 4)  # dilations, each after one of the first layers
EVERY = 3  # of so many frames of the past, one is used for the background
AROUND = (1, 3)  # rows and columns of cells around one that have to match, each way
MOVED = 0.1  # mean squared difference of a copied cell to what is there now, from which on a change is added in full
UNLIKE = 1.0  # mean squared difference of what was not in view
SHARP = 4.6  # initial log of 1 / (mean squared difference of a bad fit)


@dataclasses.dataclass(frozen=True)
class MotionConfig:
    """A motion prior.

    Attributes:
        width: of its convolutions.
        gate_bias: added to the gates that copy it, for cells not at the frame's edge, times the probability that the
            view does not move: there it is preferred.
    """

    width: int = 96
    gate_bias: float = 0.0

    def __post_init__(self) -> None:
        if self.width < 1:
            raise WorldsimError(f"motion.width {self.width}: give 1 or more, or no motion config at all")


class Recalled(NamedTuple):
    """What the past suggests, of the last layer.

    Attributes:
        again: cells `[B, C, h, w]` that followed the last two frames when they were there before.
        again_misfit: `[B, 1, h, w]`, how badly the best match differs, about -1 to 1.
        back: cells that came before them in reversed order. back_misfit: as `again_misfit`.
    """

    again: Tensor
    again_misfit: Tensor
    back: Tensor
    back_misfit: Tensor


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
        whole, half = len(STEPS), len(HALF_STEPS)
        seen = (PAST + 5) * channels + 3 * whole + 3 * half + 2
        over = 1 + (whole - 1) + (half - 1) + 2  # what stands, and what moves over it
        self.parts = [channels, whole + half + 2 + 2 + over + 1]  # what changes, and gates, of the last layer
        if layers == 2:
            self.parts += [channels, whole + 2 + 1 + 1]  # and of the first
        self.first = nn.Conv2d(seen, width, 3, padding=1)
        self.action = nn.Embedding(actions + 1, width)
        self.layers = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(LAYERS))
        self.wide = nn.ModuleList(nn.Conv2d(width, width, 3, padding=d, dilation=d) for d in WIDE)
        self.whole = nn.Linear(width, width)  # of the mean of all cells
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
        known, recalled, static = recent(last, in_view), self.past(last, in_view), background(last)
        seen, seen_before = frames[:, -1, : self.channels], frames[:, -2, : self.channels]
        stood = (columns[:, -1] == columns[:, -2])[:, None, None, None]
        seen_change = torch.where(stood, seen - seen_before, 0)
        x = torch.cat(_features(known, recalled, static, (seen, seen_change)), dim=1)
        x = F.silu(self.first(x) + self.action(actions)[:, :, None, None])
        for i, layer in enumerate(self.layers):
            x = x + F.silu(layer(x))
            if i == 0:
                x = x + F.silu(self.whole(x.mean((-2, -1))))[:, :, None, None]
            if i < len(WIDE):
                x = x + F.silu(self.wide[i](x))
        made = self.out(x).split(self.parts, dim=1)
        mixed = [mix(made[0], made[1], candidates(known, recalled, static))]
        if self.layer_count == 2:
            mixed.insert(0, mix(made[2], made[3], seen_candidates(seen, mixed[0][0])))
        following, spread = (torch.cat(x, dim=1) for x in zip(*mixed, strict=True))
        if self.latent_clip:
            following = following.clamp(-self.latent_clip, self.latent_clip)
        return following, spread

    def past(self, last: Tensor, in_view: Tensor) -> Recalled:
        """What followed the last two frames when they were there before, and what came before them in reversed order.

        Args:
            last: the last layer, aligned, `[B, P + 1, C, h, w]`.
            in_view: see `aligned`; cells that were not match badly.
        """
        newest = torch.stack([torch.where(in_view[:, -2], last[:, -2], last[:, -1]), last[:, -1]], dim=1)
        apart = (newest[:, :, None] - last[:, None]).detach().square().mean(3)  # [B, 2, P + 1, h, w]
        apart = torch.where(in_view[:, None, :, 0], apart, UNLIKE)
        rows, columns = (_window(apart.shape[-2 + i], reach).to(apart) for i, reach in enumerate(AROUND))
        apart = F.linear(F.linear(apart, columns).mT, rows).mT
        recalled = []
        for before, after in ((apart[:, 0, :-2], last[:, 2:]), (apart[:, 0, 2:], last[:, :-2])):
            misfit = apart[:, 1, 1:-1] + before  # of those with one before and one after: [B, P - 1, h, w]
            shares = (-misfit * self.sharp.exp()).softmax(1)
            cells = (shares[:, :, None] * after.to(shares.dtype)).sum(1)
            recalled += [cells, (misfit.amin(1, keepdim=True) + 1e-3).log() / 3 + 1]
        return Recalled(*recalled)


def candidates(known: Sequence[Tensor], recalled: Recalled, static: Tensor) -> dict[str, Tensor]:
    """What a cell of the last layer may be next, by name, each `[B, C, h, w]`; a number is of cells to the right.

    Args:
        known: see `recent`.
        recalled: of them.
        static: see `background`.
    """
    now, before = known[:2]
    thing, thing_before = now - static, before - static
    down, up = _shifted_vertically(now)
    thing_down, thing_up = _shifted_vertically(thing)
    return {
        **{f"now {step:+d}": _shifted(now, step) for step in STEPS},
        **{f"before {step:+d}": _shifted(before, step) for step in HALF_STEPS},
        "now down": down,
        "now up": up,
        "again": recalled.again,
        "back": recalled.back,
        "static": static,
        **{f"thing {step:+d}": static + _shifted(thing, step) for step in STEPS if step},
        **{f"thing before {step:+d}": static + _shifted(thing_before, step) for step in HALF_STEPS if step},
        "thing down": static + thing_down,
        "thing up": static + thing_up,
    }


def seen_candidates(seen: Tensor, uncovered: Tensor) -> dict[str, Tensor]:
    """What a cell of the first layer, `seen` now, may be next; `uncovered` is the last layer of the next frame."""
    down, up = _shifted_vertically(seen)
    beside = {f"now {step:+d}": _shifted(seen, step) for step in STEPS}
    return {**beside, "now down": down, "now up": up, "uncovered": uncovered}


def mix(change: Tensor, gates: Tensor, sources: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """A softmax of candidates, and a change where they are not copied from what is there now.

    Args:
        change: `[B, C, h, w]`, added in full where the mixture differs from "now +0", or nothing is copied.
        gates: `[B, candidates + 1, h, w]`, logits; the last is of copying nothing.
        sources: candidates, in the order of the gates.

    Returns:
        cells `[B, C, h, w]`, and the variance of what they are mixed of `[B, 1, h, w]`.
    """
    shares, cells = gates.softmax(1), _side_by_side(list(sources.values()))
    copied = (shares[:, :-1, None] * cells).sum(1)
    apart = torch.cat([(cells - copied[:, None]).square().mean(2), copied.square().mean(1, keepdim=True)], dim=1)
    moved = (copied - sources["now +0"]).square().mean(1, keepdim=True) / MOVED
    return copied + (moved + shares[:, -1:]).clamp(max=1) * change, (shares * apart.detach()).sum(1, keepdim=True)


def recent(last: Tensor, in_view: Tensor) -> list[Tensor]:
    """The newest `PAST` of aligned frames `[B, P + 1, C, h, w]`, the newest first. What was not in view is as in the
    frame after it: nothing moved."""
    known = [last[:, -1]]
    for age in range(2, PAST + 1):
        known.append(torch.where(in_view[:, -age], last[:, -age], known[-1]))
    return known


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
    some = frames.detach()[:, ::EVERY].movedim(1, -1)
    return some.topk(some.shape[-1] // 2 + 1, largest=False).values[..., -1]


def _shifted(frame: Tensor, step: int) -> Tensor:
    """A frame moved so many cells to the right, its edge repeated."""
    if step == 0:
        return frame
    room, width = 2 * REACH, frame.shape[-1]  # room for all steps: an exported graph pads a frame once
    padded = F.pad(frame, (room, room, 0, 0), mode="replicate")
    return padded[..., room - step : room - step + width]


def _shifted_vertically(frame: Tensor) -> tuple[Tensor, Tensor]:
    """A frame moved down, and up."""
    height, padded = frame.shape[-2], F.pad(frame, (0, 0, ROWS, ROWS), mode="replicate")
    return padded[..., :height, :], padded[..., 2 * ROWS :, :]


def _features(
    known: Sequence[Tensor], recalled: Recalled, static: Tensor, seen_layer: tuple[Tensor, Tensor]
) -> list[Tensor]:
    """What the convolutions see, concatenated: frames, changes, and how well cells match for each motion."""
    now, before, before2, before3 = known
    thing, thing_before, thing_before2 = now - static, before - static, before2 - static
    alike = [
        *((_shifted(now, step), _shifted(before, 2 * step)) for step in STEPS),
        *((_shifted(now, step), now) for step in STEPS),
        *((_shifted(before, step), _shifted(before3, 2 * step)) for step in HALF_STEPS),
        *((now, _shifted(before2, step)) for step in HALF_STEPS),
    ]
    things = [
        *((thing, _shifted(thing_before, step)) for step in STEPS),
        *((thing, _shifted(thing_before2, step)) for step in HALF_STEPS),
    ]
    apart = _difference(*(_side_by_side(side) for side in zip(*alike, *things, strict=True)))
    return [
        now,
        now - before,
        now - before2,
        before - before3,
        apart[:, : len(alike)],
        *seen_layer,
        recalled.again - now,
        recalled.again_misfit,
        recalled.back - now,
        recalled.back_misfit,
        thing,
        apart[:, len(alike) :],
    ]


def _window(size: int, reach: int) -> Tensor:
    """A matrix that replaces each of `size` numbers by the mean of those up to `reach` beside it."""
    here = torch.arange(size)
    beside = ((here[:, None] - here).abs() <= reach).float()
    return beside / beside.sum(1, keepdim=True)


def _side_by_side(cells: Sequence[Tensor]) -> Tensor:
    """K of `[B, C, h, w]` -> `[B, K, C, h, w]`."""
    return torch.cat(list(cells), dim=1).unflatten(1, (len(cells), -1))


def _difference(cells: Tensor, others: Tensor) -> Tensor:
    """How much cells `[B, K, C, h, w]` differ from others, on a log scale, about -1 to 1: `[B, K, h, w]`."""
    return ((cells - others).square().mean(2) + 1e-3).log() / 3 + 1
