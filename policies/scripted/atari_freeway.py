"""Scripted explorer of Freeway, of mixed skill, so that a recording shows crossings, hits, retreats and waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

NOOP, UP, DOWN = 0, 1, 2
CHICKEN_X = 28.8  # in columns; all lengths here are in columns of a 96 wide frame or rows of a 128 high one
LANE_0, LANE_STEP = 107.3, 9.75  # centre row of the bottom lane, rows between lanes
STRIDE = 2.44  # rows that the chicken walks per frame
CONTACT = 5.0  # columns between the centres of a car and a chicken that just touch


class FreewayExplorer:
    """Plays one episode from `info["state"]`: about a third of them dodge cars throughout, so that points are scored;
    the others switch behaviour every few hundred frames.

    Args:
        rng: of all random choices.
    """

    def __init__(self, rng: np.random.Generator):
        self._rng = rng
        self._dodge_only = self._rng.random() < 0.35
        self._cars: np.ndarray | None = None
        self._switch()

    def __call__(self, observation: np.ndarray, info: dict[str, Any]) -> int:
        """The next action."""
        state = info["state"]
        self._speed = np.zeros(10) if self._cars is None else (state[2:] - self._cars + 48) % 96 - 48
        self._cars = state[2:].copy()
        self._left -= 1
        if self._left < 0:
            self._switch()
        return self._play(state)

    def _switch(self) -> None:
        """Choose a behaviour, how long it lasts, and how skilled it is."""
        kinds: list[Callable[[np.ndarray], int]] = [self._dodge, self._wander, self._sticky, self._rush, self._idle]
        self._play = self._dodge if self._dodge_only else kinds[self._rng.choice(5, p=[0.3, 0.25, 0.2, 0.1, 0.15])]
        self._left = int(self._rng.integers(40, 400))
        self._skill = self._rng.uniform(0.6, 1.0)
        self._held, self._hold = UP, 0

    def _stroke(self, odds: tuple[float, float, float], longest: int) -> int:
        """A random action, held for a while."""
        self._hold -= 1
        if self._hold < 0:
            self._held, self._hold = int(self._rng.choice(3, p=odds)), int(self._rng.integers(1, longest))
        return self._held

    def _sticky(self, state: np.ndarray) -> int:
        return self._stroke((0.25, 0.45, 0.3), 12)

    def _wander(self, state: np.ndarray) -> int:
        return self._stroke((0.15, 0.5, 0.35), 50)

    def _idle(self, state: np.ndarray) -> int:
        return self._stroke((0.7, 0.2, 0.1), 60)

    def _rush(self, state: np.ndarray) -> int:
        return UP if self._rng.random() < 0.97 else NOOP

    def _dodge(self, state: np.ndarray) -> int:
        """Step forward if that is safe, else wait if that is, else step back; low skill sometimes ignores the cars."""
        if self._rng.random() > self._skill:
            return UP
        for action, rows in ((UP, -STRIDE), (NOOP, 0.0), (DOWN, STRIDE)):
            if self._safe(float(state[0]), rows):
                return action
        return UP

    def _safe(self, y: float, rows: float) -> bool:
        for ahead in range(1, 6):  # frames in which the chicken walks about a lane
            y += rows
            lane = round((LANE_0 - y) / LANE_STEP)
            if 0 <= lane < 10 and abs(LANE_0 - lane * LANE_STEP - y) < 6.0:
                assert self._cars is not None
                car = (self._cars[lane] + self._speed[lane] * ahead) % 96
                if abs(car - CHICKEN_X) < CONTACT:
                    return False
        return True
