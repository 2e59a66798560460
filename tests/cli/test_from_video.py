"""One command from videos to a world that is played with keys, stopped in the middle and run again; and bad input."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import steered
import torch
from square import AUTOENCODER, AUTOENCODER_TRAINING, SIZE, TRAINING, weights
from video_files import write

from worldsim.cli import from_video as command
from worldsim.cli.from_video import FromVideoConfig, from_video
from worldsim.cli.latent_actions import LatentActionsConfig, latent_actions
from worldsim.data.recording import Recording
from worldsim.errors import WorldsimError
from worldsim.runtime.bundle import open_world
from worldsim.runtime.load import load_runtime
from worldsim.runtime.session import Session
from worldsim.train import from_video as training
from worldsim.train.decoder import DecoderTraining
from worldsim.train.latent_action import LatentActionTraining
from worldsim.train.recipes.base import Recipe

RECIPE = training.VideoRecipe(
    Recipe(
        1,
        AUTOENCODER,
        AUTOENCODER_TRAINING,
        SIZE,
        dataclasses.replace(TRAINING, self_rollout_start=1.0),
        decoder_training=DecoderTraining(steps=2, batch=4, frames=256),
    ),
    latent_action={"past": 1, "channels": 8, "model_width": 16, "depth": 1, "heads": 2, "ahead": 1},
    latent_action_training=LatentActionTraining(steps=30, batch=8, frames=512),
)


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    for i in range(12):
        frames, actions = steered.play(i, 40)
        write(folder / f"{i}.mp4", frames)
        names = [*(steered.SPEC.actions[a].name for a in actions[:-1]), ""]
        (folder / f"{i}.actions.csv").write_text("action\n" + "\n".join(f'"{name}"' for name in names))
    return folder


def config_of(tmp_path, clips, **more):
    rest = {"size": "48x32", "fit": "stretch", "minutes": 0.0, "compile": False, "device": "cpu", "starts": 2}
    return FromVideoConfig((clips,), tmp_path / "my-world", work=tmp_path / "run", **{**rest, **more})


@pytest.mark.slow  # the export takes most of a minute
def test_videos_become_a_world_and_a_stopped_run_goes_on(tmp_path, clips, monkeypatch, capsys):
    monkeypatch.setattr(training, "RECIPE", RECIPE)
    config = config_of(tmp_path, clips, labels=200)
    train, infer, read = training.train_dynamics, training.infer_codes, []

    def die(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train_dynamics", die)
    with pytest.raises(KeyboardInterrupt):
        from_video(config)
    monkeypatch.setattr(training, "train_dynamics", train)
    monkeypatch.setattr(training, "infer_codes", lambda *given: read.append(given) or infer(*given))
    from_video(config)
    assert not read, "codes that are there are not read again"
    world = open_world(str(tmp_path / "my-world"))
    assert [a.name for a in world.spec.actions] == ["stay", "down", "left", "right", "up"], "the game's own actions"
    session = Session(load_runtime(world, "onnx"))
    starts = world.starts
    state = session.reset(starts.frames[:1], starts.actions[:1], np.zeros(1, np.int64))
    state, frame = session.step(state, np.array([world.spec.action_for({"ArrowLeft"})]))
    assert frame.frame.shape == (1, 32, 48, 3)
    card = (tmp_path / "my-world/card.md").read_text()
    assert "with the true actions of 200 steps" in card
    named = world.origin["codes of actions"]
    assert f"| {named['left']} | " in card and "ArrowLeft" in card
    assert "480 frames" in card and "dB" in card and "hardly follows" in card, "it was trained for seconds"
    printed = capsys.readouterr()
    assert "[1/8] import" in printed.err and "[8/8] card" in printed.err and "play.py" in printed.out

    drawn, first = (weights(tmp_path / f"run/{part}autoencoder.safetensors") for part in ("world/", ""))
    assert any(not torch.equal(drawn[k], first[k]) for k in first if k.startswith("decoder."))

    codes = Recording(tmp_path / "run/codes")
    latent_actions(LatentActionsConfig(codes.path, tmp_path / "run/my-world", out=tmp_path / "report"))
    assert "purity" in (tmp_path / "report/figures.json").read_text()


def test_too_little_video_is_said_before_training(tmp_path):
    (tmp_path / "clips").mkdir()
    write(tmp_path / "clips/short.mp4", steered.play(0, 40)[0])
    with pytest.raises(WorldsimError, match="too few to learn"):
        from_video(config_of(tmp_path, tmp_path / "clips"))
    assert not (tmp_path / "my-world").exists()


def test_labels_need_actions(tmp_path):
    (tmp_path / "clips").mkdir()
    write(tmp_path / "clips/walk.mp4", steered.play(0, 60)[0])
    with pytest.raises(WorldsimError, match="no true actions"):
        from_video(config_of(tmp_path, tmp_path / "clips", labels=200))


def test_flags_that_are_wrong(tmp_path, clips):
    for wrong, match in (
        ({"size": "40x24"}, "multiples of 16"),
        ({"minutes": -1.0}, "--minutes"),
        ({"starts": 0}, "--starts"),
        ({"fps": -3.0}, "--fps"),
    ):
        with pytest.raises(WorldsimError, match=match):
            command.check_flags(config_of(tmp_path, clips, **wrong))
