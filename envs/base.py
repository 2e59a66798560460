"""What all environments share: spaces and keys from a WorldSpec, the life of an episode, and rendering.

`WorldEnv` is any world whose observation is its frame, real or generated; `RealEnv` is one that a game draws. Both know
no game and no network: a subclass begins an episode with `_reset` and goes on with `_step`.
"""

from __future__ import annotations

import abc
import json
from typing import Any

import gymnasium as gym
import numpy as np

from worldsim.errors import WorldsimError
from worldsim.keycodes import KEYS
from worldsim.spec import WorldSpec
from worldsim_envs.window import Window

Moment = tuple[np.ndarray, dict[str, Any]]  # a frame, uint8 RGB [H, W, 3], and the info that goes with it


class WorldEnv(gym.Env[np.ndarray, np.int64]):
    """An environment whose observation is the frame, uint8 RGB `[H, W, 3]`, and whose actions are the world's.

    Args:
        world: frame size, actions, keys and speed.
        origin: `{"source": ..., "licence": ...}` of the frames, and anything a recording should keep with it.
        render_mode: "rgb_array", "human" (a window) or None.
    """

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 15}
    reset_options: tuple[str, ...] | None = ()  # the names that `reset(options=...)` takes; None for any

    def __init__(self, world: WorldSpec, origin: dict[str, Any], render_mode: str | None):
        self.world, self.origin, self.render_mode = world, origin, render_mode
        self.metadata = {**self.metadata, "render_fps": whole_fps(world)}
        self.observation_space = gym.spaces.Box(0, 255, (world.height, world.width, 3), np.uint8)
        self.action_space = gym.spaces.Discrete(len(world.actions))
        self._window = Window(world, render_mode)
        self._frame: np.ndarray | None = None
        self._over, self._closed = True, False

    @abc.abstractmethod
    def _reset(self, seed: int | None, options: dict[str, Any]) -> Moment:
        """Begin an episode, with chance from `self.np_random`, which the seed has been given to."""

    @abc.abstractmethod
    def _step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """The frame that an action leads to, reward, terminated, truncated and info."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Moment:
        """Begin an episode.

        Args:
            seed: of all chance in it and, if none is given to them, in those after it.
            options: what `reset_options` names.

        Raises:
            WorldsimError: for an option that the world has not.
            ClosedEnvironmentError: after `close`.
        """
        self._check_open("reset()")
        if self.reset_options is not None:
            check_options(options or {}, self.reset_options)
        super().reset(seed=seed)
        return self._enter(self._reset(seed, options or {}))

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One frame. It is truncated, and the environment closed, if somebody has closed its window.

        Raises:
            WorldsimError: for an action that is not in the action space.
            ResetNeeded: before a reset, or after the end of an episode.
            ClosedEnvironmentError: after `close`.
        """
        self._check_open("step()")
        if self._over:
            when = "has not begun" if self._frame is None else "has ended"
            raise gym.error.ResetNeeded(f"the episode {when}: call reset() before step()")
        frame, reward, terminated, truncated, info = self._step(self._known(action))
        observation = self._show(frame)
        truncated = truncated or (self._closed and not terminated)
        self._over = terminated or truncated
        return observation, reward, terminated, truncated, info

    def render(self) -> np.ndarray | None:
        """The current frame, or None in a window, which shows it by itself."""
        return None if self._frame is None or self.render_mode != "rgb_array" else self._frame.copy()

    def close(self) -> None:
        """Close the environment, and its window if there is one."""
        self._closed = True
        self._window.close()

    def get_keys_to_action(self) -> dict[tuple[int, ...], int]:
        """Pygame keys held -> action, for `gymnasium.utils.play`; no key is its `noop`, `world.noop`."""
        combinations = self.world.key_combinations().items()
        return {tuple(sorted(KEYS[code] for code in held)): action for held, action in combinations if held}

    def _known(self, action: Any) -> int:
        """The action as a plain integer.

        Raises:
            WorldsimError: unless it is in the action space: an integer of Python or numpy, or an array of it without
                a dimension. A float is none, nor is an array `[1]`.
        """
        if not self.action_space.contains(action):
            raise WorldsimError(
                f"{self.world.name} has no action {action!r}; give an integer from 0 to {len(self.world.actions) - 1}"
            )
        return int(action)

    def _enter(self, moment: Moment) -> Moment:
        """Play goes on from this moment; observation and info, as of a reset."""
        self._over = False
        return self._show(moment[0]), moment[1]

    def _show(self, frame: np.ndarray) -> np.ndarray:
        """Make a frame the current one, and return the observation of it."""
        self._frame = frame
        if not self._window.show(frame):
            self.close()
        return frame.copy()

    def _check_open(self, what: str) -> None:
        if self._closed:
            raise gym.error.ClosedEnvironmentError(f"{what} of {self.world.name} after it, or its window, was closed")


