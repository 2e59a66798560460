"""Large frames from few cells, and the training of the decoder alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from square import AUTOENCODER, EAGER, SIZE, SPEC, weights
from tiny import tiny_spec

from worldsim.cli.main import main
from worldsim.data.recording import Episode, Recording, RecordingWriter
from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import Autoencoder, AutoencoderConfig, Decoder, LargeFrames, enlarged
from worldsim.models.sampling import Sampling
from worldsim.models.world_model import WorldModel
from worldsim.runtime.bundle import open_world
from worldsim.runtime.session import Session
from worldsim.train.checkpoint import load_autoencoder, save_model
from worldsim.train.decoder import DecoderLoss, DecoderTraining, Players, train_decoder
from worldsim.train.generated import GeneratedFrames

LARGE = AutoencoderConfig(channels=4, widths=(16, 24), blocks=1, large=LargeFrames(2, (16, 16, 24), 1))


def test_twice_the_pixels_of_as_many_cells():
    small = dataclasses.replace(LARGE, large=None)
    assert LARGE.latent_shape(96, 128) == small.latent_shape(48, 64) == (4, 6, 8)
    network = Autoencoder(LARGE).eval()
    latents = network.encode(torch.zeros(2, 3, 96, 128))
    assert latents.shape == (2, 4, 6, 8) and network.decode(latents).shape == (2, 3, 96, 128)
    assert AutoencoderConfig.from_json(dataclasses.asdict(LARGE)) == LARGE
    with pytest.raises(WorldsimError, match="can't draw cells of 16 pixels"):
        dataclasses.replace(LARGE, large=LargeFrames(2, (8,) * 6))


@pytest.mark.parametrize("large", [None, LargeFrames(2, (16, 16, 24), 1)])
def test_an_enlarged_one_makes_the_same_latents_and_the_same_pictures(large: LargeFrames | None):
    torch.manual_seed(0)
    network = Autoencoder(dataclasses.replace(LARGE, large=large)).eval()
    pixels = torch.rand(2, 3, 32, 48) * 2 - 1

    def twice(values: torch.Tensor) -> torch.Tensor:
        return values.repeat_interleave(2, -1).repeat_interleave(2, -2)

    bigger = enlarged(network, 2)
    latents = network.encode(pixels)
    noise = torch.rand(2, 3, 32, 48, 2, 2)
    fine = twice(pixels) + (noise - noise.mean((-2, -1), keepdim=True)).movedim(-2, 3).reshape(2, 3, 64, 96)
    for seen in (twice(pixels), fine):  # what is finer than the old pixels makes no difference
        torch.testing.assert_close(bigger.encode(seen), latents, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(bigger.decode(latents), twice(network.decode(latents)), atol=1e-6, rtol=1e-5)
    assert not bigger.training and bigger.config.factor == 2 * network.config.factor
    assert enlarged(network, 1) is network
    with pytest.raises(WorldsimError, match="powers of two, not by 3"):
        enlarged(network, 3)


def test_a_large_one_is_saved_and_loaded(recording: Recording, tmp_path: Path):
    network = Autoencoder(LARGE).eval()
    save_model(tmp_path / "autoencoder.safetensors", network, recording.spec)
    again, _ = load_autoencoder(tmp_path / "autoencoder.safetensors")
    assert again.config == LARGE


def test_each_player_learns_of_its_own_loss_alone():
    torch.manual_seed(0)
    players = Players(Decoder(LARGE))
    latents, pixels = torch.randn(3, 4, 3, 2), torch.rand(3, 3, 48, 32) * 2 - 1

    def gradients(**changed: float) -> tuple[float, float]:
        players.zero_grad()
        DecoderLoss(players, DecoderTraining(**changed))(latents, pixels)["loss"].backward()
        parts = players.decoder, players.discriminator
        return tuple(float(sum(p.grad.square().sum() for p in part.parameters())) for part in parts)  # type: ignore

    (calm, judge), (keen, same_judge) = gradients(adversarial=0.0), gradients(adversarial=50.0)
    assert keen != calm and judge == pytest.approx(same_judge) and judge > 0


def test_the_encoder_stays_and_the_decoder_learns(
    recording: Recording, autoencoder: Autoencoder, run: Path, tmp_path: Path
):
    training = DecoderTraining(steps=4, batch=4, frames=256)
    learned = train_decoder(recording, autoencoder, tmp_path, training, EAGER)
    before, after = (weights(folder / "autoencoder.safetensors") for folder in (run, tmp_path))
    assert learned.config == AUTOENCODER
    assert all(torch.equal(before[k], after[k]) for k in before if not k.startswith("decoder."))
    assert any(not torch.equal(before[k], after[k]) for k in before if k.startswith("decoder."))
    assert (tmp_path / "decoder.png").is_file()
    again = train_decoder(recording, autoencoder, tmp_path, training, EAGER)  # goes on: there is nothing left to do
    assert all(torch.equal(a, b) for a, b in zip(learned.parameters(), again.parameters(), strict=True))


@pytest.fixture(scope="module")
def generated(recording: Recording, autoencoder: Autoencoder, tmp_path_factory) -> GeneratedFrames:
    config = SIZE.fit(autoencoder.config.latent_shape(SPEC.height, SPEC.width), len(SPEC.actions), 1)
    torch.manual_seed(0)
    return GeneratedFrames(recording, autoencoder, WorldModel(config).eval(), Sampling((0.0, 0.5)), 512)


def test_generated_frames_stand_beside_those_that_were_there(recording: Recording, generated: GeneratedFrames):
    assert len(generated.latents) == len(generated.frames) == 512
    there = {frame.tobytes() for start, end in recording.episodes("train") for frame in recording.frames[start:end]}
    assert all(frame.tobytes() in there for frame in generated.frames)
    made, frames = generated.draw(8, 0, 3)
    again, _ = generated.draw(8, 0, 3)
    assert made.shape == (8, 4, 4, 6) and frames.shape == (8, 32, 48, 3) and (made == again).all()


def test_generated_frames_are_those_that_the_actions_led_to(
    recording: Recording, autoencoder: Autoencoder, monkeypatch: pytest.MonkeyPatch
):
    """The square stands where the last real frame had it, two pixels further for each step to the right since."""
    shown: list[np.ndarray] = []
    taken: list[np.ndarray] = []

    class Watched(Session):
        def reset(self, frames, actions, seeds):
            shown.append(frames[:, -1])
            return super().reset(frames, actions, seeds)

        def step(self, state, actions):
            taken.append(actions)
            return super().step(state, actions)

    monkeypatch.setattr("worldsim.train.generated.Session", Watched)
    config = SIZE.fit(autoencoder.config.latent_shape(SPEC.height, SPEC.width), len(SPEC.actions), 1)
    made = GeneratedFrames(recording, autoencoder, WorldModel(config).eval(), Sampling((0.0,)), 512)
    (last,) = shown
    place = left_of(last)
    for ahead, actions in enumerate(taken):
        place = (place + 2 * actions) % 44
        frames = made.frames[ahead * len(place) : (ahead + 1) * len(place)]
        assert np.array_equal(left_of(frames), place), ahead


def left_of(frames: np.ndarray) -> np.ndarray:
    """Column of the square's left side in each frame."""
    return frames[:, 13, :, 0].argmax(1)


