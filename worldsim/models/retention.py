"""Which past frames stay in memory: every one of the newest, fewer and fewer of the older. Knows no network.

A retention is a tuple of (age, every): up to that age, one frame in so many, by the frame's own number. `((32, 1),
(128, 4))` is the newest 32 frames, then every fourth until frame 128. A frame once forgotten is never retained again.
"""

from __future__ import annotations

import itertools

import numpy as np

from worldsim.errors import WorldsimError

Retention = tuple[tuple[int, int], ...]


def check_retention(retention: Retention) -> None:
    """Make sure that a dropped frame never comes back.

    Raises:
        WorldsimError: if ages do not rise, or a step is not a multiple of the one before.
    """
    ages, steps = [0, *(age for age, _ in retention)], [1, *(every for _, every in retention)]
    if ages != sorted(set(ages)) or any(b % a for a, b in itertools.pairwise(steps)):
        raise WorldsimError(f"memory {retention}: ages must rise, and each step be a multiple of the one before")


def retained(number: np.ndarray, age: np.ndarray, retention: Retention) -> np.ndarray:
    """Whether frames are kept: their numbers and ages (both `[...]`, an age is 1 or more) -> bool `[...]`."""
    kept = np.zeros(np.broadcast_shapes(number.shape, age.shape), bool)
    younger = 0
    for limit, every in retention:
        kept |= (age > younger) & (age <= limit) & (number % every == 0)
        younger = limit
    return kept


def capacity(retention: Retention) -> int:
    """The most frames that are ever kept at once."""
    younger, most = 0, 0
    for limit, every in retention:
        most += -(-(limit - younger) // every)
        younger = limit
    return most


def context(window: int, retention: Retention) -> int:
    """Context frames that fill the window and the part of memory that keeps every frame."""
    return 1 + max([window, *(age for age, every in retention if every == 1)])
