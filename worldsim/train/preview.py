"""A look at the dynamics from outside while they train: film strips, next-frame error, collapse. Changes nothing."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from worldsim import atomic
from worldsim.data.latents import LatentDataset
from worldsim.data.recording import Recording
from worldsim.data.windows import Windows
from worldsim.models.autoencoder import Autoencoder
from worldsim.models.sampling import Sampling
from worldsim.models.step import WorldStep
from worldsim.models.world_model import WorldModel
from worldsim.png import encode_png
from worldsim.psnr import psnr_of_error
from worldsim.runtime.session import Session
from worldsim.runtime.torch import TorchRuntime

ROWS = 6
FREE = 64  # generated frames, where held-out episodes are long enough
SHOWN = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)  # of them on the strip


def high_frequency(frames: np.ndarray) -> np.ndarray:
    """Mean squared Laplacian of uint8 frames `[..., H, W, 3]`: `[...]`. A bare wall has next to none."""
    flat = frames.reshape(-1, *frames.shape[-3:])
    return np.array([np.square(cv2.Laplacian(f, cv2.CV_32F)).mean() for f in flat]).reshape(frames.shape[:-3])


class Preview:
    """Free-run from held-out frames; writes `strip-<step>.png` (real above generated) and returns figures."""

    def __init__(
        self,
        recording: Recording,
        autoencoder: Autoencoder,
        clips: LatentDataset,
        out: Path,
        length: int,
        sampling: Sampling,
    ):
        spans = recording.episodes("held-out")
        self.windows = Windows(spans, length).spread(32)
        self.free = max(1, min(FREE, max((end - begin for begin, end in spans), default=0) - length))
        self.long = Windows(spans, length + self.free).spread(ROWS)
        self.real = np.stack([recording.frames[row[0] : row[-1] + 1] for row in self.long])
        self.recording, self.autoencoder, self.clips, self.out, self.length = recording, autoencoder, clips, out, length
        self.sampling = sampling

    @torch.no_grad()
    def __call__(self, model: WorldModel, step: int) -> dict[str, float]:
        """Look at `model` after `step` steps: errors and shares by name; PSNR in dB of 8-bit frames."""
        self.autoencoder.to(next(model.parameters()).device)
        frames = self.free_run(model)
        real = self.real[:, self.length :]
        rows = [
            np.concatenate([side[row, n - 1] for n in SHOWN if n <= self.free], axis=1)
            for row in range(ROWS)
            for side in (real, frames)
        ]
        atomic.write_bytes(self.out / f"strip-{step:06d}.png", encode_png(np.concatenate(rows)))
        error = ((frames.astype(np.float32) - real) ** 2).mean((0, 2, 3, 4))
        true, wrong, copy = self.next_frame(model)
        collapsed = (high_frequency(frames) < 0.5 * np.median(high_frequency(real))).mean(0)
        really = (high_frequency(real) < 0.5 * np.median(high_frequency(real))).mean()
        return {
            **{f"free_psnr_{n}": float(psnr_of_error(error[n - 1])) for n in (1, 4, 16, 64) if n <= self.free},
            "held_out_next_frame": true,
            "held_out_next_frame_wrong_action": wrong,
            "held_out_copy_last": copy,
            "collapsed": float(collapsed[-16:].mean()),
            "collapsed_in_reality": float(really),
        }

    def free_run(self, model: WorldModel) -> np.ndarray:
        """Generated frames uint8 `[ROWS, free, H, W, 3]` under the recorded actions."""
        session = Session(TorchRuntime(WorldStep(self.autoencoder, model, self.sampling), self.recording.spec))
        actions = self.clips.actions[self.long]
        state = session.reset(self.real[:, : self.length], actions[:, : self.length - 1], np.arange(ROWS))
        frames = []
        for t in range(self.length - 1, self.length - 1 + self.free):
            state, _ = session.step(state, actions[:, t])
            frames.append(state.frame)
        return np.stack(frames, axis=1)

    def next_frame(self, model: WorldModel) -> tuple[float, float, float]:
        """Held-out error of the last frame's latents from pure noise: with the true action, another, and of copying."""
        device = next(model.parameters()).device
        latents, actions, *_ = (part.to(device) for part in self.clips[self.windows])
        tokens = model.to_tokens(latents)
        generator = torch.Generator().manual_seed(0)
        shift = torch.randint(1, model.config.actions, actions.shape, generator=generator).to(device)
        other = (actions + shift) % model.config.actions
        errors = []
        for chosen in (actions, torch.cat([actions[:, :-1], other[:, -1:]], dim=1)):
            features, _ = model.encode_context(tokens[:, :-1], chosen)
            noise = torch.randn(tokens[:, -1].shape, generator=torch.Generator().manual_seed(1)).to(device)
            last = features.map(lambda part: part[:, -1])
            clean = model.denoise(last, tokens[:, -2], noise, torch.zeros(len(tokens), device=device)).clean
            errors.append(float((clean - tokens[:, -1]).square().mean()))
        return errors[0], errors[1], float((tokens[:, -2] - tokens[:, -1]).square().mean())
