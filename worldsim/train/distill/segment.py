"""Segment consistency: the student learns to jump to the end of its segment of the flow in one pass. No derivative.

(Consistency trajectories, Kim et al. 2023, and phased consistency, Wang et al. 2024.) The segments are those of the
sampler's schedule, so that its plain steps (`worldsim.models.flow.advance`) are the jumps: nothing changes in play.

B batch; any shape `[B, ...]`. Know no network.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from worldsim.models.ode_samplers import Denoise, level

LEAST = 1e-3  # signal level between two ends of a jump, to divide by


def segment_ends(tau: Tensor, schedule: Sequence[float]) -> Tensor:
    """Where the segment ends that each level `[B]` lies in: the next level of the schedule, or 1."""
    ends = torch.tensor([*schedule[1:], 1.0], device=tau.device, dtype=tau.dtype)
    return ends[torch.bucketize(tau, ends[:-1], right=True)]


def jump(noisy: Tensor, clean: Tensor, tau: Tensor, end: Tensor) -> Tensor:
    """The straight step from `tau` to `end` `[B]` towards a predicted clean latent; the latent itself at 1."""
    return noisy + level(jump_share(tau, end), noisy) * (clean - noisy)


def jump_target(noisy: Tensor, reached: Tensor, tau: Tensor, end: Tensor) -> Tensor:
    """The clean latent that a `jump` from `noisy` would have to be towards, to reach `reached`."""
    return noisy + level((1 - tau) / (end - tau).clamp(min=LEAST), noisy) * (reached - noisy)


def heun_step(teacher: Denoise, noisy: Tensor, tau: Tensor, following: Tensor) -> Tensor:
    """One step of second order, in two passes: a jump towards the mean of what is predicted at both of its ends."""
    first = teacher(noisy, tau)
    second = teacher(jump(noisy, first, tau, following), following)
    return jump(noisy, (first + second) / 2, tau, following)


def trajectory_target(teacher: Denoise, noisy: Tensor, tau: Tensor, end: Tensor, passes: int) -> Tensor:
    """What the student should predict at `tau` to reach where the teacher's flow is at `end`.

    Args:
        teacher: (noisy `[B, ...]`, tau `[B]`) -> clean `[B, ...]`.
        noisy, tau, end: `[B, ...]`, `[B]`, `[B]`.
        passes: of the teacher, an even number.
    """
    reached, steps = noisy, passes // 2
    for i in range(steps):
        reached = heun_step(teacher, reached, tau.lerp(end, i / steps), tau.lerp(end, (i + 1) / steps))
    return jump_target(noisy, reached, tau, end)


def bootstrapped_target(
    teacher: Denoise, average: Denoise, noisy: Tensor, tau: Tensor, end: Tensor, step: float
) -> Tensor:
    """The same by one step of the teacher and the jump of the student's moving average from there.

    Args:
        average: as `teacher`. step: signal level that the teacher's step covers, at most to the end.
    """
    following = torch.minimum(tau + step, end)
    ahead = heun_step(teacher, noisy, tau, following)
    return jump_target(noisy, jump(ahead, average(ahead, following), following, end), tau, end)


def jump_share(tau: Tensor, end: Tensor) -> Tensor:
    """How far a jump from `tau` to `end` `[B]` goes of the way to clean: errors of the clean latent count where the
    jump ends by so much."""
    return (end - tau) / (1 - tau).clamp(min=LEAST)
