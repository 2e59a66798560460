"""Whether play has left what a world was trained on: said of noise, not of the first frames of a shipped world."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from worldsim.runtime.bundle import open_world, shipped_worlds
from worldsim.runtime.load import load_runtime
from worldsim.runtime.session import Session
from worldsim.viewer.drift import DRIFTING, DriftGauge


@pytest.mark.parametrize("world", shipped_worlds())
def test_the_first_frames_are_no_drift_and_noise_is(world):
    session = Session(load_runtime(open_world(world), device="cpu"))
    gauge = DriftGauge(session)
    state = session.start([0], [0])
    for _ in range(20):
        state, _ = session.step(state, np.array([session.spec.noop]))
        assert gauge.of_state(state) < DRIFTING
    frame = np.random.default_rng(0).integers(0, 256, state.frame.shape, np.uint8)
    assert gauge.of_state(dataclasses.replace(state, frame=frame)) > DRIFTING
