"""`worldsim bench serve`: many players of one server, how many frames each gets, and what they cost."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tyro
from rich.table import Table

from worldsim import atomic
from worldsim.cli.reporting import report_folder
from worldsim.cpu import usable_cores
from worldsim.errors import WorldsimError, require
from worldsim.runtime.bundle import open_world
from worldsim.terminal import console

SAMPLE = 1.0  # seconds between looks at the server's memory
FULL = 1.1  # times `rewind`: from then on a server's memory should not grow


@dataclasses.dataclass(frozen=True)
class BenchServeConfig:
    """Measure a server with many players: worldsim bench serve doom-maze --players 8

    Attributes:
        world: a shipped world's name, or the folder of a bundle.
        players: who play at once.
        minutes: of play.
        rewind: seconds that each player can go back.
        out: where `bench-serve.json` goes; `reports/NAME` if not given.
    """

    world: tyro.conf.Positional[str]
    players: int = 8
    minutes: float = 0.5
    rewind: float = 30.0
    out: Path | None = None


def bench_serve(config: BenchServeConfig) -> None:
    """Start a server, play on it, print a table and write `bench-serve.json`.

    Raises:
        WorldsimError: for a world that can't be opened, a missing package, bounds that are none, or a server that does
            not start.
    """
    for module in ("starlette", "uvicorn", "websockets"):
        require(module, "web")
    from worldsim.web.load import play_together

    if not (0 < config.players <= 1000 and config.minutes > 0):
        raise WorldsimError("--players must be from 1 to 1000, and --minutes above 0")
    bundle = open_world(config.world)
    with _server(config) as (address, process), _memory(process) as sampled:
        empty = sampled[-1][1]
        url = f"ws{address.removeprefix('http')}play"
        began = time.monotonic()
        heard = asyncio.run(play_together(url, bundle.spec, len(bundle.starts), config.players, 60 * config.minutes))
    gaps = np.concatenate([player.gaps for player in heard])
    latencies = [latency for player in heard for latency in player.latencies]
    after = [(at, used) for at, used in sampled if at >= began + FULL * config.rewind]
    figures = {
        "frames a second, slowest player": min(player.fps for player in heard),
        "frames a second, median player": float(np.median([player.fps for player in heard])),
        "the world's own frames a second": bundle.spec.fps,
        "frame gap, median (ms)": 1e3 * float(np.median(gaps)),
        "frame gap, 95th percentile (ms)": 1e3 * float(np.quantile(gaps, 0.95)),
        "frame gap, longest (ms)": 1e3 * float(gaps.max()),
        "key to frame, median (ms)": 1e3 * float(np.median(latencies or [np.nan])),
        "traffic a player (kB/s)": sum(player.bytes for player in heard) / len(heard) / config.minutes / 60e3,
        "memory of the empty server (MB)": empty / 1e6,
        "memory at the end (MB)": sampled[-1][1] / 1e6,
        "memory a player (MB)": (sampled[-1][1] - empty) / config.players / 1e6,
    }
    if len(after) > 1:  # since all players' rewinds are full
        figures["growth after rewind was full (MB)"] = (after[-1][1] - after[0][1]) / 1e6
        figures["over so many minutes"] = (after[-1][0] - after[0][0]) / 60
    table = Table(
        title=f"{bundle.spec.title}: {config.players} players for {config.minutes:g} minutes", show_header=False
    )
    for name, value in figures.items():
        table.add_row(name, f"{value:,.1f}")
    console().print(table)
    path = report_folder(config.out, bundle.spec.name) / "bench-serve.json"
    content = {"world": bundle.spec.name, "players": config.players, "cores": usable_cores(), **figures}
    atomic.write_text(path, json.dumps(content, indent=1) + "\n")
    console().print(f"wrote {path}", soft_wrap=True)


@contextlib.contextmanager
def _server(config: BenchServeConfig) -> Iterator[tuple[str, int]]:
    """`worldsim serve` on a port of its own: its address and process."""
    limits = ("--players", str(config.players), "--rewind", str(config.rewind))
    command = [sys.executable, "-m", "worldsim.cli.main", "serve", config.world, "--port", "0", *limits]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout and process.stderr
        address = re.search(r"http://\S+/", process.stdout.readline())
        if address is None:
            raise WorldsimError(f"the server does not start: {process.stderr.read().strip()[-300:]}")
        yield address[0], process.pid
    finally:
        process.terminate()
        process.communicate(timeout=30)


@contextlib.contextmanager
def _memory(process: int) -> Iterator[list[tuple[float, int]]]:
    """Times and memory of a process, a list that goes on growing."""
    from worldsim.web.metrics import memory_bytes

    sampled, over = [(time.monotonic(), memory_bytes(process))], threading.Event()

    def watch() -> None:
        while not over.wait(SAMPLE):
            sampled.append((time.monotonic(), memory_bytes(process)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield sampled
    finally:
        over.set()
        watcher.join()
