"""Scripted explorer of the toy box: hides things in every possible way, and comes back to look at them.

Behind the screen, out of view, in the box and under cups, with the box carried and the cups swapped; they stay hidden
for 1 to about 1,000 frames, log-uniform. In between it paints, moves toys, stands still and presses random keys. It
plays from the exact state; its behaviour is a sequence of errands, each a generator of actions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from worldsim_envs.toybox.env import room_of
from worldsim_envs.toybox.layout import SLOT
from worldsim_envs.toybox.moves import Moves, Pilot
from worldsim_envs.toybox.room import BOX, BOX_WIDTH, CUP_WIDTH, FIRST_CUP, HAND, HIGH, NOWHERE, Act, Toy

EPISODE = 1500  # frames that an episode is expected to have
LONGEST = 1000  # frames that something stays hidden at most
SLIP = 0.004  # probability of a random action in place of the planned one
KEYS = np.array([3, 2, 2, 0.5, 0.5, 2, 2, 1.5, 1.5, 0.7, 0.5, 0.4])  # odds of each action when keys are random


class ToyboxExplorer:
    """Plays one episode from `info["state"]`.

    Args:
        rng: of all random choices.
    """

    def __init__(self, rng: np.random.Generator):
        self._rng = rng
        self._pilot = Pilot()
        self._errand: Moves = iter(())
        self._frame = 0
        self._patient = self._rng.random() < 0.65  # hides things for a long time

    def __call__(self, observation: np.ndarray, info: dict[str, Any]) -> int:
        """The next action."""
        self._pilot.room = room_of(info["state"])
        self._frame += 1
        action = next(self._errand, None)
        while action is None:
            self._errand = self._next_errand()
            action = next(self._errand, None)
        return int(self._rng.integers(len(Act))) if self._rng.random() < SLIP else action

    def _next_errand(self) -> Moves:
        errands: list[tuple[float, Callable[[], Moves]]] = [
            (0.24, self._screen), (0.17, self._look_away), (0.2, self._box), (0.24, self._cups), (0.09, self._paint),
            (0.06, self._move), (0.05, self._keys), (0.02, lambda: self._pilot.wait(self._pick(5, 40))),
        ]  # fmt: skip
        odds = np.array([weight for weight, _ in errands])
        return errands[self._rng.choice(len(errands), p=odds / odds.sum())][1]()

    def _pick(self, low: int, high: int) -> int:
        return int(self._rng.integers(low, high + 1))

    def _chance(self, odds: float) -> bool:
        return bool(self._rng.random() < odds)

    def _hidden_time(self) -> int:
        """Frames, log-uniform; short enough that the episode shows the thing again."""
        frames = int(LONGEST ** self._rng.random()) if self._patient else int(100 ** self._rng.random())
        return min(frames, max(EPISODE - 40 - self._frame, 5))

    # --- errands

    def _screen(self) -> Moves:
        """Lower the screen in front of something, pass some time, raise it."""
        pilot, room = self._pilot, self._pilot.room
        yield from self._empty_hand()
        middle = room.screen_x + room.screen_width / 2
        behind = [t for t in room.toys if abs(t.x - middle) < room.screen_width / 2 and t.inside == NOWHERE]
        if (not behind and self._chance(0.8)) or self._chance(0.2):
            toy = self._some_toy()
            if toy is not None:
                yield from pilot.look_at(pilot.grip(toy)[0])
                free = pilot.free_place(middle + self._pick(-12, 12), 2 * room.toys[toy].radius + 2)
                yield from pilot.carry(toy, free, HIGH if self._chance(0.5) else None)
        yield from pilot.look_at(middle, room.view / 2 + self._pick(-12, 12))
        yield from pilot.lift(self._pick(6, 11) * HAND)
        yield from pilot.wait(self._pick(0, 8))
        yield from pilot.draw_screen(down=True)
        yield from self._pass_time(away=0.15, deal=0.25)
        yield from pilot.look_at(middle, room.view / 2 + self._pick(-12, 12))
        yield from pilot.draw_screen(down=False)
        yield from pilot.wait(self._pick(2, 12))

    def _look_away(self) -> Moves:
        """Pan until something is out of view, pass some time, and pan back."""
        pilot = self._pilot
        if self._chance(0.85):
            yield from self._empty_hand()
        room = pilot.room
        camera = room.camera
        space = [camera, room.width - room.view - camera]
        right = self._chance(space[1] / sum(space))
        steps = min(self._pick(6, 34), int(space[right] / 4))
        for _ in range(steps):
            yield Act.PAN_RIGHT if right else Act.PAN_LEFT
        yield from self._pass_time(away=0.1, deal=0.15)
        yield from pilot.look_at(camera, 0.0)
        yield from pilot.wait(self._pick(2, 12))
        if self._chance(0.3):  # again, for another duration
            yield from self._look_away()

    def _box(self) -> Moves:
        """Put a toy into the box, close it, carry it elsewhere, open it, take the toy out."""
        pilot = self._pilot
        yield from self._ready()
        boxed = [i for i, t in enumerate(pilot.room.toys) if t.inside == BOX]
        if not boxed or self._chance(0.3):
            toy = self._some_toy()
            if toy is None:
                return
            yield from pilot.turn_lid(closed=False)
            yield from pilot.carry(toy, pilot.room.box.x, HIGH if self._chance(0.5) else None)
            yield from self._empty_hand()
        yield from pilot.look_at(pilot.room.box.x, pilot.room.view / 2 + self._pick(-14, 14))
        yield from pilot.wait(self._pick(0, 8))
        yield from pilot.turn_lid(closed=True)
        if self._chance(0.5):
            yield from self._carry_box()
        if self._chance(0.8):
            yield from self._pass_time(away=0.2, deal=0.2)
        if self._chance(0.3):
            yield from self._carry_box()
        yield from pilot.look_at(pilot.room.box.x, pilot.room.view / 2 + self._pick(-14, 14))
        yield from pilot.turn_lid(closed=False)
        yield from pilot.wait(self._pick(2, 10))
        boxed = [i for i, t in enumerate(pilot.room.toys) if t.inside == BOX]
        if boxed and self._chance(0.7):
            yield from pilot.carry(boxed[0], self._floor(pilot.room.toys[boxed[0]]), HIGH)

    def _carry_box(self) -> Moves:
        pilot = self._pilot
        to = pilot.free_place(pilot.room.box.x + self._pick(-60, 60), BOX_WIDTH)
        yield from pilot.carry(BOX, to, self._pick(5, 9) * HAND if self._chance(0.4) else None)
        yield from pilot.lift(self._pick(6, 11) * HAND)

    def _cups(self) -> Moves:
        """Put a cup over a toy, move or swap the cups, and lift one."""
        pilot = self._pilot
        if not pilot.room.cups:
            return
        yield from self._ready()
        room = pilot.room
        under = {t.inside for t in room.toys}
        empty = [FIRST_CUP + i for i in range(len(room.cups)) if FIRST_CUP + i not in under]
        if len(empty) == len(room.cups) or self._chance(0.25):
            toy = self._some_toy()
            if toy is None or not empty:
                return
            cup = empty[self._pick(0, len(empty) - 1)]
            row = float(np.median([c.x for c in room.cups]))
            if abs(pilot.grip(toy)[0] - row) > 1.5 * SLOT + 8 or room.toys[toy].vx or self._chance(0.3):
                yield from pilot.carry(toy, pilot.free_place(row + self._pick(-10, 10), SLOT + 2), HIGH)
                yield from self._empty_hand()
            yield from pilot.look_at(row)
            yield from pilot.wait(self._pick(0, 6))
            yield from pilot.carry(cup, pilot.grip(toy)[0], HIGH - HAND)
        row = float(np.mean([c.x for c in pilot.room.cups]))
        yield from pilot.look_at(row)
        if self._chance(0.7):
            for _ in range(int(self._rng.choice([1, 1, 1, 2, 2, 4, 8]))):
                yield from self._swap()
        if self._chance(0.6):
            yield from self._pass_time(away=0.2, deal=0.0)
        full = sorted({t.inside for t in pilot.room.toys if t.inside >= FIRST_CUP})
        cups = full if full and self._chance(0.75) else [FIRST_CUP + i for i in range(len(pilot.room.cups))]
        for cup in cups[:2]:
            yield from pilot.look_at(pilot.grip(cup)[0], pilot.room.view / 2 + self._pick(-16, 16))
            yield from pilot.take(cup)
            yield from pilot.lift(self._pick(7, 11) * HAND)
            yield from pilot.wait(self._pick(1, 8))
            back = self._chance(0.4)
            x = pilot.room.hand if back else pilot.free_place(pilot.room.hand, SLOT)
            yield from pilot.put(x)
            yield from pilot.lift(self._pick(6, 11) * HAND)

    def _swap(self) -> Moves:
        pilot = self._pilot
        if len(pilot.room.cups) < 2:
            return
        one, other = (FIRST_CUP + int(i) for i in self._rng.permutation(len(pilot.room.cups))[:2])
        aside = pilot.free_place(float(np.mean([c.x for c in pilot.room.cups])) + self._pick(-8, 8), CUP_WIDTH)
        if self._chance(0.3):
            yield from pilot.carry(one, aside)
        else:
            yield from pilot.swap(one, other, aside)

    def _paint(self) -> Moves:
        """Paint a toy, then often look away."""
        pilot = self._pilot
        yield from self._ready()
        toy = self._some_toy(still=True)
        if toy is None:
            return
        yield from pilot.look_at(pilot.grip(toy)[0], pilot.room.view / 2 + self._pick(-16, 16))
        yield from pilot.reach(*pilot.grip(toy))
        for _ in range(int(self._rng.choice([1, 1, 2, 3, 5]))):
            yield from pilot.press(Act.PAINT)
            yield from pilot.wait(self._pick(0, 4))
        yield from pilot.lift(self._pick(6, 11) * HAND)
        if self._chance(0.6):
            yield from self._look_away()

    def _move(self) -> Moves:
        """Move a toy, then often look away."""
        pilot = self._pilot
        yield from self._ready()
        toy = self._some_toy()
        if toy is None:
            return
        yield from pilot.take(toy)
        if self._chance(0.5):
            yield from pilot.lift(self._pick(5, 11) * HAND)
        drop = self._chance(0.3)  # from above: balls bounce
        yield from pilot.put(self._floor(pilot.room.toys[toy]), self._pick(4, 10) * HAND if drop else 8.0)
        yield from pilot.lift(self._pick(6, 11) * HAND)
        if self._chance(0.6):
            yield from self._look_away()

    def _keys(self) -> Moves:
        """Random keys, each held for a while."""
        for _ in range(self._pick(3, 12)):
            key = int(self._rng.choice(len(Act), p=KEYS / KEYS.sum()))
            for _ in range(self._pick(1, 7)):
                yield key

    # --- parts of errands

    def _pass_time(self, away: float, deal: float) -> Moves:
        """Wait while something is hidden: mostly still, sometimes glancing about or moving what is in view."""
        pilot = self._pilot
        end = self._frame + self._hidden_time()
        busy = self._chance(0.5)
        while self._frame < end:
            left = end - self._frame
            if not busy or self._chance(0.4):
                yield from pilot.wait(min(left, self._pick(3, 60)))
            elif left > 40 and self._chance(away):
                yield from self._glance()
            elif left > 60 and self._chance(deal):
                yield from self._move_what_is_seen()
            else:
                yield from self._wander(min(left, self._pick(4, 30)))

    def _wander(self, frames: int) -> Moves:
        """Move the hand at random."""
        while frames > 0:
            action = int(self._rng.choice([5, 6, 7, 8]))
            for _ in range(min(frames, self._pick(1, 6))):
                yield action
                frames -= 1

    def _glance(self) -> Moves:
        """Pan away and back."""
        camera, steps = self._pilot.room.camera, self._pick(2, 20)
        right = self._chance(0.5)
        for _ in range(steps):
            yield Act.PAN_RIGHT if right else Act.PAN_LEFT
        yield from self._pilot.look_at(camera, 0.0)

    def _move_what_is_seen(self) -> Moves:
        pilot = self._pilot
        toy = self._some_toy(still=True)
        if toy is not None and pilot.room.held == NOWHERE:
            yield from pilot.carry(toy, self._floor(pilot.room.toys[toy]), HIGH)
            yield from pilot.lift(self._pick(6, 11) * HAND)

    def _ready(self) -> Moves:
        """Screen up, nothing in the hand."""
        yield from self._pilot.draw_screen(down=False)
        yield from self._empty_hand()

    def _empty_hand(self) -> Moves:
        pilot = self._pilot
        if pilot.room.held != NOWHERE:
            yield from pilot.draw_screen(down=False)
            yield from pilot.put(pilot.free_place(pilot.room.hand, BOX_WIDTH if pilot.room.held == BOX else SLOT))
            yield from pilot.lift(self._pick(6, 11) * HAND)

    def _floor(self, toy: Toy) -> float:
        """A free position on the floor near the toy."""
        return self._pilot.free_place(toy.x + self._pick(-70, 70), 2 * toy.radius + 2)

    def _some_toy(self, still: bool = False) -> int | None:
        """A random toy that can be taken, near ones more often."""
        room = self._pilot.room
        toys = [
            i
            for i, t in enumerate(room.toys)
            if t.inside == NOWHERE
            and not room.blocked(t.x)
            and (t.vx == 0 or (not still and abs(t.vx) <= 3 and self._chance(0.1)))
        ]
        if not toys:
            return None
        near = np.array([1 / (20 + abs(room.toys[i].x - room.hand)) for i in toys])
        return toys[self._rng.choice(len(toys), p=near / near.sum())]
