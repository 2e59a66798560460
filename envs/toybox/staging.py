"""Stages the permanence suite's probes in the toy box: plays a plan in the real world and records the ground truth.

    from worldsim_envs.toybox.staging import PROBES, stage
    twins = stage("P1", seed=7, points=(1, 8, 64), height=64, width=64)

Knows no model and no score.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence

import numpy as np

from worldsim.evals.permanence.scene import REVEALED, SCORED, SHAPES, Branch, Control, Scene, Thing
from worldsim.evals.permanence.scene import View as Truth
from worldsim_envs.palette import HUES
from worldsim_envs.toybox.plans import PLANS, plan
from worldsim_envs.toybox.room import BOX, FIRST_CUP, LID_STEPS, Act, Room, Toy
from worldsim_envs.toybox.sets import Plan
from worldsim_envs.toybox.view import View

PROBES = tuple(PLANS)
AREAS = {"ball": math.pi, "box": 4.0, "cone": 2.0, "cross": 20 / 9}  # of a toy of radius 1


def stage(probe: str, seed: int, points: Sequence[int], height: int = 64, width: int = 64) -> tuple[Scene, ...]:
    """The twins of one seed of a probe; see `Stage`.

    Raises:
        WorldsimError: for a probe that isn't in `PROBES`, or a frame higher than wide.
    """
    view = _view(height, width)
    planned = plan(probe, seed, points, view)
    return tuple(_Performance(planned, twin, view).scene(probe, seed) for twin in planned.rooms)


@functools.lru_cache(maxsize=2)
def _view(height: int, width: int) -> View:
    return View(height, width)  # with all the sprites it has drawn


class _Performance:
    """Plays one twin of a plan, and beside it the room of twin "a", to know where an absent target would be."""

    def __init__(self, planned: Plan, twin: str, view: View):
        self._plan, self._twin, self._view = planned, twin, view

    def scene(self, probe: str, seed: int) -> Scene:
        """The whole scene."""
        planned = self._plan
        self._room, self._beside = planned.rooms[self._twin].copy(), planned.rooms["a"].copy()
        start, before = self._room.to_bytes(), self._truth().things
        context = [self._view.render(self._room)]
        for action in planned.context:
            self._step(action)
            context.append(self._view.render(self._room))
        last, reached = self._truth(), self._rooms()
        self._step(planned.hide[0])
        first = self._truth()
        for action in planned.hide[1:]:
            self._step(action)
        branches, played = [], 0
        for point, (k, reveal, conditions) in planned.reveals.items():
            for action in planned.hold[played:k]:
                self._step(action)
            played, here = k, self._rooms()
            branches.append(self._branch(point, k, reveal, conditions))
            self._room, self._beside = here
        self._room, self._beside = reached
        return Scene(
            probe=probe,
            world="toybox",
            seed=seed,
            twin=self._twin,
            conditions=planned.conditions,
            context=np.stack(context),
            actions=np.array(planned.context, np.int64),
            hide=np.array(planned.hide, np.int64),
            hold=np.array(planned.hold, np.int64),
            last=last,
            first=first,
            targets=planned.targets,
            before=before if probe == "P6" else last.things,
            branches=tuple(branches),
            chance=planned.chance,
            start=start,
            control=self._control() if self._twin == "a" and planned.hiding else None,
        )

    def _branch(self, point: int, k: int, reveal: list[int], conditions: object) -> Branch:
        covered, gate = self._view.render(self._room), len(reveal) - 1
        actions, views = reveal + [Act.STAND] * (REVEALED - 1), []
        for i, action in enumerate(actions):
            self._step(action)
            views.append(self._truth())
            if i == gate:
                boxes, wall = self._view.landmarks(self._room), self._view.background(self._room)
        frames = [view.frame for view in views[gate : gate + SCORED]]
        seen = [all((f[y0:y1, x0:x1] == wall[y0:y1, x0:x1]).all() for f in frames) for x0, y0, x1, y1 in boxes]
        landmarks = boxes[np.array(seen, bool)]
        assert isinstance(conditions, dict)
        return Branch(point, k, np.array(actions, np.int64), tuple(views), gate, covered, landmarks, conditions)

    def _control(self) -> Control:
        """The same without the actions that hide."""
        planned = self._plan
        after = max(k + len(reveal) for k, reveal, _ in planned.reveals.values()) + SCORED
        actions = [*planned.hide, *planned.hold]
        actions += [Act.STAND] * (len(planned.hide) + after - len(actions))
        actions = [Act.STAND if action in planned.hiding else action for action in actions]
        starts = {p: len(planned.hide) + k + len(reveal) - 1 for p, (k, reveal, _) in planned.reveals.items()}
        wanted = {start + i for start in starts.values() for i in range(SCORED)}
        views = {}
        for i, action in enumerate(actions):
            self._step(action)
            if i in wanted:
                views[i] = self._truth()
        checks = {p: (start, tuple(views[start + i] for i in range(SCORED))) for p, start in starts.items()}
        return Control(np.array(actions, np.int64), checks)

    def _step(self, action: int) -> None:
        self._room.step(action)
        self._beside.step(action)

    def _rooms(self) -> tuple[Room, Room]:
        return self._room.copy(), self._beside.copy()

    def _truth(self) -> Truth:
        frame = self._view.render(self._room)
        shares = self._visible(frame)
        things = [self._thing(toy, share) for toy, share in zip(self._room.toys, shares, strict=True)]
        if self._twin == "absent":
            things.insert(0, self._thing(self._beside.toys[0], 0.0))
        return Truth(frame, tuple(things))

    def _thing(self, toy: Toy, visible: float) -> Thing:
        scale = self._view.scale
        x, y = self._view.pixels(self._room, toy)
        return Thing(toy.colour, toy.shape, x, y, toy.radius * scale, _area(toy) * scale**2, visible)

    def _visible(self, frame: np.ndarray) -> list[float]:
        """The share of each toy that can be seen: what changes where it is if it has another colour."""
        room, view, shares = self._room, self._view, [0.0] * len(self._room.toys)
        order = sorted((i for i in range(len(room.toys)) if self._may_be_seen(i)), key=lambda i: room.toys[i].x)
        pairs = [(room.toys[i], room.toys[j]) for i, j in itertools.pairwise(order)]
        apart = all(b.x - a.x >= a.radius + b.radius + 2 for a, b in pairs)
        for group in [order] if apart else [[i] for i in order]:
            other = room.copy()
            for i in group:
                other.toys[i].colour = (room.toys[i].colour + 3) % len(HUES)
            changed = np.abs(frame.astype(np.int16) - view.render(other)).sum(-1)
            for i in group:
                toy, middle = room.toys[i], (room.toys[i].x - room.camera) * view.scale
                reach = (toy.radius + 1) * view.scale
                columns = slice(max(math.floor(middle - reach), 0), max(math.ceil(middle + reach), 0))
                hues = np.abs(HUES[toy.colour].astype(int) - HUES[other.toys[i].colour]).sum()
                share = changed[:, columns].sum() / hues / (_area(toy) * view.scale**2)
                shares[i] = min(float(share), 1.0)
        return shares

    def _may_be_seen(self, number: int) -> bool:
        room, toy = self._room, self._room.toys[number]
        shut = toy.inside >= FIRST_CUP or (toy.inside == BOX and room.lid == LID_STEPS)
        return not shut and -toy.radius < toy.x - room.camera < room.view + toy.radius


def _area(toy: Toy) -> float:
    """Of its whole silhouette, in square units."""
    return AREAS[SHAPES[toy.shape]] * toy.radius**2
