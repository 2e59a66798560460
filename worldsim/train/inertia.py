"""Train inertia: what moves goes on by itself, frame after frame of its own, with a gradient through the last of them.

B clips, T frames, C x h x w latents of the last picture.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldsim.dataset import Windows
from worldsim.dynamics_config import PAST
from worldsim.errors import WorldsimError
from worldsim.inertia import Inertia
from worldsim.recording import Recording
from worldsim.train.clips import LatentClips
from worldsim.train.loop import Loop, step_generator, with_peaks


@dataclasses.dataclass(frozen=True)
class InertiaTraining:
    """Settings of the training.

    Attributes:
        steps: optimizer steps. batch: clips a step. rate: peak learning rate of AdamW.
        length: frames of its own in a row that have a gradient, from 1 at first to this many in the second half.
        lead: most frames of its own before those, in three of four steps of the second half.
        lost: squared error of a cell at the end of that lead from which on it and those beside it teach nothing, for
            what is recorded is not what follows there (as `worldsim.train.rollout.lost_tokens`).
        eventful: share of clips drawn by what moves in them, the others at random.
        noise: standard deviation of the noise on what half of the clips begin with.
        moving: extra weight of cells that change more than most of their frame, up to this factor.
    """

    steps: int = 4000
    batch: int = 16
    rate: float = 2e-3
    length: int = 8
    lead: int = 28
    lost: float = 0.5
    eventful: float = 0.8
    noise: float = 0.05
    moving: float = 10.0
    seed: int = 0


def run_length(share: float, longest: int) -> int:
    """Frames that have a gradient when a `share` of the training is over: from 1 to `longest`, after half of it."""
    return min(longest, 1 + int(2 * share * longest))


def idle(recording: Recording, actions: np.ndarray) -> list[tuple[int, int]]:
    """Stretches (start, end) of the episodes that are for training in which no button is held: `actions` `[frames]`,
    the one taken on seeing each frame. The last frame is what came of the one before."""
    free = np.array([not action.buttons for action in recording.spec.actions])[actions]
    stretches = []
    for begin, end in recording.episodes("train"):
        held = np.flatnonzero(~free[begin : end - 1]) + begin
        for first, last in zip([begin, *(held + 1)], [*held, end - 1], strict=True):
            stretches.append((int(first), int(last) + 1))
    return stretches


def own_run(inertia: nn.Module, past: Tensor, frames: int) -> Tensor:
    """`past` `[B, PAST, C, h, w]` and what follows it, each frame made of those before it: `[B, PAST + frames, C, h,
    w]`."""
    run = list(past.unbind(1))
    for _ in range(frames):
        run.append(inertia(torch.stack(run[-PAST:], dim=1)))
    return torch.stack(run, dim=1)


def train_inertia(
    inertia: Inertia, recording: Recording, clips: LatentClips, out: Path, pictures: int, training: InertiaTraining
) -> None:
    """Train `inertia` in place until `training.steps`, going on from the last checkpoint in `out`; it ends as the
    moving average of its weights. It sees the last of so many `pictures` in each latent frame.

    Raises:
        WorldsimError: if nothing moves by itself in the recording.
    """
    cells = clips.latents.shape[1] // pictures
    optimizer = with_peaks(torch.optim.AdamW(inertia.parameters(), lr=training.rate, betas=(0.9, 0.98), weight_decay=0))
    settings = {"size": list(inertia.first.weight.shape), **dataclasses.asdict(training)}
    del settings["steps"]
    loop = Loop(out, "inertia", inertia, [optimizer], settings, training.steps)
    moved = clips.moved_behind(pictures) if pictures == 2 else clips.change()
    stretches = idle(recording, clips.actions)
    room = max((end - begin for begin, end in stretches), default=0) - PAST
    if room < 1 or not any(moved[begin + 1 : end].any() for begin, end in stretches):
        raise WorldsimError(f"{recording.path}: nothing moves in it while no button is held; train without inertia")
    longest = min(training.length, room)
    most_lead = min(training.lead, room - longest)

    @functools.cache
    def windows(frames: int) -> Windows:
        return Windows(stretches, PAST + frames, moved)

    def draw(step: int, frames: int) -> Tensor:
        index = windows(frames).draw(training.batch, training.seed, step, training.eventful)
        return torch.from_numpy(clips.latents[index][:, :, -cells:].astype(np.float32))

    def train_step(step: int) -> dict[str, Tensor]:
        generator = step_generator(training.seed, step)
        frames, lead = run_length(step / training.steps, longest), 0
        if 2 * step >= training.steps and step % 4:
            lead = int(torch.randint(most_lead + 1, (), generator=generator))
        true = draw(step, lead + frames)
        level = training.noise * (torch.rand(len(true), 1, 1, 1, 1, generator=generator) < 0.5)
        past = true[:, :PAST] + level * torch.randn(true[:, :PAST].shape, generator=generator)
        with torch.no_grad():
            past = own_run(inertia, past, lead)[:, -PAST:]
        run = own_run(inertia, past, frames)
        before, after, made = true[:, -frames - 1 : -1], true[:, -frames:], run[:, PAST:]
        change = (after - before).square().mean(2)  # [B, T, h, w]
        weight = 1 + (change / (change.mean((-2, -1), keepdim=True) + 1e-3)).clamp(max=training.moving)
        apart = (past[:, -1] - before[:, 0]).square().mean(1, keepdim=True) > training.lost
        taught = 1 - F.max_pool2d(apart.float(), 3, stride=1, padding=1)  # [B, 1, h, w]
        loss = ((made - after).square().mean(2) * weight * taught).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(inertia.parameters(), 1.0)
        optimizer.step()
        return {"loss": loss.detach()}

    def watch(step: int) -> dict[str, float]:
        """Error of runs of its own, as a share of what has changed since the last frame that was known."""
        true = draw(training.steps, most_lead + longest)
        with torch.no_grad():
            made = own_run(inertia, true[:, :PAST], most_lead + longest)
        error, change = ((x - true).square().mean((0, 2, 3, 4)) for x in (made, true[:, PAST - 1 : PAST]))
        last = true.shape[1] - 1
        return {f"after_{t - PAST + 1}": float(error[t] / change[t].clamp(min=1e-6)) for t in (PAST, last)}

    loop.run(train_step, watch)
    inertia.load_state_dict(loop.average.weights)
