"""One play of one world on the server: its history, what is asked for, and the seats of those who play it together.

The same as static/player.js, whose head lists commands and events; here it is the room that makes the steps, and there
may be several seats. Knows no network.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from worldsim.errors import WorldsimError
from worldsim.runtime.session import State
from worldsim.spec import WorldSpec
from worldsim.viewer.history import History

MOST_SEATS = 4
MOST_KEYS = 32  # held at once
MOST_STEPS = 10  # asked for and not made yet


@dataclasses.dataclass(frozen=True)
class Moment:
    """One frame of a play.

    Attributes:
        state: of one row.
        picture: its frame as PNG.
        reward, ended: of the step that led to it.
    """

    state: State
    picture: bytes
    reward: float = 0.0
    ended: bool = False


class Seat:
    """One of those who play: the keys that they hold, and what they were told."""

    def __init__(self) -> None:
        self.told = 0  # leading actions that the client knows
        self._held: frozenset[str] = frozenset()
        self._tapped: set[str] = set()
        self._stamp = 0.0  # the client's, of the newest change that no frame has shown; 0 if none

    @property
    def codes(self) -> frozenset[str]:
        """Keys held, or tapped since they were last taken."""
        return self._held | self._tapped

    def take(self) -> float:
        """The keys go into the next frame. Returns the stamp of the change that it is the first to show (0: none)."""
        stamp, self._stamp = self._stamp, 0.0
        self._tapped.clear()
        return stamp

    def release(self) -> None:
        """The client is gone: no key is down."""
        self._held = frozenset()
        self.forget_taps()

    def forget_taps(self) -> None:
        """Drop pending taps, where time stood still or stands still now; keys held stay held."""
        self._tapped.clear()
        self._stamp = 0.0

    def press(self, command: Mapping[str, Any]) -> None:
        """Keys have changed.

        Raises:
            WorldsimError: for what is no such command.
        """
        held, tapped, stamp = command.get("held"), command.get("tapped"), command.get("stamp", 0)
        for codes in (held, tapped):
            if not isinstance(codes, list) or len(codes) > MOST_KEYS or not all(isinstance(c, str) for c in codes):
                raise WorldsimError("keys are lists of codes")
        if isinstance(stamp, bool) or not isinstance(stamp, (int, float)):
            raise WorldsimError("a stamp is a number")
        assert isinstance(held, list) and isinstance(tapped, list)
        self._held = frozenset(held)
        self._tapped = {*self._tapped, *tapped} if len(self._tapped) < MOST_KEYS else set(tapped)
        self._stamp = self._stamp or float(stamp)


class Play:
    """What is played, was played and is asked for. Whoever has a seat may do everything; where several press keys at
    once, they take turns, frame by frame.

    Args:
        spec: the world.
        limit: moments kept to go back to.

    Attributes:
        seats: of those who play.
        driver: the seat whose keys led to the newest frame, if any did.
        branches_told: whether the seats know which branches there are.
    """

    def __init__(self, spec: WorldSpec, limit: int):
        self.spec, self.limit = spec, limit
        self.seats: list[Seat] = []
        self.away = False

    def begin(self, moment: Moment, start: int, script: Sequence[int]) -> None:
        """Begin, or begin anew, for all.

        Args:
            moment: where.
            start: its number.
            script: actions to be played at once, before those of the seats.
        """
        self.start = start
        self.history: History[Moment] = History(self.limit)
        self.history.begin(moment)
        self.actions: list[int] = []
        self.script = list(reversed(script))
        self.paused, self.steps = False, 0
        self.driver: Seat | None = None
        self.branches_told = True
        self.forget_told()

    def join(self) -> Seat:
        """Another one plays.

        Raises:
            WorldsimError: if there is no seat left.
        """
        if len(self.seats) >= MOST_SEATS:
            raise WorldsimError(f"{MOST_SEATS} play here already.")
        self.seats.append(Seat())
        return self.seats[-1]

    def leave(self, seat: Seat) -> None:
        """One plays no more."""
        self.seats.remove(seat)
        self.driver = None if self.driver is seat else self.driver

    @property
    def now(self) -> Moment:
        """The moment shown."""
        return self.history.now

    @property
    def wants_frame(self) -> bool:
        """Whether the next frame is due at the next tick."""
        return not self.away and bool(self.script or self.steps or not (self.paused or self.now.ended))

    def command(self, seat: Seat, command: Mapping[str, Any]) -> bool:
        """Do what a client says.

        Returns:
            whether the clients need to be shown the moment again.

        Raises:
            WorldsimError: for what is no command.
        """
        what = command.get("do")
        match what:
            case "keys":
                seat.press(command)
            case "resume":
                self.paused = False
                self._forget_taps()
            case "pause":
                self.pause()
            case "step":
                self.paused, self.steps = True, min(self.steps + 1, MOST_STEPS)
            case "seek":
                self.pause()
                self.history.seek(round(_number(command.get("position"))))
                self._shorten()
            case "mark":
                self.history.mark()
            case "jump":
                self.pause()
                self.history.jump()
                self._turn()
            case "branch":
                self.pause()
                branches, number = self.history.branches, round(_number(command.get("branch")))
                if 0 <= number < len(branches):
                    self.history.show(branches[number])
                self._turn()
            case _:
                raise WorldsimError(f"no command {str(what)[:40]!r}")
        return what in ("pause", "seek", "mark", "jump", "branch")

    def pause(self) -> None:
        """Time stands still; whoever pauses a replay takes over."""
        self.paused, self.steps = True, 0
        self.script.clear()
        self._forget_taps()

    def next_action(self) -> tuple[int, dict[Seat, float]]:
        """The action of the frame that is being made, and the stamps of the changes of keys that it is the first to
        show."""
        if self.script:
            return self.script[-1], {}
        idle = self.spec.action_for(frozenset())
        actions = {seat: self.spec.action_for(seat.codes) for seat in self.seats}
        busy = [seat for seat, action in actions.items() if action != idle]
        last = self.seats.index(self.driver) if self.driver in self.seats else -1
        self.driver = min(busy, key=lambda seat: (self.seats.index(seat) - last - 1) % len(self.seats), default=None)
        shown = [seat for seat in self.seats if seat is self.driver or seat not in busy]  # the others' turn comes
        return actions[self.driver] if self.driver else idle, {seat: seat.take() for seat in shown}

    def advance(self, before: Moment, action: int, made: Moment) -> bool:
        """Go on from `before` to `made`, unless the play went elsewhere or paused meanwhile.

        Returns:
            whether it did.
        """
        if self.now is not before or not self.wants_frame:
            return False
        if self.script:
            self.script.pop()
        else:
            self.steps = max(0, self.steps - 1)
        tips = self.history.branches
        self.history.append(dataclasses.replace(made, state=owned(before.state, made.state)), action)
        self.branches_told = self.branches_told and self.history.branches == tips
        self.actions.append(action)
        if made.ended:
            self.paused = True
        return True

    def event(self, seat: Seat, stamp: float = 0.0, milliseconds: float = 0.0) -> dict[str, Any]:
        """What a client is told of the moment shown, with the actions that it does not know yet."""
        state, told = self.now.state, min(seat.told, len(self.actions))
        seat.told = len(self.actions)
        return {
            "on": "frame",
            "position": self.history.position,
            "length": len(self.history),
            "marks": self.history.marked(),
            "index": int(state.index[0]),
            "reward": self.now.reward,
            "ended": self.now.ended,
            "uncertainty": float(state.uncertainty[0]),
            "milliseconds": milliseconds,
            "stamp": stamp,
            "paused": self.paused,
            "replaying": [len(self.actions), len(self.actions) + len(self.script)] if self.script else None,
            "known": told,
            "actions": self.actions[told:],
            "seat": self.seats.index(seat),
            "seats": len(self.seats),
            "driver": self.seats.index(self.driver) if self.driver else None,
        }

    def branches(self) -> dict[str, Any]:
        """What clients are told of other lines of play: the last frame of each, as PNG in base64."""
        tips = [line.kept[-1][1] for line in self.history.branches]
        told = [{"index": int(tip.state.index[0]), "picture": base64.b64encode(tip.picture).decode()} for tip in tips]
        return {"on": "branches", "branches": told}

    def share(self) -> dict[str, Any]:
        """Start, seed and actions of the moment shown."""
        seed = str(int(self.now.state.seed[0]))
        return {"on": "shared", "start": self.start, "seed": seed, "actions": list(self.actions)}

    def forget_told(self) -> None:
        """Other clients look, or another line is shown: they know nothing."""
        for seat in self.seats:
            seat.told = 0

    def _forget_taps(self) -> None:
        for seat in self.seats:
            seat.forget_taps()

    def _shorten(self) -> None:
        """An earlier moment of the same line is shown, or a later one."""
        self.actions = self.history.path()
        for seat in self.seats:
            seat.told = min(seat.told, len(self.actions))

    def _turn(self) -> None:
        """A moment of another line may be shown."""
        self.actions = self.history.path()
        self.branches_told = False
        self.forget_told()


def _number(value: Any) -> float:
    """Raises WorldsimError for what is none, or beyond all bounds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e9:
        raise WorldsimError("positions are numbers")
    return value


def owned(before: State, row: State) -> State:
    """A row of a batch as a state of its own, which shares with the state before it what both have seen.

    The row's arrays are views of arrays of the whole batch, and new ones in each step: kept as they are, a minute of
    one player's history would hold everybody's.
    """
    fields: dict[str, Any] = {
        name: getattr(row, name).copy() for name in ("length", "number", "latents", "frame", "index", "uncertainty")
    }
    known = {int(number[0]): i for i, number in enumerate(before.remembered)}
    kept = [int(number[0]) for number in row.remembered]

    def shared(old: tuple[np.ndarray, ...], new: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        return tuple(old[known[n]] if n in known else array.copy() for n, array in zip(kept, new, strict=True))

    return State(
        entries=(*before.entries, row.entries[-1].copy())[-len(row.entries) :],
        memory=shared(before.memory, row.memory),
        poses=shared(before.poses, row.poses) if row.poses else (),
        remembered=row.remembered.copy(),
        seed=before.seed,
        **fields,
    )
