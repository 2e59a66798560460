"""Any Gymnasium environment with RGB rendering and discrete actions, as a world of any frame size.

The picture is what the environment renders, scaled; keys are the environment's own where it has some, otherwise arrows
for actions that are named after directions and digits for the rest. It has no exact state. Knows nothing of particular
games but how the consoles' clock runs.
"""

from __future__ import annotations

import importlib
from typing import Any

import cv2
import gymnasium as gym
import numpy as np

from worldsim.errors import WorldsimError
from worldsim.keycodes import code_of
from worldsim.spec import SPARE_KEYS, Action, WorldSpec, slug
from worldsim_envs.base import Moment, RealEnv

# Who registers ids that begin so, and how that is installed.
HOMES = {
    "ALE/": ("ale_py", "'.[atari]'"),
    "MiniGrid-": ("minigrid", "minigrid"),
    "BabyAI-": ("minigrid", "minigrid"),
}
LONGEST_SIDE, SIDE_UNIT = 128, 16  # of a frame whose size nobody chose
CONSOLE_FPS, USUAL_FPS = 60.0, 30.0  # of the Atari 2600; of an environment that doesn't say
IDLE = ("noop", "no-op", "nop", "idle", "stand", "stay", "wait", "none", "done")
ARROWS = {"up": "ArrowUp", "forward": "ArrowUp", "down": "ArrowDown", "left": "ArrowLeft", "right": "ArrowRight"}
NAMED_KEYS = {" ": "Space", "\r": "Enter", "\t": "Tab", "\x1b": "Escape", "\x08": "Backspace"}


class GymWorld(RealEnv):
    """A Gymnasium environment seen through its own renderer.

        GymWorld("MiniGrid-DoorKey-8x8-v0", height=64, width=64)

    Observations are uint8 RGB `[height, width, 3]`; actions, rewards and ends are the environment's, and so are the
    options of a reset. Infos are empty. The spec's `fps` counts observations: an environment that skips frames is
    slower than its screen.

    Args:
        gym_id: as `gymnasium.make` takes it; `module:Id-v0` imports a module that registers it, and the world is
            called `id-v0`.
        height, width: frame size in pixels; by default what it renders, scaled to at most 128 and to multiples of 16.
        render_mode: "rgb_array", "human" (a window) or None.

    Raises:
        WorldsimError: if there is no such environment, a package of its is missing, it renders no RGB pictures or its
            actions are not discrete; of a step, if its reward is not one finite number.
    """

    reset_options = None

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
        fps, skip = _clock(self._env)
        named, keys = _actions_and_keys(gym_id, self._env.unwrapped, int(actions.n), self._first_action)
        name = gym_id.rpartition(":")[2]
        world = WorldSpec(slug(name), height, width, fps, skip, named, keys, title=name)
        origin = {"source": f"Gymnasium environment {name}", "licence": "that of the environment"}
        super().__init__(world, origin, render_mode)

    def close(self) -> None:
        """Close the environment and its window."""
        if not self._closed:
            self._env.close()
        super().close()

    def _reset(self, seed: int | None, options: dict[str, Any]) -> Moment:
        self._env.reset(seed=seed, options=options or None)
        return self._frame_now(), {}

    def _step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        _, reward, terminated, truncated, _ = self._env.step(action + self._first_action)
        return self._frame_now(), _number(self.world.title, reward), bool(terminated), bool(truncated), {}

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

    def _frame_now(self) -> np.ndarray:
        size = (self.world.width, self.world.height)
        return cv2.resize(self._picture(self.world.title), size, interpolation=cv2.INTER_AREA)


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


def _clock(env: gym.Env[Any, Any]) -> tuple[float, int]:
    """Observations a second, and the game's own frames for each of them.

    `render_fps` counts what `step` returns, after whatever the environment itself skips; ALE alone gives half the
    console's rate, whatever it skips. Frames that a wrapper skips come on top.
    """
    core: Any = env.unwrapped
    skip, fps = _skip(core), float(env.metadata.get("render_fps") or USUAL_FPS)
    if hasattr(core, "ale"):
        fps = CONSOLE_FPS / skip
    layer: Any = env
    while layer is not core:
        fps, skip = fps / _skip(layer), skip * _skip(layer)
        layer = layer.env
    return fps, max(1, round(skip))


def _skip(layer: Any) -> float:
    """Frames that one layer of an environment, itself or a wrapper, takes for a step; a random number's mean."""
    skip: Any = next((vars(layer)[name] for name in ("frame_skip", "_frameskip", "_skip") if name in vars(layer)), 1)
    if isinstance(skip, tuple):  # ALE draws from low to high - 1
        skip = (skip[0] + skip[1] - 1) / 2
    return float(skip) if isinstance(skip, (int, float)) and skip >= 1 else 1.0


def _number(gym_id: str, reward: Any) -> float:
    """A reward as a float: a number, or an array of one.

    Raises:
        WorldsimError: for anything else, and for what float32 can't hold.
    """
    try:
        number = np.asarray(reward, np.float64).reshape(())
    except (TypeError, ValueError) as error:
        raise WorldsimError(f"{gym_id} gave the reward {reward!r}, which is not one number") from error
    if not abs(number) <= np.finfo(np.float32).max:
        raise WorldsimError(f"{gym_id} gave the reward {float(number)}, which is not finite in float32; clip it")
    return float(number)


def _actions_and_keys(
    gym_id: str, env: Any, count: int, first: int
) -> tuple[tuple[Action, ...], dict[str, tuple[str, ...]]]:
    """Names and keys; the idle action is the one named so, or else the first."""
    names = _names(env, count, first)
    idle = next((i for i, name in enumerate(names) if name in IDLE), 0)
    chosen = _own_keys(env, first)
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


def _own_keys(env: Any, first: int) -> dict[int, tuple[str, ...]]:
    """Action -> codes of the keys that the environment names for it; without those that name what is no key."""
    chosen: dict[int, tuple[str, ...]] = {}
    if hasattr(env, "get_keys_to_action"):
        for held, action in env.get_keys_to_action().items():
            keys = held if isinstance(held, (tuple, list, str)) else (held,)
            codes = {_code(key) for key in keys}
            if "" not in codes:
                chosen.setdefault(int(action) - first, tuple(sorted(codes)))
    return chosen


def _code(key: Any) -> str:
    """The code of a pygame key, given as its number or as the character that it prints; "" for what is no key."""
    if isinstance(key, str):
        key = ord(key) if len(key) == 1 else -1
    return code_of(int(key)) or "" if isinstance(key, (int, np.integer)) and key >= 0 else ""
