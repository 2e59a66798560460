"""`worldsim curve`: the law that runs were made to follow is found in them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
from torch.utils.tensorboard import SummaryWriter

from worldsim.cli.curve import frames_a_step
from worldsim.cli.main import main
from worldsim.errors import WorldsimError
from worldsim.evals.scaling import Law, fit_law
from worldsim.models.world_model import WorldModel
from worldsim.train.checkpoint import save_model, write

LAW = Law(floor=0.2, a=0.3, alpha=0.5, b=0.4, beta=0.3, off=0.0)


def write_run(folder: Path, width: int) -> WorldModel:
    """A run whose curve follows the law."""
    config = tiny.tiny_config(read_layers=(0,)).fit((4, 4, 6), 3)
    model = WorldModel(config)
    save_model(folder / "dynamics.safetensors", model, tiny.tiny_spec())
    write(folder / "dynamics.checkpoint", {}, {"config": {"batch": 4, "length": 26, "width": width}})
    weights = sum(p.numel() for p in model.parameters())
    with SummaryWriter(str(folder / "curves" / "dynamics")) as curves:
        for step in range(1000, 41_000, 2000):
            curves.add_scalar("dynamics/held_out_next_frame", float(LAW(weights, step * 100)), step)
    return model


def test_a_law_is_found_again():
    weights, frames = (x.ravel() for x in np.meshgrid([2e6, 8e6, 32e6], np.geomspace(1e5, 1e8, 20)))
    found = fit_law(weights, frames, LAW(weights, frames))
    assert found.off < 0.005
    np.testing.assert_allclose(found(16e6, 1e9), LAW(16e6, 1e9), rtol=0.03)
    one = fit_law(weights[weights == 2e6], frames[weights == 2e6], LAW(2e6, frames[weights == 2e6]))
    assert one.a == 0 and one.beta == pytest.approx(0.3, abs=0.03) and "N^" not in str(one)
    with pytest.raises(WorldsimError, match="4 or more"):
        fit_law(weights[:3], frames[:3], frames[:3])


def test_runs_are_read_plotted_and_promise_a_day(tmp_path: Path, capsys):
    for i in range(2):
        write_run(tmp_path / f"run-{i}", i)
    out, runs = tmp_path / "curve", [str(tmp_path / f"run-{i}") for i in range(2)]
    assert main(["curve", *runs, "--out", str(out), "--rate", "1000"]) == 0
    assert "after a day at 1000 frames a second (86 M)" in capsys.readouterr().out
    found = json.loads((out / "curve.json").read_text())
    assert found["day"]["error"] == pytest.approx(float(LAW(found["runs"][0]["weights"], 86.4e6)), rel=0.05)
    assert found["runs"][0]["frames"][-1] == 39_000 * 100
    assert (out / "curve.png").read_bytes()[:4] == b"\x89PNG"
    assert main(["curve", *runs, "--out", str(out), "--figure", "beauty"]) == 2
    assert "has no curve 'beauty'; it has held_out_next_frame" in capsys.readouterr().err


def test_frames_of_steps_of_two_lengths():
    assert frames_a_step({"batch": 12, "length": 25}) == 288
    assert frames_a_step({"batch": 12, "length": 25, "long_clips": {"batch": 4, "length": 65, "every": 2}}) == 272
