"""The server: the page, and a WebSocket for each player. Checks who asks and how much; the lobby does the rest."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import secrets
import struct
import time
from collections.abc import AsyncIterator, Collection
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from worldsim.errors import WorldsimError
from worldsim.web.lobby import Lobby, Visitor
from worldsim.web.site import STATIC, describe, picture, preview

MESSAGE_BYTES = 128 << 10  # of one message; handed to the WebSocket library too
MESSAGES = 100.0  # a second, in the long run
BURST = 200.0
SEND_SECONDS = 20.0  # that one frame may take to go out: then the client does not read
FINAL = 4000  # close code: the reason is for people, and connecting again is of no use
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclasses.dataclass
class Allowance:
    """A token bucket: how many messages a client may still send."""

    left: float = BURST
    at: float = dataclasses.field(default_factory=time.monotonic)

    def spend(self) -> bool:
        """Take one; whether there was one."""
        now = time.monotonic()
        self.left, self.at = min(BURST, self.left + (now - self.at) * MESSAGES) - 1, now
        return self.left >= 0


def make_app(lobby: Lobby, token: str = "", hosts: Collection[str] = LOOPBACK) -> Starlette:
    """The server as an ASGI app.

    Args:
        lobby: its worlds and visitors.
        token: that players must give in the page's address, `?token=`; none is asked if empty.
        hosts: names that the page may be asked under, without ports; any if empty. Guards a server on the loopback
            against other pages whose name points here.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with lobby.open():
            yield

    def refusal(asked: HTTPConnection) -> str:
        """Why somebody is not let in; "" for who is."""
        host = asked.headers.get("host", "")
        origin = asked.headers.get("origin")
        if hosts and urlsplit(f"//{host}").hostname not in hosts:
            return "host"
        if origin is not None and urlsplit(origin).netloc != host:
            return "origin"
        if token and not secrets.compare_digest(asked.query_params.get("token", "").encode(), token.encode()):
            return "token"
        return ""

    async def site(asked: Request) -> Response:
        worlds = [describe(room.bundle) for room in lobby.rooms.values()]
        return JSONResponse({"format": 1, "plays": "server", "worlds": worlds})

    async def world_picture(asked: Request) -> Response:
        room, name = lobby.rooms.get(asked.path_params["world"]), asked.path_params["name"]
        if room is None:
            return PlainTextResponse("no such world", 404)
        if name == "preview":
            return Response(preview(room.bundle), media_type="image/png")
        number = name.removeprefix("start-")
        if not (number.isascii() and number.isdigit() and len(number) < 4 and int(number) < len(room.bundle.starts)):
            return PlainTextResponse("no such picture", 404)
        return Response(picture(room.bundle.starts.frames[int(number), -1]), media_type="image/png")

    async def metrics(asked: Request) -> Response:
        if refusal(asked):
            return PlainTextResponse("give ?token=", 403)
        return PlainTextResponse(lobby.metrics.text(lobby.gauges()), media_type="text/plain; version=0.0.4")

    async def play(socket: WebSocket) -> None:
        reason = refusal(socket)
        if reason:
            lobby.metrics.add("refused_total", reason=reason)
            await socket.close()  # before it is accepted: the handshake fails with 403
            return
        await socket.accept()
        try:
            visitor = lobby.enter(socket.query_params.get("session"))
        except WorldsimError as error:
            await _close(socket, str(error))
            return
        await _serve(lobby, socket, visitor)

    routes = [
        Route("/site.json", site),
        Route("/worlds/{world}/{name}.png", world_picture),
        Route("/metrics", metrics),
        WebSocketRoute("/play", play),
        Mount("/", StaticFiles(directory=STATIC, html=True)),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


async def _serve(lobby: Lobby, socket: WebSocket, visitor: Visitor) -> None:
    """Until one side ends it."""
    gone = visitor.gone
    jobs = [
        asyncio.create_task(_receive(lobby, socket, visitor)),
        asyncio.create_task(_send(socket, visitor)),
        asyncio.create_task(gone.wait()),
    ]
    try:
        done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        if visitor.gone is gone:  # and not a newer connection of the same visitor
            lobby.disconnect(visitor)
    reason = next((str(e) for job in done if isinstance(e := job.exception(), WorldsimError)), visitor.goodbye)
    for job in done:
        error = job.exception()
        if error and not isinstance(error, (WorldsimError, WebSocketDisconnect, TimeoutError, OSError, RuntimeError)):
            raise error
    if reason:
        lobby.leave(visitor, reason)
    await _close(socket, reason)


async def _receive(lobby: Lobby, socket: WebSocket, visitor: Visitor) -> None:
    """What the client says.

    Raises:
        WorldsimError: for what is no command, or too many of them.
    """
    allowance = Allowance()
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        try:
            text = message.get("text")
            if not allowance.spend():
                raise WorldsimError("Too many messages.")
            if text is None or len(text) > MESSAGE_BYTES:
                raise WorldsimError("Messages are JSON text of bounded length.")
            try:
                command = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise WorldsimError("That message is not JSON.") from error
            await lobby.command(visitor, command)
        except WorldsimError:
            lobby.metrics.add("refused_total", reason="message")
            raise


async def _send(socket: WebSocket, visitor: Visitor) -> None:
    """Events, and the newest frame whenever the client has taken the one before.

    Raises:
        TimeoutError: if it takes none.
    """
    while True:
        events, frame = await visitor.outbox.take()
        async with asyncio.timeout(SEND_SECONDS):
            for event in events:
                await socket.send_text(json.dumps(event))
            if frame and visitor.play and visitor.seat:
                picture, event = visitor.play.now.picture, visitor.play.event(visitor.seat, *frame)
                await socket.send_bytes(pack_frame(event, picture))


def pack_frame(event: dict[str, Any], picture: bytes) -> bytes:
    """A frame as one message: the length of its event (uint32), the event as JSON, the picture as PNG."""
    text = json.dumps(event).encode()
    return struct.pack(">I", len(text)) + text + picture


async def _close(socket: WebSocket, reason: str) -> None:
    with contextlib.suppress(RuntimeError, OSError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(SEND_SECONDS):
            await socket.close(FINAL if reason else 1000, reason[:120])
