"""Scripted explorer of the Doom maze: follows the map, and on its way does what a world model has to learn.

It makes full turns in both directions, looks away and back, turns round and returns, stands still, and sometimes
presses random keys and recovers. It keeps away from walls, because frames that show only wall carry no information.
"""

from __future__ import annotations

import heapq
import math
from typing import Any

import numpy as np

from worldsim_envs.walk import FORWARD, FORWARD_LEFT, FORWARD_RIGHT, LEFT, RIGHT, STAND

TURN = 2 * math.pi / 40  # radians per frame
CELL = 8.0  # map units
BODY = 20.0  # distance to walls that a path keeps at least (the player's radius is 16)
NEAR = 56.0  # with a wall closer than this ahead, the view shows only wall
ARMOUR = (1040.0, -352.0)  # the goal, which ends the episode: visited rarely


class MazeMap:
    """The walkable cells of the maze, and shortest paths through them.

    Args:
        walls: float32 `[n, 4]`, x1, y1, x2, y2.
        inside: x, y of a point in the maze.
    """

    def __init__(self, walls: np.ndarray, inside: tuple[float, float]):
        self._low = walls.reshape(-1, 2).min(0)
        columns, rows = np.ceil((walls.reshape(-1, 2).max(0) - self._low) / CELL).astype(int)
        places = (
            np.stack(np.meshgrid(np.arange(columns), np.arange(rows), indexing="ij"), -1) * CELL + CELL / 2 + self._low
        )
        clearance = np.full((columns, rows), np.inf)
        for x1, y1, x2, y2 in walls.astype(float):
            along = np.array([x2 - x1, y2 - y1])
            t = np.clip(((places - (x1, y1)) @ along) / max(along @ along, 1e-9), 0, 1)
            clearance = np.minimum(clearance, np.hypot(*np.moveaxis(places - (x1, y1) - t[..., None] * along, -1, 0)))
        self._clearance = {cell: float(c) for cell, c in np.ndenumerate(clearance) if c >= BODY}
        reached = self.costs(min(self._clearance, key=lambda cell: math.dist(self.place(cell), inside)))
        self._clearance = {cell: self._clearance[cell] for cell in reached}
        self._cells = sorted(self._clearance)

    def place(self, cell: tuple[int, ...]) -> tuple[float, float]:
        """The centre of a cell, in map units."""
        return float((cell[0] + 0.5) * CELL + self._low[0]), float((cell[1] + 0.5) * CELL + self._low[1])

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """The walkable cell nearest to a point."""
        here = int((x - self._low[0]) // CELL), int((y - self._low[1]) // CELL)
        return here if here in self._clearance else min(self._cells, key=lambda c: math.dist(c, here))

    def room(self, x: float, y: float) -> float:
        """Distance from a point to the nearest wall, in map units."""
        return self._clearance[self.cell(x, y)]

    def pick(self, rng: np.random.Generator, clearance: float) -> tuple[int, int]:
        """A random cell with at least this distance to walls."""
        cells = [c for c in self._cells if self._clearance[c] >= clearance]
        return cells[int(rng.integers(len(cells)))]

    def costs(self, target: tuple[int, ...]) -> dict[tuple[int, ...], float]:
        """The cost of the cheapest path to `target` from every cell that has one (Dijkstra); walls make it higher."""
        done: dict[tuple[int, ...], float] = {}
        queue: list[tuple[float, tuple[int, ...]]] = [(0.0, target)]
        while queue:
            cost, cell = heapq.heappop(queue)
            if cell in done:
                continue
            done[cell] = cost
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1)):
                near = cell[0] + dx, cell[1] + dy
                if near in self._clearance and near not in done:
                    heapq.heappush(queue, (cost + math.hypot(dx, dy) * (1 + (40 / self._clearance[near]) ** 2), near))
        return done


