"""The toy room: what is in it, how it moves, and what the hand can do. Deterministic once a room is drawn.

A room is wider than the view of it. Lengths are in units of a 64th of the view's height; x runs to the right from the
left wall, heights go up from the floor. A step is one frame. All things have the same mass and nothing loses speed by
rolling or bouncing, so speeds are preserved, in view or not. Knows no pixels.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
import json
import math
from typing import Any

from worldsim.errors import WorldsimError
from worldsim.evals.permanence.scene import COLOURS, SHAPES


class Act(enum.IntEnum):
    """The actions, one a frame."""

    STAND = 0
    PAN_LEFT = 1
    PAN_RIGHT = 2
    SCREEN_UP = 3
    SCREEN_DOWN = 4
    HAND_LEFT = 5
    HAND_RIGHT = 6
    HAND_UP = 7
    HAND_DOWN = 8
    GRAB = 9
    PAINT = 10
    LID = 11

    @property
    def label(self) -> str:
        """Its name in the world's spec."""
        return self.name.lower().replace("_", "-")


ONCE = (Act.GRAB, Act.PAINT, Act.LID)  # act when they begin: a key that stays down acts once

PAN, HAND = 4.0, 4.0  # units a frame
GRAVITY = 0.5  # units a frame, a frame
SCREEN_STEPS = 7  # frames it takes to come down
LID_STEPS = 3  # frames it takes to close
REACH = 4.0  # of the hand, sideways and up and down
LOW, HIGH = 8.0, 44.0  # least and greatest height of the hand's fingertips
EDGE = 6.0  # their least distance from the view's sides
BOX_WIDTH, BOX_HEIGHT, BOX_WALL = 24.0, 20.0, 2.0
CUP_WIDTH, CUP_HEIGHT = 14.0, 16.0
FENCE_WIDTH = 2.0
BESIDES = 128.0  # how much wider than the view a room is
TOYS, CUPS = 6, 3  # at most
BALL = SHAPES.index("ball")
NOWHERE, BOX, FIRST_CUP = -1, TOYS, TOYS + 1  # what is held, and what a toy is in: a toy's number, the box, a cup


@dataclasses.dataclass(slots=True)
class Toy:
    """One toy: 2 radii wide and high, whatever its shape.

    Attributes:
        shape, colour: indices into the suite's `SHAPES` and `COLOURS`.
        radius: units. x: of its middle. height: of its lowest point. vx, vy: units a frame, to the right and up.
        inside: BOX, FIRST_CUP + i, or NOWHERE.
    """

    shape: int
    colour: int
    radius: float
    x: float
    height: float = 0.0
    vx: float = 0.0
    vy: float = 0.0
    inside: int = NOWHERE

    @property
    def top(self) -> float:
        """Height of its highest point, by which it is held."""
        return self.height + 2 * self.radius

    def fall(self, floor: float) -> None:
        """A frame of free flight, exact. A loose ball comes back with all its energy, all else lies still."""
        if self.height == floor and self.vy == 0:
            return
        before, speed = self.height - floor, self.vy
        self.height += speed - GRAVITY / 2
        self.vy -= GRAVITY
        if self.height > floor:
            return
        if self.shape == BALL and self.inside == NOWHERE:
            impact = math.sqrt(speed * speed + 2 * GRAVITY * before)
            left = 1 - (speed + impact) / GRAVITY
            self.height = floor + impact * left - GRAVITY / 2 * left * left
            self.vy = impact - GRAVITY * left
        else:
            self.height, self.vy = floor, 0.0


@dataclasses.dataclass(slots=True)
class Cover:
    """The box or a cup, before the toys' lane. x: of its middle; height: of its lowest point; vy: when falling."""

    x: float
    height: float = 0.0
    vy: float = 0.0


