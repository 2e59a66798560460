"""Environments for those who train and judge agents, made alike whether a game or a network draws them.

source = find_env("worldsim/DoomMaze-v0")                   # or ...Real-v0, or the folder of a bundle
envs = source.make(16, "SameStep", steps=500)               # a VectorEnv of 16 rows
world_of(envs)                                              # its spec
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.vector import SyncVectorEnv, VectorEnv
from gymnasium.wrappers import TimeLimit

from worldsim.errors import WorldsimError
from worldsim.runtime.bundle import BUNDLE, open_world
from worldsim.spec import WorldSpec
from worldsim_envs import IDS, VECTOR
from worldsim_envs.generated.vector import GeneratedVectorEnv
from worldsim_envs.registry import WORLDS, make_real, world_entry


@dataclasses.dataclass(frozen=True)
class EnvSource:
    """Where vector environments of a world come from.

    Attributes:
        name: one of our Gymnasium ids, or the folder of a bundle.
        world: name of the real world that it is, or that it imitates.
        digest: of a generated world's bundle; "" for a game.
    """

    name: str
    world: str
    digest: str = ""

    @property
    def generated(self) -> bool:
        """Whether a network draws it; otherwise a game does."""
        return bool(self.digest)

    def make(
        self,
        rows: int,
        autoreset_mode: str,
        steps: int,
        temperature: float = 1.0,
        size: tuple[int, int] | None = None,
        max_ood: float | None = None,
        recording: Path | None = None,
        runtime: str = "onnx",
    ) -> VectorEnv[Any, Any, Any]:
        """A vector environment of it.

        Args:
            rows: how many.
            autoreset_mode: "SameStep", "NextStep" or "Disabled".
            steps: an episode is truncated after so many.
            temperature: of a generated world.
            size: height and width of a game's frames; its own if None.
            max_ood: of a generated world: an episode is truncated at a frame that is less like the training frames.
            recording: of a generated world: episodes begin anywhere in the training split of this recording.
            runtime: of a generated world.

        Raises:
            WorldsimError: if the world is not whole, a package of the game is missing, or it has no such option.
        """
        if not self.generated:
            only_generated = {"temperature": temperature != 1, "max_ood": max_ood, "recording": recording}
            for name, given in only_generated.items():
                if given not in (None, False):
                    raise WorldsimError(f"{self.name} is a real game and has no {name}: that is of a generated world")
            options = {} if size is None else {"height": size[0], "width": size[1]}
            game = functools.partial(_game, self.world, steps, options)
            return SyncVectorEnv([game] * rows, autoreset_mode=autoreset_mode)
        dream: dict[str, Any] = {
            "max_episode_steps": steps,
            "autoreset_mode": autoreset_mode,
            "temperature": temperature,
            "max_ood": max_ood,
            "recording": recording,
            "split": "train",
            "runtime": runtime,
        }
        if self.name in gym.registry:
            return gym.make_vec(self.name, rows, "vector_entry_point", **dream)
        return GeneratedVectorEnv(self.name, rows, **dream)

    def twin(self) -> EnvSource:
        """The game that a generated world imitates, if there is one of that name."""
        return EnvSource(world_entry(self.world).real_id or self.world, self.world)


def find_env(name: str) -> EnvSource:
    """The source of that name.

    Raises:
        WorldsimError: if there is none, or it is no world of ours.
    """
    known = f"there are {', '.join(IDS)}, and the folders that {BUNDLE.written_by} wrote"
    if name not in gym.registry:
        if not (Path(name) / BUNDLE.manifest).is_file():
            raise WorldsimError(f"no environment {name!r}; {known}")
        bundle = open_world(name)
        return EnvSource(name, bundle.spec.name, bundle.digest)
    spec = gym.registry[name]
    if spec.vector_entry_point == VECTOR:
        bundle = open_world(spec.kwargs["world"])
        return EnvSource(name, bundle.spec.name, bundle.digest)
    for entry in WORLDS.values():
        if entry.real_id == name:
            return EnvSource(name, entry.name)
    raise WorldsimError(f"{name} is no world of worldsim, whose frames and actions agents are made for; {known}")


def world_of(envs: VectorEnv[Any, Any, Any]) -> WorldSpec:
    """The spec of the world that a vector environment shows.

    Raises:
        WorldsimError: if it is no world of ours.
    """
    rows = getattr(envs.unwrapped, "envs", ())
    world = getattr(rows[0].unwrapped if rows else envs.unwrapped, "world", None)
    if not isinstance(world, WorldSpec):
        raise WorldsimError(
            f"rows of {envs.single_observation_space} and {envs.single_action_space} are of no world of worldsim: "
            f"make them with find_env(), of {', '.join(IDS)}"
        )
    return world


def _game(world: str, steps: int, options: dict[str, Any]) -> gym.Env[Any, Any]:
    return TimeLimit(make_real(world, **options), steps)
