"""Stages the permanence suite's probes in the toy box: plays a plan in the true world, and notes what is true.

    from worldsim_envs.toybox_probes import PROBES, stage
    twins = stage("P1", seed=7, points=(1, 8, 64), height=64, width=64)

Knows no model and no score.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

from worldsim.evals.permanence.scene import REVEALED, SCORED, SHAPES, Branch, Control, Scene, Thing
from worldsim.evals.permanence.scene import View as Truth
from worldsim_envs.palette import HUES
from worldsim_envs.toybox_plans import PLANS, Plan, plan
from worldsim_envs.toybox_room import BOX, FIRST_CUP, LID_STEPS, STAND, Room
from worldsim_envs.toybox_view import View

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
    """Plays one twin of a plan; the room of twin "a" is played beside it, to know where an absent target would be."""

    def __init__(self, planned: Plan, twin: str, view: View):
        self._plan, self._twin, self._view = planned, twin, view

    def scene(self, probe: str, seed: int) -> Scene:
        """All of it."""
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
            control=self._control() if self._twin == "a" and planned.visible else None,
        )

    def _branch(self, point: int, k: int, reveal: list[int], conditions: object) -> Branch:
        covered, gate = self._view.render(self._room), len(reveal) - 1
        actions, views = reveal + [STAND] * (REVEALED - 1), []
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
        actions += [STAND] * (len(planned.hide) + after - len(actions))
        actions = [STAND if action in planned.visible else action for action in actions]
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
        things = [self._thing(self._room, i, frame) for i in range(len(self._room.toys))]
        if self._twin == "absent":
            things.insert(0, self._thing(self._beside, 0, None))
        return Truth(frame, tuple(things))

    def _thing(self, room: Room, number: int, frame: np.ndarray | None) -> Thing:
        """A toy in pixels; without a frame it is not there."""
        toy, scale = room.toys[number], self._view.scale
        area = AREAS[SHAPES[toy.shape]] * (toy.radius * scale) ** 2
        visible = 0.0 if frame is None else self._visible(room, number, frame) / area
        x, y = self._view.pixels(room, toy)
        return Thing(toy.colour, toy.shape, x, y, toy.radius * scale, area, min(visible, 1.0))

    def _visible(self, room: Room, number: int, frame: np.ndarray) -> float:
        """Pixels of a toy that can be seen: what changes if it has another colour."""
        toy = room.toys[number]
        shut = toy.inside >= FIRST_CUP or (toy.inside == BOX and room.lid == LID_STEPS)
        aside = not -toy.radius < toy.x - room.camera < room.view + toy.radius
        if (shut and room.held != number) or aside:
            return 0.0
        other = room.copy()
        other.toys[number].colour = (toy.colour + 3) % len(HUES)
        hues = np.abs(HUES[toy.colour].astype(int) - HUES[other.toys[number].colour]).sum()
        return float(np.abs(frame.astype(np.int16) - self._view.render(other)).sum() / hues)
