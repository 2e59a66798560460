"""The prompt box: words typed in the window become a picture that is stepped into, or one line that says why not."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pygame
import pytest

from worldsim.runtime.imaginer import ImaginerBundle
from worldsim.runtime.painter import MOST_LETTERS, Painter
from worldsim.runtime.pictures import fitted
from worldsim.viewer.playing import Extras, Playing
from worldsim.viewer.prompt import PromptBox
from worldsim.viewer.screen import Picture

PROMPTS = Extras(prompts=True)


@pytest.fixture
def box(tiny_imaginer: Path) -> PromptBox:
    return PromptBox([ImaginerBundle(tiny_imaginer)], "cpu")


def test_words_are_painted_and_stepped_into(staged, keyboard, world, box, tiny_imaginer):
    stage = staged(prompt=box, extras=PROMPTS)
    stage.frames(2)
    keyboard.tap("KeyI")
    stage.until(lambda: box.is_open)
    keyboard.type("a red zebra")
    keyboard.tap("Enter")
    stage.until(lambda: stage.player.view.start is None and "The picture is" in stage.player.notice[0])
    assert not box.is_open and stage.player.paused and stage.player.view.index == 0
    painted = Painter(ImaginerBundle(tiny_imaginer), "cpu").paint("a red zebra", seed=0)
    assert np.array_equal(stage.player.view.frame, fitted(painted, world.spec))
    assert "zebra" in stage.player.notice[0]
    keyboard.tap("KeyP")
    stage.frames(2)
    keyboard.tap("Backspace")  # begins again with the picture, not at a start
    stage.until(lambda: stage.player.view.index <= 1)
    assert stage.player.view.start is None


def test_the_same_words_again_give_another_picture(staged, keyboard, box):
    stage = staged(prompt=box, extras=PROMPTS)
    frames = []
    for words in ("a red ball", ""):  # what was typed is still there
        keyboard.tap("KeyI")
        stage.until(lambda: box.is_open)
        keyboard.type(words)
        keyboard.tap("Enter")
        stage.until(lambda: not box.is_open and stage.player.view.start is None)
        stage.until(lambda: not frames or not np.array_equal(stage.player.view.frame, frames[0]))
        frames.append(stage.player.view.frame)
    assert box.text == "a red ball"


def test_play_stands_still_while_words_are_typed_and_goes_on_after_escape(staged, keyboard, box, left):
    key, action = left
    stage = staged(prompt=box, extras=PROMPTS)
    stage.frames(2)
    keyboard.press(key)
    stage.until(lambda: action in stage.session.actions)
    keyboard.tap("KeyI")
    stage.until(lambda: box.is_open and stage.player.paused)
    made = len(stage.session.frames)
    keyboard.type("left")
    keyboard.tap(key)
    stage.run(0.3)
    assert len(stage.session.frames) <= made + 1 and box.text == "left"
    keyboard.tap("Escape")
    stage.until(lambda: not box.is_open)
    taken = len(stage.session.actions)
    stage.frames(3)
    assert action not in stage.session.actions[taken + 1 :], "a key that was held when the box opened is let go"
    assert isinstance(stage.viewer.screen, Playing) and stage.player.view.start == 0


def test_a_painting_shows_how_far_it_is_and_is_cancelled(staged, keyboard, box, monkeypatch):
    real = Painter.run

    def slow(*arguments):
        time.sleep(0.1)
        return real(*arguments)

    monkeypatch.setattr(Painter, "run", slow)
    stage = staged(prompt=box, extras=PROMPTS)
    keyboard.tap("KeyI")
    stage.until(lambda: box.is_open)
    before = pygame.surfarray.array3d(pygame.display.get_surface())
    keyboard.type("a ball")
    keyboard.tap("Enter")
    stage.until(lambda: box.busy and box._painting.done >= 2)
    keyboard.type("more")
    stage.run(0.1)
    assert box.text == "a ball", "nothing is typed meanwhile"
    assert not np.array_equal(before, pygame.surfarray.array3d(pygame.display.get_surface()))
    keyboard.tap("Escape")
    stage.until(lambda: not box.busy)
    assert box.is_open and stage.player.view.start == 0
    keyboard.tap("Escape")
    stage.until(lambda: not box.is_open)
    stage.frames(2)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "without words"), ("?!", "without words"), ("a " * 97, "97 words"), ("x" * 5000, "At most 2,000 letters")],
)
def test_what_cant_be_painted_is_one_line(staged, keyboard, box, text, message):
    stage = staged(prompt=box, extras=PROMPTS)
    keyboard.tap("KeyI")
    stage.until(lambda: box.is_open)
    pygame.event.post(pygame.Event(pygame.TEXTINPUT, text=text))
    stage.until(lambda: box.text == text[:MOST_LETTERS])
    if len(text) <= MOST_LETTERS:
        keyboard.tap("Enter")
    stage.until(lambda: message in box.error)
    assert box.is_open and not box.busy and len(box.text) <= MOST_LETTERS
    keyboard.tap("Backspace")
    stage.until(lambda: not box.error)


def test_an_imaginer_that_breaks_is_one_line_and_play_goes_on(staged, keyboard, tiny_imaginer, tmp_path):
    shutil.copytree(tiny_imaginer, tmp_path / "doodle")
    box = PromptBox([ImaginerBundle(tmp_path / "doodle")], "cpu")
    (tmp_path / "doodle" / "model.safetensors").unlink()
    stage = staged(prompt=box, extras=PROMPTS)
    keyboard.tap("KeyI")
    stage.until(lambda: box.is_open)
    keyboard.type("a ball")
    keyboard.tap("Enter")
    stage.until(lambda: "model.safetensors" in box.error)
    keyboard.tap("Escape")
    stage.frames(2)


def test_without_an_imaginer_there_is_no_such_key(staged, keyboard):
    stage = staged()
    assert "prompt" not in stage.playing.keys
    keyboard.tap("KeyI")
    stage.frames(2)


def test_a_picture_of_another_world_is_asked_for(staged, world):
    stage = staged()
    picture = Picture("another", np.zeros((1, 8, 8, 3), np.uint8))
    assert stage.playing.take(picture) is picture


def test_the_gallery_has_a_card_for_words(staged, keyboard, box):
    stage = staged(prompt=box, gallery=True, extras=PROMPTS)
    stage.viewer.tick(20)
    keyboard.tap("ArrowRight")
    keyboard.tap("Enter")
    stage.until(lambda: box.is_open)
    keyboard.tap("Escape")
    stage.until(lambda: not box.is_open)
    keyboard.tap("Enter")
    stage.until(lambda: box.is_open)
    keyboard.type("a ball")
    keyboard.tap("Enter")
    stage.until(lambda: isinstance(stage.viewer.screen, Playing) and stage.player.view is not None)
    assert stage.player.view.start is None and stage.player.paused
