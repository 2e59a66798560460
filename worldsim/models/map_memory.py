"""Map memory: what was seen of a map that the view moves over, found again wherever the view has moved since.

In a world seen from above the view moves up, down and sideways by whole latent cells, so a cell that left the picture
has a place on the map, and comes back there. Memory keeps the cells of its frames and where the view was. For each cell
that may come into view, one attention over time alone, to the same place in the frames of memory, finds what was there;
what is found can be copied as it is. It is `worldsim.models.view_memory` in two directions, behind the same interface.

B batch, T frames, S frames in memory, C x h x w latents, m rows of them that move, E width of a key, A actions. A pose
is (x, y): cells to the right and down.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from worldsim.errors import WorldsimError
from worldsim.models.copy_head import Candidates
from worldsim.models.memory import AGES, age_bucket
from worldsim.models.view_memory import KEY

MOVES = ((-1, 0), (0, -1), (0, 0), (0, 1), (1, 0))  # of the view in a frame: cells down, cells to the right
STILL = 2  # index of no move
MISMATCH_CLIP = 2.0  # a cell's squared error counts up to this, so that things that move by themselves don't decide
MOVES_ROUNDS = 6  # of estimating how often actions move the view
STRAY = 0.05  # share of the cells that don't move with the view
MOST_AGAINST = 4.0  # a move that all cells together speak against counts so much less, as a logarithm
MISMATCH_SCALE = 0.2  # mismatch of a frame that is worth as much as a factor e of the move's probability


@dataclasses.dataclass(frozen=True)
class MapMemoryConfig:
    """A view that moves over a map by at most one cell a frame.

    Attributes:
        rows: m, of latent cells from the top; the others stand, as an inventory does.
    """

    rows: int

    def __post_init__(self) -> None:
        if self.rows < 2:
            raise WorldsimError(f"view.rows {self.rows}: give 2 or more rows of cells, or no view config at all")

    @property
    def pose_width(self) -> int:
        """Numbers of a pose."""
        return 2

    def places(self, patch_size: tuple[int, int]) -> int:
        """Places in a token: its cells."""
        return patch_size[0] * patch_size[1]

    def check(self, latent_shape: tuple[int, int, int]) -> None:
        """Refuse latents that it does not fit.

        Raises:
            WorldsimError: which says why.
        """
        if self.rows > latent_shape[1]:
            raise WorldsimError(f"view.rows {self.rows}: the latents have {latent_shape[1]} rows")

    def tracker(self, actions: int) -> MapPose:
        """What tells how the view moves."""
        return MapPose(self.rows, actions)

    def reader(self, width: int, patch_size: tuple[int, int], channels: int) -> MapMemory:
        """What finds what was seen, in a network of this width."""
        return MapMemory(self.rows, width, patch_size, channels)


class MapPose(nn.Module):
    """Tell how the view moved between two frames, by matching them and by how often each action moves it.

    Args:
        rows: m. actions: A.
    """

    def __init__(self, rows: int, actions: int):
        super().__init__()
        self.rows, self.width, self.ring_columns = rows, 2, 0
        # Log probability of each of MOVES under each action, of which the last is the null action.
        self.register_buffer("log_prob", torch.zeros(actions + 1, len(MOVES)))
        self.register_buffer("deltas", torch.tensor([(x, y) for y, x in MOVES], dtype=torch.float32), persistent=False)

    def stands_still(self, actions: Tensor) -> Tensor:
        """Probability that the view stays where it is under actions `[...]`: `[...]`."""
        return self.log_prob[actions].exp()[..., STILL]

    def mismatch(self, before: Tensor, after: Tensor) -> Tensor:
        """How badly frames `[..., C, h, w]` fit those that followed them, for each move: `[..., 5]`.

        The middle of the view is left out: who is steered stands there and goes with it."""
        before, after = before[..., : self.rows, :], after[..., : self.rows, :]
        h, w = before.shape[-2:]
        fits, middle = [], torch.ones(h, w, device=after.device)
        middle[h // 2, w // 2] = 0
        for down, right in MOVES:
            rows, columns = slice(max(0, -down), h - max(0, down)), slice(max(0, -right), w - max(0, right))
            was_rows, was_columns = slice(max(0, down), h + min(0, down)), slice(max(0, right), w + min(0, right))
            error = (after[..., rows, columns] - before[..., was_rows, was_columns]).float().square().mean(-3)
            counts = middle[rows, columns] * middle[was_rows, was_columns]
            fits.append((error.clamp(max=MISMATCH_CLIP) * counts).sum((-1, -2)) / counts.sum())
        return torch.stack(fits, dim=-1)

    def motion(self, before: Tensor, after: Tensor, actions: Tensor) -> tuple[Tensor]:
        """How the view moved between frames `[..., C, h, w]` under actions `[...]`; see `likeliest`."""
        return self.likeliest(self.mismatch(before, after), actions)

    def likeliest(self, mismatch: Tensor, actions: Tensor) -> tuple[Tensor]:
        """The most probable of MOVES, given a mismatch `[..., 5]` and actions `[...]`: int64 `[...]`."""
        return ((self.log_prob[actions] - mismatch / MISMATCH_SCALE).argmax(-1),)

    def learn_moves(self, mismatch: Tensor, actions: Tensor, buttons: Sequence[tuple[str, ...]]) -> None:
        """Estimate how often each action moves the view, from mismatches `[N, 5]` and actions `[N]`: expectation
        maximisation, for many views fit several moves."""
        self.log_prob.fill_(-math.log(len(MOVES)))
        for _ in range(MOVES_ROUNDS):
            probable = (self.log_prob[actions] - mismatch / MISMATCH_SCALE).softmax(-1)
            counts = torch.full_like(self.log_prob, 0.5).index_add_(0, actions, probable)
            counts[-1] += counts[:-1].sum(0)  # the null action may be any of them
            self.log_prob.copy_((counts / counts.sum(-1, keepdim=True)).log())

    def follow(self, start: Tensor, moves: Tensor) -> Tensor:
        """Where moves `[B, T]` lead from `start` `[B, 2]`: before and after each of them, float32 `[B, T, 2, 2]`."""
        by = self.deltas[moves]
        after = start[:, None] + by.cumsum(1)
        return torch.stack([after - by, after], dim=2)

    def relative(self, pose: Tensor, origin: Tensor) -> Tensor:
        """Poses `[..., 2]` as seen from `origin` `[..., 2]`."""
        return pose - origin

    def stored(self, pose: Tensor) -> Tensor:
        """Poses `[..., 2]` as memory keeps them."""
        return pose


class MapMemory(nn.Module):
    """Find what was seen before at the cells of the view and one cell around it: a candidate source.

    Args:
        rows: m. width: D of the network. patch_size: cells of a token. channels: C.
    """

    def __init__(self, rows: int, width: int, patch_size: tuple[int, int], channels: int):
        super().__init__()
        self.rows, self.patch_size = rows, patch_size
        (p, q), self.channels = patch_size, channels
        self.query = nn.Linear(width, KEY * p * q, bias=False)
        self.embed = nn.Linear((channels + 1) * (p + 2) * (q + 2), width)
        self.age = nn.Parameter(torch.zeros(AGES))
        self.nothing = nn.Parameter(torch.zeros(()))
        nn.init.zeros_(self.embed.weight)

    @property
    def candidates_count(self) -> int:
        """K, of `candidates`."""
        return len(MOVES)

    def find(self, features: Tensor, memory: Tensor, age: Tensor, here: Tensor, poses: Tensor, rows: int) -> Tensor:
        """What was at the cells of the view and one around it.

        Args:
            features: of the tokens `[B, T, N, D]`, N in `rows` rows.
            memory: keys and cells `[B, S, N, (E + C) cells of a token]`.
            age: int64 `[B, T, S]`, how many frames before each of the T; less than 1 is not read.
            here: `[B, T, 2]`, where the view is in each of the T frames. poses: `[B, S, 2]`, where it was.

        Returns:
            `[B, T, C + 1, h + 2, w + 2]`: cells, and how sure it is that there was something; 0 in rows that stand.
        """
        (p, q), m = self.patch_size, self.rows
        layout = {"y": rows, "p": p, "q": q}
        parts = memory.tensor_split([KEY * p * q], dim=-1)
        keys, cells = (rearrange(part, "b s (y x) (p q c) -> b s (y p) (x q) c", **layout)[:, :, :m] for part in parts)
        asked = rearrange(self.query(features), "b t (y x) (p q c) -> b t c (y p) (x q)", **layout)
        h = asked.shape[-2]
        found = self._attend(
            _with_border(asked[..., :m, :]), keys.to(asked.dtype), cells.to(asked.dtype), age, here, poses
        )
        return F.pad(found, (0, 0, 0, h - m))

    def embedding(self, found: Tensor) -> Tensor:
        """Of what was found `[B, C + 1, h + 2, w + 2]`, what is added to the frame to come's tokens: `[B, N, D]`."""
        p, q = self.patch_size
        h, w = found.shape[-2] - 2, found.shape[-1] - 2
        parts = [found[..., i : i + h : p, j : j + w : q] for i in range(p + 2) for j in range(q + 2)]
        return self.embed(rearrange(torch.stack(parts, dim=1), "b k c y x -> b (y x) (k c)"))

    def candidates(self, found: Tensor) -> Candidates:
        """Of what was found `[B, C + 1, h + 2, w + 2]`: each cell from its own place and from those beside it."""
        latents = found[:, :-1].float()
        h, w = found.shape[-2] - 2, found.shape[-1] - 2
        beside = [latents[..., 1 + y : 1 + y + h, 1 + x : 1 + x + w] for y, x in MOVES]
        return Candidates(torch.stack(beside, dim=1))

    def _attend(self, asked: Tensor, keys: Tensor, cells: Tensor, age: Tensor, here: Tensor, poses: Tensor) -> Tensor:
        """Queries `[B, T, E, m + 2, w + 2]`, keys and cells `[B, S, m, w, E or C]`, ages `[B, T, S]`, poses `[B, T, 2]`
        and `[B, S, 2]` -> `[B, T, C + 1, m + 2, w + 2]`."""
        b, s, m, w = keys.shape[:4]
        shift = (here[:, :, None] - poses[:, None]).round().long()[..., None]  # [B, T, S, 2, 1]
        rows = torch.arange(-1, m + 1, device=keys.device) + shift[..., 1, :]  # [B, T, S, m + 2], of memory's frames
        columns = torch.arange(-1, w + 1, device=keys.device) + shift[..., 0, :]  # [B, T, S, w + 2]
        seen_rows, seen_columns = (rows >= 0) & (rows < m), (columns >= 0) & (columns < w)
        seen = seen_rows[..., None] & seen_columns[..., None, :] & (age > 0)[..., None, None]
        # Who is steered stands in the middle: what is seen there is not of the map.
        seen = seen & ~((rows == m // 2)[..., None] & (columns == w // 2)[..., None, :])
        index = rows.clamp(0, m - 1)[..., None] * w + columns.clamp(0, w - 1)[..., None, :]
        index = index + torch.arange(b * s, device=keys.device).view(b, 1, s, 1, 1) * (m * w)
        keys, cells = (F.embedding(index, part.flatten(0, 3)) for part in (keys, cells))  # [B, T, S, m + 2, w + 2, .]
        scores = torch.einsum("bteyx,btsyxe->btsyx", asked, keys) * KEY**-0.5
        scores = scores + self.age[age_bucket(age)][..., None, None].to(scores.dtype)
        scores = scores.masked_fill(~seen, float("-inf"))
        # A softmax over all that is there and nothing, whose own cells are zero.
        most = torch.maximum(scores.amax(2, keepdim=True).detach().float(), self.nothing.detach())
        weights = (scores - most).exp()
        there = weights.sum(2, keepdim=True)
        found = torch.einsum("btsyx,btsyxc->btcyx", weights.to(cells.dtype), cells)
        return torch.cat([found, there], dim=2) / (there + (self.nothing - most).exp())


def moved_together(near: Candidates, found: Candidates, rows: int) -> list[Candidates]:
    """Sources whose candidates also weigh as much as all cells together speak for the move that they stand for: a view
    moves as a whole.

    The evidence of all cells is a posterior of the five moves. What it speaks against counts less by a bounded factor:
    a cell may be of a thing that goes its own way. A frame of pure noise leaves all as it is.

    Args:
        near: the frame before and what is beside each cell, weighed by the noised frame: bias `[B, K, Y, h, w]`, see
            `worldsim.models.palette.weighed`.
        found: of the map memory, one candidate for each of MOVES, weighed too.
        rows: m.
    """
    assert near.bias is not None and found.bias is not None
    side, w = math.isqrt(near.bias.shape[1]), near.bias.shape[-1]
    which = [(y + side // 2) * side + x + side // 2 for y, x in MOVES]
    inner = near.bias[:, which, :, 1 : rows - 1, 1:-1]  # what comes from beyond the edge is not known
    each = math.log(STRAY) + F.softplus(inner + math.log(1 / STRAY - 1))
    moved = each.sum((2, 3, 4)).log_softmax(1) + math.log(len(MOVES))
    bias = moved.clamp(min=-MOST_AGAINST)[:, :, None, None, None].expand(-1, -1, 1, rows, w)
    # Who is steered stands in the middle and stays there: that is taken for no move, and no move takes it along.
    stays = (torch.arange(len(MOVES), device=bias.device) == STILL)[:, None, None, None]
    middle = _of_the_middle(rows, w).to(bias.device)
    bias = torch.where(middle, torch.where(stays, bias.clamp(min=0), bias.clamp(max=0)), bias)
    bias = F.pad(bias, (0, 0, 0, near.bias.shape[-2] - rows))
    beside = [bias[:, which.index(k)] if k in which else torch.zeros_like(bias[:, 0]) for k in range(side**2)]
    return [
        near._replace(bias=near.bias + torch.stack(beside, dim=1)),
        found._replace(bias=found.bias + bias),
    ]


def _of_the_middle(rows: int, columns: int) -> Tensor:
    """Which cells would show the middle of the frame before under each of MOVES, bool `[5, 1, rows, columns]`."""
    shown, y, x = torch.zeros(len(MOVES), 1, rows, columns, dtype=torch.bool), rows // 2, columns // 2
    for k, (down, right) in enumerate(MOVES):
        shown[k, :, y - down, x - right] = True
    return shown


def _with_border(cells: Tensor) -> Tensor:
    """`[..., h, w]` with its edge repeated: `[..., h + 2, w + 2]`. The gradient of torch's own padding does not compile
    (2.13: an assertion on strides)."""
    taller = torch.cat([cells[..., :1, :], cells, cells[..., -1:, :]], dim=-2)
    return torch.cat([taller[..., :1], taller, taller[..., -1:]], dim=-1)
