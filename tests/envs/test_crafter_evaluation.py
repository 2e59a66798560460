"""Crafter's own judge: a world that is right, one that stands still, and one that forgets, told apart."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

pytest.importorskip("crafter")

from crafter_play import record_crafter

from worldsim.data.recording import Recording
from worldsim.evals.core import CopyLast, no_progress
from worldsim.evals.scenes import RecordingSplit
from worldsim.evals.world_judge import Judged
from worldsim_envs.crafter import measures
from worldsim_envs.crafter.env import CrafterEnv
from worldsim_envs.crafter.evaluation import PROBES
from worldsim_envs.crafter.instrument import AWAY, HORIZON, continued, draw_scenes, judge_crafter
from worldsim_envs.crafter.names import STATE, TILE
from worldsim_envs.crafter.reader import AT, state_reader

CONTEXT = 33
KNOWN_BY = 20  # frames in a row by which a moment is known


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> RecordingSplit:
    return RecordingSplit(Recording(record_crafter(tmp_path_factory.mktemp("crafter") / "crafter")))


class Replay:
    """Goes on as the recorded play did, which it knows by its newest frames; after a short past it may be blank."""

    rows = 4
    context = CONTEXT

    def __init__(self, split: RecordingSplit, forgets: int = 0):
        self._frames = np.asarray(split.recording.frames[: len(split.state)])
        last = range(KNOWN_BY - 1, len(self._frames))
        self._known = {self._frames[i - KNOWN_BY + 1 : i + 1].tobytes(): i for i in last}
        self._forgets = forgets

    def reset(self, frames, actions, seeds):
        """Where the recording shows those frames; blank after a short past, if it forgets."""
        blank = frames.shape[1] <= self._forgets
        return np.array([0 if blank else self._known[past[-KNOWN_BY:].tobytes()] for past in frames]), blank

    def step(self, state, actions):
        """The next recorded frame."""
        index, blank = state
        shown = self._frames[index + 1]
        return (index + 1, blank), np.zeros_like(shown) if blank else shown


def judged(split, simulator, env=None):
    """The section's figures by key, and the section."""

    def progress(title, total):
        return contextlib.nullcontext(no_progress)

    section = judge_crafter(Judged(simulator, lambda frames: frames, split, env, 4, 16, 0, progress))
    return {figure.key: figure.value for figure in section.figures}, section


def test_a_world_that_is_right_is_found_right(split):
    found, section = judged(split, Replay(split, forgets=17), CrafterEnv())
    for key in ("tiles_1", "tiles_64", "inventory", "back_32", "codec_digits"):
        assert found[f"crafter.{key}"] == pytest.approx(1, abs=0.02), key
    assert found["crafter.rules"] > 0.97 and found["crafter.daylight_error"] < 0.03
    assert found["crafter.back_32_cut"] < 0.5
    assert not section.notes and all("the game itself" in table.columns for table in section.tables[:2])
    keys = {target.figure for target in PROBES.targets if target.figure.startswith("crafter.")}
    assert keys <= found.keys()


def test_a_world_that_stands_still_is_not(split):
    found, _ = judged(split, CopyLast())
    assert found["crafter.tiles_64"] < 0.8 and found["crafter.back_32"] < 0.8 and found["crafter.rules"] < 0.95


def test_the_game_goes_on_from_a_scene_with_other_chance(split, monkeypatch):
    scenes, env = draw_scenes(split, 3, CONTEXT, 0), CrafterEnv()
    states = continued(env, split, scenes, 1)
    assert states is not None and states.shape == (len(scenes), HORIZON, len(STATE))
    truth = scenes.true_state
    np.testing.assert_array_equal(states[..., AT["steps"]], truth[..., AT["steps"]])
    first = (measures.tiles_of(states)[:, 0] == measures.tiles_of(truth)[:, 0]).mean()
    assert first > 0.9 and not np.array_equal(states, truth)
    np.testing.assert_array_equal(continued(env, split, scenes, 1), states)
    monkeypatch.setattr(split.recording, "seeds", split.recording.seeds + 1)  # as if it were of another version
    assert continued(env, split, scenes, 1) is None


def walked(xs):
    """States of a player at these places, y 10, on grass."""
    states = np.zeros((len(xs), len(STATE)), np.float32)
    states[:, AT["x"]], states[:, AT["y"]] = xs, 10
    states[:, AT["tile_0_0"] :] = TILE["grass"]
    return states


def test_what_can_be_asked_for():
    away = [*range(10, 31), *range(29, 9, -1)]  # 20 to the right and back
    states = walked(away)
    asked = measures.asked(states[None], 5)
    assert asked.known.shape == (1, len(away) - 5, 7, 9)
    returned = asked.returned(AWAY)[0]
    assert returned[-1, 0].tolist() == [True] + [False] * 8  # the column that is in view again after 40 steps
    assert not returned[: AWAY - 5].any() and not asked.known[0, 15].any()  # far away nothing was ever seen
    assert not asked.known[0, -1, 3, 4]  # the player
    last = measures.comes_back(states, 5, 40, AWAY)
    assert last[4] and not last[:4].any() and not last[-1]
    assert not measures.comes_back(states, 5, 10, AWAY)[:20].any()


def test_creatures_come_and_go():
    truth, shown = np.full((1, 7, 9), TILE["grass"]), np.full((1, 7, 9), TILE["grass"])
    shown[0, 0, 0], shown[0, 0, 1] = TILE["cow"], TILE["stone"]
    which = np.ones((1, 7, 9), bool)
    assert measures.tiles_right(shown, truth, which) == pytest.approx(62 / 63)
    assert np.isnan(measures.tiles_right(shown, truth, ~which))


def test_states_are_read_off_frames(split):
    frames = np.asarray(split.recording.frames[:3])
    read = state_reader(*frames.shape[1:3])(frames[None])
    assert read.shape == (1, 3, len(STATE))
    np.testing.assert_array_equal(read[0, :, AT["health"]], split.state[:3, AT["health"]])
    np.testing.assert_allclose(read[0, :, AT["daylight"]], split.state[:3, AT["daylight"]], atol=0.03)
