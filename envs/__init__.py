"""Gymnasium environments: the real worlds, and the generated ones that imitate them.

Importing this package registers them all, and loads neither a game nor a model:

    import gymnasium, worldsim_envs
    env = gymnasium.make("worldsim/Freeway-v0")      # generated; worldsim/FreewayReal-v0 is the real one
"""

from __future__ import annotations

import gymnasium as gym

from worldsim_envs.registry import WORLDS

GENERATED = "worldsim_envs.generated.env:GeneratedEnv"
VECTOR = "worldsim_envs.generated.vector:GeneratedVectorEnv"
IDS = tuple(
    name for entry in WORLDS.values() for name in (entry.generated_id if entry.ships else "", entry.real_id) if name
)


def register_envs() -> None:
    """Make the ids of `IDS` known to `gymnasium.make`; calling it again changes nothing."""
    for entry in WORLDS.values():
        if entry.ships and entry.generated_id not in gym.registry:
            options = {"world": entry.name}
            gym.register(entry.generated_id, entry_point=GENERATED, vector_entry_point=VECTOR, kwargs=options)
        if entry.real_id and entry.real_id not in gym.registry:
            gym.register(entry.real_id, entry_point=entry.env)


register_envs()
