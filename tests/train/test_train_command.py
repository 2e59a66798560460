"""`worldsim train`: flags, whole recipes, several processes, and what it says at the end."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from square import AUTOENCODER, AUTOENCODER_TRAINING, SIZE, SPEC, TRAINING, weights

from worldsim import atomic
from worldsim.cli import record_permanence
from worldsim.cli.main import main
from worldsim.cli.train import TrainConfig, with_flags
from worldsim.data.recording import Episode, Recording, RecordingWriter
from worldsim.models.autoencoder import Autoencoder
from worldsim.runtime.bundle import open_world
from worldsim.train.checkpoint import load_autoencoder, read, save_model
from worldsim.train.motion import MotionTraining
from worldsim.train.recipes.base import Finetune, Recipe
from worldsim.train.recipes.video import RECIPE as VIDEO
from worldsim.train.run import RunRecord

SMALL = Recipe(
    800,
    AUTOENCODER,
    dataclasses.replace(AUTOENCODER_TRAINING, steps=2),
    SIZE,
    dataclasses.replace(TRAINING, steps=2, schedule=(0.0, 0.25)),
    temperature=1.2,
    shown=9,
)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a command was refused with."""
    capsys.readouterr()
    assert main(["train", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("worldsim: ") and error.count("\n") == 1
    return error.removeprefix("worldsim: ")


def test_what_makes_no_sense_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], recording: Recording, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    this = ("autoencoder", "--recording", str(recording.path), "--out", str(out))
    assert refused(capsys, "nonsense").startswith("nothing to train is called 'nonsense'; there are ")
    assert "--lr is of one training, and a recipe has several" in refused(capsys, "doom-maze", "--lr", "1e-3")
    assert "doom-maze has its own recipe" in refused(capsys, "doom-maze", "--recipe", "toybox")
    assert "which recording?" in refused(capsys, "dynamics")
    assert "no recipe 'x'" in refused(capsys, *this, "--recipe", "x")
    assert "both say how long" in refused(capsys, *this, "--steps", "3", "--minutes", "1")
    assert "--minutes nan" in refused(capsys, *this, "--minutes", "nan")
    assert "--steps -1" in refused(capsys, *this, "--steps", "-1")
    assert "--seed -1" in refused(capsys, *this, "--seed", "-1")
    assert "--accumulate 0" in refused(capsys, *this, "--accumulate", "0")
    assert "does not divide by 1 processes x 3 parts" in refused(capsys, *this, "--batch", "4", "--accumulate", "3")
    assert "--fsdp shards over processes" in refused(capsys, *this, "--fsdp")
    assert "no device 'cuda:99' here" in refused(capsys, *this, "--device", "cuda:99")
    assert "no device 'tpu' here" in refused(capsys, *this, "--device", "tpu")
    assert not out.exists() or not list(out.glob("*.*"))


def test_flags_reach_every_training_of_a_recipe() -> None:
    training = dataclasses.replace(TRAINING, motion=MotionTraining())
    recipe = dataclasses.replace(SMALL, dynamics_training=training, finetune=Finetune(9, 0.0, (TRAINING, training)))
    changed = with_flags(recipe, TrainConfig("doom-maze", steps=7, batch=3, seed=9))
    dynamics = [changed.dynamics_training, *changed.finetune.trainings]
    trainings = [changed.autoencoder_training, *dynamics, *(t.motion for t in dynamics if t.motion)]
    assert len(trainings) == 6 and {(t.steps, t.batch, t.seed) for t in trainings} == {(7, 3, 9)}
    assert with_flags(recipe, TrainConfig("doom-maze")) == recipe
    assert with_flags(recipe, TrainConfig("doom-maze", seed=0)).dynamics_training.seed == 0


@pytest.mark.slow
def test_a_recipe_with_finetuning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """The whole of a small recipe: recorded play, autoencoder, dynamics, recorded probes, and the same dynamics
    again."""
    monkeypatch.chdir(tmp_path)
    first = dataclasses.replace(SMALL.dynamics_training, event_share=0.5, events=("action",))
    then = dataclasses.replace(SMALL.dynamics_training, learns=("denoiser",), schedule=(0.0, 0.5))
    small = dataclasses.replace(SMALL, finetune=Finetune(3500, 0.0, (first, then), longest=100))
    monkeypatch.setattr("worldsim.train.recipes.toybox.RECIPE", small)
    monkeypatch.setattr(record_permanence, "MOST_SWAPS", 1)
    record = ["record", "toybox", "--frames", "800", "--episode-frames", "80", "--size", "32x32", "--workers", "1"]
    assert main([*record, "--out", "recordings/toybox"]) == 0
    assert main(["train", "toybox", "--steps", "3", "--no-compile", "--device", "cpu"]) == 0
    last_line = capsys.readouterr().out.splitlines()[-1]
    assert last_line == (
        "done; next: worldsim export runs/toybox/finetune/2 --recording recordings/toybox-finetune --out worlds/toybox"
    )
    probes = Recording(tmp_path / "recordings" / "toybox-finetune")
    assert (probes.spec.width, probes.spec.height, len(probes) >= 3500) == (32, 32, True)
    assert probes.origin["longest hiding"] == 100
    folders = [Path("runs/toybox") / folder for folder in ("", "finetune", "finetune/2")]
    trained, finetuned, last = (weights(folder / "dynamics.safetensors") for folder in folders)
    assert trained.keys() == finetuned.keys() == last.keys()
    assert any((trained[k] != finetuned[k]).any() for k in trained)
    assert {k.split(".")[0] for k in last if (last[k] != finetuned[k]).any()} == {"denoiser"}  # what alone may learn
    assert all((folder / "autoencoder.safetensors").exists() for folder in folders)
    assert not list((folders[2]).glob("latents-*"))  # encoded once
    assert [read(folder / "dynamics.checkpoint")[1]["step"] for folder in folders] == [3, 3, 3]
    records = [RunRecord.read(folder) for folder in folders]
    assert [record.sampling.schedule for record in records] == [(0.0, 0.25), (0.0, 0.25), (0.0, 0.5)]
    assert {(record.recipe, record.sampling.temperature, record.shown) for record in records} == {("toybox", 1.2, 9)}


def test_an_imported_recording_has_a_recipe(recording: Recording, tmp_path: Path) -> None:
    flags = ["--recording", str(recording.path), "--out", str(tmp_path / "run"), "--device", "cpu", "--steps", "1"]
    assert main(["train", "autoencoder", *flags, "--recipe", "video"]) == 0
    autoencoder, world = load_autoencoder(tmp_path / "run" / "autoencoder.safetensors")
    assert world.name == recording.spec.name and autoencoder.config == VIDEO.autoencoder


def test_a_recording_of_another_world_is_refused(
    recording: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "autoencoder.safetensors"
    save_model(path, Autoencoder(AUTOENCODER), dataclasses.replace(SPEC, name="circle"))
    error = refused(capsys, "dynamics", "--recording", str(recording.path), "--out", str(tmp_path))
    assert error.startswith("the autoencoder is of 'circle' at 48x32; ") and "of 'square'" in error
    assert not list(tmp_path.glob("*.checkpoint"))


def test_two_trainings_in_one_folder_are_refused(
    recording: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with atomic.lock(tmp_path):
        error = refused(capsys, "autoencoder", "--recording", str(recording.path), "--out", str(tmp_path))
    assert "is being written by another process" in error


def test_training_goes_on_from_a_generated_world(
    tiny_world: Path, recording: Recording, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tiny import tiny_spec

    writer, rng = RecordingWriter(tmp_path / "tiny", tiny_spec()), np.random.default_rng(0)
    for _ in range(10):
        frames, none = rng.integers(0, 256, (100, 32, 48, 3), np.uint8), np.zeros(100)
        keys = np.append(rng.integers(0, 3, 99), -1)
        writer.append(Episode(frames, keys, none, none.astype(bool), np.zeros((100, 0), np.float32)))
    out = tmp_path / "run"
    options = ["--out", str(out), "--steps", "1", "--batch", "2", "--no-compile", "--weights"]
    learn = ["dynamics", *options, str(tiny_world), "--recording"]
    assert main(["train", *learn, str(tmp_path / "tiny")]) == 0
    theirs = {name: torch.from_numpy(weight) for name, weight in open_world(tiny_world).weights().items()}
    for part, file in (("autoencoder", "autoencoder"), ("world_model", "dynamics")):
        made = weights(out / f"{file}.safetensors")
        assert made.keys() == {name.removeprefix(f"{part}.") for name in theirs if name.startswith(f"{part}.")}
        for name, weight in made.items():
            assert (weight - theirs[f"{part}.{name}"]).abs().max() < 0.01  # a step moves them a little
    assert "is of 'tiny' at 48x32" in refused(capsys, *learn, str(recording.path))
    save_model(out / "autoencoder.safetensors", Autoencoder(AUTOENCODER), tiny_spec())
    assert "is another autoencoder than that of" in refused(capsys, *learn, str(tmp_path / "tiny"))
    nowhere = ["dynamics", *options, "nowhere", "--recording", str(tmp_path / "tiny")]
    assert "no world 'nowhere'" in refused(capsys, *nowhere)


@pytest.mark.slow
def test_torchrun_trains_and_ctrl_c_saves(recording: Recording, tmp_path: Path) -> None:
    """Two processes as a user starts them, told to stop, and one that goes on with a budget of time."""
    train = ["-m", "worldsim.cli.main", "train", "autoencoder", "--recording", str(recording.path)]
    train += ["--out", str(tmp_path), "--batch", "4", "--seed", "1", "--device", "cpu"]
    started = subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *train],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.monotonic() + 200
        while not list(tmp_path.glob("curves/autoencoder/*")) and time.monotonic() < deadline:
            time.sleep(0.5)
        time.sleep(3)
        os.kill(started.pid, signal.SIGINT)
        printed, _ = started.communicate(timeout=120)
    finally:
        started.kill()
    step = read(tmp_path / "autoencoder.checkpoint")[1]["step"]
    assert step > 0 and started.returncode != 0, printed
    assert main([*train[2:], "--minutes", "0.05"]) == 0
    state = read(tmp_path / "autoencoder.checkpoint")[1]
    assert state["step"] >= step and state["elapsed"] >= 3
