"""Clips of Crafter in words. Most episodes begin at any time of day with things in the bag, so that words and pictures
are learned in all combinations."""

from __future__ import annotations

from typing import Any

import numpy as np

from worldsim_envs.crafter.env import CrafterEnv
from worldsim_envs.crafter.names import ITEMS, TOOLS, VITALS
from worldsim_envs.crafter.staging import begin, draw_bag
from worldsim_envs.crafter.words import LENGTHS, bag, describe
from worldsim_envs.played import played_source

STAGED = 0.7  # share of the episodes that begin so
DAY = 300  # steps
STUFF = tuple(item for item in ITEMS if item not in (*VITALS, *TOOLS))


def stage(
    env: CrafterEnv, observation: np.ndarray, info: dict[str, Any], rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, Any]]:
    """The first moment of an episode."""
    if rng.random() > STAGED:
        return observation, info
    return begin(env, int(rng.integers(DAY)), draw_bag(rng, STUFF))


def tell(env: CrafterEnv, state: np.ndarray, rng: np.random.Generator) -> tuple[str, ...]:
    """A moment in words of every length, and in few words with what is carried."""
    return *(describe(state, rng, length) for length in LENGTHS), f"{describe(state, rng, 'short')} {bag(state, rng)}"


SIZES = (64, 64), (80, 80), (64, 96), (96, 96)
SOURCE = played_source(CrafterEnv, tell, SIZES, unseen=((96, 80),), stage=stage)
