"""The toy box: a room of toys seen from the front, to play in and to test memory with.

A screen can hide them, the view can pan away from them, and they can be put into a box with a lid or under cups; hidden
things obey the same physics. Each episode draws other toys, colours, places and another wall. A card in the corner
shows a shape: putting a toy of that shape into the box pays 1, and the card asks for another. Nothing is random after a
reset, and no episode ends by itself. Knows nothing of recordings, explorers or models.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from worldsim.errors import WorldsimError
from worldsim.spec import Action, WorldSpec
from worldsim_envs.base import Moment, RealEnv
from worldsim_envs.toybox.layout import draw_room
from worldsim_envs.toybox.looks import LOOKS
from worldsim_envs.toybox.room import CUPS, TOYS, Act, Cover, Room, Toy
from worldsim_envs.toybox.view import View
from worldsim_envs.toybox.words import caption

FPS = 15.0
MOST_ASPECT = 4.0
ORIGIN = {"source": "the toy box of worldsim-engine", "licence": "MIT"}
KEYS = {
    "pan-left": ("KeyA",),
    "pan-right": ("KeyD",),
    "screen-up": ("KeyW",),
    "screen-down": ("KeyS",),
    "hand-left": ("ArrowLeft",),
    "hand-right": ("ArrowRight",),
    "hand-up": ("ArrowUp",),
    "hand-down": ("ArrowDown",),
    "grab": ("Space",),
    "paint": ("KeyE",),
    "lid": ("KeyQ",),
}
ROOM_STATE = ("view", "camera", "hand_x", "hand_height", "held", "screen_x", "screen_width", "screen", "lid", "closing",
              "goal", "score", "last", "box_x", "box_height")  # fmt: skip
CUP_STATE = ("there", "x", "height")
TOY_STATE = ("there", "x", "height", "vx", "vy", "radius", "shape", "colour", "inside")


def toybox_spec(height: int = 64, width: int = 64) -> WorldSpec:
    """The world of `ToyboxEnv`.

    State, in units of a 64th of the view's height: the fields of `Room`, then of each cup and each toy whether it is
    there and its own; zeros for what is not. `hand_x` is counted from the view's left edge, every other x from the
    room's.
    """
    return WorldSpec(
        name="toybox",
        height=height,
        width=width,
        fps=FPS,
        frame_skip=1,
        actions=tuple(Action(act.label, (act.label,) if act.label in KEYS else ()) for act in Act),
        keys=KEYS,
        state_names=(
            *ROOM_STATE,
            *(f"cup_{i}_{name}" for i in range(CUPS) for name in CUP_STATE),
            *(f"toy_{i}_{name}" for i in range(TOYS) for name in TOY_STATE),
        ),
        title="Toy box",
    )


class ToyboxEnv(RealEnv):
    """The toy box as a Gymnasium environment.

        env = ToyboxEnv(); env.reset(seed=1); saved = env.save(); env.step(1); frame, info = env.restore(saved)

    Observations are uint8 RGB `[height, width, 3]`; twelve actions, see `room.Act`; grab, paint and lid act
    when they begin, not while they last. The reward is 1 for a toy of the wanted shape put into the box.
    `info["state"]` is float32 `[S]`, named by `world.state_names`.

    Args:
        height, width: frame size in pixels; a wider frame shows more of the room.
        render_mode: "rgb_array", "human" (a window) or None.
        look: "day", "night", "ink", "pastel", or "any": another for each episode.

    Raises:
        WorldsimError: for a look that there isn't, or a frame that is smaller than 16 pixels, taller than wide by more
            than half, or more than four times as wide as high.
    """

    has_hidden_layer = True

    def __init__(self, height: int = 64, width: int = 64, render_mode: str | None = None, look: str = "day"):
        if min(height, width) < 16 or not height / 1.5 <= width <= height * MOST_ASPECT:
            raise WorldsimError(f"the toy box can't be seen in {width}x{height}; try 64x64, 128x96 or 256x144.")
        if look not in (*LOOKS, "any"):
            raise WorldsimError(f"the toy box has no look {look!r}; it has {', '.join(LOOKS)} and any")
        super().__init__(toybox_spec(height, width), ORIGIN, render_mode)
        self._look = look
        self.view = View(height, width)
        self._room: Room | None = None

    @property
    def room(self) -> Room:
        """The current room; a copy of it may be kept, changed, and given to `enter`.

        Raises:
            WorldsimError: before the first reset.
        """
        if self._room is None:
            raise WorldsimError("the toy box is empty before its first reset(); call that first")
        return self._room

    def _reset(self, seed: int | None, options: dict[str, Any]) -> Moment:
        names = list(LOOKS)
        look = names[int(self.np_random.integers(len(names)))] if self._look == "any" else self._look
        return self._in(draw_room(self.np_random, self.view.units, look))

    def _step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One frame, a fifteenth of a second."""
        reward = self.room.step(action)
        frame, info = self._in(self.room)
        return frame, reward, False, False, info

    def enter(self, room: Room) -> Moment:
        """Go on in another room, which now belongs to this environment; observation and info, as of a reset."""
        self._check_open("enter()")
        return self._enter(self._in(room))

    def caption(self, length: str = "medium", phrasing: int = 0) -> str:
        """The room as it is now, in plain words; see `words.caption`."""
        return caption(self.room, length, phrasing)

    def hidden_layer(self) -> np.ndarray:
        """The room as it is now with nothing in the way; see `View.hidden_layer`."""
        return self.view.hidden_layer(self.room)

    def save(self) -> bytes:
        """The room as JSON. The frame size is not part of it, but the width of the view is."""
        return self.room.to_bytes()

    def _restore(self, saved: bytes) -> Moment:
        room = Room.from_bytes(saved)
        if room.view != self.view.units or room.look not in LOOKS:
            here = self.view.units
            raise WorldsimError(
                f"this toy room was saved for another shape of frames: {room.view:g}:64, not {here:g}:64"
            )
        return self._in(room)

    def _in(self, room: Room) -> Moment:
        self._room = room
        return self.view.render(room), {"state": room_state(room)}


