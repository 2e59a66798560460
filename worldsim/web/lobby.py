"""The lobby: who is here, who plays, who waits, and who has been away too long. Knows no network: a visitor has an
outbox that somebody else empties.

Visitors with the code of an invitation play one world together, each with keys of their own. A visitor keeps their
place for a while when the connection breaks, and takes it up again by a token.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import secrets
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from worldsim.cpu import usable_cores
from worldsim.errors import WorldsimError
from worldsim.rng import SEEDS
from worldsim.runtime.bundle import Bundle
from worldsim.runtime.onnx import OnnxRuntime
from worldsim.runtime.session import Session
from worldsim.web.metrics import Labels, Metrics, memory_bytes
from worldsim.web.play import Moment, Play, Seat
from worldsim.web.room import Room

MOST_ACTIONS = 30_000  # of a moment that is opened
CODES = range(16, 65)  # characters of an invitation's code
NO_STAMPS: Mapping[Seat, float] = {}
SWEEP = 0.5  # seconds between looks at who is gone


@dataclasses.dataclass(frozen=True)
class Limits:
    """Of one server.

    Attributes:
        players: who play at once, in all worlds together; further visitors wait.
        waiting: in line; further visitors are refused.
        idle: seconds without a command after which a player's place goes to others.
        grace: seconds that a place is kept for whoever lost the connection.
        rewind: seconds of play that each player can go back.
    """

    players: int = 16
    waiting: int = 64
    idle: float = 300.0
    grace: float = 60.0
    rewind: float = 30.0


class Outbox:
    """What a client is to be sent: events in order, and the newest frame; a frame not sent yet is dropped for it."""

    def __init__(self, metrics: Metrics):
        self._metrics, self._some = metrics, asyncio.Event()
        self._events: list[dict[str, Any]] = []
        self._frame: tuple[float, float] | None = None  # stamp and milliseconds; the player knows the rest

    def put(self, event: dict[str, Any]) -> None:
        """An event; it replaces one of its kind that was not sent."""
        self._events = [*(other for other in self._events if other["on"] != event["on"]), event]
        self._some.set()

    def put_frame(self, stamp: float = 0.0, milliseconds: float = 0.0) -> None:
        """There is a new frame."""
        if self._frame:
            self._metrics.add("dropped_frames_total")
            stamp = self._frame[0] or stamp
        self._frame = stamp, milliseconds
        self._some.set()

    async def take(self) -> tuple[list[dict[str, Any]], tuple[float, float] | None]:
        """All there is, once there is some."""
        await self._some.wait()
        self._some.clear()
        taken, self._events, self._frame = (self._events, self._frame), [], None
        return taken


class Visitor:
    """Somebody with a connection, or whose connection broke a moment ago."""

    def __init__(self, metrics: Metrics):
        self.token = secrets.token_urlsafe(16)
        self.outbox = Outbox(metrics)
        self.play: Play | None = None
        self.seat: Seat | None = None
        self.room: Room | None = None
        self.wish: Mapping[str, Any] | None = None  # what to open once there is a place
        self.connected, self.heard, self.goodbye = False, time.monotonic(), ""
        self.gone = asyncio.Event()


class Lobby:
    """All rooms and visitors of a server.

    Args:
        bundles: the worlds.
        limits: of this server.
    """

    def __init__(self, bundles: Iterable[Bundle], limits: Limits):
        self.limits, self.metrics = limits, Metrics()
        self.visitors: dict[str, Visitor] = {}
        self._line: list[Visitor] = []
        self._entering: set[Visitor] = set()  # whose start is being made ready
        cores = usable_cores()
        self._stepping, self._opening = ThreadPoolExecutor(cores, "step"), ThreadPoolExecutor(1, "open")
        self._playing: dict[Play, list[Visitor]] = {}
        self._invitations: dict[str, Play] = {}  # by the codes that others join with
        self.rooms: dict[str, Room] = {}
        for bundle in bundles:
            runtime = OnnxRuntime(bundle, threads=1)
            workers = cores if runtime.device == "cpu" else 1
            self.rooms[bundle.spec.name] = Room(
                bundle, Session(runtime), self._stepping, workers, self.metrics, self._show
            )

    @contextlib.asynccontextmanager
    async def open(self) -> Any:
        """While this lasts, rooms make frames."""
        tasks = [asyncio.create_task(job) for job in (self._sweep(), *(room.run() for room in self.rooms.values()))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._stepping.shutdown()
            self._opening.shutdown()

    def enter(self, token: str | None) -> Visitor:
        """Somebody connects.

        Args:
            token: of a visitor whose connection broke; the old connection, if there still is one, ends.

        Raises:
            WorldsimError: if there is no room for more.
        """
        visitor = self.visitors.get(token or "")
        if visitor is None:
            if len(self.visitors) >= self.limits.players + self.limits.waiting:
                self.metrics.add("refused_total", reason="full")
                raise WorldsimError("Too many people are here. Come back later.")
            visitor = Visitor(self.metrics)
            self.visitors[visitor.token] = visitor
        elif visitor.connected:
            visitor.gone.set()
            visitor.gone = asyncio.Event()
        visitor.connected, visitor.heard = True, time.monotonic()
        visitor.outbox.put({"on": "session", "token": visitor.token})
        if visitor.play and visitor.room and visitor.seat:
            visitor.play.away = False
            visitor.seat.told = 0
            visitor.outbox.put(visitor.play.branches())
            visitor.outbox.put_frame()
            visitor.room.wake()
        return visitor

    def disconnect(self, visitor: Visitor) -> None:
        """The connection broke or was closed; the place is kept for a while, and time stands still there."""
        visitor.connected, visitor.heard = False, time.monotonic()
        if visitor.play and visitor.seat:
            visitor.seat.release()
            visitor.play.away = not any(other.connected for other in self._playing[visitor.play])

    async def command(self, visitor: Visitor, command: Any) -> None:
        """Do what a client says.

        Raises:
            WorldsimError: for what is no command, or can't be done.
        """
        if not isinstance(command, dict):
            raise WorldsimError("a command is an object")
        visitor.heard = time.monotonic()
        what = command.get("do")
        if what == "open":
            await self._open(visitor, command)
        elif what == "close":
            self._stop(visitor)
        elif visitor.play and visitor.room and visitor.seat:
            if what == "share":
                visitor.outbox.put(visitor.play.share())
            elif what == "invite":
                self._invitations.setdefault(_code(command), visitor.play)
            elif visitor.play.command(visitor.seat, command):
                self._show(visitor.play)
            visitor.room.wake()

    def leave(self, visitor: Visitor, goodbye: str = "") -> None:
        """A visitor's place is given up; whoever is still connected is told why."""
        self._stop(visitor)
        self.visitors.pop(visitor.token, None)
        visitor.goodbye = goodbye
        visitor.gone.set()

    def gauges(self) -> dict[tuple[str, Labels], float]:
        """For `Metrics.text`."""
        players: dict[tuple[str, Labels], float] = {
            ("players", (("world", name),)): sum(len(play.seats) for play in room.plays)
            for name, room in self.rooms.items()
        }
        return {
            **players,
            ("waiting", ()): len(self._line),
            ("connections", ()): sum(visitor.connected for visitor in self.visitors.values()),
            ("memory_bytes", ()): memory_bytes(),
        }

    async def _open(self, visitor: Visitor, command: Mapping[str, Any]) -> None:
        wish = self._checked(command)
        play = visitor.play
        room = visitor.room
        if play and room and room.spec.name == wish["world"] and play is self._invitations.get(wish["code"]):
            # Begin anew, for all who play it.
            play.begin(await self._beginning(room, wish), wish["start"], wish["actions"])
            for other in self._playing.get(play, ()):
                self._welcome(other, play)
            return room.wake()
        self._stop(visitor)
        visitor.wish = wish
        if self._line or not self._has_place():
            self._line.append(visitor)
            return self._tell_line()
        await self._place(visitor)

    def _has_place(self) -> bool:
        return sum(map(len, self._playing.values())) + len(self._entering) < self.limits.players

    async def _beginning(self, room: Room, wish: Mapping[str, Any]) -> Moment:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._opening, room.beginning, wish["start"], wish["seed"])

    async def _place(self, visitor: Visitor) -> None:
        """Let a visitor play what they wished for; there is a place."""
        wish = visitor.wish
        assert wish is not None
        room = self.rooms[wish["world"]]
        self._entering.add(visitor)
        try:
            moment = await self._beginning(room, wish)
        finally:
            self._entering.discard(visitor)
        if visitor.wish is not wish or visitor.token not in self.visitors:
            return  # they went elsewhere meanwhile
        play = self._invitations.get(wish["code"])
        if play is None or play not in room.plays:
            play = Play(room.spec, max(1, round(self.limits.rewind * room.spec.fps)))
            play.begin(moment, wish["start"], wish["actions"])
            room.plays.add(play)
            if wish["code"]:
                self._invitations.setdefault(wish["code"], play)
        try:
            visitor.seat = play.join()
        except WorldsimError as error:
            return self.leave(visitor, str(error))
        visitor.play, visitor.room = play, room
        self._playing.setdefault(play, []).append(visitor)
        play.away = not any(other.connected for other in self._playing[play])
        self._welcome(visitor, play)
        self._show(play)  # others see who came
        room.wake()

    def _welcome(self, visitor: Visitor, play: Play) -> None:
        """Tell somebody what they play."""
        seed = str(int(play.now.state.seed[0]))
        visitor.outbox.put({"on": "opened", "backend": "server", "threads": 1, "start": play.start, "seed": seed})
        visitor.outbox.put(play.branches())
        visitor.outbox.put_frame()

    def _stop(self, visitor: Visitor) -> None:
        """A visitor stops playing or waiting; what they played is gone with the last who plays it."""
        visitor.wish = None
        if visitor in self._line:
            self._line.remove(visitor)
            self._tell_line()
        play, seat, room = visitor.play, visitor.seat, visitor.room
        visitor.play = visitor.seat = visitor.room = None
        if not (play and seat and room):
            return
        play.leave(seat)
        self._playing[play].remove(visitor)
        if self._playing[play]:
            play.away = not any(other.connected for other in self._playing[play])
            return self._show(play)
        room.plays.discard(play)
        del self._playing[play]
        self._invitations = {code: other for code, other in self._invitations.items() if other is not play}

    def _checked(self, command: Mapping[str, Any]) -> dict[str, Any]:
        name, start, seed, actions = (command.get(key) for key in ("world", "start", "seed", "actions"))
        room = self.rooms.get(name) if isinstance(name, str) else None
        if room is None:
            raise WorldsimError(f"no world {str(name)[:64]!r} here")
        if isinstance(start, bool) or not isinstance(start, int) or not 0 <= start < len(room.bundle.starts):
            raise WorldsimError(f"{name} has no such start")
        if not (isinstance(seed, str) and seed.isascii() and seed.isdigit() and len(seed) <= 20 and int(seed) < SEEDS):
            raise WorldsimError("a seed is a whole number from 0 to 2**64 - 1, as text")
        count = len(room.spec.actions)
        if not isinstance(actions, list) or len(actions) > MOST_ACTIONS:
            raise WorldsimError(f"actions are a list of at most {MOST_ACTIONS:,}")
        if not all(isinstance(a, int) and not isinstance(a, bool) and 0 <= a < count for a in actions):
            raise WorldsimError(f"{name} has no such action")
        code = _code(command) if command.get("code") else ""
        return {"world": name, "start": start, "seed": int(seed), "actions": actions, "code": code}

    def _show(self, play: Play, stamps: Mapping[Seat, float] = NO_STAMPS, milliseconds: float = 0.0) -> None:
        """Send the moment shown to all who play it."""
        for visitor in self._playing.get(play, ()):
            assert visitor.seat
            if not play.branches_told:
                visitor.outbox.put(play.branches())
            visitor.outbox.put_frame(stamps.get(visitor.seat, 0.0), milliseconds)
        play.branches_told = True

    def _tell_line(self) -> None:
        for place, visitor in enumerate(self._line, 1):
            visitor.outbox.put({"on": "waiting", "place": place})

    async def _sweep(self) -> None:
        """Let go who is gone, and let in who waits."""
        while True:
            await asyncio.sleep(SWEEP)
            now = time.monotonic()
            for visitor in list(self.visitors.values()):
                away = now - visitor.heard
                if not visitor.connected and away > self.limits.grace:
                    self.leave(visitor)
                elif visitor.connected and away > self.limits.idle and visitor not in self._line:
                    self.leave(visitor, "You were away, so your place went to others. Reload the page to play on.")
            while self._line and self._has_place():
                visitor = self._line.pop(0)
                self._tell_line()
                await self._place(visitor)


def _code(command: Mapping[str, Any]) -> str:
    """The code of an invitation, which a client makes up.

    Raises:
        WorldsimError: if it could be guessed, or is none.
    """
    code = command.get("code")
    if not (isinstance(code, str) and code.isascii() and code.isalnum() and len(code) in CODES):
        raise WorldsimError(f"a code has {CODES.start} to {CODES.stop - 1} letters and digits")
    return code
