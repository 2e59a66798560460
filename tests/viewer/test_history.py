"""Going back to what was played: the lines that are kept, and rewinding by keys and mouse."""

from __future__ import annotations

import numpy as np
import pygame

from worldsim.viewer.history import MOST_BRANCHES, History


def line(history: History[str]) -> str:
    """The moments of the line shown; leaves the position as it is."""
    position, moments = history.position, ""
    for i in range(len(history)):
        history.seek(i)
        moments += history.now
    history.seek(position)
    return moments


def played(moments: str, limit: int = 100) -> History[str]:
    """A history of moments, one a letter."""
    history: History[str] = History(limit)
    history.begin(moments[0])
    for moment in moments[1:]:
        history.append(moment)
    return history


def test_going_on_from_the_past_keeps_the_future_as_a_branch():
    history = played("abcd")
    history.seek(1)
    assert history.now == "b" and len(history) == 4 and len(history.branches) == 0
    history.append("x")
    assert line(history) == "abx" and history.now == "x" and len(history.branches) == 1
    history.switch()
    assert line(history) == "abcd" and history.now == "d" and len(history.branches) == 1
    history.switch()
    assert line(history) == "abx" and history.now == "x"


def test_switching_comes_round_to_every_branch():
    history = played("abc")
    for other in "xyz":
        history.seek(0)
        history.append(other)
    seen = []
    for _ in range(8):
        history.switch()
        seen.append(line(history))
    assert seen[:4] == ["ay", "ax", "abc", "az"] and seen[4:] == seen[:4]


def test_beginning_anew_keeps_what_was_played():
    history = played("abc")
    history.begin("x")
    assert line(history) == "x" and len(history.branches) == 1
    history.switch()
    assert line(history) == "abc"


def test_positions_out_of_the_line_are_its_ends():
    history = played("abc")
    history.seek(-5)
    assert history.now == "a"
    history.seek(5)
    assert history.now == "c"
    history.switch()
    assert history.now == "c", "without a branch nothing changes"


def test_of_all_lines_only_the_newest_moments_are_kept():
    history = played("abcde", limit=3)
    assert line(history) == "cde" and history.now == "e"
    history.seek(0)
    history.append("x")
    assert line(history) == "x" and history.position == 0, "its past is older than the limit, too"
    history.switch()
    assert line(history) == "de"
    history.switch()
    history.append("y")
    history.append("z")
    assert line(history) == "xyz" and len(history.branches) == 0


def test_no_more_than_a_few_branches_are_kept():
    history = played("ab")
    for _ in range(3 * MOST_BRANCHES):
        history.seek(0)
        history.append("x")
    assert len(history.branches) == MOST_BRANCHES


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


def test_holding_the_key_rewinds_and_letting_go_plays_on(staged, keyboard, left):
    stage = staged(seed=3)
    stage.frames(12)
    first = list(stage.session.frames)
    keyboard.press("KeyR")
    stage.until(lambda: stage.player.rewinding and stage.player.view.position <= 4)
    view = stage.player.view
    assert np.array_equal(view.frame, stage.session.frames[view.index - 1]) or view.index == 0
    made = len(stage.session.frames)
    keyboard.release("KeyR")
    keyboard.press(left[0])
    stage.frames(4)
    assert not stage.player.paused and stage.player.view.branches == 1
    assert made - len(first) <= 1, "nothing is generated in a rewind"
    assert stage.session.actions[-1] == left[1]


def test_the_same_keys_after_a_rewind_give_the_same_frames(staged, keyboard):
    stage = staged(seed=3)
    stage.frames(8)
    keyboard.tap("KeyP")
    stage.run(0.2)
    made = list(stage.session.frames)
    keyboard.press("KeyR")
    stage.until(lambda: stage.player.view.position == 0)
    keyboard.release("KeyR")
    stage.run(0.1)
    assert stage.player.paused, "as it was before"
    keyboard.tap("KeyP")
    stage.frames(6)
    assert np.array_equal(stage.session.frames[len(made) :][:6], made[:6])


def test_a_branch_that_was_left_can_be_returned_to(staged, keyboard):
    stage = staged()
    stage.frames(6)
    keyboard.tap("KeyP")
    stage.run(0.2)
    tip = stage.player.view
    keyboard.tap("Backspace")
    stage.until(lambda: stage.player.view.index < tip.index)
    keyboard.tap("KeyB")
    stage.until(lambda: stage.player.view.index == tip.index)
    assert stage.player.paused and np.array_equal(stage.player.view.frame, tip.frame)
    keyboard.tap("PageDown")
    stage.until(lambda: stage.player.view.start == 1)


def test_a_click_on_the_picture_of_a_branch_returns_to_it(staged, keyboard):
    stage = staged()
    stage.frames(6)
    keyboard.tap("Backspace")
    stage.until(lambda: stage.player.view.branches == 1)
    stage.frames(2)
    keyboard.tap("KeyP")
    stage.until(lambda: stage.player.paused)
    stage.until(lambda: len(stage.player.view.tips) == 1)
    stage.run(0.1)
    frame, last = stage.player.view.tips[0]
    (place,) = stage.playing._shown_branches
    pygame.event.post(pygame.Event(pygame.MOUSEBUTTONDOWN, pos=place.center, button=1))
    stage.until(lambda: stage.player.view.index == last)
    assert stage.player.paused and np.array_equal(stage.player.view.frame, frame)
    keyboard.tap("KeyP")
    stage.frames(2)
    stage.run(0.1)
    assert not stage.playing._shown_branches, "nothing lies over the picture while time runs"


def test_rewinding_from_the_end_of_the_world_plays_on(staged, keyboard):
    stage = staged(ends=True)
    stage.until(lambda: stage.player.paused)
    stage.session.ends = False
    keyboard.press("KeyR")
    stage.until(lambda: stage.player.view.position == 0)
    keyboard.release("KeyR")
    stage.frames(3)
    assert not stage.player.view.ended


def test_dragging_the_timeline_shows_the_moment_under_the_mouse(staged):
    stage = staged()
    stage.frames(10)
    width, height = pygame.display.get_surface().get_size()
    bar = height - 31
    pygame.event.post(pygame.Event(pygame.MOUSEBUTTONDOWN, pos=(width // 2, bar), button=1))
    stage.until(lambda: stage.player.paused)
    stage.run(0.2)
    length = stage.player.view.length
    assert abs(stage.player.view.position - length / 2) <= 2
    pygame.event.post(pygame.Event(pygame.MOUSEMOTION, pos=(0, 10), rel=(0, 0), buttons=(1, 0, 0)))
    stage.until(lambda: stage.player.view.position == 0)
    assert stage.player.view.index == 0 and stage.player.view.action is None
    pygame.event.post(pygame.Event(pygame.MOUSEBUTTONUP, pos=(0, 10), button=1))
    pygame.event.post(pygame.Event(pygame.MOUSEMOTION, pos=(width, bar), rel=(0, 0), buttons=(0, 0, 0)))
    stage.run(0.2)
    assert stage.player.view.position == 0, "let go"
    pygame.event.post(pygame.Event(pygame.MOUSEBUTTONDOWN, pos=(width // 2, 100), button=1))
    stage.run(0.2)
    assert stage.player.view.position == 0, "the picture is no timeline"


def test_a_lost_keyboard_ends_the_rewind(staged, keyboard):
    stage = staged()
    stage.frames(6)
    keyboard.press("KeyR")
    stage.until(lambda: stage.player.rewinding)
    pygame.event.post(pygame.Event(pygame.WINDOWFOCUSLOST))
    stage.frames(2)
    assert not stage.player.rewinding
