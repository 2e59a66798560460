"""Training for few passes, from the command line to a bundle's worth of weights: what learns, what stays."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from square import EAGER, EVERYTHING, SIZE, SPEC, TRAINING, record_square, weights

from worldsim.cli import few_step
from worldsim.cli.main import main
from worldsim.cli.trained import open_trained
from worldsim.cli.worlds import recipe_of
from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import Autoencoder
from worldsim.models.config import WorldModelConfig
from worldsim.models.flow import add_noise
from worldsim.models.sampling import Sampling
from worldsim.models.step import WorldStep
from worldsim.models.world_model import Features, WorldModel
from worldsim.train import trainer as trainer_module
from worldsim.train.checkpoint import load_world_model, save_model
from worldsim.train.distill.slow_time import with_slow_time
from worldsim.train.distill.student import HeadBatch, MeanFlow, Student
from worldsim.train.few_step import FewStepTraining, MethodName, train_few_step
from worldsim.train.run import RunRecord
from worldsim.train.trainer import Trainer

FEW = FewStepTraining(dataclasses.replace(TRAINING, self_rollout_start=0.0), steps=6, lr=1e-3, passes=2)
SCHEDULES = {"segment": (0.0, 0.5), "scm": (0.0,), "meanflow": (0.0, 0.5)}


def teacher_of(autoencoder: Autoencoder, size: WorldModelConfig = SIZE) -> WorldStep:
    """An untrained world, with no weight left at zero."""
    torch.manual_seed(0)
    shape = autoencoder.config.latent_shape(SPEC.height, SPEC.width)
    model = WorldModel(size.fit(shape, len(SPEC.actions), 1))
    for weight in model.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    return WorldStep(autoencoder, model.eval(), Sampling((0.0, 0.3, 0.6)))


@pytest.mark.parametrize("method", SCHEDULES)
def test_only_the_denoiser_learns(
    method: MethodName, recording: Recording, autoencoder: Autoencoder, tmp_path: Path
) -> None:
    world = teacher_of(autoencoder)
    before = {k: v.clone() for k, v in world.world_model.state_dict().items()}
    training = dataclasses.replace(FEW, method=method, schedule=SCHEDULES[method])
    made = train_few_step(recording, world, tmp_path, training, EAGER)
    after = made.state_dict()
    assert after.keys() == before.keys()  # plain weights: what else was learned is folded
    assert all(torch.equal(v, before[k]) for k, v in after.items() if not k.startswith("denoiser."))
    assert not torch.equal(after["denoiser.token_out.weight"], before["denoiser.token_out.weight"])
    assert all(torch.equal(v, before[k]) for k, v in world.world_model.state_dict().items())  # nor the teacher
    loaded, spec = load_world_model(tmp_path / "dynamics.safetensors")
    assert spec == SPEC and loaded.config == made.config
    assert loaded.config.dit.tau_octaves == ((0.0, 8.0) if method == "segment" else (-1.0, 3.0))


def test_every_part_of_a_world_can_be_distilled(tmp_path: Path, autoencoder: Autoencoder) -> None:
    """Candidates to copy, memory, view and motion prior: the derivative goes through the refiner and the gates."""
    recording = record_square(tmp_path / "recording")
    size = dataclasses.replace(EVERYTHING, copy=dataclasses.replace(EVERYTHING.copy, hidden_layer=False))
    world = teacher_of(autoencoder, size)
    before = world.world_model.state_dict()["refiner.out.weight"].clone()
    training = dataclasses.replace(FEW, method="scm", schedule=(0.0,), steps=2)
    made = train_few_step(recording, world, tmp_path, training, EAGER)
    assert not torch.equal(made.state_dict()["refiner.out.weight"], before)
    assert torch.equal(made.state_dict()["pose.log_prob"], world.world_model.state_dict()["pose.log_prob"])


def test_resumed_equals_uninterrupted(
    recording: Recording, autoencoder: Autoencoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = teacher_of(autoencoder)
    training = dataclasses.replace(FEW, method="meanflow")
    train_few_step(recording, world, tmp_path / "whole", training, EAGER)
    monkeypatch.setattr(trainer_module, "SAVE_EVERY", 0.0)
    update = Trainer.update

    def killed_at_three(self: Trainer, *batch: Any) -> dict[str, torch.Tensor]:
        if self.step == 3:
            raise KeyboardInterrupt
        return update(self, *batch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "update", killed_at_three)
        train_few_step(recording, world, tmp_path / "parts", training, EAGER)
    train_few_step(recording, world, tmp_path / "parts", training, EAGER)
    whole, parts = (weights(tmp_path / name / "dynamics.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[k], parts[k]) for k in whole)
    other = teacher_of(autoencoder)
    other.world_model.denoiser.token_out.bias.data += 1
    with pytest.raises(WorldsimError, match="other settings .teacher"):
        train_few_step(recording, other, tmp_path / "parts", training, EAGER)


def test_a_folded_span_is_the_students_own_pass(autoencoder: Autoencoder) -> None:
    model = teacher_of(autoencoder).world_model
    method = MeanFlow(model, (0.0, 0.5), distill=True)
    torch.nn.init.normal_(method.embedding.net[-1].weight)
    student = Student(model, method)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(3, 2, *model.to_tokens(torch.zeros(model.config.latent_shape)).shape, generator=generator)
    features, _ = model.encode_context(tokens, torch.ones(3, 2, dtype=torch.int64))
    last: Features = features.map(lambda part: part[:, -1])
    tau, span = torch.full((3,), 0.2), torch.full((3,), 0.5)
    noisy = add_noise(
        tokens[:, 1], torch.randn(tokens[:, 1].shape, generator=generator), tau[:, None].expand(3, tokens.shape[2])
    )
    nothing = (noisy,) * 3
    batch = HeadBatch(last, tokens[:, 1], *nothing, tau, span, noisy, tau, tau, noisy)
    own, plain = student.denoise(batch, noisy, tau, span), student.plain().denoise(last, tokens[:, 1], noisy, tau)
    torch.testing.assert_close(own.clean, plain.clean)
    assert not torch.allclose(plain.clean, model.denoise(last, tokens[:, 1], noisy, tau).clean, atol=1e-3)


def test_a_slow_embedding_predicts_as_the_fast_one_did(autoencoder: Autoencoder) -> None:
    """And its derivative by the signal level is a small part of the fast one's."""
    model = teacher_of(autoencoder).world_model
    slow, left = with_slow_time(model)
    assert slow.config.dit.tau_octaves == (-1.0, 3.0) and model.config.dit.tau_octaves == (0.0, 8.0)
    assert 0 < left < 1
    tau = torch.rand(64, generator=torch.Generator().manual_seed(0))

    def fastest(denoiser: torch.nn.Module) -> float:
        _, derivative = torch.func.jvp(lambda t: denoiser.tau_modulation(denoiser.tau(t)), (tau,), (torch.ones(64),))
        return float(derivative.norm())

    assert fastest(slow.denoiser) < 0.3 * fastest(model.denoiser)
    again, nothing = with_slow_time(slow)
    assert nothing == 0 and again.config == slow.config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "scm"}, "scm learns one pass"),
        ({"method": "meanflow", "schedule": (0.0, 0.3)}, "equal steps"),
        ({"distill": False}, "no training without a teacher"),
    ],
)
def test_settings_that_do_not_go_together(
    change: dict[str, Any], message: str, recording: Recording, autoencoder: Autoencoder, tmp_path: Path
) -> None:
    with pytest.raises(WorldsimError, match=message):
        train_few_step(recording, teacher_of(autoencoder), tmp_path, dataclasses.replace(FEW, **change), EAGER)


