"""The map of physical keys, against pygame's own constants and names."""

from __future__ import annotations

import dataclasses

import pygame
import pytest

from worldsim.errors import WorldsimError
from worldsim.keycodes import KEYS, SCANCODES, code_of
from worldsim_envs.toybox.env import ToyboxEnv


def test_every_code_is_a_key_of_its_own_that_pygame_has():
    keys = {value for name, value in vars(pygame).items() if name.startswith("K_")}
    scancodes = {value for name, value in vars(pygame).items() if name.startswith("KSCAN_")}
    assert set(KEYS.values()) <= keys and set(SCANCODES.values()) <= scancodes
    assert list(KEYS) == list(SCANCODES)
    assert len(set(KEYS.values())) == len(set(SCANCODES.values())) == len(KEYS)
    assert all(code_of(key) == code for code, key in KEYS.items())


@pytest.mark.parametrize(
    ("code", "name", "scancode"),
    [
        ("KeyW", "w", pygame.KSCAN_W),
        ("Digit0", "0", pygame.KSCAN_0),
        ("ArrowUp", "up", pygame.KSCAN_UP),
        ("Space", "space", pygame.KSCAN_SPACE),
        ("Enter", "return", pygame.KSCAN_RETURN),
        ("ShiftLeft", "left shift", pygame.KSCAN_LSHIFT),
        ("ControlRight", "right ctrl", pygame.KSCAN_RCTRL),
        ("MetaLeft", "left meta", pygame.KSCAN_LGUI),
        ("Comma", ",", pygame.KSCAN_COMMA),
        ("Semicolon", ";", pygame.KSCAN_SEMICOLON),
        ("BracketLeft", "[", pygame.KSCAN_LEFTBRACKET),
        ("Quote", "'", pygame.KSCAN_APOSTROPHE),
        ("Backquote", "`", pygame.KSCAN_GRAVE),
        ("Backslash", "\\", pygame.KSCAN_BACKSLASH),
        ("F10", "f10", pygame.KSCAN_F10),
        ("PageDown", "page down", pygame.KSCAN_PAGEDOWN),
        ("NumpadAdd", "[+]", pygame.KSCAN_KP_PLUS),
        ("Numpad7", "[7]", pygame.KSCAN_KP7),
        ("NumpadEnter", "enter", pygame.KSCAN_KP_ENTER),
    ],
)
def test_a_code_is_the_key_that_pygame_calls_so(code, name, scancode):
    pygame.display.init()
    assert pygame.key.name(KEYS[code]) == name
    assert SCANCODES[code] == scancode


def test_what_is_no_key_has_no_code():
    assert code_of(pygame.K_EXCLAIM) is None and code_of(0x110000) is None
    assert code_of(ord("W")) == "KeyW"


def test_a_world_names_keys_that_there_are():
    world = ToyboxEnv().world
    with pytest.raises(WorldsimError, match="no physical key is called 'Left Shift'; .*ShiftLeft"):
        dataclasses.replace(world, keys={**world.keys, "lid": ("Left Shift",)})
