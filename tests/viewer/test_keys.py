"""Keys: their codes, what is held between two frames, and which key each command of the window has."""

from __future__ import annotations

import pygame
import pytest

from worldsim.keycodes import SCANCODES
from worldsim.runtime.bundle import open_world, shipped_worlds
from worldsim.viewer import status
from worldsim.viewer.commands import EXPLAINED, KEYS, SPARE, assign_keys
from worldsim.viewer.goal import goal_in_card
from worldsim.viewer.key_help import PANEL, KeyHelp
from worldsim.viewer.keys import is_shortcut, label
from worldsim.viewer.latch import KeyLatch
from worldsim.viewer.window import SIZE
from worldsim_envs.crafter.env import crafter_spec


def test_every_key_that_is_named_is_a_key():
    codes = set(KEYS.values()) | set(SPARE)
    codes |= {f"Key{c}" for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"} | {f"Digit{n}" for n in range(10)}
    codes |= {f"Arrow{way}" for way in ("Up", "Down", "Left", "Right")} | {f"Numpad{n}" for n in range(10)}
    codes |= {"ShiftLeft", "ControlRight", "AltLeft", "Minus", "BracketLeft", "Quote", "NumpadEnter", "NumpadAdd"}
    known = {code: SCANCODES[code] for code in codes}
    assert len(set(known.values())) == len(codes)
    assert (known["KeyW"], known["ArrowUp"], known["Digit1"]) == (pygame.KSCAN_W, pygame.KSCAN_UP, pygame.KSCAN_1)
    assert "Fn" not in SCANCODES
    assert [label(c) for c in ("KeyW", "Digit1", "Numpad7", "PageUp", "F1")] == ["W", "1", "Num 7", "PgUp", "F1"]


def test_taps_between_two_frames_are_held_together():
    latch = KeyLatch()
    latch.press("KeyA")
    latch.release("KeyA")
    latch.press("KeyB")
    assert latch.take().codes == {"KeyA", "KeyB"}
    assert latch.take().codes == {"KeyB"}
    latch.release_all()
    assert latch.take().codes == frozenset()


@pytest.mark.parametrize("name", shipped_worlds())
def test_no_shipped_world_uses_a_key_of_the_window(name):
    assert assign_keys(open_world(name).spec.keys.values()) == KEYS


def test_every_command_is_explained_once():
    assert sorted(command for row in EXPLAINED for command, _ in row) == sorted(KEYS)


def test_a_command_gives_way_to_the_world_and_has_one_key_all_the_same():
    keys = assign_keys([("Enter", "KeyA"), ("KeyP", "F2"), ("Escape",)])
    assert (keys["pause"], keys["step"], keys["gallery"]) == ("F3", "F4", "Escape")
    assert len(set(keys.values())) == len(KEYS)


def test_without_a_spare_key_a_command_is_left_out():
    keys = assign_keys([("KeyP",), SPARE])
    assert "pause" not in keys and keys["step"] == "Enter"


def test_alt_makes_a_shortcut_unless_it_is_a_key_of_the_world():
    assert is_shortcut(pygame.KMOD_LALT) and is_shortcut(pygame.KMOD_RCTRL) and is_shortcut(pygame.KMOD_LGUI)
    assert not is_shortcut(pygame.KMOD_LSHIFT | pygame.KMOD_NUM | pygame.KMOD_CAPS)
    assert not is_shortcut(pygame.KMOD_LALT, own={"AltLeft"})
    assert is_shortcut(pygame.KMOD_LALT | pygame.KMOD_LCTRL, own={"AltLeft"})


@pytest.mark.parametrize("name", shipped_worlds())
def test_all_keys_of_a_shipped_world_have_room_beside_its_picture(name: str) -> None:
    """With everything there is: words, an agent, looks and a challenge, in the window as it opens."""
    world = open_world(name)
    keys = world.spec.keys
    help_ = KeyHelp(world.spec.title, goal_in_card(world.card), keys, assign_keys(keys.values()))
    assert help_.fits_beside(pygame.Rect(0, 0, SIZE[0], SIZE[1] - status.HEIGHT))


def test_a_panel_of_many_keys_groups_them_and_shows_each() -> None:
    """Crafter's sixteen, with everything else there is: three of a group share a line, and every key can be lit."""
    keys = {**crafter_spec().keys}
    help_ = KeyHelp("Crafter", "Gather.", keys, assign_keys(keys.values()))
    area = pygame.Rect(0, 0, PANEL, SIZE[1] - status.HEIGHT)
    assert help_.fits_beside(pygame.Rect(0, 0, SIZE[0], area.height))
    dark = pygame.Surface(area.size)
    help_.draw_panel(dark, area, set())
    for codes in keys.values():
        lit = pygame.Surface(area.size)
        help_.draw_panel(lit, area, {codes[0]})
        assert pygame.image.tobytes(lit, "RGB") != pygame.image.tobytes(dark, "RGB"), codes
