"""`worldsim play` and `python play.py`: play a generated world in a window, or headless into a video file.

The window itself is viewer.py, imported only when one is wanted. Trains and records nothing real.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from worldsim.data.video import VideoWriter
from worldsim.errors import WorldsimError
from worldsim.rng import SEEDS
from worldsim.runtime.base import load_runtime
from worldsim.runtime.bundle import Bundle, open_world, shipped_worlds
from worldsim.runtime.session import Session
from worldsim.spec import WorldSpec

FRAMES = 300  # of a headless run, if nothing says otherwise
LONGEST_HOLD = 16  # frames for which random play holds an action


@dataclasses.dataclass(frozen=True)
class PlayConfig:
    """Play a generated world: python play.py --world doom-maze

    Attributes:
        world: a shipped world's name, or the folder of one; without it, a gallery to choose from.
        start: which of the world's starts to begin at.
        seed: the same seed, start and keys give the same frames.
        record: write the generated frames to this video file.
        headless: no window; plays --actions, or at random by the seed, as fast as the machine can. Where the world
            ends, its next start follows.
        frames: how many frames a headless run generates; as many as --actions has, or 300, if not given.
        actions: what a headless run does, as in "up*30,noop*10"; then it stands idle.
        runtime: what runs the model; torch is the reference.
        device: where it runs.
        smooth: scale smoothly rather than with crisp pixels.
    """

    world: str = ""
    start: int = 0
    seed: int = 0
    record: Path | None = None
    headless: bool = False
    frames: int | None = None
    actions: str = ""
    runtime: Literal["onnx", "torch"] = "onnx"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    smooth: bool = False


def play(config: PlayConfig) -> None:
    """Play.

    Raises:
        WorldsimError: for a world that can't be opened, a start or action it hasn't, no display, or a video that
            can't be written.
    """
    if not config.headless and (config.frames is not None or config.actions):
        raise WorldsimError("--frames and --actions are for --headless")
    if not 0 <= config.seed < SEEDS:
        raise WorldsimError(f"--seed {config.seed}: give 0 to 2**64 - 1")
    names = shipped_worlds()
    if not (config.world or names):
        raise WorldsimError("no world is installed. Give the folder of one: --world PATH")
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that no half video is left
    try:
        if config.headless:
            play_headless(config, open_world(config.world or names[0]))
        else:
            play_in_window(config, names)
    finally:
        signal.signal(signal.SIGTERM, previous)


def play_in_window(config: PlayConfig, names: list[str]) -> None:
    """Play in a window, until it is closed."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    from worldsim.viewer.viewer import Playing, Viewer

    asked = open_world(config.world) if config.world else None
    worlds = [*([asked] if asked else []), *(open_world(name) for name in names if name != config.world)]
    played: list[Playing] = []

    def playing(world: Bundle) -> Playing:
        """The screen of a world; the first one played begins at --start and is recorded."""
        start, record = (0, None) if played else (check_start(world, config.start), config.record)
        opener = functools.partial(open_session, config)
        played.append(Playing(world, opener, start, config.seed, config.smooth, record))
        return played[-1]

    if asked:
        check_start(asked, config.start)
    with Viewer(worlds, playing, asked) as viewer:
        viewer.run()
    if played and played[0].video:
        count = played[0].video.frames
        print(f"recorded {count} frames in {config.record}" if count else "no frame was played, and none recorded")


def play_headless(config: PlayConfig, world: Bundle) -> None:
    """Generate frames without a window, and say how fast it went."""
    check_start(world, config.start)
    script = parse_actions(config.actions, world.spec)
    frames = (len(script) or FRAMES) if config.frames is None else config.frames
    if frames < 1:
        raise WorldsimError(f"--frames {frames} must be at least 1")
    actions = scripted(script, world.spec.noop) if script else at_random(len(world.spec.actions), config.seed)
    with VideoWriter(config.record, world.spec.fps) if config.record else contextlib.nullcontext() as video:
        session, start = open_session(config, world), config.start
        state = session.start([start], [config.seed])
        began = time.perf_counter()
        for _ in range(frames):
            state, made = session.step(state, np.array([next(actions)]))
            if video:
                video.write(made.frame[0])
            if made.ended[0]:
                start = (start + 1) % len(world.starts)
                state = session.start([start], [config.seed])
    seconds = time.perf_counter() - began
    where = f", in {config.record}" if config.record else ""
    print(f"{world.spec.name}: {frames} frames in {seconds:.1f} s, {frames / seconds:.1f} frames a second{where}")


def open_session(config: PlayConfig, world: Bundle) -> Session:
    """The world, ready to be played by the runtime and device asked for."""
    return Session(load_runtime(world, config.runtime, config.device))


def check_start(world: Bundle, start: int) -> int:
    """The start, if the world has it.

    Raises:
        WorldsimError: if it hasn't.
    """
    if not 0 <= start < len(world.starts):
        raise WorldsimError(f"world {world.spec.name!r} has no start {start}; it has 0 to {len(world.starts) - 1}")
    return start


def parse_actions(script: str, spec: WorldSpec) -> list[int]:
    """`"up*30,noop*10"` -> the indices of 40 actions; `""` -> `[]`.

    Raises:
        WorldsimError: for an action the world hasn't, or a count that is none.
    """
    actions: list[int] = []
    for part in filter(None, script.split(",")):
        name, _, count = part.strip().partition("*")
        if count and not (count.isdecimal() and int(count)):
            raise WorldsimError(f"--actions: {part!r} is not ACTION or ACTION*COUNT, as in up*30")
        actions += [spec.action_index(name)] * int(count or 1)
    return actions


def scripted(script: list[int], idle: int) -> Iterator[int]:
    """The script's actions, then idleness for ever."""
    yield from script
    while True:
        yield idle


def at_random(actions: int, seed: int) -> Iterator[int]:
    """Random actions, each held for a random while, for ever; the same for the same seed."""
    rng = np.random.default_rng(seed)
    while True:
        yield from [int(rng.integers(actions))] * int(rng.integers(1, LONGEST_HOLD + 1))
