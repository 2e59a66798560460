"""Pretraining: an encoder learns what is in the frames, the derived targets, and their mirror images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_spec
from tiny_game import record_tiny_game

from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError
from worldsim_policies.base import state_targets
from worldsim_policies.learned.network import PolicyConfig
from worldsim_policies.learned.pretrain import pretrain_encoder
from worldsim_policies.learned.state_targets import StateTargets


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return Recording(record_tiny_game(tmp_path_factory.mktemp("pretrain") / "game"))


def small(stack: int, symmetric: bool = False) -> PolicyConfig:
    """A policy of the tiny game with a small encoder."""
    config = PolicyConfig.of(tiny_spec(), stack, symmetric=symmetric)
    return dataclasses.replace(config, channels=(8, 8, 16, 16), hidden=64)


def explained(
    recording: Recording, targets: StateTargets | None = None, steps: int = 150, symmetric: bool = False
) -> float:
    """The share of the variance, with two frames in a stack."""
    return pretrain_encoder(small(2, symmetric), recording, steps, 0, lambda _: None, targets)[1]


def test_an_encoder_learns_the_state_that_its_frames_show(recording):
    """The bar of the frame before is only known with two frames in a stack; the same seed gives the same encoder."""
    ticks: list[int] = []
    assert explained(recording, steps=0) < 0.3 and explained(recording) > 0.9
    encoder, share = pretrain_encoder(small(1), recording, 150, 0, ticks.append)
    assert 0.3 < share < 0.7 and ticks == [*range(1, 151)]
    encoder, again = (pretrain_encoder(small(1), recording, 5, 0, ticks.append)[0] for _ in range(2))
    assert all(
        torch.equal(a, b) for a, b in zip(encoder.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_derived_targets_are_learned_too(recording):
    """What can be seen is learned, and what can't lowers the explained share."""
    rng = np.random.default_rng(0)
    shares = []
    for derive in (lambda state: state[:, :1] == state[:, 1:2], lambda state: rng.random((len(state), 3))):
        targets = StateTargets(lambda state, derive=derive: derive(state).astype(np.float32), lambda values: values)
        shares.append(explained(recording, targets))
    assert shares[0] > 0.9 and shares[1] < 0.6


def test_a_symmetric_policy_learns_from_mirror_images_too(recording):
    """In half of the stacks the left bar is on the right; if the targets don't follow, nothing can be learned."""

    def share(symmetric: bool, mirror: Callable[[np.ndarray], np.ndarray]) -> float:
        targets = StateTargets(lambda state: state[:, :0], lambda values: mirror(values).astype(np.float32))
        return explained(recording, targets, symmetric=symmetric)

    assert share(True, lambda values: values * [-1, -1, 1] + [2, 2, 0]) > 0.9
    assert share(True, lambda values: values) < 0.3
    assert share(False, lambda values: values) > 0.9


def test_take_cover_derives_where_fireballs_pass():
    targets = state_targets("doom-take-cover")
    state = np.zeros((2, 26), np.float32)
    both = np.concatenate([state, targets.derive(state)], axis=1)
    assert both.shape == (2, 94) and targets.mirror(both).shape == (2, 94)
    assert state_targets("tiny") is None


def test_a_recording_that_does_not_fit_is_one_error(recording, tiny_recording: Path):
    with pytest.raises(WorldsimError, match="has no exact state that an encoder could predict"):
        pretrain_encoder(PolicyConfig.of(tiny_spec(), 2), Recording(tiny_recording), 1, 0, lambda _: None)
    other = PolicyConfig("toybox", 64, 64, ("stay",), 2)
    with pytest.raises(WorldsimError, match="is of 'tiny', 48x32; the agent plays 'toybox', 64x64"):
        pretrain_encoder(other, recording, 1, 0, lambda _: None)
