"""Stages the permanence suite's P3 in the rooms: turn away and back, turn full circle, walk out of the room and return.

    from worldsim_envs.rooms.staging import PROBES, stage
    twins = stage("P3", seed=7, points=(1, 8, 64), height=64, width=64)

The context turns from the heading that hides the targets to the targets; hiding turns back there; during the hidden
time the player stands, looks about and, for the way "out", walks into the next room. The reveal ends exactly at the
pose of the last context frame. The same seed gives the same scenes. Knows no model and no score.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np

from worldsim.errors import WorldsimError
from worldsim.evals.permanence.scene import COLOURS, CONTEXT, REVEALED, SCORED, SHAPES, Branch, Control, Scene
from worldsim.evals.permanence.scene import Thing as Seen
from worldsim.evals.permanence.scene import View as Truth
from worldsim_envs.palette import HUES
from worldsim_envs.rooms.env import HEADINGS, TURNS, Pose, RoomsEnv, move
from worldsim_envs.rooms.plan import BODY, RADII, Plan, Thing
from worldsim_envs.rooms.view import EYE, View, bearing
from worldsim_envs.walk import FORWARD, LEFT, RIGHT, STAND

PROBES = ("P3",)
WAYS = ("back", "around", "out")  # turn back, turn on round, or walk out and return: a third of the seeds each
OUT = 24  # steps of walking out
LOOK = 4  # frames of turning to either side, when looking about
DEPTHS = (1.6, 3.4)  # units, of what is in view
DRAWS = 100  # of places
AREAS = {"ball": math.pi, "box": 4.0, "cone": 2.0, "cross": 20 / 9}  # of a thing of radius 1
MIDDLES = {"ball": 1.0, "box": 1.0, "cone": 2 / 3, "cross": 1.0}  # height of its centroid


def stage(probe: str, seed: int, points: Sequence[int], height: int = 64, width: int = 64) -> tuple[Scene, ...]:
    """The twins of one seed; see `Stage`.

    Raises:
        WorldsimError: for a probe that isn't in `PROBES`, or a frame that is higher than wide, or wider by more than a
            tenth, for the context turns all that is seen out of view.
    """
    if probe not in PROBES:
        raise WorldsimError(f"the rooms have no probe {probe!r}; they have {', '.join(PROBES)}")
    if not height <= width <= 1.1 * height:
        raise WorldsimError(f"the rooms' probes need a view as wide as high, or a tenth wider; {width}x{height} is not")
    env, view = RoomsEnv(height, width), View(height, width)
    situation = _situation(env, seed, view)
    rng = np.random.default_rng([seed, 1])
    context, hide = _context(rng, situation), [situation.side] * situation.turns
    hold = _hold(rng, situation, points)
    return tuple(
        _Performance(env, view, situation, twin).scene(seed, context, hide, hold, points) for twin in situation.twins
    )


@dataclasses.dataclass(frozen=True)
class _Situation:
    """What a seed draws.

    Attributes:
        seed: of the building. pose: of the last context frame, from which the targets are seen.
        way: one of `WAYS`. side: the action that turns away; turns: so often, until all that was in view is out of it,
            even when looking about.
        twins: the things of each, the target first except in "absent", which lacks it.
        count: of targets.
    """

    seed: int
    plan: Plan
    pose: Pose
    way: str
    side: int
    turns: int
    twins: dict[str, tuple[Thing, ...]]
    count: int

    @property
    def away(self) -> int:
        """The heading after turning away."""
        return (self.pose[2] + (self.turns if self.side == LEFT else -self.turns)) % TURNS


def _situation(env: RoomsEnv, seed: int, view: View) -> _Situation:
    rng = np.random.default_rng([seed, 0])
    way, count = WAYS[seed % len(WAYS)], int(rng.integers(1, 4))
    turns = math.ceil(view.width / view.focal / math.tau * TURNS + LOOK + 0.3)
    for attempt in range(10_000):
        if attempt % 100 == 0:
            drawn = int(rng.integers(2**31))
            env.reset(seed=drawn)
        side = int(rng.choice([LEFT, RIGHT]))
        x, y, away = _stand(rng, env.plan, way)
        pose = x, y, (away - (turns if side == LEFT else -turns)) % TURNS
        places = _places(rng, env.plan, pose, view, count + 1)
        if places is None:
            continue
        beside = _places(rng, env.plan, (x, y, away), view, 1) if way != "out" else None
        colours = [int(colour) for colour in rng.permutation(len(COLOURS))]
        shapes = [int(shape) for shape in rng.integers(len(SHAPES), size=len(COLOURS))]
        placed = zip(colours, shapes, places[:count] + (beside or []), strict=False)
        first, *others = (Thing(colour, shape, *place) for colour, shape, place in placed)
        elsewhere_x, elsewhere_y, _ = places[count]
        twins = {
            "a": (first, *others),
            "colour": (dataclasses.replace(first, colour=colours[-1]), *others),
            "place": (dataclasses.replace(first, x=elsewhere_x, y=elsewhere_y), *others),
            "absent": tuple(others),
        }
        return _Situation(drawn, env.plan, pose, way, side, turns, twins, count)
    raise AssertionError(f"no place for {count} things in seed {seed}")


def _stand(rng: np.random.Generator, plan: Plan, way: str) -> Pose:
    """A place in a room, and the heading when looking away: any, or straight out of a door."""
    if way != "out":
        x0, y0, x1, y1 = plan.rooms[rng.integers(len(plan.rooms))]
        margin = BODY + 0.2
        return (
            float(rng.uniform(x0 + margin, x1 - margin)),
            float(rng.uniform(y0 + margin, y1 - margin)),
            int(rng.integers(TURNS)),
        )
    x0, y0, x1, y1 = plan.doors[rng.integers(len(plan.doors))]
    back, quarter = float(rng.uniform(BODY + 0.2, 2.0)), TURNS // 4
    poses = [(x0 - back, (y0 + y1) / 2, 0), (x1 + back, (y0 + y1) / 2, 2 * quarter)]
    if x1 - x0 > y1 - y0:
        poses = [((x0 + x1) / 2, y0 - back, quarter), ((x0 + x1) / 2, y1 + back, 3 * quarter)]
    x, y, heading = poses[rng.integers(2)]
    return float(x), float(y), heading


def _places(
    rng: np.random.Generator, plan: Plan, pose: Pose, view: View, count: int
) -> list[tuple[float, float, float]] | None:
    """Places and radii of so many things that are wholly in view, in the same room and apart in the picture."""
    x, y, heading = pose
    cos, sin = HEADINGS[heading]
    rooms = plan.rooms
    inside = (rooms[:, 0] < x) & (x < rooms[:, 2]) & (rooms[:, 1] < y) & (y < rooms[:, 3])
    if not inside.any():
        return None
    x0, y0, x1, y1 = rooms[inside.argmax()]
    radius, away, column = (rng.uniform(*ends, DRAWS) for ends in (RADII, DEPTHS, (0.0, float(view.width))))
    angle, margin, half = (column - view.width / 2) / view.focal, radius + 0.1, radius / away * view.focal
    ahead, aside = away * np.cos(angle), away * np.sin(angle)
    at_x, at_y = x + ahead * cos + aside * sin, y + ahead * sin - aside * cos
    free = (at_x > x0 + margin) & (at_x < x1 - margin) & (at_y > y0 + margin) & (at_y < y1 - margin)
    gap = view.height / 40  # pixels
    whole = (half + gap < column) & (column < view.width - half - gap)
    found: list[int] = []
    for i in np.flatnonzero(free & whole).tolist():
        if len(found) < count and all(abs(column[i] - column[j]) > half[i] + half[j] + 1.5 * gap for j in found):
            found.append(i)
    return [(float(at_x[i]), float(at_y[i]), float(radius[i])) for i in found] if len(found) == count else None


def _context(rng: np.random.Generator, situation: _Situation) -> list[int]:
    """Turn from the heading that looks away to the targets, and look at them."""
    back = LEFT + RIGHT - situation.side
    rest = CONTEXT - 1 - 2 - situation.turns
    glance, one = int(rng.integers(3)), int(rng.choice([LEFT, RIGHT]))
    looking = [one] * glance + [LEFT + RIGHT - one] * glance
    before = int(rng.integers(1, 4))
    stand = [STAND] * (rest - before - len(looking))
    return [STAND] * 2 + [back] * situation.turns + [STAND] * before + looking + stand


def _hold(rng: np.random.Generator, situation: _Situation, points: Sequence[int]) -> list[int]:
    """The hidden time: at every point the player faces straight away, having looked about in between."""
    walk = OUT if situation.way == "out" else 0
    hold = [FORWARD] * walk
    for point in points:
        while len(hold) < point:
            left = point - len(hold)
            turns, side = int(rng.integers(1, LOOK + 1)), int(rng.choice([LEFT, RIGHT]))
            still = int(rng.integers(2, 20))
            about = [side] * turns + [STAND] * still + [LEFT + RIGHT - side] * turns + [STAND] * still
            hold += about if len(about) <= left else [STAND] * left
    return hold[: max(points)]


def _reveal(situation: _Situation, k: int) -> list[int]:
    """Back to the pose of the last context frame, after k hidden frames."""
    side, turns = situation.side, situation.turns
    back = LEFT + RIGHT - side
    if situation.way == "back":
        return [back] * turns
    if situation.way == "around":
        return [side] * (TURNS - turns)
    half = TURNS // 2
    return [side] * half + [FORWARD] * min(k, OUT) + [side] * (half - turns)


class _Performance:
    """Plays one twin of a situation; nothing is touched, so poses are the same for all."""

    def __init__(self, env: RoomsEnv, view: View, situation: _Situation, twin: str):
        self._env, self._view, self._situation, self._twin = env, view, situation, twin
        self._things, self._shown = situation.twins[twin], situation.twins["a" if twin == "absent" else twin]

    def scene(self, seed: int, context: list[int], hide: list[int], hold: list[int], points: Sequence[int]) -> Scene:
        """The whole scene."""
        situation = self._situation
        start = (*situation.pose[:2], situation.away)
        self._env.reset(seed=situation.seed, options={"things": self._things, "pose": start})
        poses = [start, *self._poses(start, context)]
        assert poses[-1] == situation.pose
        hidden = self._poses(situation.pose, hide + hold)
        last = self._truth(situation.pose)
        count = situation.count
        return Scene(
            probe="P3",
            world="rooms",
            seed=seed,
            twin=self._twin,
            conditions={
                "objects": count,
                "speed": 0.0,
                "camera": "walk" if situation.way == "out" else "turn",
                "way": situation.way,
                "beside": len(self._shown) - count,
            },
            context=np.stack([self._frame(pose) for pose in poses]),
            actions=np.array(context, np.int64),
            hide=np.array(hide, np.int64),
            hold=np.array(hold, np.int64),
            last=last,
            first=self._truth(hidden[0]),
            targets=tuple(range(count)),
            before=last.things,
            branches=tuple(self._branch(k, hidden[len(hide) + k - 1]) for k in points),
            chance=1 / len(COLOURS),
            start=self._env.save(),
            control=self._control(last, len(hide), points) if self._twin == "a" else None,
        )

    def _branch(self, k: int, pose: Pose) -> Branch:
        reveal = _reveal(self._situation, k)
        actions = reveal + [STAND] * (REVEALED - 1)
        poses = list(self._poses(pose, actions))
        views = [self._truth(at) for at in poses[: len(reveal)]]
        views += [views[-1]] * (REVEALED - 1)  # the player stands
        covered, gate = self._frame(pose), len(reveal) - 1
        landmarks = self._landmarks(views[gate].frame, poses[gate])
        return Branch(k, k, np.array(actions, np.int64), tuple(views), gate, covered, landmarks)

    def _control(self, last: Truth, hide: int, points: Sequence[int]) -> Control:
        """The player stands and keeps looking."""
        starts = {k: hide + k + len(_reveal(self._situation, k)) - 1 for k in points}
        actions = np.full(max(starts.values()) + SCORED, STAND, np.int64)
        return Control(actions, {k: (start, (last,) * SCORED) for k, start in starts.items()})

    def _poses(self, pose: Pose, actions: Sequence[int]) -> list[Pose]:
        poses = []
        for action in actions:
            pose = move(self._situation.plan, pose, action)
            poses.append(pose)
        return poses

    def _frame(self, pose: Pose, things: Sequence[Thing] | None = None) -> np.ndarray:
        x, y, heading = pose
        return self._view.render(
            self._situation.plan, self._things if things is None else things, x, y, *HEADINGS[heading]
        )[0]

    def _truth(self, pose: Pose) -> Truth:
        frame = self._frame(pose)
        return Truth(frame, tuple(self._seen(pose, thing, frame) for thing in self._shown))

    def _seen(self, pose: Pose, thing: Thing, frame: np.ndarray) -> Seen:
        """A thing in pixels, also where it is out of view."""
        x, y, heading = pose
        away, angle = bearing(thing, (x, y, *HEADINGS[heading]))
        shape, focal = SHAPES[thing.shape], self._view.focal
        radius = focal * thing.radius / away
        row = self._view.height / 2 + focal * (EYE - MIDDLES[shape] * thing.radius) / away - 0.5
        area, column = AREAS[shape] * radius**2, self._view.width / 2 + focal * angle - 0.5
        visible = 0.0
        if thing in self._things and -radius < column < self._view.width + radius:
            visible = min(1.0, self._pixels(pose, thing, frame) / area)
        return Seen(thing.colour, thing.shape, column, row, radius, area, visible)

    def _pixels(self, pose: Pose, thing: Thing, frame: np.ndarray) -> float:
        """How many of a thing's pixels are visible: those that change if it has another colour."""
        other = dataclasses.replace(thing, colour=(thing.colour + 3) % len(HUES))
        changed = self._frame(pose, [other if each is thing else each for each in self._things])
        hues = np.abs(HUES[thing.colour].astype(int) - HUES[other.colour]).sum()
        return float(np.abs(frame.astype(np.int16) - changed).sum() / hues)

    def _landmarks(self, frame: np.ndarray, pose: Pose) -> np.ndarray:
        """Boxes of walls, side by side, where there is nothing before them."""
        height, width = frame.shape[:2]
        empty = (frame == self._frame(pose, ())).all(-1)
        top, bottom = height // 2 - height // 8, height // 2 + height // 8
        edges = np.linspace(0, width, 13).astype(int)
        boxes = [(x0, top, x1, bottom) for x0, x1 in itertools.pairwise(edges)]
        return np.array([box for box in boxes if empty[top:bottom, box[0] : box[2]].all()], np.int64).reshape(-1, 4)
