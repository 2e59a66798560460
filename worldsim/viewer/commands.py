"""The window's commands while a world is played, and the one key of each. Knows nothing of windows or players.

A world's own keys come first: a command whose key the world uses moves to the first free one of F2 to F9, and the help
shows where it went. Only F1, F11 and Escape are always the window's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

Command = Literal[
    "pause", "step", "rewind", "switch", "restart", "previous", "next", "scaling", "help", "full screen", "gallery"
]

KEYS: dict[Command, str] = {
    "pause": "KeyP",
    "step": "Enter",
    "rewind": "KeyR",
    "switch": "KeyB",
    "restart": "Backspace",
    "previous": "PageUp",
    "next": "PageDown",
    "scaling": "Tab",
    "help": "F1",
    "full screen": "F11",
    "gallery": "Escape",
}
EXPLAINED: tuple[tuple[tuple[Command, ...], str], ...] = (
    (("pause",), "pause, go on"),
    (("step",), "a single frame"),
    (("rewind",), "hold to rewind"),
    (("switch",), "another branch"),
    (("restart",), "begin again"),
    (("previous", "next"), "other starts"),
    (("scaling",), "crisp or smooth"),
    (("help",), "show or hide this"),
    (("full screen",), "full screen"),
    (("gallery",), "all worlds"),
)
RESERVED = frozenset({"F1", "F11", "Escape"})
SPARE = tuple(f"F{n}" for n in range(2, 10))


def assign_keys(world_keys: Iterable[Collection[str]]) -> dict[Command, str]:
    """The key of every command in a world.

    Args:
        world_keys: for each button of the world, the codes of its keys.

    Returns:
        One key a command. A command is left out if all spare keys are the world's, too.
    """
    taken = {code for codes in world_keys for code in codes} - RESERVED
    spare = iter([key for key in SPARE if key not in taken])
    keys = {command: next(spare, "") if key in taken else key for command, key in KEYS.items()}
    return {command: key for command, key in keys.items() if key}
