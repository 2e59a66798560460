"""Players without a page, to measure a server with: each changes keys now and then, and notes when frames come.

Clients like a browser; knows nothing of a server's inside.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import struct
import time
from collections.abc import Sequence

import numpy as np

from worldsim.spec import WorldSpec

KEY_SECONDS = 0.7  # from one change of keys to the next


@dataclasses.dataclass(frozen=True)
class Heard:
    """What one player got.

    Attributes:
        times: when each frame came, seconds.
        latencies: from a change of keys to the first frame that shows it, seconds.
        bytes: of all messages.
    """

    times: list[float]
    latencies: list[float]
    bytes: int

    @property
    def fps(self) -> float:
        """Frames a second."""
        return (len(self.times) - 1) / (self.times[-1] - self.times[0]) if len(self.times) > 1 else 0.0

    @property
    def gaps(self) -> np.ndarray:
        """Seconds from each frame to the next, float64 `[frames - 1]`."""
        return np.diff(self.times)


async def play_together(url: str, spec: WorldSpec, starts: int, players: int, seconds: float) -> list[Heard]:
    """Have some players play at once, each from another start and seed.

    Args:
        url: of the server's WebSocket.
        spec, starts: the world, and how many starts it has.
        seconds: of play, from when all of them have a frame.
    """
    ready = asyncio.Barrier(players)
    jobs = (_play(url, spec, player % starts, player, ready, seconds) for player in range(players))
    return list(await asyncio.gather(*jobs))


async def _play(url: str, spec: WorldSpec, start: int, seed: int, ready: asyncio.Barrier, seconds: float) -> Heard:
    from websockets.asyncio.client import connect

    rng, heard = np.random.default_rng(seed), Heard([], [], 0)
    total = 0
    async with connect(url, max_size=None, compression=None) as socket:

        async def begin(number: int) -> None:
            opened = {"do": "open", "world": spec.name, "start": start, "seed": str(number), "actions": []}
            await socket.send(json.dumps(opened))

        await begin(seed)
        while isinstance(await socket.recv(), str):
            pass
        await ready.wait()
        end, next_keys, again = time.perf_counter() + seconds, 0.0, seed
        while (now := time.perf_counter()) < end:
            if now >= next_keys:
                next_keys = now + KEY_SECONDS * rng.uniform(0.5, 1.5)
                buttons = spec.actions[int(rng.integers(len(spec.actions)))].buttons
                held = _codes(spec, buttons)
                await socket.send(json.dumps({"do": "keys", "held": held, "tapped": held, "stamp": now}))
            data = await socket.recv()
            total += len(data)
            if isinstance(data, str):
                continue
            now = time.perf_counter()
            (length,) = struct.unpack(">I", data[:4])
            event = json.loads(data[4 : 4 + length])
            heard.times.append(now)
            if event["stamp"]:
                heard.latencies.append(now - event["stamp"])
            if event["ended"]:
                again += 1000
                await begin(again)
    return dataclasses.replace(heard, bytes=total)


def _codes(spec: WorldSpec, buttons: Sequence[str]) -> list[str]:
    """A key for each button."""
    return [spec.keys[button][0] for button in buttons]
