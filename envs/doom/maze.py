"""The maze of Doom: ViZDoom's `my_way_home`, rooms and corridors of different textures, seen from the player's eyes.

No status bar, no weapon, no crosshair, and no clock that ends an episode. Two tics a step, 17.5 frames a second. A key
that turns does so by the same angle in every frame: forty frames are a full turn. Each episode starts at a place and an
angle drawn from the seed; touching the green armour pays 1 and ends it. Knows nothing of recordings, explorers or
models.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium.utils import EzPickle

from worldsim.spec import WorldSpec
from worldsim_envs.base import Moment
from worldsim_envs.doom.game import TICS, Doom
from worldsim_envs.replay import ReplayedEnv
from worldsim_envs.walk import ACTIONS, KEYS, MOVES

SKIP = 2  # tics a frame
ANGLE = 360 / 65536  # Doom's unit of an angle, in degrees
TURN = 819  # units a tic: forty frames come back within a tenth of a degree
DEPTH_UNIT, DEPTH_ZERO = 7.2, 8.0  # map units for each of the 256 steps of the depth buffer, and at its 0
NEAR = 56.0  # map units: from here on a wall fills the view from top to bottom

ORIGIN = {
    "source": "ViZDoom, scenario my_way_home, with the assets of Freedoom",
    "licence": "ViZDoom: MIT; Freedoom: BSD-3-Clause",
    "shares": {"close to a wall": ["ahead", NEAR]},  # frames with less of that state than so much
}


def doom_maze_spec(height: int = 48, width: int = 64) -> WorldSpec:
    """The world of `DoomMazeEnv`.

    State: x and y in map units, sine and cosine of the angle (counter-clockwise from east), and the distance to what
    fills the middle of the view, in map units; below `NEAR` it is a wall and nothing else.
    """
    return WorldSpec(
        name="doom-maze",
        height=height,
        width=width,
        fps=TICS / SKIP,
        frame_skip=SKIP,
        actions=ACTIONS,
        keys=KEYS,
        state_names=("x", "y", "sin", "cos", "ahead"),
        title="Doom maze",
    )


class DoomMazeEnv(ReplayedEnv):
    """The maze as a Gymnasium environment.

    Observations are uint8 RGB `[height, width, 3]`; six actions, see `walk.ACTIONS`; the reward is 1 for the armour,
    which is `terminated`. `info["state"]` is float32 `[5]`, named by `world.state_names`; the info of a reset also has
    `"walls"`, float32 `[n, 4]`: x1, y1, x2, y2 of every wall in map units.

    Args:
        height, width: frame size in pixels, 3:4.
        render_mode: "rgb_array", "human" (a window) or None.

    Raises:
        WorldsimError: if vizdoom is not installed, or the size is not 3:4.
    """

    def __init__(self, height: int = 48, width: int = 64, render_mode: str | None = None):
        super().__init__(doom_maze_spec(height, width), ORIGIN, render_mode)
        EzPickle.__init__(self, height, width, render_mode)
        self._moves = [[walk, _delta(left)] for left, walk in MOVES]
        self._doom = Doom(
            "my_way_home",
            height,
            width,
            buttons=("MOVE_FORWARD", "TURN_LEFT_RIGHT_DELTA"),
            variables=("POSITION_X", "POSITION_Y", "ANGLE"),
            shown=("depth_buffer", "sectors_info"),
        )

    def _draw(self, rng: np.random.Generator) -> int:
        """The seed of where the player starts."""
        return int(rng.integers(2**31))

    def _begin(self, drawn: int) -> Moment:
        self._doom.begin(drawn)
        frame, info = self._look()
        lines = {
            (line.x1, line.y1, line.x2, line.y2) for s in self._doom.now.sectors for line in s.lines if line.is_blocking
        }
        return frame, {**info, "walls": np.array(sorted(lines), np.float32)}

    def _act(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Two tics with the same keys held."""
        reward = self._doom.hold(self._moves[action], SKIP)
        frame, info = self._look()
        return frame, reward, self._doom.over, False, info

    def close(self) -> None:
        """End the game and close its window."""
        self._doom.close()
        super().close()

    def _look(self) -> Moment:
        """The current frame and state; after the end of the episode, the last ones."""
        if not self._doom.over:
            now = self._doom.now
            x, y, degrees = now.game_variables
            angle = math.radians(degrees)
            ahead = float(np.median(now.depth_buffer[60:180:8, 80:240:8])) * DEPTH_UNIT + DEPTH_ZERO
            state = np.array([x, y, math.sin(angle), math.cos(angle), ahead], np.float32)
            self._seen = self._doom.frame(now), state
        frame, state = self._seen
        return frame, {"state": state.copy()}


def _delta(left: int) -> float:
    """Degrees to the right of which Doom, rounding down, makes TURN units left (1), right (-1) or none (0)."""
    return (0.5 - left * TURN) * ANGLE if left else 0.0
