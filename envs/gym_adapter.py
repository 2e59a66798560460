"""Any Gymnasium environment with RGB rendering and discrete actions, as a world of any frame size.

The picture is what the environment renders, scaled; keys are the environment's own where it has some, otherwise arrows
for actions that are called after directions and digits for the rest. It has no exact state. Knows nothing of particular
games.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

import cv2
import gymnasium as gym
import numpy as np

from worldsim.errors import WorldsimError
from worldsim.spec import SPARE_KEYS, Action, WorldSpec, slug
from worldsim_envs.base import WorldEnv

# Who registers ids that begin so, and how that is installed.
HOMES = {
    "ALE/": ("ale_py", "'.[atari]'"),
    "MiniGrid-": ("minigrid", "minigrid"),
    "BabyAI-": ("minigrid", "minigrid"),
}
LONGEST_SIDE, SIDE_UNIT = 128, 16  # of a frame whose size nobody chose
IDLE = ("noop", "no-op", "nop", "idle", "stand", "stay", "wait", "none", "done")
ARROWS = {"up": "ArrowUp", "forward": "ArrowUp", "down": "ArrowDown", "left": "ArrowLeft", "right": "ArrowRight"}
NAMED_KEYS = {" ": "Space", "\r": "Enter", "\t": "Tab", "\x1b": "Escape", "\x08": "Backspace"}


class GymWorld(WorldEnv):
    """A Gymnasium environment seen through its own renderer.

        GymWorld("MiniGrid-DoorKey-8x8-v0", height=64, width=64)

    Observations are uint8 RGB `[height, width, 3]`; actions, rewards and ends are the environment's. Infos are empty.

    Args:
        gym_id: as `gymnasium.make` takes it; `module:Id-v0` imports a module that registers it.
        height, width: frame size in pixels; by default what it renders, scaled to at most 128 and to multiples of 16.
        render_mode: "rgb_array", "human" (a window) or None.

    Raises:
        WorldsimError: if there is no such environment, a package of its is missing, it renders no RGB pictures or its
            actions are not discrete.
    """

    def __init__(self, gym_id: str, height: int = 0, width: int = 0, render_mode: str | None = None):
        self._env = _make(gym_id)
        actions = self._env.action_space
        if not isinstance(actions, gym.spaces.Discrete):
            raise WorldsimError(f"{gym_id} has {type(actions).__name__} actions; only discrete ones can be recorded")
        if "rgb_array" not in self._env.metadata.get("render_modes", ()):
            raise WorldsimError(
                f"{gym_id} renders no RGB pictures (render_modes {self._env.metadata.get('render_modes', [])})"
            )
        self._first_action = int(actions.start)
        self._env.reset(seed=0)
        native = self._picture(gym_id).shape
        if not (height and width):
            scale = min(1.0, LONGEST_SIDE / max(native[:2]))
            height, width = (max(SIDE_UNIT, round(side * scale / SIDE_UNIT) * SIDE_UNIT) for side in native[:2])
        fps = float(self._env.metadata.get("render_fps") or 30)
        named, keys = _actions_and_keys(gym_id, self._env.unwrapped, int(actions.n), self._first_action)
        world = WorldSpec(slug(gym_id), height, width, fps, 1, named, keys, title=gym_id)
        origin = {"source": f"Gymnasium environment {gym_id}", "licence": "that of the environment"}
        super().__init__(world, origin, render_mode)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Reset the environment."""
        super().reset(seed=seed)
        self._env.reset(seed=seed, options=options)
        return self._observe(), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step of the environment."""
        _, reward, terminated, truncated, _ = self._env.step(self._known(action) + self._first_action)
        return self._observe(), np.asarray(reward, np.float64).item(), bool(terminated), bool(truncated), {}

    def close(self) -> None:
        """Close the environment and its window."""
        self._env.close()
        super().close()

    def _picture(self, gym_id: str) -> np.ndarray:
        picture: Any = self._env.render()
        if not (
            isinstance(picture, np.ndarray)
            and picture.dtype == np.uint8
            and picture.ndim == 3
            and picture.shape[2] == 3
        ):
            raise WorldsimError(f"{gym_id} renders {type(picture).__name__}, not a uint8 RGB picture")
        return picture

    def _observe(self) -> np.ndarray:
        size = (self.world.width, self.world.height)
        return self._show(cv2.resize(self._picture(self.world.name), size, interpolation=cv2.INTER_AREA))


def _make(gym_id: str) -> gym.Env[Any, Any]:
    module, package = next((home for start, home in HOMES.items() if gym_id.startswith(start)), ("", ""))
    try:
        if module:
            importlib.import_module(module)
    except ImportError as error:
        raise WorldsimError(f"{gym_id} needs {module} ({error}). Run: pip install {package}") from error
    try:
        return gym.make(gym_id, render_mode="rgb_array", disable_env_checker=True)
    except gym.error.UnregisteredEnv:
        raise
    except (gym.error.Error, ImportError) as error:
        raise WorldsimError(f"{gym_id} can't be made: {error}") from error
    except (TypeError, ValueError) as error:
        raise WorldsimError(f"{gym_id} can't be made with render_mode='rgb_array': {error}") from error


def _actions_and_keys(
    gym_id: str, env: Any, count: int, first: int
) -> tuple[tuple[Action, ...], dict[str, tuple[str, ...]]]:
    """Names and keys; the idle action is the one called so, or else the first."""
    names = _names(env, count, first)
    idle = next((i for i, name in enumerate(names) if name in IDLE), 0)
    chosen: dict[int, tuple[str, ...]] = {}
    if hasattr(env, "get_keys_to_action"):
        for keys, action in env.get_keys_to_action().items():
            codes = tuple(sorted(_code(key) for key in (keys if isinstance(keys, (tuple, list, str)) else (keys,))))
            chosen.setdefault(int(action) - first, codes)
    taken = {code for codes in chosen.values() for code in codes}
    spare = iter(code for code in SPARE_KEYS if code not in taken)
    for action, name in enumerate(names):
        if action == idle or chosen.get(action):
            continue
        arrow = ARROWS.get(name)
        code = arrow if arrow and arrow not in taken else next(spare, None)
        if code is None:
            raise WorldsimError(f"{gym_id} has {count} actions, more than there are keys")
        chosen[action] = (code,)
        taken.add(code)
    chosen[idle] = ()
    actions = tuple(Action(name, chosen[i]) for i, name in enumerate(names))
    return actions, {code: (code,) for action in actions for code in action.buttons}


def _names(env: Any, count: int, first: int) -> list[str]:
    """What the environment calls its actions (Atari's meanings, MiniGrid's enumeration), or their numbers."""
    if hasattr(env, "get_action_meanings"):
        return [str(name).lower() for name in env.get_action_meanings()]
    members = getattr(getattr(env, "actions", None), "__members__", {})
    called = {int(member): name.lower() for name, member in members.items()}
    return [called.get(first + i, f"action-{first + i}") for i in range(count)]


def _code(key: str | int) -> str:
    """The W3C `KeyboardEvent.code` of a pygame key, given as its character or number."""
    if isinstance(key, int) and key > 127:
        import pygame

        name = pygame.key.name(key)
        return f"Arrow{name.capitalize()}" if name in ("up", "down", "left", "right") else name.title().replace(" ", "")
    character = chr(key) if isinstance(key, int) else key
    if re.fullmatch(r"[a-zA-Z]", character):
        return f"Key{character.upper()}"
    return f"Digit{character}" if character.isdigit() else NAMED_KEYS.get(character, character)
