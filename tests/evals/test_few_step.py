"""The evaluation of few passes: distances where they are known, and the command on a tiny world."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny

from worldsim.cli.main import main
from worldsim.data.recording import Episode, RecordingWriter
from worldsim.evals.frechet import FrechetProbe, frechet


def normal(n: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    return scale * np.random.default_rng(seed).standard_normal((n, 6)) + shift


def test_frechet_distance_of_normal_distributions():
    same = normal(20_000, 0)
    assert frechet(same, same) == pytest.approx(0, abs=1e-9)
    assert frechet(normal(20_000, 1, shift=0.5), same) == pytest.approx(6 * 0.25, abs=0.05)
    assert frechet(normal(20_000, 1, scale=2.0), same) == pytest.approx(6, abs=0.2)


def test_probe_has_a_floor_and_takes_no_more_dimensions_than_samples_bear():
    real = normal(2000, 0)
    probe = FrechetProbe(real)
    assert probe.dimensions == 6 and FrechetProbe(real[:60]).dimensions == 3
    assert 0 < probe.floor < 0.1
    near, (low, high) = probe.distance(real)  # of other contexts than the reference
    assert near == pytest.approx(probe.floor) and low < high
    assert probe.distance(normal(2000, 3, shift=0.5))[0] > 10 * probe.floor


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recordings") / "tiny"
    writer = RecordingWriter(path, tiny.tiny_spec(), 0, {"source": "waves", "licence": "none"})
    frames, actions = tiny.tiny_clips(20, 60)
    for i in range(20):
        none = np.zeros(60)
        taken = np.append(actions[i], -1)
        writer.append(Episode(frames[i], taken, none, none.astype(bool), np.zeros((60, 0), np.float32)))
    return path


def test_the_table_is_of_every_sampler(recording: Path, tiny_world: Path, tmp_path: Path):
    arguments = ["eval", "few-step", str(tiny_world), "--recording", str(recording), "--out", str(tmp_path)]
    few = ["--steps", "1,2,4", "--contexts", "40", "--scenes", "2", "--horizons", "4,9", "--distilled", str(tiny_world)]
    assert main([*arguments, *few]) == 0
    content = json.loads((tmp_path / "few-step.json").read_text())
    one, free = content["sections"]
    rows = {row[0]: row[1:] for row in one["tables"][0]["rows"]}
    name = tiny_world.name
    assert {"multistep, 4", "Euler, DDIM, 2", "EDM Heun, 4", "DDPM, 1", "as shipped", f"{name}, 2"} <= rows.keys()
    assert rows["multistep, 4"][2] == 0  # its distance to itself
    assert rows["multistep, 2"][2] == pytest.approx(rows["Euler, DDIM, 2"][2])  # the same for two passes
    assert [rows[n][0] for n in ("DDPM, 1", "EDM Heun, 4", "as shipped")] == [1, 3, 2]
    assert rows[f"{name}, 2"][2:7] == rows["as shipped"][2:7]
    figures = {figure["key"] for figure in free["figures"]}
    assert {"few_step_free.psnr.multistep_1_9", "few_step_free.detail.as_shipped_4"} <= figures
    assert len(one["curves"]) == 2 and (tmp_path / "few-step.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("flag", "message"), [(["--steps", "1,x"], "give numbers above 0"), (["--contexts", "3"], "must be 40 or more")]
)
def test_wrong_numbers_are_one_error(
    flag: list[str], message: str, recording: Path, tiny_world: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["eval", "few-step", str(tiny_world), "--recording", str(recording), *flag]) == 2
    assert message in capsys.readouterr().err
