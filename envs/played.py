"""Clips of play in words, of any world that says a moment in words. Knows no world, and not how clips are kept."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from worldsim.data.captioned import CLIP_FRAMES, MOMENT, ClipSource, Explorer
from worldsim.data.clip_shards import Clip
from worldsim_envs.base import RealEnv

EPISODE = 400  # frames of play from which clips are taken, at most
APART = 2 * CLIP_FRAMES  # frames from one clip's beginning to the next one's

Tell = Callable[[Any, np.ndarray, np.random.Generator], tuple[str, ...]]
"""(environment, exact state of a frame of its episode, generator) -> captions, each true by itself."""

Moment = tuple[np.ndarray, dict[str, Any]]  # observation, info
Stage = Callable[[Any, np.ndarray, dict[str, Any], np.random.Generator], Moment]
"""(environment, its first observation and info, generator) -> those from which the explorer plays."""


def as_reset(env: Any, observation: np.ndarray, info: dict[str, Any], rng: np.random.Generator) -> Moment:
    """The first moment as it is."""
    return observation, info


def played_source(
    env: Callable[[int, int], RealEnv],
    tell: Tell,
    sizes: tuple[tuple[int, int], ...],
    unseen: tuple[tuple[int, int], ...] = (),
    stage: Stage = as_reset,
) -> ClipSource:
    """How a world makes clips of its explorer's play.

    Args:
        env: (height, width) -> the real world.
        tell: says a moment in words.
        sizes, unseen: as `ClipSource` has them.
        stage: what an episode begins with.
    """
    return ClipSource(sizes, unseen, functools.partial(_make, functools.cache(env), tell, stage))


def _make(
    env_of: Callable[[int, int], RealEnv],
    tell: Tell,
    stage: Stage,
    seed: int,
    height: int,
    width: int,
    explorer: Callable[[np.random.Generator], Explorer],
) -> list[Clip]:
    """The clips of one group, all of one episode; the same seed gives the same clips."""
    rng = np.random.default_rng([seed, 3])
    env = env_of(height, width)
    observation, info = stage(env, *env.reset(seed=seed), rng)
    explore, frames, states = explorer(rng), [observation], [info["state"]]
    terminated = truncated = False
    while len(frames) < EPISODE and not (terminated or truncated):
        observation, _, terminated, truncated, info = env.step(np.int64(explore(observation, info)))
        frames.append(observation)
        states.append(info["state"])
    clips = []
    for begin in range(int(rng.integers(APART)), len(frames) - CLIP_FRAMES + 1, APART):
        span = slice(begin, begin + CLIP_FRAMES)
        moments = tuple(tell(env, state, rng) for state in states[span][::MOMENT])
        clips.append(Clip(np.stack(frames[span]), moments[0], moments, group=seed))
    return clips


def pick(rng: np.random.Generator, *ways: str) -> str:
    """One of several ways to say the same."""
    return ways[int(rng.integers(len(ways)))]


def listed(things: list[str]) -> str:
    """`["a", "b", "c"]` -> "a, b and c"."""
    return ", ".join(things[:-1]) + " and " + things[-1] if len(things) > 1 else "".join(things)
