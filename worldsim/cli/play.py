"""`worldsim play` and `python play.py`: play a generated world in a window, or headless into a video file.

The window itself is worldsim.viewer, imported only when one is wanted. Trains and records nothing real.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Literal

import numpy as np

from worldsim.errors import WorldsimError
from worldsim.rng import SEEDS
from worldsim.runtime.base import load_runtime
from worldsim.runtime.bundle import BUNDLE, SHIPPED, Bundle, open_world, shipped_worlds
from worldsim.runtime.session import Session
from worldsim.viewer.capture import Capture
from worldsim.viewer.script import at_random, parse_actions, scripted

FRAMES = 300  # of a headless run, if nothing says otherwise


@dataclasses.dataclass(frozen=True)
class PlayConfig:
    """Play a generated world: python play.py --world doom-maze

    Attributes:
        world: a shipped world by its name or title, of which the beginning is enough, or the folder of a bundle;
            without it, a gallery to choose from.
        start: which of the world's starts to begin at.
        seed: the same seed, start and keys give the same frames.
        record: write the generated frames to this video file, and start, seed and keys to a JSON file beside it.
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
    asked = find_world(config.world) if config.world else None
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that no half video is left
    try:
        if config.headless:
            play_headless(config, open_world(asked or names[0]))
        else:
            play_in_window(config, asked, names)
    finally:
        signal.signal(signal.SIGTERM, previous)


def find_world(wanted: str) -> str:
    """The name of the one shipped world that `wanted` means, or the path of a folder as it is.

    A world's name and folders come first; else `wanted` begins, in any case, its name, its title or a word of them.

    Raises:
        WorldsimError: if none or several are meant.
    """
    names = shipped_worlds()
    if wanted in names or Path(wanted).exists():
        return wanted
    titles = {name: str(BUNDLE.read_manifest(SHIPPED / name)["spec"].get("title", "")) for name in names}
    begins = {name: [name, title, *re.split(r"\W+", f"{name} {title}")] for name, title in titles.items()}
    exact = [name for name in names if wanted.lower() in (name.lower(), titles[name].lower())]
    meant = exact or [name for name in names if any(b.lower().startswith(wanted.lower()) for b in begins[name])]
    if len(meant) != 1:
        listed = ", ".join(f"{name} ({titles[name]})" if titles[name] else name for name in meant or names)
        what = f"{wanted!r} means several worlds" if meant else f"no world {wanted!r}"
        raise WorldsimError(f"{what}: give one of {listed or '(none shipped)'}, or the folder of one")
    return meant[0]


def play_in_window(config: PlayConfig, asked: str | None, names: list[str]) -> None:
    """Play in a window, until it is closed."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    from worldsim.viewer.playing import Playing
    from worldsim.viewer.viewer import Viewer

    first = open_world(asked) if asked else None
    worlds = [*([first] if first else []), *(open_world(name) for name in names if name != asked)]
    captures: list[Capture | None] = []

    def playing(world: Bundle) -> Playing:
        """The screen of a world; the first one played begins at --start and is recorded."""
        start, record = (0, None) if captures else (check_start(world, config.start), config.record)
        captures.append(Capture(record, world) if record else None)
        return Playing(world, functools.partial(open_session, config), start, config.seed, config.smooth, captures[-1])

    if first:
        check_start(first, config.start)
    with Viewer(worlds, playing, first) as viewer:
        viewer.run()
    if captures and captures[0]:
        print(captures[0].summary)


def play_headless(config: PlayConfig, world: Bundle) -> None:
    """Generate frames without a window, and say how fast it went."""
    check_start(world, config.start)
    script = parse_actions(config.actions, world.spec)
    frames = (len(script) or FRAMES) if config.frames is None else config.frames
    if frames < 1:
        raise WorldsimError(f"--frames {frames} must be at least 1")
    actions = scripted(script, world.spec.noop) if script else at_random(len(world.spec.actions), config.seed)
    with Capture(config.record, world) if config.record else contextlib.nullcontext() as capture:
        session, start = open_session(config, world), config.start
        state, began = None, time.perf_counter()
        for _ in range(frames):
            if state is None:
                state = session.start([start], [config.seed])
                if capture:
                    capture.begin(start, config.seed)
            action = next(actions)
            state, made = session.step(state, np.array([action]))
            if capture:
                capture.write(made.frame[0], action)
            if made.ended[0]:
                state, start = None, (start + 1) % len(world.starts)
    seconds = time.perf_counter() - began
    print(f"{world.spec.name}: {frames} frames in {seconds:.1f} s, {frames / seconds:.1f} frames a second")
    if capture:
        print(capture.summary)


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
