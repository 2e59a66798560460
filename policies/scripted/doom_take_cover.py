"""Scripted policies of Doom's take cover: an expert, and an explorer of mixed skill, so that a recording shows early
deaths, late deaths and survival.

The expert plans a second and a half ahead with the motion of the player and the fireballs. The explorer limits how far
it sees, where it wants to be and how often it lapses. Both assume the world's own four tics per frame.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from worldsim_envs.doom.take_cover import BODIES, FAR, FIREBALL, LEFT, RIGHT, SKIP, SLOTS, SPEED, STAND
from worldsim_policies.learned.state_targets import StateTargets

PUSH, SLIDE = 0.75, 0.90625  # of the player: speed that a key adds per tic, and the share of it that friction leaves
RIGHT_END, LEFT_END = 16.0, 752.0  # ends of the corridor, in map units
WIDE = 40.0  # map units by which a fireball should miss
TOUCH = BODIES + 4.0
IDLE = 60.0  # map units around its home within which an idler stands still
# Candidate plans: four choices of three frames each, the last of four.
PLANS = np.array(list(itertools.product((STAND, LEFT, RIGHT), repeat=4))).repeat((3, 3, 3, 4), axis=1)
PUSHES = np.array([0.0, PUSH, -PUSH])[PLANS].repeat(SKIP, axis=1)  # [plans, tics]

# The grid of `passing`: map units to the left of the player, and tics from now.
PLACES_APART = 30.0
PLACES = PLACES_APART * np.arange(-8, 9)
TIMES = np.array([0.0, 8.0, 18.0, 30.0, 60.0])
TILES = len(PLACES) * (len(TIMES) - 1)


def dodge(state: np.ndarray, sight: float = FAR, home: float = 384.0, comfort: float = 200.0) -> int:
    """The first action of the plan that best avoids all fireballs, and then ends nearest to home.

    Args:
        state: as in `doom_take_cover_spec`.
        sight: map units ahead; fireballs further away are ignored.
        home: preferred position.
        comfort: map units from home that cost nothing.
    """
    place, _, speed = state[:3]
    balls = state[-SLOTS * len(FIREBALL) :].reshape(SLOTS, len(FIREBALL))
    ahead, left, drift = balls[balls[:, 0] < sight].T[..., None]  # [balls, 1]
    places = _places(float(place), float(speed))  # [plans, tics]
    tics = np.arange(1, places.shape[1] + 1)
    ball, tic = np.nonzero(np.abs(ahead - np.sqrt(SPEED**2 - drift**2) * tics) < TOUCH)  # when one passes by
    miss = np.abs(places[:, tic] - (place + left + drift * tics)[ball, tic])  # [plans, passing]
    cost = np.clip(WIDE - miss, 0, None).sum(1) + 100 * (miss < TOUCH).sum(1)
    cost += 0.1 * np.clip(np.abs(places[:, -1] - home) - comfort, 0, None)
    return int(PLANS[cost.argmin(), 0])


def passing(state: np.ndarray) -> np.ndarray:
    """Where and when fireballs will pass the player: for each cell of a grid, how near its centre the nearest comes.

    Args:
        state: `[N, 26]`, as in `doom_take_cover_spec`.

    Returns:
        float32 `[N, 68]` in [0, 1]: 17 positions right and left of the player, 30 map units apart, at four times.
    """
    ahead, left, drift = np.moveaxis(state[:, -SLOTS * len(FIREBALL) :].reshape(len(state), SLOTS, -1), -1, 0)
    tics = np.maximum(ahead, 0) / np.sqrt(np.maximum(SPEED**2 - drift**2, 1))
    miss = left + drift * tics  # if the player stands still
    when = (
        (ahead[..., None] < FAR) & (tics[..., None] >= TIMES[:-1]) & (tics[..., None] < TIMES[1:])
    )  # [N, balls, times]
    near = np.exp(-np.square((miss[..., None] - PLACES) / PLACES_APART))  # [N, balls, places]
    tiles = (near[..., None] * when[..., None, :]).max(1)
    return tiles.reshape(len(state), -1).astype(np.float32)


def mirrored(targets: np.ndarray) -> np.ndarray:
    """States and their `passing`, side by side, `[N, 94]` -> those of the mirror images of the frames."""
    targets = targets.copy()
    state, tiles = targets[:, :-TILES], targets[:, -TILES:]
    state[:, 0] = LEFT_END + RIGHT_END - state[:, 0]
    state[:, 2] *= -1
    state[:, -SLOTS * len(FIREBALL) :].reshape(len(targets), SLOTS, -1)[..., 1:] *= -1
    tiles[:] = tiles.reshape(len(targets), len(PLACES), -1)[:, ::-1].reshape(len(targets), TILES)
    return targets


STATE_TARGETS = StateTargets(passing, mirrored)


def _places(place: float, speed: float) -> np.ndarray:
    """The player's position in every tic of every plan, `[plans, tics]`."""
    at, fast = np.full(len(PLANS), place), np.full(len(PLANS), speed)
    places = np.empty(PUSHES.shape)
    for tic, push in enumerate(PUSHES.T):
        fast = fast + push
        at = at + fast
        fast = np.where((at > RIGHT_END) & (at < LEFT_END), fast * SLIDE, 0.0)
        at = at.clip(RIGHT_END, LEFT_END)
        places[:, tic] = at
    return places


class Dodger:
    """The expert: `dodge` with unlimited sight and no lapses. Deterministic; `rng` is there as for any explorer."""

    def __init__(self, rng: np.random.Generator):
        pass

    def __call__(self, observation: np.ndarray, info: dict[str, Any]) -> int:
        """The next action."""
        return dodge(info["state"])


class TakeCoverExplorer:
    """Plays one episode from `info["state"]`: 10% of them with random keys, 25% with keys held for a while, 20%
    dodging; in the rest it walks somewhere and stands there, whatever comes, so that recordings show hits.

    Args:
        rng: of all random choices.

    Attributes:
        idle: whether it walks and stands in this episode.
    """

    def __init__(self, rng: np.random.Generator):
        self._rng = rng
        kind = rng.choice(["random", "sticky", "idler", "dodger"], p=[0.1, 0.25, 0.45, 0.2])
        self.idle = kind == "idler"
        self._longest = 1 if kind == "random" else int(rng.integers(4, 24))  # frames that a key is held
        # Probability that a lapse, in which random keys are held, begins in a frame.
        self._lapse = 10 ** rng.uniform(-3.2, -0.8) if kind == "dodger" else 1.0
        self._sight = FAR if rng.random() < 0.5 else rng.uniform(120, FAR)
        self._comfort = rng.choice([10.0, 40.0, 160.0])
        self._lapsed = self._hold = self._stay = 0
        self._held = STAND

    def __call__(self, observation: np.ndarray, info: dict[str, Any]) -> int:
        """The next action."""
        rng = self._rng
        self._lapsed -= 1
        if self._lapsed <= 0 and rng.random() < self._lapse:
            self._lapsed = int(rng.integers(4, 30))
        self._stay -= 1
        if self._stay < 0:
            self._home, self._stay = rng.uniform(RIGHT_END, LEFT_END), int(rng.integers(8, 80))
        if self.idle:
            way = self._home - float(info["state"][0])
            return STAND if abs(way) < IDLE else LEFT if way > 0 else RIGHT
        if self._lapsed <= 0:
            return dodge(info["state"], self._sight, self._home, self._comfort)
        self._hold -= 1
        if self._hold <= 0:
            self._held, self._hold = int(rng.integers(3)), int(rng.integers(1, self._longest + 1))
        return self._held
