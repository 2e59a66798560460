"""Crafter: an open world seen from above, drawn anew each episode: forests, lakes, caves; cows to eat, zombies and
skeletons to fight; wood, stone, coal, iron and diamonds to gather, and tools to make of them; day and night.

The player stands in the middle of the view, which moves by whole tiles. Twenty-two things can be achieved, each paying
1 the first time; a point of health is worth 0.1. Death ends an episode, and no clock does. Knows nothing of recordings,
explorers or models.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from worldsim.errors import WorldsimError
from worldsim.spec import Action, WorldSpec
from worldsim_envs.base import Moment, RealEnv
from worldsim_envs.crafter.game import VIEW, Game
from worldsim_envs.crafter.names import ACTIONS, STATE

FPS = 10.0
ORIGIN = {"source": "Crafter 1.8.3 by Danijar Hafner", "licence": "MIT"}
KEYS = {
    "move_left": ("ArrowLeft", "KeyA"),
    "move_right": ("ArrowRight", "KeyD"),
    "move_up": ("ArrowUp", "KeyW"),
    "move_down": ("ArrowDown", "KeyS"),
    "do": ("Space",),
    "sleep": ("KeyZ",),
    "place_stone": ("KeyQ",),
    "place_table": ("KeyE",),
    "place_furnace": ("KeyF",),
    "place_plant": ("KeyX",),
    "make_wood_pickaxe": ("Digit1",),
    "make_stone_pickaxe": ("Digit2",),
    "make_iron_pickaxe": ("Digit3",),
    "make_wood_sword": ("Digit4",),
    "make_stone_sword": ("Digit5",),
    "make_iron_sword": ("Digit6",),
}
LEAST = 4  # pixels of a tile


def crafter_spec(height: int = 72, width: int = 72) -> WorldSpec:
    """The world of `CrafterEnv`.

    State: the player's place (x to the right, y down) and facing, whether asleep, daylight (0 to 1), steps since the
    start; hunger, thirst, fatigue and recovery, which change health, food, drink and energy when they run over; what is
    carried; how often each thing was achieved; the tiles in view, row by row, as indices of `names.TILES`.
    """
    return WorldSpec(
        name="crafter",
        height=height,
        width=width,
        fps=FPS,
        frame_skip=1,
        actions=tuple(Action(name, (name,) if name in KEYS else ()) for name in ACTIONS),
        keys=KEYS,
        state_names=STATE,
        title="Crafter",
    )


class CrafterEnv(RealEnv):
    """Crafter as a Gymnasium environment.

        env = CrafterEnv(); env.reset(seed=1); saved = env.save(); env.step(1); frame, info = env.restore(saved)

    Observations are uint8 RGB `[height, width, 3]`: 7 rows of 9 tiles of the world, and 2 rows of what is carried;
    seventeen actions, see `names.ACTIONS`. The info has `"state"`, float32 `[S]`, named by `world.state_names`;
    `"semantic"`, uint8 `[7, 9]`, the tiles in view as indices of `names.TILES`; and `"map"`, uint8 `[64, 64]`, those of
    the whole world, `[y, x]`.

    Args:
        height, width: frame size in pixels. A tile is a ninth of it, rounded down; 72x72 leaves no border.
        render_mode: "rgb_array", "human" (a window) or None.

    Raises:
        WorldsimError: if crafter is not installed, or a tile would have less than four pixels a side.
    """

    def __init__(self, height: int = 72, width: int = 72, render_mode: str | None = None):
        if height < LEAST * VIEW[1] or width < LEAST * VIEW[0]:
            raise WorldsimError(f"Crafter can't be seen in {width}x{height}; try 72x72, or 64x64 as its papers do.")
        super().__init__(crafter_spec(height, width), ORIGIN, render_mode)
        self._game = Game(height, width)

    def _reset(self, seed: int | None, options: dict[str, Any]) -> Moment:
        self._game.begin(int(self.np_random.integers(2**31)))
        return self._moment()

    def _step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward = self._game.act(action)
        frame, info = self._moment()
        return frame, reward, self._game.over, False, info

    def save(self) -> bytes:
        """Everything there is now, as JSON; it is not bound to a frame size, but the noise of the nights is.

        Raises:
            WorldsimError: before the first reset.
        """
        if self._game.frame is None:
            raise WorldsimError("crafter has not begun: call reset() first")
        return self._game.save()

    def reseed(self, seed: int) -> None:
        """Go on from here with other chance, 0 to 2**31 - 1: cows and zombies go elsewhere, all else is as before.

        Raises:
            WorldsimError: before the first reset.
        """
        if self._game.frame is None:
            raise WorldsimError("crafter has not begun: call reset() first")
        self._game.reseed(seed)

    def _restore(self, saved: bytes) -> Moment:
        self._game.restore(saved)
        return self._moment()

    def _moment(self) -> Moment:
        assert self._game.frame is not None
        return self._game.frame, self._game.info()
