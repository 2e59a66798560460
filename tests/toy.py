"""A toy world whose every frame can be computed, with simulators of it that are right or wrong in known ways.

A white square of four pixels walks on the left half (actions: stay, left, right, up, down) and comes in on the other
side where it leaves; a red bar runs along the bottom all the time; and a lamp on the right changes its colour whenever
the square, at the top, is thrown to the bottom.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldsim.data.recording import Episode, RecordingWriter
from worldsim.spec import Action, WorldSpec

H, W = 24, 40
STEP = 4
LAMPS = np.array([[0, 160, 0], [0, 0, 200], [160, 160, 0], [160, 0, 160]])
MOVES = ((0, 0), (0, -STEP), (0, STEP), (-STEP, 0), (STEP, 0))  # rows, columns
SPEC = WorldSpec(
    name="toy",
    height=H,
    width=W,
    fps=10,
    frame_skip=1,
    actions=(
        Action("stay"),
        Action("left", ("left",)),
        Action("right", ("right",)),
        Action("up", ("up",)),
        Action("down", ("down",)),
    ),
    keys={"left": ("ArrowLeft",), "right": ("ArrowRight",), "up": ("ArrowUp",), "down": ("ArrowDown",)},
    state_names=("row", "column", "lamp", "bar"),
    title="A toy world",
)


def advance(state: np.ndarray, action: int) -> tuple[np.ndarray, float]:
    """The state [row, column, lamp, bar] after an action, and the reward."""
    row, column, lamp, bar = (int(v) for v in state)
    down, right = MOVES[action]
    row, column, bar = row + down, (column + right) % 20, (bar + 2) % W
    thrown = row < 0
    if thrown:
        row, lamp = 16, (lamp + 1) % len(LAMPS)
    return np.array([min(row, 16), column, lamp, bar], np.float32), float(thrown)


def draw(state: np.ndarray) -> np.ndarray:
    """The frame of a state, uint8 [H, W, 3]."""
    row, column, lamp, bar = (int(v) for v in state)
    frame = np.full((H, W, 3), 60, np.uint8)
    frame[::4, 20:] = 90  # some detail
    frame[4:12, 28:36] = LAMPS[lamp]
    columns = (column + np.arange(4)) % 20
    frame[row : row + 4, columns] = 255
    frame[21:, (bar + np.arange(8)) % W] = (200, 0, 0)
    return frame


def look(frame: np.ndarray) -> np.ndarray:
    """The state of a frame, exactly; of a frame of nothing known, something."""
    square = (frame[:20, :20] == 255).all(-1)
    row = float(square.any(1).argmax())
    columns = square.any(0)
    column = float(np.flatnonzero(columns & ~np.roll(columns, 1)).max(initial=0))
    lamp = float(np.abs(LAMPS - frame[8, 32]).sum(-1).argmin())
    red = (frame[22] == (200, 0, 0)).all(-1)
    bar = float(np.flatnonzero(red & ~np.roll(red, 1)).max(initial=0))
    return np.array([row, column, lamp, bar], np.float32)


def read(frames: np.ndarray) -> np.ndarray:
    """The states of frames [..., H, W, 3] -> [..., S]."""
    flat = frames.reshape(-1, *frames.shape[-3:])
    return np.stack([look(frame) for frame in flat]).reshape(*frames.shape[:-3], -1)


def read_actions(frames: np.ndarray) -> np.ndarray:
    """The actions taken on seeing frames 1 … n - 3, by trying each: [N, n, H, W, 3] -> [N, n - 3]."""
    states = read(frames)
    found = np.zeros((len(frames), frames.shape[1] - 3), np.int64)
    for i, j in np.ndindex(*found.shape):
        errors = [np.abs(advance(states[i, j + 1], a)[0] - states[i, j + 2])[:2].sum() for a in range(len(MOVES))]
        found[i, j] = int(np.argmin(errors))
    return found


def record(path: Path, episodes: int = 40, length: int = 120, spec: WorldSpec = SPEC) -> Path:
    """A recording of the toy world, played at random with every action held for a while."""
    writer = RecordingWriter(path, spec, 0, {"source": "a toy", "licence": "none"})
    for seed in range(episodes):
        rng = np.random.default_rng(seed)
        state = np.array([4 * rng.integers(5), 4 * rng.integers(5), rng.integers(4), 2 * rng.integers(20)], np.float32)
        states, actions, rewards = [state], [], []
        while len(states) < length:
            for action in [int(rng.choice(5, p=[0.3, 0.15, 0.15, 0.3, 0.1]))] * int(rng.integers(1, 10)):
                state, reward = advance(state, action)
                states.append(state)
                actions.append(action)
                rewards.append(reward)
        states, actions, rewards = states[:length], [*actions[: length - 1], -1], [*rewards[: length - 1], 0.0]
        writer.append(
            Episode(
                np.stack([draw(s) for s in states]),
                np.array(actions, np.int16),
                np.array(rewards, np.float32),
                np.zeros(length, bool),
                np.stack(states),
            )
        )
    return path


class Perfect:
    """The toy world itself, picked up from its last context frame. `wrong` changes what it does."""

    context, rows = 3, 7

    def __init__(self, wrong: str = ""):
        self.wrong = wrong

    def reset(self, frames: np.ndarray, actions: np.ndarray, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        return read(frames[:, -1]), seeds, 0

    def step(self, state: tuple, actions: np.ndarray) -> tuple[tuple, np.ndarray]:
        states, seeds, t = state
        if self.wrong == "frozen":
            return state, np.stack([draw(s) for s in states])
        if self.wrong == "deaf":
            actions = np.zeros_like(actions)
        new = np.stack([advance(s, int(a))[0] for s, a in zip(states, actions, strict=True)])
        if self.wrong == "uncounted":
            new[:, 2] = states[:, 2]
        if self.wrong == "stopped":
            new[:, 3] = states[:, 3]
        frames = np.stack([draw(s) for s in new])
        if self.wrong == "noise":
            frames = np.random.default_rng(t).integers(0, 256, frames.shape, dtype=np.uint8)
        if self.wrong == "blank":
            frames = np.full_like(frames, 60)
        return (new, seeds, t + 1), frames


def codec(frames: np.ndarray) -> np.ndarray:
    """An encoder and decoder that lose the last bits of each colour."""
    return (frames // 8 * 8 + 4).astype(np.uint8)