class MazeExplorer:
    """Plays one episode from `info["state"]` (x, y, sin, cos, ahead) and the reset's `info["walls"]`.

    Args:
        rng: of all random choices.
    """

    def __init__(self, rng: np.random.Generator):
        self._rng = rng
        self._map: MazeMap | None = None
        self._script: list[int] = []  # planned actions, the next one last
        self._costs: dict[tuple[int, ...], float] = {}
        self._target = self._origin = (0, 0)

    def __call__(self, observation: np.ndarray, info: dict[str, Any]) -> int:
        """The next action."""
        x, y, sin, cos, ahead = (float(v) for v in info["state"])
        if self._map is None:
            self._map = MazeMap(info["walls"], (x, y))
        if not self._costs:
            self._origin = self._map.cell(x, y)
            self._set_out()
        here = self._map.cell(x, y)
        if self._script:
            action = self._script.pop()
            if ahead < NEAR and action in (STAND, FORWARD) and self._rng.random() < 0.8:
                self._script.clear()  # only wall in view: move on
            else:
                return action
        if math.dist(here, self._target) * CELL < 28:
            self._arrive(here)
        elif self._rng.random() < 1 / 50:
            self._pause(self._map.room(x, y))
        return self._script.pop() if self._script else self._walk(x, y, math.atan2(sin, cos))

    def _set_out(self, target: tuple[int, int] | None = None) -> None:
        assert self._map is not None
        rare = self._rng.random() < 0.01
        while target is None:
            cell = self._map.pick(self._rng, 24 if self._rng.random() < 0.1 else 64)
            if rare or math.dist(self._map.place(cell), ARMOUR) > 130:
                target = cell
        self._target, self._costs = target, self._map.costs(target)
        self._sweep = int(self._rng.integers(2, 7))  # frames of turning up to which it keeps walking

    def _arrive(self, here: tuple[int, int]) -> None:
        assert self._map is not None
        back, self._origin = self._origin, here
        if self._rng.random() < 0.2:
            self._script = [self._side()] * 20  # turn round
            self._set_out(back if math.dist(back, here) * CELL > 60 else None)
        else:
            self._set_out()
            self._pause(self._map.room(*self._map.place(here)))

    def _pause(self, room: float) -> None:
        """Plan a behaviour for a stop on the way; turning needs room."""
        rng, side = self._rng, self._side()
        kind = rng.choice(4, p=[0.25, 0.35, 0.25, 0.15])
        if kind == 0 and room >= 60:
            self._script = [side] * int(rng.choice([40, 40, 80]))
        elif kind == 1 and room >= 62:
            turns = int(rng.integers(3, 21))
            self._script = [LEFT + RIGHT - side] * turns + [STAND] * int(rng.integers(0, 9)) + [side] * turns
        elif kind == 2:
            self._script = [STAND] * int(4 * 30 ** rng.random())
        elif kind == 3:
            keys = rng.choice(6, size=int(rng.integers(2, 6)), p=[0.1, 0.2, 0.2, 0.2, 0.15, 0.15])
            self._script = [int(key) for key in keys for _ in range(rng.integers(1, 9))]

    def _side(self) -> int:
        return int(self._rng.integers(LEFT, RIGHT + 1))

    def _walk(self, x: float, y: float, angle: float) -> int:
        """Towards a cell a few steps further on the path; sometimes a random key."""
        assert self._map is not None
        if self._rng.random() < 0.02:
            return int(self._rng.integers(6))
        cell: tuple[int, ...] = self._map.cell(x, y)
        for _ in range(6):
            ways = [(cell[0] + dx, cell[1] + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
            cell = min(ways, key=lambda c: self._costs.get(c, math.inf))
        to_x, to_y = self._map.place(cell)
        error = (math.atan2(to_y - y, to_x - x) - angle + math.pi) % (2 * math.pi) - math.pi
        turns = round(error / TURN)
        if turns == 0:
            return FORWARD
        if abs(turns) <= self._sweep:
            return FORWARD_LEFT if turns > 0 else FORWARD_RIGHT
        return LEFT if turns > 0 else RIGHT
