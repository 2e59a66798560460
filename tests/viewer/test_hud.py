"""What the window says about how play goes: figures, drift, and the way out that it offers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pygame
import pytest

from worldsim.runtime.bundle import open_world, shipped_worlds
from worldsim.runtime.onnx import OnnxRuntime
from worldsim.runtime.session import Session
from worldsim.viewer import captions
from worldsim.viewer.drift import DRIFTING, DriftGauge
from worldsim.viewer.history import MOST_BYTES, SECONDS
from worldsim.viewer.playthrough import Playthrough


def test_the_time_from_a_key_to_its_frame_is_measured(staged, keyboard, world, left):
    stage = staged()
    for _ in range(4):
        stage.frames(2)
        keyboard.tap(left[0])
    stage.until(lambda: len(stage.playing.hud.latencies) == 4)
    assert stage.playing.hud.latency > 0
    slow = staged(slowness=0.2)
    slow.frames(1)
    keyboard.tap(left[0])
    slow.until(lambda: slow.playing.hud.latency is not None)
    assert slow.playing.hud.latency > 0.2


def test_the_key_shows_the_figures_where_there_is_room(staged, keyboard):
    stage = staged()
    stage.frames(2)
    keyboard.tap("KeyP")
    stage.run(0.2)

    def picture() -> np.ndarray:
        return pygame.surfarray.array3d(pygame.display.get_surface())[:, :400].copy()  # without the status bar

    before = picture()
    keyboard.tap("KeyH")
    stage.run(0.1)
    assert not np.array_equal(picture(), before)
    keyboard.tap("KeyH")
    stage.run(0.1)
    assert np.array_equal(picture(), before)


def test_drift_is_said_and_a_way_out_offered_and_none_taken(staged):
    stage = staged()
    stage.until(lambda: stage.player.view.index >= 3)
    view, keys = stage.player.view, stage.playing.keys
    view = dataclasses.replace(view, drift=DRIFTING)
    assert "N begins at the nearest start" in captions.status_of(stage.player, view, "tiny", keys).text
    view = dataclasses.replace(view, drift=0.9 * DRIFTING)
    assert "nearest" not in captions.status_of(stage.player, view, "tiny", keys).text


def test_the_key_begins_at_the_start_that_looks_most_alike(staged, keyboard, world, watched):
    session = watched()
    gauge = DriftGauge(session)
    for start in range(len(world.starts)):
        assert gauge.nearest_start(session.start([start], [0])) == start
    stage = staged(start=2)
    keyboard.tap("KeyP")
    stage.run(0.2)
    nearest = gauge.nearest_start(session.start([2], [0]))
    keyboard.tap("KeyN")
    stage.until(lambda: stage.player.view.branches == 1)
    assert not stage.player.paused and stage.player.view.start in range(len(world.starts)) and nearest == 2


def gauge_of(name: str) -> tuple[Session, DriftGauge]:
    """A shipped world, and what measures its drift."""
    session = Session(OnnxRuntime(open_world(name), "cpu", threads=1))
    return session, DriftGauge(session)


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_worlds())
def test_real_frames_of_a_shipped_world_are_not_called_drift(name):
    session, gauge = gauge_of(name)
    assert all(gauge.of_state(session.start([start], [0])) < DRIFTING / 1.5 for start in range(4))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["atari-freeway", "doom-take-cover", "rooms"])
def test_noise_is_called_drift(name):
    session, gauge = gauge_of(name)
    noise = np.random.default_rng(0).integers(0, 256, (1, 1, session.spec.height, session.spec.width, 3), np.uint8)
    assert gauge.of_state(session.reset(noise, np.zeros((1, 0), np.int64), [0])) > DRIFTING


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_worlds())
def test_ten_minutes_of_every_shipped_world_are_kept_in_half_a_gigabyte(name):
    world = open_world(name)
    play = Playthrough(Session(OnnxRuntime(world, "cpu", threads=1)), seed=0)
    play.begin(0)
    for _ in range(world.sizes.window + 4):
        moment = play.step(1)
    assert moment.nbytes * round(SECONDS * world.spec.fps) < MOST_BYTES < 500e6
