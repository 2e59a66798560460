"""A tiny real world to stage probes in, and simulators of it that remember wrongly in known ways.

Discs on a grey wall with two landmarks; a screen comes down before them in four steps. Actions: stand, down, up, and
swap, which exchanges the places of the first two discs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from worldsim.errors import WorldsimError
from worldsim.evals.permanence.scene import (
    CONTEXT,
    PALETTE,
    REVEALED,
    SCORED,
    Branch,
    Control,
    Scene,
    Thing,
    View,
)
from worldsim.spec import Action, WorldSpec
from worldsim_envs.base import Moment, RealEnv

H, W = 48, 72
STAND, DOWN, UP, SWAP, PAINT = range(5)
STEPS = 4  # of the screen
LEFT, RIGHT = 8, 64  # columns that the screen covers, and within which discs move
TOP, BOTTOM = 6, 42
LANDMARKS = np.array([[1, 2, 6, 12], [66, 30, 71, 44]])
PROBES = ("P1", "P2", "P5", "P6", "P7")
RADIUS = 4
ROOMS: dict[bytes, Room] = {}  # of every context that was staged
SPEC = WorldSpec(
    name="hideaway",
    height=H,
    width=W,
    fps=10,
    frame_skip=1,
    actions=(Action("stand"), *(Action(name, (name,)) for name in ("down", "up", "swap", "paint"))),
    keys={name: (f"Key{name[0].upper()}",) for name in ("down", "up", "swap", "paint")},
    state_names=("screen",),
)


@dataclasses.dataclass(frozen=True)
class Disc:
    """A disc; `gone` is never drawn."""

    colour: int
    x: float
    y: float
    speed: float = 0.0
    gone: bool = False


@dataclasses.dataclass(frozen=True)
class Room:
    """The state of the world: a value."""

    discs: tuple[Disc, ...]
    screen: int = 0  # 0 up, STEPS down
    hidden: int = 0  # frames that the screen is down


def advance(room: Room, action: int) -> Room:
    discs = [_moved(disc) for disc in room.discs]
    if action == SWAP:
        a, b = discs[:2]
        discs[:2] = [dataclasses.replace(a, x=b.x, y=b.y), dataclasses.replace(b, x=a.x, y=a.y)]
    if action == PAINT:
        discs[0] = dataclasses.replace(discs[0], colour=(discs[0].colour + 3) % len(PALETTE))
    screen = min(max(room.screen + {DOWN: 1, UP: -1}.get(action, 0), 0), STEPS)
    return Room(tuple(discs), screen, room.hidden + 1 if screen == STEPS else 0)


def _unused(discs: Sequence[Disc]) -> int:
    return next(colour for colour in range(len(PALETTE)) if colour not in [disc.colour for disc in discs])


def _moved(disc: Disc) -> Disc:
    x, speed = disc.x + disc.speed, disc.speed
    if not LEFT + RADIUS <= x <= RIGHT - RADIUS:
        x, speed = disc.x - disc.speed, -disc.speed
    return dataclasses.replace(disc, x=x, speed=speed)


def draw(room: Room, see_through: bool = False, landmarks: bool = True) -> np.ndarray:
    frame = np.full((H, W, 3), 150, np.uint8)
    for x0, y0, x1, y1 in LANDMARKS[: len(LANDMARKS) * landmarks]:
        frame[y0:y1, x0:x1] = (60, 70, 60)
    screen = slice(TOP, TOP + (BOTTOM - TOP) * room.screen // STEPS), slice(LEFT, RIGHT)
    colours = list(PALETTE.values())
    for disc in room.discs:
        if not disc.gone:
            at = round(disc.x * 16), round(disc.y * 16)
            cv2.circle(frame, at, RADIUS * 16, colours[disc.colour], -1, cv2.LINE_AA, 4)
    if not see_through:
        frame[screen] = (95, 90, 85)
    return frame


def view(room: Room) -> View:
    area = float(np.pi * RADIUS**2)
    edge = TOP + (BOTTOM - TOP) * room.screen // STEPS if room.screen else 0
    seen = [float(not disc.gone and disc.y - RADIUS >= edge) for disc in room.discs]
    things = zip(room.discs, seen, strict=True)
    return View(draw(room), tuple(Thing(d.colour, 0, d.x, d.y, float(RADIUS), area, s) for d, s in things))


def play(room: Room, actions: Sequence[int]) -> list[Room]:
    """The rooms after each action."""
    rooms = []
    for action in actions:
        room = advance(room, int(action))
        rooms.append(room)
    return rooms


def stage(probe: str, seed: int, points: Sequence[int], height: int, width: int) -> tuple[Scene, ...]:
    assert (height, width) == (H, W)
    rng = np.random.default_rng([seed, ord(probe[1])])
    count = int(rng.integers(1, 6)) if probe == "P7" else 2
    colours = (rng.integers(len(PALETTE)) + np.array([0, 2, 5, 3, 4, 1])) % len(PALETTE)  # painted: 3 further on
    places = rng.permutation([15.0, 25.0, 35.0, 45.0, 55.0])
    speed = (0.5 if places[0] < 30 else -0.5) if probe == "P2" else 0.0
    first = Disc(int(colours[0]), float(places[0]), 12.0, speed)
    others = tuple(Disc(int(colours[i]), float(places[i]), 34.0) for i in range(1, count))
    twins = {
        "a": first,
        "colour": dataclasses.replace(first, colour=int(colours[-1])),
        "place": dataclasses.replace(first, x=float(places[1])),
        "absent": dataclasses.replace(first, gone=True),
    }
    actions = np.zeros(CONTEXT - 1, np.int64)
    if probe == "P6":
        actions[20] = PAINT
    hide = np.full(STEPS, DOWN)
    ks = [4 * swaps for swaps in points] if probe == "P5" else list(points)
    hold = np.tile([SWAP, STAND, STAND, STAND], points[-1]) if probe == "P5" else np.zeros(points[-1], np.int64)
    reveal = np.array([UP] * STEPS + [STAND] * (REVEALED - 1))
    scenes = []
    for twin, disc in twins.items():
        start = Room((disc, *others))
        context = [start, *play(start, actions)]
        hidden = play(context[-1], [*hide, *hold])
        branches = []
        for point, k in zip(points, ks, strict=True):
            covered = hidden[STEPS + k - 1]
            views = tuple(view(room) for room in play(covered, reveal))
            branches.append(Branch(point, k, reveal, views, STEPS - 1, draw(covered), LANDMARKS, {"k": k}))
        ROOMS[np.stack([draw(room) for room in context]).tobytes()] = context[-1]
        before = view(start).things if probe == "P6" else view(context[-1]).things
        control = None
        if twin == "a" and probe in ("P1", "P2"):
            still = np.zeros(STEPS + points[-1] + len(reveal), np.int64)
            later = [view(room) for room in play(context[-1], still)]
            at = {point: STEPS + k + STEPS - 1 for point, k in zip(points, ks, strict=True)}
            control = Control(still, {point: (i, tuple(later[i : i + SCORED])) for point, i in at.items()})
        scenes.append(
            Scene(
                probe=probe,
                world="hideaway",
                seed=seed,
                twin=twin,
                conditions={"objects": 1 + len(others), "speed": speed / RADIUS},
                context=np.stack([draw(room) for room in context]),
                actions=actions,
                hide=hide,
                hold=hold,
                last=view(context[-1]),
                first=view(hidden[0]),
                targets=tuple(range(1 + len(others))),
                before=before,
                branches=tuple(branches),
                chance=1 / 6,
                start=start,
                control=control,
            )
        )
    return tuple(scenes)


class TrueModel:
    """The hideaway itself, as an adapter: it knows the rooms of all scenes that were staged. `wrong` is how it errs.

    A context that it does not know shows a screen and nothing else: it then knows no disc.
    """

    def __init__(self, wrong: str = ""):
        self.wrong = wrong

    def reset(self, context_frames: np.ndarray, context_actions: np.ndarray, seed: int) -> Any:
        return ROOMS.get(context_frames.tobytes(), Room((), STEPS, 1))

    def step(self, state: Room, action: int) -> tuple[Room, np.ndarray]:
        room = advance(state, action if state.discs or action != SWAP else STAND)
        if self.wrong == "still":
            return state, draw(state)
        if room.hidden == 1 or (room.hidden == 9 and self.wrong == "forgets"):
            room = dataclasses.replace(room, discs=tuple(self._hidden(room.discs, room.hidden)))
        if room.hidden and self.wrong == "freezes":
            room = dataclasses.replace(room, discs=state.discs)
        if self.wrong == "stuck" and state.screen == STEPS:
            room = dataclasses.replace(room, screen=STEPS)
        return room, draw(room, see_through=self.wrong == "sees through", landmarks=self.wrong != "redecorates")

    def _hidden(self, discs: tuple[Disc, ...], frames: int) -> list[Disc]:
        """What becomes of discs at the moment they are hidden, or a while later."""
        first, rest = discs[:1], list(discs[1:])
        if not first:
            return rest
        disc = first[0]
        if self.wrong == "forgets" and frames > 1:
            return [dataclasses.replace(d, gone=True) for d in discs]
        if self.wrong == "recolours":
            return [dataclasses.replace(disc, colour=_unused(discs)), *rest]
        if self.wrong == "duplicates":
            return [disc, *rest, dataclasses.replace(disc, x=disc.x + (6 if disc.x < 36 else -6), y=23.0)]
        if self.wrong == "misplaces":
            return [dataclasses.replace(disc, y=23.0), *rest]
        if self.wrong == "resets":
            return [dataclasses.replace(disc, colour=(disc.colour - 3) % len(PALETTE)), *rest]
        if self.wrong == "imagines" and disc.gone:
            return [dataclasses.replace(disc, gone=False), *rest]
        if self.wrong == "swaps" and rest:
            return [
                dataclasses.replace(disc, x=rest[0].x, y=rest[0].y),
                dataclasses.replace(rest[0], x=disc.x, y=disc.y),
                *rest[1:],
            ]
        return list(discs)


class HideawayEnv(RealEnv):
    """The hideaway as a real world; it can be restored only."""

    def __init__(self, height: int = H, width: int = W, render_mode: str | None = None):
        if (height, width) != (H, W):
            raise WorldsimError(f"the hideaway is {W}x{H}")
        super().__init__(SPEC, {"source": "a test", "licence": "none"}, render_mode)

    def _restore(self, saved: Room) -> Moment:
        self._room = saved
        return draw(saved), {"state": np.array([saved.screen], np.float32)}

    def _step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        frame, info = self._restore(advance(self._room, action))
        return frame, 0.0, False, False, info


def codec(frames: np.ndarray) -> np.ndarray:
    """An encoder and decoder that lose the last bits of each colour."""
    return (frames // 8 * 8 + 4).astype(np.uint8)
