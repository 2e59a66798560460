"""View memory: what was seen at every place, found again wherever the view has moved since.

Where a world's view moves sideways by whole latent cells, or turns so, a cell that left the picture has a place, and
comes back there. Memory keeps the cells of its frames and where the view was (`worldsim.models.pose`). For each place
that may come into view, one attention over time alone, to the same place in the frames of memory, finds what was there;
what is found can be copied as it is. A place is a column of a few cells: finer ones see past what hides half of them.
Where the view also walks, nearer frames say more.

B batch, T frames, S frames in memory, C x h x w latents, X numbers of a place, y rows of places, E width of a key, R
the most cells that the view moves in a frame, v = w + 2 R columns: the view, and what may come into it. P numbers of a
pose.
"""

from __future__ import annotations

import dataclasses
import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from worldsim.errors import WorldsimError
from worldsim.models.copy_head import Candidates
from worldsim.models.memory import AGES, age_bucket
from worldsim.models.pose import PoseTracker

KEY = 8  # width of a key
DISTANCES = 32  # buckets of a quarter of an octave: distances up to 250 steps
DISTANCE_LR = 10.0  # by which the bias by distance learns faster than other weights, for it starts far from its end


@dataclasses.dataclass(frozen=True)
class ViewMemoryConfig:
    """A view that moves, and what it saw elsewhere.

    Attributes:
        max_shift: by how many cells the view may move sideways in a frame.
        ring_columns: cells of a whole turn, where the view comes round; 0 for a view that never does.
    """

    max_shift: int = 1
    ring_columns: int = 0

    def __post_init__(self) -> None:
        if self.max_shift < 1:
            raise WorldsimError(f"view.max_shift {self.max_shift}: give 1 or more cells, or no view config at all")

    @property
    def pose_width(self) -> int:
        """Numbers of a pose."""
        return 3 if self.ring_columns else 1

    def places(self, patch_size: tuple[int, int]) -> int:
        """Places in a token: its columns of cells."""
        return patch_size[1]

    def check(self, latent_shape: tuple[int, int, int]) -> None:
        """Refuse latents that it does not fit.

        Raises:
            WorldsimError: which says why.
        """
        if self.ring_columns and self.ring_columns < latent_shape[2] + 2 * self.max_shift:
            raise WorldsimError(f"view.ring_columns {self.ring_columns}: the view is wider than a whole turn")

    def tracker(self, actions: int) -> PoseTracker:
        """What tells how the view moves."""
        return PoseTracker(self.max_shift, actions, self.ring_columns)

    def reader(self, width: int, patch_size: tuple[int, int], channels: int) -> ViewMemory:
        """What finds what was seen, in a network of this width."""
        return ViewMemory(self, width, patch_size, channels)


