"""Scenes of Crafter at a chosen time of day, with a chosen bag. The map, and who stands where, stay as they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from worldsim_envs.crafter.env import CrafterEnv
from worldsim_envs.crafter.names import TOOLS

MOST = 5  # of one item


def draw_bag(rng: np.random.Generator, items: Sequence[str]) -> dict[str, int]:
    """At most two of the items, one to five of each, and a tool in one case of two."""
    carried = {str(item): int(rng.integers(1, MOST + 1)) for item in rng.permutation(items)[: rng.integers(3)]}
    if rng.random() < 0.5:
        carried[str(rng.choice(TOOLS))] = 1
    return carried


def begin(env: CrafterEnv, steps: int, carried: dict[str, int]) -> tuple[np.ndarray, dict[str, Any]]:
    """Go on from an environment's moment with other clocks and another bag.

    Args:
        env: that has begun.
        steps: since the start, of a day of 300.
        carried: how much there now is of each item; the others stay.

    Returns:
        frame uint8 `[H, W, 3]`, info.
    """
    saved = json.loads(env.save())
    saved["steps"] = steps
    player = next(values for name, _, values in saved["objects"] if name == "Player")
    player["inventory"] |= carried
    return env.restore(json.dumps(saved).encode())
