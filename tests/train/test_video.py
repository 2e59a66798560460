"""Training of the video networks: what is learned from words, resumed equals uninterrupted, what is drawn."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from painted import AUTOENCODER, COLOURS, DIT, painted_clips
from square import EAGER

from worldsim.cli import train_video
from worldsim.cli.main import main
from worldsim.data.captioned import CaptionedClips
from worldsim.data.synonyms import Synonyms
from worldsim.errors import WorldsimError
from worldsim.runtime.imagine import imagine
from worldsim.runtime.request import Given
from worldsim.train import trainer as trainer_module
from worldsim.train.checkpoint import read, write
from worldsim.train.trainer import Trainer
from worldsim.train.video_autoencoder import (
    FILE,
    VideoAutoencoderTraining,
    clip_weight,
    latents_digest,
    load_video_autoencoder,
    train_video_autoencoder,
)
from worldsim.train.video_dit import VideoDiTTraining, draw_levels, load_imaginer, train_video_dit

PIXELS = 17 * 32 * 48
ONE_STEP = VideoAutoencoderTraining(steps=1, batch=1, row_pixels=PIXELS)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> CaptionedClips:
    return painted_clips(tmp_path_factory.mktemp("painted"))


@pytest.fixture(scope="module")
def begun(clips: CaptionedClips, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a video autoencoder of one step."""
    out = tmp_path_factory.mktemp("begun")
    train_video_autoencoder(clips, out, AUTOENCODER, ONE_STEP, EAGER)
    return out


@pytest.fixture(scope="module")
def run(clips: CaptionedClips, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("imagine")
    training = VideoAutoencoderTraining(steps=150, batch=1, lr=0.015, row_pixels=PIXELS)
    autoencoder = train_video_autoencoder(clips, out, AUTOENCODER, training, EAGER)
    train_video_dit(clips, autoencoder, out, DIT, VideoDiTTraining(steps=250, batch=4, row_tokens=36, lr=4e-3), EAGER)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("size", [(32, 48), (48, 32)])
@pytest.mark.parametrize("name", COLOURS)
def test_the_asked_colour_is_painted(run: Path, name: str, size: tuple[int, int]) -> None:
    made = imagine(load_imaginer(run), None, f"a {name} square", size, frames=5, steps=8, guidance=2.0, seed=3)
    mean = made.reshape(-1, 3).mean(0)
    nearest = min(COLOURS, key=lambda other: float(np.abs(mean - COLOURS[other]).sum()))
    assert made.shape == (5, *size, 3) and nearest == name
    assert np.abs(mean - COLOURS[name]).max() < 60


@pytest.mark.slow
def test_a_picture_given_decides_without_words(run: Path) -> None:
    picture = np.full((1, 32, 48, 3), COLOURS["green"], np.uint8)
    made = imagine(load_imaginer(run), Given(head=picture), "", (32, 48), frames=5, steps=8, seed=1)
    assert (made[0] == picture[0]).all()
    assert np.abs(made[1:].reshape(-1, 3).mean(0) - COLOURS["green"]).max() < 60


def test_a_decoder_that_learns_on_fits_what_was_trained_on_the_latents(
    clips: CaptionedClips, begun: Path, tmp_path: Path
) -> None:
    shutil.copytree(begun, tmp_path / "run")
    path, flags = tmp_path / "run" / FILE, ["--clips", str(clips.path), "--out", str(tmp_path / "run"), "--steps", "2"]
    before = load_video_autoencoder(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_video, "open_sets", lambda *_: clips)
        assert main(["train", "video-dit", *flags, "--batch", "1"]) == 0
        assert main(["train", "video-decoder", *flags]) == 0
        after = load_video_autoencoder(path)
        assert latents_digest(after) == latents_digest(before)
        changed = [k for k, v in before.state_dict().items() if not torch.equal(v, after.state_dict()[k])]
        assert changed and all(k.startswith("decoder.") for k in changed)
        assert main(["train", "video-dit", *flags, "--batch", "1"]) == 0  # is the same training: nothing left to do


@pytest.mark.parametrize("which", ["autoencoder", "dit"])
def test_resumed_equals_uninterrupted(
    clips: CaptionedClips, begun: Path, which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(out: Path) -> None:
        if which == "autoencoder":
            training = VideoAutoencoderTraining(steps=6, batch=2, row_pixels=PIXELS)
            train_video_autoencoder(clips, out, AUTOENCODER, training, EAGER)
        else:
            training = VideoDiTTraining(steps=6, batch=2, row_tokens=48)
            train_video_dit(clips, load_video_autoencoder(begun / FILE), out, DIT, training, EAGER)

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
    name = "video-autoencoder.safetensors" if which == "autoencoder" else "video-dit.safetensors"
    whole, parts = (read(tmp_path / folder / name)[0] for folder in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_other_clips_are_refused(begun: Path, tmp_path: Path) -> None:
    other = painted_clips(tmp_path / "other", frames=1)
    with pytest.raises(WorldsimError, match=r"trained with other settings \(clips"):
        train_video_autoencoder(other, begun, AUTOENCODER, ONE_STEP, EAGER)


def test_other_words_for_the_same_are_learned_too(clips: CaptionedClips, begun: Path, tmp_path: Path) -> None:
    told = CaptionedClips(clips.path, Synonyms({"square": ("box",), "red": ("dark crimson",)}))
    training = VideoDiTTraining(steps=1, batch=1, row_tokens=48)
    dit = train_video_dit(told, load_video_autoencoder(begun / FILE), tmp_path, DIT, training, EAGER)
    assert dit.text.unknown("A dark crimson box, a green hat") == ["hat"]
    with pytest.raises(WorldsimError, match=r"trained with other settings \(.*synonyms"):
        train_video_dit(clips, load_video_autoencoder(begun / FILE), tmp_path, DIT, training, EAGER)


def test_networks_of_other_kinds_are_refused(tmp_path: Path) -> None:
    write(tmp_path / FILE, {"x": torch.zeros(1)}, {"kind": "Autoencoder"})
    with pytest.raises(WorldsimError, match="holds Autoencoder, not a video autoencoder"):
        load_video_autoencoder(tmp_path / FILE)
    with pytest.raises(WorldsimError, match="train first"):
        load_imaginer(tmp_path / "nothing")


def test_what_moves_and_what_stands_out_counts_more() -> None:
    frames = np.full((1, 3, 32, 40, 3), 100, np.uint8)
    frames[0, :, 4:8, 4:8] = 255  # lies still
    frames[0, 2, 20:24, 30:34] = 140  # appears
    weight = clip_weight(frames, 6.0)
    assert weight.shape == (1, 3, 1, 32, 40)
    assert (weight[0, :, 0, 5, 5] == 7).all() and weight[0, 2, 0, 21, 31] == 7 and weight[0, 0, 0, 30, 2] == 1


@pytest.mark.parametrize("t", [1, 2, 3, 5])
def test_something_is_always_left_to_paint(t: int) -> None:
    rng = np.random.default_rng(t)
    drawn = [draw_levels(rng, (t, 2, 3), 0.5, 0.1) for _ in range(400)]
    assert all(not given.all() for _, given in drawn)
    assert any(given.any() for _, given in drawn)
    own = [levels for levels, given in drawn if len(np.unique(levels)) > 1]
    assert (len(own) > 100) == (t > 1) and all((levels < 1).all() and (levels >= 0).all() for levels, _ in drawn)
