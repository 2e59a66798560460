"""Scripted motions in the toy room: reach, take, carry, put, look, draw the screen, turn the lid.

Each is a generator of actions that reads the room before every one of them: set `Pilot.room` to the current room, then
ask for the next action. Every motion ends, whether it succeeded or not. Deterministic; knows no pixels.
"""

from __future__ import annotations

from collections.abc import Iterator

from worldsim_envs.toybox.room import (
    BOX,
    BOX_HEIGHT,
    BOX_WIDTH,
    CUP_HEIGHT,
    CUP_WIDTH,
    EDGE,
    FIRST_CUP,
    HAND,
    HIGH,
    LID_STEPS,
    LOW,
    NOWHERE,
    PAN,
    SCREEN_STEPS,
    Act,
    Room,
)

Moves = Iterator[int]
PATIENCE = 90  # frames after which a motion is given up


class Pilot:
    """Motions in `room`, which the caller keeps up to date."""

    room: Room

    def wait(self, frames: int) -> Moves:
        """Stand still for some frames."""
        for _ in range(frames):
            yield Act.STAND

    def press(self, action: int) -> Moves:
        """Take an action that acts once per key press; if it was the last action too, release the key first."""
        if self.room.last == action:
            yield Act.STAND
        yield action

    def look_at(self, x: float, at: float | None = None) -> Moves:
        """Pan until x is in the middle of the view, or as many units from its left edge as `at` says."""
        goal = x - (self.room.view / 2 if at is None else at)
        goal = min(max(goal, 0.0), self.room.width - self.room.view)
        for _ in range(PATIENCE):
            if abs(goal - self.room.camera) <= PAN / 2:
                return
            yield Act.PAN_RIGHT if goal > self.room.camera else Act.PAN_LEFT

    def reach(self, x: float, height: float | None = None) -> Moves:
        """Bring the hand to x, panning where the view ends, and then to a height."""
        for _ in range(PATIENCE):
            step = self._towards(x, height)
            if step == Act.STAND:
                return
            yield step

    def take(self, number: int) -> Moves:
        """Grab a toy, BOX or a cup (FIRST_CUP + i), following it if it moves."""
        for _ in range(PATIENCE):
            if self.room.held != NOWHERE:
                return
            x, top = self.grip(number)
            step = self._towards(x, top)
            if step == Act.STAND or (self.room.nearest() == number and abs(x - self.room.hand) <= HAND / 2):
                yield from self.press(Act.GRAB)
                if self.room.held == NOWHERE:
                    yield Act.STAND
            else:
                yield step

    def put(self, x: float, low: float = LOW) -> Moves:
        """Bring what is held to x, lower the fingertips to `low`, and let go; further to the right if x is occupied."""
        if self.room.held >= BOX:
            low = max(low, BOX_HEIGHT if self.room.held == BOX else CUP_HEIGHT)
        yield from self.reach(x)
        yield from self.reach(self.room.hand, low)
        for _ in range(10):
            yield from self.press(Act.GRAB)
            if self.room.held == NOWHERE:
                return
            yield Act.PAN_RIGHT if self.room.hand_x > self.room.view - EDGE - HAND else Act.HAND_RIGHT

    def lift(self, height: float = HIGH) -> Moves:
        """Raise the hand, with what it holds."""
        yield from self.reach(self.room.hand, height)

    def draw_screen(self, down: bool) -> Moves:
        """Let the screen down, or raise it, all the way."""
        while self.room.screen != (SCREEN_STEPS if down else 0):
            yield Act.SCREEN_DOWN if down else Act.SCREEN_UP

    def turn_lid(self, closed: bool) -> Moves:
        """Close or open the box, and wait until that is done."""
        if self.room.closing != closed:
            yield from self.press(Act.LID)
        while self.room.lid != (LID_STEPS if closed else 0):
            yield Act.STAND

    def carry(self, number: int, x: float, over: float | None = None) -> Moves:
        """Take a thing, lift the fingertips to the height `over` if given, and put it down at x."""
        yield from self.take(number)
        if self.room.held == number:
            if over is not None:
                yield from self.lift(over)
            yield from self.put(x)

    def swap(self, one: int, other: int, aside: float) -> Moves:
        """Exchange two cups (FIRST_CUP + i) with what is under them, along the floor, by way of a free place."""
        x, y = self.grip(one)[0], self.grip(other)[0]
        yield from self.carry(one, aside)
        yield from self.carry(other, x)
        yield from self.carry(one, y)

    def grip(self, number: int) -> tuple[float, float]:
        """x and height at which a toy, BOX or a cup is held."""
        if number < BOX:
            toy = self.room.toys[number]
            return toy.x, toy.top
        if number == BOX:
            return self.room.box.x, self.room.box.height + BOX_HEIGHT
        cup = self.room.cups[number - FIRST_CUP]
        return cup.x, cup.height + CUP_HEIGHT

    def free_place(self, near: float, wide: float) -> float:
        """The x closest to `near` around which a width `wide` of floor is free of toys, cups, box and fences."""
        room = self.room
        taken = [(toy.x, 2 * toy.radius) for toy in room.toys if toy.inside == NOWHERE]
        taken += [(cup.x, CUP_WIDTH) for cup in room.cups] + [(room.box.x, BOX_WIDTH)] + [(f, 2.0) for f in room.fences]
        places = (
            x for step in range(200) for x in (near + step, near - step) if wide / 2 <= x <= room.width - wide / 2
        )
        return next((x for x in places if all(abs(x - t) >= (wide + w) / 2 for t, w in taken)), near)

    def _towards(self, x: float, height: float | None) -> int:
        """The next action that brings the hand to a place; Act.STAND once it is there."""
        room = self.room
        if abs(x - room.hand) > HAND / 2:
            right = x > room.hand
            at_edge = room.hand_x >= room.view - EDGE if right else room.hand_x <= EDGE
            can_pan = room.camera < room.width - room.view if right else room.camera > 0
            if at_edge and can_pan:
                return Act.PAN_RIGHT if right else Act.PAN_LEFT
            if not at_edge:
                return Act.HAND_RIGHT if right else Act.HAND_LEFT
        if height is not None and abs(height - room.hand_height) > HAND / 2 and LOW <= height <= HIGH:
            return Act.HAND_UP if height > room.hand_height else Act.HAND_DOWN
        return Act.STAND
