"""A world whose every action shows: a cross walks on a patterned ground, two pixels a frame, and comes in on the other
side where it leaves. Frames are 40x24."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from worldsim.data.recording import Episode, RecordingWriter
from worldsim.spec import Action, WorldSpec

H, W, STEP, SIDE = 24, 40, 3, 6
MOVES = {"stay": (0, 0), "left": (0, -STEP), "right": (0, STEP), "up": (-STEP, 0), "down": (STEP, 0)}  # rows, columns
SPEC = WorldSpec(
    name="steered",
    height=H,
    width=W,
    fps=10,
    frame_skip=1,
    actions=(Action("stay"), *(Action(name, (name,)) for name in list(MOVES)[1:])),
    keys={name: (f"Arrow{name.title()}",) for name in list(MOVES)[1:]},
)


def ground() -> np.ndarray:
    """A pattern that does not repeat, uint8 `[H, W, 3]`."""
    rng = np.random.default_rng(5)
    return rng.integers(30, 110, (H // 4, W // 4, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)


def play(seed: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames uint8 `[length, H, W, 3]` and the actions int16 `[length]` between them, each held for a few frames."""
    rng = np.random.default_rng(seed)
    actions = rng.integers(0, 5, length).repeat(rng.integers(1, 5, length))[:length].astype(np.int16)
    row, column, frames = int(rng.integers(H)), int(rng.integers(W)), []
    for action in actions:
        frame = ground()
        rows, columns = (row + np.arange(SIDE)) % H, (column + np.arange(SIDE)) % W
        frame[np.ix_(rows, columns)] = (250, 240, 80)
        frames.append(frame)
        down, right = list(MOVES.values())[action]
        row, column = (row + down) % H, (column + right) % W
    actions[-1] = -1
    return np.stack(frames), actions


def follow(seed: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """As `play`, but a camera follows the cross over even ground with a few walls."""
    rng = np.random.default_rng(seed)
    actions = rng.integers(0, 5, length).repeat(rng.integers(1, 5, length))[:length].astype(np.int16)
    land = np.full((10 * H, 10 * W, 3), 200, np.uint8)
    for top, left in rng.integers(0, (10 * H, 10 * W), (300, 2)):
        land[top : top + 9, left : left + 12] = (90, 60, 40)
    row, column, frames = 5 * H, 5 * W, []
    for action in actions:
        frame = land[row : row + H, column : column + W].copy()
        frame[9 : 9 + SIDE, 17 : 17 + SIDE] = (250, 240, 80)
        frames.append(frame)
        down, right = list(MOVES.values())[action]
        row, column = np.clip(row + down, 0, 9 * H), np.clip(column + right, 0, 9 * W)
    actions[-1] = -1
    return np.stack(frames), actions


def record(path: Path, episodes: int = 40, length: int = 100, played: Callable[..., Any] = play) -> Path:
    """A recording of it."""
    with RecordingWriter(path, SPEC, 0, {"source": "a test", "licence": "none"}) as writer:
        for seed in range(episodes):
            frames, actions = played(seed, length)
            none = np.zeros(length, np.float32)
            writer.append(Episode(frames, actions, none, none.astype(bool), none[:, None][:, :0]))
    return path
