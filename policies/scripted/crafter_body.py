"""A player of Crafter that sees where it is and what it has, and gets where it wants to be. Wants nothing by itself.

Ways are scripts: generators of actions that read the player's state as it is at each of their steps.
"""

from __future__ import annotations

from collections.abc import Collection, Generator
from typing import Any

import numpy as np

from worldsim_envs.crafter.names import ACTION, COLLECT, COLUMNS, ITEMS, ONTO, ROWS, STATE, TILE, USES, WALKABLE
from worldsim_policies.scripted.crafter_paths import DIRECTIONS, DUG, Cell, Ground

Script = Generator[int, None, None]  # of actions
Attempt = Generator[int, None, bool]  # the same, and at last whether it worked
MOVES = {way: ACTION[f"move_{name}"] for way, name in zip(DIRECTIONS, ("left", "right", "up", "down"), strict=True)}
DO, STONE = ACTION["do"], ACTION["place_stone"]
ZOMBIE, SKELETON = TILE["zombie"], TILE["skeleton"]
ENEMIES, CREATURES = ("zombie", "skeleton"), ("cow", "zombie", "skeleton")
INDEX = {name: index for index, name in enumerate(STATE)}


class CrafterBody:
    """Eyes and legs. `_see` is called with the info of each moment before anything else."""

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

    def _enemies(self, far: int) -> bool:
        """Whether there are any in view within so many steps."""
        rows, columns = np.nonzero((self._view == ZOMBIE) | (self._view == SKELETON))
        return bool(len(rows)) and int((abs(rows - ROWS // 2) + abs(columns - COLUMNS // 2)).min()) <= far

    def _attacked(self) -> bool:
        """Whether an enemy can get here in a few steps."""
        return Ground(self._tiles).way(self._at, self._ground.cells(ENEMIES), 5) is not None

    def _shut_in(self) -> bool:
        """Whether all that can be reached on foot is a few tiles."""
        open_to_all = np.where(np.isin(self._tiles, [TILE[name] for name in CREATURES]), TILE["path"], self._tiles)
        return len(Ground(open_to_all).walks(self._at, 6)) <= 6

    def _deadly(self, action: int) -> bool:
        """Whether it is a step into lava."""
        return any(
            move == action and self._ground.at((self._at[0] + dx, self._at[1] + dy)) == "lava"
            for (dx, dy), move in MOVES.items()
        )

    def _affords(self, action: str) -> bool:
        return all(self._have[item] >= count for item, count in USES[action].items())

    def _near(self, tiles: Collection[str], at: Cell | None = None) -> bool:
        """Whether all of them are within one step, also diagonally."""
        x, y = at or self._at
        there = {self._ground.at((x + dx, y + dy)) for dx in (-1, 0, 1) for dy in (-1, 0, 1)}
        return all(tile in there for tile in tiles)

    def _exposed(self, plants: list[Cell]) -> list[Cell]:
        """The places beside plants from which they can be trampled."""
        sides = [(x + dx, y + dy) for x, y in plants for dx, dy in DIRECTIONS]
        return [side for side in sides if self._ground.at(side) in (*WALKABLE, *CREATURES, "player")]

    def _rock(self) -> Ground:
        """What can be dug with nothing beside it that opens a way in."""
        ground = Ground(self._tiles)
        inside = np.isin(self._tiles, [TILE[name] for name in (*WALKABLE, *CREATURES, "lava", "water")])
        for x, y in ground.walks(self._at, 6):
            inside[y, x] = False
        beside = np.pad(inside, 1)
        beside = beside[:-2, 1:-1] | beside[2:, 1:-1] | beside[1:-1, :-2] | beside[1:-1, 2:]
        return Ground(np.where(beside, TILE["outside"], self._tiles), self._diggable, walkable=())

    def _burrow(self) -> tuple[Cell, Cell, Cell] | None:
        """The nearest place to dig in: where to enter, and two tiles of rock with nothing open beside them."""
        ground = self._ground
        x, y = (ground.cells(("plant",)) or [self._at])[0]  # near which a plant grows
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
