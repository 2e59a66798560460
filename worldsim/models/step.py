"""One step is one module: the whole of a generated frame, for the torch runtime and, exported, for ONNX Runtime.

    previous frame's latents + action --trunk--> features, cache entry
    noise --head, K passes--> latents --decoder--> frame;  reward and continue from the last pass

B batch, W window, T frames, L x M x F one cache entry, N tokens a frame of width D, C x h x w latents, A actions,
S x Q x U the log.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from worldsim.models.autoencoder import Autoencoder, to_frames, to_pixels
from worldsim.models.flow import expected_reward
from worldsim.models.retention import capacity
from worldsim.models.sampler import SCHEDULE, multistep
from worldsim.models.world_model import HeadOutput, WorldModel

DRAWS = 1  # noise draws a frame


def next_tokens(
    model: WorldModel,
    schedule: Sequence[float],
    cache: Tensor,
    length: Tensor,
    previous: Tensor,
    actions: Tensor,
    noise: Tensor,
    log: Tensor | None = None,
    age: Tensor | None = None,
    temperature: float = 1.0,
) -> tuple[Tensor, HeadOutput, Tensor]:
    """The next frame in tokens `[B, N, D]`, from the frame before it and noise of the same shape; the rest as in
    `WorldStep.forward` and `WorldStep`.

    Returns:
        the cache entry of the frame before, float16 `[B, L, M, F]`, the head's output, and its uncertainty `[B]`.
    """
    features, entries = model.look(previous[:, None], actions[:, None], cache, length, log, age)

    def denoise(noisy: Tensor, tau: Tensor) -> HeadOutput:
        return model.denoise(features[:, 0], previous, noisy, tau)

    output, uncertainty = multistep(denoise, temperature * noise, schedule)
    output = output._replace(clean=model.hold(previous, output.clean))
    return entries[:, 0].half(), output, uncertainty


class WorldStep(nn.Module):
    """Generate the next frame.

    Args:
        autoencoder, dynamics: of the world.
        schedule: signal levels that the sampler visits.
        temperature: standard deviation of the noise that frames start from; 1 is what the network learned, a little
            more makes what seldom happens as frequent as it was. A temperature in play is a multiple of it.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        dynamics: WorldModel,
        schedule: Sequence[float] = SCHEDULE,
        temperature: float = 1.0,
    ):
        super().__init__()
        self.autoencoder, self.dynamics = autoencoder, dynamics
        self.schedule, self.temperature = tuple(schedule), temperature

    def forward(
        self,
        cache: Tensor,
        length: Tensor,
        latents: Tensor,
        actions: Tensor,
        noise: Tensor,
        log: Tensor | None = None,
        age: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """One frame.

        Args:
            cache: float16 `[B, W, L, M, F]`, entries of the frames before the one on screen, oldest first.
            length: int64 `[B]`, how many of the newest entries are real.
            latents: float32 `[B, C, h, w]` of the frame on screen.
            actions: int64 `[B]`, taken on seeing it; A is the null action.
            noise: float32 `[B, DRAWS, C, h, w]`, standard normal.
            log: float16 `[B, S, Q, U]`, what is retained; only of a world with memory, as the next.
            age: int64 `[B, S]`, how many frames before the one on screen; 0 for nothing.

        Returns:
            entry: float16 `[B, L, M, F]` of the frame on screen, to append to the cache.
            latents: float32 `[B, C, h, w]` of the next frame.
            frame: uint8 `[B, H, W, 3]`, the next frame.
            reward: float32 `[B]`, expected.
            cont: float32 `[B]`, probability that play goes on.
            uncertainty: float32 `[B]`, by how much the sampler's passes disagree (see `multistep`).
            left: float16 `[B, Q, U]`, what the frame on screen leaves in the log; only of a world with memory.
        """
        model = self.dynamics
        previous, noisy = model.to_tokens(latents), model.to_tokens(noise[:, 0])
        entry, output, uncertainty = next_tokens(
            model, self.schedule, cache, length, previous, actions, noisy, log, age, self.temperature
        )
        latents = model.to_latents(output.clean)
        frame = to_frames(self.autoencoder.decode(latents))
        made = entry, latents, frame, expected_reward(output.reward), output.cont.sigmoid(), uncertainty
        if not model.config.memory:
            return made
        places = model.places(previous[:, None], output.clean[:, None], actions[:, None], log, age)[:, 0]
        return *made, model.remember(previous, output.clean, actions, places).half()


class Prefill(nn.Module):
    """Cache entries of known frames."""

    def __init__(self, dynamics: WorldModel):
        super().__init__()
        self.dynamics = dynamics

    def forward(self, latents: Tensor, actions: Tensor) -> Tensor:
        """Latents `[B, T, C, h, w]`, the actions taken on seeing them int64 `[B, T]` -> float16 `[B, T, L, M, F]`."""
        return self.dynamics.look(self.dynamics.to_tokens(latents), actions)[1].half()


class Remember(nn.Module):
    """What known frames leave in the log."""

    def __init__(self, dynamics: WorldModel):
        super().__init__()
        self.dynamics = dynamics

    def forward(self, before: Tensor, after: Tensor, actions: Tensor) -> Tensor:
        """Latents and those of the frames that followed, two of `[B, T, C, h, w]`, the actions between them int64
        `[B, T]` -> float16 `[B, T, Q, U]`."""
        model = self.dynamics
        before, after = model.to_tokens(before), model.to_tokens(after)
        return model.remember(before, after, actions, model.places(before, after, actions)).half()


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
    config = step.dynamics.config
    example = (
        torch.randn(batch, config.window, *config.entry_shape, generator=generator).half(),
        torch.randint(0, config.window + 1, (batch,), generator=generator),
        torch.randn(batch, *config.latent_shape, generator=generator),
        torch.randint(0, config.actions + 1, (batch,), generator=generator),
        torch.randn(batch, DRAWS, *config.latent_shape, generator=generator),
    )
    if config.log_shape is None:
        return example
    most = capacity(config.memory)
    log = torch.randn(batch, most, *config.log_shape, generator=generator).half()
    return *example, log, torch.randint(0, config.memory[-1][0] + 1, (batch, most), generator=generator)
