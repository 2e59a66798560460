"""The real world played for comparison: an environment and policies that the caller brings. Knows no world by name.

B episodes, n steps, S components of the exact state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from worldsim.evals.core import Policy, ProgressCallback, no_progress
from worldsim.evals.instruments.state import ReadState

FIRST_SEED = 10**6  # no episode of a recording has a seed from here on


class RealEnv(Protocol):
    """The real world, as far as it is used here: a `gymnasium.Env` of uint8 frames `[H, W, 3]`."""

    def reset(self, *, seed: int) -> tuple[np.ndarray, Mapping[str, Any]]:
        """Begin an episode."""

    def step(self, action: Any) -> tuple[np.ndarray, Any, bool, bool, Mapping[str, Any]]:
        """One action."""


# (rows, seed, reader of the state off frames, info of a real reset) -> a policy for so many rows
MakePolicy = Callable[[int, int, ReadState | None, Mapping[str, Any]], Policy]
RandomActions = Callable[[int, int, int], np.ndarray]  # (rows, steps, seed) -> int64 [rows, steps]


class RealPlay(NamedTuple):
    """Everything from outside that an evaluation compares a world with.

    Attributes:
        env: the real world; None where it can't be played.
        make_policy: of the scripted policy that acts in the real and in the generated world.
        random_actions: random ones, each held for a while.
    """

    env: RealEnv | None
    make_policy: MakePolicy
    random_actions: RandomActions


class Play(NamedTuple):
    """Episodes of the real world.

    Attributes:
        frames: uint8 `[B, n + 1, H, W, 3]`; after an end the last one again.
        actions: int64 `[B, n]`. ended: bool `[B, n]`. rewards: float `[B, n]`, 0 after an end.
    """

    frames: np.ndarray
    actions: np.ndarray
    ended: np.ndarray
    rewards: np.ndarray


def play_policy(
    play: RealPlay, read_state: ReadState | None, rows: int, n: int, seed: int, on_progress: ProgressCallback
) -> tuple[np.ndarray, np.ndarray, Mapping[str, Any]]:
    """The real world under the scripted policy, one row after the other; an episode that ends restarts.

    Returns:
        frames uint8 `[rows, n + 1, H, W, 3]`; actions int64 `[rows, n]`; the info of the last row's first reset.
    """
    assert play.env is not None
    info: Mapping[str, Any] = {}
    frames, actions = [], np.empty((rows, n), np.int64)
    for row in range(rows):
        frame, info = play.env.reset(seed=FIRST_SEED + seed + row)
        policy = play.make_policy(1, seed + row, read_state, info)
        seen = [frame]
        for t in range(n):
            actions[row, t] = policy(seen[-1][None])[0]
            frame, _, terminated, truncated, _ = play.env.step(actions[row, t])
            seen.append(frame)
            if terminated or truncated:
                play.env.reset(seed=FIRST_SEED + seed + row + rows * (t + 1))
            on_progress(1)
        frames.append(np.stack(seen))
    return np.stack(frames), actions, info


def play_random(play: RealPlay, rows: int, n: int, seed: int, on_progress: ProgressCallback = no_progress) -> Play:
    """Episodes of the real world under random actions, each from its own seed, that are not restarted."""
    assert play.env is not None
    frames, actions = [], play.random_actions(rows, n, seed)
    ended, rewards = np.zeros((rows, n), bool), np.zeros((rows, n))
    for row in range(rows):
        seen = [play.env.reset(seed=2 * FIRST_SEED + seed + row)[0]]
        for t in range(n):
            frame = seen[-1]
            if not ended[row, :t].any():
                frame, rewards[row, t], ended[row, t], _, _ = play.env.step(actions[row, t])
            seen.append(frame)
            on_progress(1)
        frames.append(np.stack(seen))
    return Play(np.stack(frames), actions, ended, rewards)
