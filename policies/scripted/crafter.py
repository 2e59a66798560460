"""Players of Crafter, good and bad: they gather, build, make tools, fight, eat, drink, plant, sleep and look around.

How good is drawn for each episode. What they are about is a script: a generator of actions that reads the player's
state as it is at each of its steps. Walks go away and come back, for that is what a model must remember.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from worldsim_envs.crafter.names import ACTION, ACTIONS, COLLECT, NEARBY, ONTO, USES, WALKABLE
from worldsim_policies.scripted.crafter_body import DO, ENEMIES, MOVES, STONE, Attempt, CrafterBody, Script
from worldsim_policies.scripted.crafter_paths import DIRECTIONS, DUG, Cell

NOOP, SLEEP = ACTION["noop"], ACTION["sleep"]
SOURCE = {item: tile for tile, (item, *_) in COLLECT.items()}
LADDER = ("make_wood_pickaxe", "make_wood_sword", "make_stone_pickaxe", "place_plant", "make_stone_sword",
          "place_furnace", "make_iron_pickaxe", "make_iron_sword", "collect_diamond")  # fmt: skip
KEYS = np.array([0.04, *[0.14] * 4, 0.16, 0.02, 0.05, 0.03, 0.02, 0.03, *[0.015] * 6])  # how often keys are tried
FIGHT = 7  # the greatest urgency
AGAIN = {"fight": 4, "drink": 25, "food": 20, "health": 12, "energy": 40}  # steps until a need is felt again
DAY, NOON, EVENING = 300, 60, 80  # steps of a day, and of it


class CrafterExplorer(CrafterBody):
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
        low, high = (2, 2, 2, 2), (6, 5, 6, 5)
        self._thirsty, self._hungry, self._tired, self._careful = self._rng.integers(low, high).tolist()
        self._dusk, self._dawn = self._rng.integers((105, 265), (145, 295)).tolist()  # when it goes in, and out

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

    def _next(self, decide: Callable[[], Script]) -> int:
        """The next action of the script, of the one that waits for it, or of another."""
        for _ in range(9):
            if not self._scripts:
                self._scripts = [(0, decide())]
            for action in self._scripts[-1][1]:
                return action
            self._scripts.pop()
        return self._key()

    def _key(self) -> int:
        return int(self._rng.choice(len(ACTIONS), p=KEYS / KEYS.sum()))

    # What to do.

    def _need(self) -> tuple[int, Script] | None:
        """What can't wait, and how urgent it is: an enemy, thirst, hunger, night or tiredness."""
        have, evening = self._have, 3 if EVENING < self._state("steps") % DAY < self._dusk else 0
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
        plants = self._ground.cells(("plant",))
        if self._have["wood_pickaxe"] and self._rng.random() < (0.5 if self._exposed(plants) else 0.1):
            return self._wall_in() if plants else self._plant()
        goals = self._left() or LADDER
        goal = goals[min(int(self._rng.geometric(0.6)), len(goals)) - 1]
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
                spare = int(self._rng.integers(0, 2 + int(5 * self._skill))) if item in ("wood", "stone") else 1
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
        if way is None or self._night or (name == "furnace" and len(way) > 3 and self._near(("table",))):
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

    def _plant(self) -> Script:
        """Plant a sapling, if there are stones to wall it in, and do that."""
        if self._have["wood_pickaxe"] and self._have["stone"] < 4 and self._rng.random() < self._skill:
            yield from self._gather("stone", 5)
        yield from self._build("place_plant")
        yield from self._wall_in()

    def _wall_in(self) -> Script:
        """Stones round the nearest plant, so that nobody tramples it."""
        plants = self._ground.way(self._at, self._ground.cells(("plant",)), 25)
        if plants is None:
            return
        for side in self._exposed(plants[-1:]):
            if not self._have["stone"]:
                yield from self._gather("stone", 3)
            yield from self._lay(side)

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
        yield from self._strike(ENEMIES, 4)

    @property
    def _night(self) -> bool:
        """Whether it is night, or will soon be."""
        return self._dusk < self._state("steps") % DAY < self._dawn

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
        """Make what can be made of what is carried, or dig for coal, iron and diamonds without opening a way in."""
        for goal in self._left():
            if self._at_once(goal):
                yield from self._make(goal) if goal in NEARBY else self._build(goal)
                return
        rock = self._rock()
        way = rock.way(self._at, rock.cells(self._diggable[1:]), 40)
        if way is None or not (yield from self._follow(way)):
            yield from self._tunnel()

    def _at_once(self, goal: str) -> bool:
        """Whether something can be made or placed here of what is carried, also the table and furnace it needs."""
        if goal not in (*NEARBY, "place_furnace"):
            return False
        stations = [tile for tile in NEARBY.get(goal, ("table",)) if not self._near((tile,))]
        bills = [USES[goal], *(USES[f"place_{tile}"] for tile in stations)]
        return all(sum(bill.get(item, 0) for bill in bills) <= count for item, count in self._have.items())

    def _tunnel(self) -> Script:
        """Straight into the rock for some steps, and mostly back."""
        (x, y), (dx, dy), rock = self._at, DIRECTIONS[self._rng.integers(4)], self._rock()
        way: list[Cell] = []
        for step in range(1, int(self._rng.integers(3, 12))):
            cell = x + step * dx, y + step * dy
            if rock.at(cell) not in DUG:
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
