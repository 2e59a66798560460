"""`worldsim bench play`: play in the window, without a screen: key to frame, and what going back costs."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tyro
from rich.table import Table

from worldsim import atomic
from worldsim.cli.reporting import progress, report_folder
from worldsim.cpu import usable_cores
from worldsim.errors import WorldsimError
from worldsim.keycodes import SCANCODES
from worldsim.runtime.bundle import open_world
from worldsim.runtime.load import load_runtime
from worldsim.runtime.session import Session
from worldsim.terminal import console

if TYPE_CHECKING:
    from worldsim.viewer.playing import Playing
    from worldsim.viewer.viewer import Viewer

PRESSES, SEEKS = 40, 100
LEAST_HELD, MOST_HELD = 0.15, 0.4  # seconds from one change of a key to the next
PATIENCE = 5.0  # seconds, for a frame that shows a key; on a busy machine it may have been replaced before it was drawn
WAIT = 5  # milliseconds that the window waits for events while this looks for a frame


@dataclasses.dataclass(frozen=True)
class BenchPlayConfig:
    """Measure play in the window: worldsim bench play doom-maze

    Attributes:
        world: a shipped world's name, or the folder of a bundle.
        minutes: of play to go back in; made as fast as the machine can.
        out: where `bench-play.json` goes; `reports/NAME` if not given.
    """

    world: tyro.conf.Positional[str]
    minutes: float = 10.0
    out: Path | None = None


def bench_play(config: BenchPlayConfig) -> None:
    """Measure, print a table and write `bench-play.json`.

    Raises:
        WorldsimError: for a world that can't be opened, or minutes that are none.
    """
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    os.environ["SDL_VIDEODRIVER"] = "dummy"
    from worldsim.viewer.history import SECONDS
    from worldsim.viewer.playing import Playing
    from worldsim.viewer.viewer import Viewer
    from worldsim.web.metrics import memory_bytes

    if not 0 < config.minutes <= SECONDS / 60:
        raise WorldsimError(f"--minutes {config.minutes:g}: give more than 0 and at most {SECONDS / 60:g}")
    bundle = open_world(config.world)
    with Viewer([bundle], lambda world: Playing(world, lambda _: Session(load_runtime(bundle))), bundle) as viewer:
        playing = viewer.screen
        assert isinstance(playing, Playing)
        _until(viewer, lambda: playing.player.view is not None)
        latencies = _press_keys(viewer, playing)
        before = memory_bytes()
        frames, seconds = _fill(viewer, playing, config.minutes)
        after = memory_bytes()
        seeks = _seek(viewer, playing)
    frame = 1e3 / bundle.spec.fps
    figures = {
        "key to changed frame, median (ms)": float(np.median(latencies)),
        "key to changed frame, median (frame times)": float(np.median(latencies)) / frame,
        "key to changed frame, 95th percentile (ms)": float(np.quantile(latencies, 0.95)),
        "frames to go back in": frames,
        "frames a second, as fast as possible": frames / seconds,
        "memory before (MB)": before / 1e6,
        "memory with them (MB)": after / 1e6,
        "memory that they took (MB)": (after - before) / 1e6,
        "to any of them, median (ms)": float(np.median(seeks)),
        "to any of them, longest (ms)": max(seeks),
    }
    title = f"{bundle.spec.title} in the window, {usable_cores()} cores, {config.minutes:g} minutes of play"
    table = Table(title=title, show_header=False)
    for name, value in figures.items():
        table.add_row(name, f"{value:,.1f}")
    console().print(table)
    path = report_folder(config.out, bundle.spec.name) / "bench-play.json"
    atomic.write_text(
        path, json.dumps({"world": bundle.spec.name, "cores": usable_cores(), **figures}, indent=1) + "\n"
    )
    console().print(f"wrote {path}", soft_wrap=True)


def _press_keys(viewer: Viewer, playing: Playing) -> list[float]:
    """Milliseconds from the event of a key to the drawing of the first frame that was made with it."""
    import pygame

    rng, found = np.random.default_rng(0), list[float]()
    codes = [SCANCODES[keys[0]] for keys in playing.spec.keys.values()]
    for press in range(PRESSES):
        _run(viewer, rng.uniform(LEAST_HELD, MOST_HELD))  # at any time between two frames
        view, timed, code = playing.player.view, _newest(playing), codes[press % len(codes)]
        if view is not None and view.ended:
            playing.player.go_to(0)
        began = time.perf_counter()
        pygame.event.post(pygame.Event(pygame.KEYDOWN, scancode=code, key=0, mod=0))
        give_up = began + PATIENCE
        _until(viewer, lambda: _newest(playing) != timed or time.perf_counter() > give_up)  # noqa: B023  (called here)
        if _newest(playing) != timed:
            found.append(1e3 * (time.perf_counter() - began))
        pygame.event.post(pygame.Event(pygame.KEYUP, scancode=code, key=0, mod=0))
    return found


def _fill(viewer: Viewer, playing: Playing, minutes: float) -> tuple[int, float]:
    """Play on as fast as possible; how many frames can be gone back to then, and the seconds that it took."""
    player, wanted = playing.player, round(60 * minutes * playing.spec.fps)
    while player.speed < float("inf"):
        player.change_speed(1)
    view = player.view
    assert view is not None
    made, began = view.length, time.perf_counter()
    with progress("playing, frames", wanted) as on_progress:
        on_progress(made)
        while made < wanted:
            viewer.tick(WAIT)
            view = player.view
            assert view is not None
            if view.ended and player.paused:  # the same world again: what was played stays to go back to
                player.pause(False)
            on_progress(view.length - made)
            made = view.length
    player.pause(True)
    _until(viewer, lambda: player.paused)
    return made, time.perf_counter() - began


def _seek(viewer: Viewer, playing: Playing) -> list[float]:
    """Milliseconds from asking for a moment to its drawing, for moments anywhere."""
    rng, found = np.random.default_rng(0), list[float]()
    view = playing.player.view
    assert view is not None
    for position in rng.integers(view.length, size=SEEKS):
        began = time.perf_counter()
        playing.player.seek(int(position))
        _until(viewer, lambda at=int(position): _position(playing) == at)  # type: ignore[misc]
        found.append(1e3 * (time.perf_counter() - began))
    return found


def _newest(playing: Playing) -> float | None:
    return playing.hud.latencies[-1] if playing.hud.latencies else None


def _position(playing: Playing) -> int:
    view = playing.player.view
    return -1 if view is None else view.position


def _run(viewer: Viewer, seconds: float) -> None:
    end = time.perf_counter() + seconds
    _until(viewer, lambda: time.perf_counter() >= end)


def _until(viewer: Viewer, condition: Callable[[], bool]) -> None:
    """Let the window run until something is so; it was drawn then."""
    while True:
        viewer.tick(WAIT)
        if condition():
            return
