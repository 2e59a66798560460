"""The real worlds by name, and any other Gymnasium environment by its id."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

import gymnasium as gym

from worldsim.errors import WorldsimError
from worldsim_envs.base import WorldEnv


@dataclasses.dataclass(frozen=True)
class RealWorld:
    """Where a real world lives.

    Attributes:
        entry: `module:class` of its environment.
        episode_frames: a recorder ends an episode after so many frames; 0: when the game does.
        agent_steps: an agent's episode is cut after so many steps, in the game and in the dream alike.
        score: what the sum of an episode's rewards is, in words.
    """

    entry: str
    episode_frames: int = 0
    agent_steps: int = 500
    score: str = "return"


REAL = {
    "atari-freeway": RealWorld("worldsim_envs.atari.freeway:FreewayEnv"),
    "crafter": RealWorld("worldsim_envs.crafter.env:CrafterEnv", episode_frames=1000),
    "doom-maze": RealWorld("worldsim_envs.doom.maze:DoomMazeEnv", episode_frames=1000),
    "doom-take-cover": RealWorld("worldsim_envs.doom.take_cover:DoomTakeCoverEnv", agent_steps=525, score="tics lived"),
    "toybox": RealWorld("worldsim_envs.toybox.env:ToyboxEnv", episode_frames=1500),
    "rooms": RealWorld("worldsim_envs.rooms.env:RoomsEnv", episode_frames=1500),
}


def make_real(name: str, **options: Any) -> WorldEnv:
    """The real world called `name`, or the Gymnasium environment with that id, as an environment with a `world` spec.

    Args:
        name: a key of `REAL`, or any id that `gymnasium.make` knows and that can be recorded (see `any_gym.GymWorld`).
        options: `height`, `width` (pixels) and `render_mode`, as the world takes them.

    Raises:
        WorldsimError: if nothing of that name can be made or recorded, or a package is missing.
    """
    if name in REAL:
        module, _, attribute = REAL[name].entry.partition(":")
        world: WorldEnv = getattr(importlib.import_module(module), attribute)(**options)
        return world
    from worldsim_envs.gym_adapter import GymWorld

    try:
        return GymWorld(name, **options)
    except gym.error.UnregisteredEnv as error:
        raise WorldsimError(
            f"no world {name!r}: there are {', '.join(REAL)}, and all of Gymnasium's ids ({str(error).rstrip('.')}). "
            f"If a package registers it, name that too: 'package:{name}'."
        ) from error


def rules_of(world: str) -> RealWorld:
    """What is known of a real world; the rule, for one that nobody prepared."""
    return REAL.get(world, RealWorld(""))
