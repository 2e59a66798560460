"""CoinRun levels for an agent in another process, one each: the other half of `scripts/clone_coinrun.py`.

It runs in the environment of `scripts/record_coinrun.py`. On its input it reads one byte a level, which of `--actions`
is taken; on its output it writes the frames of all levels, uint8 `[N, 64, 64, 3]`, then one byte a level: 0 goes on, 1
is over, 2 is over with the coin. A level that is over stays as it was.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from PIL import Image
from procgen import ProcgenGym3Env
from record_coinrun import ACTIONS, SIZE


def main() -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--levels", type=int, default=64)
    parser.add_argument("--first", type=int, default=10_000_000, help="number of the first one")
    parser.add_argument("--actions", nargs="+", choices=sorted(ACTIONS), required=True)
    arguments = parser.parse_args()
    numbers = range(arguments.first, arguments.first + arguments.levels)
    games = [
        ProcgenGym3Env(1, "coinrun", start_level=n, num_levels=1, rand_seed=n, render_mode="rgb_array") for n in numbers
    ]
    state = np.zeros(len(games), np.uint8)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while True:
        pictures = [Image.fromarray(game.get_info()[0]["rgb"]).reduce(512 // SIZE) for game in games]
        sink.write(np.stack([np.asarray(picture) for picture in pictures]).tobytes() + state.tobytes())
        sink.flush()
        actions = source.read(len(games))
        if len(actions) < len(games):
            return
        for i, game in enumerate(games):
            if state[i]:
                continue
            game.act(np.array([ACTIONS[arguments.actions[actions[i]]]], np.int32))
            reward, _, first = game.observe()
            if first[0]:
                state[i] = 2 if reward[0] > 0 else 1


if __name__ == "__main__":
    main()
