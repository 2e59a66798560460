"""Which past frames a world remembers: every one of the newest, fewer and fewer of the older. Knows no network.

A reach is a tuple of (age, every): up to that age, one frame in so many, by the frame's own number. `((32, 1), (128,
4))` is the newest 32 frames, then every fourth until frame 128. A frame once forgotten is never retained again.
"""

from __future__ import annotations

import itertools

import numpy as np

from worldsim.errors import WorldsimError

Retention = tuple[tuple[int, int], ...]


def check_retention(reach: Retention) -> None:
    """See that what is forgotten stays forgotten.

    Raises:
        WorldsimError: if ages do not rise, or a step is not a multiple of the one before.
    """
    ages, steps = [0, *(age for age, _ in reach)], [1, *(every for _, every in reach)]
    if ages != sorted(set(ages)) or any(b % a for a, b in itertools.pairwise(steps)):
        raise WorldsimError(f"memory {reach}: ages must rise, and each step be a multiple of the one before")


def retained(number: np.ndarray, age: np.ndarray, reach: Retention) -> np.ndarray:
    """Whether frames are retained: their numbers and ages (both `[...]`, an age is 1 or more) -> bool `[...]`."""
    kept = np.zeros(np.broadcast_shapes(number.shape, age.shape), bool)
    younger = 0
    for limit, every in reach:
        kept |= (age > younger) & (age <= limit) & (number % every == 0)
        younger = limit
    return kept


def capacity(reach: Retention) -> int:
    """The most frames that are ever retained at once."""
    younger, most = 0, 0
    for limit, every in reach:
        most += -(-(limit - younger) // every)
        younger = limit
    return most


def context(window: int, reach: Retention) -> int:
    """Frames that a world is shown at the start, so that it knows all of its window, and all that it remembers frame by
    frame."""
    return 1 + max([window, *(age for age, every in reach if every == 1)])
