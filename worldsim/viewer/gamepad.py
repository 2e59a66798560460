"""A gamepad as keys: the d-pad and left stick are the arrows, the buttons whatever else a world has. Knows no player.

pad = Gamepad(spec.keys)
for change in pad.changes(event): keys.press(change.code) if change.down else keys.release(change.code)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pygame

from worldsim.viewer.commands import Command

ARROWS = ("ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight")
LETTERS = ("KeyW", "KeyS", "KeyA", "KeyD")  # the same ways, for the right stick
PUSHED, RELEASED = 0.5, 0.35  # of an axis; the gap keeps a trembling thumb from tapping
BUTTONS = (0, 1, 2, 3, 4, 5)  # A, B, X, Y and the two shoulders, as the system numbers them
DPAD = {11: "ArrowUp", 12: "ArrowDown", 13: "ArrowLeft", 14: "ArrowRight"}  # of pads that have it as buttons
COMMANDS: dict[int, Command] = {7: "pause", 6: "restart"}  # start, back
AXES = {0: ("ArrowLeft", "ArrowRight"), 1: ("ArrowUp", "ArrowDown"), 3: ("KeyA", "KeyD"), 4: ("KeyW", "KeyS")}


class Change(NamedTuple):
    """A key that goes down or comes up."""

    code: str
    down: bool


class Gamepad:
    """What a gamepad presses in a world.

    Args:
        keys: of the world: button -> physical keys.
    """

    def __init__(self, keys: Mapping[str, tuple[str, ...]]):
        used = {code for codes in keys.values() for code in codes}
        directions = {code for code in (*ARROWS, *LETTERS) if code in used}
        others = [codes[0] for codes in keys.values() if codes and not directions & set(codes)]
        self._buttons = dict(zip(BUTTONS, others, strict=False))
        self._directions = directions
        self._down: set[str] = set()

    def changes(self, event: pygame.Event) -> list[Change]:
        """The keys that an event of a gamepad presses and releases."""
        if event.type in (pygame.JOYBUTTONDOWN, pygame.JOYBUTTONUP):
            code = self._buttons.get(event.button) or self._known(DPAD.get(event.button))
            codes = {code} if code else set()
            return self._set(codes, codes if event.type == pygame.JOYBUTTONDOWN else set())
        if event.type == pygame.JOYHATMOTION:
            x, y = event.value
            pushed = {("ArrowLeft", "", "ArrowRight")[x + 1], ("ArrowDown", "", "ArrowUp")[y + 1]}
            return self._set(set(ARROWS), pushed)
        if event.type == pygame.JOYAXISMOTION and event.axis in AXES:
            low, high = AXES[event.axis]
            held = {code for code in (low, high) if code in self._down}
            pushed = {low} if event.value < -PUSHED else {high} if event.value > PUSHED else set()
            if RELEASED < abs(event.value) <= PUSHED:
                pushed = held & ({low} if event.value < 0 else {high})
            return self._set({low, high}, pushed)
        if event.type == pygame.JOYDEVICEREMOVED:
            return self._set(set(self._down), set())
        return []

    def command(self, event: pygame.Event) -> Command | None:
        """The command of the window that an event of a gamepad gives."""
        return COMMANDS.get(event.button) if event.type == pygame.JOYBUTTONDOWN else None

    def _known(self, code: str | None) -> str | None:
        return code if code in self._directions else None

    def _set(self, codes: set[str], down: set[str]) -> list[Change]:
        """Of these keys have those down that the world knows, and the others up."""
        down = down & (self._directions | set(self._buttons.values()))
        changed = [Change(code, False) for code in sorted(codes & self._down - down)]
        changed += [Change(code, True) for code in sorted(down - self._down)]
        self._down = self._down - codes | down
        return changed
