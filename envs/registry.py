"""The worlds, one entry each: everything that is known of a world by its name.

A new world is a new entry and nothing else. Whatever an entry names is a string, "module:attribute", imported when it
is asked for, so importing this module loads neither a game nor a network. `make_real` also makes any other Gymnasium
environment by its id.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym

import worldsim
from worldsim.errors import WorldsimError
from worldsim.spec import slug
from worldsim_envs.base import RealEnv


@dataclasses.dataclass(frozen=True)
class WorldEntry:
    """All that belongs to one world. Entry points are "module:attribute"; "" for what a world has not.

    Attributes:
        name: for example "doom-maze": of its spec, its recordings and its bundle.
        gym_name: of its Gymnasium ids: "DoomMaze" gives worldsim/DoomMaze-v0, the generated one, which can be made as a
            vector too, and worldsim/DoomMazeReal-v0.
        env: class of the real environment, a `RealEnv`; "" for a world that is known from videos alone.
        explorer: who plays while a world is recorded: a callable of a random generator.
        expert: the best policy that was written for it; the explorer if "".
        state_targets: what an encoder is pretrained to predict of it besides the exact state.
        recipe: how it is trained, a `worldsim.train.recipes.base.Recipe`.
        arms: experiments on the recipe, a dict of more of them by the name of the arm.
        probes: what is measured of it beyond what is measured of all, a `worldsim.evals.probes.Probes`.
        clips: how it makes clips in words, a `worldsim.data.captioned.ClipSource`.
        synonyms: other words for what those say, a `worldsim.data.synonyms.Synonyms`.
        asks: module that asks prompts whose answers are known, a `worldsim.evals.instruments.imagine.Asker`.
        live: module that live play is judged by: `NOUNS`, `areas`, `in_looks(count, seed, height, width)`,
            `restored(frames, look)` and `Brush`.
        staging: module that stages the permanence suite's probes in it, a `worldsim.cli.permanence.Staging`.
        episode_frames: a recorder ends an episode after so many frames; 0: when the game does.
        agent_steps: an agent's episode is truncated after so many steps, in the game and in the generated world alike.
        score: what the sum of an episode's rewards is, in words.
    """

    name: str
    gym_name: str = ""
    env: str = ""
    explorer: str = ""
    expert: str = ""
    state_targets: str = ""
    recipe: str = ""
    arms: str = ""
    probes: str = ""
    clips: str = ""
    synonyms: str = ""
    asks: str = ""
    live: str = ""
    staging: str = ""
    episode_frames: int = 0
    agent_steps: int = 500
    score: str = "return"

    @property
    def generated_id(self) -> str:
        """Gymnasium id of the generated world; "" without a `gym_name`."""
        return f"worldsim/{self.gym_name}-v0" if self.gym_name else ""

    @property
    def ships(self) -> bool:
        """Whether a generated world of that name comes with the package."""
        return (Path(worldsim.__file__).parent / "worlds" / self.name / "world.json").is_file()

    @property
    def real_id(self) -> str:
        """Gymnasium id of the real world; "" without a `gym_name` or where it is known from videos alone."""
        return f"worldsim/{self.gym_name}Real-v0" if self.gym_name and self.env else ""


WORLDS = {
    entry.name: entry
    for entry in (
        WorldEntry(
            "atari-freeway",
            gym_name="Freeway",
            env="worldsim_envs.atari.freeway:FreewayEnv",
            explorer="worldsim_policies.scripted.atari_freeway:FreewayExplorer",
            recipe="worldsim.train.recipes.atari_freeway:RECIPE",
            probes="worldsim_envs.atari.freeway_evaluation:PROBES",
            clips="worldsim_envs.atari.words:SOURCE",
            synonyms="worldsim_envs.atari.words:SYNONYMS",
        ),
        WorldEntry(
            "crafter",
            gym_name="Crafter",
            env="worldsim_envs.crafter.env:CrafterEnv",
            explorer="worldsim_policies.scripted.crafter:CrafterExplorer",
            recipe="worldsim.train.recipes.crafter:RECIPE",
            probes="worldsim_envs.crafter.evaluation:PROBES",
            clips="worldsim_envs.crafter.clips:SOURCE",
            synonyms="worldsim_envs.crafter.synonyms:SYNONYMS",
            asks="worldsim_envs.crafter.asks",
            episode_frames=1000,
            score="things achieved, and a tenth of the health won and lost",
        ),
        WorldEntry(
            "doom-maze",
            gym_name="DoomMaze",
            env="worldsim_envs.doom.maze:DoomMazeEnv",
            explorer="worldsim_policies.scripted.doom_maze:MazeExplorer",
            recipe="worldsim.train.recipes.doom_maze:RECIPE",
            arms="worldsim.train.recipes.doom_maze_arms:ARMS",
            probes="worldsim_envs.doom.maze_evaluation:PROBES",
            clips="worldsim_envs.doom.maze_words:SOURCE",
            synonyms="worldsim_envs.doom.maze_words:SYNONYMS",
            episode_frames=1000,
        ),
        WorldEntry(
            "doom-take-cover",
            gym_name="DoomTakeCover",
            env="worldsim_envs.doom.take_cover:DoomTakeCoverEnv",
            explorer="worldsim_policies.scripted.doom_take_cover:TakeCoverExplorer",
            expert="worldsim_policies.scripted.doom_take_cover:Dodger",
            state_targets="worldsim_policies.scripted.doom_take_cover:STATE_TARGETS",
            recipe="worldsim.train.recipes.doom_take_cover:RECIPE",
            probes="worldsim_envs.doom.take_cover_evaluation:PROBES",
            clips="worldsim_envs.doom.take_cover_words:SOURCE",
            synonyms="worldsim_envs.doom.take_cover_words:SYNONYMS",
            agent_steps=525,
            score="tics lived",
        ),
        WorldEntry(
            "toybox",
            gym_name="Toybox",
            env="worldsim_envs.toybox.env:ToyboxEnv",
            explorer="worldsim_policies.scripted.toybox:ToyboxExplorer",
            recipe="worldsim.train.recipes.toybox:RECIPE",
            probes="worldsim_envs.toybox.evaluation:PROBES",
            clips="worldsim_envs.toybox.clips:SOURCE",
            synonyms="worldsim_envs.toybox.synonyms:SYNONYMS",
            asks="worldsim_envs.toybox.asks",
            live="worldsim_envs.toybox.live",
            staging="worldsim_envs.toybox.staging",
            episode_frames=1500,
        ),
        WorldEntry(
            "rooms",
            gym_name="Rooms",
            env="worldsim_envs.rooms.env:RoomsEnv",
            explorer="worldsim_policies.scripted.rooms:RoomsExplorer",
            recipe="worldsim.train.recipes.rooms:RECIPE",
            probes="worldsim_envs.rooms.evaluation:PROBES",
            clips="worldsim_envs.rooms.words:SOURCE",
            synonyms="worldsim_envs.rooms.words:SYNONYMS",
            staging="worldsim_envs.rooms.staging",
            episode_frames=1500,
        ),
        WorldEntry("coinrun", gym_name="CoinRun"),
    )
}


def world_entry(name: str) -> WorldEntry:
    """The entry of a world; for one that has none, an entry of its name and the defaults."""
    return WORLDS.get(name, WorldEntry(name))


def load(entry_point: str) -> Any:
    """What an entry point of an entry names, imported: "module:attribute", or "module" alone.

    Never give it a string that came out of a file: whoever wrote the file would choose what is imported.
    """
    module, _, attribute = entry_point.partition(":")
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found


def make_real(name: str, **options: Any) -> RealEnv:
    """The real world called `name`, or the Gymnasium environment with that id.

    Imports nothing that the name chooses, so it may come out of a file.

    Args:
        name: a key of `WORLDS`, or an id that `gymnasium.make` knows, or the slug of one, and that can be recorded (see
            `GymWorld`).
        options: `height`, `width` (pixels) and `render_mode`, as the world takes them.

    Raises:
        WorldsimError: if nothing of that name can be made or recorded, or a package is missing.
    """
    if entry_point := world_entry(name).env:
        world: RealEnv = load(entry_point)(**options)
        return world
    if ":" in name:
        raise WorldsimError(f"no world {name!r}: a name that imports a module is taken from the command line alone")
    return _gym_world(next((known for known in gym.registry if slug(known) == name), name), options)


def import_real(name: str, **options: Any) -> RealEnv:
    """As `make_real`, for a name that the user typed: `module:Id-v0` imports the module, from the current folder too.

    Never give it a name that came out of a file: whoever wrote the file would choose what is imported.
    """
    if ":" not in name:
        return make_real(name, **options)
    if os.getcwd() not in sys.path:  # a console script leaves it out
        sys.path.append(os.getcwd())
    return _gym_world(name, options)


def _gym_world(name: str, options: dict[str, Any]) -> RealEnv:
    from worldsim_envs.gym_adapter import GymWorld

    try:
        return GymWorld(name, **options)
    except gym.error.UnregisteredEnv as error:
        known = [own for own, entry in WORLDS.items() if entry.env]
        raise WorldsimError(
            f"no world {name!r}: there are {', '.join(known)}, and all of Gymnasium's ids ({str(error).rstrip('.')}). "
            f"If a package registers it, name that too: 'package:{name}'."
        ) from error
