"""The training of the dynamics, and of the motion prior before it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from square import AUTOENCODER, AUTOENCODER_TRAINING, EAGER, EVERYTHING, SIZE, SPEC, TRAINING, record_square, weights
from tiny import tiny_networks

from worldsim.cli.main import main
from worldsim.data.latents import LatentDataset, PastFrames
from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError
from worldsim.evals.instruments.training_speed import noise_batch
from worldsim.models.autoencoder import Autoencoder, to_pixels
from worldsim.models.config import WorldModelConfig
from worldsim.models.copy_head import CopyConfig
from worldsim.models.dit import DiTConfig
from worldsim.models.flow import pseudo_huber
from worldsim.models.memory import MemoryConfig
from worldsim.models.view_memory import ViewMemoryConfig
from worldsim.models.world_model import WorldModel
from worldsim.train import trainer as trainer_module
from worldsim.train.autoencoder import train_autoencoder
from worldsim.train.checkpoint import load_world_model, read
from worldsim.train.dynamics import ClipLoss, DynamicsTraining, train_dynamics
from worldsim.train.motion import MotionTraining
from worldsim.train.self_rollout import diverged_tokens
from worldsim.train.trainer import Trainer

MEMORY = MemoryConfig(((4, 1), (16, 2)), read_layers=(0,))


def fit(size: WorldModelConfig, autoencoder: Autoencoder) -> WorldModelConfig:
    """A world model for the square."""
    return size.fit(autoencoder.config.latent_shape(SPEC.height, SPEC.width), len(SPEC.actions), 1)


@pytest.mark.parametrize("memory", [None, MEMORY])
def test_resumed_equals_uninterrupted(
    recording: Recording,
    autoencoder: Autoencoder,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    memory: MemoryConfig | None,
) -> None:
    config = fit(dataclasses.replace(SIZE, memory=memory), autoencoder)
    training = dataclasses.replace(TRAINING, event_share=0.5 if memory else 0.0)

    def train(folder: str) -> None:
        train_dynamics(recording, autoencoder, tmp_path / folder, config, training, cache=run, options=EAGER)

    train("whole")
    monkeypatch.setattr(trainer_module, "SAVE_EVERY", 0.0)
    update = Trainer.update

    def killed_at_five(self: Trainer, *batch: Any) -> dict[str, torch.Tensor]:
        if self.step == 5:
            raise KeyboardInterrupt
        return update(self, *batch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "update", killed_at_five)
        train("parts")
    assert read(tmp_path / "parts" / "dynamics.checkpoint")[1]["step"] == 5
    train("parts")
    whole, parts = (weights(tmp_path / name / "dynamics.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[k], parts[k]) for k in whole)
    model, spec = load_world_model(tmp_path / "parts" / "dynamics.safetensors")
    assert spec == SPEC and model.config == config
    assert len(list((tmp_path / "parts").glob("strip-*.png"))) == 1
    assert list((tmp_path / "parts" / "curves" / "dynamics").iterdir())


def test_several_noised_versions_of_a_frame_count_as_each_alone() -> None:
    torch.manual_seed(0)
    model = tiny_networks()[1].requires_grad_(False)
    loss, one = ClipLoss(model, DynamicsTraining()), noise_batch(model.config, 2, 3)
    shape = list(one.noise.shape)
    shape[2] = 3
    three = one._replace(noise=torch.randn(shape), tau=torch.rand(2, 3, 3))
    alone = [loss(*one._replace(noise=three.noise[:, :, k : k + 1], tau=three.tau[:, :, k : k + 1])) for k in range(3)]
    together = loss(*three)
    for key in ("loss", "latent", "reward", "cont"):
        torch.testing.assert_close(together[key], torch.stack([part[key] for part in alone]).mean())
    assert alone[0]["latent"] != alone[1]["latent"]


def test_clips_nearly_as_long_as_an_episode(
    recording: Recording, autoencoder: Autoencoder, run: Path, tmp_path: Path
) -> None:
    training = dataclasses.replace(TRAINING, steps=2, length=14, self_rollout_start=0.0, self_rollout_max=500)
    train_dynamics(recording, autoencoder, tmp_path, fit(SIZE, autoencoder), training, cache=run, options=EAGER)
    assert read(tmp_path / "dynamics.checkpoint")[1]["step"] == 2


def test_what_can_not_be_learned_is_refused(
    recording: Recording, autoencoder: Autoencoder, run: Path, tmp_path: Path
) -> None:
    def error(**changed: Any) -> str:
        with pytest.raises(WorldsimError) as raised:
            training = dataclasses.replace(TRAINING, **changed)
            config = fit(SIZE, autoencoder)
            train_dynamics(recording, autoencoder, tmp_path, config, training, cache=run, options=EAGER)
        return str(raised.value)

    assert "have no tail to learn; they have encoder, " in error(learns=("denoiser", "tail"))
    assert "nothing happens in it that clips could be drawn by" in error(event_share=0.5, events=("reward",))
    assert "no episode is as long" in error(length=500)
    assert not list(tmp_path.glob("*.checkpoint"))


@pytest.fixture(scope="module")
def two_layers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recording, Path]:
    """A recording with a hidden layer, and a folder with a trained autoencoder of it."""
    recording = record_square(tmp_path_factory.mktemp("recordings") / "layers", hidden_layer=True)
    out = tmp_path_factory.mktemp("layers")
    config = dataclasses.replace(AUTOENCODER, hidden_layer=True)
    train_autoencoder(recording, out, config, AUTOENCODER_TRAINING, EAGER)
    return recording, out


def test_a_world_learns_its_hidden_layer_and_how_things_move(
    two_layers: tuple[Recording, Path], recording: Recording, tmp_path: Path
) -> None:
    from worldsim.train.checkpoint import load_autoencoder

    layered, folder = two_layers
    learned, _ = load_autoencoder(folder / "autoencoder.safetensors")
    with pytest.raises(WorldsimError, match="has no hidden layer"):
        LatentDataset(recording, learned, tmp_path / "untold")
    latents, *_ = LatentDataset(layered, learned, folder)[np.array([[100, 101]])]
    for frame, both in zip((100, 101), latents[0], strict=True):
        for picture, part in zip((layered.frames[frame], layered.hidden_layer[frame]), both.split(4), strict=True):
            alone = learned.encode(to_pixels(torch.from_numpy(picture[None])))[0, :4]
            torch.testing.assert_close(part, alone, atol=2e-2, rtol=2e-2)
    config = fit(EVERYTHING, learned)
    assert config.layers == 2
    motion = MotionTraining(steps=8, batch=2, length=2, lead=3)
    training = dataclasses.replace(
        TRAINING, hidden_unknown=0.5, event_share=0.5, events=("action", "hidden"), motion=motion
    )
    model = train_dynamics(layered, learned, tmp_path, config, training, cache=folder, options=EAGER)
    assert model.config == config and all(w.isfinite().all() for w in model.parameters())
    alone = weights(tmp_path / "motion.checkpoint")
    assert torch.equal(model.motion.first.weight, alone["average.first.weight"])  # the rest learns, this stays


def test_of_some_clips_the_hidden_layer_is_not_known(autoencoder: Autoencoder) -> None:
    size = dataclasses.replace(SIZE, copy=CopyConfig(reach=1, hidden_layer=True), memory=MEMORY)
    model = WorldModel(size.fit((8, 8, 12), 2))
    latents, none = torch.randn(2, 3, *model.config.latent_shape), torch.zeros(2, 3).long()
    past = PastFrames(latents, latents + 1, none, none, None).to_tokens(model)
    seen = past.without_hidden_layer(model, torch.tensor([False, True]))
    for before, after in ((past.before, seen.before), (past.after, seen.after)):
        first, second = model.to_latents(after).chunk(2, dim=2)
        assert torch.equal(before[0], after[0]) and torch.equal(first[1], second[1])
        assert torch.equal(first, model.to_latents(before).chunk(2, dim=2)[0])


@pytest.mark.slow
def test_where_a_view_that_turns_headed_and_went_is_told_from_its_pictures(tmp_path: Path) -> None:
    """In the rooms, whose picture a turn shifts by a cell: no pose is read, and all are found but for a few."""
    rooms = tmp_path / "rooms"
    assert main(["record", "rooms", "--frames", "800", "--episode-frames", "80", "--out", str(rooms)]) == 0
    recording = Recording(rooms)
    autoencoder = train_autoencoder(
        recording, tmp_path, dataclasses.replace(AUTOENCODER, widths=(16,)), AUTOENCODER_TRAINING, EAGER
    )
    size = dataclasses.replace(
        SIZE, copy=CopyConfig(reach=1), memory=MEMORY, view=ViewMemoryConfig(max_shift=1, ring_columns=60)
    )
    spec = recording.spec
    config = size.fit(
        autoencoder.config.latent_shape(spec.height, spec.width), len(spec.actions), len(spec.state_names)
    )
    training = dataclasses.replace(TRAINING, steps=3, self_rollout_start=0.5)
    model = train_dynamics(recording, autoencoder, tmp_path, config, training, options=EAGER)
    clips = LatentDataset(recording, autoencoder, tmp_path)
    clips.find_poses(model.pose)
    sin, cos = (np.asarray(recording.state)[:, spec.state_names.index(name)] for name in ("sin", "cos"))
    heading = np.rint(np.arctan2(sin, cos) * 60 / (2 * np.pi)).astype(int)
    within = np.flatnonzero(np.asarray(recording.actions)[:-1] >= 0)
    turned = (np.diff(heading)[within] + 30) % 60 - 30
    assert len(np.unique(turned)) == 3
    assert (np.diff(clips.poses[:, 0].numpy())[within] == -turned).mean() > 0.99  # poses go to the right
    x, y = (np.asarray(recording.state)[:, spec.state_names.index(name)] for name in "xy")
    walked = np.hypot(np.diff(x), np.diff(y))[within] > 0.07
    stepped = np.hypot(*np.diff(clips.poses[:, 1:].numpy(), axis=0)[within].T) > 0.5
    assert (walked == stepped).mean() > 0.95


@pytest.mark.slow
def test_it_learns(recording: Recording, tmp_path: Path) -> None:
    """Some seconds are enough to say where the square goes better than copying does, and only with the true action."""
    steps = dataclasses.replace(AUTOENCODER_TRAINING, steps=150, batch=16, lr=3e-3, mask=0.0)
    autoencoder = train_autoencoder(recording, tmp_path, AUTOENCODER, steps, EAGER)
    training = dataclasses.replace(TRAINING, steps=250, batch=8, lr=3e-3)
    train_dynamics(recording, autoencoder, tmp_path, fit(SIZE, autoencoder), training, options=EAGER)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curves = EventAccumulator(str(tmp_path / "curves" / "dynamics"))
    curves.Reload()
    last = {
        k: curves.Scalars(f"dynamics/{k}")[-1].value
        for k in ("held_out_next_frame", "held_out_next_frame_wrong_action", "held_out_copy_last")
    }
    assert last["held_out_next_frame"] < 0.7 * last["held_out_copy_last"]
    assert last["held_out_next_frame"] < 0.7 * last["held_out_next_frame_wrong_action"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_the_whole_way_on_a_gpu(two_layers: tuple[Recording, Path], tmp_path: Path) -> None:
    from worldsim.train.checkpoint import load_autoencoder

    recording, folder = two_layers
    learned, _ = load_autoencoder(folder / "autoencoder.safetensors")
    options = dataclasses.replace(EAGER, device=torch.device("cuda:0"))
    motion = MotionTraining(steps=8, batch=2, length=2, lead=3)
    training = dataclasses.replace(TRAINING, event_share=0.5, events=("action", "hidden"), motion=motion)
    config = fit(EVERYTHING, learned)
    model = train_dynamics(recording, learned, tmp_path, config, training, options=options)
    assert all(w.isfinite().all() and w.device.type == "cuda" for w in model.parameters())
    shutil.copy(folder / "autoencoder.safetensors", tmp_path)
    assert load_world_model(tmp_path / "dynamics.safetensors")[0].config == config


def test_a_token_has_diverged_where_a_cell_of_it_differs_and_beside_it() -> None:
    config = WorldModelConfig(dit=DiTConfig(patch_size=(2, 2))).fit((5, 6, 8), 2)  # 3 x 4 tokens, 5 channels x 4 cells
    clean = torch.zeros(1, 2, 12, 20)
    own = clean.clone()
    own[0, 1, 0, 3::4] = 1.0  # the last cell of the first token
    own[0, 1, 11] = 0.5  # all of the last one, but none by much
    diverged = diverged_tokens(own, clean, 0.5, config)
    assert not diverged[0, 0].any()
    assert diverged[0, 1].nonzero().flatten().tolist() == [0, 1, 4, 5]


@pytest.mark.parametrize(("bend", "least"), [(0.0, 0.25), (0.05, 0.0)])
def test_what_comes_in_two_ways_is_averaged_or_decided(bend: float, least: float) -> None:
    targets, guesses = torch.tensor([0.0, 0.0, 0.0, 1.0]), torch.linspace(0, 1, 101)
    losses = pseudo_huber((guesses[:, None] - targets).square(), bend).mean(1)
    assert guesses[losses.argmin()] == pytest.approx(least, abs=0.03)
    assert pseudo_huber(torch.tensor(1e-6), bend) == pytest.approx(1e-6, rel=1e-2)


def test_scrolling_takes_an_autoencoder_that_learned_it(recording: Recording, autoencoder: Autoencoder, tmp_path: Path):
    config = fit(dataclasses.replace(SIZE, copy=CopyConfig(shifts=True)), autoencoder)
    with pytest.raises(WorldsimError, match="learned shifts"):
        train_dynamics(recording, autoencoder, tmp_path, config, TRAINING, options=EAGER)


def test_a_palette_begins_with_kinds_of_the_recording(recording: Recording, autoencoder: Autoencoder, tmp_path: Path):
    config = fit(dataclasses.replace(SIZE, copy=CopyConfig(palette=4)), autoencoder)
    training = dataclasses.replace(TRAINING, steps=2, lr=1e-5)
    model = train_dynamics(recording, autoencoder, tmp_path, config, training, options=EAGER)
    kinds = LatentDataset(recording, autoencoder, tmp_path).kinds_of_cells(4, training.seed)
    torch.testing.assert_close(model.palette.cells, torch.from_numpy(kinds), atol=1e-3, rtol=0)
