"""Take cover in Doom: ViZDoom's `take_cover`. Imps across the room throw fireballs; step aside, or die.

The player looks east from the west end of a room and steps only sideways. More imps appear as time goes by, about
eleven in the end; when and where they appear, when each throws, and how much a hit takes of 100 health (21 to 168; half
of all first hits kill) is random, all of it from the seed. The picture doesn't show the health; a hit that is survived
pushes the player. A tic lived pays 1, and an episode has at most 2,100 tics, one minute: the game of "World Models" (Ha
and Schmidhuber, 2018), with its four tics a frame. Knows nothing of recordings, explorers or models.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.utils import EzPickle

from worldsim.errors import WorldsimError
from worldsim.spec import Action, WorldSpec
from worldsim_envs.base import Moment
from worldsim_envs.doom.game import TICS, Doom
from worldsim_envs.replay import ReplayedEnv

MOST = 2100  # tics of an episode
SKIP = 4  # tics a frame
SLOTS = 6  # fireballs in the state; more are rarely in the air
SPEED = 10.0  # map units that a fireball flies in a tic
BODIES = 22.0  # map units from the middle of the player to that of a fireball, along either axis, at which they touch
WALL = -448.0  # where the wall behind the player is, on the map
FAR = 512.0  # map units ahead, in the slot of a fireball that isn't there

ORIGIN = {
    "source": "ViZDoom, scenario take_cover, with the assets of Freedoom",
    "licence": "ViZDoom: MIT; Freedoom: BSD-3-Clause",
}
STAND, LEFT, RIGHT = range(3)
FIREBALL = ("ahead", "left", "drift")


def doom_take_cover_spec(height: int = 72, width: int = 96, frame_skip: int = SKIP) -> WorldSpec:
    """The world of `DoomTakeCoverEnv`.

    State, in map units and tics: `place` of the player, from the wall on the right (16 to 752), and `back`, from the
    wall behind (32, until a hit pushes); `speed` to the left; `health`, 100 at first; `monsters` and `fireballs`
    in the room, and of both how many have their middle in the picture (`..._seen`); and of the six fireballs that are
    next to reach the player, in that order, how far `ahead` and how far to the `left` of the player they are, and their
    speed to the left, `drift`. A fireball that isn't is 512 ahead, 0 to the left, 0 fast.
    """
    return WorldSpec(
        name="doom-take-cover",
        height=height,
        width=width,
        fps=TICS / frame_skip,
        frame_skip=frame_skip,
        actions=(Action("stand"), Action("left", ("left",)), Action("right", ("right",))),
        keys={"left": ("ArrowLeft", "KeyA"), "right": ("ArrowRight", "KeyD")},
        state_names=(
            *("place", "back", "speed", "health", "monsters", "fireballs", "monsters_seen", "fireballs_seen"),
            *(f"fireball_{i}_{what}" for i in range(SLOTS) for what in FIREBALL),
        ),
        title="Doom: take cover",
    )


class DoomTakeCoverEnv(ReplayedEnv):
    """Take cover as a Gymnasium environment.

    Observations are uint8 RGB `[height, width, 3]`; actions stand, left, right; the reward is the tics lived through in
    the step, so a return is tics whatever the frame skip. Death is `terminated`; 2,100 tics are `truncated`.
    `info["state"]` is float32 `[26]`, named by `world.state_names`; `info["tics"]` counts the tics of the episode.

    Args:
        height, width: frame size in pixels, 3:4.
        render_mode: "rgb_array", "human" (a window) or None.
        frame_skip: tics a step, at least 1.

    Raises:
        WorldsimError: if vizdoom is not installed, the size is not 3:4, or the frame skip is less than 1.
    """

    def __init__(self, height: int = 72, width: int = 96, render_mode: str | None = None, frame_skip: int = SKIP):
        if frame_skip < 1:
            raise WorldsimError(f"a frame takes at least one tic; frame_skip={frame_skip} does not. Try 4.")
        super().__init__(doom_take_cover_spec(height, width, frame_skip), ORIGIN, render_mode)
        EzPickle.__init__(self, height, width, render_mode, frame_skip)
        self._doom = Doom(
            "take_cover",
            height,
            width,
            buttons=("MOVE_LEFT", "MOVE_RIGHT"),
            variables=("POSITION_X", "POSITION_Y", "VELOCITY_Y", "HEALTH"),
            shown=("objects_info",),
            living=1.0,
        )

    def _draw(self, rng: np.random.Generator) -> int:
        """The seed of when imps appear and shoot."""
        return int(rng.integers(2**31))

    def _begin(self, drawn: int) -> Moment:
        """In the middle of the room, with three imps across it."""
        self._doom.begin(drawn)
        self._tics = 0
        return self._look()

    def _act(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """The same key held for a few tics."""
        reward = self._doom.hold([action == LEFT, action == RIGHT], min(self.world.frame_skip, MOST - self._tics))
        self._tics += int(reward)
        frame, info = self._look()
        return frame, reward, self._doom.over, self._tics == MOST and not self._doom.over, info

    def close(self) -> None:
        """End the game and close its window."""
        self._doom.close()
        super().close()

    def _look(self) -> Moment:
        """The current frame and state; after the end of the episode, the last ones."""
        if not self._doom.over:
            self._seen = self._doom.frame(self._doom.now), self._state()
        frame, state = self._seen
        return frame, {"state": state.copy(), "tics": self._tics}

    def _state(self) -> np.ndarray:
        now = self._doom.now
        x, place, speed, health = now.game_variables
        imps = [(o.position_x - x, o.position_y - place) for o in now.objects if o.name == "DoomImp"]
        balls = sorted(
            (o.position_x - x, o.position_y - place, o.velocity_y)
            for o in now.objects
            if o.name == "DoomImpBall" and o.velocity_x < 0 and o.position_x - x > -BODIES
        )
        seen = [sum(abs(left) < ahead for ahead, left, *_ in things) for things in (imps, balls)]  # 90 degrees wide
        slots = [*balls, *[(FAR, 0.0, 0.0)] * SLOTS][:SLOTS]
        player = place, x - WALL, speed, health
        return np.array([*player, len(imps), len(balls), *seen, *np.ravel(slots)], np.float32)
