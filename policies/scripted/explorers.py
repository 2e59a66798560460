"""Explorers: who presses the keys while a world is recorded. One for each real world, and one for all others."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from worldsim.errors import WorldsimError
from worldsim_envs.registry import WORLDS, load, world_entry


class Explorer(Protocol):
    """Chooses actions for one episode after another; all chance comes from its generator."""

    def reset(self) -> None:
        """A new episode begins."""

    def __call__(self, observation: np.ndarray, info: dict[str, Any]) -> int:
        """The action for a frame, uint8 `[H, W, 3]`, and the real world's info of the same moment."""


class StickyExplorer:
    """Random actions, each held for a while: knows nothing of the world but the number of its actions."""

    def __init__(self, actions: int, rng: np.random.Generator, longest: int = 12):
        self._actions, self._rng, self._longest = actions, rng, longest
        self.reset()

    def reset(self) -> None:
        """Let go of the keys."""
        self._hold = 0

    def __call__(self, observation: np.ndarray, info: dict[str, Any]) -> int:
        """The held action, or a new one."""
        if self._hold == 0:
            self._action, self._hold = (
                int(self._rng.integers(self._actions)),
                int(self._rng.integers(1, self._longest + 1)),
            )
        self._hold -= 1
        return self._action


def make_explorer(world_name: str, rng: np.random.Generator, actions: int | None = None) -> Explorer:
    """The explorer made for a world.

    Args:
        world_name: for example `"doom-maze"`.
        rng: decides everything that the explorer chooses by chance.
        actions: how many there are, for a world that none was made for: its explorer holds random ones.

    Raises:
        WorldsimError: for an unknown world, if `actions` is not given.
    """
    if entry_point := world_entry(world_name).explorer:
        explorer: Explorer = load(entry_point)(rng)
        return explorer
    if actions is None:
        raise WorldsimError(f"no explorer for {world_name!r}; there are {', '.join(WORLDS)}")
    return StickyExplorer(actions, rng)
