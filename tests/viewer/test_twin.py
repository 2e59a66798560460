"""The real game beside the generated one, under the same keys."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_game import TinyGame

from worldsim.errors import WorldsimError
from worldsim.viewer.playing import Extras
from worldsim.viewer.twin import Twin
from worldsim_policies.base import StickyPolicy

CONTEXT = 5


class Counter(TinyGame):
    """The tiny game, which can be saved, and notes what was done in it."""

    saves = True

    def __init__(self):
        super().__init__()
        self.done: list[int] = []

    def _step(self, action):
        self.done.append(action)
        return super()._step(action)

    def save(self):
        if not self.saves:
            return super().save()
        state = {"bright": int(self._bright), "before": int(self._before), "chance": self.np_random.bit_generator.state}
        return json.dumps(state).encode()

    def _restore(self, saved):
        state = json.loads(saved)
        self._bright, self._before = state["bright"], state["before"]
        self.np_random.bit_generator.state = state["chance"]
        return np.zeros((self.world.height, self.world.width, 3), np.uint8), self._info()


@pytest.fixture
def game() -> Counter:
    return Counter()


@pytest.fixture
def split(staged, game):
    """`split()` -> a stage with the game beside."""

    def stage(**options):
        extras = Extras(open_twin=lambda world: Twin(game, StickyPolicy(3, 1), CONTEXT, world.spec))
        return staged(extras=extras, **options)

    return stage


def test_both_get_the_same_keys_from_the_same_frames(split, keyboard, game, left):
    stage = split()
    view = stage.player.view
    assert view.twin is not None and view.start is None
    keyboard.press(left[0])
    stage.frames(5)
    stage.run(0.1)
    keyboard.tap("KeyP")
    stage.run(0.2)
    assert game.done[CONTEXT - 1 :] == stage.session.actions and left[1] in game.done[CONTEXT - 1 :]
    view = stage.player.view
    error = (view.frame.astype(float) - view.twin.frame) ** 2
    assert view.twin.psnr == pytest.approx(10 * np.log10(255**2 / error.mean()), abs=1e-3)
    assert view.twin.frame.max() == 255 and not np.array_equal(view.frame, view.twin.frame)


def test_a_game_that_can_be_saved_goes_back_too(split, keyboard):
    stage = split()
    stage.frames(8)
    keyboard.tap("KeyP")
    stage.run(0.2)
    stage.player.seek(3)
    stage.until(lambda: stage.player.view.position == 3)
    keyboard.tap("Period")
    stage.until(lambda: stage.player.view.position == 4)
    first = stage.player.view
    keyboard.tap("Comma")
    stage.until(lambda: stage.player.view.position == 3)
    keyboard.tap("Enter")  # without a key, as it was
    stage.until(lambda: stage.player.view.branches == 1)
    again = stage.player.view
    assert np.array_equal(first.twin.frame, again.twin.frame) and np.array_equal(first.frame, again.frame)


def test_a_game_that_cannot_be_saved_stays_behind_until_play_begins_again(split, keyboard, game):
    game.saves = False
    stage = split()
    stage.frames(8)
    keyboard.press("KeyR")
    stage.until(lambda: stage.player.rewinding and stage.player.view.position <= 3)
    assert stage.player.view.twin is not None, "what was seen is seen again"
    keyboard.release("KeyR")
    stage.frames(2)
    assert stage.player.view.twin is None
    keyboard.tap("Backspace")
    stage.until(lambda: stage.player.view.twin is not None)


def test_a_game_of_another_kind_is_refused(game, small_spec):
    with pytest.raises(WorldsimError, match="other frames or actions"):
        Twin(game, StickyPolicy(3, 1), CONTEXT, small_spec)


def test_a_game_that_ends_too_soon_is_explained(game, world, monkeypatch):
    monkeypatch.setattr(Counter, "_step", lambda self, action: (self._next(), 0.0, True, False, self._info()))
    with pytest.raises(WorldsimError, match="ends before 5 frames"):
        Twin(game, StickyPolicy(3, 1), CONTEXT, world.spec).begin(0, 0)
