"""The permanence challenge: what is hidden and found again, in painted frames, in the toy box, and by its key."""

from __future__ import annotations

import cv2
import numpy as np
import pygame
import pytest

from worldsim.evals.permanence.scene import PALETTE
from worldsim.runtime.bundle import open_world
from worldsim.runtime.load import load_runtime
from worldsim.runtime.session import Session
from worldsim.viewer.challenge import BACK, OUT, Challenge
from worldsim.viewer.playing import Playing
from worldsim.viewer.viewer import Viewer


def painted(*colours: str) -> np.ndarray:
    """A frame with a disc of each colour."""
    frame = np.full((64, 96, 3), 120, np.uint8)
    for i, colour in enumerate(colours):
        cv2.circle(frame, (12 + 20 * i, 30), 5, PALETTE[colour], -1)
    return frame


def played(*scenes: tuple[np.ndarray, int]) -> Challenge:
    """A challenge that saw each frame so often; it begins with the first."""
    challenge, index = Challenge(scenes[0][0], 10), 10
    for frame, count in scenes:
        for _ in range(count):
            index += 1
            challenge.watch(frame, index)
    return challenge


BOTH, NONE = painted("red", "blue"), painted()


def test_all_that_comes_back_is_kept():
    challenge = played((BOTH, 5), (NONE, 40), (painted("red"), 2), (BOTH, 1))
    assert challenge.all_kept and (challenge.hidden, challenge.kept) == (40, 2)
    assert challenge.line("G", 40) == "All kept after 40 frames. Best: 40. G: again"


@pytest.mark.parametrize("after", [painted("red"), painted("red", "green"), painted("red", "red")])
def test_what_does_not_come_back_is_lost(after):
    challenge = played((BOTH, 5), (NONE, 40), (after, BACK + 1))
    assert challenge.stage == "done" and not challenge.all_kept
    assert challenge.line("G") == "Kept 1 of 2, lost blue after 40 frames. Best: 0. G: again"


def test_a_flicker_is_no_hiding():
    assert played((BOTH, 5), (NONE, OUT - 1), (BOTH, 1)).stage == "hide"


def test_giving_up_says_that_all_is_lost():
    challenge = played((BOTH, 5), (NONE, 40))
    assert challenge.stage == "away"
    challenge.give_up()
    assert challenge.line("G").startswith("Kept 0 of 2, lost red, blue after 40 frames")


def test_going_back_in_time_ends_it():
    challenge = played((BOTH, 5), (NONE, 40))
    challenge.watch(BOTH, 12)
    assert challenge.stage == "over" and "is over" in challenge.line("G")
    assert "turn to some objects" in Challenge(NONE, 0).line("G")


@pytest.mark.slow
def test_the_toy_box_keeps_what_its_screen_hides():
    session = Session(load_runtime(open_world("toybox"), device="cpu"))
    state = session.start([2], [1])  # three toys below a screen
    challenge = Challenge(state.frame[0], 0)
    assert challenge.objects
    down, up, stand = (session.spec.action_index(name) for name in ("screen-down", "screen-up", "stand"))
    for action in [*[down] * 30, *[stand] * 30, *[up] * 40]:
        state, seen = session.step(state, np.array([action]))
        challenge.watch(seen.frame[0], int(state.index[0]))
    assert challenge.all_kept and challenge.hidden >= 30, challenge.line("G")


@pytest.mark.slow
def test_its_key_begins_and_ends_it(keyboard):
    world = open_world("toybox")
    with Viewer([world], lambda w: Playing(w, lambda b: Session(load_runtime(b, device="cpu"))), world) as viewer:
        playing = viewer.screen
        assert isinstance(playing, Playing)
        while playing.player.view is None:
            viewer.tick(20)
        keyboard.tap("KeyG")
        viewer.tick(20)
        assert playing.challenge and playing.challenge.stage == "hide"
        assert pygame.display.get_surface() is not None
        keyboard.tap("KeyG")
        viewer.tick(20)
        assert playing.challenge is None
