"""How the viewer names keys, and which of them are the desktop's. The map of physical keys is `worldsim.keycodes`."""

from __future__ import annotations

from collections.abc import Collection

import pygame

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
