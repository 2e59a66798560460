"""Inertia: what moves by itself is followed, also where it turns back, and only from frames in which nobody acts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from worldsim.dynamics_config import PAST, DynamicsConfig
from worldsim.errors import WorldsimError
from worldsim.inertia import Inertia
from worldsim.recording import Episode, Recording, RecordingWriter
from worldsim.spec import Action, WorldSpec
from worldsim.tokenizer import Tokenizer, TokenizerConfig
from worldsim.train.checkpoint import read
from worldsim.train.clips import LatentClips
from worldsim.train.inertia import InertiaTraining, idle, own_run, run_length, train_inertia

SPEC = WorldSpec("ball", 32, 64, 10, 1, (Action("rest"), Action("kick", ("kick",))), {"kick": ("Space",)})
TOKENIZER = TokenizerConfig(channels=4, widths=(16, 16), blocks=1)
FRAMES, WIDE = 60, 8
CONFIG = DynamicsConfig(
    (4, 4, WIDE),
    actions=2,
    width=32,
    heads=2,
    depth=2,
    look_back=(1,),
    copy_reach=1,
    cell_width=8,
    memory=((8, 1),),
    recall=(),
    pan=1,
    inertia=24,
)


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    """Ten episodes of black frames, kicked once."""
    writer = RecordingWriter(tmp_path / "ball", SPEC)
    for _ in range(10):
        none, actions = np.zeros(FRAMES), np.zeros(FRAMES, np.int64)
        actions[20], actions[-1] = 1, -1
        frames = np.zeros((FRAMES, 32, 64, 3), np.uint8)
        writer.append(Episode(frames, actions, none, none.astype(bool), np.zeros((FRAMES, 0), np.float32)))
    return Recording(tmp_path / "ball")


def balls(seed: int, frames: int) -> np.ndarray:
    """Latents `[frames, 4, 4, WIDE]` of a ball that stands or goes a cell a frame, and comes back from the edge."""
    rng = np.random.default_rng(seed)
    latents = np.zeros((frames, 4, 4, WIDE), np.float32)
    at, step, kind = rng.integers(2 * WIDE), rng.choice([-1, 0, 1]), rng.choice([-1, 1], 4)
    for t, frame in enumerate(latents):
        x = (at + step * t) % (2 * WIDE)
        frame[:, 2, min(x, 2 * WIDE - 1 - x)] = kind
    return latents


def test_stretches_in_which_nobody_acts(recording: Recording) -> None:
    actions = np.asarray(recording.actions[:])
    stretches = idle(recording, actions)
    trained = recording.episodes("train")
    assert stretches == [part for a, b in trained for part in ((a, a + 21), (a + 21, b))]


def test_runs_become_longer() -> None:
    lengths = [run_length(step / 100, 16) for step in range(100)]
    assert lengths == sorted(lengths) and lengths[0] == 1 and set(lengths[50:]) == {16}


def test_it_follows_what_moves_and_leaves_what_stands(recording: Recording, tmp_path: Path) -> None:
    clips = LatentClips(recording, Tokenizer(TOKENIZER), tmp_path)
    clips.latents = np.concatenate([balls(seed, FRAMES) for seed in range(10)])
    training = InertiaTraining(steps=400, batch=8, rate=5e-3, length=4, lead=6)
    torch.manual_seed(0)
    inertia = Inertia(4, 24)
    train_inertia(inertia, recording, clips, tmp_path, 1, training)
    for seed in (100, 101, 102):
        ball = torch.from_numpy(balls(seed, PAST + 8))[None]
        with torch.no_grad():
            made = own_run(inertia, ball[:, :PAST], 8)[:, PAST:]
            still = own_run(inertia, ball[:, :1].expand(-1, PAST, -1, -1, -1), 4)
        error, copy = (made - ball[:, PAST:]).square().sum((0, 2, 3, 4)), 2 * ball[0, 0].square().sum()
        assert (error < 0.1 * copy).all(), error / copy
        assert (still[:, -1] - ball[:, 0]).square().sum() < 0.5 * copy
    torch.testing.assert_close(
        read(tmp_path / "inertia.checkpoint")[0]["average.out.weight"], inertia.out.weight.detach()
    )


def test_a_recording_in_which_nothing_moves_by_itself_is_refused(recording: Recording, tmp_path: Path) -> None:
    clips = LatentClips(recording, Tokenizer(TOKENIZER), tmp_path)
    clips.latents = np.zeros((10 * FRAMES, 4, 4, WIDE), np.float32)
    with pytest.raises(WorldsimError, match="nothing moves in it while no button is held"):
        train_inertia(Inertia(4, 8), recording, clips, tmp_path, 1, InertiaTraining(steps=1))


@pytest.mark.parametrize("step", [-2, -1, 1, 2])
def test_a_cell_may_be_taken_from_beside(step: int) -> None:
    inertia = Inertia(4, 8)
    with torch.no_grad():
        inertia.out.bias[4 + 2 + step] = 50.0
    past = torch.randn(2, PAST, 4, 3, WIDE)
    moved = inertia(past)
    inside = slice(max(step, 0), WIDE + min(step, 0))
    torch.testing.assert_close(moved[..., inside], past[:, -1].roll(step, -1)[..., inside])


def test_inertia_takes_what_it_is_told_by() -> None:
    for wrong in ({"cell_width": 0}, {"memory": ((2, 1),)}):
        with pytest.raises(WorldsimError, match="inertia 24 takes a pan, a cell_width and a memory"):
            dataclasses.replace(CONFIG, **wrong)
