"""Train the autoencoder: reconstruction that does not lose small moving things.

The loss follows Delta-IRIS (Micheli et al. 2024, appendix A). Knows nothing of actions.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim import atomic
from worldsim.data.recording import Recording
from worldsim.data.windows import FrameTable
from worldsim.device import mixed_precision
from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import Autoencoder, AutoencoderConfig, to_frames, to_pixels
from worldsim.models.shifts import COARSE, shifted_pixels
from worldsim.png import encode_png
from worldsim.psnr import psnr_of_error
from worldsim.train import distributed
from worldsim.train.checkpoint import save_model
from worldsim.train.draws import Draws
from worldsim.train.latent_geometry import LatentGeometry
from worldsim.train.optimizers import muon_on_convolutions
from worldsim.train.trainer import ON_CPU, RunOptions, Trainer


@dataclasses.dataclass(frozen=True)
class AutoencoderTraining:
    """Settings of an autoencoder training.

    Attributes:
        steps: optimizer steps. batch: frames a step. lr: peak learning rate of Muon; AdamW's is half of it.
        frames: frames held in memory.
        motion_weight: extra weight of pixels that differ from the frame before or from the median frame.
        noise: largest standard deviation of the noise on the latents while the decoder learns.
        mask: largest share of the input hidden, in half of the images, in patches of one latent cell (MAE, He et al.
            2022).
        geometry: what is asked of the latents besides, so that they can be predicted; None for nothing.
        shift_weight: of the squared error of latents that are shifted, where the autoencoder learns that.
    """

    steps: int = 6000
    batch: int = 32
    lr: float = 2e-3
    frames: int = 60_000
    motion_weight: float = 6.0
    noise: float = 0.2
    mask: float = 0.0
    geometry: LatentGeometry | None = None
    shift_weight: float = 0.05
    seed: int = 0


def moving_weight(frames: np.ndarray, before: np.ndarray, median: np.ndarray, extra: float) -> np.ndarray:
    """Weight of every pixel, 1 or 1 + `extra`: float32 `[B, 1, H, W]` for uint8 frames `[B, H, W, 3]`."""
    differs = np.zeros(frames.shape[:3], bool)
    for other in (before, np.broadcast_to(median, frames.shape)):
        differs |= (cv2.absdiff(frames, np.ascontiguousarray(other)) > 12).any(-1)
    weight = 1.0 + extra * cv2.dilate(differs.astype(np.uint8).transpose(1, 2, 0), np.ones((3, 3))).reshape(
        *differs.shape[1:], -1
    ).transpose(2, 0, 1).astype(np.float32)
    return weight[:, None]


def hide(pixels: Tensor, cell: int, most: float, draws: Draws) -> Tensor:
    """Hide random patches of `cell` pixels in half of the images, a share of up to `most` of them."""
    h, w = pixels.shape[-2:]
    share = most * draws.rand(1, 1, 1) * (draws.rand(1, 1, 1) < 0.5)
    keep = (draws.rand(1, h // cell, w // cell) >= share).float()
    return pixels * F.interpolate(keep, scale_factor=cell)


class ReconstructionLoss(nn.Module):
    """The loss of one batch of frames, as a module, so that it can be compiled and sharded as a whole."""

    def __init__(self, autoencoder: Autoencoder, training: AutoencoderTraining):
        super().__init__()
        self.autoencoder, self.geometry, self.shift_weight = autoencoder, training.geometry, training.shift_weight

    def forward(
        self,
        shown: Tensor,
        pixels: Tensor,
        weight: Tensor,
        noise: Tensor,
        before: Tensor | None = None,
        shift: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Loss of `pixels` `[B, 3, H, W]`, each weighted `[B, 1, H, W]`, rebuilt from what is `shown` of them, with
        `noise` on the latents `[B, C, h, w]`; for the geometry of latents, with the pixels of the frames `before`; for
        the shifts, with one of them, pixels down and right, the same in all rows `[B, 2]`."""
        asked: dict[str, Tensor] = {}
        if shift is not None:
            moved = shifted_pixels(pixels, shift[0])
            latents, there = self.autoencoder.encode(torch.cat([shown, moved])).chunk(2)
            made = self.autoencoder.shifts(latents, shift[0])
            edge = self.autoencoder.config.factor
            asked["shifts"] = inner(made - there).square().mean()
            asked["shifted"] = inner(self.autoencoder.decode(made).float() - moved, edge).square().mean()
            asked["scrolling"] = self.shift_weight * asked["shifts"] + asked["shifted"]
        elif self.geometry is None or before is None:
            latents = self.autoencoder.encode(shown)
        else:
            latents, earlier = self.autoencoder.encode(torch.cat([shown, before])).chunk(2)
            asked = self.geometry.loss(latents, earlier)
        rebuilt = self.autoencoder.decode(latents + noise)
        error = (rebuilt.float() - pixels).abs()
        worst = error.flatten(1).amax(1).mean()
        loss = (weight * error.square()).mean() + 0.1 * (weight * error).mean() + 0.01 * worst
        loss = loss + asked.get("geometry", 0.0) + asked.get("scrolling", 0.0)
        return {"loss": loss, "error": error.mean(), **asked}


