"""Frames that a world model generates under recorded actions, beside the real ones: what its decoder is to draw.

n frames, C x h x w latents, H x W pixels.
"""

from __future__ import annotations

import copy
import time

import numpy as np
import torch

from worldsim.data.recording import Recording
from worldsim.data.windows import Windows, draw_rng
from worldsim.models.autoencoder import Autoencoder
from worldsim.models.sampling import Sampling
from worldsim.models.step import WorldStep
from worldsim.models.world_model import WorldModel
from worldsim.progress import ProgressBar
from worldsim.runtime.session import Session
from worldsim.runtime.torch import TorchRuntime

ROWS = 64  # scenes at once
AHEAD = 8  # frames generated in a row: later ones are of another course of things, and teach the decoder to blur


class GeneratedFrames:
    """Held in memory.

    Args:
        recording: of the world. autoencoder, world_model: its. sampling: how its frames are sampled.
        count: how many frames, about. minutes: after which there are enough, in any case; 0 for never.

    Attributes:
        latents: float16 `[n, C, h, w]`, generated.
        frames: uint8 `[n, H, W, 3]`, real.

    Raises:
        WorldsimError: if no episode is long enough.
    """

    def __init__(
        self,
        recording: Recording,
        autoencoder: Autoencoder,
        world_model: WorldModel,
        sampling: Sampling,
        count: int = 16_000,
        minutes: float = 0.0,
        seed: int = 0,
    ):
        spans = recording.episodes("train")
        longest = max((end - start for start, end in spans), default=0)
        past = min(world_model.config.dit.window + 1, max(1, longest - AHEAD))
        length = min(past + AHEAD, max(past + 1, longest))
        windows = Windows(spans, length)
        beside = copy.deepcopy(autoencoder).to(next(world_model.parameters()).device)
        session = Session(TorchRuntime(WorldStep(beside, world_model, sampling), recording.spec))
        latents: list[np.ndarray] = []
        frames: list[np.ndarray] = []
        scenes, begun = max(1, round(count / AHEAD / ROWS)), time.monotonic()
        with ProgressBar("generating frames", scenes) as progress, torch.no_grad():
            for scene in range(scenes):
                index = windows.draw(ROWS, seed, scene)
                real = np.stack([recording.frames[row[0] : row[-1] + 1] for row in index])
                actions = np.stack([recording.actions[row[0] : row[-1] + 1] for row in index])
                seeds = draw_rng(seed, scene).integers(2**32, size=ROWS)
                state = session.reset(real[:, :past], actions[:, : past - 1], seeds)
                for t in range(past, length):
                    state, _ = session.step(state, actions[:, t - 1])
                    latents.append(state.latents.astype(np.float16))
                    frames.append(real[:, t])
                progress.update(scene + 1)
                if minutes and time.monotonic() - begun > 60 * minutes:
                    break
        self.latents, self.frames = np.concatenate(latents), np.concatenate(frames)

    def draw(self, count: int, seed: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Latents float32 `[count, C, h, w]` and the frames that they are to be."""
        index = draw_rng(seed, step).integers(len(self.frames), size=count)
        return self.latents[index].astype(np.float32), self.frames[index]
