"""LatentActionModel: the code that explains a change, learned from video alone (Genie, Bruce et al. 2024, section 2.1).

    past frames + next frame --encoder--> one of a few codes --decoder, with the past frames--> next frames

The decoder sees nothing of the frames to come but their codes, so what the past can't tell has to be in them; and there
are so few codes that only what matters most is. Which code is called what is arbitrary. Knows no keys and no files.

B clips, P past frames, F frames to come, T = P + F, D width, Q numbers before quantisation, N tokens a frame.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import ResidualBlock
from worldsim.models.layers import Attention, Mlp
from worldsim.models.world_model import WorldModel

PATCH = 4  # pixels along one side of a token of the decoder
SIDE = 8  # frames have sides that are multiples of it
REACH = 4  # pixels a frame that a shift is looked for over, in each direction
SHIFTS = (2 * REACH + 1) ** 2
COMMITMENT = 0.25  # weight of the encoder's side of the VQ loss (van den Oord et al. 2017, equation 3)
DEAD_AFTER = 50  # training steps without use, after which a VQ code is put where the encoder is


@dataclasses.dataclass(frozen=True)
class LatentActionConfig:
    """Sizes of the latent action model.

    Attributes:
        height, width: of the frames, multiples of 8.
        quantizer: "fsq", one bit for each of `bits` numbers, or "vq", a codebook of as many codes.
        bits: the number of codes is 2^bits.
        past: P, frames that encoder and decoder see before the change. One is enough where things stop when nothing is
            pressed; two show how fast they are, so that a code need not tell what inertia does.
        ahead: F, frames after the past that the decoder makes in training, seeing none of them.
        channels: of the convolutions of the encoder.
        model_width, depth, heads: of the transformer of the decoder.
        actions: true actions that a few labelled steps name; 0 without labels.
    """

    height: int
    width: int
    quantizer: Literal["fsq", "vq"] = "fsq"
    bits: int = 3
    past: int = 2
    ahead: int = 2
    channels: int = 48
    model_width: int = 96
    depth: int = 3
    heads: int = 4
    actions: int = 0

    def __post_init__(self) -> None:
        if self.height % SIDE or self.width % SIDE:
            raise WorldsimError(f"frames of {self.width}x{self.height} do not divide by {SIDE}; give another --size")
        if not (1 <= self.bits <= 6 and 1 <= self.past <= 8 and 1 <= self.ahead <= 8):
            raise WorldsimError(f"{self.bits} bits, {self.past} past frames, {self.ahead} ahead: give 1 to 6, 8 and 8")

    @property
    def codes(self) -> int:
        """How many codes there are."""
        return 2**self.bits

    @property
    def grid(self) -> tuple[int, int]:
        """Tokens of a frame, (rows, columns)."""
        return self.height // PATCH, self.width // PATCH


class Quantized(NamedTuple):
    """What a quantizer makes of `[B, Q]`.

    Attributes:
        values: `[B, Q]`, with gradients to what was quantised.
        codes: int64 `[B]`.
        loss: scalar, to be added to the training's.
        spread: `[B, Q]` in [-1, 1], before quantisation: what `spread_loss` is of.
    """

    values: Tensor
    codes: Tensor
    loss: Tensor
    spread: Tensor


class FSQ(nn.Module):
    """Finite scalar quantisation with two levels (Mentzer et al. 2023): the signs of Q numbers."""

    def __init__(self, config: LatentActionConfig):
        super().__init__()
        self.inputs = config.bits
        self.register_buffer("powers", 2 ** torch.arange(config.bits), persistent=False)

    def forward(self, x: Tensor, hardness: float = 1.0) -> Quantized:
        """Quantise `[B, Q]`; below a hardness of 1, only so far."""
        soft = x.float().tanh()
        hard = torch.where(soft >= 0, 1.0, -1.0)
        index = ((hard > 0).long() * self.powers).sum(-1)
        return Quantized(soft + hardness * (hard - soft).detach(), index, soft.new_zeros(()), soft)

    def embed(self, index: Tensor) -> Tensor:
        """Codes int64 `[...]` -> `[..., Q]`."""
        return ((index[..., None] // self.powers) % 2).float() * 2 - 1


class VQ(nn.Module):
    """Vector quantisation (van den Oord et al. 2017); a code that nothing is near to for `DEAD_AFTER` steps of training
    is put on a random output of the encoder, as Jasmine does."""

    idle: Tensor

    def __init__(self, config: LatentActionConfig):
        super().__init__()
        self.inputs = 16
        self.codebook = nn.Parameter(torch.randn(config.codes, self.inputs) * 0.5)
        self.register_buffer("idle", torch.zeros(config.codes, dtype=torch.long))

    def forward(self, x: Tensor, hardness: float = 1.0) -> Quantized:
        """Quantise `[B, Q]`; below a hardness of 1, only so far."""
        soft = x.float().tanh()
        if self.training:
            self._revive(soft.detach())
        index = torch.cdist(soft, self.codebook).argmin(-1)
        if self.training:
            used = torch.bincount(index, minlength=len(self.codebook)) > 0
            self.idle.copy_(torch.where(used, 0, self.idle + 1))
        near = self.codebook[index]
        loss = (near - soft.detach()).square().mean() + COMMITMENT * (soft - near.detach()).square().mean()
        return Quantized(soft + hardness * (near - soft).detach(), index, loss, soft)

    def embed(self, index: Tensor) -> Tensor:
        """Codes int64 `[...]` -> `[..., Q]`."""
        return self.codebook[index]

    @torch.no_grad()
    def _revive(self, soft: Tensor) -> None:
        dead = self.idle > DEAD_AFTER
        if dead.any():
            chosen = torch.randint(len(soft), (int(dead.sum()),), device=soft.device)
            self.codebook[dead] = soft[chosen]
            self.idle[dead] = 0


QUANTIZERS: dict[str, type[FSQ | VQ]] = {"fsq": FSQ, "vq": VQ}


class ChangeEncoder(nn.Module):
    """Past frames and the next one -> Q numbers: what convolutions find anywhere in the picture, and by how far what
    moves has moved."""

    def __init__(self, config: LatentActionConfig, outputs: int):
        super().__init__()
        frames, narrow, wide = config.past + 1, config.channels, 2 * config.channels
        self.convolutions = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(2 * frames * 48 - 48, narrow, 3, padding=1),  # the frames, and the change from each to the next
            ResidualBlock(narrow),
            nn.Conv2d(narrow, wide, 4, stride=2, padding=1),
            ResidualBlock(wide),
            nn.SiLU(),
        )
        found = 2 * wide + config.past * SHIFTS
        self.norm = nn.BatchNorm1d(found, affine=False)  # what differs little between pictures counts as much
        self.out = nn.Sequential(nn.Linear(found, wide), nn.SiLU(), nn.Linear(wide, outputs))

    def forward(self, frames: Tensor) -> Tensor:
        """`[B, P + 1, 3, H, W]` in [-1, 1] -> `[B, Q]`."""
        frames = (frames - frames.mean((1, 2, 3, 4), keepdim=True)) / (frames.std((1, 2, 3, 4), keepdim=True) + 0.1)
        change = frames[:, 1:] - frames[:, :-1]
        seen = self.convolutions(torch.cat([frames, change], dim=1).flatten(1, 2))
        shifts = shift_errors(frames[:, :-1].flatten(0, 1), frames[:, 1:].flatten(0, 1)).unflatten(0, change.shape[:2])
        # The mean alone would lose a small thing in a large picture.
        found = torch.cat([seen.float().mean((2, 3)), seen.float().amax((2, 3)), shifts.flatten(1)], dim=-1)
        return self.out(self.norm(found))


def shift_errors(before: Tensor, after: Tensor) -> Tensor:
    """How badly each shift of `before` by up to `REACH` pixels explains what changes in `after`, `[B, 3, H, W]` each:
    the logarithm of the error that it leaves, as a share of that of no shift, `[B, SHIFTS]`."""
    before, after = before.float().mean(1), after.float().mean(1)
    h, w = after.shape[1:]
    changed = (after - before).abs()
    weight = changed / (changed.mean((1, 2), keepdim=True) + 1e-4)
    around = F.pad(before[:, None], (REACH,) * 4, mode="replicate")[:, 0]
    places = [(y, x) for y in range(2 * REACH + 1) for x in range(2 * REACH + 1)]
    left = torch.stack([(weight * (around[:, y : y + h, x : x + w] - after).abs()).mean((1, 2)) for y, x in places], 1)
    none = left[:, SHIFTS // 2, None]
    return ((left + 1e-3) / (none + 1e-3)).log()


class DecoderBlock(nn.Module):
    """Attention over codes and picture, so that every place reads the codes; a convolution over the picture alone, so
    that what is learned of a motion at one place holds at all; and an MLP."""

    def __init__(self, width: int, heads: int, grid: tuple[int, int]):
        super().__init__()
        self.attention_norm, self.mlp_norm = nn.RMSNorm(width, eps=1e-6), nn.RMSNorm(width, eps=1e-6)
        self.attention, self.mlp = Attention(width, heads, heads), Mlp(width, 2 * width)
        self.near = nn.Conv2d(width, width, 3, padding=1)
        self.grid = grid

    def forward(self, x: Tensor, codes: int) -> Tensor:
        """`[B, codes + N, D]` -> the same shape."""
        inner = self.attention_norm(x)
        x = x + self.attention.attend(self.attention.queries(inner), *self.attention.keys_values(inner))
        picture = self.near(F.silu(x[:, codes:]).mT.unflatten(2, self.grid)).flatten(2).mT
        x = torch.cat([x[:, :codes], x[:, codes:] + picture], dim=1)
        return x + self.mlp(self.mlp_norm(x))


class ChangeDecoder(nn.Module):
    """Past frames and the codes after them -> the frame after the last code. The codes are tokens before those of the
    picture (Jasmine: prepending the action is essential)."""

    def __init__(self, config: LatentActionConfig, inputs: int):
        super().__init__()
        width, self.grid = config.model_width, config.grid
        self.unshuffle, self.shuffle = nn.PixelUnshuffle(PATCH), nn.PixelShuffle(PATCH)
        self.frame_in = nn.Conv2d(config.past * 3 * PATCH**2, width, 3, padding=1)
        self.code_in = nn.Linear(inputs, width)
        self.steps = nn.Parameter(torch.randn(config.ahead, width) * 0.02)  # of a code, the newest first
        self.blocks = nn.ModuleList(DecoderBlock(width, config.heads, config.grid) for _ in range(config.depth))
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.out = nn.Linear(width, 3 * PATCH**2)
        nn.init.zeros_(self.out.weight)

    def forward(self, past: Tensor, codes: Tensor) -> Tensor:
        """Past frames `[B, P, 3, H, W]`, quantised codes `[B, n, Q]` of the n changes after them -> the frame n after
        the last of them `[B, 3, H, W]`."""
        count = codes.shape[1]
        tokens = self.frame_in(self.unshuffle(past.flatten(1, 2))).flatten(2).mT  # [B, N, D]
        x = torch.cat([self.code_in(codes) + self.steps[:count].flip(0), tokens], dim=1)
        for block in self.blocks:
            x = block(x, count)
        change = self.out(self.norm(x[:, count:])).mT.unflatten(2, self.grid)
        return past[:, -1] + self.shuffle(change)


class LatentActionModel(nn.Module):
    """Encoder, quantizer and decoder."""

    def __init__(self, config: LatentActionConfig):
        super().__init__()
        self.config = config
        self.quantizer: FSQ | VQ = QUANTIZERS[config.quantizer](config)
        self.encoder = ChangeEncoder(config, self.quantizer.inputs)
        self.decoder = ChangeDecoder(config, self.quantizer.inputs)
        self.namer = nn.Linear(self.quantizer.inputs, config.actions) if config.actions else None

    def encode(self, pixels: Tensor, hardness: float = 1.0) -> Quantized:
        """Codes of the change to the last frame of `[B, P + 1, 3, H, W]` in [-1, 1]."""
        return self.quantizer(self.encoder(pixels), hardness)

    def encode_clip(self, pixels: Tensor, hardness: float = 1.0) -> tuple[Quantized, Tensor]:
        """Codes of the F changes after the first P frames of clips `[B, T, 3, H, W]`: of all B F of them, and their
        values as `[B, F, Q]`, quantised as far as `hardness` says."""
        windows = pixels.unfold(1, self.config.past + 1, 1).movedim(-1, 2)  # [B, F, P + 1, 3, H, W]
        found = self.encode(windows.flatten(0, 1), hardness)
        return found, found.values.unflatten(0, windows.shape[:2])

    def name(self, values: Tensor) -> Tensor:
        """Values of codes `[..., Q]` -> logits of the true actions `[..., actions]`, where it learns with labels."""
        assert self.namer is not None
        return self.namer(values)

    def decode(self, past: Tensor, values: Tensor) -> Tensor:
        """The F frames after `past` `[B, P, 3, H, W]` under codes of values `[B, F, Q]`: `[B, F, 3, H, W]`. Each is
        made of the past and of all codes up to it; frames in between are not seen."""
        return torch.stack([self.decoder(past, values[:, : n + 1]) for n in range(values.shape[1])], dim=1)

    def embed(self, codes: Tensor) -> Tensor:
        """Codes int64 `[...]` -> values `[..., Q]`."""
        return self.quantizer.embed(codes)


def spread_loss(spread: Tensor, floor: float) -> Tensor:
    """How far the numbers before quantisation `[B, Q]` are from telling Q different things of a batch; scalar.

    A number that is the same for all changes is a bit that tells nothing, and so is one that follows from the others:
    the standard deviation of each below a floor, and the correlations, all squared (VICReg, Bardes et al. 2022,
    equations 1 to 4).
    """
    centred = spread - spread.mean(0)
    deviation = (centred.square().mean(0) + 1e-4).sqrt()
    correlation = (centred.mT @ centred) / len(spread) / (deviation[:, None] * deviation)
    off_diagonal = correlation - torch.diag(correlation.diag())
    return F.relu(floor - deviation).square().mean() + off_diagonal.square().sum() / max(spread.shape[1] - 1, 1)


def with_actions(model: WorldModel, codes: Tensor) -> WorldModel:
    """A world model that was trained on codes, for the actions of a game: action i does what code `codes[i]` did.

    Args:
        model: stays as it is; without a view memory, whose moves belong to codes.
        codes: int64 `[A]`.
    """
    assert model.config.view is None, "the pose tracker's moves are of codes"
    null = model.config.actions
    rows = torch.cat([codes, codes.new_tensor([null])])
    weights = {k: v[rows] if k.endswith("action.weight") else v for k, v in model.state_dict().items()}
    played = WorldModel(dataclasses.replace(model.config, actions=len(codes)))
    played.load_state_dict(weights)
    return played.eval().requires_grad_(False)
