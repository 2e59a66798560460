"""Parts of the plans of probes: rooms with nothing in the way, twins, idle hand motions. Knows no probe."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from worldsim.evals.permanence.scene import COLOURS, CONTEXT, SHAPES
from worldsim_envs.toybox.layout import RADII
from worldsim_envs.toybox.moves import Moves, Pilot
from worldsim_envs.toybox.room import BESIDES, BOX_WIDTH, HAND, PAN, Act, Cover, Room, Toy
from worldsim_envs.toybox.view import CARD, CARD_AT, View

TAKEN = CONTEXT - 1  # actions between the context's frames
FARTHEST = 116.0  # units of the view that one can look away from: a room is only so wide


@dataclasses.dataclass
class Plan:
    """One seeded situation.

    Attributes:
        rooms: by twin, at the first context frame. The target is toy 0 of all but "absent", which lacks it.
        targets: numbers of the toys that are hidden.
        context, hide, hold: actions.
        reveals: by point: k, the actions up to the gate, and the conditions of that branch.
        conditions, chance: as in `Scene`.
        hiding: the actions that hide, and that the visible control leaves out; empty: there is no control.
    """

    rooms: dict[str, Room]
    targets: tuple[int, ...]
    context: list[int]
    hide: list[int]
    hold: list[int]
    reveals: dict[int, tuple[int, list[int], Mapping[str, Any]]]
    conditions: dict[str, Any]
    chance: float
    hiding: tuple[int, ...] = ()


class Actor:
    """Plays a copy of a room and returns the actions taken."""

    def __init__(self, room: Room, actions: Sequence[int]):
        self.room = room.copy()
        self.play(actions)

    def play(self, actions: Sequence[int]) -> None:
        """Take these actions."""
        for action in actions:
            self.room.step(action)

    def act(self, way: Callable[[Pilot], Moves], frames: int = 0) -> list[int]:
        """The actions of a motion in it, followed by standing still up to a number of frames."""
        pilot = Pilot()
        pilot.room = self.room
        done = []
        for action in way(pilot):
            self.room.step(action)
            done.append(action)
        assert not frames or len(done) <= frames, (len(done), frames)
        rest = [Act.STAND] * (frames - len(done))
        self.play(rest)
        return done + rest


def empty_room(rng: np.random.Generator, view: View, away: int = 0) -> Room:
    """A room without toys and cups, its box out of the way; `away`: pans to be made to the right (< 0: left)."""
    least, most = max(-away, 0), int(BESIDES / PAN) - max(away, 0)
    camera = PAN * int(rng.integers(least, most + 1))
    left = camera - BOX_WIDTH / 2 - 4
    box = left if left >= BOX_WIDTH / 2 else camera + view.units + BOX_WIDTH / 2 + 4
    shape = int(rng.integers(len(SHAPES)))
    hand = HAND * int(rng.integers(3, int(view.units / HAND) - 2))
    return Room(
        view=view.units,
        look="day",
        decor=int(rng.integers(2**31)),
        toys=[],
        box=Cover(box),
        cups=[],
        fences=[],
        screen_x=float(rng.integers(int(view.units + BESIDES - 40))),
        screen_width=40.0,
        camera=camera,
        hand_x=hand,
        hand_height=float(rng.choice([32.0, 36.0, 40.0])),
        goal=shape,
    )


def way_out(rng: np.random.Generator, view: View) -> tuple[float, int, bool]:
    """How far the view pans away: units, number of pans, and whether to the right."""
    reach = min(view.units, FARTHEST)
    return reach, math.ceil((reach + 8) / PAN), bool(rng.integers(2))


def hang_screen(room: Room, width: float) -> float:
    """Hang the screen in the middle of the view; returns its middle."""
    middle = room.camera + room.view / 2
    room.screen_x, room.screen_width = middle - width / 2, width
    return middle


def slots_of(middle: float, width: float, count: int) -> list[float]:
    """`count` places side by side, rounded to quarters of a unit."""
    return [round((middle + width * ((i + 0.5) / count - 0.5)) * 4) / 4 for i in range(count)]


def a_toy(rng: np.random.Generator, colour: int, x: float, radii: Sequence[float]) -> Toy:
    """A toy of a random shape and one of these radii; the smallest are never crosses, which are too thin to see."""
    radius = float(rng.choice(list(radii)))
    shape = int(rng.integers(len(SHAPES) if radius > RADII[0] else len(SHAPES) - 1))
    return Toy(shape, int(colour), radius, float(x))


def twins_of(
    room: Room, view: View, rng: np.random.Generator, colour: int | None = None, place: float | None = None
) -> dict[str, Room]:
    """The room, with landmarks in view, and its twins: the target in another colour, in another place, or absent."""
    if room.toys and room.toys[0].shape == room.goal:
        room.goal = (room.goal + 1) % len(SHAPES)  # nothing done to the target is to change the card
    while not _landmarks_in_view(room, view):
        room.decor = int(rng.integers(2**31))
    twins = {"a": room}
    if colour is not None:
        twins["colour"] = room.copy()
        twins["colour"].toys[0].colour = int(colour) % len(COLOURS)
    if place is not None:
        twins["place"] = room.copy()
        twins["place"].toys[0].x = float(place)
    twins["absent"] = room.copy()
    del twins["absent"].toys[0]
    return twins


def _landmarks_in_view(room: Room, view: View) -> bool:
    """Whether at least four landmarks are in view above the toys and clear of the card."""
    boxes = view.landmarks(room) / view.scale
    card = CARD_AT + CARD
    return sum(bottom <= 36 and (left > card or top > card) for left, top, _, bottom in boxes) >= 4


def apart(room: Room, place: float, times: Sequence[int]) -> float:
    """Mean and least distance between the target and the same target started at `place`, each capped at two radii.

    Args:
        times: steps from the start, at which that matters.
    """
    one, other = room.copy(), room.copy()
    other.toys[0].x = place
    most, distances = 2 * room.toys[0].radius, []
    for step in range(max(times) + 1):
        if step in times:
            distances.append(min(abs(one.toys[0].x - other.toys[0].x), most))
        one.step(Act.STAND)
        other.step(Act.STAND)
    return sum(distances) / len(distances) + min(distances)


def stroll(rng: np.random.Generator, frames: int) -> list[int]:
    """The hand moves left and right and pauses, for `frames` frames; in half of the cases it only stands."""
    actions: list[int] = []
    while len(actions) < frames and rng.random() < 0.97:
        actions += [Act.STAND] * int(rng.integers(1, 24))
        actions += [int(rng.choice([Act.HAND_LEFT, Act.HAND_RIGHT]))] * int(rng.integers(1, 6))
    actions = actions[:frames] if rng.random() < 0.5 else []
    return actions + [Act.STAND] * (frames - len(actions))
