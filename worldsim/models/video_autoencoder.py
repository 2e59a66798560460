"""Video autoencoder: clips of any size <-> latents, causal in time. Knows nothing of words or noise.

A clip of 4 k + 1 frames becomes 1 + k latent frames: the first frame alone, then every four. So a picture is a clip of
one frame, and the first latents of a clip are those of its beginning (MAGVIT-v2, Yu et al. 2024, section 3.2).
Normalisation is over channels, and the latents' statistics are those of the data set: nothing depends on the size.

B clips, T frames, t = 1 + (T - 1) / 4 latent frames, C latent channels, H x W pixels, h x w latents (an eighth).
"""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

SPACE = 8  # pixels along one side of a latent cell
PATCH = 4  # pixels along one side of what the first convolution sees as one


@dataclasses.dataclass(frozen=True)
class VideoAutoencoderConfig:
    """Sizes of the video autoencoder.

    Attributes:
        channels: latent channels C.
        widths: convolution widths at a quarter and at an eighth of the resolution.
        blocks: residual blocks at each of them.
        frames: in a latent frame, but the first.
    """

    channels: int = 24
    widths: tuple[int, int] = (80, 144)
    blocks: int = 2
    frames: int = 4

    def latent_shape(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        """(t, h, w) of a clip."""
        assert frames % self.frames == 1 and height % SPACE == 0 and width % SPACE == 0, (frames, height, width)
        return 1 + (frames - 1) // self.frames, height // SPACE, width // SPACE


class ChannelNorm(nn.Module):
    """RMS norm over the channels of each place (Zhang & Sennrich 2019): independent of size and of all other places."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """`[N, width, h, w]` -> the same shape."""
        scale = (x.float().square().mean(1, keepdim=True) + 1e-6).rsqrt().to(x.dtype)
        return x * scale * self.weight[:, None, None].to(x.dtype)


class ResidualBlock(nn.Sequential):
    """x + conv(silu(conv(silu(norm(x))))) on single latent frames, with the last convolution starting at zero."""

    def __init__(self, width: int):
        last = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(last.weight)
        super().__init__(ChannelNorm(width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1), nn.SiLU(), last)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, width, h, w]` -> the same shape."""
        return x + super().forward(x)


class TimeMix(nn.Module):
    """Adds what is at the same place in this latent frame and the two before it; starts at zero."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = ChannelNorm(width)
        self.mix = nn.Conv1d(width, width, 3)
        nn.init.zeros_(self.mix.weight)

    def forward(self, x: Tensor, t: int) -> Tensor:
        """`[B t, width, h, w]` -> the same shape."""
        h, w = x.shape[-2:]
        lines = rearrange(F.silu(self.norm(x)), "(b t) c h w -> (b h w) c t", t=t)
        mixed = self.mix(F.pad(lines, (2, 0)))
        return x + rearrange(mixed, "(b h w) c t -> (b t) c h w", h=h, w=w)


class Encoder(nn.Module):
    """Groups of frames `[B t, 3 frames, H, W]` in [-1, 1] -> `[B t, C, h, w]`, not yet standardised."""

    def __init__(self, config: VideoAutoencoderConfig):
        super().__init__()
        fine, coarse = config.widths
        pixels = 3 * config.frames * PATCH**2
        self.fine = nn.Sequential(
            nn.PixelUnshuffle(PATCH),
            nn.Conv2d(pixels, fine, 3, padding=1),
            *(ResidualBlock(fine) for _ in range(config.blocks)),
            nn.Conv2d(fine, coarse, 4, stride=2, padding=1),
        )
        self.mixes = nn.ModuleList(TimeMix(coarse) for _ in range(config.blocks))
        self.blocks = nn.ModuleList(ResidualBlock(coarse) for _ in range(config.blocks))
        self.out = nn.Sequential(ChannelNorm(coarse), nn.SiLU(), nn.Conv2d(coarse, config.channels, 1))

    def forward(self, groups: Tensor, t: int) -> Tensor:
        """See the class."""
        x = self.fine(groups)
        for mix, block in zip(self.mixes, self.blocks, strict=True):
            x = block(mix(x, t))
        return self.out(x)


class Decoder(nn.Module):
    """`[B t, C, h, w]` standardised -> groups of frames `[B t, 3 frames, H, W]` around [-1, 1] (not clipped)."""

    def __init__(self, config: VideoAutoencoderConfig):
        super().__init__()
        fine, coarse = config.widths
        pixels = 3 * config.frames * PATCH**2
        self.start = nn.Conv2d(config.channels, coarse, 3, padding=1)
        self.mixes = nn.ModuleList(TimeMix(coarse) for _ in range(config.blocks))
        self.blocks = nn.ModuleList(ResidualBlock(coarse) for _ in range(config.blocks))
        self.fine = nn.Sequential(
            nn.Conv2d(coarse, 4 * fine, 1),
            nn.PixelShuffle(2),
            *(ResidualBlock(fine) for _ in range(config.blocks)),
            ChannelNorm(fine),
            nn.SiLU(),
            nn.Conv2d(fine, pixels, 3, padding=1),
            nn.PixelShuffle(PATCH),
        )

    def forward(self, latents: Tensor, t: int) -> Tensor:
        """See the class."""
        x = self.start(latents)
        for mix, block in zip(self.mixes, self.blocks, strict=True):
            x = block(mix(x, t))
        return self.fine(x)


class VideoAutoencoder(nn.Module):
    """Convolutional autoencoder of clips whose latents have mean 0 and variance 1 a channel, over the data set."""

    def __init__(self, config: VideoAutoencoderConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.standardise = nn.BatchNorm2d(config.channels, affine=False, momentum=0.01)
        self.decoder = Decoder(config)

    def encode(self, pixels: Tensor) -> Tensor:
        """`[B, T, 3, H, W]` in [-1, 1] -> latents `[B, t, C, h, w]`."""
        first = pixels[:, :1].expand(-1, self.config.frames - 1, -1, -1, -1)  # the first group is one frame, repeated
        groups = rearrange(torch.cat([first, pixels], 1), "b (t f) c h w -> (b t) (f c) h w", f=self.config.frames)
        t = groups.shape[0] // len(pixels)
        return self.standardise(self.encoder(groups, t).float()).unflatten(0, (-1, t))

    def decode(self, latents: Tensor) -> Tensor:
        """Latents `[B, t, C, h, w]` -> `[B, T, 3, H, W]` around [-1, 1]."""
        t, frames = latents.shape[1], self.config.frames
        groups = self.decoder(latents.flatten(0, 1), t)
        return rearrange(groups, "(b t) (f c) h w -> b (t f) c h w", t=t, f=frames)[:, frames - 1 :]
