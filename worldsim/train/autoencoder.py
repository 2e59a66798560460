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
from torch import Tensor

from worldsim.data.recording import Recording
from worldsim.data.windows import FrameTable
from worldsim.device import mixed_precision
from worldsim.models.autoencoder import Autoencoder, AutoencoderConfig, to_frames, to_pixels
from worldsim.train.checkpoint import save_model
from worldsim.train.trainer import Loop, step_generator, with_peaks


@dataclasses.dataclass(frozen=True)
class AutoencoderTraining:
    """Settings of a autoencoder training.

    Attributes:
        steps: optimizer steps. batch: frames a step. lr: peak learning rate.
        frames: frames held in memory.
        moving: extra weight of pixels that differ from the frame before or from the median frame.
        noise: largest standard deviation of the noise on the latents while the decoder learns.
        mask: largest share of the input hidden, in half of the images, in patches of one latent cell (MAE, He et al.
            2022).
    """

    steps: int = 6000
    batch: int = 32
    lr: float = 1e-3
    frames: int = 60_000
    moving: float = 6.0
    noise: float = 0.2
    mask: float = 0.0
    seed: int = 0


def moving_weight(frames: np.ndarray, before: np.ndarray, median: np.ndarray, extra: float) -> np.ndarray:
    """Weight of every pixel, mean 1: float32 `[B, 1, H, W]` for uint8 frames `[B, H, W, 3]`.

    Where everything moves, all pixels weigh the same.
    """
    differs = np.zeros(frames.shape[:3], bool)
    for other in (before, np.broadcast_to(median, frames.shape)):
        differs |= (cv2.absdiff(frames, np.ascontiguousarray(other)) > 12).any(-1)
    weight = 1.0 + extra * cv2.dilate(differs.astype(np.uint8).transpose(1, 2, 0), np.ones((3, 3))).reshape(
        *differs.shape[1:], -1
    ).transpose(2, 0, 1).astype(np.float32)
    return (weight / weight.mean())[:, None]


def hide(pixels: Tensor, cell: int, most: float, generator: torch.Generator) -> Tensor:
    """Hide random patches of `cell` pixels in half of the images, a share of up to `most` of them."""
    b, _, h, w = pixels.shape
    share = most * torch.rand(b, 1, 1, 1, generator=generator) * (torch.rand(b, 1, 1, 1, generator=generator) < 0.5)
    keep = (torch.rand(b, 1, h // cell, w // cell, generator=generator) >= share).float()
    return pixels * F.interpolate(keep, scale_factor=cell)


def train_autoencoder(
    recording: Recording, out: Path, config: AutoencoderConfig, training: AutoencoderTraining
) -> Autoencoder:
    """Train until `training.steps`, going on from the last checkpoint in `out`; leaves `out/autoencoder.safetensors`.

    Raises:
        WorldsimError: if the recording's frames do not fit the autoencoder, or it has too few episodes.
    """
    spec = recording.spec
    config.latent_shape(spec.height, spec.width)
    torch.manual_seed(training.seed)
    autoencoder = Autoencoder(config)
    optimizer = with_peaks(
        torch.optim.AdamW(autoencoder.parameters(), lr=training.lr, betas=(0.9, 0.95), weight_decay=0.01)
    )
    settings = {"model": dataclasses.asdict(config), **dataclasses.asdict(training), "world": spec.to_json()}
    del settings["steps"]
    loop = Loop(out, "autoencoder", autoencoder, [optimizer], settings, training.steps)
    table = FrameTable(recording, "train", training.frames, training.seed)
    held_out = FrameTable(recording, "held-out", 512, training.seed)

    def train_step(step: int) -> dict[str, Tensor]:
        generator = step_generator(training.seed, step)
        frames, before = table.draw(training.batch, training.seed, step)
        weight = torch.from_numpy(moving_weight(frames, before, table.median, training.moving))
        pixels = to_pixels(torch.from_numpy(frames))
        autoencoder.train()
        with mixed_precision():
            latents = autoencoder.encode(
                hide(pixels, config.factor, training.mask, generator) if training.mask else pixels
            )
            level = training.noise * torch.rand(len(latents), 1, 1, 1, generator=generator)
            rebuilt = autoencoder.decode(latents + level * torch.randn(latents.shape, generator=generator))
        error = (rebuilt.float() - pixels).abs()
        worst = error.flatten(1).amax(1).mean()
        loss = (weight * error.square()).mean() + 0.1 * (weight * error).mean() + 0.01 * worst
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(autoencoder.parameters(), 1.0)
        optimizer.step()
        return {"loss": loss.detach(), "error": error.mean().detach()}

    def watch(step: int) -> dict[str, float]:
        frames, before = held_out.draw(64, training.seed, step)
        rebuilt = reconstruct(autoencoder, frames)
        save_model(out / "autoencoder.safetensors", autoencoder, spec)
        rows = np.concatenate([np.concatenate(list(side[:8]), axis=1) for side in (frames, rebuilt)])
        cv2.imwrite(
            str(out / "autoencoder.png"), cv2.resize(rows[..., ::-1], None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
        )
        squared = (frames.astype(np.float32) - rebuilt) ** 2
        heavy = moving_weight(frames, before, held_out.median, 1.0)[:, 0]
        moving = squared[heavy > heavy.min()]
        return {"psnr": psnr(squared.mean()), "psnr_moving": psnr(moving.mean() if moving.size else squared.mean())}

    loop.run(train_step, watch)
    return autoencoder.eval().requires_grad_(False)


@torch.no_grad()
def reconstruct(autoencoder: Autoencoder, frames: np.ndarray) -> np.ndarray:
    """Encode and decode uint8 frames `[B, H, W, 3]`."""
    autoencoder.eval()
    with mixed_precision():
        return to_frames(autoencoder.decode(autoencoder.encode(to_pixels(torch.from_numpy(frames))))).numpy()


def psnr(mean_squared_error: float) -> float:
    """Peak signal-to-noise ratio in dB of 8-bit frames."""
    return float(10 * np.log10(255**2 / max(float(mean_squared_error), 1e-10)))
