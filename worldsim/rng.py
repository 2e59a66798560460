"""Random numbers of generated frames: counter-based, a function of seed, frame and draw alone.

They are the same for every runtime, and for a batch or its rows one by one. There is no generator state.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence

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
    return _generator(seed, 0, frame).standard_normal(shape, dtype=np.float32) * np.float32(temperature)


def frame_chance(seed: int, frame: int) -> float:
    """A uniform random number in [0, 1) for one frame, from a stream of its own, independent of `frame_noise`."""
    return float(_generator(seed, 1, frame).random())


class _Key(ISeedSequence):
    """Hands a bit generator its key. Philox takes one itself, but first asks the operating system for entropy."""

    def __init__(self, *numbers: int):
        self._key = np.array(numbers, np.uint64)  # a list of large numbers would be rounded to floats

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> np.ndarray:
        """The key."""
        return self._key


def _generator(seed: int, stream: int, frame: int) -> np.random.Generator:
    key: Any = _Key(seed, stream)  # what numpy documents, and its types leave out
    return np.random.Generator(np.random.Philox(key, counter=[0, 0, 0, frame]))
