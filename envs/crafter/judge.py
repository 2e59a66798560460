"""Whether frames keep Crafter's rules: what is done has its effect, and nothing happens without a cause.

    reading = TileReader(72, 72).read(frames)
    kept = judge(reading, actions)          # {"collect": Kept(occasions=31, kept=30), ...}

Each rule looks at one step at a time, asks whether it has anything to say of it, and if so whether it was kept. Steps
that begin or end asleep are left out, and so are tiles that can't be read. Pure functions of arrays: readings of
generated frames and of exact states alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from worldsim_envs.crafter.names import (
    ACTIONS,
    COLLECT,
    COLUMNS,
    ITEMS,
    NEARBY,
    OBJECTS,
    ONTO,
    ROWS,
    TILE,
    TILES,
    TOOLS,
    USES,
    VITALS,
    WALKABLE,
)
from worldsim_envs.crafter.reader import Reading

MOST = 9  # of one item
MOVES = {"move_left": (-1, 0), "move_right": (1, 0), "move_up": (0, -1), "move_down": (0, 1)}
STUFF = tuple(item for item in ITEMS if item not in (*VITALS, *TOOLS))
DAY = 300  # steps
GROUND_KEPT = 0.95  # the share of legible tiles that is where it should be after a step


@dataclasses.dataclass
class Kept:
    """How often a rule had something to say, and how often it was kept."""

    occasions: int = 0
    kept: int = 0

    @property
    def share(self) -> float:
        """Kept by occasion; not a number if there was none."""
        return self.kept / self.occasions if self.occasions else float("nan")


@dataclasses.dataclass(frozen=True)
class Step:
    """One step: the tiles `[7, 9]`, which of them are legible and the inventory, before and after; the action's name
    and where the player faces before it."""

    action: str
    facing: tuple[int, int]
    tiles: np.ndarray
    legible: np.ndarray
    have: dict[str, int]
    tiles_after: np.ndarray
    legible_after: np.ndarray
    have_after: dict[str, int]

    def beside(self, way: tuple[int, int], after: bool = False) -> str:
        """The tile next to the player, or "" where it can't be read."""
        at = ROWS // 2 + way[1], COLUMNS // 2 + way[0]
        tiles, legible = (self.tiles_after, self.legible_after) if after else (self.tiles, self.legible)
        return TILES[tiles[at]] if legible[at] else ""

    def near(self, tiles: tuple[str, ...]) -> bool | None:
        """Whether all of them are within one step, also diagonally; None where that can't be read."""
        about = slice(ROWS // 2 - 1, ROWS // 2 + 2), slice(COLUMNS // 2 - 1, COLUMNS // 2 + 2)
        return bool(np.isin([TILE[t] for t in tiles], self.tiles[about]).all()) if self.legible[about].all() else None

    def gained(self, item: str) -> int:
        """How many more there are of an item."""
        return self.have_after[item] - self.have[item]

    def affords(self) -> bool:
        """Whether there is what the action uses."""
        return all(self.have[item] >= count for item, count in USES.get(self.action, {}).items())


def judge(reading: Reading, actions: np.ndarray) -> dict[str, Kept]:
    """How well each rule of `RULES` is kept by frames `[T + 1]` and the actions `[T]` between them."""
    found = {name: Kept() for name in RULES}
    for step in steps(reading, actions):
        for name, rule in RULES.items():
            kept = rule(step)
            if kept is not None:
                found[name].occasions += 1
                found[name].kept += kept
    return found


def steps(reading: Reading, actions: np.ndarray) -> list[Step]:
    """The steps that begin and end awake and alive."""
    have = [dict(zip(ITEMS, row, strict=True)) for row in reading.inventory.tolist()]
    awake = ~reading.sleeping & (reading.inventory[:, ITEMS.index("health")] > 0)
    return [
        Step(
            ACTIONS[action],
            (int(reading.facing[t][0]), int(reading.facing[t][1])),
            reading.tiles[t],
            reading.legible[t],
            have[t],
            reading.tiles[t + 1],
            reading.legible[t + 1],
            have[t + 1],
        )
        for t, action in enumerate(actions)
        if awake[t] and awake[t + 1]
    ]


def collect(step: Step) -> bool | None:
    """Doing something to a tile that can be collected, with its tool: one more of the item, and the tile is gone."""
    tile = step.beside(step.facing)
    if step.action != "do" or tile not in COLLECT or tile == "grass":
        return None
    item, tool, left = COLLECT[tile]
    works = not tool or step.have[tool] > 0
    gained = min(1, MOST - step.have[item]) if works else 0
    there = left if works else tile
    return step.gained(item) == gained and step.beside(step.facing, after=True) in (there, "", *movers(there))


def place(step: Step) -> bool | None:
    """Placing: what is placed stands there, and is paid for; where it can't be, neither."""
    tile, placed = step.beside(step.facing), step.action.removeprefix("place_")
    if not step.action.startswith("place_") or not tile:
        return None
    works = step.affords() and tile in ONTO[step.action]
    paid = all(step.gained(item) == -(count if works else 0) for item, count in USES[step.action].items())
    if tile in OBJECTS:  # which goes its own way
        return paid
    stands = placed if works else tile
    return paid and step.beside(step.facing, after=True) in (stands, "", *movers(stands))


def make(step: Step) -> bool | None:
    """Making a tool: with the material and beside a table, and for iron a furnace too; else nothing is made or paid."""
    near = step.near(NEARBY[step.action]) if step.action in NEARBY else None
    if near is None:
        return None
    tool, works = step.action.removeprefix("make_"), near and step.affords()
    paid = all(step.gained(item) == -(count if works else 0) for item, count in USES[step.action].items())
    return paid and step.gained(tool) == (min(1, MOST - step.have[tool]) if works else 0)


def nothing_from_nothing(step: Step) -> bool:
    """Stuff is won only by doing something and lost only by placing and making; tools are only ever made."""
    won = [item for item in (*STUFF, *TOOLS) if step.gained(item) > 0]
    lost = [item for item in (*STUFF, *TOOLS) if step.gained(item) < 0]
    may_win = STUFF if step.action == "do" else (step.action.removeprefix("make_"),)
    return set(won) <= set(may_win) and set(lost) <= set(USES.get(step.action, ()))


def vitals(step: Step) -> bool:
    """Food, drink and energy fall by one at most, and food and drink rise only by doing something."""
    fed = step.action == "do"
    drink, food, energy = (step.gained(item) for item in ("drink", "food", "energy"))
    return (
        min(drink, food, energy) >= -1
        and drink <= fed
        and food <= 6 * fed
        and energy <= 0
        and step.gained("health") <= 1
    )


def move(step: Step) -> bool | None:
    """A step onto free ground moves the view by one tile, and any other key, or a step against something, doesn't."""
    way = MOVES.get(step.action, (0, 0))
    ahead = step.beside(way) if way != (0, 0) else ""
    if step.action in MOVES and ahead not in TILES:
        return None
    dx, dy = way if ahead in (*WALKABLE, "lava") else (0, 0)
    before = step.tiles[max(dy, 0) : ROWS + min(dy, 0), max(dx, 0) : COLUMNS + min(dx, 0)]
    after = step.tiles_after[max(-dy, 0) : ROWS + min(-dy, 0), max(-dx, 0) : COLUMNS + min(-dx, 0)]
    legible = step.legible[max(dy, 0) : ROWS + min(dy, 0), max(dx, 0) : COLUMNS + min(dx, 0)]
    legible = legible & step.legible_after[max(-dy, 0) : ROWS + min(-dy, 0), max(-dx, 0) : COLUMNS + min(-dx, 0)]
    still = legible & (before < TILE["player"]) & (after < TILE["player"])  # creatures go where they like
    return bool((before == after)[still].mean() >= GROUND_KEPT) if still.sum() >= ROWS else None


RULES: dict[str, Callable[[Step], bool | None]] = {
    "collect": collect,
    "place": place,
    "make": make,
    "nothing from nothing": nothing_from_nothing,
    "vitals": vitals,
    "move": move,
}


def daylight(step: np.ndarray | float) -> np.ndarray:
    """How light it is so many steps after the start, 0 to 1."""
    return np.asarray(1 - np.abs(np.cos(np.pi * (np.asarray(step) / DAY % 1 + 0.3))) ** 3)


def night_falls(reading: Reading, start: int) -> float:
    """The mean error of daylight, 0 to 1, in frames that begin so many steps after the start of an episode."""
    return float(np.abs(reading.daylight - daylight(start + np.arange(len(reading.daylight)))).mean())


def last_seen(places: np.ndarray) -> np.ndarray:
    """How many steps ago each tile of the view was last in view, int `[T, 7, 9]`; 0 for those never seen before.

    Args:
        places: of the player, int `[T, 2]`: x, y. For a tile that comes back into view this tells how long it was
            away, and what a model shows there it must remember.
    """
    seen: dict[tuple[int, int], int] = {}
    ago = np.zeros((len(places), ROWS, COLUMNS), int)
    for t, (x, y) in enumerate(places.astype(int).tolist()):
        for row, column in np.ndindex(ROWS, COLUMNS):
            cell = x + column - COLUMNS // 2, y + row - ROWS // 2
            ago[t, row, column] = t - seen.get(cell, t)
            seen[cell] = t
    return ago


def movers(ground: str) -> tuple[str, ...]:
    """What may have stepped onto a tile since."""
    return ("cow", "zombie", "skeleton", "arrow") if ground in WALKABLE else ("arrow",) if ground == "water" else ()
