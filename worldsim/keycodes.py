"""Physical keys: the W3C `KeyboardEvent.code` names that a WorldSpec uses, and the numbers pygame has for them.

A code names a position on the keyboard, not a letter: "KeyW" is where W is on a US keyboard and Z on a French one, so
W, A, S, D lie under the same fingers everywhere. A scancode (`pygame.KSCAN_*`) is that position; a key
(`pygame.K_*`) is what a US keyboard prints there. Plain numbers, so nothing here imports pygame.
"""

from __future__ import annotations

_MASK = 1 << 30  # SDL's key for a position that prints nothing: its scancode with this bit set


def _positions() -> dict[str, int]:
    """Code -> position, a usage of the USB HID keyboard page, which SDL's scancodes are."""
    rows = {
        4: " ".join(f"Key{letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        30: " ".join(f"Digit{digit}" for digit in "1234567890"),
        40: "Enter Escape Backspace Tab Space Minus Equal BracketLeft BracketRight Backslash",
        51: "Semicolon Quote Backquote Comma Period Slash CapsLock",
        58: " ".join(f"F{number}" for number in range(1, 13)),
        70: "PrintScreen ScrollLock Pause Insert Home PageUp Delete End PageDown",
        79: "ArrowRight ArrowLeft ArrowDown ArrowUp NumLock",
        84: "NumpadDivide NumpadMultiply NumpadSubtract NumpadAdd NumpadEnter",
        89: " ".join(f"Numpad{digit}" for digit in "1234567890"),
        99: "NumpadDecimal",
        224: "ControlLeft ShiftLeft AltLeft MetaLeft ControlRight ShiftRight AltRight MetaRight",
    }
    return {code: first + i for first, codes in rows.items() for i, code in enumerate(codes.split())}


SCANCODES = _positions()
# What a US keyboard prints at a position, where that is one ASCII character: its number is SDL's key.
_PRINTED = {
    **{f"Key{letter.upper()}": letter for letter in "abcdefghijklmnopqrstuvwxyz"},
    **{f"Digit{digit}": digit for digit in "0123456789"},
    "Enter": "\r", "Escape": "\x1b", "Backspace": "\b", "Tab": "\t", "Space": " ", "Delete": "\x7f", "Minus": "-",
    "Equal": "=", "BracketLeft": "[", "BracketRight": "]", "Backslash": "\\", "Semicolon": ";", "Quote": "'",
    "Backquote": "`", "Comma": ",", "Period": ".", "Slash": "/",
}  # fmt: skip
KEYS = {code: ord(_PRINTED[code]) if code in _PRINTED else position | _MASK for code, position in SCANCODES.items()}
_CODES = {key: code for code, key in KEYS.items()}


def code_of(key: int) -> str | None:
    """The code of a pygame key (`pygame.K_*`); None for a key that is not in `KEYS`, as `pygame.K_EXCLAIM`."""
    return _CODES.get(ord(chr(key).lower()) if ord("A") <= key <= ord("Z") else key)