def inner(difference: Tensor, edge: int = 1) -> Tensor:
    """`[..., h, w]` without its edge: what is shifted in there nobody knows."""
    return difference[..., edge:-edge, edge:-edge]


def train_autoencoder(
    recording: Recording,
    out: Path,
    config: AutoencoderConfig,
    training: AutoencoderTraining,
    options: RunOptions = ON_CPU,
) -> Autoencoder:
    """Train until `training.steps`, going on from the last checkpoint in `out`; leaves `out/autoencoder.safetensors`.

    In training the latents are standardised by their batch, of all processes; with `options.accumulate`, by each part.

    Raises:
        WorldsimError: if the recording's frames do not fit the autoencoder, or it has too few episodes.
    """
    spec = recording.spec
    latent_shape = config.latent_shape(spec.height, spec.width)
    if config.shifts and training.geometry:
        raise WorldsimError("an autoencoder learns shifts or a geometry of its latents, not both")
    torch.manual_seed(training.seed)
    autoencoder = Autoencoder(config)
    if distributed.world_size() > 1:
        autoencoder.standardise = distributed.SharedBatchNorm(
            config.channels, affine=False, momentum=autoencoder.standardise.momentum
        )
    trainer = Trainer(
        out,
        "autoencoder",
        autoencoder,
        ReconstructionLoss(autoencoder, training),
        muon_on_convolutions,
        training,
        {"model": dataclasses.asdict(config), "world": spec.to_json()},
        options=dataclasses.replace(options, compile=options.compile and options.device.type != "cpu"),  # no gain there
        averaged=False,
    )
    table = FrameTable(recording, "train", training.frames, training.seed)
    held_out = FrameTable(recording, "held-out", 512, training.seed)

    def train_step(draws: Draws) -> dict[str, Tensor]:
        frames, before = (draws.own(x) for x in table.draw(draws.batch, draws.seed, draws.step))
        weight = moving_weight(frames, before, table.median, training.motion_weight)
        pixels, weight = to_pixels(draws.put(torch.from_numpy(frames))), draws.put(torch.from_numpy(weight))
        shown = hide(pixels, config.factor, training.mask, draws) if training.mask else pixels
        noise = training.noise * draws.rand(1, 1, 1) * draws.randn(*latent_shape)
        autoencoder.train()
        earlier = to_pixels(draws.put(torch.from_numpy(before))) if training.geometry else None
        shift = None
        if config.shifts:
            way = torch.tensor([float(draws.integer(-COARSE, COARSE + 1)) for _ in range(2)])
            shift = draws.put(way.expand(len(pixels), 2))
        return trainer.update(shown, pixels, weight / distributed.mean(weight), noise, earlier, shift)

    def preview(step: int, learned: nn.Module) -> dict[str, float]:
        assert isinstance(learned, Autoencoder)
        frames, before = held_out.draw(64, training.seed, step)
        rebuilt = reconstruct(learned, frames)
        save_model(out / "autoencoder.safetensors", learned, spec)
        rows = np.concatenate([np.concatenate(list(side[:8]), axis=1) for side in (frames, rebuilt)])
        atomic.write_bytes(out / "autoencoder.png", encode_png(rows.repeat(2, axis=0).repeat(2, axis=1)))
        squared = (frames.astype(np.float32) - rebuilt) ** 2
        weight = moving_weight(frames, before, held_out.median, 1.0)[:, 0]
        moving = squared[weight > weight.min()]
        return {
            "psnr": float(psnr_of_error(squared.mean())),
            "psnr_moving": float(psnr_of_error(moving.mean() if moving.size else squared.mean())),
        }

    learned = trainer.run(train_step, preview)
    assert isinstance(learned, Autoencoder)
    return learned.requires_grad_(False)


@torch.no_grad()
def reconstruct(autoencoder: Autoencoder, frames: np.ndarray) -> np.ndarray:
    """Encode and decode uint8 frames `[B, H, W, 3]`."""
    device = next(autoencoder.parameters()).device
    autoencoder.eval()
    with mixed_precision(device):
        pixels = to_pixels(torch.from_numpy(frames).to(device))
        return to_frames(autoencoder.decode(autoencoder.encode(pixels))).cpu().numpy()
