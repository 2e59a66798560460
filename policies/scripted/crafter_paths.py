"""Ways over Crafter's map: where one can walk, dig or lay a stone, and what that costs."""

from __future__ import annotations

import heapq
from collections.abc import Collection

import numpy as np

from worldsim_envs.crafter.names import TILE, TILES, WALKABLE

LEFT, RIGHT, UP, DOWN = (-1, 0), (1, 0), (0, -1), (0, 1)
DIRECTIONS = (LEFT, RIGHT, UP, DOWN)
DUG = ("stone", "coal", "iron", "diamond")
Cell = tuple[int, int]  # x, y


class Ground:
    """The map of one moment.

    Args:
        tiles: uint8 `[y, x]`, indices of `TILES`.
        dug: those of `DUG` that can be dug out.
        stones: whether there are stones to cross water on.
        walkable: what can be walked on.
    """

    def __init__(
        self,
        tiles: np.ndarray,
        dug: Collection[str] = (),
        stones: bool = False,
        walkable: Collection[str] = WALKABLE,
    ):
        self.tiles = np.pad(tiles, 1)  # outside is tile 0
        self._width = self.tiles.shape[1]
        self._flat = self.tiles.tobytes()
        self._cost = [0] * len(TILES)  # steps to enter a tile; 0: never
        for name, cost in [*((name, 1) for name in walkable), *((name, 3) for name in dug)]:
            self._cost[TILE[name]] = cost
        if stones:
            self._cost[TILE["water"]] = 5

    def at(self, cell: Cell) -> str:
        """The name of the tile there."""
        return TILES[self._flat[self._index(cell)]]

    def cells(self, kinds: Collection[str]) -> list[Cell]:
        """Where those tiles are."""
        wanted = np.zeros(len(TILES), bool)
        wanted[[TILE[kind] for kind in kinds]] = True
        ys, xs = np.nonzero(wanted[self.tiles])
        return list(zip((xs - 1).tolist(), (ys - 1).tolist(), strict=True))

    def way(self, start: Cell, goals: Collection[Cell], longest: int = 120) -> list[Cell] | None:
        """The cheapest way to the nearest goal: its cells without the start, the goal last. Goals need not be walkable.

        Args:
            longest: cost from which on a goal is too far; None is returned then.
        """
        wanted = {self._index(goal) for goal in goals}
        came = self._search(self._index(start), wanted, longest)
        reached = next((index for index in came if index in wanted and came[index] >= 0), -1)
        if reached < 0:
            return None
        way = []
        while came[reached] >= 0:
            way.append((reached % self._width - 1, reached // self._width - 1))
            reached = came[reached]
        return way[::-1]

    def walks(self, start: Cell, steps: int) -> list[Cell]:
        """All places to which one can walk in about so many steps, farthest last."""
        came = self._search(self._index(start), set(), steps + 1)
        return [(index % self._width - 1, index // self._width - 1) for index in came]

    def _index(self, cell: Cell) -> int:
        return (cell[1] + 1) * self._width + cell[0] + 1

    def _search(self, start: int, wanted: set[int], longest: int) -> dict[int, int]:
        """Dijkstra's: cells -> the cell before, in the order in which they are reached, until a wanted one is."""
        tiles, costs, width = self._flat, self._cost, self._width
        heap, best, came = [(0, start, -1)], {start: 0}, {}
        while heap:
            spent, here, before = heapq.heappop(heap)
            if here in came:
                continue
            came[here] = before
            if here in wanted and before >= 0:
                break
            for there in (here - 1, here + 1, here - width, here + width):
                cost = 1 if there in wanted else costs[tiles[there]]
                total = spent + cost
                if cost and total < best.get(there, longest):
                    best[there] = total
                    heapq.heappush(heap, (total, there, here))
        return came