class RealEnv(WorldEnv):
    """An environment that a game draws, whose exact state may be kept and restored."""

    has_hidden_layer = False  # whether the game can draw what would be seen with nothing in the way

    def hidden_layer(self) -> np.ndarray:
        """What would be seen now with nothing in the way, uint8 RGB `[H, W, 3]`: a target for networks that learn from
        a recording, which no player sees.

        Raises:
            WorldsimError: if the game can't draw it (`has_hidden_layer`), as most can't.
        """
        raise WorldsimError(f"{self.world.name} can't draw what its frames hide")

    def save(self) -> bytes:
        """The exact state of the game, as JSON.

        Raises:
            WorldsimError: if the game keeps that to itself, as all do that don't override this.
        """
        raise WorldsimError(f"{self.world.name} can't be saved: its game keeps its state to itself")

    def restore(self, saved: bytes) -> Moment:
        """Go on where `save` was called, bit for bit; observation and info, as of a reset.

        Raises:
            WorldsimError: for anything that `save` did not give, or if the game can't be restored.
            ClosedEnvironmentError: after `close`.
        """
        self._check_open("restore()")
        return self._enter(self._restore(saved))

    def _restore(self, saved: bytes) -> Moment:
        """Put the game where it was when `save` was called."""
        raise WorldsimError(f"{self.world.name} can't be restored: its game keeps its state to itself")

    def clone_state(self) -> bytes:
        """What `save` gives of the game, whether the episode has ended, and the random generator of later resets.

        Raises:
            WorldsimError: if this world can't be saved.
        """
        chance = self.np_random.bit_generator.state
        state = {"world": self.world.name, "saved": self.save().decode(), "over": self._over, "chance": chance}
        return json.dumps(state).encode()

    def restore_state(self, clone: bytes) -> Moment:
        """Go on where `clone_state` was called, bit for bit; observation and info, as of a reset.

        Raises:
            WorldsimError: for a state of another world, or something else.
        """
        try:
            state = json.loads(clone)
            world, saved, over, chance = state["world"], state["saved"].encode(), bool(state["over"]), state["chance"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise WorldsimError(f"not a state of {self.world.name}: give what clone_state() gave") from error
        if world != self.world.name:
            raise WorldsimError(f"this state is of another world, {world!r}, not of {self.world.name!r}")
        moment = self.restore(saved)
        self.np_random.bit_generator.state = chance
        self._over = over
        return moment


def check_options(options: dict[str, Any], known: tuple[str, ...]) -> None:
    """Refuse options of a reset that a world has not.

    Raises:
        WorldsimError: which names the first of them, and those that there are.
    """
    unknown = [name for name in options if name not in known]
    if unknown:
        there_are = f"there are {', '.join(known)}" if known else "it takes none"
        raise WorldsimError(f"reset() has no option {unknown[0]!r}; {there_are}")


def whole_fps(world: WorldSpec) -> int:
    """A world's speed as `metadata["render_fps"]`, which Gymnasium's tools want as a whole number."""
    return max(1, round(world.fps))
