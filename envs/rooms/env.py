"""Rooms: a small building, another in each episode, seen from the player's eyes, with coloured things to find.

Flat colours, so that a small model can learn it. Each frame of turning is a sixtieth of a circle, so sixty frames are
exactly one full turn, and the image plane is a cylinder (`view`), so each shifts the picture by a sixteenth of its
height. Touching a thing takes it away and pays 1; the last one ends the episode. Deterministic after a reset. Knows
nothing of recordings, explorers or models.
"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np

from worldsim.errors import WorldsimError
from worldsim.spec import WorldSpec
from worldsim_envs.base import Moment, RealEnv
from worldsim_envs.palette import COLOURS
from worldsim_envs.rooms.plan import BODY, Plan, Thing, draw_plan, draw_start, draw_things
from worldsim_envs.rooms.view import AROUND, View
from worldsim_envs.walk import ACTIONS, KEYS, MOVES

FPS = 15.0
TURNS = 60  # frames of a full turn
STEP = 0.15  # units a frame; a wall is 1 high
NEAR = 1.0  # units: from here on a wall fills more than half of the view's height
HEADINGS = [(math.cos(2 * math.pi * i / TURNS), math.sin(2 * math.pi * i / TURNS)) for i in range(TURNS)]

ORIGIN = {
    "source": "worldsim, rooms: drawn by this project's own code",
    "licence": "MIT",
    "shares": {"close to a wall": ["ahead", NEAR]},  # frames with less of that state than so much
}
Pose = tuple[float, float, int]  # x, y, and the heading in sixtieths of a turn from east
THING_STATE = ("there", "x", "y", "radius", "shape")


def rooms_spec(height: int = 64, width: int = 64) -> WorldSpec:
    """The world of `RoomsEnv`.

    State: x and y of the player, sine and cosine of the angle (counter-clockwise from east), the distance of the wall
    straight ahead; and for each colour of the palette whether there is a thing of it (1 or 0), its place, radius and
    shape (an index of `plan.SHAPES`), all zero if there is none. Lengths are in units of a wall's height.
    """
    return WorldSpec(
        name="rooms",
        height=height,
        width=width,
        fps=FPS,
        frame_skip=1,
        actions=ACTIONS,
        keys=KEYS,
        state_names=("x", "y", "sin", "cos", "ahead", *(f"{c}_{s}" for c in COLOURS for s in THING_STATE)),
        title="Rooms",
    )


def move(plan: Plan, pose: Pose, action: int) -> Pose:
    """Where an action leads: turn, then walk."""
    x, y, heading = pose
    left, walk = MOVES[action]
    heading = (heading + left) % TURNS
    cos, sin = HEADINGS[heading]
    return (*plan.walk(x, y, STEP * cos, STEP * sin), heading) if walk else (x, y, heading)


class RoomsEnv(RealEnv):
    """The rooms as a Gymnasium environment.

    `reset(options=...)` takes `"things"`, a list of `Thing` that are put there instead, at most one of a colour; and
    `"pose"`, (x, y, heading), where the player begins, the heading in sixtieths of a turn from east.

    Observations are uint8 RGB `[height, width, 3]`; six actions, see `walk.ACTIONS`; the reward is 1 for every thing
    touched, and `terminated` the moment the last one is. `info["state"]` is float32 `[35]`, named by
    `world.state_names`; the info of a reset also has `"walls"`, float32 `[w, 4]`, x1, y1, x2, y2 of every wall;
    `"rooms"` and `"doors"`, float32 `[n, 4]` and `[m, 4]`, x0, y0, x1, y1 of every room and doorway; and `"joins"`,
    int64 `[m, 2]`, the two rooms of each doorway.

    Args:
        height, width: frame size in pixels; no wider than 360 degrees.
        render_mode: "rgb_array", "human" (a window) or None.

    Attributes:
        plan: the building of this episode.

    Raises:
        WorldsimError: for a frame more than 3.75 times as wide as high; of a reset, if the pose is in a wall or two
            things have one colour.
    """

    reset_options = ("things", "pose")

    def __init__(self, height: int = 64, width: int = 64, render_mode: str | None = None):
        if width > AROUND * height:
            raise WorldsimError(
                f"the rooms can't be seen in {width}x{height}: give at most {AROUND:g} times the height"
            )
        super().__init__(rooms_spec(height, width), ORIGIN, render_mode)
        self._view = View(height, width)

    def _reset(self, seed: int | None, options: dict[str, Any]) -> Moment:
        self._draw = int(self.np_random.integers(2**63))
        rng = np.random.default_rng(self._draw)
        self.plan = draw_plan(rng)
        self._things = draw_things(rng, self.plan)
        self._pose = (*draw_start(rng, self.plan, self._things), int(rng.integers(TURNS)))
        self._stage(options)
        return self._first_moment()

    def _step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Turn, then walk, then take what is touched."""
        self._pose = move(self.plan, self._pose, action)
        kept = tuple(t for t in self._things if math.dist(self._pose[:2], (t.x, t.y)) > BODY + t.radius)
        taken, self._things = len(self._things) - len(kept), kept
        frame, info = self._moment()
        return frame, float(taken), bool(taken and not kept), False, info

    def save(self) -> bytes:
        """The whole state of the world as JSON: `restore` continues from it exactly, in any environment."""
        state = {
            "draw": self._draw,
            "pose": self._pose,
            "things": [dataclasses.astuple(thing) for thing in self._things],
            "chance": self.np_random.bit_generator.state,
        }
        return json.dumps(state).encode()

    def _restore(self, saved: bytes) -> Moment:
        try:
            state = json.loads(saved)
            draw, (x, y, heading) = int(state["draw"]), state["pose"]
            pose = float(x), float(y), int(heading)
            things = tuple(Thing(*thing) for thing in state["things"])
            self.np_random.bit_generator.state = state["chance"]
        except (ValueError, KeyError, TypeError) as error:
            raise WorldsimError(f"not a saved state of rooms: {error}") from error
        self._draw, self._things, self._pose = draw, things, pose
        self.plan = draw_plan(np.random.default_rng(draw))
        return self._first_moment()

    def _stage(self, options: dict[str, Any]) -> None:
        self._things = tuple(options.get("things", self._things))
        if len({thing.colour for thing in self._things}) < len(self._things):
            raise WorldsimError("two things of one colour can't be in the rooms at once; give each its own")
        if "pose" in options:
            x, y, heading = options["pose"]
            if not self.plan.may_stand(x, y):
                raise WorldsimError(f"the pose {x:g}, {y:g} is in a wall; the rooms are in the info of a reset")
            self._pose = float(x), float(y), int(heading) % TURNS

    def _first_moment(self) -> Moment:
        frame, info = self._moment()
        plan = self.plan
        known = {"walls": plan.walls(), "rooms": plan.rooms.astype(np.float32), "doors": plan.doors.astype(np.float32)}
        return frame, {**info, **known, "joins": plan.joins.copy()}

    def _moment(self) -> Moment:
        x, y, heading = self._pose
        cos, sin = HEADINGS[heading]
        frame, ahead = self._view.render(self.plan, self._things, x, y, cos, sin)
        state = np.zeros(len(self.world.state_names), np.float32)
        state[:5] = x, y, sin, cos, ahead
        for thing in self._things:
            first = 5 + len(THING_STATE) * thing.colour
            state[first : first + len(THING_STATE)] = 1, thing.x, thing.y, thing.radius, thing.shape
        return frame, {"state": state}
