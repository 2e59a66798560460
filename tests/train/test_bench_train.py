"""How fast the dynamics learn: that what is timed is a training, and that the figures fit each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from square import EVERYTHING

from worldsim.cli.main import main
from worldsim.evals.instruments import training_speed
from worldsim.evals.instruments.training_speed import TINY, Setting, matmul_peak, measure, noise_batch, operations
from worldsim.models.world_model import WorldModel
from worldsim.train.dynamics import ClipLoss, DynamicsTraining


def test_noise_is_a_batch_for_every_kind_of_model() -> None:
    for config in (TINY, EVERYTHING.fit((8, 8, 12), 2, 1)):
        loss = ClipLoss(WorldModel(config), DynamicsTraining())
        assert loss(*noise_batch(config, 2, 5))["loss"].isfinite()
    assert operations(TINY, 8) == pytest.approx(2 * operations(TINY, 4), rel=0.2)
    assert 1e8 < matmul_peak(torch.device("cpu"), 128, 3) < 1e14


@pytest.mark.slow
def test_two_processes_are_timed_together() -> None:
    speed = measure(TINY, Setting(batch=2, length=4, threads=1, processes=2, steps=1), peak=1e11)
    assert speed.frames > 0 and speed.peak_share == pytest.approx(
        speed.frames / 4 * operations(TINY, 4) / 1e11, rel=1e-6
    )


def test_the_table_is_written_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def quick(config: object, setting: Setting, peak: float) -> training_speed.TrainingSpeed:
        return training_speed.TrainingSpeed(setting, 10.0 * setting.batch, 0.125)

    monkeypatch.setattr(training_speed, "measure", quick)
    assert main(["bench", "train", "tiny", "--quick", "--device", "cpu", "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "bench-train.json").read_text())
    assert [row["frames"] for row in report["settings"]][:2] == [20.0, 80.0] and report["matmul_peak"] > 1e8
    assert "12.5%" in capsys.readouterr().out
    assert main(["bench", "train", "nowhere"]) == 2
    assert main(["bench", "train", "tiny", "--device", "tpu"]) == 2
