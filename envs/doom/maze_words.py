"""A moment in the maze of Doom in plain words: where one is, where one looks, and how far the wall is. Knows no pixels.

tell(env, info["state"], rng)    ("A corridor, the wall is far.", "In the east of the maze, facing north; ...")
"""

from __future__ import annotations

import numpy as np

from worldsim.data.synonyms import Synonyms
from worldsim_envs.doom.maze import NEAR, DoomMazeEnv
from worldsim_envs.played import pick, played_source

FAR = 200.0  # map units: beyond this the wall ahead is far
WINDS = ("east", "north-east", "north", "north-west", "west", "south-west", "south", "south-east")
MIDDLE = (700.0, -400.0)  # map units, of the maze
HALF = 250.0  # of what is called its middle, along either axis


def tell(env: DoomMazeEnv, state: np.ndarray, rng: np.random.Generator) -> tuple[str, ...]:
    """Captions of a moment, each true by itself.

    Args:
        env: not looked at. state: exact, float `[S]`, named by `doom_maze_spec`.
        rng: chooses the phrasing.
    """
    x, y, sin, cos, ahead = (float(v) for v in state)
    wall = "close" if ahead < NEAR else "far" if ahead > FAR else "some steps away"
    view = pick(rng, "a wall close by", "a wall right ahead") if wall == "close" else f"a maze, the wall is {wall}"
    facing = WINDS[round(float(np.arctan2(sin, cos)) / (np.pi / 4)) % len(WINDS)]
    there = f"in the {region(x, y)} of the maze"
    looks = pick(rng, "facing", "looking")
    return (
        f"{view.capitalize()}.",
        f"{there.capitalize()}, {looks} {facing}.",
        f"{there.capitalize()}, {looks} {facing}; the wall is {wall}.",
    )


def region(x: float, y: float) -> str:
    """A part of the maze, by the points of the compass."""
    east, north = x - MIDDLE[0], y - MIDDLE[1]
    across = "" if abs(east) < HALF else "east" if east > 0 else "west"
    up = "" if abs(north) < HALF else "north" if north > 0 else "south"
    return "-".join(filter(None, (up, across))) or "middle"


SYNONYMS = Synonyms(
    phrases={
        "a maze": ("a labyrinth", "rooms and corridors"),
        "the maze": ("the labyrinth",),
        "facing": ("turned",),
        "a wall close by": ("a wall up close", "just before a wall"),
        "a wall right ahead": ("a wall in front",),
        "some steps away": ("a few steps away",),
    },
    contrasts=(WINDS, ("close", "far")),
)
SOURCE = played_source(DoomMazeEnv, tell, sizes=((48, 64), (96, 128)))
