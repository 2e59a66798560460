"""Random rooms: how many toys, their kinds and places, what moves, where the screen hangs. Knows no pixels.

Nothing is hidden at first: the box is open and empty, the cups are empty, the screen is up.
"""

from __future__ import annotations

import numpy as np

from worldsim.evals.permanence.scene import COLOURS, SHAPES
from worldsim_envs.toybox.room import (
    BALL,
    BESIDES,
    BOX_WIDTH,
    CUP_WIDTH,
    FENCE_WIDTH,
    HAND,
    HIGH,
    PAN,
    TOYS,
    Cover,
    Room,
    Toy,
)

RADII = (4.0, 5.0, 6.0)
SPEEDS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0)  # units a frame
SPEED_ODDS = (0.08, 0.2, 0.1, 0.28, 0.1, 0.16, 0.08)
HOPS = (2.5, 3.0, 3.5, 4.0)  # upward speeds of balls that jump: 10 to 16 frames from floor to floor
SLOT = CUP_WIDTH + 2  # from cup to cup
SCREENS = (32, 62)  # least and greatest width


def draw_room(rng: np.random.Generator, view: float, look: str) -> Room:
    """A room for an episode.

    Args:
        rng: of everything that is random.
        view: width of the view, in units.
        look: name of the drawing style.
    """
    toys = draw_toys(rng, int(rng.integers(1, TOYS + 1)))
    movers = min(int(rng.choice(3, p=[0.35, 0.42, 0.23])), len(toys))
    cups = int(rng.choice([0, 2, 3], p=[0.3, 0.2, 0.5]))
    pen = float(rng.integers(36, 63)) if movers else 0.0
    roam = (
        movers > 0 and len(toys) == movers and rng.random() < 0.5
    )  # nothing else in the way: the whole room is theirs
    pieces: list[tuple[float, int]] = [(BOX_WIDTH + 4, -1)]  # width, and what: -1 box, -2 cups, -3 pen, or a toy
    if movers and not roam:
        pieces.append((pen + 2 * FENCE_WIDTH, -3))
    pieces += [(2 * toy.radius + 4, i) for i, toy in enumerate(toys) if i >= movers]
    if cups:
        pieces.append((SLOT * (cups + 1), -2))
    width = view + BESIDES
    while sum(piece[0] for piece in pieces) > width - 8:  # cups are the first to go, then the last toys
        kind, cups = pieces.pop()[1], 0
        if kind >= 0:
            toys.pop()
    places = _spread(rng, pieces, width)
    room = Room(
        view=view,
        look=look,
        decor=int(rng.integers(2**31)),
        toys=toys,
        box=Cover(places[-1]),
        cups=[Cover(places[-2] + SLOT * (i - cups / 2)) for i in range(cups)],
        fences=[places[-3] - pen / 2 - 1, places[-3] + pen / 2 + 1] if -3 in places else [],
        screen_x=0.0,
        screen_width=2.0 * int(rng.integers(SCREENS[0] // 2, SCREENS[1] // 2 + 1)),
        camera=0.0,
        hand_x=HAND * int(rng.integers(2, int(view / HAND) - 1)),
        hand_height=float(rng.choice(np.arange(24, HIGH + 1, HAND))),
    )
    for i, toy in enumerate(toys):
        if i >= movers:
            toy.x = round(places[i])
            _hop(rng, toy, 0.25)
    _set_rolling(rng, room, movers, places.get(-3, width / 2), pen if not roam else width)
    middle = places[-3] if -3 in places and rng.random() < 0.6 else toys[int(rng.integers(len(toys)))].x
    room.screen_x = _near(middle - room.screen_width / 2 + rng.integers(-8, 9), width - room.screen_width)
    at = room.screen_x + room.screen_width / 2 if rng.random() < 0.6 else rng.uniform(0, width)
    room.camera = PAN * (_near(at - view / 2, BESIDES) // PAN)
    room.want()
    return room


def draw_toys(rng: np.random.Generator, count: int, radii: tuple[float, ...] = RADII) -> list[Toy]:
    """`count` toys, in most cases of different colours, that have no place yet."""
    distinct = rng.random() < 0.8
    colours = rng.permutation(len(COLOURS))[:count] if distinct else rng.integers(len(COLOURS), size=count)
    toys = []
    for colour in colours:
        radius = float(rng.choice(radii))
        shape = int(rng.integers(len(SHAPES) if radius > 4 else len(SHAPES) - 1))  # small crosses are too thin to see
        toys.append(Toy(shape, int(colour), radius, x=0.0))
    return toys


def _spread(rng: np.random.Generator, pieces: list[tuple[float, int]], width: float) -> dict[int, float]:
    """Middles of the pieces, side by side in a random order with random gaps."""
    pieces = [pieces[i] for i in rng.permutation(len(pieces))]
    gaps = rng.dirichlet(np.ones(len(pieces) + 1)) * (width - sum(piece[0] for piece in pieces))
    places, x = {}, 0.0
    for (wide, what), gap in zip(pieces, gaps[:-1], strict=True):
        places[what] = float(round(x + gap + wide / 2))
        x += gap + wide
    return places


def _set_rolling(rng: np.random.Generator, room: Room, movers: int, middle: float, pen: float) -> None:
    """Give the first toys a speed, and places side by side in their pen."""
    for i, toy in enumerate(room.toys[:movers]):
        share = pen / movers
        slack = int(share / 2 - toy.radius - 1)
        toy.x = round(middle - pen / 2 + share * (i + 0.5)) + float(rng.integers(-slack, slack + 1))
        toy.vx = float(rng.choice(SPEEDS, p=SPEED_ODDS) * rng.choice((-1, 1)))
        _hop(rng, toy, 0.1)


def _hop(rng: np.random.Generator, toy: Toy, odds: float) -> None:
    if toy.shape == BALL and rng.random() < odds:
        toy.vy = float(rng.choice(HOPS))
        for _ in range(rng.integers(16)):
            toy.fall(0.0)


def _near(value: float, most: float) -> float:
    return float(round(min(max(value, 0.0), most)))
