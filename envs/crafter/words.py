"""A moment of Crafter in plain words: where one is, what is near, what is carried, day or night. Knows no pixels.

    describe(info["state"], rng, "medium")    "A meadow by day. Trees to the left; a cow 3 steps above."

What is said is true also of what the night hides. Which of several phrasings is taken, the generator decides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worldsim.errors import WorldsimError
from worldsim_envs.crafter.names import COLUMNS, ITEMS, ROWS, STATE, TILE, TILES, TOOLS, VITALS

LENGTHS = ("short", "medium", "long")
MENTIONED = {"short": 2, "medium": 4, "long": 9}  # kinds of things
NOTABLE = ("zombie", "skeleton", "arrow", "lava", "diamond", "table", "furnace", "ripe plant", "plant", "cow", "iron",
           "coal", "water", "tree", "stone", "sand", "path", "grass")  # the most notable first  # fmt: skip
MASSES = ("water", "grass", "stone", "sand", "lava", "coal", "iron", "path")
CALLED = {"plant": "sapling", "path": "bare rock"}
FACES = {(-1, 0): "left", (1, 0): "right", (0, -1): "up", (0, 1): "down"}
GROUNDS = {"grass": ("a meadow", "grassland"), "sand": ("a beach", "sand"), "path": ("a cave", "a tunnel in the rock")}
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LOW = 3  # of a vital: worth a word
AT = {name: index for index, name in enumerate(STATE)}


def describe(state: np.ndarray, rng: np.random.Generator, length: str = "medium") -> str:
    """A moment in words.

    Args:
        state: exact, float `[S]`, named by `names.STATE`.
        rng: chooses the phrasing.
        length: one of `LENGTHS`. "short" names the place, the time of day and what is most notable; "medium" adds
            where that is, and what is low; "long" adds the rest of the view, what is carried and where one faces.

    Raises:
        WorldsimError: for an unknown length.
    """
    if length not in LENGTHS:
        raise WorldsimError(f"no length {length!r} of a description; there are {', '.join(LENGTHS)}")
    tiles = state[AT["tile_0_0"] :].astype(int).reshape(ROWS, COLUMNS)
    ground, near = scene(tiles, length)
    place = f"{_pick(rng, GROUNDS[ground])} {_time(state, rng)}"
    if length == "short":
        named = _list([_named(name, int((tiles == TILE[name]).sum())) for name in near])
        return _sentence(f"{place}{_pick(rng, (' with ', ', ')) + named if named else ''}")
    phrases = [_phrase(name, tiles, rng) for name in near]
    sentences = [place, _pick(rng, ("; ", ", ")).join(phrases)]
    if state[AT["sleeping"]]:
        sentences.append(_pick(rng, ("the player sleeps", "the player is asleep", "asleep")))
    low = [vital for vital in VITALS if state[AT[vital]] <= LOW]
    if low:
        sentences.append(f"{_list(low)} {_pick(rng, ('low', 'running out'))}")
    if length == "long":
        sentences += [bag(state, rng), _list([f"{vital} {int(state[AT[vital]])}" for vital in VITALS])]
        facing = int(state[AT["facing_x"]]), int(state[AT["facing_y"]])
        sentences.append(f"the player faces {FACES[facing]}")
    return " ".join(_sentence(sentence) for sentence in sentences if sentence)


def bag(state: np.ndarray, rng: np.random.Generator) -> str:
    """What is carried, exactly, in a sentence; arguments as those of `describe`."""
    have = {item: int(state[AT[item]]) for item in ITEMS if item not in VITALS and state[AT[item]]}
    stuff = [f"{NUMBERS[n]} {item}" for item, n in have.items() if item not in TOOLS]
    tools = [_named(item.replace("_", " "), n) for item, n in have.items() if item in TOOLS]
    if not have:
        return _sentence(_pick(rng, ("nothing is carried", "empty-handed")))
    return _sentence(f"{_pick(rng, ('carried are', 'in the bag'))} {_list(stuff + tools)}")


def scene(tiles: np.ndarray, length: str) -> tuple[str, list[str]]:
    """The ground, and what is most notable on tiles `[7, 9]`, as many as a description of that length mentions."""
    ground = _ground(tiles)
    near = [name for name in NOTABLE if name != ground and (tiles == TILE[name]).any()]
    return ground, near[: MENTIONED[length]]


def _ground(tiles: np.ndarray) -> str:
    """What there is most to walk on near the player."""
    near = tiles[ROWS // 2 - 2 : ROWS // 2 + 3, COLUMNS // 2 - 2 : COLUMNS // 2 + 3]
    return max(GROUNDS, key=lambda name: int((near == TILE[name]).sum()))


def _time(state: np.ndarray, rng: np.random.Generator) -> str:
    light, morning = state[AT["daylight"]], state[AT["steps"]] % 300 > 200
    if light > 0.75:
        return _pick(rng, ("by day", "in daylight"))
    if light > 0.35:
        return _pick(rng, ("at dawn", "in the early morning") if morning else ("at dusk", "as night falls"))
    return _pick(rng, ("at night", "in the dark"))


def _named(name: str, count: int) -> str:
    """A kind of thing by its number: "water", "a cow", "three trees", "many trees"."""
    called = CALLED.get(name, name)
    if name in MASSES:
        return called
    if count == 1:
        return f"{'an' if called[0] in 'aeiou' else 'a'} {called}"
    return f"{NUMBERS[count] if count < len(NUMBERS) else 'many'} {called}s"


def _phrase(name: str, tiles: np.ndarray, rng: np.random.Generator) -> str:
    """A kind of thing, and where the nearest of it is."""
    rows, columns = np.nonzero(tiles == TILE[name])
    dx, dy = columns - COLUMNS // 2, rows - ROWS // 2
    steps = np.abs(dx) + np.abs(dy)
    nearest = int(steps.argmin())
    named, far, way = _named(name, len(rows)), int(steps[nearest]), _way(int(dx[nearest]), int(dy[nearest]))
    steps_away = "just" if far == 1 else f"{far} steps" if rng.random() < 0.5 else ""
    where = f"{steps_away} {way}".strip()
    return f"{named} {where}" if len(rows) == 1 or name in MASSES else f"{named}, the nearest {where}"


def _way(dx: int, dy: int) -> str:
    """A direction as seen in the frame."""
    side = "" if abs(dy) > 2 * abs(dx) else "left" if dx < 0 else "right"
    height = "" if abs(dx) > 2 * abs(dy) else "above" if dy < 0 else "below"
    if side and height:
        return f"{height} to the {side}"
    return f"to the {side}" if side else height


def _pick(rng: np.random.Generator, phrases: Sequence[str]) -> str:
    return phrases[int(rng.integers(len(phrases)))]


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:].rstrip('.')}."


def _list(names: list[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)


assert set(NOTABLE) == set(TILES) - {"outside", "player"}
