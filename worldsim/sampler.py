"""Samplers: functions of (model, noise, schedule) that turn noise into a clean latent. Know no network and no cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from worldsim.dynamics import HeadOutput
from worldsim.flow import advance

SCHEDULE = (0.0, 0.15, 0.4, 0.7)  # signal levels visited; most steps where the frame is decided


def euler(
    denoise: Callable[[Tensor, Tensor], HeadOutput],
    noise: Tensor,
    schedule: Sequence[float] = SCHEDULE,
    spread: float = 1.0,
) -> tuple[HeadOutput, Tensor]:
    """Deterministic Euler sampler of the rectified flow (Liu et al. 2022, section 2.2), in len(schedule) passes.

    Args:
        denoise: (noisy `[B, N, D]`, tau `[1]`) -> prediction of the clean latent.
        noise: `[B, N, D]`, standard normal.
        schedule: rising signal levels, the first 0, all below 1; the last pass goes straight to 1.
        spread: by how much the way to the next level leads further from the first pass's expectation than a pass says.
            Few passes are shy of what seldom happens, because each is an average; what is sure anyway stays as it is.
            (As guidance, Ho and Salimans 2022, equation 6, with the expectation in place of the unconditional.)

    Returns:
        the last pass's output, whose `clean` is the sample; and float32 `[B]`, how far that is from what the first pass
        expected of all that may come, as a root mean square: 0 if one pass is all there is.
    """
    noisy, passes = noise, []
    for tau, next_tau in zip(schedule, [*schedule[1:], 1.0], strict=True):
        output = denoise(noisy, noise.new_full((1,), tau))
        passes.append(output.clean)
        noisy = advance(noisy, output.clean + (spread - 1) * (output.clean - passes[0]), tau, next_tau)
    return output, (passes[-1] - passes[0]).square().mean((1, 2)).sqrt()
