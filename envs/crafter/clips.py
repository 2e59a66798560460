"""Clips of Crafter in words."""

from __future__ import annotations

import numpy as np

from worldsim_envs.crafter.env import CrafterEnv
from worldsim_envs.crafter.words import LENGTHS, describe
from worldsim_envs.played import played_source


def tell(env: CrafterEnv, state: np.ndarray, rng: np.random.Generator) -> tuple[str, ...]:
    """A moment in words of every length."""
    return tuple(describe(state, rng, length) for length in LENGTHS)


SOURCE = played_source(CrafterEnv, tell, sizes=((64, 64), (80, 80), (64, 96), (96, 96)), unseen=((96, 80),))
