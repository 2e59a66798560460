"""One step is one module: the whole of a generated frame, for the torch runtime and, exported, for ONNX Runtime.

    frame on screen + action + history --context encoder--> features, cache entry
    noise --denoiser, K passes--> latents --decoder--> frame;  reward and continue from the last pass

B batch, W window, T frames, L x M x F one cache entry, N tokens a frame of width V, C x h x w latents, A actions,
R draws of noise, S x Q x U memory, O numbers of a pose.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from worldsim.models.autoencoder import Autoencoder, to_frames, to_pixels
from worldsim.models.flow import expected_reward
from worldsim.models.history import History
from worldsim.models.retention import capacity
from worldsim.models.sampler import sample
from worldsim.models.sampling import Sampling
from worldsim.models.world_model import Prediction, WorldModel


class NextTokens(NamedTuple):
    """The next frame in tokens.

    Attributes:
        clean: `[B, N, V]`.
        entry: cache entry of the frame before, float16 `[B, L, M, F]`.
        prediction: of the last pass.
        uncertainty: float32 `[B]`, see `worldsim.models.sampler.multistep`.
    """

    clean: Tensor
    entry: Tensor
    prediction: Prediction
    uncertainty: Tensor


def next_tokens(
    model: WorldModel, sampling: Sampling, history: History, previous: Tensor, actions: Tensor, noise: Tensor
) -> NextTokens:
    """Generate the frame after `previous` `[B, N, V]` from normal noise `[B, R, N, V]`, under actions int64 `[B]`."""
    features, entries = model.encode_context(previous[:, None], actions[:, None], history)
    features = features.map(lambda part: part[:, 0])

    def denoise(noisy: Tensor, tau: Tensor) -> Prediction:
        return model.denoise(features, previous, noisy, tau)

    prediction, uncertainty = sample(denoise, noise, sampling)
    clean = model.limit(previous, prediction.clean)
    return NextTokens(clean, entries[:, 0].half(), prediction, uncertainty)


class WorldStep(nn.Module):
    """Generate the next frame.

    Args:
        autoencoder, world_model: of the world.
        sampling: how a frame is sampled.
    """

    def __init__(self, autoencoder: Autoencoder, world_model: WorldModel, sampling: Sampling | None = None):
        super().__init__()
        self.autoencoder, self.world_model = autoencoder, world_model
        self.sampling = sampling or Sampling()

    def forward(
        self,
        latents: Tensor,
        actions: Tensor,
        noise: Tensor,
        cache: Tensor,
        length: Tensor,
        memory: Tensor | None = None,
        age: Tensor | None = None,
        pose: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """One frame.

        Args:
            latents: float32 `[B, C, h, w]` of the frame on screen.
            actions: int64 `[B]`, taken on seeing it; A is the null action.
            noise: float32 `[B, R C, h, w]`, standard normal.
            cache, length, memory, age, pose: see `worldsim.models.history.History`.

        Returns:
            latents: float32 `[B, C, h, w]` of the next frame.
            frame: uint8 `[B, H, W, 3]`, the next frame.
            reward: float32 `[B]`, expected.
            cont: float32 `[B]`, probability that play goes on.
            uncertainty: float32 `[B]`, by how much the sampler's passes disagree (see `multistep`).
            entry: float16 `[B, L, M, F]` of the frame on screen, to append to the cache.
            memory: float16 `[B, Q, U]`, what the frame on screen leaves in memory; only of a world with memory.
            pose: float32 `[B, 2 O]`, that goes with it; only of a world with a view memory.
        """
        model, history = self.world_model, History(cache, length, memory, age, pose)
        previous, noisy = model.to_tokens(latents), model.to_tokens(noise.unflatten(1, (self.sampling.draws, -1)))
        made = next_tokens(model, self.sampling, history, previous, actions, noisy)
        latents, outcome = model.to_latents(made.clean), made.prediction
        frame = to_frames(self.autoencoder.decode(latents))
        outputs = latents, frame, expected_reward(outcome.reward), outcome.cont.sigmoid(), made.uncertainty, made.entry
        if not model.config.memory:
            return outputs
        poses = model.poses(previous[:, None], made.clean[:, None], actions[:, None], history)
        poses = poses if poses is None else poses[:, 0]
        return *outputs, *_stored(*model.remember(previous, made.clean, actions, poses))


class Prefill(nn.Module):
    """Cache entries of known frames."""

    def __init__(self, world_model: WorldModel):
        super().__init__()
        self.world_model = world_model

    def forward(self, latents: Tensor, actions: Tensor) -> Tensor:
        """Latents `[B, T, C, h, w]`, the actions taken on seeing them int64 `[B, T]` -> float16 `[B, T, L, M, F]`."""
        return self.world_model.encode_context(self.world_model.to_tokens(latents), actions)[1].half()


class Remember(nn.Module):
    """Memory entries of known frames."""

    def __init__(self, world_model: WorldModel):
        super().__init__()
        self.world_model = world_model

    def forward(self, before: Tensor, after: Tensor, actions: Tensor) -> tuple[Tensor, ...]:
        """Latents and those of the frames that followed, two of `[B, T, C, h, w]`, the actions between them int64
        `[B, T]` -> memory entries float16 `[B, T, Q, U]`; with a view memory their poses float32 `[B, T, 2 O]`."""
        model = self.world_model
        before, after = model.to_tokens(before), model.to_tokens(after)
        return _stored(*model.remember(before, after, actions, model.poses(before, after, actions)))


def _stored(memory: Tensor, pose: Tensor | None) -> tuple[Tensor, ...]:
    return (memory.half(),) if pose is None else (memory.half(), pose)


class Encode(nn.Module):
    """Frames to latents."""

    def __init__(self, autoencoder: Autoencoder):
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, frames: Tensor) -> Tensor:
        """uint8 `[B, H, W, 3]` -> float32 `[B, C, h, w]`."""
        return self.autoencoder.encode(to_pixels(frames))


class Decode(nn.Module):
    """Latents to frames."""

    def __init__(self, autoencoder: Autoencoder):
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, latents: Tensor) -> Tensor:
        """float32 `[B, C, h, w]` -> uint8 `[B, H, W, 3]`."""
        return to_frames(self.autoencoder.decode(latents))


def example_inputs(step: WorldStep, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Random inputs of `WorldStep.forward` with the right shapes, for export, parity checks and benchmarks."""
    config = step.world_model.config
    c, h, w = config.latent_shape
    example = (
        torch.randn(batch, c, h, w, generator=generator),
        torch.randint(0, config.actions + 1, (batch,), generator=generator),
        torch.randn(batch, step.sampling.draws * c, h, w, generator=generator),
        torch.randn(batch, config.dit.window, *config.entry_shape, generator=generator).half(),
        torch.randint(0, config.dit.window + 1, (batch,), generator=generator),
    )
    if config.memory is None or config.memory_shape is None:
        return example
    most, oldest = capacity(config.memory.retention), config.memory.retention[-1][0]
    memory = torch.randn(batch, most, *config.memory_shape, generator=generator).half()
    age = torch.randint(0, oldest + 1, (batch, most), generator=generator)
    poses = torch.randint(0, 8, (batch, most, config.pose_width), generator=generator).float()
    return (*example, memory, age, *((poses,) if config.view else ()))
