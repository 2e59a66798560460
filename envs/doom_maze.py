"""The maze of Doom: ViZDoom's `my_way_home`, rooms and corridors of different textures, seen from the player's eyes.

No status bar, no weapon, no crosshair, and no clock that ends an episode. Two tics a step, 17.5 frames a second. A key
that turns does so by the same angle in every frame: forty frames are one whole turn. Each episode starts at a place and
an angle drawn from the seed; touching the green armour pays 1 and ends it. Knows nothing of recordings, explorers or
models.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
import weakref
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from worldsim.errors import WorldsimError, require
from worldsim.spec import Action, WorldSpec
from worldsim_envs.world_env import WorldEnv

SKIP = 2  # tics a frame
FPS = 35 / SKIP
ANGLE = 360 / 65536  # Doom's unit of an angle, in degrees
TURN = 819  # units a tic: forty frames come back within a tenth of a degree
DEPTH_UNIT, DEPTH_ZERO = 7.2, 8.0  # map units for each of the 256 steps of the depth buffer, and at its 0
NEAR = 56.0  # map units: from here on a wall fills the view from top to bottom

ORIGIN = {
    "source": "ViZDoom, scenario my_way_home, with the assets of Freedoom",
    "licence": "ViZDoom: MIT; Freedoom: BSD-3-Clause",
    "shares": {"close to a wall": ["ahead", NEAR]},  # frames with less of that state than so much
}
# Degrees of a left turn and whether to walk, for each action.
MOVES = {
    "stand": (0, 0),
    "forward": (0, 1),
    "turn-left": (1, 0),
    "turn-right": (-1, 0),
    "forward+left": (1, 1),
    "forward+right": (-1, 1),
}


def doom_maze_spec(height: int = 48, width: int = 64) -> WorldSpec:
    """The world of `DoomMazeEnv`.

    State: x and y in map units, sine and cosine of the angle (counter-clockwise from east), and the distance to what
    fills the middle of the view, in map units; below `NEAR` it is a wall and nothing else.
    """
    buttons = {(0, 0): (), (0, 1): ("forward",), (1, 0): ("left",), (-1, 0): ("right",), (1, 1): ("forward", "left")}
    return WorldSpec(
        name="doom-maze",
        height=height,
        width=width,
        fps=FPS,
        frame_skip=SKIP,
        actions=tuple(Action(name, buttons.get(move, ("forward", "right"))) for name, move in MOVES.items()),
        keys={"forward": ("ArrowUp", "KeyW"), "left": ("ArrowLeft", "KeyA"), "right": ("ArrowRight", "KeyD")},
        state_names=("x", "y", "sin", "cos", "ahead"),
        title="Doom maze",
    )


class DoomMazeEnv(WorldEnv):
    """The maze as a Gymnasium environment.

    Observations are uint8 RGB `[height, width, 3]`; six actions, see `MOVES`; the reward is 1 for the armour, which is
    `terminated`. `info["state"]` is float32 `[5]`, named by `world.state_names`; the info of a reset also has
    `"walls"`, float32 `[n, 4]`: x1, y1, x2, y2 of every wall in map units.

    Args:
        height, width: frame size in pixels, 3:4.
        render_mode: "rgb_array", "human" (a window) or None.

    Raises:
        WorldsimError: if vizdoom is not installed, or the size is not 3:4.
    """

    def __init__(self, height: int = 48, width: int = 64, render_mode: str | None = None):
        vizdoom = require("vizdoom", "doom")
        if height * 4 != width * 3 or height > 240:
            raise WorldsimError(
                f"the Doom maze is seen in 4:3, at most 320x240; {width}x{height} is not. Try 64x48 or 128x96."
            )
        super().__init__(doom_maze_spec(height, width), ORIGIN, render_mode)
        self._moves = [[walk, _delta(left)] for left, walk in MOVES.values()]
        folder = tempfile.TemporaryDirectory(prefix="worldsim-doom-")
        self._game = _game(vizdoom, folder.name)
        self._quit = weakref.finalize(self, _quit, self._game, folder)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Wake up somewhere else."""
        super().reset(seed=seed)
        self._game.set_seed(int(self.np_random.integers(2**31)))
        self._game.new_episode()
        observation, info = self._observe()
        lines = {
            (line.x1, line.y1, line.x2, line.y2)
            for s in self._game.get_state().sectors
            for line in s.lines
            if line.is_blocking
        }
        return observation, {**info, "walls": np.array(sorted(lines), np.float32)}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Two tics with the same keys held."""
        reward = float(self._game.make_action(self._moves[self._known(action)], SKIP))
        if not self._game.is_episode_finished():
            observation, info = self._observe()
            return observation, reward, False, False, info
        assert self._frame is not None  # Doom draws no frame of the end: the last one stays
        return self._show(self._frame), reward, True, False, {"state": self._state.copy()}

    def close(self) -> None:
        """End the game and close its window."""
        self._quit()
        super().close()

    def _observe(self) -> tuple[np.ndarray, dict[str, Any]]:
        state = self._game.get_state()
        frame = cv2.resize(state.screen_buffer, (self.world.width, self.world.height), interpolation=cv2.INTER_AREA)
        x, y, degrees = state.game_variables
        angle = math.radians(degrees)
        ahead = float(np.median(state.depth_buffer[60:180:8, 80:240:8])) * DEPTH_UNIT + DEPTH_ZERO
        self._state = np.array([x, y, math.sin(angle), math.cos(angle), ahead], np.float32)
        return self._show(frame), {"state": self._state.copy()}


def _delta(left: int) -> float:
    """Degrees to the right of which Doom, rounding down, makes TURN units left (1), right (-1) or none (0)."""
    return (0.5 - left * TURN) * ANGLE if left else 0.0


def _game(vizdoom: Any, folder: str) -> Any:
    game = vizdoom.DoomGame()
    game.load_config(str(Path(vizdoom.scenarios_path) / "my_way_home.cfg"))
    game.set_screen_format(vizdoom.ScreenFormat.RGB24)
    game.set_screen_resolution(vizdoom.ScreenResolution.RES_320X240)
    for switch in ("hud", "weapon", "crosshair", "messages", "decals", "particles", "corpses", "effects_sprites"):
        getattr(game, f"set_render_{switch}")(False)
    game.set_window_visible(False)
    game.set_sound_enabled(False)
    game.set_mode(vizdoom.Mode.PLAYER)
    game.set_living_reward(0)
    game.set_episode_timeout(0)
    game.set_depth_buffer_enabled(True)
    game.set_sectors_info_enabled(True)
    game.set_available_buttons([vizdoom.Button.MOVE_FORWARD, vizdoom.Button.TURN_LEFT_RIGHT_DELTA])
    variable = vizdoom.GameVariable
    game.set_available_game_variables([variable.POSITION_X, variable.POSITION_Y, variable.ANGLE])
    with contextlib.chdir(folder):  # where Doom leaves its settings, at its start and at its end
        game.init()
    return game


def _quit(game: Any, folder: tempfile.TemporaryDirectory[str]) -> None:
    game.close()
    folder.cleanup()
