"""Scripted explorer of the rooms: knows the floor plan, and shows what teaches a model that things stay in place.

It makes full turns in both directions, faces a thing, looks away and back, leaves a room and returns, stands still,
presses random keys and recovers, and sometimes takes a thing. Durations are log-uniform. It keeps away from walls,
because frames that show only wall carry no information.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from worldsim_envs.rooms.env import NEAR, STEP, THING_STATE, TURNS
from worldsim_envs.rooms.plan import BODY
from worldsim_envs.walk import FORWARD, FORWARD_LEFT, FORWARD_RIGHT, LEFT, RIGHT, STAND

TURN = 2 * math.pi / TURNS  # radians per frame
AWAY = 10, TURNS // 2  # frames of turning after which something faced is out of view; the most it turns away
LONGEST = 256  # frames of standing still or looking elsewhere
MARGIN = NEAR + 0.2  # distance to walls of the points it walks to
Point = tuple[float, float]


class RoomsExplorer:
    """Plays one episode from `info["state"]` and the rooms, doors and joins in the reset's info. Without these, as in a
    generated world, it turns, looks away and back, stands still and presses keys, but walks to no destination.

    Args:
        rng: of all random choices.
    """

    def __init__(self, rng: np.random.Generator):
        self._rng = rng
        self._script: list[int] = []  # planned actions, the next one last
        self._path: list[Point] = []  # points to walk to, the next one last
        self._plans: list[tuple[str, Any]] = []  # behaviours after that, the next one last
        self._last = STAND
        self._x = self._y = 0.0
        self._rooms, self._still = np.zeros((0, 4), np.float32), 0

    def __call__(self, observation: np.ndarray, info: dict[str, Any]) -> int:
        """The next action."""
        self._last = self._choose(info)
        return self._last

    def _choose(self, info: dict[str, Any]) -> int:
        if "rooms" in info:
            self._rooms, self._doors, self._joins = info["rooms"], info["doors"], info["joins"]
            self._still = 0
        state = info["state"].astype(float)
        self._blocked = self._last == FORWARD and math.dist(state[:2], (self._x, self._y)) < STEP / 2
        self._x, self._y, sin, cos, ahead = state[:5]
        self._angle = math.atan2(sin, cos)
        self._things = [thing for thing in state[5:].reshape(-1, len(THING_STATE)) if thing[0]]
        while True:
            if self._script:
                action = self._script.pop()
                if ahead >= NEAR or action not in (STAND, FORWARD) or self._rng.random() < 0.75:
                    return action
                self._script.clear()  # mostly wall in view: move on
            elif self._path and not self._arrived():
                return self._walk()
            elif self._plans:
                self._begin(*self._plans.pop())
            else:
                self._decide()

    def _begin(self, what: str, how: Any) -> None:
        if what == "go":
            self._path, self._still = self._way(how), 0
        elif what == "face":
            turns = round(self._error(how) / TURN)
            self._script = [LEFT if turns > 0 else RIGHT] * abs(turns)
        else:
            self._script = list(how)

    def _decide(self) -> None:
        """Plan the next behaviour. Each ends with a walk, so that the next one happens elsewhere."""
        rng, here = self._rng, (self._x, self._y)
        side = int(rng.integers(LEFT, RIGHT + 1))
        if not len(self._rooms):
            self._plans = [("do", self._aimless(side))]
            return
        near = [t for t in self._things if self._room(t[1], t[2]) == self._room(*here)]
        thing = near[rng.integers(len(near))] if near else None
        kind = rng.choice(["turn", "away", "out", "still", "keys", "take"], p=[0.14, 0.34, 0.24, 0.09, 0.16, 0.03])
        plans: list[tuple[str, Any]] = []
        if thing is not None and kind != "turn":
            plans += [("face", (thing[1], thing[2])), ("do", [STAND] * int(rng.integers(0, 9)))]
        if kind == "turn":
            plans.append(("do", [side] * int(rng.choice([TURNS, TURNS, 2 * TURNS]))))
        elif kind == "away":
            turns = int(rng.integers(AWAY[0] + 1, AWAY[1] + 1))
            back = [LEFT + RIGHT - side] * turns if rng.random() < 0.7 else [side] * (TURNS - turns)
            plans += [("do", [side] * turns), ("do", self._wait(turns)), ("do", back)]
            plans.append(("do", [STAND] * int(rng.integers(3, 12))))
        elif kind == "out":
            plans += [("go", self._destination(beside=True)), ("do", self._wait(AWAY[1])), ("go", here)]
            plans += [("face", (thing[1], thing[2]))] if thing is not None else []
            plans.append(("do", [STAND] * int(rng.integers(3, 12))))
        elif kind == "still":
            plans.append(("do", [STAND] * self._while(4, 128)))
        elif kind == "keys":
            plans.append(("do", self._keys()))
            plans.append(("do", [FORWARD] * int(rng.integers(0, 40))))  # often into a wall
        elif thing is not None and len(self._things) > 1:
            plans.append(("do", [FORWARD] * math.ceil(math.dist(here, (thing[1], thing[2])) / STEP)))
        plans.append(("go", self._destination(beside=bool(rng.random() < 0.5))))
        self._plans = plans[::-1]
        self._sweep = int(rng.integers(2, 7))  # frames of turning up to which it keeps walking

    def _keys(self) -> list[int]:
        """Random keys, each held for a few frames."""
        keys = self._rng.choice(6, size=int(self._rng.integers(3, 9)), p=[0.1, 0.2, 0.2, 0.2, 0.15, 0.15])
        return [int(key) for key in keys for _ in range(self._rng.integers(1, 9))]

    def _aimless(self, side: int) -> list[int]:
        """Actions that need no knowledge of the position."""
        kind = self._rng.choice(["turn", "away", "still", "keys"], p=[0.15, 0.3, 0.1, 0.45])
        if kind == "turn":
            return [side] * TURNS
        if kind == "away":
            turns = int(self._rng.integers(AWAY[0] + 1, AWAY[1] + 1))
            return [side] * turns + self._wait(turns) + [LEFT + RIGHT - side] * turns
        return [STAND] * self._while(4, 128) if kind == "still" else self._keys()

    def _while(self, shortest: int, longest: int) -> int:
        return int(shortest * (longest / shortest) ** self._rng.random())

    def _wait(self, turns: int) -> list[int]:
        """Stand and glance about for a while, after `turns` frames of turning away, without turning back too far."""
        left, reach = self._while(1, LONGEST), min(turns - AWAY[0], 4)
        actions: list[int] = []
        while len(actions) < left:
            actions += [STAND] * min(left, int(self._rng.integers(1, 13)))
            if left > 8 and self._rng.random() < 0.8:
                side, glance = int(self._rng.integers(LEFT, RIGHT + 1)), int(self._rng.integers(1, reach + 1))
                actions += [side] * glance + [LEFT + RIGHT - side] * glance
        return actions

    def _room(self, x: float, y: float) -> int:
        """The room that a point is in, or the nearest one for a point in a doorway."""
        x0, y0, x1, y1 = self._rooms.T
        return int(
            np.hypot(np.maximum(np.maximum(x0 - x, x - x1), 0), np.maximum(np.maximum(y0 - y, y - y1), 0)).argmin()
        )

    def _destination(self, beside: bool) -> Point:
        """A random destination away from things: in a room next to this one, or anywhere."""
        rooms = np.arange(len(self._rooms))
        if beside:
            here = self._room(self._x, self._y)
            rooms = self._joins[(self._joins == here).any(1)].ravel()
            rooms = rooms[rooms != here]
        x0, y0, x1, y1 = self._rooms[rooms[self._rng.integers(len(rooms))]]
        for _ in range(20):
            x, y = (float(self._rng.uniform(a + MARGIN, b - MARGIN)) for a, b in ((x0, x1), (y0, y1)))
            if all(math.dist((x, y), (t[1], t[2])) > 2 * BODY + t[3] for t in self._things):
                break
        return x, y

    def _way(self, target: Point) -> list[Point]:
        """Points to walk through, the next one last: both sides of every doorway on the path with the fewest rooms."""
        goal, start = self._room(*target), self._room(self._x, self._y)
        came: dict[int, tuple[int, int]] = {goal: (goal, -1)}  # room -> the next one on the way, and its doorway
        queue = [goal]
        for room in queue:
            for door, pair in enumerate(self._joins.tolist()):
                if room in pair and (other := sum(pair) - room) not in came:
                    came[other] = room, door
                    queue.append(other)
        way, room = [], start
        while room != goal:
            following, door = came[room]
            x0, y0, x1, y1 = self._doors[door].astype(float)
            if x1 - x0 < y1 - y0:  # doorways are wider than deep: this one leads east and west
                ends = [(x0 - BODY, (y0 + y1) / 2), (x1 + BODY, (y0 + y1) / 2)]
            else:
                ends = [((x0 + x1) / 2, y0 - BODY), ((x0 + x1) / 2, y1 + BODY)]
            way += sorted(ends, key=lambda end: self._room(*end) != room)
            room = following
        return [target, *way[::-1]]

    def _error(self, point: Point) -> float:
        """Radians to turn left to face a point, in [-pi, pi)."""
        return (math.atan2(point[1] - self._y, point[0] - self._x) - self._angle + math.pi) % (2 * math.pi) - math.pi

    def _arrived(self) -> bool:
        """Drop the next point if it is reached, or the whole path if it can't be; whether nothing is left."""
        self._still += 1
        if math.dist((self._x, self._y), self._path[-1]) < 0.3:
            self._path.pop()
            self._still = 0
        elif self._still > 150:
            self._path.clear()
        return not self._path

    def _walk(self) -> int:
        """Towards the next point, around things; sometimes a random key."""
        if self._rng.random() < 0.02:
            return int(self._rng.integers(6))
        error = self._error(self._aside(self._path[-1]))
        turns = round(error / TURN)
        if turns == 0 and self._blocked:  # by the edge of a doorway
            return LEFT if error > 0 else RIGHT
        if turns == 0:
            return FORWARD
        if abs(turns) <= self._sweep:
            return FORWARD_LEFT if turns > 0 else FORWARD_RIGHT
        return LEFT if turns > 0 else RIGHT

    def _aside(self, target: Point) -> Point:
        """Where to aim: at the target, or beside a thing in the way."""
        way = np.array(target) - (self._x, self._y)
        length = float(np.hypot(*way))
        way = way / length
        for _, x, y, radius, _ in self._things:
            ahead, left = way @ (x - self._x, y - self._y), way @ (y - self._y, self._x - x)
            keep = BODY + radius + 0.15
            if 0 < ahead < min(length, 2.5) and abs(left) < keep:
                x0, y0, x1, y1 = self._rooms[self._room(x, y)]
                sides = [(x + s * way[1] * (keep + 0.2), y - s * way[0] * (keep + 0.2)) for s in (1, -1)]
                free = [x0 + BODY < px < x1 - BODY and y0 + BODY < py < y1 - BODY for px, py in sides]
                return sides[0] if free[0] and (left > 0 or not free[1]) else sides[1]
        return target
