"""Physical keys: their W3C `KeyboardEvent.code` names, as a WorldSpec gives them, and pygame's scancodes for them.

A code names a place on the keyboard, not a letter: "KeyW" is where W is on a US keyboard, and where Z is on a French
one, so that W, A, S, D lie under the same fingers everywhere. Knows nothing of worlds or windows.
"""

from __future__ import annotations

from collections.abc import Collection

import pygame

_NAMED = {  # what the general rules of `_constant` don't find
    "Enter": "RETURN", "Quote": "APOSTROPHE", "Backquote": "GRAVE", "Equal": "EQUALS", "BracketLeft": "LEFTBRACKET",
    "BracketRight": "RIGHTBRACKET", "ShiftLeft": "LSHIFT", "ShiftRight": "RSHIFT", "ControlLeft": "LCTRL",
    "ControlRight": "RCTRL", "AltLeft": "LALT", "AltRight": "RALT", "MetaLeft": "LGUI", "MetaRight": "RGUI",
    "NumpadAdd": "KP_PLUS", "NumpadSubtract": "KP_MINUS", "NumpadDecimal": "KP_PERIOD",
    "IntlBackslash": "NONUSBACKSLASH",
}  # fmt: skip
_LABELS = {
    "ArrowUp": "↑", "ArrowDown": "↓", "ArrowLeft": "←", "ArrowRight": "→", "PageUp": "PgUp", "PageDown": "PgDn",
    "Escape": "Esc", "Minus": "-", "Equal": "=", "BracketLeft": "[", "BracketRight": "]", "Semicolon": ";",
    "Quote": "'", "Backquote": "`", "Backslash": "\\", "Comma": ",", "Period": ".", "Slash": "/", "ShiftLeft": "Shift",
    "ShiftRight": "R Shift", "ControlLeft": "Ctrl", "ControlRight": "R Ctrl", "AltLeft": "Alt", "AltRight": "R Alt",
}  # fmt: skip
_MODIFIERS = {
    "AltLeft": pygame.KMOD_LALT, "AltRight": pygame.KMOD_RALT, "ControlLeft": pygame.KMOD_LCTRL,
    "ControlRight": pygame.KMOD_RCTRL, "MetaLeft": pygame.KMOD_LGUI, "MetaRight": pygame.KMOD_RGUI,
}  # fmt: skip


def _constant(code: str) -> str:
    """Name of pygame's constant, without KSCAN_: "KeyW" -> "W", "ArrowUp" -> "UP", "Numpad7" -> "KP7"."""
    if code in _NAMED:
        return _NAMED[code]
    for prefix, stands_for in (("Key", ""), ("Digit", ""), ("Arrow", ""), ("Numpad", "KP_")):
        if code.startswith(prefix):
            return stands_for + code.removeprefix(prefix).upper()
    return code.upper()


def scancode(code: str) -> int | None:
    """pygame's scancode of a W3C code; None if it has none, as "Fn"."""
    return getattr(pygame, f"KSCAN_{_constant(code)}", None)


def label(code: str) -> str:
    """What to print on a key's cap in the help: "KeyW" -> "W", "ArrowUp" -> "↑"."""
    if code in _LABELS:
        return _LABELS[code]
    return code.removeprefix("Key").removeprefix("Digit").replace("Numpad", "Num ")


def is_shortcut(modifiers: int, own: Collection[str] = ()) -> bool:
    """Whether a key came with Alt, Ctrl or Meta, as in Alt+Enter: such keys are the desktop's.

    Args:
        modifiers: `mod` of pygame's event.
        own: codes that are keys of the world; held ones do not make a shortcut.
    """
    return any(modifiers & bit for code, bit in _MODIFIERS.items() if code not in own)
