"""The copy head: what the next frame takes over from candidates, and what is added to that.

A still place is copied in float32 rather than generated anew, so nothing drifts where nothing happens. A candidate
source is a small module: it reads the history and offers `Candidates`. The softmax over all candidates and a residual
is a CDNA (Finn et al. 2016).

Where a `Palette` is among the sources, each candidate also weighs as much as the noised frame speaks for it.

B batch, N tokens, V numbers of a token, K candidates, C x h x w latents, Y layers of a latent frame.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from worldsim.errors import WorldsimError

MOST_KINDS = 1024  # of a palette


@dataclasses.dataclass(frozen=True)
class CopyConfig:
    """What the next frame may be copied from, besides its own place in the frame before.

    Attributes:
        reach: how many cells away the frame before is copied from, each way.
        hidden_layer: whether latents hold two layers: what is seen, and what would be seen with nothing in the way
            (`worldsim.models.autoencoder`); each may be copied from the other.
        refiner_width: of the convolutions over single cells that refine the prediction; 0 for none.
        from_noise: whether it may be taken from the noised frame to come (see `from_noise`).
        shifts: whether it may be the frame before, scrolled by some pixels (`worldsim.models.shifts`).
        palette: kinds of cells that it may be, wherever they come from (`worldsim.models.palette`); 0 for none.
    """

    reach: int = 1
    hidden_layer: bool = False
    refiner_width: int = 0
    from_noise: bool = False
    shifts: bool = False
    palette: int = 0

    def __post_init__(self) -> None:
        if self.reach < 1:
            raise WorldsimError(f"copy.reach {self.reach}: give 1 or more cells, or no copy config at all")
        if not 0 <= self.palette <= MOST_KINDS:
            raise WorldsimError(f"copy.palette {self.palette}: give 0 to {MOST_KINDS} kinds of cells")


class Candidates(NamedTuple):
    """What one source offers.

    Attributes:
        latents: K candidates for every cell of the next frame, float32 `[B, K, C, h, w]`.
        bias: added to the gate logits, `[B, K, Y, h, w]` or `[B, 1, Y, h, w]` for all of them; None for nothing.
        complete: whether they are taken as they are: the predicted residual is not added to the share copied from them.
    """

    latents: Tensor
    bias: Tensor | None = None
    complete: bool = False


class Patches:
    """Latents `[..., C, h, w]` as tokens `[..., N, V]` of `patch_size` cells, and back."""

    def __init__(self, latent_shape: tuple[int, int, int], patch_size: tuple[int, int]):
        (_, h, _), (self.p, self.q) = latent_shape, patch_size
        self.rows = h // self.p

    def to_tokens(self, latents: Tensor) -> Tensor:
        """`[..., C, h, w]` -> `[..., N, V]`."""
        return rearrange(latents, "... c (h p) (w q) -> ... (h w) (c p q)", p=self.p, q=self.q)

    def to_latents(self, tokens: Tensor) -> Tensor:
        """`[..., N, V]` -> `[..., C, h, w]`."""
        return rearrange(tokens, "... (h w) (c p q) -> ... c (h p) (w q)", p=self.p, q=self.q, h=self.rows)


class ElementwiseCopy(nn.Module):
    """No sources: one sigmoid gate for each number of a token, on that number of the frame before."""

    def __init__(self, token_width: int):
        super().__init__()
        self.gates = token_width

    def forward(self, previous: Tensor, residual: Tensor, gates: Tensor, sources: Sequence[Candidates]) -> Tensor:
        """Tokens of the frame before, predicted residual and gate logits, all `[B, N, V]` -> `[B, N, V]`."""
        assert not sources
        return gates.sigmoid() * previous.float() + residual


class CandidateCopy(nn.Module):
    """A softmax for each cell of each layer, over all candidates and nothing.

    Args:
        patches: of the latents. patch_cells: cells in a token. layers: Y.
        candidates: K, of all sources together.
    """

    def __init__(self, patches: Patches, patch_cells: int, layers: int, candidates: int):
        super().__init__()
        self.patches, self.layers, self.cells = patches, layers, patch_cells
        self.gates = candidates * layers * patch_cells  # of a token

    def forward(self, previous: Tensor, residual: Tensor, gates: Tensor, sources: Sequence[Candidates]) -> Tensor:
        """The next frame.

        Args:
            previous: tokens of the frame before `[B, N, V]`; not read here, the sources offer it.
            residual: what is predicted to change `[B, N, V]`.
            gates: logits `[B, N, K Y cells]`.
            sources: what there is to copy from, in the order that the gates were learned in.

        Returns:
            `[B, N, V]`.
        """
        logits = gates.unflatten(-1, (-1, self.layers * self.cells))  # [B, N, K, Y cells]
        parts, complete, start = [], [], 0
        for source in sources:
            end = start + source.latents.shape[1]
            part = logits[:, :, start:end]
            if source.bias is not None:
                part = part + self.patches.to_tokens(source.bias).transpose(1, 2)
            parts.append(part)
            if source.complete:
                complete.append(slice(start, end))
            start = end
        assert start == logits.shape[2], f"{start} candidates for {logits.shape[2]} gates"
        shares = F.pad(torch.cat(parts, dim=2), (0, 0, 1, 0)).softmax(-2)[:, :, 1:]  # the first one is nothing
        layout = {"y": self.patches.rows, "k": self.layers, "p": self.patches.p}
        shares = rearrange(shares, "b (y x) s (k p q) -> b s k 1 (y p) (x q)", **layout)
        # All candidates in one tensor: unless one is of the noise, it is the same in every pass, and an exported graph
        # makes it once a frame.
        candidates = torch.cat([source.latents for source in sources], dim=1)
        copied = (shares * candidates.unflatten(2, (self.layers, -1))).sum(1)
        if complete:
            taken = sum(shares[:, place].sum(1) for place in complete)
            copied = copied - taken * self.patches.to_latents(residual).unflatten(1, (self.layers, -1))
        return self.patches.to_tokens(copied.flatten(1, 2)) + residual


def neighbourhood(previous: Tensor, reach: int) -> Candidates:
    """The frame before `[B, C, h, w]`, and the cells up to `reach` away from each, row by row; 0 beyond the edge."""
    h, w = previous.shape[-2:]
    padded, steps = F.pad(previous, (reach,) * 4), range(2 * reach + 1)
    return Candidates(torch.stack([padded[..., i : i + h, j : j + w] for i in steps for j in steps], dim=1))


def from_noise(noisy: Tensor, tau: Tensor) -> Candidates:
    """What the noised frame to come `[B, C, h, w]`, at signal levels `[B]` or `[1]`, says of it by itself: its mean,
    for latents of mean 0 and variance 1 (the skip connection of EDM's preconditioning, Karras et al. 2022, table 1)."""
    scale = tau / (tau.square() + (1 - tau).square())
    return Candidates((noisy * scale[:, None, None, None])[:, None])


def other_layer(previous: Tensor) -> Candidates:
    """The frame before `[B, C, h, w]` with its two layers exchanged: what is uncovered, and what is covered."""
    return Candidates(previous.roll(previous.shape[1] // 2, dims=1)[:, None])
