"""A floor plan of several connected rooms and the things that stand in them, all drawn from one generator.

Lengths are in units of a wall's height; x points east, y north. Knows where walls are and where the player may
walk; knows no rendering and no rules.
"""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np

from worldsim.evals.permanence.scene import SHAPES
from worldsim_envs.palette import COLOURS

BODY = 0.62  # half the side of the player's body: the least distance to a wall
DOOR = 1.8  # width of a doorway
THICK = 0.4  # of the walls between rooms, and so the depth of a doorway
SIDES = (3.4, 4.8)  # shortest and longest side of a room
RADII = (0.3, 0.42)  # of things; each is as high as it is wide
# Muted, and more than 40 from every colour of the palette in Lab, in any light.
WALLS = np.array(
    [
        (154, 148, 138),
        (178, 158, 128),
        (140, 150, 118),
        (118, 120, 134),
        (150, 128, 140),
        (162, 122, 104),
        (96, 114, 104),
        (192, 180, 158),
        (108, 92, 112),
        (112, 114, 86),
    ],
    np.float32,
)
FLOORS = np.array([(92, 78, 66), (74, 76, 80), (84, 86, 70), (98, 88, 84)], np.float32)
CEILINGS = np.array([(214, 204, 188), (202, 196, 188), (208, 194, 172)], np.float32)
INSET = np.array((BODY, BODY, -BODY, -BODY))
TRIM = np.array((70, 62, 58), np.float32)  # of the doorways
LIGHT = {(0, -1): 1.0, (1, -1): 0.9, (0, 1): 0.72, (1, 1): 0.82}  # on walls by axis and facing


Line = tuple[int, float, float, float, int, np.ndarray]  # axis, line, two ends, facing and paint of a wall


@dataclasses.dataclass(frozen=True)
class Thing:
    """Something to find: indices of its colour (`palette.COLOURS`) and shape (`SHAPES`), its place and its radius."""

    colour: int
    shape: int
    x: float
    y: float
    radius: float


@dataclasses.dataclass(frozen=True)
class Plan:
    """Rooms, doorways and walls; a rectangle is x0, y0, x1, y1.

    Attributes:
        rooms: float64 `[n, 4]`, the rooms' rectangles.
        doors: float64 `[m, 4]`, the doorways' rectangles, from room to room.
        joins: int64 `[m, 2]`, the two rooms of each doorway.
        free: float64 `[n+m, 4]`, where the player's middle may be: the union of these rectangles.
        axis: int64 `[w]`, 0 for walls along x = at, 1 for walls along y = at.
        facing: int64 `[w]`, 1 for walls seen from above `at`, -1 for those seen from below.
        at, low, high: float64 `[w]`, a wall's line and its two ends on it.
        paint: float32 RGB `[3, w]`, a wall's colour under its light.
        floor, ceiling: float32 RGB `[3]`.
    """

    rooms: np.ndarray
    doors: np.ndarray
    joins: np.ndarray
    free: np.ndarray
    axis: np.ndarray
    facing: np.ndarray
    at: np.ndarray
    low: np.ndarray
    high: np.ndarray
    paint: np.ndarray
    floor: np.ndarray
    ceiling: np.ndarray

    def walls(self) -> np.ndarray:
        """float32 `[w, 4]`: x1, y1, x2, y2 of every wall."""
        upright = np.stack([self.at, self.low, self.at, self.high], 1)
        level = np.stack([self.low, self.at, self.high, self.at], 1)
        return np.where(self.axis[:, None] == 0, upright, level).astype(np.float32)

    def may_stand(self, x: float, y: float) -> bool:
        """Whether the player's middle may be there."""
        return bool(len(self._around(x, y)))

    def walk(self, x: float, y: float, dx: float, dy: float) -> tuple[float, float]:
        """Where a step from a free place ends: short of walls, and along them."""
        if not self.may_stand(x + dx, y):
            around = self._around(x, y)
            x = float(np.clip(x + dx, around[:, 0].min(), around[:, 2].max()))
        else:
            x += dx
        if not self.may_stand(x, y + dy):
            around = self._around(x, y)
            y = float(np.clip(y + dy, around[:, 1].min(), around[:, 3].max()))
        else:
            y += dy
        return x, y

    def _around(self, x: float, y: float) -> np.ndarray:
        x0, y0, x1, y1 = self.free.T
        return self.free[(x0 <= x) & (x <= x1) & (y0 <= y) & (y <= y1)]


def draw_plan(rng: np.random.Generator) -> Plan:
    """Three to six rooms in two rows or columns, each reachable from every other."""
    columns, rows = (3, 2) if rng.random() < 0.5 else (2, 3)
    xs = np.cumsum(rng.uniform(*SIDES, columns) + THICK) - THICK
    ys = np.cumsum(rng.uniform(*SIDES, rows) + THICK) - THICK
    slots, doorways = _connect(rng, columns, rows)
    left, bottom = np.append(0.0, xs[:-1] + THICK), np.append(0.0, ys[:-1] + THICK)
    rooms = np.array([(left[i], bottom[j], xs[i], ys[j]) for i, j in slots])
    doors = np.array([_doorway(rng, rooms[a], rooms[b]) for a, b in doorways])
    paints = WALLS[rng.choice(len(WALLS), len(rooms), replace=False)]
    lines = [wall for room, paint in zip(rooms, paints, strict=True) for wall in _room_walls(room, doors, paint)]
    lines += [wall for door, joined in zip(doors, doorways, strict=True) for wall in _jambs(door, joined, rooms)]
    axis, at, low, high, facing, paint = zip(*lines, strict=True)
    light = np.array([LIGHT[key] for key in zip(axis, facing, strict=True)], np.float32)
    return Plan(
        rooms,
        doors,
        np.array(doorways),
        np.concatenate([rooms + INSET, _passages(rooms, doors, doorways)]),
        np.array(axis),
        np.array(facing),
        np.array(at),
        np.array(low),
        np.array(high),
        np.array(paint).T * light,
        FLOORS[rng.integers(len(FLOORS))],
        CEILINGS[rng.integers(len(CEILINGS))],
    )