class ViewMemory(nn.Module):
    """Find what was seen before at the places of the view and beside it: a candidate source.

    Args:
        config: of the view. width: D of the network. patch_size: cells of a token. channels: C.
    """

    def __init__(self, config: ViewMemoryConfig, width: int, patch_size: tuple[int, int], channels: int):
        super().__init__()
        self.max_shift, self.ring_columns = config.max_shift, config.ring_columns
        self.patch_size, self.place_width = patch_size, channels * patch_size[0]
        self.query = nn.Linear(width, KEY * patch_size[1], bias=False)
        self.embed = nn.Linear((self.place_width + 1) * (patch_size[1] + 2 * self.max_shift), width)
        self.age = nn.Parameter(torch.zeros(AGES))
        self.nothing = nn.Parameter(torch.zeros(()))
        if self.ring_columns:  # one over the distance squared
            self.distance = nn.Parameter(-torch.arange(DISTANCES) * (math.log(2) / 2 / DISTANCE_LR))
        nn.init.zeros_(self.embed.weight)

    @property
    def candidates_count(self) -> int:
        """K, of `candidates`."""
        return 2 * self.max_shift + 1

    def find(self, features: Tensor, memory: Tensor, age: Tensor, here: Tensor, poses: Tensor, rows: int) -> Tensor:
        """What was at the places of the view and beside it.

        Args:
            features: of the tokens `[B, T, N, D]`, N in `rows` rows.
            memory: keys and cells `[B, S, N, KEY columns + V]`.
            age: int64 `[B, T, S]`, how many frames before each of the T; less than 1 is not read.
            here: `[B, T, P]`, where the view is in each of the T frames. poses: `[B, S, P]`, where it was.

        Returns:
            `[B, T, X + 1, y, v]`: the cells of each place, and how sure it is that there was something.
        """
        q = self.patch_size[1]
        parts = memory.tensor_split([KEY * q], dim=-1)
        # Side by side, columns are in memory as they are needed: no more than a view of it.
        keys, cells = (rearrange(part, "b s (y x) (q c) -> b s y (x q) c", y=rows, q=q) for part in parts)
        asked = rearrange(self.query(features), "b t (y x) (c q) -> b t y (x q) c", y=rows, q=q)
        return self(asked, keys.to(asked.dtype), cells.to(asked.dtype), age, here, poses)

    def embedding(self, found: Tensor) -> Tensor:
        """Of what was found `[B, X + 1, y, v]`, what is added to the tokens of the frame to come: `[B, N, D]`."""
        q, reach = self.patch_size[1], self.max_shift
        columns = range(0, found.shape[-1] - 2 * reach, q)
        parts = torch.stack([found[..., first : first + q + 2 * reach] for first in columns], dim=-2)
        return self.embed(rearrange(parts, "b c y x k -> b (y x) (c k)"))

    def candidates(self, found: Tensor) -> Candidates:
        """Of what was found `[B, X + 1, y, v]`: each cell from its own place and from those beside it."""
        latents = rearrange(found[:, :-1], "b (c p) y v -> b c (y p) v", p=self.patch_size[0]).float()
        width = latents.shape[-1] - 2 * self.max_shift
        beside = [latents[..., i : i + width] for i in range(self.candidates_count)]
        return Candidates(torch.stack(beside, dim=1))

    def forward(self, q: Tensor, k: Tensor, cells: Tensor, age: Tensor, here: Tensor, place: Tensor) -> Tensor:
        """The attention alone.

        Args:
            q: what is asked for at each place of the view, `[B, T, y, w, E]`; at its edge, of what is beside it too.
            k: keys of the places in memory, `[B, S, y, w, E]`.
            cells: what was in them, `[B, S, y, w, X]`.
            age: int64 `[B, T, S]`, how many frames before each of the T; less than 1 is not read.
            here: `[B, T, P]`, where the view is in each of the T frames.
            place: `[B, S, P]`, where it was in those of memory.

        Returns:
            `[B, T, X + 1, y, v]`: what was in them, and how sure it is that there was something.
        """
        t, view = q.shape[1], q.shape[3] + 2 * self.max_shift
        bias = self.age[age_bucket(age)]
        if self.ring_columns:
            apart = (here[:, :, None, 1:] - place[:, None, :, 1:]).square().sum(-1).sqrt()  # [B, T, S], steps
            bias = bias + DISTANCE_LR * self.distance[(4 * (1 + apart).log2()).long().clamp(max=DISTANCES - 1)]
        here, place = (x[..., 0].round().long() for x in (here, place))
        left = here.amin(1, keepdim=True) - self.max_shift  # the leftmost column that is read
        columns = torch.arange(view + (t - 1) * self.max_shift, device=q.device) + left  # [B, K]
        (keys, stored), (values, _) = (_take(x, columns, place, self.ring_columns) for x in (k, cells.to(k.dtype)))
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
        index = torch.arange(view, device=q.device) + (here - self.max_shift - left)[..., None]  # [B, T, v]
        return found.gather(-1, index[:, :, None, None].expand(*found.shape[:4], view))


def _take(x: Tensor, columns: Tensor, first: Tensor, ring_columns: int = 0) -> tuple[Tensor, Tensor]:
    """The room's columns `[B, K]` of frames `[B, S, y, w, X]` whose first column is at `first` `[B, S]`: `[B, y, K,
    S, X]`, beyond a frame its edge, and which of them are in it, bool `[B, K, S]`. With `ring_columns` a column is that
    many columns further on again."""
    b, s, y, w = x.shape[:4]
    index = columns[:, :, None] - first[:, None]
    if ring_columns:
        index = index.remainder(ring_columns)
    inside = (index >= 0) & (index < w)
    row = torch.arange(b * s * y, device=x.device).view(b, s, y, 1).permute(0, 2, 3, 1) * w  # [B, y, 1, S]
    return F.embedding(row + index.clamp(0, w - 1)[:, None], x.flatten(0, 3)), inside
