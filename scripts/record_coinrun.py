"""Record CoinRun (Cobbe et al. 2019), Genie's own experiment, as videos with tables of actions beside them.

It runs in an environment of its own, because procgen2 wants an older NumPy than worldsim:

    python3 -m venv coinrun-env && coinrun-env/bin/pip install 'procgen2==0.10.7' 'numpy<2' 'av>=14' pillow
    coinrun-env/bin/python scripts/record_coinrun.py --out coinrun --frames 2000000
    worldsim import coinrun --out recordings/coinrun --size 64x64 --fps 15 --licence 'procgen2, MIT'

Every episode has a level of its own. Explorers of mixed skill play: all run on and jump where they get stuck, and each
strays from that, with a chance of its own, into other actions that it holds for a while. They run to the right, where
the coin is; with a chance of its own each turns back for a while, so that the way left is seen, too.

Frames are drawn at 512x512 and averaged down to 64x64, as a video of the game would be: the game's own 64x64 pictures
skip most of what they show, so their details flicker with every fraction of a pixel that the view moves. A stopped
recording goes on with the episode after the last whole one, when the same command is run again.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import av
import numpy as np
from PIL import Image
from procgen import ProcgenGym3Env

ACTIONS = {"left": 1, "jump-left": 2, "noop": 4, "jump": 5, "right": 7, "jump-right": 8}  # name -> procgen's number
FPS = 15
SIZE = 64  # of a frame; the game is drawn at eight times of it
LONGEST = 1000  # frames
STUCK = 3  # frames without motion, after which an explorer jumps
MOVED = 0.02  # share of the pixels that change while the runner gets on
BACK = {"right": "left", "jump-right": "jump-left"}


class Explorer:
    """One explorer of one episode."""

    def __init__(self, rng: np.random.Generator):
        self._rng, self._stray = rng, float(rng.choice([0.03, 0.1, 0.25, 0.6]))
        self._turn = float(rng.choice([0.0, 0.03, 0.1]))  # chance of turning back, at each choice
        self._action, self._hold, self._still, self._back = "right", 0, 0, 0

    def __call__(self, frame: np.ndarray, before: np.ndarray) -> str:
        """The action on seeing uint8 `[64, 64, 3]`, given the frame before it."""
        moved = (np.abs(frame.astype(int) - before) > 24).any(-1).mean() > MOVED
        self._still = 0 if moved else self._still + 1
        self._hold, self._back = self._hold - 1, self._back - 1
        if self._hold > 0:
            return self._action
        if self._back <= 0 and self._rng.random() < self._turn:
            self._back = int(self._rng.integers(8, 40))
        if self._rng.random() < self._stray:
            self._action, self._hold = str(self._rng.choice(list(ACTIONS))), int(self._rng.integers(2, 12))
        elif self._still >= STUCK or self._rng.random() < 0.12:
            self._action, self._hold = "jump-right", int(self._rng.integers(4, 14))
        else:
            self._action, self._hold = "right", int(self._rng.integers(1, 6))
        if self._back > 0:
            self._action = BACK.get(self._action, self._action)
        return self._action


def play(seed: int) -> tuple[list[np.ndarray], list[str], bool]:
    """The frames of level `seed`, the actions on seeing them, and whether the coin was reached."""
    game = ProcgenGym3Env(
        num=1, env_name="coinrun", start_level=seed, num_levels=1, rand_seed=seed, render_mode="rgb_array"
    )
    explorer = Explorer(np.random.default_rng(seed))
    frames, names, won = [], [], False
    while len(frames) < LONGEST:
        reward, _, first = game.observe()
        if first[0] and frames:
            won = bool(reward[0] > 0)
            break
        frame = np.asarray(Image.fromarray(game.get_info()[0]["rgb"]).reduce(512 // SIZE))
        names.append(explorer(frame, frames[-1] if frames else frame))
        frames.append(frame)
        game.act(np.array([ACTIONS[names[-1]]], np.int32))
    game.close()
    return frames, names, won


def write(path: Path, frames: list[np.ndarray], names: list[str]) -> None:
    """Write a video and its table; the video, which counts, last."""
    path.with_name(f"{path.stem}.actions.csv").write_text("action\n" + "\n".join(names) + "\n")
    partial = path.with_name(f".{path.name}")
    with av.open(str(partial), "w") as container:
        stream = container.add_stream("libx264rgb", rate=FPS, options={"crf": "8", "preset": "fast"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.codec_context.thread_count = "rgb24", 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    os.replace(partial, path)


def main() -> None:
    """Record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=100_000, help="at least so many in all")
    parser.add_argument("--seed", type=int, default=0, help="of the first level; each further one has the next")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    total = won = episodes = 0
    seed = arguments.seed
    while total < arguments.frames:
        path = arguments.out / f"level-{seed:07d}.mp4"
        if path.exists():
            total += len(path.with_name(f"{path.stem}.actions.csv").read_text().splitlines()) - 1
        else:
            frames, names, reached = play(seed)
            won, episodes = won + reached, episodes + 1
            total += len(frames)
            if len(frames) > 16:
                write(path, frames, names)
        seed += 1
        if episodes and episodes % 100 == 0:
            print(f"{total:,} frames; coin reached in {won / episodes:.0%} of {episodes} episodes", flush=True)
    print(f"{total:,} frames; coin reached in {won / max(episodes, 1):.0%} of {episodes} new episodes")


if __name__ == "__main__":
    main()
