"""Crafter is a world like the others: a run is exported, played, put on the web, an environment, and judged."""

from __future__ import annotations

import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

pytest.importorskip("crafter")

from crafter_play import record_crafter

from worldsim.cli.main import main
from worldsim.evals import evaluation
from worldsim.models.autoencoder import Autoencoder, AutoencoderConfig
from worldsim.models.config import WorldModelConfig
from worldsim.models.copy_head import CopyConfig
from worldsim.models.dit import DiTConfig
from worldsim.models.map_memory import MapMemoryConfig
from worldsim.models.memory import MemoryConfig
from worldsim.models.world_model import WorldModel
from worldsim.runtime.bundle import open_world
from worldsim.train.checkpoint import save_model
from worldsim.train.run import RunRecord
from worldsim.web.graphs import browser_step
from worldsim_envs.crafter.env import crafter_spec
from worldsim_envs.generated.env import GeneratedEnv

SMALL = evaluation.Size(
    scenes=2,
    still_scenes=2,
    still_frames=8,
    outcomes=4,
    runs=2,
    real_runs=2,
    run_frames=35,
    longest=16,
    reader_steps=2,
    gallery=64,
)


def train_nothing(run: Path) -> None:
    """Untrained networks of the kinds that Crafter's recipe has, as a run leaves them."""
    torch.manual_seed(0)
    spec, sizes = crafter_spec(), AutoencoderConfig(channels=4, widths=(16, 24), blocks=1)
    config = WorldModelConfig(
        dit=DiTConfig((3, 3), width=32, heads=2, depth=2, temporal_layers=(0, 1), denoiser_depth=1, window=4),
        copy=CopyConfig(1, refiner_width=8, from_noise=True, palette=5),
        memory=MemoryConfig(((8, 1), (32, 4)), read_layers=()),
        view=MapMemoryConfig(7),
        static_threshold=0.1,
    ).fit(sizes.latent_shape(spec.height, spec.width), len(spec.actions), len(spec.state_names))
    save_model(run / "autoencoder.safetensors", Autoencoder(sizes).eval(), spec)
    save_model(run / "dynamics.safetensors", WorldModel(config).eval(), spec)
    RunRecord("crafter").write(run)


@pytest.mark.slow
def test_from_a_run_to_a_world_that_is_played_and_judged(tmp_path, monkeypatch, capsys):
    recording, run, world = record_crafter(tmp_path / "crafter", others=80), tmp_path / "run", tmp_path / "world"
    train_nothing(run)
    assert main(["export", str(run), "--recording", str(recording), "--out", str(world), "--starts", "3"]) == 0
    bundle = open_world(str(world))
    spec = bundle.spec
    assert spec.title == "Crafter" and len(spec.actions) == 17 and len(bundle.starts) == 3
    for action in spec.actions[1:]:  # each has keys of its own
        assert {spec.action_for([key]) for key in spec.keys[action.name]} == {spec.action_index(action.name)}

    play = ["play", "--world", str(world), "--headless", "--frames", "4", "--actions", "move_left*2,do*2"]
    assert main([*play, "--record", str(tmp_path / "play.mp4")]) == 0
    assert browser_step(bundle)[0]
    env = gym.wrappers.PassiveEnvChecker(GeneratedEnv(world))
    first = env.reset(seed=1)[0]
    assert first.shape == (72, 72, 3) and env.step(np.int64(5))[0].shape == (72, 72, 3)

    monkeypatch.setattr(evaluation, "QUICK", SMALL)
    out = tmp_path / "reports"
    assert main(["eval", str(world), "--recording", str(recording), "--out", str(out), "--quick"]) == 0
    shown = capsys.readouterr().out
    assert "what was left 32 steps ago or more is there again, memory cut" in shown and "Rules kept" in shown
    found = json.loads((out / "figures.json").read_text())["figures"]
    assert 0 <= found["crafter.tiles_64"]["value"] <= 1 and "the game itself" in found["crafter.tiles_64"]["reference"]
    assert found["state.vitals_1"]["unit"] == "points"
    judged = {verdict["key"] for verdict in json.loads((out / "eval.json").read_text())["targets"]}
    assert {"crafter.back_32", "drift.collapsed", "fidelity.codec_psnr"} <= judged
