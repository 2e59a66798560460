"""The figures of speed: what is timed, and that they fit each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from worldsim.cli.bench import real_speed
from worldsim.cli.main import main
from worldsim.errors import WorldsimError
from worldsim.evals.instruments import speed
from worldsim.evals.section import Figure
from worldsim.models.step import example_inputs
from worldsim.runtime.bundle import Bundle, open_world
from worldsim.runtime.load import load_runtime
from worldsim.runtime.torch import world_step


@pytest.fixture(scope="module")
def bundle(tiny_world: Path) -> Bundle:
    return open_world(tiny_world)


def test_times_are_of_every_call_but_the_first(bundle: Bundle):
    ticks: list[int] = []
    runtimes = {"onnx": load_runtime(bundle), "torch eager": load_runtime(bundle, "torch")}
    times = speed.step_times(runtimes, 3, 5, ticks.append)
    assert set(times) == set(runtimes) and sum(ticks) == 8
    for taken in times.values():
        assert len(taken.seconds) == 5 and min(taken.seconds) > 0
        assert taken.fps == pytest.approx(15 / sum(taken.seconds))
        assert min(taken.seconds) * 999 < taken.milliseconds(0.5) <= taken.milliseconds(0.95)


def test_operations_are_counted(bundle: Bundle):
    width, tokens = 32, 7
    counted = speed.operations(bundle)
    assert counted > 2 * 2 * tokens * 12 * width * width  # of the context encoder alone
    step = world_step(bundle)
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        step(*example_inputs(step, 1, torch.Generator().manual_seed(0)))
    assert counted == pytest.approx(counter.get_total_flops(), rel=0.05)  # a product that exporting folds is not in it


def test_peak_is_that_of_a_machine():
    assert 1e8 < speed.matmul_peak(128, 3) < 1e14


def test_fresh_process_starts(bundle: Bundle):
    (seconds,), memory = speed.start_up(bundle, 1, 3)
    assert seconds > 0.1 and (np.isnan(memory) or memory > 1e7)


def test_nothing_in_the_current_folder_is_imported(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Who benchmarks a world from inside its folder runs nothing that lies there."""
    for module in ("numpy", "worldsim", "json"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('imported from the current folder')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")
    (seconds,), _ = speed.start_up(bundle, 1)
    assert seconds > 0


def test_world_that_does_not_start_is_one_error(bundle: Bundle, tmp_path: Path):
    class Elsewhere:
        path = tmp_path

    with pytest.raises(WorldsimError, match="does not start"):
        speed.start_up(Elsewhere(), 1)  # type: ignore[arg-type]


def measured(bundle: Bundle) -> speed.Measured:
    """Of a machine that never was."""
    step = {b: {"onnx": speed.Times(b, [0.02, 0.03]), "torch eager": speed.Times(b, [0.05, 0.05])} for b in (1, 4)}
    step[4] |= {"batch": speed.Times(4, [0.01, 0.01]), "int8": speed.Times(4, [0.02, 0.02])}
    decoder = {1: {"onnx": speed.Times(1, [0.01, 0.01]), "torch eager": speed.Times(1, [0.04, 0.04])}}
    return speed.Measured(
        steps=step,
        decoder=decoder,
        starts=[2.0, 3.0, 4.0],
        memory={1: 2e8},
        play=speed.Play(0.03, 1.0, 0.001, 0.002, 5000),
        context={1: speed.Times(1, [0.02]), 9: speed.Times(1, [0.03])},
        operations=speed.operations(bundle),
        peak=1e11,
        real_fps=None,
    )


def test_section_holds_the_targets(bundle: Bundle):
    section = speed.speed(bundle, measured(bundle))
    figures = {figure.key: figure.value for figure in section.figures}
    assert figures["bench.fps_batch_1"] == pytest.approx(40) and figures["bench.fps_batch_4"] == pytest.approx(160)
    assert figures["bench.p95_ms_batch_1"] == pytest.approx(29.5)
    assert figures["bench.over_torch_batch_1"] == pytest.approx(2)
    assert figures["bench.rows"] == pytest.approx(10) and "bench.over_batch_batch_4" not in figures
    assert figures["bench.int8_fps_batch_4"] == pytest.approx(200)
    assert figures["bench.decoder_over_torch_batch_1"] == pytest.approx(4)
    assert figures["bench.start_up_s"] == 3.0 and figures["bench.memory_mb_batch_1"] == 200
    frame = speed.operations(bundle)
    assert figures["bench.of_peak"] == pytest.approx(40 * frame / 1e11)
    assert figures["bench.of_peak_batch_4"] == pytest.approx(160 * frame / 1e11)
    assert 0 < figures["bench.size_mb"] < 25
    assert "not installed" in section.notes[0]
    assert len(section.tables[0].rows) == 6 and section.tables[0].rows[0][:2] == ("onnx", 1)
    assert [list(x) for x, _ in section.curves[1].lines.values()] == [[1, 9]]


def test_another_report_is_shown_beside(bundle: Bundle):
    section = speed.speed(bundle, measured(bundle))
    before = {"bench.fps_batch_1": Figure("bench.fps_batch_1", "", 20.0), "bench.gone": Figure("bench.gone", "", 1.0)}
    ((_, then, now, times),) = speed.comparison(section, before).rows
    assert (float(then), float(now), float(times)) == (20, 40, 2)


def test_play_costs_a_session_and_little_more(bundle: Bundle):
    runtime = load_runtime(bundle)
    play = speed.play_costs(runtime, 4)
    entry = 2 * int(np.prod(runtime.sizes.entry))
    assert 0 <= play.overhead < 1 and play.branch > 0 and min(play.snapshot, play.restore) > 0
    assert entry < play.kept < 100 * entry
    known = speed.context_times(runtime, 2)
    assert min(known) == 1 and len(known) > 2


def test_real_speed_of_a_game(bundle: Bundle):
    pytest.importorskip("ale_py")
    from worldsim_envs.atari.freeway import freeway_spec

    fps = real_speed(freeway_spec(), 20)
    assert fps is not None and np.isfinite(fps) and fps > 0
    assert real_speed(bundle.spec) is None


def test_no_such_world_is_one_error(capsys: pytest.CaptureFixture[str]):
    assert main(["bench", "nowhere"]) == 2
    assert "no world 'nowhere'" in capsys.readouterr().err
