"""A moment in the rooms in plain words: which things are in sight and where, and how near the wall is. Knows no pixels.

tell(env, info["state"], rng)    ("A room with a red ball ahead.", "A red ball ahead, close by; the wall is far.")
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from worldsim.data.synonyms import Synonyms
from worldsim.evals.permanence.scene import SHAPES
from worldsim_envs.palette import COLOURS
from worldsim_envs.played import listed, pick, played_source
from worldsim_envs.rooms.env import NEAR, THING_STATE, RoomsEnv
from worldsim_envs.rooms.plan import Plan
from worldsim_envs.rooms.view import AROUND

AHEAD = math.radians(8)  # to either side, a thing is straight ahead
CLOSE, FAR = 1.8, 3.6  # units: nearer than this a thing is close by, beyond that it is far away
BODY_STATE = 5  # numbers of the state before those of the things


def tell(env: RoomsEnv, state: np.ndarray, rng: np.random.Generator) -> tuple[str, ...]:
    """Captions of a moment, the nearest things first, each true by itself.

    Args:
        env: in the episode of the state. state: exact, float `[S]`, named by `rooms_spec`.
        rng: chooses the phrasing.
    """
    seen = in_sight(env.plan, state, env.world.width / (AROUND * env.world.height) * math.pi)
    wall = "close" if state[4] < NEAR else "far" if state[4] > FAR else "some steps away"
    place = pick(rng, "a room", "inside a room")
    if not seen:
        nothing = pick(rng, "nothing but walls", "no things", "an empty view")
        return (f"A room with {nothing}.", f"{nothing.capitalize()}, and the wall is {wall}.")
    names = [f"a {colour} {shape}" for _, _, colour, shape in seen]
    placed = [f"{name} {_where(side, rng)}" for name, (_, side, *_) in zip(names, seen, strict=True)]
    far = [f"{text}, {_how_far(distance)}" for text, (distance, *_) in zip(placed, seen, strict=True)]
    return (
        f"{place.capitalize()} with {listed(names)}.",
        f"{place.capitalize()} with {listed(placed)}.",
        f"{'; '.join(far)}; the wall is {wall}.".capitalize(),
    )


def in_sight(plan: Plan, state: np.ndarray, half: float) -> list[tuple[float, float, str, str]]:
    """Things whose middle is in sight, as (distance, angle to the left, colour, shape), the nearest first.

    Args:
        plan: of the building. half: of the angle of view, in radians.
    """
    x, y, sin, cos = (float(v) for v in state[:4])
    things = state[BODY_STATE:].reshape(len(COLOURS), len(THING_STATE))
    walls = plan.walls()
    found = []
    for colour, (there, tx, ty, radius, shape) in zip(COLOURS, things, strict=True):
        dx, dy = float(tx) - x, float(ty) - y
        left = math.atan2(dy * cos - dx * sin, dx * cos + dy * sin)
        distance = math.hypot(dx, dy)
        if there and abs(left) < half and not _hidden(walls, (x, y), (float(tx), float(ty))):
            found.append((distance - float(radius), left, colour, SHAPES[int(shape)]))
    return sorted(found)


def _hidden(walls: np.ndarray, eye: tuple[float, float], thing: tuple[float, float]) -> bool:
    """Whether a wall `[w, 4]` is between two points: the two lines cross."""
    begin, end = walls.T[:2].astype(float), walls.T[2:].astype(float)
    across = _side(eye, thing, begin) * _side(eye, thing, end) < 0
    apart = _side(begin, end, eye) * _side(begin, end, thing) < 0
    return bool((across & apart).any())


def _side(a: Any, b: Any, point: Any) -> Any:
    """On which side of the line from a to b a point lies, by its sign."""
    return (b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0])


def _where(left: float, rng: np.random.Generator) -> str:
    if abs(left) < AHEAD:
        return pick(rng, "ahead", "straight ahead")
    side = "left" if left > 0 else "right"
    return pick(rng, f"to the {side}", f"on the {side}")


def _how_far(distance: float) -> str:
    return "close by" if distance < CLOSE else "far away" if distance > FAR else "some steps away"


SYNONYMS = Synonyms(
    phrases={
        "a room": ("a chamber", "an indoor room"),
        "inside a room": ("in a room", "indoors"),
        "nothing but walls": ("bare walls", "only walls"),
        "an empty view": ("nothing to find", "nothing in sight"),
        "ball": ("sphere",),
        "box": ("cube", "block"),
        "straight ahead": ("in front", "in the middle"),
        "ahead": ("in front",),
        "close by": ("near", "nearby"),
        "far away": ("in the distance", "far off"),
        "some steps away": ("a few steps away",),
    },
    joins=(", ", " with "),
    contrasts=(("left", "right"), ("close by", "far away"), ("ball", "box", "cone", "cross"), COLOURS),
)
SOURCE = played_source(RoomsEnv, tell, sizes=((64, 64), (48, 48), (64, 96), (96, 96)), unseen=((80, 96),))
