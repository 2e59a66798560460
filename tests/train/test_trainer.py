"""The trainer in one process: resumed equals uninterrupted, schedule, average, clock, and what it refuses."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from toy_training import Toy, toy_trainer, train_toy

from worldsim.errors import WorldsimError
from worldsim.train import trainer as trainer_module
from worldsim.train.checkpoint import read, write
from worldsim.train.draws import Draws
from worldsim.train.trainer import Trainer, learning_rate

STEPS = 12


def weights_of(model: torch.nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def stop_at(trainer: Trainer, step: int, how: Any) -> None:
    """Let `how` happen in that step, after its draws and before its update."""
    update = trainer.update

    def stopping(*batch: Any) -> dict[str, Tensor]:
        if trainer.step == step:
            how()
        return update(*batch)

    trainer.update = stopping  # type: ignore[method-assign]


def interrupt() -> None:
    raise KeyboardInterrupt


def test_resumed_equals_uninterrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole: list[float] = []
    learned = weights_of(train_toy(toy_trainer(tmp_path / "whole", STEPS), whole))
    monkeypatch.setattr(trainer_module, "SAVE_EVERY", 0.0)
    parts: list[float] = []
    killed = toy_trainer(tmp_path / "parts", STEPS)
    stop_at(killed, 10, interrupt)  # where the learning rate falls
    with pytest.raises(KeyboardInterrupt):
        train_toy(killed, parts)
    resumed = weights_of(train_toy(toy_trainer(tmp_path / "parts", STEPS), parts))
    assert parts == whole and all(torch.equal(learned[key], resumed[key]) for key in learned)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_training_saves_first(tmp_path: Path, kind: signal.Signals) -> None:
    stopped = toy_trainer(tmp_path, STEPS)
    stop_at(stopped, 0, lambda: os.kill(os.getpid(), kind))
    before = signal.getsignal(kind)
    with pytest.raises(KeyboardInterrupt):
        train_toy(stopped, [])
    assert read(tmp_path / "toy.checkpoint")[1]["step"] == 1 and signal.getsignal(kind) is before


def test_parts_of_a_batch_add_up_to_it(tmp_path: Path) -> None:
    whole, parts = ([], [])
    train_toy(toy_trainer(tmp_path / "whole", STEPS), whole)
    train_toy(toy_trainer(tmp_path / "parts", STEPS, accumulate=4), parts)
    assert parts == pytest.approx(whole, rel=2e-3)
    with pytest.raises(WorldsimError, match=r"batch of 12 does not divide by 1 processes x 5 parts .* multiple of 5"):
        toy_trainer(tmp_path / "refused", accumulate=5)


def test_what_is_learned_is_the_average_of_the_weights(tmp_path: Path) -> None:
    """As an exponential moving average, written out: its decay is (n + 1) / (n + 10) in step n."""
    trainer = toy_trainer(tmp_path, 3)
    expected, seen = weights_of(trainer.model), []

    def train_step(draws: Draws) -> dict[str, Tensor]:
        x = draws.randn(6)
        values = trainer.update((x, None), x[:, :5])
        seen.append(weights_of(trainer.model))
        return values

    learned = trainer.run(train_step, lambda step, learned: {}).state_dict()
    for n, weights in enumerate(seen):
        decay = (n + 1) / (n + 10)
        expected = {key: decay * expected[key] + (1 - decay) * weights[key] for key in weights}
    assert all(torch.allclose(learned[key], expected[key], atol=1e-6) for key in expected)
    assert any(not torch.equal(learned[key], seen[-1][key]) for key in expected)


def test_the_learning_rate_rises_stays_and_falls_once(tmp_path: Path) -> None:
    rates = [learning_rate(step, (2000 - step) / 2000) for step in range(2000)]
    assert rates[0] == pytest.approx(1 / 200) and rates[500] == rates[1400] == 1 and rates[-1] < 0.01
    assert rates[1500:] == sorted(rates[1500:], reverse=True)
    trainer = toy_trainer(tmp_path, 4)
    used: list[float] = []
    for step in range(4):
        stop_at(trainer, step, lambda: used.append(trainer.optimizers[1].param_groups[0]["lr"]))
    train_toy(trainer, [])
    assert used == pytest.approx([0.02 * learning_rate(n, (4 - n) / 4) for n in range(4)])


def test_minutes_are_a_budget_that_is_kept_over_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that each step takes a second of: the schedule follows it."""
    clock = iter(range(10_000))
    monkeypatch.setattr(trainer_module, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    trainer = toy_trainer(tmp_path, steps=0, minutes=0.5)
    shares: list[float] = []
    draws = trainer.draws

    def watched() -> Draws:
        shares.append((made := draws()).share)
        return made

    monkeypatch.setattr(trainer, "draws", watched)
    stop_at(trainer, 15, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        train_toy(trainer, [])
    assert shares[0] == 0 and shares[15] == pytest.approx(15 / 30, abs=0.1)
    rest: list[float] = []
    resumed = toy_trainer(tmp_path, steps=0, minutes=0.5)
    assert resumed.left == pytest.approx(0.5, abs=0.1)
    train_toy(resumed, rest)
    assert 8 <= len(rest) <= 16 and resumed.elapsed >= 30
    assert learning_rate(0, 0.95, timed=True) == pytest.approx(0.5)  # a tenth of the time, if 200 steps take longer
    assert read(tmp_path / "toy.checkpoint")[1]["elapsed"] == resumed.elapsed


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    train_toy(toy_trainer(tmp_path, 2), [])
    path = tmp_path / "toy.checkpoint"
    tensors, state = read(path)
    with pytest.raises(WorldsimError, match=r"trained with other settings \(batch, lr\); give another --out"):
        toy_trainer(tmp_path, 2, batch=6, lr=0.2)
    write(path, tensors, {**state, "format": 1})
    with pytest.raises(WorldsimError, match=r"toy\.checkpoint is of format 1; this worldsim goes on from 2"):
        toy_trainer(tmp_path, 2)
    write(path, {**tensors, "model.first.weight": torch.ones(9, 7)}, state)
    with pytest.raises(
        WorldsimError, match=r"another layout than this worldsim's Toy \(1 weights differ, first.weight"
    ):
        toy_trainer(tmp_path, 2)
    write(path, {**tensors, "optimizer0.0.momentum_buffer": torch.ones(3, 3)}, state)
    with pytest.raises(WorldsimError, match="optimizer0 is of another layout"):
        toy_trainer(tmp_path, 2)


def test_a_training_that_diverges_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_module, "PLOT_EVERY", 1)
    trainer = toy_trainer(tmp_path, 3)
    with pytest.raises(WorldsimError, match="training of toy diverged at step 1; lower --lr"):
        trainer.run(
            lambda draws: trainer.update((draws.randn(6), None), draws.randn(5) * float("nan")),
            lambda step, learned: {},
        )


def test_sharding_needs_processes(tmp_path: Path) -> None:
    with pytest.raises(WorldsimError, match="--fsdp shards over processes; start several: torchrun"):
        toy_trainer(tmp_path, fsdp=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_on_a_gpu_it_learns_what_it_does_on_a_cpu(tmp_path: Path) -> None:
    from worldsim.device import choose_device, policy_of

    cpu, gpu = [], []
    train_toy(toy_trainer(tmp_path / "cpu", STEPS), cpu)
    trainer = toy_trainer(tmp_path / "gpu", STEPS, device=choose_device("cuda"))
    learned = train_toy(trainer, gpu)
    assert isinstance(learned, Toy) and learned.first.weight.device.type == "cuda"
    assert gpu == pytest.approx(cpu, rel=5e-3)
    assert policy_of(choose_device("cuda")).fits(2**20) and not policy_of(choose_device("cuda")).fits(2**50)
    resumed = toy_trainer(tmp_path / "gpu", STEPS)  # a checkpoint of a GPU goes on anywhere
    assert resumed.step == STEPS
