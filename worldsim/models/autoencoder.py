"""Autoencoder: frames <-> standardised continuous latents, one frame at a time. Knows nothing of time or actions.

B images, C latent channels, H x W pixels, h x w latents (H / factor, W / factor).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from worldsim.errors import WorldsimError
from worldsim.models.config import as_tuples
from worldsim.models.shifts import COARSE, ShiftKernels


@dataclasses.dataclass(frozen=True)
class LargeFrames:
    """Frames with more pixels in a cell than the encoder sees apart, and a decoder of its own size that draws them:
    pixels cost little, cells cost tokens.

    Attributes:
        scale: of a frame's sides, a power of two: 2 makes 128x96 of the cells of 64x48; 1 is a decoder of its own size
            for frames as they are.
        widths: of the decoder's convolutions, the first at the finest resolution, each further one at half of that
            before; the last at that of the latents.
        blocks: residual blocks at each resolution of the decoder.
    """

    scale: int = 2
    widths: tuple[int, ...] = (48, 96, 128)
    blocks: int = 2


@dataclasses.dataclass(frozen=True)
class AutoencoderConfig:
    """Sizes of the autoencoder.

    Attributes:
        channels: latent channels C.
        widths: convolution widths, the first at a quarter of the resolution, each further one at half of that before:
            two make factor 8, three 16.
        blocks: residual blocks at each resolution.
        hidden_layer: whether latents hold two layers, one above the other: what is seen, and what would be seen with
            nothing in the way. Of a frame alone the second is taken to be as the first.
        large: frames of more pixels, and the decoder for them; None for a decoder that mirrors the encoder.
        shifts: whether it learns a linear map of its latents for every shift of the picture by some pixels.
    """

    channels: int = 16
    widths: tuple[int, ...] = (80, 160)
    blocks: int = 2
    hidden_layer: bool = False
    large: LargeFrames | None = None
    shifts: bool = False

    def __post_init__(self) -> None:
        if self.large and (self.large.scale < 1 or self.factor % 2 ** (len(self.large.widths) - 1)):
            raise WorldsimError(
                f"a decoder of {len(self.large.widths)} resolutions can't draw cells of {self.factor} pixels"
            )
        if self.shifts and (self.hidden_layer or self.factor < COARSE):
            raise WorldsimError(f"shifts take latents of one layer, and cells of {COARSE} pixels or more")

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> AutoencoderConfig:
        """What `dataclasses.asdict` and JSON made of one.

        Raises:
            TypeError: if it is not of this version.
        """
        fields = {**as_tuples(settings)}
        large = fields.pop("large", None)
        return cls(**fields, large=None if large is None else LargeFrames(**large))

    @property
    def patch_size(self) -> int:
        """Pixels along one side of what the encoder's first convolution sees as one place."""
        return 4 * (self.large.scale if self.large else 1)

    @property
    def factor(self) -> int:
        """Pixels along one side of a latent cell."""
        return self.patch_size * 2 ** (len(self.widths) - 1)

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """(C, h, w) of a frame.

        Raises:
            WorldsimError: if the frame does not divide into whole cells.
        """
        if height % self.factor or width % self.factor:
            raise WorldsimError(
                f"frames of {width}x{height} do not divide by {self.factor}: record at a multiple of it"
            )
        return self.channels * (2 if self.hidden_layer else 1), height // self.factor, width // self.factor


