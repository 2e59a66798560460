"""Explorers: who presses the keys while a world is recorded. One for each real world, and one for all others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from worldsim.errors import WorldsimError
from worldsim_policies.scripted.atari_freeway import FreewayExplorer
from worldsim_policies.scripted.crafter import CrafterExplorer
from worldsim_policies.scripted.doom_maze import MazeExplorer
from worldsim_policies.scripted.doom_take_cover import TakeCoverExplorer
from worldsim_policies.scripted.rooms import RoomsExplorer
from worldsim_policies.scripted.toybox import ToyboxExplorer


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


EXPLORERS: dict[str, Callable[[np.random.Generator], Explorer]] = {
    "atari-freeway": FreewayExplorer,
    "crafter": CrafterExplorer,
    "doom-maze": MazeExplorer,
    "doom-take-cover": TakeCoverExplorer,
    "rooms": RoomsExplorer,
    "toybox": ToyboxExplorer,
}


def make_explorer(world_name: str, rng: np.random.Generator, actions: int | None = None) -> Explorer:
    """The explorer made for a world.

    Args:
        world_name: for example `"doom-maze"`.
        rng: decides everything that the explorer chooses by chance.
        actions: how many there are, for a world that none was made for: its explorer holds random ones.

    Raises:
        WorldsimError: for an unknown world, if `actions` is not given.
    """
    if world_name in EXPLORERS:
        return EXPLORERS[world_name](rng)
    if actions is None:
        raise WorldsimError(f"no explorer for {world_name!r}; there are {', '.join(EXPLORERS)}")
    return StickyExplorer(actions, rng)
