"""The window's commands while a world is played, and the one key of each. Knows nothing of windows or players.

A world's own keys come first: a command whose key the world uses moves to the first free one of `SPARE`, and the help
shows where it went. Only F1, F11 and Escape are always the window's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Literal

Command = Literal[
    "pause", "step", "rewind", "switch", "back", "forward", "mark", "jump", "restart", "nearest", "previous", "next",
    "slower", "faster", "save", "clip", "prompt", "agent", "look", "challenge", "hud", "scaling", "help",
    "full screen", "gallery",
]  # fmt: skip

KEYS: dict[Command, str] = {
    "pause": "KeyP",
    "step": "Enter",
    "rewind": "KeyR",
    "switch": "KeyB",
    "back": "Comma",
    "forward": "Period",
    "mark": "KeyM",
    "jump": "KeyJ",
    "restart": "Backspace",
    "nearest": "KeyN",
    "previous": "PageUp",
    "next": "PageDown",
    "slower": "Minus",
    "faster": "Equal",
    "save": "F5",
    "clip": "KeyC",
    "prompt": "KeyI",
    "agent": "KeyT",
    "look": "KeyL",
    "challenge": "KeyG",
    "hud": "KeyH",
    "scaling": "Tab",
    "help": "F1",
    "full screen": "F11",
    "gallery": "Escape",
}
# Lines of the help: the commands of each, and what is said of them; "" where the one before it says all.
EXPLAINED: tuple[tuple[tuple[Command, str], ...], ...] = (
    (("pause", "pause"), ("step", "one frame")),
    (("rewind", "rewind"), ("switch", "branches")),
    (("back", "frame by frame"), ("forward", "")),
    (("mark", "bookmark"), ("jump", "go there")),
    (("restart", "again"), ("nearest", "nearest")),
    (("previous", "other starts"), ("next", "")),
    (("slower", "slower"), ("faster", "faster")),
    (("save", "save"), ("clip", "film")),
    (("prompt", "your words"), ("agent", "agent")),
    (("look", "look"), ("challenge", "challenge")),
    (("hud", "figures"), ("scaling", "scaling")),
    (("help", "help"), ("full screen", "full screen")),
    (("gallery", "all worlds"),),
)
RESERVED = frozenset({"F1", "F11", "Escape"})
SPARE = ("F2", "F3", "F4", "F6", "F7", "F8", "F9", "F10", "F12")


def assign_keys(
    world_keys: Iterable[Collection[str]], wanted: Mapping[Command, str] = KEYS, without: Collection[Command] = ()
) -> dict[Command, str]:
    """The key of every command in a world.

    Args:
        world_keys: for each button of the world, the codes of its keys.
        wanted: the key of each command where the world doesn't need it.
        without: commands that there is no use for.

    Returns:
        One key a command. A command is left out if all spare keys are the world's, too.
    """
    taken = {code for codes in world_keys for code in codes} - RESERVED
    spare = iter([key for key in SPARE if key not in taken and key not in wanted.values()])
    keys = {
        command: next(spare, "") if key in taken else key for command, key in wanted.items() if command not in without
    }
    return {command: key for command, key in keys.items() if key}
