"""A gamepad and keys of one's own."""

from __future__ import annotations

import json

import pygame
import pytest

from worldsim.errors import WorldsimError
from worldsim.viewer.bindings import config_folder, load_bindings
from worldsim.viewer.gamepad import Gamepad
from worldsim.viewer.playing import Extras

TOYS = {
    "hand-left": ("ArrowLeft",),
    "hand-up": ("ArrowUp",),
    "pan-left": ("KeyA",),
    "grab": ("Space",),
    "lid": ("KeyQ",),
}


def changes(pad: Gamepad, kind: int, **facts: object) -> list[tuple[str, bool]]:
    """What an event of the pad presses and releases."""
    return [tuple(change) for change in pad.changes(pygame.Event(kind, **facts))]


def test_the_stick_is_the_arrows_and_does_not_tremble():
    pad = Gamepad(TOYS)
    assert changes(pad, pygame.JOYAXISMOTION, axis=0, value=-0.9) == [("ArrowLeft", True)]
    assert changes(pad, pygame.JOYAXISMOTION, axis=0, value=-0.45) == []
    assert changes(pad, pygame.JOYAXISMOTION, axis=0, value=-0.2) == [("ArrowLeft", False)]
    assert changes(pad, pygame.JOYAXISMOTION, axis=0, value=0.45) == []
    assert changes(pad, pygame.JOYAXISMOTION, axis=0, value=0.9) == [], "the world has no right"
    assert changes(pad, pygame.JOYAXISMOTION, axis=3, value=-1.0) == [("KeyA", True)], "the right stick"


def test_the_pad_and_the_buttons():
    pad = Gamepad(TOYS)
    assert changes(pad, pygame.JOYHATMOTION, value=(-1, 1)) == [("ArrowLeft", True), ("ArrowUp", True)]
    assert changes(pad, pygame.JOYHATMOTION, value=(0, 1)) == [("ArrowLeft", False)]
    assert changes(pad, pygame.JOYBUTTONDOWN, button=0) == [("Space", True)]
    assert changes(pad, pygame.JOYBUTTONDOWN, button=1) == [("KeyQ", True)]
    assert changes(pad, pygame.JOYBUTTONDOWN, button=2) == []
    assert changes(pad, pygame.JOYBUTTONUP, button=0) == [("Space", False)]
    assert sorted(changes(pad, pygame.JOYDEVICEREMOVED)) == [("ArrowUp", False), ("KeyQ", False)]


def test_a_gamepad_plays(staged, world, left):
    stage = staged()
    pygame.event.post(pygame.Event(pygame.JOYHATMOTION, value=(-1, 0)))
    stage.frames(3)
    assert stage.session.actions[-1] == left[1]
    pygame.event.post(pygame.Event(pygame.JOYHATMOTION, value=(0, 0)))
    stage.frames(3)
    assert stage.session.actions[-1] == world.spec.noop
    pygame.event.post(pygame.Event(pygame.JOYBUTTONDOWN, button=7))
    stage.until(lambda: stage.player.paused)


def test_keys_of_ones_own(staged, keyboard, world, left, tmp_path):
    chosen = {"window": {"pause": "KeyO"}, "worlds": {"tiny": {"left": ["KeyP", "KeyG"]}}}
    (tmp_path / "keys.json").write_text(json.dumps(chosen))
    stage = staged(extras=Extras(load_bindings(tmp_path / "keys.json")))
    keyboard.press("KeyP")
    stage.frames(3)
    assert stage.session.actions[-1] == left[1] and not stage.player.paused
    keyboard.release("KeyP")
    keyboard.press("ArrowLeft")
    stage.frames(3)
    assert stage.session.actions[-1] == world.spec.noop, "replaced"
    keyboard.tap("KeyO")
    stage.until(lambda: stage.player.paused)


def test_the_users_file_is_taken_without_being_named(tmp_path, monkeypatch):
    for variable in ("XDG_CONFIG_HOME", "APPDATA", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    assert load_bindings().commands["pause"] == "KeyP"
    config_folder().mkdir(parents=True)
    (config_folder() / "keys.json").write_text('{"window": {"pause": "KeyO"}}')
    assert load_bindings().commands["pause"] == "KeyO"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "can't be read"),
        ('{"windows": {}}', "neither 'window' nor 'worlds'"),
        ('{"window": {"fly": "KeyO"}}', "no command 'fly'"),
        ('{"window": {"pause": "Button1"}}', "no key 'Button1'"),
        ('{"window": {"help": "KeyO"}}', "keeps its key"),
        ('{"window": {"pause": "KeyR"}}', "two commands"),
        ('{"worlds": {"tiny": {"left": 7}}}', "keys.json"),
        ('{"worlds": {"tiny": {"left": ["Escape"]}}}', "no key 'Escape'"),
    ],
)
def test_a_file_of_keys_that_makes_no_sense_is_explained(tmp_path, text, message):
    (tmp_path / "keys.json").write_text(text)
    with pytest.raises(WorldsimError, match=message):
        load_bindings(tmp_path / "keys.json")


def test_a_button_that_the_world_has_not_is_explained(world, tmp_path):
    (tmp_path / "keys.json").write_text('{"worlds": {"tiny": {"fly": ["KeyO"]}}}')
    with pytest.raises(WorldsimError, match="'fly' of 'tiny', which has no such button; it has left, right"):
        load_bindings(tmp_path / "keys.json").applied(world.spec)
