"""Gymnasium environments: the real worlds, and the generated ones that imitate them.

Importing this package registers them all, and loads neither a game nor a model:

    import gymnasium, worldsim_envs
    env = gymnasium.make("worldsim/Freeway-v0")      # generated; worldsim/FreewayReal-v0 is the real one
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym

GENERATED = "worldsim_envs.generated.env:GeneratedEnv"
VECTOR = "worldsim_envs.generated.vector:GeneratedVectorEnv"
IDS: dict[str, tuple[str, dict[str, Any]]] = {
    "worldsim/Freeway-v0": (GENERATED, {"world": "atari-freeway"}),
    "worldsim/DoomMaze-v0": (GENERATED, {"world": "doom-maze"}),
    "worldsim/DoomTakeCover-v0": (GENERATED, {"world": "doom-take-cover"}),
    "worldsim/Toybox-v0": (GENERATED, {"world": "toybox"}),
    "worldsim/Rooms-v0": (GENERATED, {"world": "rooms"}),
    "worldsim/FreewayReal-v0": ("worldsim_envs.atari.freeway:FreewayEnv", {}),
    "worldsim/CrafterReal-v0": ("worldsim_envs.crafter.env:CrafterEnv", {}),
    "worldsim/DoomMazeReal-v0": ("worldsim_envs.doom.maze:DoomMazeEnv", {}),
    "worldsim/DoomTakeCoverReal-v0": ("worldsim_envs.doom.take_cover:DoomTakeCoverEnv", {}),
    "worldsim/ToyboxReal-v0": ("worldsim_envs.toybox.env:ToyboxEnv", {}),
    "worldsim/RoomsReal-v0": ("worldsim_envs.rooms.env:RoomsEnv", {}),
}


def register_envs() -> None:
    """Make the ids of `IDS` known to `gymnasium.make`; calling it again changes nothing."""
    for name, (entry_point, options) in IDS.items():
        if name not in gym.registry:
            vector = VECTOR if entry_point == GENERATED else None
            gym.register(name, entry_point=entry_point, vector_entry_point=vector, kwargs=options)


register_envs()
