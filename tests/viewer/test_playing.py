"""A world under the player's hands: what keys do to it, and what commands do."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pygame

from worldsim.viewer.gallery import Gallery
from worldsim.viewer.playing import Playing
from worldsim.viewer.viewer import Viewer


def test_a_held_key_acts_until_it_is_let_go(staged, keyboard, world, left):
    stage, (code, action) = staged(), left
    keyboard.press(code)
    stage.frames(4)
    keyboard.release(code)
    stage.frames(4)
    done = stage.session.actions
    first = done.index(action)
    last = len(done) - 1 - done[::-1].index(action)
    assert last - first >= 2 and set(done[first : last + 1]) == {action}
    assert set(done[:first] + done[last + 1 :]) == {world.spec.noop}


def test_a_tap_shorter_than_a_frame_is_not_lost(staged, keyboard, left):
    stage, (code, action) = staged(), left
    keyboard.tap(code)
    stage.frames(4)
    assert stage.session.actions.count(action) == 1


def test_keys_go_by_place_and_not_by_letter(staged, keyboard, left):
    stage = staged()
    keyboard.press("KeyA", key=pygame.K_q)  # what a French layout calls the key in that place
    stage.frames(3)
    assert stage.session.actions[-1] == left[1]


def test_no_key_stays_down_when_the_window_loses_the_keyboard(staged, keyboard, world, left):
    stage, (code, action) = staged(), left
    keyboard.press(code)
    stage.frames(3)
    assert stage.session.actions[-1] == action
    pygame.event.post(pygame.Event(pygame.WINDOWFOCUSLOST))
    stage.frames(3)
    assert stage.session.actions[-1] == world.spec.noop


def test_pause_single_step_and_go_on(staged, keyboard):
    stage = staged()
    stage.frames(2)
    keyboard.tap("KeyP")
    stage.until(lambda: stage.player.paused)
    stage.run(0.3)  # for the frame that was under way
    made = len(stage.session.frames)
    stage.run(0.3)
    assert len(stage.session.frames) == made
    for n in (1, 2):
        keyboard.tap("Enter")
        stage.until(lambda: len(stage.session.frames) > made + n - 1)  # noqa: B023
        stage.run(0.3)
        assert len(stage.session.frames) == made + n
    keyboard.tap("KeyP")
    stage.frames(3)


def test_a_single_step_takes_the_keys_tapped_in_the_pause(staged, keyboard, left):
    stage, (code, action) = staged(), left
    keyboard.tap("KeyP")
    stage.run(0.3)
    keyboard.tap(code)
    keyboard.tap("Enter")
    stage.frames(1)
    assert stage.session.actions[-1] == action


def test_the_function_keys_do_only_what_is_documented(staged, keyboard):
    stage = staged()
    for n in (2, 3, 4, 6, 7, 8, 9):  # F5 saves
        keyboard.tap(f"F{n}")
    keyboard.tap("Space")
    stage.frames(2)
    assert not stage.player.paused and stage.player.view.start == 0 and stage.player.view.index >= 2
    assert not stage.playing.smooth


def test_alt_enter_and_alt_tab_are_the_desktops(staged, keyboard):
    stage = staged()
    keyboard.modifiers = pygame.KMOD_LALT
    keyboard.tap("Enter")
    keyboard.tap("Tab")
    stage.frames(3)
    assert not stage.player.paused and not stage.playing.smooth


def test_starts_and_restart(staged, keyboard, world):
    stage = staged()
    count = len(world.starts)
    assert count > 1
    for key, start in (("PageDown", 1 % count), ("Backspace", 1 % count), ("PageUp", 0), ("PageUp", count - 1)):
        stage.frames(2)
        keyboard.tap(key)
        stage.until(lambda: stage.player.view.start == start)  # noqa: B023
        stage.until(lambda: stage.player.view.index <= 2)


def test_a_restart_repeats_the_same_frames(staged, keyboard):
    stage = staged(seed=3)
    stage.frames(3)
    keyboard.tap("Backspace")
    before = len(stage.session.frames)
    stage.until(lambda: stage.player.view.index == 0 or len(stage.session.frames) > before + 3)
    stage.frames(4)
    first, again = stage.session.frames[:3], stage.session.frames[before : before + 4]
    assert any(np.array_equal(again[i : i + 3], first) for i in (0, 1)), "0 or 1 frame was under way"


def test_time_stops_at_the_end_of_the_world(staged, keyboard):
    stage = staged(ends=True)
    stage.until(lambda: stage.player.paused)
    assert stage.player.view.ended and len(stage.session.frames) == 1
    keyboard.tap("KeyP")
    stage.frames(3)
    keyboard.tap("Backspace")
    stage.until(lambda: stage.player.paused)
    assert stage.player.view.index == 1


def test_a_world_that_needs_a_command_key_has_it(staged, keyboard, world):
    button, others = next(iter(world.spec.keys)), dict(world.spec.keys)
    world.spec = dataclasses.replace(world.spec, keys={**others, button: ("KeyP",)})
    stage = staged()
    keyboard.press("KeyP")
    stage.frames(3)
    assert not stage.player.paused and stage.session.actions[-1] == world.spec.action_for({"KeyP"})
    keyboard.tap("F2")
    stage.until(lambda: stage.player.paused)


def test_never_faster_than_the_world(staged, world):
    stage = staged()
    stage.frames(1)
    made, began = len(stage.session.frames), time.monotonic()
    stage.run(1.0)
    assert len(stage.session.frames) - made <= (time.monotonic() - began) * world.spec.fps + 2


def test_it_says_when_the_machine_is_too_slow(staged, world):
    stage = staged(slowness=2 / world.spec.fps)
    stage.until(lambda: stage.player.view.fps is not None)
    assert not stage.player.keeps_up
    assert stage.player.view.fps < 0.6 * world.spec.fps


def test_the_window_answers_while_a_frame_is_slow(staged, keyboard):
    slowness = 1.5
    stage = staged(slowness=slowness)
    stage.run(0.1)
    slowest = 0.0
    for i in range(10):
        keyboard.tap("Tab")
        began = time.monotonic()
        stage.viewer.tick(20)
        slowest = max(slowest, time.monotonic() - began)
        assert stage.playing.smooth != bool(i % 2)
    assert slowest < slowness / 2
    began = time.monotonic()
    keyboard.tap("Escape")
    stage.until(lambda: isinstance(stage.viewer.screen, Gallery))
    assert time.monotonic() - began < slowness / 2


def test_the_window_answers_while_a_world_is_opened(world, watched, keyboard):
    def slowly(_):
        time.sleep(2)
        return watched()

    with Viewer([world], lambda chosen: Playing(chosen, slowly), world) as viewer:
        began = time.monotonic()
        for _ in range(5):
            assert viewer.tick(20)
        assert viewer.screen.player.view is None
        keyboard.tap("Escape")
        viewer.tick(20)
        assert isinstance(viewer.screen, Gallery)
        assert time.monotonic() - began < 1.5
