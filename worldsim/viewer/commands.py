"""The window's commands while a world is played, and the one key of each. Knows nothing of windows or players.

A world's own keys come first: a command whose key the world uses moves to the first free one of F2 to F9, and the help
shows where it went. Only F1, F10, F11 and Escape are always the window's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal, NamedTuple, get_args

CommandName = Literal[
    "pause", "step", "restart", "previous", "next", "scaling", "help", "full screen", "gallery", "quit"
]


class Command(NamedTuple):
    """A command's key, by its W3C code, and what it does, in words."""

    key: str
    does: str


COMMANDS: dict[CommandName, Command] = {
    "pause": Command("KeyP", "pause, go on"),
    "step": Command("Enter", "a single frame"),
    "restart": Command("Backspace", "begin again"),
    "previous": Command("PageUp", "previous start"),
    "next": Command("PageDown", "next start"),
    "scaling": Command("Tab", "crisp or smooth"),
    "help": Command("F1", "show or hide this"),
    "full screen": Command("F11", "full screen"),
    "gallery": Command("Escape", "all worlds"),
    "quit": Command("F10", "quit"),
}
RESERVED = frozenset({"F1", "F10", "F11", "Escape"})
SPARE = tuple(f"F{n}" for n in range(2, 10))
assert set(COMMANDS) == set(get_args(CommandName))


def assign_keys(world_keys: Iterable[Collection[str]]) -> dict[CommandName, str]:
    """The key of every command in a world.

    Args:
        world_keys: for each button of the world, the codes of its keys.

    Returns:
        One key a command. A command is left out if all spare keys are the world's, too.
    """
    taken = {code for codes in world_keys for code in codes} - RESERVED
    spare = iter([key for key in SPARE if key not in taken])
    keys = {name: next(spare, "") if command.key in taken else command.key for name, command in COMMANDS.items()}
    return {name: key for name, key in keys.items() if key}
