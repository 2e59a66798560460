"""What live play in the toy box is judged by: real frames of the same rooms in every look, and an exact brush that puts
a toy on the floor or takes one away. Knows nothing of who is judged."""

from __future__ import annotations

import cv2
import numpy as np

from worldsim.evals.permanence.scene import PALETTE, SHAPES
from worldsim_envs.palette import HUES
from worldsim_envs.toybox.asks import areas
from worldsim_envs.toybox.env import ToyboxEnv
from worldsim_envs.toybox.looks import LOOKS
from worldsim_envs.toybox.room import Act
from worldsim_envs.toybox.view import GROUND, UNITS, Part, rasterise, shadow, toy_parts
from worldsim_envs.toybox.words import NAMES

__all__ = ["NOUNS", "Brush", "areas", "in_looks", "restored"]

NOUNS = tuple(NAMES[shape] for shape in SHAPES)  # of the detector's shapes, in words
RADIUS = 5.0  # of a toy that the brush paints, in units
PLAYED = 60  # frames of random play before a frame is taken, at most
HELD = 6  # frames that an action of it is held


def in_looks(count: int, seed: int, height: int, width: int) -> dict[str, np.ndarray]:
    """Real frames of so many rooms in every look, the first look the one that the world shows: uint8
    `[count, height, width, 3]` each."""
    env, rooms = ToyboxEnv(height, width), []
    for i in range(count):
        rng = np.random.default_rng([seed, i, 11])
        env.reset(seed=seed + i)
        for _ in range(int(rng.integers(PLAYED // HELD))):
            action = np.int64(rng.integers(len(Act)))
            for _ in range(HELD):
                env.step(action)
        rooms.append(env.room.copy())
    made = {}
    for look in LOOKS:
        for room in rooms:
            room.look = look
        made[look] = np.stack([env.view.render(room) for room in rooms])
    return made


def restored(frames: np.ndarray, look: str) -> np.ndarray:
    """Frames uint8 `[n, H, W, 3]` in a look, their colours stretched so that toys have the hues that the detector
    knows: a look mixes all six with one colour."""
    shown = np.array(LOOKS[look].toys, float)
    slope, offset = np.polyfit(shown.reshape(-1), HUES.reshape(-1), 1)
    return np.clip(np.rint(frames * slope + offset), 0, 255).astype(np.uint8)


class Brush:
    """A `worldsim.runtime.events.Painter` that paints toys as they are, by day.

    Args:
        height: of the frames.
    """

    def __init__(self, height: int):
        self.cell = (height // 4, height // 4)
        self._scale = height / UNITS

    def __call__(self, frame: np.ndarray, region: np.ndarray, thing: str, seed: int) -> np.ndarray:
        """The frame uint8 `[H, W, 3]` with a toy on the floor in the middle of the region; if it is "", with what is
        around the region in it."""
        if not thing:
            return np.asarray(cv2.inpaint(frame, region.astype(np.uint8), 3, cv2.INPAINT_TELEA), np.uint8)
        colour, noun = thing.split()
        painted, look = frame.copy(), LOOKS["day"]
        columns = np.flatnonzero(region.any(0))
        middle = (int(columns[0]) + int(columns[-1]) + 1) / 2
        for parts in (shadow(look, RADIUS), toy_parts(NOUNS.index(noun), RADIUS, PALETTE[colour])):
            self._lay(painted, parts, middle)
        return painted

    def _lay(self, frame: np.ndarray, parts: list[Part], x: float) -> None:
        row = GROUND * self._scale
        left, top, colours, keep = rasterise(parts, self._scale, x % 1, row % 1)
        y0, x0 = top + int(row), left + int(x)
        place = np.s_[y0 : y0 + colours.shape[0], x0 : x0 + colours.shape[1]]
        frame[place] = frame[place] * keep + colours
