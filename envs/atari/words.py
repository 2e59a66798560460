"""A moment of Freeway in plain words: where the chicken is, which cars are near it, and the score. Knows no pixels.

tell(env, info["state"], rng)    ("The chicken in the third lane.", ...)
"""

from __future__ import annotations

import numpy as np

from worldsim.data.synonyms import Synonyms
from worldsim_envs.atari.freeway import LANES, FreewayEnv
from worldsim_envs.played import pick, played_source

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
TOP, BOTTOM = 23.0 / 210, 183.0 / 210  # of the road, in heights of the frame
MIDDLE = 44 / 160  # of the frame's width, where the chicken walks
CLOSE = 24 / 160  # of the frame's width: nearer than this a car is close


def tell(env: FreewayEnv, state: np.ndarray, rng: np.random.Generator) -> tuple[str, ...]:
    """Captions of a moment, each true by itself.

    Args:
        env: whose frame's size counts. state: exact, float `[S]`, named by `freeway_spec`.
        rng: chooses the phrasing.
    """
    place, lane = where(float(state[0]) / env.world.height)
    chicken = pick(rng, "the chicken", "a chicken")
    score = f"the score is {int(state[1])}"
    told = [f"{chicken.capitalize()} {place}.", f"{chicken.capitalize()} {place}, {score}."]
    if lane is not None:
        apart = float(state[2 + lane]) / env.world.width - MIDDLE
        near = "close" if abs(apart) < CLOSE else "far"
        told.append(f"{chicken.capitalize()} {place}, a car {near} on the {'left' if apart < 0 else 'right'}; {score}.")
    return tuple(told)


def where(height: float) -> tuple[str, int | None]:
    """Where the chicken is, at a height of its middle in heights of the frame: in words, and its lane from below."""
    if height >= BOTTOM:
        return "at the bottom of the road", None
    if height < TOP:
        return "at the top of the road", None
    lane = min(int((BOTTOM - height) / (BOTTOM - TOP) * LANES), LANES - 1)
    return f"in the {ORDINALS[lane]} lane", lane


SYNONYMS = Synonyms(
    phrases={
        "chicken": ("hen", "bird"),
        "the road": ("the street", "the freeway"),
        "lane": ("row",),
        "close": ("near",),
        "far": ("distant",),
        "the score is": ("points:",),
    },
    contrasts=(("at the top", "at the bottom"), ORDINALS, ("left", "right"), ("close", "far")),
)
SOURCE = played_source(FreewayEnv, tell, sizes=((128, 96), (64, 48)))
