"""What all tests share: no display, one thread a process, a small world and recordings of it."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from worldsim.data.recording import Episode, RecordingWriter
from worldsim.spec import Action, WorldSpec

# A shell starts background jobs with Ctrl-C ignored, and children inherit that: undone for programs tested with it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def small_spec() -> WorldSpec:
    """A world of unequal sides, with a state."""
    return WorldSpec(
        name="small",
        height=16,
        width=32,
        fps=10,
        frame_skip=2,
        actions=(
            Action("stay"),
            Action("left", ("left",)),
            Action("right", ("right",)),
            Action("jump", ("right", "up")),
        ),
        keys={"left": ("ArrowLeft", "KeyA"), "right": ("ArrowRight",), "up": ("ArrowUp", "Space")},
        state_names=("x", "y"),
        title="A small world",
    )


@pytest.fixture
def make_episode(small_spec: WorldSpec) -> Callable[..., Episode]:
    """`make_episode(seed, length)`: noise for frames, random actions, an end by the game."""

    def make(seed: int, length: int) -> Episode:
        rng = np.random.default_rng(seed)
        return Episode(
            rng.integers(0, 256, (length, small_spec.height, small_spec.width, 3), np.uint8),
            np.append(rng.integers(0, len(small_spec.actions), length - 1), -1).astype(np.int16),
            np.append(rng.random(length - 1), 0).astype(np.float32),
            np.arange(length) == length - 2,
            rng.random((length, 2)).astype(np.float32),
        )

    return make


@pytest.fixture
def small_recording(tmp_path: Path, small_spec: WorldSpec, make_episode: Callable[..., Episode]) -> Path:
    """Twelve episodes of 50 to 61 frames, seed 5."""
    writer = RecordingWriter(tmp_path / "small", small_spec, 5, {"source": "noise", "licence": "none"})
    for i in range(12):
        writer.append(make_episode(i, 50 + i))
    return tmp_path / "small"


@pytest.fixture
def tiny_recording(tmp_path: Path) -> Path:
    """Twelve episodes of the tiny world's waves, of 8 frames."""
    from tiny import tiny_clips, tiny_spec

    writer = RecordingWriter(tmp_path / "waves", tiny_spec(), 0, {"source": "waves", "licence": "none"})
    frames, actions = tiny_clips(12, 8, seed=3)
    for clip, taken in zip(frames, actions, strict=True):
        ended = np.arange(8) == 6
        rewards = np.zeros(8, np.float32)
        writer.append(
            Episode(clip, np.append(taken, -1).astype(np.int16), rewards, ended, np.zeros((8, 0), np.float32))
        )
    return tmp_path / "waves"


@pytest.fixture(scope="session")
def tiny_world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a tiny real world (see tiny.py), never to be changed: copy it first.

    Its export takes most of a minute, so it is kept in pytest's cache until a source of the engine changes.
    """
    from tiny import export_tiny_world, tiny_key

    cache = getattr(request.config, "cache", None)
    kept = cache.mkdir("tiny_world") if cache else tmp_path_factory.mktemp("tiny_world")
    world = kept / tiny_key()
    if not world.exists():
        fresh = kept / f"{world.name}.{os.getpid()}"
        export_tiny_world(fresh)
        try:
            os.replace(fresh, world)
        except OSError:  # another pytest was faster
            shutil.rmtree(fresh)
    return world


@pytest.fixture(scope="session")
def tiny_imaginer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An imaginer that draws the tiny world (see tiny_imaginer.py), never to be changed: copy it first."""
    from tiny import HEIGHT, WIDTH
    from tiny_imaginer import ORIGIN, tiny_networks

    from worldsim.runtime.export_imaginer import export_imaginer

    folder = tmp_path_factory.mktemp("imaginers") / "doodle"
    export_imaginer(folder, tiny_networks(), {"tiny": (HEIGHT, WIDTH)}, ORIGIN)
    return folder
