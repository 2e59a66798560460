"""What a headless run does: scripts of actions as text, and random play. Knows no window and no model.

parse_actions("up*30,noop*10", spec)      # the indices of 40 actions
format_actions([1, 1, 1, 0], spec)        # "up*3,noop"
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from worldsim.errors import WorldsimError
from worldsim.spec import WorldSpec

LONGEST_HOLD = 16  # frames for which random play holds an action


def parse_actions(script: str, spec: WorldSpec) -> list[int]:
    """`"up*30,noop*10"` -> the indices of 40 actions; `""` -> `[]`.

    Raises:
        WorldsimError: for an action the world hasn't, or a count that is none.
    """
    actions: list[int] = []
    for part in filter(None, script.split(",")):
        name, _, count = part.strip().partition("*")
        if count and not (count.isdecimal() and int(count)):
            raise WorldsimError(f"--actions: {part!r} is not ACTION or ACTION*COUNT, as in up*30")
        actions += [spec.action_index(name)] * int(count or 1)
    return actions


def format_actions(actions: Iterable[int], spec: WorldSpec) -> str:
    """The script that `parse_actions` reads back to these actions."""
    runs = [(spec.actions[action].name, len(list(run))) for action, run in itertools.groupby(actions)]
    return ",".join(name if count == 1 else f"{name}*{count}" for name, count in runs)


def scripted(script: list[int], idle: int) -> Iterator[int]:
    """The script's actions, then idleness for ever."""
    yield from script
    while True:
        yield idle


def at_random(actions: int, seed: int) -> Iterator[int]:
    """Random actions, each held for a random while, for ever; the same for the same seed."""
    rng = np.random.default_rng(seed)
    while True:
        yield from [int(rng.integers(actions))] * int(rng.integers(1, LONGEST_HOLD + 1))
