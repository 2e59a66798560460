"""Settings that are off unless a recipe has them: told noise, long clips, latents that can be predicted."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from square import AUTOENCODER, AUTOENCODER_TRAINING, EAGER, SIZE, SPEC, TRAINING, weights
from tiny import ORIGIN, SAMPLING, STARTS, WINDOW, tiny_clips, tiny_config, tiny_networks, tiny_spec

from worldsim.cli.worlds import recipe_of
from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import Autoencoder, to_pixels
from worldsim.models.config import WorldModelConfig
from worldsim.models.told_noise import ToldNoiseConfig
from worldsim.runtime.export import export_bundle
from worldsim.train.autoencoder import train_autoencoder
from worldsim.train.checkpoint import load_world_model, read, write
from worldsim.train.clip_batches import LongClips
from worldsim.train.dynamics import build_model, train_dynamics
from worldsim.train.latent_geometry import LatentGeometry, slowness, uniformity

TOLD = ToldNoiseConfig(play=0.1)


def told_model():
    return tiny_networks(dataclasses.replace(tiny_config(), told_noise=TOLD))[1]


def test_what_is_told_counts_and_in_play_it_is_a_constant():
    model = told_model()
    config = model.config
    tokens, actions = model.to_tokens(torch.randn(2, 3, *config.latent_shape)), torch.zeros(2, 3, dtype=torch.int64)
    told = [model.encode_context(tokens, actions, None, share)[0].tokens for share in (None, torch.full((2, 3), 0.1))]
    torch.testing.assert_close(*told)
    noisy = model.encode_context(tokens, actions, None, torch.tensor([[0.1, 0.6, 0.1]] * 2))[0].tokens
    assert torch.allclose(noisy[:, 0], told[0][:, 0]) and not torch.allclose(noisy[:, 1], told[0][:, 1], atol=1e-3)
    assert WorldModelConfig.from_json(dataclasses.asdict(config)) == config
    with pytest.raises(WorldsimError, match="told_noise.play"):
        ToldNoiseConfig(play=1.0)


@pytest.mark.slow
def test_graphs_of_a_model_that_is_told_give_its_frames(tmp_path: Path):
    networks = tiny_networks(dataclasses.replace(tiny_config(), told_noise=TOLD))
    parity = export_bundle(tmp_path / "told", *networks, tiny_spec(), *tiny_clips(STARTS, WINDOW + 1), ORIGIN, SAMPLING)
    assert parity.differences["step: latents"] < 1e-3


def test_it_trains_with_long_clips_and_on_what_it_made_itself(
    recording: Recording, autoencoder: Autoencoder, run: Path, tmp_path: Path
):
    fits = autoencoder.config.latent_shape(SPEC.height, SPEC.width), len(SPEC.actions), 1
    config = dataclasses.replace(SIZE, told_noise=TOLD).fit(*fits)
    long_clips = LongClips(length=TRAINING.length + 2, batch=TRAINING.batch // 2)
    training = dataclasses.replace(
        TRAINING, steps=5, context_noise=0.6, self_rollout_start=0.2, self_rollout_max=2, long_clips=long_clips
    )
    train_dynamics(recording, autoencoder, tmp_path, config, training, cache=run, options=EAGER)
    model, _ = load_world_model(tmp_path / "dynamics.safetensors")
    assert model.config.told_noise == TOLD
    before = build_model(config, training, None).told_noise.state_dict()
    after = model.told_noise.state_dict()
    assert all(not torch.equal(before[name], after[name]) for name in before)


def test_a_checkpoint_of_before_a_setting_goes_on(
    recording: Recording, autoencoder: Autoencoder, run: Path, tmp_path: Path
):
    config = SIZE.fit(autoencoder.config.latent_shape(SPEC.height, SPEC.width), len(SPEC.actions), 1)
    first, more = (dataclasses.replace(TRAINING, steps=steps) for steps in (2, 3))
    train_dynamics(recording, autoencoder, tmp_path, config, first, cache=run, options=EAGER)
    tensors, state = read(tmp_path / "dynamics.checkpoint")
    del state["config"]["long_clips"], state["config"]["model"]["told_noise"]
    write(tmp_path / "dynamics.checkpoint", tensors, state)
    train_dynamics(recording, autoencoder, tmp_path, config, more, cache=run, options=EAGER)
    other = dataclasses.replace(more, steps=4, long_clips=LongClips(TRAINING.length + 1, 2))
    with pytest.raises(WorldsimError, match="other settings.*long_clips"):
        train_dynamics(recording, autoencoder, tmp_path, config, other, cache=run, options=EAGER)


def test_latents_learn_to_be_slow(recording: Recording, run: Path, tmp_path: Path):
    torch.manual_seed(0)
    network, pixels = Autoencoder(AUTOENCODER).train(), to_pixels(torch.from_numpy(recording.frames[:64]))
    optimizer, found = torch.optim.Adam(network.encoder.parameters(), lr=3e-3), []
    for _ in range(30):
        now, before = network.encode(torch.cat([pixels[1:], pixels[:-1]])).chunk(2)
        losses = LatentGeometry(slowness=1.0, uniformity=0.0).loss(now, before)
        optimizer.zero_grad()
        losses["geometry"].backward()
        optimizer.step()
        found.append(losses["slowness"].item())
    assert found[-1] < 0.8 * found[0]

    training = dataclasses.replace(AUTOENCODER_TRAINING, geometry=LatentGeometry())
    train_autoencoder(recording, tmp_path, AUTOENCODER, training, EAGER)
    with_it, without = (weights(folder / "autoencoder.safetensors") for folder in (tmp_path, run))
    assert any(not torch.equal(with_it[name], without[name]) for name in without)


def test_slowness_and_uniformity():
    latents = torch.randn(64, 4, 3, 2, generator=torch.Generator().manual_seed(0))
    assert float(slowness(latents, latents)) == 0
    assert float(slowness(latents, latents.roll(1, 0))) == pytest.approx(1, abs=0.05)
    alike = latents[:1] + 0.1 * latents
    assert float(uniformity(latents)) < float(uniformity(alike)) - 1


@pytest.mark.parametrize("arm", ["control", "predictable", "told-noise", "long-clips", "four-passes", "large"])
def test_the_arms_of_the_maze_are_recipes(arm: str):
    recipe, control = recipe_of(f"doom-maze-{arm}"), recipe_of("doom-maze-control")
    assert recipe is not None and control is not None and (arm == "control") == (recipe == control)
    training, long_clips = recipe.dynamics_training, recipe.dynamics_training.long_clips
    seen = training.batch * (training.length - 1)
    if long_clips:
        seen = (seen + long_clips.batch * (long_clips.length - 1)) / 2
    assert training.steps * seen == pytest.approx(2e6, rel=0.02)
    assert recipe_of("doom-maze-nothing") is None
