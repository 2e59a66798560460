"""Real worlds whose games keep their state to themselves: the state is what was drawn at random for the episode and the
actions since, and is restored by playing them again.

Exact, since all chance is drawn at the start, and small; restoring takes as long as playing so far did. Knows no game.
"""

from __future__ import annotations

import abc
import json
from typing import Any

import numpy as np
from gymnasium.utils import EzPickle

from worldsim.errors import WorldsimError
from worldsim_envs.base import Moment, RealEnv


class ReplayedEnv(RealEnv, EzPickle):
    """A `RealEnv` whose games begin with what `_draw` gives and go on with `_act`, and with nothing else.

    Subclasses call `EzPickle.__init__` with their own arguments: copies and pickles are made anew and played on.
    """

    _drawn: Any = None
    _acted: list[int]

    @abc.abstractmethod
    def _draw(self, rng: np.random.Generator) -> Any:
        """All the chance of an episode, as JSON."""

    @abc.abstractmethod
    def _begin(self, drawn: Any) -> Moment:
        """Begin an episode."""

    @abc.abstractmethod
    def _act(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step of the game, as `_step`."""

    def _reset(self, seed: int | None, options: dict[str, Any]) -> Moment:
        self._drawn, self._acted = self._draw(self.np_random), []
        return self._begin(self._drawn)

    def _step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._acted.append(action)
        return self._act(action)

    def save(self) -> bytes:
        """What the episode began with and the actions since, as JSON.

        Raises:
            WorldsimError: before the first reset.
        """
        if self._drawn is None:
            raise WorldsimError(f"{self.world.name} has not begun: call reset() before it is saved")
        return json.dumps({"drawn": self._drawn, "acted": self._acted}).encode()

    def _restore(self, saved: bytes) -> Moment:
        try:
            episode = json.loads(saved)
            drawn, acted = episode["drawn"], [self._known(action) for action in episode["acted"]]
            moment = self._begin(drawn)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise WorldsimError(f"not a saved {self.world.name}: give restore() what save() gave") from error
        for action in acted:
            frame, *_, info = self._act(action)
            moment = frame, info
        self._drawn, self._acted = drawn, acted
        return moment

    def __getstate__(self) -> dict[str, Any]:
        """The arguments it was made with, and where it is."""
        return {**super().__getstate__(), "clone": None if self._drawn is None else self.clone_state()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make it anew and play on to where it was."""
        super().__setstate__(state)
        if state["clone"] is not None:
            self.restore_state(state["clone"])
