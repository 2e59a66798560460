"""Weights and training state on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from worldsim.errors import WorldsimError
from worldsim.models.autoencoder import Autoencoder, AutoencoderConfig
from worldsim.models.sampling import Sampling
from worldsim.spec import Action, WorldSpec
from worldsim.train.checkpoint import load_autoencoder, read, save_model, write
from worldsim.train.run import RunRecord

SPEC = WorldSpec("square", 32, 48, 10, 1, (Action("rest"),), {}, ())


def test_a_cut_or_changed_checkpoint_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "a.checkpoint"
    write(path, {"x": torch.ones(1000)}, {"step": 1})
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(WorldsimError, match=r"a\.checkpoint can.t be read"):
        read(path)
    path.write_bytes(whole[:-100] + bytes(100))
    with pytest.raises(WorldsimError, match=r"a\.checkpoint was changed after it was written"):
        read(path)


def test_a_model_of_another_version_is_one_clear_error(tmp_path: Path) -> None:
    path, model = (
        tmp_path / "autoencoder.safetensors",
        Autoencoder(AutoencoderConfig(channels=4, widths=(8,), blocks=1)),
    )
    save_model(path, model, SPEC)
    weights, header = read(path)
    name = next(iter(weights))
    assert torch.equal(load_autoencoder(path)[0].state_dict()[name], weights[name])
    write(path, {k: v for k, v in weights.items() if k != name}, header)
    with pytest.raises(WorldsimError, match="another layout than this worldsim's Autoencoder"):
        load_autoencoder(path)
    write(path, weights, {**header, "config": {**header["config"], "colour": 1}})
    with pytest.raises(WorldsimError, match=r"written by another version of worldsim \(.*colour"):
        load_autoencoder(path)


def test_a_run_says_how_it_is_to_be_played(tmp_path: Path) -> None:
    record = RunRecord("toybox", Sampling((0.0, 0.3), 1.1, fresh_noise=True), 0.45, True, 129)
    record.write(tmp_path)
    assert RunRecord.read(tmp_path) == record
    assert RunRecord.read(tmp_path / "older") == RunRecord()
    path = tmp_path / "run.json"
    for text in ("{", "[]", path.read_text().replace('"format": 1', '"format": 2'), '{"format": 1, "colour": 2}'):
        path.write_text(text)
        with pytest.raises(WorldsimError, match=r"run\.json can.t be read"):
            RunRecord.read(tmp_path)
