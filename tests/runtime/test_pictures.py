"""Pictures to begin with: what is unlike a world is told from what it has learned, and what it is begun with."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.runtime.bundle import open_world
from worldsim.runtime.load import load_runtime
from worldsim.runtime.pictures import Strangeness, begun_with, fitted, fitting, standing_still
from worldsim.runtime.session import Session
from worldsim_envs.toybox.env import ToyboxEnv


@pytest.fixture(scope="module")
def toybox() -> Session:
    return Session(load_runtime(open_world("toybox"), "onnx", "cpu"))


def rooms(look: str) -> np.ndarray:
    """Frames of the real toy box that no training has seen, uint8 `[6, 64, 64, 3]`."""
    env = ToyboxEnv(look=look)
    return np.stack([env.reset(seed=90_000 + i)[0] for i in range(6)])


def test_looks_that_the_toy_box_never_saw_are_strange_to_it(toybox: Session) -> None:
    strangeness = Strangeness(toybox)
    known = strangeness.of_frames(rooms("day"))
    assert (known < strangeness.limit).all() and "like what the world has learned" in strangeness.verdict(known[0])
    for look in ("night", "ink", "pastel"):
        other = strangeness.of_frames(rooms(look))
        assert (other > strangeness.limit).all(), look
        assert "unlike anything" in strangeness.verdict(float(other[0]))


def test_its_own_starts_are_not_strange_and_count_as_a_median(toybox: Session) -> None:
    starts = toybox.runtime.starts
    assert starts is not None
    strangeness = Strangeness(toybox)
    own = strangeness.of_frames(starts.frames[:, -1])
    assert np.median(own) == pytest.approx(1, abs=0.02) and (own < strangeness.limit).all()
    latents = toybox.runtime.encode(starts.frames[:, -1:])[:, 0]
    assert np.allclose(strangeness.of_latents(latents), own)


def test_a_picture_is_held_still_with_the_no_op(toybox: Session) -> None:
    world = open_world("toybox")
    picture = np.zeros((100, 300, 3), np.uint8)
    picture[:, 110:190] = 200
    assert fitting(picture, world.spec) == "fitted from 300x100 to 64x64"
    assert fitting(fitted(picture, world.spec), world.spec) == ""
    frames, actions = standing_still(picture[None], world.spec, world.sizes)
    assert frames.shape == (49, 64, 64, 3) and (frames == fitted(picture, world.spec)).all()
    assert actions.shape == (48,) and (actions == world.spec.noop).all()
    state = begun_with(picture[None], world, seed=3).state(toybox)
    assert np.array_equal(state.frame[0], frames[0]) and int(state.number[0]) == 48


def test_a_clip_keeps_its_frames_after_the_first_one_held(toybox: Session) -> None:
    world = open_world("toybox")
    clip = np.arange(60, dtype=np.uint8).repeat(64 * 64 * 3).reshape(60, 64, 64, 3)
    frames, actions = standing_still(clip[:5], world.spec, world.sizes)
    assert len(frames) == 49 and np.array_equal(frames[-5:], clip[:5]) and (frames[:45] == 0).all()
    assert len(actions) == 48
    assert len(standing_still(clip, world.spec, world.sizes)[0]) == 60
