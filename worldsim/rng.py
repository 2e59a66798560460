"""Random numbers of generated frames: counter-based, a function of seed, frame and draw alone.

They are the same for every runtime, and for a batch or its rows one by one. There is no generator state.
"""

from __future__ import annotations

import numpy as np

SEEDS = 2**64  # how many there are


def frame_noise(seed: int, frame: int, shape: tuple[int, ...], temperature: float = 1.0) -> np.ndarray:
    """Normal noise for one frame, from Philox (Salmon et al. 2011) with key `seed` and counter `frame`.

    Args:
        seed: 0 or more, below 2**64.
        frame: number of the frame that the noise becomes.
        shape: of the noise.
        temperature: standard deviation, 0 or more.

    Returns:
        float32 `shape`.
    """
    bits = np.random.Philox(key=_key(seed, 0), counter=[0, 0, 0, frame])
    return np.random.Generator(bits).standard_normal(shape, dtype=np.float32) * np.float32(temperature)


def frame_chance(seed: int, frame: int) -> float:
    """A uniform random number in [0, 1) for one frame, from a stream of its own, independent of `frame_noise`."""
    return float(np.random.Generator(np.random.Philox(key=_key(seed, 1), counter=[0, 0, 0, frame])).random())


def _key(seed: int, stream: int) -> np.ndarray:
    return np.array([seed, stream], np.uint64)  # a list of large numbers would be rounded to floats
