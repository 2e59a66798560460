"""The plan of each probe of the permanence suite in the toy box, by the world's own actions alone.

A plan is the room at the first context frame, one for each twin, and every action from there: context, hiding, hidden
time, and the reveal at each point. The same seed gives the same plan; the number of actions depends on the probe and
the size of the view alone. Knows no pixels but where the wall's landmarks are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from worldsim.errors import WorldsimError
from worldsim.evals.permanence.scene import COLOURS, SCORED
from worldsim_envs.toybox.layout import RADII, SLOT
from worldsim_envs.toybox.moves import Moves, Pilot
from worldsim_envs.toybox.room import (
    BOX,
    BOX_HEIGHT,
    BOX_WALL,
    BOX_WIDTH,
    CUP_HEIGHT,
    FIRST_CUP,
    HAND,
    HIGH,
    LID_STEPS,
    NOWHERE,
    PAN,
    SCREEN_STEPS,
    Act,
    Cover,
    Room,
)
from worldsim_envs.toybox.sets import (
    TAKEN,
    Actor,
    Plan,
    a_toy,
    apart,
    empty_room,
    hang_screen,
    slots_of,
    stroll,
    twins_of,
    way_out,
)
from worldsim_envs.toybox.view import View

SCREEN = 62.0  # units of its width where all is hidden behind it
PREVIEW = 20  # pans of the context that show what one will look at
COVERING, SWAPPING, UNCOVERING = 48, 80, 34  # frames: cups over toys, two cups exchanged, a cup taken away
OVER = 28.0  # fingertips' height at which a cup passes over a toy


def plan(probe: str, seed: int, points: Sequence[int], view: View) -> Plan:
    """The plan of a probe.

    Raises:
        WorldsimError: for a probe that there isn't, or a view that is higher than wide.
    """
    if probe not in PLANS:
        raise WorldsimError(f"the toy box has no probe {probe!r}; it has {', '.join(PLANS)}")
    if view.width < view.height:
        raise WorldsimError(f"the toy box's probes need a view as wide as high; {view.width}x{view.height} is not")
    rng = np.random.default_rng([seed, list(PLANS).index(probe)])
    return PLANS[probe](rng, points, view)


def _screen(rng: np.random.Generator, points: Sequence[int], view: View) -> Plan:
    """P1: toys behind the screen."""
    count = int(rng.integers(1, 6))
    width = SCREEN if count > 2 else float(rng.integers(23, 32) * 2)
    room = empty_room(rng, view)
    middle = hang_screen(room, width)
    colours, places = rng.permutation(len(COLOURS)), rng.permutation(slots_of(middle, width - 2, count + 1))
    radii = [r for r in RADII if r <= (width - 2) / (count + 1) / 2 - 0.75]
    room.toys = [a_toy(rng, colours[i], places[i], radii) for i in range(count)]
    rooms = twins_of(room, view, rng, colours[count], places[count])
    return _behind_screen(rng, rooms, points, {"objects": count, "speed": 0.0})


def _mover(rng: np.random.Generator, points: Sequence[int], view: View) -> Plan:
    """P2: one or two toys that go back and forth between two fences behind the screen."""
    count = int(rng.choice([1, 1, 1, 2]))
    room = empty_room(rng, view)
    middle = hang_screen(room, SCREEN)
    pen = float(rng.integers(20, 29) * 2)
    room.fences = [middle - pen / 2 - 1, middle + pen / 2 + 1]
    colours, radius = rng.permutation(len(COLOURS)), RADII[0]
    share = pen / count
    radii_a_frame = float(rng.choice([0.5, 1.0, 2.0]))
    for i in range(count):
        low = middle - pen / 2 + share * i + radius
        toy = a_toy(rng, colours[i], low + int(rng.integers(int(share - 2 * radius) + 1)), [radius])
        toy.vx = radii_a_frame * radius * int(rng.choice([-1, 1]))
        room.toys.append(toy)
    gates = [TAKEN + 2 * SCREEN_STEPS + k for k in points]
    times = [TAKEN, *(gate + i for gate in gates for i in range(SCORED))]
    low, least = int(middle - pen / 2 + radius), int(share - 2 * radius)
    place = max((float(low + i) for i in rng.integers(least + 1, size=24)), key=lambda x: apart(room, x, times))
    rooms = twins_of(room, view, rng, colours[count], place)
    return _behind_screen(rng, rooms, points, {"objects": count, "speed": radii_a_frame})


def _count(rng: np.random.Generator, points: Sequence[int], view: View) -> Plan:
    """P7: one to six toys behind the screen."""
    count = int(rng.integers(1, 7))
    room = empty_room(rng, view)
    middle = hang_screen(room, SCREEN)
    colours, places = rng.permutation(len(COLOURS)), rng.permutation(slots_of(middle, SCREEN - 2, max(count, 4)))
    radii = [r for r in RADII if r <= (SCREEN - 2) / max(count, 4) / 2 - 0.75]
    room.toys = [a_toy(rng, colours[i], places[i], radii) for i in range(count)]
    rooms = twins_of(room, view, rng)
    return _behind_screen(rng, rooms, points, {"objects": count, "speed": 0.0})


def _look_away(rng: np.random.Generator, points: Sequence[int], view: View) -> Plan:
    """P3: the view pans to the toys, away from them, and back."""
    count, beside = int(rng.integers(1, 5)), int(rng.integers(2))
    reach, steps, right = way_out(rng, view)
    room = empty_room(rng, view, away=steps if right else -steps)
    home = room.camera
    colours = rng.permutation(len(COLOURS))
    first = home + (0 if right else view.units - reach)
    places = rng.permutation(slots_of(first + reach / 2, reach - 4, count + 1))
    radii = [r for r in RADII if r <= (reach - 4) / (count + 1) / 2 - 1]
    room.toys = [a_toy(rng, colours[i], places[i], radii) for i in range(count)]
    if beside:
        away = home + PAN * (steps if right else -steps) + view.units / 2
        room.toys.append(a_toy(rng, colours[4], away + int(rng.integers(-10, 11)), RADII))
    rooms = twins_of(room, view, rng, colours[5], places[count])
    out, back = (Act.PAN_RIGHT, Act.PAN_LEFT) if right else (Act.PAN_LEFT, Act.PAN_RIGHT)
    preview = min(steps, PREVIEW)
    for one in rooms.values():
        one.camera += PAN * preview * (1 if right else -1)
    return Plan(
        rooms,
        tuple(range(count)),
        [Act.STAND] * 2 + [back] * preview + stroll(rng, TAKEN - 2 - preview),
        [out] * steps,
        stroll(rng, max(points)),
        {k: (k, [back] * steps, {}) for k in points},
        {"objects": count, "speed": 0.0, "camera": "pan"},
        1 / len(COLOURS),
        hiding=(Act.PAN_LEFT, Act.PAN_RIGHT),
    )


def _container(rng: np.random.Generator, points: Sequence[int], view: View) -> Plan:
    """P4: a toy in the box, whose lid closes; other toys lie beside it."""
    rooms, others = _boxed(rng, view, int(rng.integers(0, 3)))
    return _behind_lid(rng, rooms, stroll(rng, max(points)), points, {"objects": 1 + others, "carried": False})


def _carried(rng: np.random.Generator, points: Sequence[int], view: View) -> Plan:
    """P4b: the same, and the hand carries the closed box about, and away from where it was."""
    rooms, others = _boxed(rng, view, 0)
    for room in rooms.values():
        room.held, room.hand_x, room.hand_height = BOX, room.box.x - room.camera, BOX_HEIGHT
    room = rooms["a"]
    hold: list[int] = [Act.STAND] * 2
    least, most = BOX_WIDTH / 2 + 2, view.units - BOX_WIDTH / 2 - 2
    ways = [s for s in range(-20, 21) if abs(s) >= 3 and least <= room.hand_x + s * HAND <= most]
    at = 0
    while len(hold) < max(points):
        to, raised = int(rng.choice(ways)), int(rng.integers(0, 4)) if rng.random() < 0.5 else 0
        aside = Act.HAND_RIGHT if to > at else Act.HAND_LEFT
        hold += [Act.HAND_UP] * raised + [aside] * abs(to - at) + [Act.HAND_DOWN] * raised
        hold += [Act.STAND] * int(rng.integers(12, 49))
        at = to
    hold = hold[: max(points)]
    made = _behind_lid(rng, rooms, hold, points, {"objects": 1 + others, "carried": True})
    made.context = [Act.STAND] * TAKEN
    return made


def _shells(rng: np.random.Generator, points: Sequence[int], view: View) -> Plan:
    """P5: cups come down over a toy, and are swapped; all are taken away again, from left to right."""
    cups = int(rng.choice([2, 3, 3, 3]))
    room = empty_room(rng, view)
    slots = [room.camera + view.units / 2 + SLOT * (i - 1.5) for i in rng.permutation(4)]
    under, other, full, free = slots  # one of the first two has the toy, the third a cup, the fourth the second cup
    room.cups = [Cover(under, HIGH - CUP_HEIGHT), Cover(free), Cover(full)][:cups]
    colours = rng.permutation(len(COLOURS))
    room.toys = [a_toy(rng, colours[0], under, RADII[:2])]
    room.held, room.hand_x, room.hand_height = FIRST_CUP, under - room.camera, HIGH
    steps = int(rng.integers(1, 4)) * int(rng.choice([-1, 1]))
    if not 8 <= room.hand_x + steps * HAND <= view.units - 8:
        steps = -steps
    room.hand_x += steps * HAND
    room.cups[0].x += steps * HAND
    rooms = twins_of(room, view, rng, colours[1], other)
    context: list[int] = [Act.STAND] * 3
    context += [Act.HAND_LEFT if steps > 0 else Act.HAND_RIGHT] * abs(steps)
    context += [Act.STAND] * (TAKEN - len(context))
    actor = Actor(room, context)
    hide: list[int] = [*([Act.HAND_DOWN] * int((HIGH - CUP_HEIGHT) / HAND)), Act.GRAB]
    actor.play(hide)
    hide += actor.act(lambda pilot: pilot.carry(FIRST_CUP + 1, other, OVER), COVERING - len(hide))
    hold: list[int] = [Act.STAND] * 2
    actor.play(hold)
    reveals: dict[int, tuple[int, list[int], Mapping[str, Any]]] = {}
    for swaps in range(max(points) + 1):
        if swaps:
            one, two = (FIRST_CUP + int(i) for i in rng.permutation(cups)[:2])
            hold += actor.act(lambda pilot, a=one, b=two: pilot.swap(a, b, free), SWAPPING)  # type: ignore[misc]
        if swaps in points:
            uncover: list[int] = []
            revealer = Actor(actor.room, [])
            for cup in np.argsort([c.x for c in actor.room.cups]):
                uncover += revealer.act(lambda pilot, cup=cup: _uncover(pilot, FIRST_CUP + int(cup), free), UNCOVERING)  # type: ignore[misc]
            reveals[swaps] = (len(hold), uncover + [Act.STAND] * (UNCOVERING * (3 - cups) + 8), {"swaps": swaps})
    conditions = {"objects": 1, "speed": 0.0, "camera": "still", "cups": cups}
    return Plan(rooms, (0,), context, hide, hold, reveals, conditions, 1 / cups)


def _interaction(rng: np.random.Generator, points: Sequence[int], view: View) -> Plan:
    """P6: a toy is moved, painted, or put into the box, which closes; then the view pans away and back."""
    kind, count = str(rng.choice(["move", "paint", "remove"])), int(rng.integers(1, 4))
    reach, steps, right = way_out(rng, view)
    room = empty_room(rng, view, away=steps if right else -steps)
    first = room.camera + (0 if right else view.units - reach)
    slots = slots_of(first + reach / 2, reach - 4, 5)
    at, side = int(rng.integers(1, 4)), int(rng.choice([-1, 1]))
    base = int(rng.integers(len(COLOURS)))
    colours = [(base + i) % len(COLOURS) for i in (0, 4, 5)]  # paint makes the target's the next; its twin's is 2 on
    free = [i for i in range(5) if i not in (at, at + side)]
    others = rng.permutation(free)[: count - 1]
    room.toys = [a_toy(rng, colours[0], slots[at], RADII[:2])]
    room.toys += [a_toy(rng, colours[i + 1], slots[o], RADII[:2]) for i, o in enumerate(others)]
    if kind == "remove":
        room.box = Cover(slots[at] + side * 20.0)
        room.toys = [t for t in room.toys if abs(t.x - room.box.x) > BOX_WIDTH / 2 + t.radius]
    target = room.toys[0]
    room.hand_x, room.hand_height = target.x - room.camera + HAND * int(rng.integers(-2, 3)), 20.0
    rooms = twins_of(room, view, rng, base + 2)
    context: list[int] = [Act.STAND] * 2
    actor = Actor(room, context)
    if kind == "paint":
        context += actor.act(lambda pilot: _paint(pilot, 0))
    elif kind == "move":
        context += actor.act(lambda pilot: pilot.carry(0, slots[at + side], 20.0))
    else:
        context += actor.act(lambda pilot: _put_away(pilot, 0))
    context += [Act.HAND_UP] * 4
    context += [Act.STAND] * (TAKEN - len(context))
    out, back = (Act.PAN_RIGHT, Act.PAN_LEFT) if right else (Act.PAN_LEFT, Act.PAN_RIGHT)
    conditions = {"objects": len(room.toys), "speed": 0.0, "camera": "pan", "interaction": kind}
    return Plan(
        rooms,
        (0,),
        context,
        [out] * steps,
        stroll(rng, max(points)),
        {k: (k, [back] * steps, {}) for k in points},
        conditions,
        1 / len(COLOURS) if kind == "paint" else 1 / 2,
        hiding=(Act.PAN_LEFT, Act.PAN_RIGHT),
    )


PLANS: dict[str, Callable[[np.random.Generator, Sequence[int], View], Plan]] = {
    "P1": _screen,
    "P2": _mover,
    "P3": _look_away,
    "P4": _container,
    "P4b": _carried,
    "P5": _shells,
    "P6": _interaction,
    "P7": _count,
}


def _behind_screen(
    rng: np.random.Generator, rooms: dict[str, Room], points: Sequence[int], conditions: dict[str, Any]
) -> Plan:
    """The screen comes down and goes up."""
    return Plan(
        rooms,
        tuple(range(len(rooms["a"].toys))),
        stroll(rng, TAKEN),
        [Act.SCREEN_DOWN] * SCREEN_STEPS,
        stroll(rng, max(points)),
        {k: (k, [Act.SCREEN_UP] * SCREEN_STEPS, {}) for k in points},
        {**conditions, "camera": "still"},
        1 / len(COLOURS),
        hiding=(Act.SCREEN_DOWN, Act.SCREEN_UP),
    )


def _boxed(rng: np.random.Generator, view: View, others: int) -> tuple[dict[str, Room], int]:
    """A toy in the open box in the middle of the view, and others beside it."""
    room = empty_room(rng, view)
    room.box = Cover(room.camera + view.units / 2 + int(rng.integers(-6, 7)))
    colours, radius = rng.permutation(len(COLOURS)), RADII[0]
    off = float(rng.integers(4, 7)) * int(rng.choice([-1, 1]))
    target = a_toy(rng, colours[0], room.box.x + off, [radius])
    target.inside, target.height = BOX, BOX_WALL
    room.toys = [target]
    for i, side in enumerate(rng.permutation([-1, 1])[:others]):
        room.toys.append(a_toy(rng, colours[i + 1], room.box.x + side * int(rng.integers(19, 21)), RADII[:2]))
    return twins_of(room, view, rng, colours[5], room.box.x - off), others


def _behind_lid(
    rng: np.random.Generator,
    rooms: dict[str, Room],
    hold: list[int],
    points: Sequence[int],
    conditions: dict[str, Any],
) -> Plan:
    """The lid closes and opens."""
    turn: list[int] = [Act.LID, *([Act.STAND] * (LID_STEPS - 1))]
    return Plan(
        rooms,
        (0,),
        stroll(rng, TAKEN),
        turn,
        hold,
        {k: (k, turn, {}) for k in points},
        {**conditions, "speed": 0.0, "camera": "still"},
        1 / len(COLOURS),
        hiding=(Act.LID,),
    )


def _uncover(pilot: Pilot, cup: int, aside: float) -> Moves:
    """Lift a cup off what is under it and put it aside."""
    yield from pilot.take(cup)
    yield from pilot.lift(OVER)
    yield from pilot.put(aside, OVER)


def _paint(pilot: Pilot, toy: int) -> Moves:
    yield from pilot.reach(*pilot.grip(toy))
    yield from pilot.press(Act.PAINT)


def _put_away(pilot: Pilot, toy: int) -> Moves:
    """Put a toy into the box and close the lid."""
    yield from pilot.carry(toy, pilot.room.box.x)
    assert pilot.room.held == NOWHERE
    yield from pilot.turn_lid(closed=True)
