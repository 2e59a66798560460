"""A moment of take cover in plain words: how many imps and fireballs, which comes next, and where one stands. Knows no
pixels.

    tell(env, info["state"], rng)    ("Three imps.", "Three imps and one fireball, which comes straight on, close.")
"""

from __future__ import annotations

import numpy as np

from worldsim.data.synonyms import Synonyms
from worldsim_envs.doom.take_cover import FAR, DoomTakeCoverEnv
from worldsim_envs.played import pick, played_source

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
CLOSE = 160.0  # map units ahead: nearer than this a fireball is close
ASIDE = 24.0  # map units to either side: within this it comes straight on
PLACES = ((200.0, "at the right"), (568.0, "in the middle"), (np.inf, "at the left"))  # from the wall on the right
FIRST = 8  # of the numbers of fireballs in the state


def tell(env: DoomTakeCoverEnv, state: np.ndarray, rng: np.random.Generator) -> tuple[str, ...]:
    """Captions of a moment, each true by itself; what is counted is in the picture.

    Args:
        env: not looked at. state: exact, float `[S]`, named by `doom_take_cover_spec`.
        rng: chooses the phrasing.
    """
    imps, balls = (int(v) for v in state[6:8])
    counted = f"{_many(imps, 'imp')} and {_many(balls, 'fireball')}"
    place = next(name for edge, name in PLACES if state[0] < edge)
    stands = pick(rng, "the player stands", "we stand", "standing")
    ahead, left = (float(v) for v in state[FIRST : FIRST + 2])
    told = [f"{_many(imps, 'imp').capitalize()}.", f"{counted.capitalize()}, {stands} {place} of the room."]
    if ahead < FAR and abs(left) < ahead:
        way = "straight on" if abs(left) < ASIDE else f"on the {'left' if left > 0 else 'right'}"
        far = "close" if ahead < CLOSE else "far away"
        told.append(f"{counted.capitalize()}, the nearest comes {way}, {far}; {stands} {place} of the room.")
    return tuple(told)


def _many(count: int, thing: str) -> str:
    number = NUMBERS[count] if count < len(NUMBERS) else "many"
    return f"{number} {thing}{'' if count == 1 else 's'}"


SYNONYMS = Synonyms(
    phrases={
        "imp": ("monster", "demon"),
        "imps": ("monsters", "demons"),
        "fireball": ("ball of fire",),
        "fireballs": ("balls of fire",),
        "straight on": ("right at us",),
        "far away": ("in the distance",),
        "the player stands": ("the player is",),
        "we stand": ("we are",),
        "in the middle of the room": ("in the centre of the room",),
    },
    joins=(", ", " with "),
    contrasts=(("at the left", "at the right", "in the middle"), ("close", "far away"), NUMBERS),
)
SOURCE = played_source(DoomTakeCoverEnv, tell, sizes=((48, 64), (96, 128)))