def draw_things(rng: np.random.Generator, plan: Plan) -> tuple[Thing, ...]:
    """Three to six things of different colours, clear of walls, doorways and each other; fewer if there's no room."""
    things: list[Thing] = []
    for colour in rng.permutation(len(COLOURS))[: rng.integers(3, 7)]:
        shape, radius = int(rng.integers(len(SHAPES))), float(rng.uniform(*RADII))
        for _ in range(50):
            x, y = draw_place(rng, plan, radius + 0.25)
            if clear(plan, things, x, y, radius):
                things.append(Thing(int(colour), shape, x, y, radius))
                break
    return tuple(things)


def draw_place(rng: np.random.Generator, plan: Plan, margin: float) -> tuple[float, float]:
    """A place in some room, at least `margin` from its walls."""
    x0, y0, x1, y1 = plan.rooms[rng.integers(len(plan.rooms))]
    return float(rng.uniform(x0 + margin, x1 - margin)), float(rng.uniform(y0 + margin, y1 - margin))


def draw_start(rng: np.random.Generator, plan: Plan, things: tuple[Thing, ...]) -> tuple[float, float]:
    """A place for the player, clear of walls, and of things if one of some tries is."""

    def room(place: tuple[float, float]) -> float:
        return min((math.dist(place, (t.x, t.y)) - t.radius for t in things), default=math.inf)

    places = [draw_place(rng, plan, 1.5 * BODY) for _ in range(30)]
    return next((place for place in places if room(place) > 2 * BODY), max(places, key=room))


def clear(plan: Plan, things: tuple[Thing, ...] | list[Thing], x: float, y: float, radius: float) -> bool:
    """Whether a thing at a place leaves the player room to pass between it, other things and doorways."""
    middles = (plan.doors[:, :2] + plan.doors[:, 2:]) / 2
    if np.hypot(*(middles - (x, y)).T).min() < DOOR / 2 + 1.5 * BODY:
        return False
    return all(math.dist((x, y), (t.x, t.y)) > radius + t.radius + 2.2 * BODY for t in things)


def _connect(rng: np.random.Generator, columns: int, rows: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Which slots of the grid are rooms, and which pairs of them (west, east or south, north) have a doorway."""
    grid = list(itertools.product(range(columns), range(rows)))
    slots = [grid[rng.integers(len(grid))]]
    doorways: list[tuple[int, int]] = []
    wanted = int(rng.integers(3, len(grid) + 1))
    while len(slots) < wanted:
        ways = [(a, b) for a in range(len(slots)) for b in grid if b not in slots and math.dist(slots[a], b) == 1]
        a, slot = ways[rng.integers(len(ways))]
        slots.append(slot)
        doorways.append((a, len(slots) - 1))
    for a, b in itertools.combinations(range(len(slots)), 2):
        if math.dist(slots[a], slots[b]) == 1 and (a, b) not in doorways and rng.random() < 0.4:
            doorways.append((a, b))
    return slots, [(a, b) if slots[a] < slots[b] else (b, a) for a, b in doorways]


def _doorway(rng: np.random.Generator, a: np.ndarray, b: np.ndarray) -> tuple[float, float, float, float]:
    margin = DOOR / 2 + 0.2
    if a[2] < b[0]:  # side by side
        middle = rng.uniform(a[1] + margin, a[3] - margin)
        return a[2], middle - DOOR / 2, b[0], middle + DOOR / 2
    middle = rng.uniform(a[0] + margin, a[2] - margin)
    return middle - DOOR / 2, a[3], middle + DOOR / 2, b[1]


def _room_walls(room: np.ndarray, doors: np.ndarray, paint: np.ndarray) -> list[Line]:
    """A room's walls without its doorways."""
    walls = []
    for axis, facing in itertools.product((0, 1), (1, -1)):  # the wall at the low end faces up
        at = float(room[axis if facing == 1 else axis + 2])
        start, end = float(room[1 - axis]), float(room[3 - axis])
        touching = doors[(doors[:, axis] == at) | (doors[:, axis + 2] == at)]
        gaps = sorted((float(d[1 - axis]), float(d[3 - axis])) for d in touching if start < d[1 - axis] < end)
        for low, high in zip([start, *(g[1] for g in gaps)], [*(g[0] for g in gaps), end], strict=True):
            walls.append((axis, at, low, high, facing, paint))
    return walls


def _jambs(door: np.ndarray, joined: tuple[int, int], rooms: np.ndarray) -> list[Line]:
    axis = 1 if rooms[joined[0]][2] < rooms[joined[1]][0] else 0
    low, high = float(door[1 - axis]), float(door[3 - axis])
    return [(axis, float(door[axis]), low, high, 1, TRIM), (axis, float(door[axis + 2]), low, high, -1, TRIM)]


def _passages(rooms: np.ndarray, doors: np.ndarray, doorways: list[tuple[int, int]]) -> np.ndarray:
    """Where the player's middle may be in doorways: a body's width narrower, and well into both rooms."""
    passages = doors.copy()
    for passage, (a, b) in zip(passages, doorways, strict=True):
        along = 0 if rooms[a][2] < rooms[b][0] else 1  # the way through
        passage[[along, along + 2]] += (-BODY - THICK, BODY + THICK)
        passage[[1 - along, 3 - along]] += (BODY, -BODY)
    return passages
