"""`worldsim serve`: worlds on this machine for many players in their browsers. worldsim.web.server does the work."""

from __future__ import annotations

import dataclasses
import secrets

import tyro

from worldsim.errors import WorldsimError, require
from worldsim.runtime.bundle import open_world, shipped_worlds

BACKLOG = 2048  # connections that wait to be accepted


@dataclasses.dataclass(frozen=True)
class ServeConfig:
    """Let many play in their browsers: worldsim serve doom-maze

    Attributes:
        worlds: names of shipped worlds, or folders of others; all shipped ones if none is given.
        host: address to listen on. On other addresses than this machine's own, players need the token that is printed.
        port: to listen on; 0 for any free one.
        token: that players give in the page's address; made up if not given.
        players: who play at once; more wait in a line.
        waiting: visitors in line; more are refused.
        idle: seconds without a key after which a player's place goes to others.
        rewind: seconds of play that each player can go back; each takes about a megabyte of memory.
    """

    worlds: tyro.conf.Positional[tuple[str, ...]] = ()
    host: str = "127.0.0.1"
    port: int = 8000
    token: str = ""
    players: int = 16
    waiting: int = 64
    idle: float = 300.0
    rewind: float = 30.0


def serve(config: ServeConfig) -> None:
    """Serve until interrupted.

    Raises:
        WorldsimError: for a world that can't be opened or is named twice, bounds that are none, a package that is
            missing, or an address that can't be listened on.
    """
    for module in ("starlette", "uvicorn", "websockets"):
        require(module, "web")
    from worldsim.web.lobby import Limits, Lobby
    from worldsim.web.server import LOOPBACK, make_app

    if not (0 <= config.port < 65536 and config.players > 0 and config.waiting >= 0):
        raise WorldsimError("--port must be from 0 to 65535, --players at least 1, and --waiting not negative")
    if not (config.idle > 0 and 0 < config.rewind <= 600):
        raise WorldsimError("--idle must be above 0, and --rewind from 0 to 600 seconds")
    bundles = [open_world(world) for world in config.worlds or shipped_worlds()]
    names = [bundle.spec.name for bundle in bundles]
    if not names or len(set(names)) < len(names):
        raise WorldsimError("give each world once, and at least one" if names else "no world is installed")
    local = config.host in LOOPBACK
    token = config.token or ("" if local else secrets.token_urlsafe(12))
    limits = Limits(players=config.players, waiting=config.waiting, idle=config.idle, rewind=config.rewind)
    app = make_app(Lobby(bundles, limits), token, LOOPBACK if local else ())
    run(app, config.host, config.port, token, limits.players + limits.waiting)


def run(app: object, host: str, port: int, token: str, visitors: int) -> None:
    """Listen, print the address, and serve until interrupted.

    Raises:
        WorldsimError: if the address can't be listened on.
    """
    import socket

    import uvicorn

    from worldsim.web.server import MESSAGE_BYTES

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(BACKLOG)  # before the address is printed: who comes at once is let in a moment later
        except OSError as error:
            raise WorldsimError(f"can't listen on {host}:{port} ({error.strerror}). Give another --port.") from error
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{listener.getsockname()[1]}/{f'?token={token}' if token else ''}"
        print(f"Play at {address}   (Ctrl-C ends it)", flush=True)
        config = uvicorn.Config(
            app,  # type: ignore[arg-type]
            log_level="warning",
            ws_max_size=MESSAGE_BYTES,
            ws_max_queue=8,
            ws_per_message_deflate=False,
            limit_concurrency=2 * visitors + 64,
            timeout_graceful_shutdown=2,
        )
        uvicorn.Server(config).run(sockets=[listener])
