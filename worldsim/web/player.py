"""One player of one world on the server: keys, history, what is asked for. The same as static/player.js, whose head
lists commands and events; here it is the room that makes the steps. Knows no network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from worldsim.errors import WorldsimError
from worldsim.runtime.session import State
from worldsim.spec import WorldSpec

MOST_KEYS = 32  # held at once
MOST_STEPS = 10  # asked for and not made yet


@dataclasses.dataclass(frozen=True)
class Moment:
    """One frame of a player's history.

    Attributes:
        state: of one row.
        picture: its frame as PNG.
        reward, ended: of the step that led to it.
    """

    state: State
    picture: bytes
    reward: float = 0.0
    ended: bool = False


class Player:
    """What a player holds, has seen and has asked for.

    Args:
        spec: the world.
        moment: where to begin.
        start: its number.
        script: actions to be played at once, before the player's own.
        limit: moments kept to go back to.
    """

    def __init__(self, spec: WorldSpec, moment: Moment, start: int, script: Sequence[int], limit: int):
        self.spec, self.start, self.limit = spec, start, limit
        self.history, self.position = [moment], 0
        self.actions: list[int] = []
        self.script = list(reversed(script))
        self.paused, self.away, self.steps = False, False, 0
        self._held: frozenset[str] = frozenset()
        self._tapped: set[str] = set()
        self._stamp = 0.0
        self._told = 0  # leading actions that the client knows

    @property
    def now(self) -> Moment:
        """The moment shown."""
        return self.history[self.position]

    @property
    def wants_frame(self) -> bool:
        """Whether the next frame is due at the next tick."""
        return not self.away and bool(self.script or self.steps or not (self.paused or self.now.ended))

    def command(self, command: Mapping[str, Any]) -> bool:
        """Do what the client says.

        Returns:
            whether the client needs to be shown the moment again.

        Raises:
            WorldsimError: for what is no command.
        """
        what = command.get("do")
        if what == "keys":
            self._keys(command)
        elif what == "resume":
            self.paused = False
        elif what == "pause":
            self.paused = True
            self.script.clear()  # whoever pauses a replay takes over
        elif what == "step":
            self.paused, self.steps = True, min(self.steps + 1, MOST_STEPS)
        elif what == "seek":
            self._seek(command.get("position"))
        else:
            raise WorldsimError(f"no command {str(what)[:40]!r}")
        return what in ("pause", "seek")

    def next_action(self) -> tuple[int, float]:
        """The action of the frame that is being made, and the client's stamp of the key change that it is the first to
        show (0: none)."""
        if self.script:
            return self.script[-1], 0.0
        held, stamp = self._held | self._tapped, self._stamp
        self._tapped.clear()
        self._stamp = 0.0
        return self.spec.action_for(held), stamp

    def advance(self, before: Moment, action: int, made: Moment) -> bool:
        """Go on from `before` to `made`, unless the player went elsewhere or paused meanwhile.

        Returns:
            whether it did.
        """
        if self.now is not before or not self.wants_frame:
            return False
        if self.script:
            self.script.pop()
        else:
            self.steps = max(0, self.steps - 1)
        del self.history[self.position + 1 :]
        self.history.append(dataclasses.replace(made, state=owned(before.state, made.state)))
        del self.history[: -self.limit]
        self.position = len(self.history) - 1
        self.actions.append(action)
        if made.ended:
            self.paused = True
        return True

    def event(self, stamp: float = 0.0, milliseconds: float = 0.0) -> dict[str, Any]:
        """What the client is told of the moment shown, with the actions that it does not know yet."""
        state, told = self.now.state, min(self._told, len(self.actions))
        self._told = len(self.actions)
        total = len(self.actions) + len(self.script)
        return {
            "on": "frame",
            "position": self.position,
            "length": len(self.history),
            "index": int(state.index[0]),
            "reward": self.now.reward,
            "ended": self.now.ended,
            "uncertainty": float(state.uncertainty[0]),
            "milliseconds": milliseconds,
            "stamp": stamp,
            "paused": self.paused,
            "replaying": [len(self.actions), total] if self.script else None,
            "known": told,
            "actions": self.actions[told:],
        }

    def share(self) -> dict[str, Any]:
        """Start, seed and actions of the moment shown."""
        seed = str(int(self.now.state.seed[0]))
        return {"on": "shared", "start": self.start, "seed": seed, "actions": list(self.actions)}

    def release_keys(self) -> None:
        """The client is gone: no key is down."""
        self._held = frozenset()
        self._tapped.clear()

    def forget_told(self) -> None:
        """Another client looks: it knows nothing."""
        self._told = 0

    def _keys(self, command: Mapping[str, Any]) -> None:
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

    def _seek(self, position: Any) -> None:
        if isinstance(position, bool) or not isinstance(position, (int, float)) or not abs(position) < 1e9:
            raise WorldsimError("a position is a number")
        self.paused, self.steps = True, 0
        self.script.clear()
        self.position = min(max(round(position), 0), len(self.history) - 1)
        del self.actions[int(self.now.state.index[0]) :]
        self._told = min(self._told, len(self.actions))


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