def test_a_decoder_learns_to_draw_what_a_world_model_generates(
    recording: Recording, autoencoder: Autoencoder, generated: GeneratedFrames, tmp_path: Path
):
    """The frames of the recording are dark; what this world model makes of them is all zeros, where it was white."""
    generated.latents[:], generated.frames[:] = 0, 255
    training = DecoderTraining(steps=150, batch=8, lr=3e-3, frames=256, adversarial=0.0)
    noised = train_decoder(recording, autoencoder, tmp_path / "noised", training, EAGER)
    taught = train_decoder(recording, autoencoder, tmp_path / "taught", training, EAGER, lambda: generated)
    zeros = torch.zeros(1, 4, 4, 6)
    assert noised.decode(zeros).mean() < -0.5 and taught.decode(zeros).mean() > 0


def test_the_command_generates_what_its_decoder_learns(
    recording: Recording, autoencoder: Autoencoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    save_model(tmp_path / "autoencoder.safetensors", autoencoder, recording.spec)
    command = ["train", "decoder", "--recording", str(recording.path), "--out", str(tmp_path), "--steps", "2"]
    assert main([*command, "--generated"]) == 2
    assert "dynamics.safetensors" in capsys.readouterr().err
    config = SIZE.fit(autoencoder.config.latent_shape(SPEC.height, SPEC.width), len(SPEC.actions), 1)
    save_model(tmp_path / "dynamics.safetensors", WorldModel(config), recording.spec)
    assert main([*command, "--generated"]) == 0 and (tmp_path / "decoder.png").is_file()
    assert main(command) == 2, "a training that began with generated frames does not go on without them"


@pytest.mark.parametrize("way", [0.0, 0.5])
def test_a_decoder_goes_part_of_the_way(recording: Recording, autoencoder: Autoencoder, tmp_path: Path, way: float):
    training = DecoderTraining(steps=4, batch=4, frames=256)
    whole = train_decoder(recording, autoencoder, tmp_path / "whole", training, EAGER)
    part = dataclasses.replace(training, interpolation=way)
    train_decoder(recording, autoencoder, tmp_path / "part", dataclasses.replace(part, steps=2), EAGER)
    there, _ = load_autoencoder(tmp_path / "part" / "autoencoder.safetensors")
    found = train_decoder(recording, there, tmp_path / "part", part, EAGER)  # goes on from what the first half wrote
    first, last = autoencoder.decoder.state_dict(), whole.decoder.state_dict()
    for name, weight in found.decoder.state_dict().items():
        assert torch.allclose(weight, first[name].lerp(last[name], way), atol=1e-6), name


def test_short_episodes_are_enough(autoencoder: Autoencoder, tmp_path: Path):
    writer = RecordingWriter(tmp_path / "short", SPEC)
    for _ in range(10):
        frames = np.zeros((6, 32, 48, 3), np.uint8)
        writer.append(
            Episode(frames, np.array([0] * 5 + [-1]), np.zeros(6), np.zeros(6, bool), np.zeros((6, 1), np.float32))
        )
    config = SIZE.fit(autoencoder.config.latent_shape(SPEC.height, SPEC.width), len(SPEC.actions), 1)
    made = GeneratedFrames(Recording(tmp_path / "short"), autoencoder, WorldModel(config).eval(), Sampling((0.0,)), 64)
    assert len(made.frames) == len(made.latents) > 0


def test_a_narrow_decoder_takes_the_place_of_the_wide_one(
    recording: Recording, autoencoder: Autoencoder, run: Path, tmp_path: Path
):
    command = ["train", "decoder", "--recording", str(recording.path), "--out", str(tmp_path), "--steps", "3"]
    save_model(tmp_path / "autoencoder.safetensors", autoencoder, recording.spec)
    narrow = [*command, "--decoder-widths", *("8" for _ in AUTOENCODER.widths)]
    assert main(narrow) == 0
    learned, _ = load_autoencoder(tmp_path / "autoencoder.safetensors")
    size = sum(p.numel() for p in learned.decoder.parameters())
    assert size < sum(p.numel() for p in autoencoder.decoder.parameters())
    before, after = (weights(folder / "autoencoder.safetensors") for folder in (run, tmp_path))
    kept = [k for k in before if not k.startswith("decoder.")]
    assert kept and all(torch.equal(before[k], after[k]) for k in kept)
    assert main(narrow) == 0  # goes on: there is nothing left to do
    again, _ = load_autoencoder(tmp_path / "autoencoder.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(learned.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    ("what", "flags", "message"),
    [
        ("dynamics", ["--decoder-widths", "16"], "is for worldsim train decoder"),
        ("decoder", ["--decoder-widths", "12"], "multiples of 8"),
        ("dynamics", ["--generated"], "--generated is for worldsim train decoder"),
    ],
)
def test_flags_of_the_decoder_that_are_not_possible(
    recording: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str, flags: list[str], message: str
):
    command = ["train", what, "--recording", str(recording.path), "--out", str(tmp_path), *flags]
    assert main(command) == 2
    assert message in capsys.readouterr().err


def test_the_command_needs_an_autoencoder(recording: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    command = ["train", "decoder", "--recording", str(recording.path), "--out", str(tmp_path / "run"), "--steps", "2"]
    assert main(command) == 2
    assert "autoencoder.safetensors" in capsys.readouterr().err


def test_a_generated_world_gets_larger_frames(
    tiny_world: Path, recording: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Of twice the pixels, with the dynamics that it has, and it can be exported and played."""
    spec = dataclasses.replace(tiny_spec(), height=64, width=96)
    writer, rng = RecordingWriter(tmp_path / "large", spec), np.random.default_rng(0)
    for _ in range(12):
        frames, none = rng.integers(0, 256, (60, 64, 96, 3), np.uint8), np.zeros(60)
        keys = np.append(rng.integers(0, 3, 59), -1)
        writer.append(Episode(frames, keys, none, none.astype(bool), np.zeros((60, 0), np.float32)))
    run, world = tmp_path / "run", tmp_path / "world"
    command = ["train", "decoder", "--weights", str(tiny_world), "--recording", str(tmp_path / "large"), "--out"]
    command += [str(run), "--decoder-widths", "8", "8", "16", "--generated", "--steps", "2", "--batch", "2"]
    assert main(command) == 0 and main(command) == 0  # again: there is nothing left to do
    theirs = open_world(tiny_world)
    for name, weight in weights(run / "dynamics.safetensors").items():
        assert torch.equal(weight, torch.from_numpy(theirs.weights()[f"world_model.{name}"])), name
    assert main(["export", str(run), "--recording", str(tmp_path / "large"), "--out", str(world), "--starts", "2"]) == 0
    made = open_world(world)
    assert (made.spec.height, made.spec.width) == (64, 96) and made.sampling == theirs.sampling
    assert made.starts.frames.shape[2:4] == (64, 96)
    capsys.readouterr()
    with RecordingWriter(tmp_path / "odd", dataclasses.replace(spec, width=128)) as writer:
        writer.append(
            Episode(np.zeros((60, 64, 128, 3), np.uint8), keys, none, none.astype(bool), np.zeros((60, 0), np.float32))
        )
    for other, message in ((recording.path, "is of 'square'"), (tmp_path / "odd", "record at 96x64 or so many times")):
        assert main([*command[:5], str(other), *command[6:]]) == 2
        assert message in capsys.readouterr().err
