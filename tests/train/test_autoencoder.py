"""The autoencoder's training."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import steered
import torch
from square import AUTOENCODER, AUTOENCODER_TRAINING, EAGER, weights

from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import AutoencoderConfig, to_pixels
from worldsim.models.shifts import shifted_pixels
from worldsim.train.autoencoder import AutoencoderTraining, inner, moving_weight, train_autoencoder
from worldsim.train.latent_geometry import LatentGeometry


def test_resumed_equals_uninterrupted(recording: Recording, run: Path, tmp_path: Path) -> None:
    half = dataclasses.replace(AUTOENCODER_TRAINING, steps=3)
    train_autoencoder(recording, tmp_path, AUTOENCODER, half, EAGER)
    first = weights(tmp_path / "autoencoder.safetensors")
    train_autoencoder(recording, tmp_path, AUTOENCODER, AUTOENCODER_TRAINING, EAGER)
    whole, parts = (weights(folder / "autoencoder.safetensors") for folder in (run, tmp_path))
    assert any(not torch.equal(first[k], parts[k]) for k in parts)
    # The learning rate of the first three steps is the warm-up's in both, so nothing may differ.
    assert all(torch.equal(whole[k], parts[k]) for k in whole)
    with pytest.raises(WorldsimError, match="other settings.*batch"):
        other = dataclasses.replace(AUTOENCODER_TRAINING, batch=5, steps=9)
        train_autoencoder(recording, tmp_path, AUTOENCODER, other, EAGER)


def test_frames_that_do_not_fit_are_refused(recording: Recording, tmp_path: Path) -> None:
    with pytest.raises(WorldsimError, match="48x32 do not divide by 64"):
        train_autoencoder(recording, tmp_path, AutoencoderConfig(widths=(8, 8, 8, 8, 8)), AUTOENCODER_TRAINING, EAGER)


def test_latents_of_a_scrolled_picture_follow_from_those_of_the_picture(tmp_path: Path) -> None:
    recording = Recording(steered.record(tmp_path / "recording", 12, played=steered.follow))
    config = AutoencoderConfig(channels=8, widths=(16, 16), blocks=1, shifts=True)
    learned = train_autoencoder(recording, tmp_path, config, AutoencoderTraining(steps=500, batch=8), EAGER).eval()
    pixels = to_pixels(torch.from_numpy(recording.frames[100:140]))
    with torch.no_grad():
        for shift in (torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 3.0])):
            latents, there = learned.encode(pixels), learned.encode(shifted_pixels(pixels, shift))
            followed, copied = (
                inner(made - there).square().mean() for made in (learned.shifts(latents, shift), latents)
            )
            assert followed < 0.6 * copied, (shift, followed, copied)


def test_shifts_are_learned_alone_and_with_parts_of_a_batch(recording: Recording, tmp_path: Path) -> None:
    config = dataclasses.replace(AUTOENCODER, hidden_layer=False, widths=(8, 8), shifts=True)
    both = dataclasses.replace(AUTOENCODER_TRAINING, geometry=LatentGeometry())
    with pytest.raises(WorldsimError, match="not both"):
        train_autoencoder(recording, tmp_path, config, both, EAGER)
    parts = dataclasses.replace(EAGER, accumulate=2)
    learned = train_autoencoder(recording, tmp_path, config, dataclasses.replace(AUTOENCODER_TRAINING, steps=2), parts)
    assert learned.shifts.net[-1].weight.any(), "they learn"


def test_moving_pixels_weigh_more() -> None:
    before = np.zeros((2, 8, 8, 3), np.uint8)
    frames = before.copy()
    frames[1, 4, 4] = 200
    weight = moving_weight(frames, before, before[0], 5.0)[:, 0]
    assert weight[1, 4, 4] == pytest.approx(6 * weight[0, 0, 0]) and weight.min() == 1
