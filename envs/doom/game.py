"""A running game of Doom, which its worlds share: what is rendered, which buttons there are, how it begins and ends.

No status bar, no weapon, no crosshair, no sound, and no clock. Knows no world's rules.
"""

from __future__ import annotations

import contextlib
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from worldsim.errors import WorldsimError, require

TICS = 35  # a second


class Doom:
    """One scenario of ViZDoom in a process of its own.

    Args:
        scenario: its name, for example `"my_way_home"`.
        height, width: of the frames in pixels, 3:4.
        buttons, variables: names of `vizdoom.Button` and `vizdoom.GameVariable`, in the order of `hold` and `now`.
        shown: what else `now` holds, of `"depth_buffer"`, `"objects_info"` and `"sectors_info"`.
        living: reward of every tic lived.

    Raises:
        WorldsimError: if vizdoom is not installed, or the size is not 3:4.
    """

    def __init__(
        self,
        scenario: str,
        height: int,
        width: int,
        buttons: Sequence[str],
        variables: Sequence[str],
        shown: Sequence[str] = (),
        living: float = 0.0,
    ):
        vizdoom = require("vizdoom", "doom")
        if height * 4 != width * 3 or not 0 < height <= 240:
            raise WorldsimError(f"Doom is seen in 4:3, at most 320x240; {width}x{height} is not. Try 64x48 or 128x96.")
        self._size = width, height
        folder = tempfile.TemporaryDirectory(prefix="worldsim-doom-")
        self._game = game = vizdoom.DoomGame()
        game.load_config(str(Path(vizdoom.scenarios_path) / f"{scenario}.cfg"))
        game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        game.set_screen_resolution(vizdoom.ScreenResolution.RES_320X240)
        for switch in ("hud", "weapon", "crosshair", "messages", "decals", "particles", "corpses", "effects_sprites"):
            getattr(game, f"set_render_{switch}")(False)
        for what in shown:
            getattr(game, f"set_{what}_enabled")(True)
        game.set_window_visible(False)
        game.set_sound_enabled(False)
        game.set_mode(vizdoom.Mode.PLAYER)
        game.set_living_reward(living)
        game.set_episode_timeout(0)
        game.set_available_buttons([getattr(vizdoom.Button, name) for name in buttons])
        game.set_available_game_variables([getattr(vizdoom.GameVariable, name) for name in variables])
        with contextlib.chdir(folder.name):  # where Doom leaves its settings, at its start and at its end
            game.init()
        self.close = weakref.finalize(self, _quit, game, folder)

    def begin(self, seed: int) -> None:
        """A new episode. All its randomness comes from the seed, 0 to 2**31 - 1."""
        self._game.set_seed(seed)
        self._game.new_episode()

    def hold(self, buttons: Sequence[float], tics: int) -> float:
        """Hold the same buttons for `tics` tics, or until the episode ends; returns the reward."""
        return float(self._game.make_action(buttons, tics))

    @property
    def over(self) -> bool:
        """Whether the episode has ended. Doom draws no frame of its end: the last one stays."""
        return bool(self._game.is_episode_finished())

    @property
    def now(self) -> Any:
        """The current `vizdoom.GameState`; None when the episode is over."""
        return self._game.get_state()

    def frame(self, now: Any) -> np.ndarray:
        """The frame of a `vizdoom.GameState`: uint8 RGB `[height, width, 3]`."""
        return cv2.resize(now.screen_buffer, self._size, interpolation=cv2.INTER_AREA)


def _quit(game: Any, folder: tempfile.TemporaryDirectory[str]) -> None:
    game.close()
    folder.cleanup()
