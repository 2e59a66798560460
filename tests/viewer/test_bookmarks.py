"""Finding one's way in what was played: bookmarks, frame by frame, and other speeds."""

from __future__ import annotations

import math
import time

import numpy as np
import pygame

from worldsim.viewer import theme


def test_the_key_marks_and_the_key_jumps(staged, keyboard):
    stage = staged()
    stage.frames(4)
    keyboard.tap("KeyM")
    stage.until(lambda: len(stage.player.view.marks) == 1)
    (mark,) = stage.player.view.marks
    stage.frames(6)
    assert not stage.player.paused
    keyboard.tap("KeyJ")
    stage.until(lambda: stage.player.paused and stage.player.view.position == mark)
    stage.run(0.1)
    surface = pygame.display.get_surface()
    strip = pygame.surfarray.array3d(surface)[:, surface.get_height() - 25]
    shown = np.flatnonzero((strip == theme.ACCENT).all(axis=-1))
    expected = mark / (stage.player.view.length - 1) * surface.get_width()
    assert len(shown) == 3 and abs(shown.mean() - expected) < 4, "a tick on the timeline"


def test_frame_by_frame_through_what_was_played(staged, keyboard):
    stage = staged()
    stage.frames(6)
    keyboard.tap("KeyP")
    stage.run(0.2)
    made, view = len(stage.session.frames), stage.player.view
    keyboard.tap("Comma")
    keyboard.tap("Comma")
    stage.until(lambda: stage.player.view.position == view.position - 2)
    keyboard.tap("Period")
    stage.until(lambda: stage.player.view.position == view.position - 1)
    assert np.array_equal(stage.player.view.frame, stage.session.frames[view.index - 2])
    keyboard.tap("Period")
    keyboard.tap("Period")
    stage.run(0.2)
    assert stage.player.view.position == view.position and len(stage.session.frames) == made, "nothing is generated"


def test_half_and_double_speed(staged, keyboard, world):
    stage = staged()

    def rate() -> float:
        stage.frames(2)
        made, began = len(stage.session.frames), time.monotonic()
        stage.run(1.0)
        return (len(stage.session.frames) - made) / (time.monotonic() - began) / world.spec.fps

    keyboard.tap("Minus")
    assert rate() < 0.62
    for _ in range(3):
        keyboard.tap("Equal")
    stage.until(lambda: stage.player.speed == math.inf)
    assert stage.player.keeps_up
    for _ in range(5):
        keyboard.tap("Minus")
    stage.until(lambda: stage.player.speed == 0.5)
