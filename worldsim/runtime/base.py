"""Runtimes: what runs a world's networks. Numpy in, numpy out; here the protocol. Imports no torch.

    runtime = load_runtime(open_world("doom-maze"))          # `worldsim.runtime.load`
    out = runtime.step(history, latents, actions, noise)

Knows nothing of rollouts: what to keep from step to step is the session's business.

B batch, T frames, L x M x F one frame's cache entry, C x h x w latents, H x W pixels, Q x U a memory entry, P numbers
of its poses.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

import numpy as np

from worldsim.models.history import History
from worldsim.runtime.bundle import Sizes, Starts
from worldsim.spec import WorldSpec

Device = Literal["auto", "cpu", "cuda"]


class StepOutput(NamedTuple):
    """What one step gives.

    Attributes:
        latents: float32 `[B, C, h, w]` of the new frame.
        frame: uint8 `[B, H, W, 3]`, the new frame.
        reward: float32 `[B]`, expected.
        cont: float32 `[B]`, probability that play goes on.
        uncertainty: float32 `[B]`, how far the sampler's passes are apart, in standard deviations of a latent.
        entry: float16 `[B, L, M, F]`, cache entry of the frame that was on screen and of the action taken there.
        memory: float16 `[B, Q, U]`, what the frame that was on screen leaves in memory; None without memory.
        pose: float32 `[B, P]`, the poses that go with it; None without a view memory.
    """

    latents: np.ndarray
    frame: np.ndarray
    reward: np.ndarray
    cont: np.ndarray
    uncertainty: np.ndarray
    entry: np.ndarray
    memory: np.ndarray | None = None
    pose: np.ndarray | None = None


class Runtime(Protocol):
    """Runs the networks of one world.

    Attributes:
        spec: the world.
        sizes: of its arrays.
        digest: names these weights; a snapshot of one world does not fit another.
        starts: where play can begin; None if the runtime was made in memory, without a bundle.
    """

    spec: WorldSpec
    sizes: Sizes
    digest: str
    starts: Starts | None

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """Frames uint8 `[B, T, H, W, 3]` -> latents float32 `[B, T, C, h, w]`."""

    def decode(self, latents: np.ndarray) -> np.ndarray:
        """Latents float32 `[B, T, C, h, w]` -> frames uint8 `[B, T, H, W, 3]`."""

    def prefill(self, latents: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Latents float32 `[B, T, C, h, w]` and the actions taken on seeing them, int64 `[B, T]` -> cache entries
        float16 `[B, T, L, M, F]`."""

    def remember(self, before: np.ndarray, after: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, ...]:
        """Latents and those of the frames that followed, two of float32 `[B, T, C, h, w]`, and the actions between
        them, int64 `[B, T]` -> memory entries float16 `[B, T, Q, U]`; with a view memory, and their poses float32
        `[B, T, P]`. Only with memory."""

    def step(self, history: History, latents: np.ndarray, actions: np.ndarray, noise: np.ndarray) -> StepOutput:
        """Generate the next frame.

        Args:
            history: of the frames before the one on screen; with memory, of at least one slot.
            latents: float32 `[B, C, h, w]` of the frame on screen.
            actions: int64 `[B]`, taken on seeing it.
            noise: float32 `[B, R C, h, w]`, standard normal; R as `sizes.draws` says.
        """