@dataclasses.dataclass(slots=True)
class Room:
    """The whole state: two equal rooms have equal futures.

    Attributes:
        view: width of the view in units. look: name of the drawing style. decor: seed of the wall.
        toys: up to TOYS. box, cups: the covers. fences: x of posts between which movers stay.
        screen_x, screen_width: the screen's left edge and width. screen: steps down, 0 … SCREEN_STEPS.
        lid: steps closed, 0 … LID_STEPS. closing: where it is going.
        camera: x of the view's left edge. hand_x: from there. hand_height: of the fingertips.
        held: number of the toy, BOX, FIRST_CUP + i, or NOWHERE.
        goal: shape that is wanted in the box, or -1. score: how often one was put there. last: the previous action.
    """

    view: float
    look: str
    decor: int
    toys: list[Toy]
    box: Cover
    cups: list[Cover]
    fences: list[float]
    screen_x: float
    screen_width: float
    camera: float
    hand_x: float
    hand_height: float
    screen: int = 0
    lid: int = 0
    closing: bool = False
    held: int = NOWHERE
    goal: int = -1
    score: int = 0
    last: int = Act.STAND

    @property
    def width(self) -> float:
        """Of the whole room."""
        return self.view + BESIDES

    @property
    def hand(self) -> float:
        """The hand's x in the room: it goes where the view goes."""
        return self.camera + self.hand_x

    @property
    def hand_top(self) -> float:
        """Height of the fingertips as they are seen: above the toy that is held, also where it stands on the floor."""
        toy = self._held_toy()
        return self.hand_height if toy is None else max(self.hand_height, toy.top)

    def step(self, action: int) -> float:
        """One frame; returns the reward."""
        fresh, self.last = action != self.last, action
        held_before = self.held
        self._move(action)
        if fresh and action in ONCE:
            {Act.GRAB: self._grab_or_let_go, Act.PAINT: self._paint, Act.LID: self._turn_lid}[Act(action)]()
        self.lid += (self.lid < LID_STEPS) if self.closing else -(self.lid > 0)
        self._carry()
        self._fall_covers()
        self._fall_toys()
        self._roll()
        return self._reward(held_before)

    def blocked(self, x: float) -> bool:
        """Whether the screen, however far it is down, hangs before that place: nothing can be touched there."""
        return self.screen > 0 and self.screen_x <= x <= self.screen_x + self.screen_width

    def kinetic(self) -> float:
        """Energy of the loose toys' motion along the floor, for a mass of 1 each."""
        return sum(toy.vx**2 for toy in self.toys) / 2

    def to_bytes(self) -> bytes:
        """JSON that `from_bytes` reads back to an equal room, bit for bit."""
        return json.dumps(dataclasses.asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Room:
        """Read what `to_bytes` wrote.

        Raises:
            WorldsimError: if it isn't that.
        """
        try:
            fields: dict[str, Any] = json.loads(data)
            fields["toys"] = [Toy(**toy) for toy in fields["toys"]]
            fields["box"] = Cover(**fields["box"])
            fields["cups"] = [Cover(**cup) for cup in fields["cups"]]
            return cls(**fields)
        except (ValueError, KeyError, TypeError) as error:
            raise WorldsimError(f"not a saved toy room: {error}. Give restore() what save() gave.") from error

    def copy(self) -> Room:
        """An equal room that shares nothing with this one."""
        return dataclasses.replace(
            self,
            toys=[dataclasses.replace(toy) for toy in self.toys],
            box=dataclasses.replace(self.box),
            cups=[dataclasses.replace(cup) for cup in self.cups],
            fences=list(self.fences),
        )

    def _move(self, action: int) -> None:
        if action in (Act.PAN_LEFT, Act.PAN_RIGHT):
            self.camera = _clip(self.camera + (PAN if action == Act.PAN_RIGHT else -PAN), 0.0, self.width - self.view)
        elif action in (Act.SCREEN_UP, Act.SCREEN_DOWN):
            self.screen = min(max(self.screen + (1 if action == Act.SCREEN_DOWN else -1), 0), SCREEN_STEPS)
        elif action in (Act.HAND_LEFT, Act.HAND_RIGHT):
            self.hand_x = _clip(self.hand_x + (HAND if action == Act.HAND_RIGHT else -HAND), EDGE, self.view - EDGE)
        elif action in (Act.HAND_UP, Act.HAND_DOWN):
            self.hand_height = _clip(self.hand_height + (HAND if action == Act.HAND_UP else -HAND), LOW, HIGH)

    def _turn_lid(self) -> None:
        self.closing = not self.closing

    def _paint(self) -> None:
        number = self.held if 0 <= self.held < len(self.toys) else self.nearest(toys_only=True)
        if number != NOWHERE:
            self.toys[number].colour = (self.toys[number].colour + 1) % len(COLOURS)

    def _grab_or_let_go(self) -> None:
        if self.held == NOWHERE:
            self.held = self.nearest()
            if 0 <= self.held < len(self.toys):
                toy = self.toys[self.held]
                toy.vx = toy.vy = 0.0
                toy.inside = NOWHERE
        elif self.held >= BOX:
            if not self.blocked(self.hand):
                self.held = NOWHERE
        elif not self.blocked(self.hand):
            toy = self.toys[self.held]
            boxed = self._fits_box(toy)
            if self._free(toy, BOX if boxed else NOWHERE):
                toy.inside = BOX if boxed else NOWHERE
                self.held = NOWHERE

    def nearest(self, toys_only: bool = False) -> int:
        """What the hand would grab now: a toy's number, BOX, FIRST_CUP + i, or NOWHERE."""
        if self.blocked(self.hand):
            return NOWHERE
        grips = [(i, toy.x, toy.top) for i, toy in enumerate(self.toys) if self._in_reach(toy)]
        if not toys_only:
            grips.append((BOX, self.box.x, self.box.height + BOX_HEIGHT))
            grips += [(FIRST_CUP + i, cup.x, cup.height + CUP_HEIGHT) for i, cup in enumerate(self.cups)]
        near = [
            (abs(x - self.hand) + abs(top - self.hand_height), i)
            for i, x, top in grips
            if abs(x - self.hand) <= REACH and abs(top - self.hand_height) <= REACH
        ]
        return min(near)[1] if near else NOWHERE

    def _in_reach(self, toy: Toy) -> bool:
        """Whether no cover keeps the hand from a toy."""
        if toy.inside == BOX:
            return self.lid == 0
        if toy.inside != NOWHERE:
            return False
        behind_box = abs(toy.x - self.box.x) < BOX_WIDTH / 2 and toy.top <= self.box.height + BOX_HEIGHT
        behind_cup = any(abs(toy.x - c.x) < CUP_WIDTH / 2 and toy.top <= c.height + CUP_HEIGHT for c in self.cups)
        return not (behind_box or behind_cup)

    def _fits_box(self, toy: Toy) -> bool:
        inner = BOX_WIDTH / 2 - BOX_WALL
        return self.lid == 0 and not self.closing and abs(toy.x - self.box.x) <= inner - toy.radius

    def _free(self, toy: Toy, inside: int) -> bool:
        """Whether a toy let go here would come down beside all others that lie there."""
        others = [o for o in self.toys if o is not toy and o.inside == inside and o.vx == 0]
        if any(abs(o.x - toy.x) < o.radius + toy.radius for o in others):
            return False
        return inside == BOX or all(abs(f - toy.x) >= FENCE_WIDTH / 2 + toy.radius for f in self.fences)

    def _carry(self) -> None:
        """What is held hangs from the fingertips by its top, and can't go through the floor or the walls."""
        if self.held == NOWHERE:
            return
        if self.held < BOX:
            toy = self.toys[self.held]
            toy.x = _clip(self.hand, toy.radius, self.width - toy.radius)
            toy.height = max(self.hand_height - 2 * toy.radius, 0.0)
            return
        cover = self.box if self.held == BOX else self.cups[self.held - FIRST_CUP]
        wide, high = (BOX_WIDTH, BOX_HEIGHT) if self.held == BOX else (CUP_WIDTH, CUP_HEIGHT)
        x = _clip(self.hand, wide / 2, self.width - wide / 2)
        self._shift(self.held, cover, x, max(self.hand_height - high, 0.0))
        cover.vy = 0.0

    def _fall_covers(self) -> None:
        for number, cover in ((BOX, self.box), *((FIRST_CUP + i, cup) for i, cup in enumerate(self.cups))):
            if cover.height > 0 and number != self.held:
                height = cover.height + cover.vy - GRAVITY / 2
                cover.vy -= GRAVITY
                self._shift(number, cover, cover.x, max(height, 0.0))
                if cover.height == 0:
                    cover.vy = 0.0

    def _shift(self, number: int, cover: Cover, x: float, height: float) -> None:
        """Move a cover, and what is in it: a box takes its toys along, a cup only along the floor."""
        landed = cover.height > 0 and height == 0
        for toy in self.toys:
            if toy.inside == number:
                if number == BOX:
                    toy.x += x - cover.x
                    toy.height += height - cover.height
                elif height > 0:
                    toy.inside = NOWHERE
                else:
                    toy.x += x - cover.x
        cover.x, cover.height = x, height
        if landed and number != BOX:
            held, room = self._held_toy(), CUP_WIDTH / 2
            under = [t for t in self.toys if t.inside == NOWHERE and t.height == 0 and t is not held]
            under = [t for t in under if abs(t.x - x) <= room - t.radius]
            if under:
                toy = min(under, key=lambda t: abs(t.x - x))
                toy.inside, toy.vx, toy.vy = number, 0.0, 0.0

    def _held_toy(self) -> Toy | None:
        return self.toys[self.held] if 0 <= self.held < len(self.toys) else None

    def _fall_toys(self) -> None:
        held = self._held_toy()
        for toy in self.toys:
            if toy is not held:
                toy.fall(self.box.height + BOX_WALL if toy.inside == BOX else 0.0)

    def _roll(self) -> None:
        """Along the floor: straight on, off each other, off fences and walls, with no loss.

        In parts of a frame in which nothing goes further than a unit, so that one hit is over before the next.
        """
        held = self._held_toy()
        loose = [toy for toy in self.toys if toy.inside == NOWHERE and toy is not held]
        fastest = max((abs(toy.vx) for toy in loose), default=0.0)
        if fastest:
            loose.sort(key=lambda toy: toy.x)
            parts = 1 << max(math.ceil(math.log2(fastest)), 0)  # a power of two: no part of a unit is rounded
            for _ in range(parts):
                self._roll_on(loose, 1 / parts)

    def _roll_on(self, loose: list[Toy], time: float) -> None:
        """A part of a frame, of toys from left to right."""
        bounds = [self._pen(toy) for toy in loose]
        apart = [b.x - a.x >= a.radius + b.radius for a, b in itertools.pairwise(loose)]
        for toy in loose:
            toy.x += toy.vx * time
        for (a, b), were_apart in zip(itertools.pairwise(loose), apart, strict=True):
            touch = a.radius + b.radius
            if b.x - a.x < touch and a.vx > b.vx and a.height < b.top and b.height < a.top:
                a.vx, b.vx = b.vx, a.vx  # equal masses
                if were_apart:  # each goes on where the other would have: exact, whenever in the frame they met
                    a.x, b.x = b.x - touch, a.x + touch
        for toy, (low, high) in zip(loose, bounds, strict=True):
            if (toy.x < low and toy.vx < 0) or (toy.x > high and toy.vx > 0):
                beyond = low - toy.x if toy.vx < 0 else high - toy.x
                if abs(beyond) <= abs(toy.vx) * time:  # else it was put there, half behind a fence
                    toy.x += 2 * beyond
                toy.vx = -toy.vx

    def _pen(self, toy: Toy) -> tuple[float, float]:
        """How far to the left and right a toy's middle can go."""
        margin = FENCE_WIDTH / 2 + toy.radius
        left = [f + margin for f in self.fences if f <= toy.x]
        right = [f - margin for f in self.fences if f > toy.x]
        return max(left, default=toy.radius), min(right, default=self.width - toy.radius)

    def _reward(self, held_before: int) -> float:
        """1 when a toy of the wanted shape was put into the box; then another is wanted, of those outside."""
        put = self.toys[held_before] if 0 <= held_before < BOX and self.held == NOWHERE else None
        done = put is not None and put.inside == BOX and put.shape == self.goal
        self.score += done
        if done or self.goal < 0:
            self.want()
        return float(done)

    def want(self) -> None:
        """Choose the next shape in turn among the toys outside the box; none if all are in it."""
        shapes = {toy.shape for toy in self.toys if toy.inside != BOX}
        self.goal = min(shapes, key=lambda shape: (shape - self.goal - 1) % len(SHAPES), default=-1)


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
