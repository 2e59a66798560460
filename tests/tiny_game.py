"""The game of the tiny world (see tiny.py), its rows, recordings of it, and untrained policies that can play it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from tiny import HEIGHT, ORIGIN, WIDTH, tiny_spec

from worldsim.data.recording import Episode, RecordingWriter
from worldsim_envs.base import Moment, RealEnv
from worldsim_envs.sources import EnvSource, find_env
from worldsim_policies.learned.network import ActorCritic, PolicyConfig
from worldsim_policies.learned.policy import TrainedPolicy

TINY_ID = "worldsim/TinyPolicies-v0"  # of the generated world, registered by tests/policies/conftest.py
STEPS = 8  # of an episode


class TinyGame(RealEnv):
    """One of three bars is bright, at random. The action that names the bar that was bright one frame ago pays 1."""

    def __init__(self, height: int = HEIGHT, width: int = WIDTH):
        assert (height, width) == (HEIGHT, WIDTH)
        super().__init__(tiny_spec(), ORIGIN, "rgb_array")

    def _reset(self, seed: int | None, options: dict[str, Any]) -> Moment:
        self._bright = -1
        return self._next(), self._info()

    def _step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward = float(action == self._before)
        return self._next(), reward, False, False, self._info()

    def _info(self) -> dict[str, Any]:
        return {"bars": np.array([self._bright, self._before], np.float32)}

    def _next(self) -> np.ndarray:
        self._before, self._bright = self._bright, int(self.np_random.integers(3))
        frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        frame[:, 16 * self._bright : 16 * self._bright + 16] = 255
        return frame


def real_rows(count: int, mode: str = "SameStep") -> VectorEnv[Any, Any, Any]:
    """Rows of the game."""
    return EnvSource("tiny", "tiny").make(count, mode, STEPS)


def generated_rows(count: int, mode: str = "SameStep", steps: int = STEPS, **options: Any) -> VectorEnv[Any, Any, Any]:
    """Rows of the generated world."""
    return find_env(TINY_ID).make(count, mode, steps, **options)


def tiny_policy(seed: int = 0, **changes: Any) -> TrainedPolicy:
    """Untrained, with a stack of two frames; `changes` of its config."""
    torch.manual_seed(seed)
    config = PolicyConfig(**{**vars(PolicyConfig.of(tiny_spec(), 2)), **changes})
    return TrainedPolicy(config, ActorCritic(config).eval(), {"env": TINY_ID})


def record_tiny_game(path: Path, frames: int = 24) -> Path:
    """Forty episodes whose state is the bright bar, the one before (the same in the first frame), and a constant."""
    spec = dataclasses.replace(tiny_spec(), state_names=("bright", "before", "nothing"))
    writer = RecordingWriter(path, spec, 0, ORIGIN)
    for seed in range(40):
        game = TinyGame()
        shown = [game.reset(seed=seed)[0], *(game.step(np.int64(0))[0] for _ in range(frames - 1))]
        bright = np.array([frame[0, ::16, 0].argmax() for frame in shown], np.float32)
        before = np.concatenate([[bright[0]], bright[:-1]])
        state = np.stack([bright, before, np.full(frames, 7.0)], axis=1).astype(np.float32)
        actions = np.append(np.zeros(frames - 1), -1).astype(np.int16)
        writer.append(Episode(np.stack(shown), actions, np.zeros(frames, np.float32), np.zeros(frames, bool), state))
    return path