def room_state(room: Room) -> np.ndarray:
    """A room as the numbers that `toybox_spec` names, float32 `[S]`."""
    values: list[float] = [
        room.view, room.camera, room.hand_x, room.hand_height, room.held, room.screen_x, room.screen_width, room.screen,
        room.lid, room.closing, room.goal, room.score, room.last, room.box.x, room.box.height,
    ]  # fmt: skip
    for cup in room.cups:
        values += (1, cup.x, cup.height)
    values += [0] * (len(CUP_STATE) * (CUPS - len(room.cups)))
    for toy in room.toys:
        values += (1, toy.x, toy.height, toy.vx, toy.vy, toy.radius, toy.shape, toy.colour, toy.inside)
    values += [0] * (len(TOY_STATE) * (TOYS - len(room.toys)))
    return np.array(values, np.float32)


def room_of(state: np.ndarray) -> Room:
    """The room of a state `[S]`: all that moves, but neither the wall's decor nor the fences."""
    values = [float(v) for v in state]
    first, second = len(ROOM_STATE), len(ROOM_STATE) + CUPS * len(CUP_STATE)
    room = dict(zip(ROOM_STATE, values[:first], strict=True))
    cups = [values[i : i + len(CUP_STATE)] for i in range(first, second, len(CUP_STATE))]
    toys = [values[i : i + len(TOY_STATE)] for i in range(second, len(values), len(TOY_STATE))]
    return Room(
        view=room["view"],
        look="day",
        decor=0,
        toys=[
            Toy(int(shape), int(colour), radius, x, height, vx, vy, int(inside))
            for there, x, height, vx, vy, radius, shape, colour, inside in toys
            if there
        ],
        box=Cover(room["box_x"], room["box_height"]),
        cups=[Cover(x, height) for there, x, height in cups if there],
        fences=[],
        screen_x=room["screen_x"],
        screen_width=room["screen_width"],
        camera=room["camera"],
        hand_x=room["hand_x"],
        hand_height=room["hand_height"],
        screen=int(room["screen"]),
        lid=int(room["lid"]),
        closing=bool(room["closing"]),
        held=int(room["held"]),
        goal=int(room["goal"]),
        score=int(room["score"]),
        last=int(room["last"]),
    )
