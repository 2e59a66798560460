"""Finding one's way in what was played: bookmarks, frame by frame, and other speeds."""

from __future__ import annotations

import math
import time

import numpy as np
import pygame
from test_history import line, played

from worldsim.viewer import theme
from worldsim.viewer.history import MOST_BRANCHES


def test_bookmarks_stay_with_the_moment_in_every_line_that_has_it():
    history = played("abcd")
    history.seek(1)
    assert history.mark() and history.marked() == [1]
    history.append("x")
    assert history.marked() == [1], "both lines have b"
    assert history.mark() and history.marked() == [1, 2]
    history.switch()
    assert line(history) == "abcd" and history.marked() == [1], "x is in the other line"
    history.seek(1)
    assert not history.mark() and history.marked() == []


def test_jumping_goes_round_all_bookmarks_and_their_lines():
    history = played("abcd")
    history.mark()
    history.seek(1)
    history.append("x")
    history.mark()
    history.seek(0)
    seen = []
    for _ in range(4):
        assert history.jump()
        seen.append((line(history), history.now))
    assert seen == [("abcd", "d"), ("abx", "x")] * 2 and len(history.branches) == 1
    assert not played("ab").jump()


def test_bookmarks_go_with_what_is_no_longer_kept():
    history = played("ab")
    history.mark()
    for _ in range(MOST_BRANCHES + 1):
        history.seek(0)
        history.append("x")
    assert history.marks == [] and not history.jump()
    history = played("abc", limit=3)
    history.seek(0)
    history.mark()
    history.seek(2)
    history.append("d")
    assert history.marked() == [] and not history.jump()


def test_memory_is_bounded_by_bytes_too():
    history = played("a")
    history._budget, history._weigh = 6, len
    for moment in ("bb", "cc", "dd", "eee"):
        history.append(moment)
    assert line(history) == "ddeee"


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
