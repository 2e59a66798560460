"""Clips of Crafter in words. Knows the game and its words; nothing of how clips are kept."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from worldsim.data.captioned import CLIP_FRAMES, MOMENT, Clip, ClipSource, Explorer
from worldsim_envs.crafter.env import CrafterEnv
from worldsim_envs.crafter.words import LENGTHS, describe

WARM_UP = 400  # frames of play before a clip, at most


def make_clips(seed: int, height: int, width: int, explorer: Callable[[np.random.Generator], Explorer]) -> list[Clip]:
    """The clip of one group; the same seed gives the same clip. An episode that ends is followed by another."""
    rng = np.random.default_rng([seed, 3])
    env = _env(height, width)
    observation, info = env.reset(seed=seed)
    explore, frames, states = explorer(rng), [observation], [info["state"]]
    wanted = int(rng.integers(WARM_UP)) + CLIP_FRAMES
    while len(frames) < wanted:
        observation, _, terminated, truncated, info = env.step(np.int64(explore(observation, info)))
        frames.append(observation)
        states.append(info["state"])
        if (terminated or truncated) and len(frames) < CLIP_FRAMES:
            observation, info = env.reset()
            explore, frames, states = explorer(rng), [observation], [info["state"]]
        elif terminated or truncated:
            break
    moments = tuple(tuple(describe(state, rng, length) for length in LENGTHS) for state in states[-CLIP_FRAMES::MOMENT])
    return [Clip(np.stack(frames[-CLIP_FRAMES:]), moments[0], moments, group=seed)]


@functools.cache
def _env(height: int, width: int) -> CrafterEnv:
    return CrafterEnv(height, width)


SOURCE = ClipSource(sizes=((64, 64), (80, 80), (64, 96), (96, 96)), unseen=((96, 80),), make=make_clips)
