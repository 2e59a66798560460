"""Clips of latents for the dynamics: a recording, encoded once. Knows no dynamics and no loss.

B clips, T frames, C x h x w latents, S components of the state.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from worldsim.dataset import frame_batches
from worldsim.progress import ProgressBar
from worldsim.recording import Recording
from worldsim.tokenizer import Tokenizer, to_pixels


class LatentClips:
    """Clips of latents, actions, rewards, ends and states, by frame index.

    The latents of a recording are encoded once for a tokenizer and kept as float16 in `cache`.
    """

    def __init__(self, recording: Recording, tokenizer: Tokenizer, cache: Path):
        self.latents = encode_recording(recording, tokenizer, cache)
        self.actions = np.asarray(recording.actions[: len(recording)]).astype(np.int64)
        self.rewards = np.asarray(recording.rewards[: len(recording)])
        self.cont = 1.0 - np.asarray(recording.terminated[: len(recording)]).astype(np.float32)
        state = np.asarray(recording.state[: len(recording)])
        self.state = (state - state.mean(0)) / (state.std(0) + 1e-6)

    def __getitem__(self, index: np.ndarray) -> tuple[Tensor, ...]:
        """Clips of the frames at `index` `[B, T+1]`.

        Returns:
            latents `[B, T+1, C, h, w]`; actions, rewards, cont `[B, T]`; states of the last T frames `[B, T, S]`.
        """
        now, following = index[:, :-1], index[:, 1:]
        arrays = (
            self.latents[index].astype(np.float32),
            self.actions[now],
            self.rewards[now],
            self.cont[now],
            self.state[following],
        )
        return tuple(torch.from_numpy(a) for a in arrays)


@torch.no_grad()
def encode_recording(recording: Recording, tokenizer: Tokenizer, cache: Path) -> np.ndarray:
    """Latents of all frames, float16 `[N, C, h, w]`, from `cache` if this tokenizer wrote them there before."""
    weights = b"".join(v.float().numpy().tobytes() for v in tokenizer.state_dict().values())
    digest = hashlib.sha256(weights).hexdigest()[:12]
    path = cache / f"latents-{digest}-{len(recording)}.npy"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        shape = (len(recording), *tokenizer.config.latent_shape(recording.spec.height, recording.spec.width))
        partial = path.with_suffix(".partial")
        latents = np.lib.format.open_memmap(partial, "w+", np.float16, shape)
        tokenizer.eval()
        with ProgressBar("encoding", len(recording)) as progress, torch.autocast("cpu", torch.bfloat16):
            for start, frames in frame_batches(recording, 256):
                latents[start : start + len(frames)] = (
                    tokenizer.encode(to_pixels(torch.from_numpy(frames))).half().numpy()
                )
                progress.update(start + len(frames))
        latents.flush()
        os.replace(partial, path)
    return np.load(path, mmap_mode="r")
