"""Atari Freeway, the real game, through ale-py.

The whole screen scaled to 128x96 (height x width), four emulator frames a step, no sticky actions, up, down or stay.
The ten cars start at places drawn from the seed: the game alone would repeat the same traffic. An episode is the game's
own two minutes and a quarter (2,048 frames); each crossing pays 1. Knows nothing of recordings, explorers or models.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from gymnasium.utils import EzPickle

from worldsim.errors import require
from worldsim.spec import Action, WorldSpec
from worldsim_envs.base import Moment
from worldsim_envs.replay import ReplayedEnv

SCREEN = (210, 160)  # the console's picture, height x width
SKIP = 4
LANES = 10
RAM_CHICKEN, RAM_SCORE, RAM_CARS = (
    14,
    103,
    108,
)  # height of the chicken above its pavement, score (BCD), ten cars from the bottom
TRAFFIC = 160  # places a car can be at
CODES = (0, 2, 5)  # the console's no-op, up and down
ORIGIN = {
    "source": "Freeway (Activision, 1981) in the Arcade Learning Environment",
    "licence": "ALE: GPL-2.0; the game: its owner's",
}


def freeway_spec(height: int = 128, width: int = 96) -> WorldSpec:
    """The world of `FreewayEnv`. State: the chicken's middle row, the score, and the middle column of each car from the
    bottom lane up, rows and columns in pixels of the frame."""
    return WorldSpec(
        name="atari-freeway",
        height=height,
        width=width,
        fps=60 / SKIP,
        frame_skip=SKIP,
        actions=(Action("noop"), Action("up", ("up",)), Action("down", ("down",))),
        keys={"up": ("ArrowUp", "KeyW"), "down": ("ArrowDown", "KeyS")},
        state_names=("chicken_y", "score", *(f"car_{lane}_x" for lane in range(LANES))),
        title="Freeway",
    )


class FreewayEnv(ReplayedEnv):
    """Freeway as a Gymnasium environment.

    Observations are uint8 RGB `[height, width, 3]`; actions 0 stay, 1 up, 2 down; the reward is 1 for each crossing.
    The game's end is `terminated`. `info["state"]` is float32 `[12]`, named by `world.state_names`.

    Args:
        height, width: frame size in pixels.
        render_mode: "rgb_array", "human" (a window) or None.

    Raises:
        WorldsimError: if ale-py is not installed.
    """

    def __init__(self, height: int = 128, width: int = 96, render_mode: str | None = None):
        ale_py = require("ale_py", "atari")
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        super().__init__(freeway_spec(height, width), ORIGIN, render_mode)
        EzPickle.__init__(self, height, width, render_mode)
        self._ale = ale_py.ALEInterface()
        self._ale.setInt("random_seed", 0)
        self._ale.setInt("frame_skip", SKIP)
        self._ale.setFloat("repeat_action_probability", 0.0)
        self._ale.loadROM(str(ale_py.roms.get_rom_path("freeway")))
        self._ale.reset_game()
        self._switched_on = self._ale.cloneSystemState()  # a reset of the game alone keeps some of what went before

    def _draw(self, rng: np.random.Generator) -> list[int]:
        """The places of the cars."""
        return [int(place) for place in rng.integers(0, TRAFFIC, LANES)]

    def _begin(self, drawn: list[int]) -> Moment:
        self._ale.restoreSystemState(self._switched_on)
        for lane, place in enumerate(drawn):
            self._ale.setRAM(RAM_CARS + lane, place)
        self._ale.act(0)  # draws the cars where they now are
        return self._look()

    def _act(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Four emulator frames with the same action."""
        reward = float(self._ale.act(CODES[action]))
        frame, info = self._look()
        return frame, reward, bool(self._ale.game_over()), False, info

    def _look(self) -> Moment:
        size = (self.world.width, self.world.height)
        return cv2.resize(self._ale.getScreenRGB(), size, interpolation=cv2.INTER_AREA), {"state": self._state()}

    def _state(self) -> np.ndarray:
        ram = self._ale.getRAM()
        score = (ram[RAM_SCORE] >> 4) * 10 + (ram[RAM_SCORE] & 15)
        rows, columns = self.world.height / SCREEN[0], self.world.width / SCREEN[1]
        cars = (
            ram[RAM_CARS : RAM_CARS + LANES] + 1.0
        ) * columns  # eight pixels wide, the left edge three before the place
        return np.array([(197.0 - ram[RAM_CHICKEN]) * rows, score, *cars], np.float32)
