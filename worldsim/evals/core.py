"""Who is judged: the Simulator protocol, the baseline that copies, and how simulators are rolled out.

Anything with `reset` and `step` can be judged by the same instruments. Knows no network, no metric, no recording.

B rows, T context frames, n frames to generate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

Tick = Callable[[int], None]  # told how many frames were generated
Note = Callable[[slice, int, Any], None]  # told of rows, and what state they are in after how many frames
Renew = Callable[[Any, int], Any]  # given a state after how many frames, the state to go on from


class Simulator(Protocol):
    """A world that can be asked what comes next. States are values: stepping one twice gives two branches.

    Attributes:
        context: how many context frames it can use.
        rows: how many rows it is best stepped with at once.
    """

    context: int
    rows: int

    def reset(self, frames: np.ndarray, actions: np.ndarray, seeds: np.ndarray) -> Any:
        """Context frames uint8 `[B, T, H, W, 3]`, actions int64 `[B, T-1]` between them, seeds int64 `[B]` -> state."""

    def step(self, state: Any, actions: np.ndarray) -> tuple[Any, np.ndarray]:
        """The actions taken on seeing the newest frames, int64 `[B]` -> state, next frames uint8 `[B, H, W, 3]`."""


class Policy(Protocol):
    """Who presses the keys in B worlds at once, seeing only their frames."""

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Frames uint8 `[B, H, W, 3]` -> actions int64 `[B]`."""


class CopyLast:
    """The baseline that believes nothing ever changes."""

    context = 1
    rows = 256

    def reset(self, frames: np.ndarray, actions: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Remember the last frame."""
        return frames[:, -1]

    def step(self, state: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Show it again."""
        return state, state


class Codec(Protocol):
    """Frames through an encoder and a decoder: as close to them as its simulator could ever come."""

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """uint8 `[..., H, W, 3]` -> uint8 `[..., H, W, 3]`."""


def silent(frames: int) -> None:
    """A tick that tells nobody."""


def onward(state: Any, t: int) -> Any:
    """Goes on with the same state."""
    return state


def unnoted(rows: slice, t: int, state: Any) -> None:
    """A note that nobody takes."""


def rollout(
    simulator: Simulator,
    frames: np.ndarray,
    actions: np.ndarray,
    future: np.ndarray,
    seed: int = 0,
    tick: Tick = silent,
    note: Note = unnoted,
) -> np.ndarray:
    """Run free from a context with given actions.

    Args:
        frames: context uint8 `[N, T, H, W, 3]`; the newest `simulator.context` of them are used.
        actions: int64 `[N, T-1]`, taken between them.
        future: int64 `[N, n]`; `future[:, 0]` is taken on seeing the last context frame.
        seed: row i is generated with seed + i.

    Returns:
        uint8 `[N, n, H, W, 3]`.
    """
    generated = np.empty((*future.shape, *frames.shape[-3:]), np.uint8)
    for rows in _batches(len(frames), simulator.rows):
        state = look(simulator, frames[rows], actions[rows], seed + np.arange(rows.start, rows.stop))
        for t in range(future.shape[1]):
            state, generated[rows, t] = simulator.step(state, future[rows, t])
            note(rows, t, state)
            tick(rows.stop - rows.start)
    return generated


def play(
    simulator: Simulator,
    frames: np.ndarray,
    actions: np.ndarray,
    policy: Policy,
    steps: int,
    seed: int = 0,
    tick: Tick = silent,
    renew: Renew = onward,
) -> tuple[np.ndarray, np.ndarray]:
    """Run free from a context with a policy that sees what is generated. All rows at once; arguments as for `rollout`.

    Args:
        renew: begins rows again in which play has ended; the frame of the end is still seen.

    Returns:
        frames uint8 `[N, steps + 1, H, W, 3]`, the first the last of the context; actions int64 `[N, steps]`.
    """
    seen = np.empty((len(frames), steps + 1, *frames.shape[-3:]), np.uint8)
    taken = np.empty((len(frames), steps), np.int64)
    state = look(simulator, frames, actions, seed + np.arange(len(frames)))
    seen[:, 0] = frames[:, -1]
    for t in range(steps):
        taken[:, t] = policy(seen[:, t])
        state, seen[:, t + 1] = simulator.step(state, taken[:, t])
        state = renew(state, t)
        tick(len(frames))
    return seen, taken


def look(simulator: Simulator, frames: np.ndarray, actions: np.ndarray, seeds: np.ndarray) -> Any:
    """Reset a simulator from the newest frames it can use; arguments as for `Simulator.reset`."""
    length = min(simulator.context, frames.shape[1])
    return simulator.reset(frames[:, -length:], actions[:, actions.shape[1] - (length - 1) :], seeds)


def _batches(total: int, size: int) -> list[slice]:
    return [slice(i, min(i + size, total)) for i in range(0, total, size)]
