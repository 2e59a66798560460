"""What is evaluated: the Simulator protocol, the copy-last baseline, and rollouts of a simulator.

Anything with `reset` and `step` can be evaluated by the same instruments. Knows no network, metric or recording.

B rows, T context frames, n frames to generate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

ProgressCallback = Callable[[int], None]  # (frames generated since the last call)
StepObserver = Callable[[slice, int, Any], None]  # (rows, frames generated before this one, state after it)
RestartCallback = Callable[[Any, int], Any]  # (state, frames generated before this one) -> state to continue from


class Simulator(Protocol):
    """A world model that predicts the next frame. States are values: stepping one twice gives two branches.

    Attributes:
        context: how many context frames it can use.
        rows: the batch size it runs best with.
    """

    context: int
    rows: int

    def reset(self, frames: np.ndarray, actions: np.ndarray, seeds: np.ndarray) -> Any:
        """Context frames uint8 `[B, T, H, W, 3]`, actions int64 `[B, T-1]` between them, seeds int64 `[B]` -> state."""

    def step(self, state: Any, actions: np.ndarray) -> tuple[Any, np.ndarray]:
        """The actions taken on seeing the newest frames, int64 `[B]` -> state, next frames uint8 `[B, H, W, 3]`."""


class Policy(Protocol):
    """Chooses the actions of B worlds at once, from their frames alone."""

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Frames uint8 `[B, H, W, 3]` -> actions int64 `[B]`."""


class Codec(Protocol):
    """Frames through an encoder and a decoder: the best that a simulator with this decoder can reach."""

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """uint8 `[..., H, W, 3]` -> uint8 `[..., H, W, 3]`."""


class CopyLast:
    """The baseline that predicts that nothing changes."""

    context = 1
    rows = 256

    def reset(self, frames: np.ndarray, actions: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Keep the last frame."""
        return frames[:, -1]

    def step(self, state: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return it again."""
        return state, state


def no_progress(frames: int) -> None:
    """Report no progress."""


def no_observer(rows: slice, t: int, state: Any) -> None:
    """Observe nothing."""


def no_restart(state: Any, t: int) -> Any:
    """Continue from the same state."""
    return state


def reset_from_context(simulator: Simulator, frames: np.ndarray, actions: np.ndarray, seeds: np.ndarray) -> Any:
    """Reset a simulator from the newest frames it can use; arguments as for `Simulator.reset`."""
    length = min(simulator.context, frames.shape[1])
    return simulator.reset(frames[:, -length:], actions[:, actions.shape[1] - (length - 1) :], seeds)


def rollout(
    simulator: Simulator,
    frames: np.ndarray,
    actions: np.ndarray,
    future: np.ndarray,
    seed: int = 0,
    on_progress: ProgressCallback = no_progress,
    observer: StepObserver = no_observer,
) -> np.ndarray:
    """Generate frames from a context under given actions.

    Args:
        frames: context uint8 `[N, T, H, W, 3]`; the newest `simulator.context` of them are used.
        actions: int64 `[N, T-1]`, taken between them.
        future: int64 `[N, n]`; `future[:, 0]` is taken on seeing the last context frame.
        seed: row i is generated with seed + i.

    Returns:
        uint8 `[N, n, H, W, 3]`.
    """
    generated = np.empty((*future.shape, *frames.shape[-3:]), np.uint8)
    for start in range(0, len(frames), simulator.rows):
        rows = slice(start, min(start + simulator.rows, len(frames)))
        state = reset_from_context(simulator, frames[rows], actions[rows], seed + np.arange(rows.start, rows.stop))
        for t in range(future.shape[1]):
            state, generated[rows, t] = simulator.step(state, future[rows, t])
            observer(rows, t, state)
            on_progress(rows.stop - rows.start)
    return generated


def policy_rollout(
    simulator: Simulator,
    frames: np.ndarray,
    actions: np.ndarray,
    policy: Policy,
    steps: int,
    seed: int = 0,
    on_progress: ProgressCallback = no_progress,
    restart: RestartCallback = no_restart,
) -> tuple[np.ndarray, np.ndarray]:
    """Generate frames from a context under a policy that sees them. All rows at once; arguments as for `rollout`.

    Args:
        restart: replaces the state of rows whose episode has ended; the last frame of the episode is still seen.

    Returns:
        frames uint8 `[N, steps + 1, H, W, 3]`, the first the last of the context; actions int64 `[N, steps]`.
    """
    seen = np.empty((len(frames), steps + 1, *frames.shape[-3:]), np.uint8)
    taken = np.empty((len(frames), steps), np.int64)
    state = reset_from_context(simulator, frames, actions, seed + np.arange(len(frames)))
    seen[:, 0] = frames[:, -1]
    for t in range(steps):
        taken[:, t] = policy(seen[:, t])
        state, seen[:, t + 1] = simulator.step(state, taken[:, t])
        state = restart(state, t)
        on_progress(len(frames))
    return seen, taken
