"""Train the video autoencoder on clips of all sizes, with the loss of the autoencoder of frames.

A step's clips are of one size and length; both are drawn. Knows nothing of words.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from worldsim import atomic
from worldsim.data.captioned import CaptionedClips
from worldsim.data.clip_shards import Bucket
from worldsim.device import mixed_precision
from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import to_frames, to_pixels
from worldsim.models.video_autoencoder import VideoAutoencoder, VideoAutoencoderConfig
from worldsim.psnr import psnr_of_error
from worldsim.train import checkpoint, distributed
from worldsim.train.autoencoder import moving_weight
from worldsim.train.draws import Draws
from worldsim.train.optimizers import muon_on_convolutions
from worldsim.train.trainer import ON_CPU, RunOptions, Trainer

NAME, DECODER = "video-autoencoder", "video-decoder"
FILE = f"{NAME}.safetensors"
LENGTHS = (17, 17, 9, 5, 1)  # frames that a step's clips are cut to
JUDGED = 16  # clips of each size, in a preview


@dataclasses.dataclass(frozen=True)
class VideoAutoencoderTraining:
    """Settings of a training.

    Attributes:
        steps: optimizer steps. batch: rows of a step. lr: peak learning rate of Muon; AdamW's is half of it.
        row_pixels: pixels of a row in all its clips together: small and short clips come in larger numbers.
        motion_weight: extra weight of pixels that differ from the frame before, or from what is around them.
        noise: largest standard deviation of the noise on the latents while the decoder learns.
    """

    steps: int = 40_000
    batch: int = 1
    lr: float = 2e-3
    row_pixels: int = 17 * 64 * 64 * 2
    motion_weight: float = 6.0
    noise: float = 0.2
    seed: int = 0


class ClipReconstructionLoss(nn.Module):
    """The loss of clips of one size, as a module, so that it can be sharded as a whole."""

    def __init__(self, autoencoder: VideoAutoencoder):
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, pixels: Tensor, weight: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """Loss of `pixels` `[R, m, T, 3, H, W]`, m clips a row, weighted `[R, m, T, 1, H, W]`, rebuilt from latents
        with `noise` `[R, m, t, C, h, w]` on them."""
        pixels, weight, noise = (x.flatten(0, 1) for x in (pixels, weight, noise))
        rebuilt = self.autoencoder.decode(self.autoencoder.encode(pixels) + noise)
        error = (rebuilt.float() - pixels).abs()
        worst = error.flatten(2).amax(2).mean()
        loss = (weight * error.square()).mean() + 0.1 * (weight * error).mean() + 0.01 * worst
        return {"loss": loss, "error": error.mean()}


def clip_weight(frames: np.ndarray, extra: float) -> np.ndarray:
    """Weight of every pixel, 1 or 1 + `extra`: float32 `[B, T, 1, H, W]` for uint8 clips `[B, T, H, W, 3]`.

    More counts what differs from the frame before it (the first: after it), or from the average around it, so that
    small things that lie still count too.
    """
    t, h = frames.shape[1:3]
    side = max(3, h // 3 | 1)
    weights = []
    for clip in frames:
        around = np.stack([np.asarray(cv2.blur(frame, (side, side)), np.uint8) for frame in clip])
        weights.append(moving_weight(clip, clip[[min(1, t - 1), *range(t - 1)]], around, extra))
    return np.stack(weights)


def rows_of(bucket: Bucket, length: int, row_pixels: int) -> int:
    """How many clips of a bucket, cut to `length` frames, make a row."""
    return max(1, row_pixels // (length * bucket[1] * bucket[2]))


def train_video_autoencoder(
    clips: CaptionedClips,
    out: Path,
    config: VideoAutoencoderConfig,
    training: VideoAutoencoderTraining,
    options: RunOptions = ON_CPU,
    start: VideoAutoencoder | None = None,
) -> VideoAutoencoder:
    """Train until `training.steps`, going on from the last checkpoint; leaves `out/video-autoencoder.safetensors`.

    Args:
        start: one that is trained, of that config: its decoder alone learns on. The latents stay, and what was trained
            on them fits the new decoder.

    Raises:
        WorldsimError: if there are no clips to learn from.
    """
    buckets = clips.buckets(held_out=False)
    if not buckets:
        raise WorldsimError(f"{clips.path} has no clips to learn from; record more: --clips")
    torch.manual_seed(training.seed)
    autoencoder = VideoAutoencoder(config)
    if start is not None:
        autoencoder.load_state_dict(start.state_dict())
        autoencoder.encoder.requires_grad_(False)
    if distributed.world_size() > 1:
        autoencoder.standardise = distributed.SharedBatchNorm(
            config.channels, affine=False, momentum=autoencoder.standardise.momentum
        )
    trainer = Trainer(
        out,
        NAME if start is None else DECODER,
        autoencoder,
        ClipReconstructionLoss(autoencoder),
        muon_on_convolutions,
        training,
        {"model": dataclasses.asdict(config), "clips": clips.digest},
        options=dataclasses.replace(options, compile=False),  # every size would be compiled anew
        averaged=False,
    )
    keys, shares = list(buckets), np.array([len(numbers) for numbers in buckets.values()], float)

    def train_step(draws: Draws) -> dict[str, Tensor]:
        rng = np.random.default_rng([draws.seed, draws.step])
        bucket = keys[rng.choice(len(keys), p=shares / shares.sum())]
        length = min(int(rng.choice(LENGTHS)), bucket[0])
        many = rows_of(bucket, length, training.row_pixels)
        chosen = draws.own(rng.choice(buckets[bucket], (draws.batch, many)))
        begins = draws.own(rng.integers(0, bucket[0] - length + 1, (draws.batch, many)))
        frames = np.stack([clips.clip(n).frames[b : b + length] for n, b in zip(chosen.flat, begins.flat, strict=True)])
        weight = torch.from_numpy(clip_weight(frames, training.motion_weight)).unflatten(0, chosen.shape)
        weight = draws.put(weight)
        pixels = to_pixels(draws.put(torch.from_numpy(frames))).unflatten(0, chosen.shape)
        t, h, w = config.latent_shape(length, *bucket[1:])
        noise = training.noise * draws.rand(many, 1, 1, 1, 1) * draws.randn(many, t, config.channels, h, w)
        autoencoder.train()
        if start is not None:
            autoencoder.standardise.eval()
        return trainer.update(pixels, weight / distributed.mean(weight), noise)

    def preview(step: int, learned: nn.Module) -> dict[str, float]:
        assert isinstance(learned, VideoAutoencoder)
        save_video_autoencoder(out / FILE, learned)
        return reconstruction_figures(learned, clips, out / f"{NAME}.png")

    learned = trainer.run(train_step, preview)
    assert isinstance(learned, VideoAutoencoder)
    return learned.requires_grad_(False)


def reconstruction_figures(autoencoder: VideoAutoencoder, clips: CaptionedClips, strip: Path) -> dict[str, float]:
    """PSNR in dB of held-out clips of each size, "unseen" where none of that size was trained on, and of first frames
    alone; writes a film strip of originals over what was rebuilt."""
    values, rows = {}, []
    for bucket, numbers in sorted(clips.buckets(held_out=True).items()):
        frames = np.stack([clips.clip(int(n)).frames for n in numbers[:JUDGED]])
        rebuilt = reconstruct(autoencoder, frames)
        alone = reconstruct(autoencoder, frames[:, :1])
        kind = "unseen" if bucket[1:] in clips.unseen else "psnr"
        values[f"{kind}_{bucket[2]}x{bucket[1]}"] = float(psnr_of_error(_squared(frames, rebuilt).mean()))
        values[f"picture_{bucket[2]}x{bucket[1]}"] = float(psnr_of_error(_squared(frames[:, :1], alone).mean()))
        if bucket[1:] == (64, 64):
            rows = [np.concatenate(list(side[i, ::4]), axis=1) for i in range(min(4, len(frames)))
                    for side in (frames, rebuilt)]  # fmt: skip
    if rows:
        big = cv2.resize(np.concatenate(rows), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
        atomic.write_bytes(strip, cv2.imencode(".png", big[..., ::-1])[1].tobytes())
    return values


def _squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a.astype(np.float32) - b) ** 2


@torch.no_grad()
def reconstruct(autoencoder: VideoAutoencoder, frames: np.ndarray) -> np.ndarray:
    """Encode and decode clips uint8 `[B, T, H, W, 3]`."""
    device = next(autoencoder.parameters()).device
    autoencoder.eval()
    with mixed_precision(device):
        latents = autoencoder.encode(to_pixels(torch.from_numpy(frames).to(device)))
        return to_frames(autoencoder.decode(latents)).cpu().numpy()


def latents_digest(autoencoder: VideoAutoencoder) -> str:
    """Names the latents that it makes: all that it is but its decoder."""
    return checkpoint.digest({k: v for k, v in autoencoder.state_dict().items() if not k.startswith("decoder.")})


def save_video_autoencoder(path: Path, autoencoder: VideoAutoencoder) -> None:
    """Write a video autoencoder."""
    header = {"kind": "VideoAutoencoder", "config": dataclasses.asdict(autoencoder.config)}
    checkpoint.write(path, autoencoder.state_dict(), header)


def load_video_autoencoder(path: Path) -> VideoAutoencoder:
    """A trained video autoencoder in evaluation mode.

    Raises:
        WorldsimError: if the file is missing, cut or of something else.
    """
    weights, header = checkpoint.read(path)
    if header.get("kind") != "VideoAutoencoder":
        raise WorldsimError(f"{path} holds {header.get('kind')}, not a video autoencoder")
    settings = header["config"]
    model = VideoAutoencoder(VideoAutoencoderConfig(**{**settings, "widths": tuple(settings["widths"])}))
    checkpoint.load_weights(path, model, weights)
    return model.eval().requires_grad_(False)