class ResidualBlock(nn.Sequential):
    """x + conv(silu(conv(silu(x)))), with the last convolution starting at zero."""

    def __init__(self, width: int):
        last = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(last.weight)
        super().__init__(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1), nn.SiLU(), last)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, width, h, w]` -> the same shape."""
        return x + super().forward(x)


class Encoder(nn.Sequential):
    """`[B, 3, H, W]` in [-1, 1] -> `[B, C, h, w]`, not yet standardised."""

    def __init__(self, config: AutoencoderConfig):
        widths = config.widths
        patch = config.patch_size
        layers: list[nn.Module] = [nn.PixelUnshuffle(patch), nn.Conv2d(3 * patch**2, widths[0], 3, padding=1)]
        for i, width in enumerate(widths):
            if i:
                layers.append(nn.Conv2d(widths[i - 1], width, 4, stride=2, padding=1))
            layers += [ResidualBlock(width) for _ in range(config.blocks)]
        super().__init__(*layers, nn.SiLU(), nn.Conv2d(widths[-1], config.channels, 1))


class Decoder(nn.Sequential):
    """`[B, C, h, w]` standardised -> `[B, 3, H, W]` around [-1, 1] (not clipped)."""

    def __init__(self, config: AutoencoderConfig):
        sizes = config.large or config
        widths, blocks = sizes.widths[::-1], sizes.blocks
        patch = config.factor // 2 ** (len(widths) - 1)
        layers: list[nn.Module] = [nn.Conv2d(config.channels, widths[0], 3, padding=1)]
        for i, width in enumerate(widths):
            layers += [ResidualBlock(width) for _ in range(blocks)]
            if i + 1 < len(widths):
                layers += [nn.Conv2d(width, 4 * widths[i + 1], 1), nn.PixelShuffle(2)]
        super().__init__(*layers, nn.SiLU(), nn.Conv2d(widths[-1], 3 * patch**2, 3, padding=1), nn.PixelShuffle(patch))


class Autoencoder(nn.Module):
    """Convolutional autoencoder whose latents have mean 0 and variance 1 a channel.

    The statistics are those of a batch normalisation without weights: of the batch in training, of the data set after.
    Standardised latents give noise on them a meaning (latent diffusion, Rombach et al. 2022, section 4.3.2 in the
    appendix).
    """

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.standardise = nn.BatchNorm2d(config.channels, affine=False, momentum=0.01)
        self.decoder = Decoder(config)
        if config.shifts:
            self.shifts = ShiftKernels(config.channels)

    def encode(self, pixels: Tensor, hidden_layer: Tensor | None = None) -> Tensor:
        """`[B, 3, H, W]` in [-1, 1], and its hidden layer if that is known -> latents `[B, C, h, w]`."""
        seen: Tensor = self.standardise(self.encoder(pixels).float())
        if not self.config.hidden_layer:
            return seen
        return torch.cat(
            [seen, seen if hidden_layer is None else self.standardise(self.encoder(hidden_layer).float())], dim=1
        )

    def decode(self, latents: Tensor) -> Tensor:
        """Latents `[B, C, h, w]` -> what is seen, `[B, 3, H, W]` around [-1, 1]."""
        return self.decoder(latents[:, : self.config.channels])


def enlarged(autoencoder: Autoencoder, scale: int) -> Autoencoder:
    """The same latents of frames whose sides are `scale` times as long: it encodes the mean of every `scale` x `scale`
    pixels, and decodes each pixel as so many. What dynamics learned on those latents stays valid.

    Raises:
        WorldsimError: if its latents stand for shifts by whole pixels, or `scale` is not a power of two.
    """
    config, large = autoencoder.config, autoencoder.config.large
    if scale == 1:
        return autoencoder
    if config.shifts:
        raise WorldsimError("latents that know shifts by pixels are of one frame size")
    if scale < 1 or scale & (scale - 1):
        raise WorldsimError(f"frames can be enlarged by powers of two, not by {scale}")
    decoder = large or LargeFrames(1, config.widths, config.blocks)
    made = Autoencoder(dataclasses.replace(config, large=dataclasses.replace(decoder, scale=decoder.scale * scale)))
    weights = autoencoder.state_dict()
    first, last = "encoder.1.weight", f"decoder.{len(autoencoder.decoder) - 2}"  # beside the pixel (un)shuffles
    side = config.patch_size
    weights[first] = _repeated(weights[first].unflatten(1, (3, side, side)), 2, scale).flatten(1, 3) / scale**2
    side = config.factor // 2 ** (len(decoder.widths) - 1)
    for name in (f"{last}.weight", f"{last}.bias"):
        weights[name] = _repeated(weights[name].unflatten(0, (3, side, side)), 1, scale).flatten(0, 2)
    made.load_state_dict(weights)
    return made.train(autoencoder.training)


def _repeated(values: Tensor, dim: int, scale: int) -> Tensor:
    """Every value `scale` times along `dim` and along the one after it."""
    return values.repeat_interleave(scale, dim).repeat_interleave(scale, dim + 1)


def to_pixels(frames: Tensor) -> Tensor:
    """uint8 `[..., H, W, 3]` -> float `[..., 3, H, W]` in [-1, 1]: the one place where frames enter a model."""
    return frames.movedim(-1, -3).float() / 127.5 - 1


def to_frames(pixels: Tensor) -> Tensor:
    """float `[..., 3, H, W]` -> uint8 `[..., H, W, 3]`: the one place where they leave it."""
    return ((pixels.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).movedim(-3, -1)