def test_the_command_distils_a_run_and_leaves_one_to_export(
    recording: Recording,
    autoencoder: Autoencoder,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = dataclasses.replace(recipe_of("doom-maze"), dynamics_training=TRAINING)
    monkeypatch.setattr(few_step, "recipe_for", lambda spec: ("doom-maze", short))
    world = teacher_of(autoencoder)
    teacher, out = tmp_path / "teacher", tmp_path / "fast"
    save_model(teacher / "autoencoder.safetensors", autoencoder, SPEC)
    save_model(teacher / "dynamics.safetensors", world.world_model, SPEC)
    RunRecord("doom-maze", Sampling((0.0, 0.3, 0.6), 1.1), ends=0.45).write(teacher)
    command = ["train", "few-step", str(teacher), "--recording", str(recording.path), "--out", str(out)]
    flags = ["--steps", "1", "--batch", "1", "--passes", "2", "--device", "cpu", "--no-compile"]
    assert main([*command, *flags]) == 0
    assert "worldsim export" in capsys.readouterr().out
    record = RunRecord.read(out)
    assert (record.sampling, record.ends) == (Sampling((0.0, 0.5), 1.1), 0.45)
    step = open_trained(str(out)).step
    assert step.sampling.schedule == (0.0, 0.5)
    assert torch.equal(step.world_model.encoder.registers, world.world_model.encoder.registers)


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["--schedule", "0.5", "0"], "rises from 0"), (["--passes", "3"], "an even number"), (["--lr", "0"], "above 0")],
)
def test_wrong_flags_are_one_error(
    flags: list[str], message: str, recording: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "few-step", "doom-maze", "--recording", str(recording.path), "--out", str(tmp_path)]
    assert main([*command, *flags]) == 2
    assert message in capsys.readouterr().err
