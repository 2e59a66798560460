"""What the real worlds' environments share: spaces and keys from a WorldSpec, and both ways to render the last frame.

Knows no game. A game steps itself, and shows each new frame with `_show`.
"""

from __future__ import annotations

import json
from typing import Any

import gymnasium as gym
import numpy as np

from worldsim.errors import WorldsimError
from worldsim.spec import WorldSpec
from worldsim_envs.window import Window


class WorldEnv(gym.Env[np.ndarray, np.int64]):
    """An environment whose observation is the frame, uint8 RGB `[H, W, 3]`, and whose actions are the world's.

    Args:
        world: frame size, actions, keys and speed.
        origin: `{"source": ..., "licence": ...}` of the frames, and anything a recording should keep with it.
        render_mode: "rgb_array", "human" (a window) or None.
    """

    metadata = {"render_modes": ["rgb_array", "human"]}
    tells_behind = False  # whether the game tells what would be seen with nothing in the way

    def __init__(self, world: WorldSpec, origin: dict[str, Any], render_mode: str | None):
        self.world, self.origin, self.render_mode = world, origin, render_mode
        self.metadata = {**self.metadata, "render_fps": world.fps}
        self.observation_space = gym.spaces.Box(0, 255, (world.height, world.width, 3), np.uint8)
        self.action_space = gym.spaces.Discrete(len(world.actions))
        self._window = Window(world, render_mode)
        self._frame: np.ndarray | None = None

    def render(self) -> np.ndarray | None:
        """The current frame, or None in a window, which shows it by itself."""
        return None if self._frame is None or self.render_mode != "rgb_array" else self._frame.copy()

    def close(self) -> None:
        """Close the window, if there is one."""
        self._window.close()

    def get_keys_to_action(self) -> dict[tuple[int, ...], int]:
        """Key codes held -> action, for `gymnasium.utils.play`."""
        return self._window.keys_to_action()

    def behind(self) -> np.ndarray:
        """What would be seen now with nothing in the way, uint8 RGB `[H, W, 3]`: for those who learn from a recording,
        and for no player.

        Raises:
            WorldsimError: if the game doesn't tell (`tells_behind`), as most don't.
        """
        raise WorldsimError(f"{self.world.name} can't tell what is behind its frames")

    def save(self) -> bytes:
        """Everything there is now, as JSON.

        Raises:
            WorldsimError: if the game keeps that to itself, as all do that don't override this.
        """
        raise WorldsimError(f"{self.world.name} can't be saved: its game keeps its state to itself")

    def restore(self, saved: bytes) -> tuple[np.ndarray, dict[str, Any]]:
        """Go on where `save` was called; observation and info, as of a reset."""
        raise WorldsimError(f"{self.world.name} can't be restored: its game keeps its state to itself")

    def clone_state(self) -> bytes:
        """What `save` gives, and the random generator of the resets to come.

        Raises:
            WorldsimError: if this world can't be saved.
        """
        state = {"world": self.world.name, "saved": self.save().decode(), "chance": self.np_random.bit_generator.state}
        return json.dumps(state).encode()

    def restore_state(self, clone: bytes) -> tuple[np.ndarray, dict[str, Any]]:
        """Go on where `clone_state` was called, bit for bit; observation and info, as of a reset.

        Raises:
            WorldsimError: for a state of another world, or something else.
        """
        try:
            state = json.loads(clone)
            world, saved, chance = state["world"], state["saved"].encode(), state["chance"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise WorldsimError(f"not a state of {self.world.name}: give what clone_state() gave") from error
        if world != self.world.name:
            raise WorldsimError(f"this state is of another world, {world!r}, not of {self.world.name!r}")
        seen = self.restore(saved)
        self.np_random.bit_generator.state = chance
        return seen

    def _known(self, action: np.int64 | int) -> int:
        """The action, if there is one of that number.

        Raises:
            WorldsimError: if there is none.
        """
        if action not in range(len(self.world.actions)):
            raise WorldsimError(f"{self.world.name} has no action {action}; it has 0 to {len(self.world.actions) - 1}")
        return int(action)

    def _show(self, frame: np.ndarray) -> np.ndarray:
        """Make a frame the current one, and return the observation of it."""
        self._frame = frame
        self._window.show(frame)
        return frame.copy()
