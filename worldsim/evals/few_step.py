"""Generates what the few-step instrument judges: one frame by every sampler, of worlds as modules.

N contexts, C x h x w latents, H x W pixels.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from worldsim.evals.core import ProgressCallback, no_progress
from worldsim.evals.instruments.few_step import OneFrame
from worldsim.models import ddpm, ode_samplers, sampler
from worldsim.models.autoencoder import to_frames
from worldsim.models.flow import add_noise
from worldsim.models.history import History
from worldsim.models.ode_samplers import Denoise, karras_sigmas, uniform_schedule
from worldsim.models.sampling import Sampling
from worldsim.models.step import WorldStep
from worldsim.models.world_model import Features, Prediction, WorldModel
from worldsim.runtime.session import Session
from worldsim.runtime.torch import TorchRuntime

ROWS = 64  # contexts at once
TIMED = 7  # frames at batch 1
Sample = Callable[[WorldModel, Features, Tensor, Tensor, torch.Generator], Tensor]
TWICE = Sampling((0.0, 0.55), fresh_noise=True)  # sigma 0.82 between the passes
Plain = Callable[[Denoise, Tensor, torch.Generator], Tensor]  # (denoise, noise, generator) -> clean


class Contexts(NamedTuple):
    """Everything that a next frame depends on, N rows.

    Attributes:
        history: as tensors. latents: of the newest frame `[N, C, h, w]`. actions: int64 `[N]`, taken on seeing it.
        following: latents of the real next frame `[N, C, h, w]`. noise: `[N, C, h, w]`.
    """

    history: History
    latents: Tensor
    actions: Tensor
    following: Tensor
    noise: Tensor

    def rows(self, part: slice) -> Contexts:
        """Some of them."""
        history = History(*(None if x is None else x[part] for x in self.history))
        return Contexts(history, *(x[part] for x in self[1:]))


class Candidate(NamedTuple):
    """A sampler of one world.

    Attributes:
        group: of its line in a plot. name: of its row in the table.
        model: the world model. sample: (model, features, previous tokens, noise, generator) -> clean tokens.
    """

    group: str
    name: str
    model: WorldModel
    sample: Sample


def contexts_of(runtime: TorchRuntime, frames: np.ndarray, actions: np.ndarray, seed: int) -> Contexts:
    """Of frames uint8 `[N, T + 1, H, W, 3]`, the last one what is to come, and actions int64 `[N, T]` between them."""
    session, parts = Session(runtime), []
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, len(frames), ROWS):
        rows = slice(start, start + ROWS)
        state = session.reset(frames[rows, :-1], actions[rows, :-1], np.arange(len(frames[rows])))
        history = History(*(None if x is None else torch.tensor(x) for x in session.history(state)))
        latents, taken = torch.tensor(state.latents), torch.tensor(actions[rows, -1])
        following = torch.from_numpy(runtime.encode(frames[rows, -1:])[:, 0])
        noise = torch.randn(latents.shape, generator=generator)
        parts.append(Contexts(history, latents, taken, following, noise))
    history = History(*(None if x[0] is None else torch.cat(x) for x in zip(*(p.history for p in parts), strict=True)))
    return Contexts(history, *(torch.cat(x) for x in list(zip(*parts, strict=True))[1:]))


def reference_candidates(step: WorldStep, contexts: Contexts, steps: Sequence[int]) -> list[Candidate]:
    """Every sampler of the undistilled world, at every number of passes; the first is what distances are to."""
    error = mean_errors(step.world_model, contexts)
    candidates = []
    for n in sorted(steps, reverse=True):
        levels = Sampling(tuple(uniform_schedule(n)))
        candidates.append(by_play("multistep", f"multistep, {n}", step.world_model, levels))
        for group, plain in reference_samplers(n, error).items():
            candidates.append(Candidate(group, f"{group}, {n}", step.world_model, of_denoiser(plain)))
    return [*candidates, by_play("as shipped", "as shipped", step.world_model, step.sampling)]


def reference_samplers(passes: int, error: Callable[[float], float]) -> dict[str, Plain]:
    """By name, each for about so many passes: Heun's method takes an odd number. `error` as of `analytic_ddpm`."""
    levels, sigmas = uniform_schedule(passes), karras_sigmas((passes + 1) // 2)
    return {
        "Euler, DDIM": lambda denoise, noise, _: ode_samplers.euler(denoise, noise, levels),
        "EDM Heun": lambda denoise, noise, _: ode_samplers.heun(denoise, noise, sigmas),
        "DDPM": lambda denoise, noise, generator: ddpm.ddpm(denoise, noise, levels, generator),
        "IDDPM, analytic variance": lambda denoise, noise, generator: ddpm.analytic_ddpm(
            denoise, error, noise, levels, generator
        ),
    }


def of_denoiser(plain: Plain) -> Sample:
    """A sampler of any denoiser, as one of world models."""

    def sample(
        model: WorldModel, features: Features, previous: Tensor, noise: Tensor, generator: torch.Generator
    ) -> Tensor:
        return plain(lambda noisy, tau: model.denoise(features, previous, noisy, tau).clean, noise, generator)

    return sample


def distilled_candidates(name: str, step: WorldStep) -> list[Candidate]:
    """A distilled world by its own schedule; one of a single pass also with fresh noise before a second."""
    found = [by_play(name, f"{name}, {len(step.sampling.schedule)}", step.world_model, step.sampling)]
    if len(step.sampling.schedule) == 1:
        found.append(by_play(name, f"{name}, 2 with fresh noise", step.world_model, TWICE))
    return found


def by_play(group: str, name: str, model: WorldModel, sampling: Sampling) -> Candidate:
    """The sampler of play, at temperature 1."""
    sampling = dataclasses.replace(sampling, temperature=1.0)

    def sample(
        model: WorldModel, features: Features, previous: Tensor, noise: Tensor, generator: torch.Generator
    ) -> Tensor:
        def denoise(noisy: Tensor, tau: Tensor) -> Prediction:
            return model.denoise(features, previous, noisy, tau)

        anew = torch.randn(len(noise), sampling.draws - 1, *noise.shape[1:], generator=generator)
        return sampler.sample(denoise, torch.cat([noise[:, None], anew], dim=1), sampling)[0].clean

    return Candidate(group, name, model, sample)


@torch.inference_mode()
def mean_errors(model: WorldModel, contexts: Contexts) -> Callable[[float], float]:
    """The denoiser's mean squared error on the real next frames, interpolated between some signal levels."""
    few = contexts.rows(slice(0, 4 * ROWS))
    features, previous = _encode(model, few)
    clean, noise = model.to_tokens(few.following), model.to_tokens(few.noise)
    levels = np.linspace(0, 0.98, 9)
    errors = []
    for tau in levels:
        noisy = add_noise(clean, noise, torch.full(clean.shape[:-1], tau))
        made = model.denoise(features, previous, noisy, torch.full((1,), float(tau))).clean
        errors.append(float((made - clean).square().mean()))
    return lambda tau: float(np.interp(tau, levels, errors))


@torch.inference_mode()
def one_frame(
    candidate: Candidate, step: WorldStep, contexts: Contexts, on_progress: ProgressCallback = no_progress
) -> OneFrame:
    """The frame after each context, from its noise, as play limits it."""
    model = candidate.model
    generator, latents, frames = torch.Generator().manual_seed(0), [], []
    for start in range(0, len(contexts.latents), ROWS):
        made = _made(candidate, contexts.rows(slice(start, start + ROWS)), generator)
        latents.append(made)
        frames.append(to_frames(step.autoencoder.decode(made)))
        on_progress(len(made))
    passes = 0

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1

    hook = model.denoiser.register_forward_pre_hook(count)
    _made(candidate, contexts.rows(slice(0, 1)), generator)
    hook.remove()
    seconds = []
    for _ in range(TIMED):
        begun = time.perf_counter()
        to_frames(step.autoencoder.decode(_made(candidate, contexts.rows(slice(0, 1)), generator)))
        seconds.append(time.perf_counter() - begun)
    milliseconds = 1000 * statistics.median(seconds)
    return OneFrame(torch.cat(latents).numpy(), torch.cat(frames).numpy(), passes, milliseconds)


def _made(candidate: Candidate, contexts: Contexts, generator: torch.Generator) -> Tensor:
    model = candidate.model
    features, previous = _encode(model, contexts)
    clean = candidate.sample(model, features, previous, model.to_tokens(contexts.noise), generator)
    return model.to_latents(model.limit(previous, clean))


def _encode(model: WorldModel, contexts: Contexts) -> tuple[Features, Tensor]:
    previous = model.to_tokens(contexts.latents)
    features, _ = model.encode_context(previous[:, None], contexts.actions[:, None], contexts.history)
    return features.map(lambda part: part[:, 0]), previous


def with_schedule(step: WorldStep, schedule: Sequence[float]) -> WorldStep:
    """The same networks with another schedule, and the noise of one draw."""
    sampling = Sampling(tuple(schedule), step.sampling.temperature)
    return WorldStep(step.autoencoder, step.world_model, sampling).eval()
