"""How good a player is: whole episodes of any world, each from a seed of its own. Knows no table and no file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from worldsim_policies.players import Player

JUDGED = 10**6  # seeds of episodes that are judged begin here: none of them was recorded or trained in


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """What N episodes came to.

    Attributes:
        total: float64 `[N]`, the sum of the rewards.
        length: int64 `[N]`, steps.
    """

    total: np.ndarray
    length: np.ndarray


def play_episodes(
    envs: VectorEnv[Any, Any, Any], player: Player, episodes: int, seed: int, tick: Callable[[int], None]
) -> Scores:
    """Play whole episodes. Episode i begins with seed `JUDGED + seed + i`, whichever row plays it, so the same seed
    gives the same scores.

    Args:
        envs: rows with autoreset "Disabled", which end by themselves at some time. A row that has no episode left
            goes on with one that does not count.
        player: of as many rows.
        episodes: how many.
        seed: 0 or more.
        tick: told of each episode that ended.
    """
    total, length = np.zeros(episodes), np.zeros(episodes, np.int64)
    rows = np.arange(envs.num_envs)
    episode, following, left = rows.copy(), envs.num_envs, episodes  # which one each row plays

    def seeds() -> list[int]:
        return [JUDGED + seed + int(i) for i in episode]

    observations, infos = envs.reset(seed=seeds())  # type: ignore[arg-type]
    player.begin(rows, seeds())
    paid, steps = np.zeros(len(rows)), np.zeros(len(rows), np.int64)
    while left:
        observations, rewards, terminated, truncated, infos = envs.step(player(observations, infos))
        paid, steps = paid + rewards, steps + 1
        over = terminated | truncated
        if not over.any():
            continue
        for row in np.flatnonzero(over & (episode < episodes)):
            total[episode[row]], length[episode[row]] = paid[row], steps[row]
            left -= 1
            tick(1)
        if left:
            ended = np.flatnonzero(over)
            episode[ended] = following + np.arange(len(ended))
            following += len(ended)
            paid[ended], steps[ended] = 0, 0
            observations, fresh = envs.reset(seed=seeds(), options={"reset_mask": over})  # type: ignore[arg-type]
            infos = {**infos, **fresh}
            player.begin(ended, [seeds()[row] for row in ended])
    return Scores(total, length)
