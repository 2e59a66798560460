"""Players of Crafter, good and bad: they gather, build, make tools, fight, eat, drink, plant, sleep and look around.

How good is drawn for each episode. What they are about is a script: a generator of actions that reads the player's
state as it is at each of its steps. Walks go away and come back, for that is what a model must remember.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator
from typing import Any

import numpy as np

from worldsim_envs.crafter.names import (
    ACTION,
    ACTIONS,
    COLLECT,
    COLUMNS,
    ITEMS,
    NEARBY,
    ONTO,
    ROWS,
    STATE,
    TILE,
    USES,
    WALKABLE,
)
from worldsim_policies.scripted.crafter_paths import DIRECTIONS, DUG, Cell, Ground

Script = Generator[int, None, None]  # of actions
Attempt = Generator[int, None, bool]  # the same, and at last whether it worked
MOVES = {way: ACTION[f"move_{name}"] for way, name in zip(DIRECTIONS, ("left", "right", "up", "down"), strict=True)}
NOOP, DO, SLEEP, STONE = (ACTION[name] for name in ("noop", "do", "sleep", "place_stone"))
SOURCE = {item: tile for tile, (item, *_) in COLLECT.items()}
ZOMBIE, SKELETON = TILE["zombie"], TILE["skeleton"]
ENEMIES, CREATURES = ("zombie", "skeleton"), ("cow", "zombie", "skeleton")
LADDER = ("make_wood_pickaxe", "make_wood_sword", "place_plant", "make_stone_pickaxe", "make_stone_sword",
          "place_furnace", "make_iron_pickaxe", "make_iron_sword", "collect_diamond")  # fmt: skip
KEYS = np.array([0.04, *[0.14] * 4, 0.16, 0.02, 0.05, 0.03, 0.02, 0.03, *[0.015] * 6])  # how often keys are tried
FIGHT = 7  # the greatest urgency
AGAIN = {"fight": 4, "drink": 25, "food": 20, "health": 12, "energy": 40}  # steps until a need is felt again
DAY, NOON, EVENING, DUSK, DAWN = 300, 60, 100, 135, 265  # steps of a day, and of it
INDEX = {name: index for index, name in enumerate(STATE)}


class CrafterExplorer:
    """Chooses actions from `info["state"]` and `info["map"]`; without them, as in a world that is only seen, it tries
    keys.

    Args:
        rng: decides everything else.
    """

    def __init__(self, rng: np.random.Generator):
        self._rng = rng
        self.reset()

    def reset(self) -> None:
        """A new episode, and another player."""
        self._skill = 0.0 if self._rng.random() < 0.12 else 1 - 0.6 * self._rng.random() ** 2
        self._scripts: list[tuple[int, Script]] = []  # how urgent each is; the last one runs, the others wait
        self._now, self._not_before = 0, dict.fromkeys(AGAIN, 0)
        low, high = (2, 2, 2, 2), (7, 7, 6, 6)
        self._thirsty, self._hungry, self._tired, self._careful = self._rng.integers(low, high).tolist()

    def __call__(self, observation: np.ndarray, info: dict[str, Any]) -> int:
        """The next action."""
        self._now += 1
        if "map" not in info or self._skill == 0:
            return self._next(self._keys)
        self._see(info)
        if self._state("sleeping"):
            return int(self._rng.choice([SLEEP, DO, NOOP, self._key()], p=[0.45, 0.1, 0.1, 0.35]))
        if self._rng.random() < 0.01 + 0.08 * (1 - self._skill):
            key = self._key()
            if not self._deadly(key):
                return key
        if (need := self._need()) is not None:
            fighting = need[0] == FIGHT  # which is soon over; anything else takes so long that nothing waits for it
            self._scripts = [*(self._scripts if fighting else ()), need]
        action = self._next(self._decide)
        return NOOP if self._deadly(action) else action

    def _see(self, info: dict[str, Any]) -> None:
        self._seen = info["state"]
        self._have = dict(zip(ITEMS, self._seen[INDEX[ITEMS[0]] :].astype(int).tolist(), strict=False))
        self._at: Cell = int(self._seen[0]), int(self._seen[1])
        self._facing: Cell = int(self._seen[2]), int(self._seen[3])
        self._view, self._tiles = info["semantic"], info["map"]
        self._map: Ground | None = None

    def _state(self, name: str) -> float:
        return float(self._seen[INDEX[name]])

    @property
    def _ground(self) -> Ground:
        """The map as it is now."""
        if self._map is None:
            self._map = Ground(self._tiles, self._diggable, self._have["stone"] > 2)
        return self._map

    @property
    def _diggable(self) -> list[str]:
        return [tile for tile in DUG if self._have[COLLECT[tile][1]]]

    @property
    def _front(self) -> Cell:
        return self._at[0] + self._facing[0], self._at[1] + self._facing[1]

    def _next(self, decide: Callable[[], Script]) -> int:
        """The next action of the script, of the one that waits for it, or of another."""
        for _ in range(9):
            if not self._scripts:
                self._scripts = [(0, decide())]
            for action in self._scripts[-1][1]:
                return action
            self._scripts.pop()
        return self._key()

    def _deadly(self, action: int) -> bool:
        """Whether it is a step into lava."""
        return any(
            move == action and self._ground.at((self._at[0] + dx, self._at[1] + dy)) == "lava"
            for (dx, dy), move in MOVES.items()
        )

    def _key(self) -> int:
        return int(self._rng.choice(len(ACTIONS), p=KEYS / KEYS.sum()))

    # What to do.

    def _need(self) -> tuple[int, Script] | None:
        """What can't wait, and how urgent it is: an enemy, thirst, hunger, night or tiredness."""
        have, evening = self._have, 3 if EVENING < self._state("steps") % DAY < DUSK else 0
        needs = (
            ("fight", self._enemies(3) and self._attacked(), self._fight),
            ("drink", have["drink"] <= 1, self._drink),
            ("food", have["food"] <= 1, self._eat),
            ("health", have["health"] <= self._careful or self._night, self._hide),
            ("drink", have["drink"] <= self._thirsty + evening, self._drink),
            ("food", have["food"] <= self._hungry + evening, self._eat),
            ("energy", have["energy"] <= self._tired, self._rest),
        )
        at_least = self._scripts[-1][0] if self._scripts else 0
        for urgency, (name, felt, script) in zip(range(FIGHT, at_least, -1), needs, strict=False):
            if felt and self._now >= self._not_before[name]:
                self._not_before[name] = self._now + AGAIN[name]
                if self._rng.random() < 0.2 + 0.8 * self._skill:
                    return urgency, script()
        return None

    def _decide(self) -> Script:
        """What to do when nothing presses: get on, or something else for a while."""
        others = (self._away, self._stones, self._gather_some, self._hunt, self._still, self._keys, self._try_anything)
        if self._rng.random() < 0.3 + 0.6 * self._skill:
            return self._get_on()
        return others[self._rng.choice(len(others), p=[0.34, 0.16, 0.14, 0.1, 0.1, 0.12, 0.04])]()

    def _get_on(self) -> Script:
        """The next thing that was never done; when all is done, something of it again."""
        if self._ground.cells(("ripe plant",)) and self._rng.random() < 0.7:
            return self._harvest()
        if self._have["stone"] > 3 and self._rng.random() < 0.2:
            return self._wall_in() if self._ground.cells(("plant",)) else self._plant()
        goals = [goal for goal in self._left()[:3] if self._rng.random() < 0.8] or LADDER
        goal = goals[0] if goals is not LADDER else LADDER[self._rng.integers(len(LADDER))]
        if self._have["wood_pickaxe"] and self._have["wood"] < 4 and self._rng.random() < self._skill:
            return self._gather("wood", 6)  # for a table wherever it will be needed
        if goal == "collect_diamond":
            return self._gather("diamond", 1)
        if goal == "place_plant":
            return self._plant()
        return self._build(goal) if goal.startswith("place") else self._make(goal)

    def _left(self) -> list[str]:
        return [goal for goal in LADDER if not self._state(goal)]

    def _gather_some(self) -> Script:
        item = ("wood", "stone", "coal", "iron", "sapling")[self._rng.integers(5)]
        yield from self._gather(item, int(self._rng.integers(1, 5)))

    def _gather(self, item: str, count: int) -> Script:
        """So many of an item, with the tool it needs."""
        source = SOURCE[item]
        tool = COLLECT[source][1]
        if tool and not self._have[tool]:
            yield from self._make(f"make_{tool}")
            if not self._have[tool]:
                return
        wanted = min(self._have[item] + count, 9)
        for _ in range(count + 3):
            if self._have[item] >= wanted or not (yield from self._face((source,))):
                return
            for _ in range(30 if item == "sapling" else 1):
                if self._have[item] < wanted and self._ground.at(self._front) == source:
                    yield DO

    def _supply(self, action: str) -> Script:
        """Gather what an action uses."""
        for item, count in USES[action].items():
            if self._have[item] < count:
                spare = int(self._rng.integers(0, 2 + int(5 * self._skill))) if item in ("wood", "stone") else 0
                yield from self._gather(item, count - self._have[item] + spare)

    def _make(self, action: str) -> Script:
        """A tool, with all that it needs; gives up where something can't be had."""
        yield from self._supply(action)
        for station in NEARBY[action]:
            if not (yield from self._station(station)):
                return
        if not self._near(NEARBY[action]):
            yield from self._station("table")
        if self._affords(action):
            yield ACTION[action]

    def _station(self, name: str) -> Attempt:
        """Go to a table or furnace, or place one here; whether it is within reach."""
        if self._near((name,)):
            return True
        way = self._ground.way(self._at, self._ground.cells((name,)), 25)
        if way is None or (name == "furnace" and len(way) > 3 and self._near(("table",))):
            yield from self._build(f"place_{name}")
        else:
            yield from self._face((name,))
        return self._near((name,))

    def _build(self, action: str) -> Script:
        """Place a table, furnace or plant; a furnace beside a table, so that both are within reach."""
        yield from self._supply(action)
        if not self._affords(action):
            return
        if action == "place_furnace" and not self._near(("table",)):
            yield from self._station("table")
        for _ in range(12):
            if self._ground.at(self._front) in ONTO[action]:
                yield ACTION[action]
                return
            yield self._sidestep(keep=("table",) if self._near(("table",)) else ())

    def _sidestep(self, keep: Collection[str] = ()) -> int:
        """A step to a free place beside, or the first blow at what is in the way; some tiles stay within reach."""
        moves = []
        for dx, dy in DIRECTIONS:
            there = self._at[0] + dx, self._at[1] + dy
            if self._ground.at(there) in WALKABLE and (not keep or self._near(keep, there)):
                moves.append(MOVES[dx, dy])
        if self._ground.at(self._front) in DUG and self._have["wood_pickaxe"] and self._rng.random() < 0.7:
            return DO
        return int(self._rng.choice(moves or list(MOVES.values())))

    def _affords(self, action: str) -> bool:
        return all(self._have[item] >= count for item, count in USES[action].items())

    def _near(self, tiles: Collection[str], at: Cell | None = None) -> bool:
        """Whether all of them are within one step, also diagonally."""
        x, y = at or self._at
        there = {self._ground.at((x + dx, y + dy)) for dx in (-1, 0, 1) for dy in (-1, 0, 1)}
        return all(tile in there for tile in tiles)

    def _plant(self) -> Script:
        """Plant a sapling, and mostly wall it in, so that nobody tramples it."""
        yield from self._build("place_plant")
        yield from self._wall_in()

    def _wall_in(self) -> Script:
        """Stones round the nearest plant, so that nobody tramples it."""
        plants = self._ground.way(self._at, self._ground.cells(("plant",)), 25)
        if plants is None:
            return
        plant = plants[-1]
        for dx, dy in DIRECTIONS:
            side = plant[0] + dx, plant[1] + dy
            if self._ground.at(side) in WALKABLE or side == self._at:
                if not self._have["stone"]:
                    return
                yield from self._lay(side)

    def _lay(self, cell: Cell) -> Script:
        """A stone onto a free place: come straight at it, for one faces where one walks."""
        for dx, dy in DIRECTIONS:
            before, start = (cell[0] - dx, cell[1] - dy), (cell[0] - 2 * dx, cell[1] - 2 * dy)
            if self._ground.at(before) not in (*WALKABLE, "player") or self._ground.at(start) not in (
                *WALKABLE,
                "player",
            ):
                continue
            way = self._ground.way(self._at, [start], 12) if self._at != start else []
            if way is not None and (yield from self._follow([*way, before])) and self._front == cell:
                if self._ground.at(cell) in ONTO["place_stone"]:
                    yield STONE
                return

    def _harvest(self) -> Script:
        if (yield from self._face(("ripe plant",))):
            yield DO

    def _drink(self) -> Script:
        if (yield from self._face(("water",))):
            for _ in range(9 if self._rng.random() < self._skill else int(self._rng.integers(1, 9))):
                if self._have["drink"] < 9:
                    yield DO

    def _eat(self) -> Script:
        if self._ground.cells(("ripe plant",)):
            yield from self._harvest()
        else:
            yield from self._strike(("cow",), 90)

    def _hunt(self) -> Script:
        kinds = (("skeleton",), ("zombie",), ("cow",), ("skeleton",))[self._rng.integers(4)]
        yield from self._strike(kinds, 40)

    def _fight(self) -> Script:
        yield from self._strike(ENEMIES, 6)

    def _strike(self, kinds: Collection[str], far: int) -> Script:
        """Go to the nearest of them and strike until it is gone."""
        for _ in range(60):
            if self._ground.at(self._front) in kinds:
                yield DO
                continue
            way = self._ground.way(self._at, self._ground.cells(kinds), far)
            if way is None:
                return
            yield from self._enter(way[0], 1)

    def _enemies(self, far: int) -> bool:
        """Whether there are any in view within so many steps."""
        rows, columns = np.nonzero((self._view == ZOMBIE) | (self._view == SKELETON))
        return bool(len(rows)) and int((abs(rows - ROWS // 2) + abs(columns - COLUMNS // 2)).min()) <= far

    def _attacked(self) -> bool:
        """Whether an enemy can get here in a few steps."""
        return Ground(self._tiles).way(self._at, self._ground.cells(ENEMIES), 5) is not None

    @property
    def _night(self) -> bool:
        """Whether it is night, or will soon be."""
        return DUSK < self._state("steps") % DAY < DAWN

    def _rest(self) -> Script:
        """Sleep: dug in, or in the open in the morning when nobody is near."""
        sheltered = yield from self._dig_in()
        morning = not self._enemies(9) and self._state("steps") % DAY < NOON
        if sheltered or morning or self._have["energy"] == 0 or self._rng.random() > self._skill:
            if self._have["stone"] and self._ground.at(self._front) in WALKABLE:
                yield STONE
            for _ in range(3):
                yield SLEEP

    def _hide(self) -> Script:
        """Stay in the rock until it is day and all is well: sleep, wait, or dig a tunnel and come back."""
        for _ in range(12):
            if not (yield from self._dig_in()):
                return
            if self._have["energy"] < 9:
                yield SLEEP
            elif self._rng.random() < self._skill:
                yield from self._use_the_night()
            elif self._rng.random() < 0.5:
                yield from self._tunnel()
            else:
                for _ in range(int(self._rng.integers(1, 9))):
                    yield int(self._rng.choice([NOOP, DO, STONE, *MOVES.values()]))
            if not self._night and self._have["health"] > self._careful + 2:
                return

    def _use_the_night(self) -> Script:
        """Make what can be made of what is carried, or dig for coal, iron and diamonds without going out."""
        goal = next((goal for goal in self._left() if goal in NEARBY), "")
        if goal and self._affords(goal) and (self._near(NEARBY[goal]) or self._have["wood"] > 2):
            yield from self._make(goal)
            return
        indoors = Ground(self._tiles, self._diggable, walkable=("path",))
        way = indoors.way(self._at, self._ground.cells(self._diggable[1:] or ("stone",)), 40)
        if way is not None and (yield from self._follow(way)):
            return
        yield from self._tunnel()

    def _tunnel(self) -> Script:
        """Straight into the rock as far as it goes, and mostly back."""
        (x, y), (dx, dy) = self._at, DIRECTIONS[self._rng.integers(4)]
        way: list[Cell] = []
        for step in range(1, int(self._rng.integers(3, 12))):
            cell = x + step * dx, y + step * dy
            if self._ground.at(cell) not in DUG:
                break
            way.append(cell)
        if (yield from self._follow(way)) and self._rng.random() < 0.7:
            yield from self._follow([(x, y), *way[:-1]][::-1])

    def _dig_in(self) -> Attempt:
        """Two tiles into the rock, and a stone behind; whether it is shut in."""
        if self._shut_in():
            return True
        burrow = self._burrow() if self._have["wood_pickaxe"] else None
        if burrow is None:
            return False
        entry, first, second = burrow
        for cell in burrow:
            way = self._ground.way(self._at, [cell], 70) if cell == entry else [cell]
            if self._at != cell and (way is None or not (yield from self._follow(way))):
                return False
        yield MOVES[first[0] - second[0], first[1] - second[1]]
        if self._have["stone"] and self._ground.at(self._front) in ONTO["place_stone"]:
            yield STONE
        return self._shut_in()

    def _shut_in(self) -> bool:
        """Whether all that can be reached on foot is a few tiles."""
        open_to_all = np.where(np.isin(self._tiles, [TILE[name] for name in CREATURES]), TILE["path"], self._tiles)
        return len(Ground(open_to_all).walks(self._at, 6)) <= 6

    def _burrow(self) -> tuple[Cell, Cell, Cell] | None:
        """The nearest place to dig in: where to enter, and two tiles of rock with nothing open beside them."""
        ground, (x, y) = self._ground, self._at
        for first in sorted(ground.cells(("stone",)), key=lambda cell: abs(cell[0] - x) + abs(cell[1] - y))[:60]:
            for dx, dy in DIRECTIONS:
                entry, second = (first[0] - dx, first[1] - dy), (first[0] + dx, first[1] + dy)
                beside = [
                    (cell[0] + s * dy, cell[1] + s * dx) for cell in (first, second) for s in (-1, 1)
                ] + [(second[0] + dx, second[1] + dy)]  # fmt: skip
                if (
                    ground.at(second) == "stone"
                    and ground.at(entry) in (*WALKABLE, "player")
                    and not any(ground.at(cell) in (*WALKABLE, "lava", *CREATURES) for cell in beside)
                ):
                    return entry, first, second
        return None

    def _away(self) -> Script:
        """Walk away, stay a moment, and come back the same way; sometimes go again, sometimes go for good."""
        steps = int(5 * 12 ** self._rng.random())
        places = self._ground.walks(self._at, steps)
        way = self._ground.way(self._at, [places[-1 - int(self._rng.integers(min(len(places), 6)))]], 90)
        if way is None:
            return
        home = [self._at, *way]
        back = home[-2::-1]
        yield from self._follow(way)
        if self._rng.random() < 0.75:
            for _ in range(int(self._rng.choice([0, 1, 4]))):
                yield NOOP
            yield from self._follow(back)
            if self._rng.random() < 0.3:
                yield from self._follow(way)

    def _stones(self) -> Script:
        """Lay stones and take them away again, one or a few."""
        if not self._have["stone"]:
            yield from self._gather("stone", 3)
        for _ in range(int(self._rng.integers(1, 6))):
            if not self._have["stone"]:
                return
            if self._ground.at(self._front) in ONTO["place_stone"]:
                yield STONE
                if self._have["wood_pickaxe"] and self._rng.random() < 0.6:
                    yield DO
            yield self._sidestep()

    def _still(self) -> Script:
        for _ in range(int(self._rng.integers(1, 16))):
            yield NOOP

    def _keys(self) -> Script:
        """Random keys, each held for a while."""
        for _ in range(int(self._rng.integers(2, 8))):
            key = self._key()
            held = int(self._rng.integers(1, 9)) if key in MOVES.values() or key == DO else 1
            for _ in range(held):
                yield key

    def _try_anything(self) -> Script:
        """Place and make what there may be nothing for."""
        for _ in range(int(self._rng.integers(1, 4))):
            yield int(self._rng.integers(STONE, len(ACTIONS)))

    # How to get there.

    def _face(self, kinds: Collection[str]) -> Attempt:
        """Go and stand facing the nearest tile of those kinds; whether that worked."""
        for _ in range(6):
            if self._ground.at(self._front) in kinds:
                return True
            way = self._ground.way(self._at, self._ground.cells(kinds))
            if way is None:
                return False
            yield from self._follow(way[:-1])
            yield from self._turn(way[-1])
        return self._ground.at(self._front) in kinds

    def _turn(self, cell: Cell) -> Script:
        """Face a place beside this one; walks on, if it is free."""
        way = cell[0] - self._at[0], cell[1] - self._at[1]
        if way in MOVES and way != self._facing:
            yield MOVES[way]

    def _follow(self, way: list[Cell]) -> Attempt:
        """Walk from cell to cell; whether it got to the last."""
        for cell in way:
            if not (yield from self._enter(cell, 6)):
                return False
        return True

    def _enter(self, cell: Cell, tries: int) -> Attempt:
        """Step onto a place beside this one, if need be dug free, bridged or fought for; whether it got there."""
        for _ in range(tries):
            way = cell[0] - self._at[0], cell[1] - self._at[1]
            if way not in MOVES:
                break
            tile = self._ground.at(cell)
            if tile in WALKABLE or self._facing != way:
                yield MOVES[way]
            elif tile == "water" and self._have["stone"]:
                yield STONE
            else:
                yield DO
        return self._at == cell
