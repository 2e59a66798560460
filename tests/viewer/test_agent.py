"""An agent at the keys: taking over and handing back, at any moment."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.cli.main import main
from worldsim.viewer.playing import Extras


class Lefty:
    """A policy that always goes left and remembers what it saw."""

    def __init__(self, left: int):
        self.left, self.begun = left, 0
        self.seen: list[np.ndarray] = []

    def begin(self, rows, seeds):
        self.begun += 1

    def act(self, observations, infos):
        assert observations.shape[0] == 1
        self.seen.append(observations[0])
        return np.array([self.left])


@pytest.fixture
def lefty(left) -> Lefty:
    return Lefty(left[1])


def test_any_key_of_the_world_takes_over_and_the_key_hands_back(staged, keyboard, world, lefty):
    stage = staged(extras=Extras(open_policy=lambda _: lefty))
    stage.frames(5)
    assert stage.player.agent and stage.session.actions[-1] == lefty.left and lefty.begun == 1
    assert np.array_equal(lefty.seen[-1], stage.session.frames[-2])
    keyboard.press("ArrowRight")
    stage.frames(3)
    assert not stage.player.agent and stage.session.actions[-1] == world.spec.action_index("right")
    keyboard.release("ArrowRight")
    keyboard.tap("KeyT")
    stage.frames(4)
    assert stage.session.actions[-1] == lefty.left and lefty.begun == 2, "it hasn't seen what came between"
    keyboard.tap("KeyT")
    stage.frames(3)
    assert stage.session.actions[-1] == world.spec.noop


def test_an_agent_begins_anew_after_a_rewind(staged, keyboard, lefty):
    stage = staged(extras=Extras(open_policy=lambda _: lefty))
    stage.frames(8)
    keyboard.press("KeyR")
    stage.until(lambda: stage.player.rewinding and stage.player.view.position <= 3)
    keyboard.release("KeyR")
    stage.frames(3)
    assert lefty.begun == 2


def test_without_an_agent_there_is_no_key_for_one(staged, keyboard):
    stage = staged()
    keyboard.tap("KeyT")
    stage.frames(2)
    assert not stage.player.agent and "agent" not in stage.playing.keys


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--policy", "no-such-policy"), "no policy 'no-such-policy'"),
        (("--policy", "scripted"), "give --beside-real, too"),
        (("--policy", "sticky", "--headless"), "for the window"),
        (("--beside-real",), "'tiny'"),
        (("--keys", "no-such-file"), "no-such-file"),
        (("--clip-seconds", "0"), "--clip-seconds 0"),
    ],
)
def test_company_that_is_not_there_is_one_clear_line(tiny_world, capsys, arguments, message):
    assert main(["play", "--world", str(tiny_world), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1
