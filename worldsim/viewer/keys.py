"""What the help prints on the caps of physical keys, which are named by codes (`worldsim.keycodes`)."""

from __future__ import annotations

_LABELS = {
    "ArrowUp": "↑", "ArrowDown": "↓", "ArrowLeft": "←", "ArrowRight": "→", "PageUp": "PgUp", "PageDown": "PgDn",
    "Escape": "Esc", "Minus": "-", "Equal": "=", "BracketLeft": "[", "BracketRight": "]", "Semicolon": ";",
    "Quote": "'",
    "Backquote": "`", "Backslash": "\\", "Comma": ",", "Period": ".", "Slash": "/", "ShiftLeft": "Shift",
    "ShiftRight": "R Shift", "ControlLeft": "Ctrl", "ControlRight": "R Ctrl", "AltLeft": "Alt", "AltRight": "R Alt",
}  # fmt: skip


def label(code: str) -> str:
    """What to print on a key's cap in the help: "KeyW" -> "W", "ArrowUp" -> "↑"."""
    if code in _LABELS:
        return _LABELS[code]
    return code.removeprefix("Key").removeprefix("Digit").replace("Numpad", "Num ")
