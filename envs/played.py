"""Clips of play in words, of any world that says a moment in words. Knows no world, and not how clips are kept."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from worldsim.data.captioned import CLIP_FRAMES, MOMENT, ClipSource, Explorer
from worldsim.data.clip_shards import Clip
from worldsim_envs.base import RealEnv

WARM_UP = 400  # frames of play before a clip, at most

Tell = Callable[[Any, np.ndarray, np.random.Generator], tuple[str, ...]]
"""(environment, exact state of a frame of its episode, generator) -> captions, each true by itself."""


def played_source(
    env: Callable[[int, int], RealEnv],
    tell: Tell,
    sizes: tuple[tuple[int, int], ...],
    unseen: tuple[tuple[int, int], ...] = (),
) -> ClipSource:
    """How a world makes clips of its explorer's play.

    Args:
        env: (height, width) -> the real world.
        tell: says a moment in words.
        sizes, unseen: as `ClipSource` has them.
    """
    return ClipSource(sizes, unseen, functools.partial(_make, functools.cache(env), tell))


def _make(
    env_of: Callable[[int, int], RealEnv],
    tell: Tell,
    seed: int,
    height: int,
    width: int,
    explorer: Callable[[np.random.Generator], Explorer],
) -> list[Clip]:
    """The clip of one group; the same seed gives the same clip. An episode that ends is followed by another."""
    rng = np.random.default_rng([seed, 3])
    env = env_of(height, width)
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
    moments = tuple(tell(env, state, rng) for state in states[-CLIP_FRAMES::MOMENT])
    return [Clip(np.stack(frames[-CLIP_FRAMES:]), moments[0], moments, group=seed)]


def pick(rng: np.random.Generator, *ways: str) -> str:
    """One of several ways to say the same."""
    return ways[int(rng.integers(len(ways)))]


def listed(things: list[str]) -> str:
    """`["a", "b", "c"]` -> "a, b and c"."""
    return ", ".join(things[:-1]) + " and " + things[-1] if len(things) > 1 else "".join(things)
