"""Training of a restyler: a known mapping is learned, resumed equals uninterrupted, what it is fed, one error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from looked import CONFIG, SIZES, dark, looked_clips
from square import EAGER

from worldsim.data.captioned import CaptionedClips
from worldsim.errors import WorldsimError
from worldsim.models.restyle import RestyleConfig, Restyler, paint
from worldsim.runtime.base import Runtime
from worldsim.runtime.bundle import open_world
from worldsim.runtime.load import load_runtime
from worldsim.train import trainer as trainer_module
from worldsim.train.checkpoint import read
from worldsim.train.restyle import FILE, Pairs, RestyleTraining, load_restyler, rebuild, train_restyle
from worldsim.train.trainer import Trainer


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> CaptionedClips:
    return looked_clips(tmp_path_factory.mktemp("looked"))


@pytest.fixture(scope="module")
def runtime(tiny_world: Path) -> Runtime:
    return load_runtime(open_world(tiny_world), "onnx", "cpu")


def test_a_known_look_is_learned_at_every_size(clips: CaptionedClips, runtime: Runtime, tmp_path: Path) -> None:
    training = RestyleTraining(steps=150, batch=8, lr=1e-2, rebuilt=0.0)
    learned = train_restyle(clips, runtime, "plain", tmp_path, training, EAGER, CONFIG)
    assert (tmp_path / "restyle.png").exists()
    loaded, world, native = load_restyler(tmp_path / FILE)
    assert (world, native, loaded.config) == ("tiny", "plain", CONFIG)
    for height, width in (*SIZES, (40, 20)):
        frames = np.random.default_rng(1).integers(0, 256, (2, 1, 1, 3), np.uint8).repeat(height, 1).repeat(width, 2)
        painted = paint(learned, torch.from_numpy(frames), "dark").numpy()
        assert painted.shape == frames.shape
        assert np.abs(painted.astype(int) - dark(frames)).mean() < 20 < np.abs(frames.astype(int) - dark(frames)).mean()
        assert torch.equal(paint(loaded, torch.from_numpy(frames), "dark"), torch.from_numpy(painted))


def test_resumed_equals_uninterrupted(
    clips: CaptionedClips, runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(out: Path) -> None:
        train_restyle(clips, runtime, "plain", out, RestyleTraining(steps=6, batch=4), EAGER, CONFIG)

    train(tmp_path / "whole")
    monkeypatch.setattr(trainer_module, "SAVE_EVERY", 0.0)
    update = Trainer.update

    def killed(self: Trainer, *batch: object) -> dict[str, torch.Tensor]:
        if self.step == 4:
            raise KeyboardInterrupt
        return update(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "update", killed)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "parts")
    train(tmp_path / "parts")
    whole, parts = (read(tmp_path / folder / FILE)[0] for folder in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_pairs_show_the_same_play_and_none_leads_to_the_worlds_own_look(clips: CaptionedClips) -> None:
    found = {held_out: Pairs(clips, held_out, "plain") for held_out in (False, True)}
    assert sum(map(len, found[False].native.values())) == 36 and sum(map(len, found[True].native.values())) == 4
    assert not found[False].others and found[False].looks() == ("dark",)
    for pairs in found[False].native.values():
        for seen, wanted in pairs:
            np.testing.assert_array_equal(clips.clip(wanted).frames, dark(clips.clip(seen).frames))


def test_frames_are_rebuilt_by_the_world_at_its_own_size_alone(runtime: Runtime) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, *SIZES[0], 3), np.uint8)
    decoded = runtime.decode(runtime.encode(frames[:, None]))[:, 0]
    np.testing.assert_array_equal(rebuild(runtime, frames), decoded)
    assert (rebuild(runtime, frames, 0.5, np.random.default_rng(0)) != decoded).any()
    other = frames[:, :16, :24]
    assert rebuild(runtime, other) is other


def test_nothing_depends_on_the_size(clips: CaptionedClips) -> None:
    """What is far from the edge is painted the same in a larger picture."""
    from looked import filled_restyler

    restyler = filled_restyler()
    large = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 128, 96, 3), np.uint8))
    part = paint(restyler, large[:, :64], "dark")
    torch.testing.assert_close(part[:, :24], paint(restyler, large, "dark")[:, :24], rtol=0, atol=1)


def test_a_restyler_is_small() -> None:
    restyler = Restyler(RestyleConfig(("night", "ink", "pastel")))
    assert sum(p.numel() for p in restyler.parameters()) < 300_000


def test_clips_without_a_second_look_are_refused(clips: CaptionedClips, runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(WorldsimError, match="no play in the look 'night'"):
        train_restyle(clips, runtime, "night", tmp_path, RestyleTraining(steps=1), EAGER)
