"""Players: who plays many rows of a world at once, while an agent is judged. Random, scripted, learned.

player = make_player(find_player("policies/maze"), world, rows=16)
player.begin(np.arange(16), range(16))
actions = player(observations, infos)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from worldsim.errors import WorldsimError
from worldsim.spec import WorldSpec
from worldsim_envs.registry import WORLDS, load, world_entry
from worldsim_policies.scripted.explorers import Explorer

if TYPE_CHECKING:
    from worldsim_policies.learned.policy import Policy


class Player(Protocol):
    """Chooses the actions of N rows; all chance in an episode comes from the seed that it began with."""

    def begin(self, rows: np.ndarray, seeds: Sequence[int]) -> None:
        """New episodes begin in these rows, integers `[n]`, with these seeds."""

    def __call__(self, observations: np.ndarray, infos: dict[str, Any]) -> np.ndarray:
        """Frames uint8 `[N, H, W, 3]` and infos, as a vector environment has them -> actions int64 `[N]`."""


class RandomPlayer:
    """Any action, each as likely as the others, anew in every frame."""

    def __init__(self, actions: int, rows: int):
        self._actions, self._chance = actions, [np.random.default_rng(row) for row in range(rows)]

    def begin(self, rows: np.ndarray, seeds: Sequence[int]) -> None:
        """Begin with new chance."""
        for row, seed in zip(rows, seeds, strict=True):
            self._chance[row] = np.random.default_rng(seed)

    def __call__(self, observations: np.ndarray, infos: dict[str, Any]) -> np.ndarray:
        """Looks at nothing."""
        return np.array([rng.integers(self._actions) for rng in self._chance])


class ScriptedPlayer:
    """The best player that was written for a real world, which reads `infos["state"]` and whatever else is there."""

    def __init__(self, world: str, rows: int):
        entry = world_entry(world)
        self._make: Callable[[np.random.Generator], Explorer] = load(entry.expert or entry.explorer)
        self._players = [self._make(np.random.default_rng(row)) for row in range(rows)]

    def begin(self, rows: np.ndarray, seeds: Sequence[int]) -> None:
        """Begin with somebody new."""
        for row, seed in zip(rows, seeds, strict=True):
            self._players[row] = self._make(np.random.default_rng(seed))

    def __call__(self, observations: np.ndarray, infos: dict[str, Any]) -> np.ndarray:
        """What each would do."""
        told = {name: values for name, values in infos.items() if not name.startswith("_")}
        return np.array(
            [
                play(frame, {name: values[row] for name, values in told.items()})
                for row, (play, frame) in enumerate(zip(self._players, observations, strict=True))
            ]
        )


def find_player(name: str) -> str | Policy:
    """What `make_player` takes: "random", "scripted", or the policy in a folder.

    Raises:
        WorldsimError: if there is no policy, or it is not whole.
    """
    if name in ("random", "scripted"):
        return name
    from worldsim_policies.learned.policy import load_policy

    return load_policy(name)


def make_player(who: str | Policy, world: WorldSpec, rows: int, sample: bool = False) -> Player:
    """A player of N rows.

    Args:
        who: of `find_player`.
        world: what it is to play; one with `state_names`, for the scripted one.
        rows: N.
        sample: a learned one draws its actions, instead of taking the likeliest.

    Raises:
        WorldsimError: if it can't play that world.
    """
    if who == "random":
        return RandomPlayer(len(world.actions), rows)
    if isinstance(who, str):
        entry = world_entry(world.name)
        if not (entry.expert or entry.explorer):
            raise WorldsimError(f"nobody wrote a player for {world.name}; there are {', '.join(WORLDS)}")
        if not world.state_names:
            raise WorldsimError("the scripted player reads a game's exact state, which no generated world has")
        return ScriptedPlayer(world.name, rows)
    from worldsim_policies.learned.policy import LearnedPlayer

    who.check_fits(world)
    return LearnedPlayer(who, rows, sample)
