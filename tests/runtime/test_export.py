"""The export: graphs without weights, checked against torch; from the command line, from a run and a recording."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import safetensors.numpy
import torch
import toy
from tiny import ORIGIN, WINDOW, tiny_clips, tiny_config, tiny_networks, tiny_spec

import worldsim.runtime.export
from worldsim.cli.export import beginnings, choose_starts
from worldsim.cli.main import main
from worldsim.data.recording import Episode, Recording, RecordingWriter
from worldsim.data.windows import Windows
from worldsim.errors import WorldsimError
from worldsim.models.config import WorldModelConfig
from worldsim.models.dit import DiTConfig
from worldsim.models.flow import REWARD_BINS
from worldsim.models.sampling import Sampling
from worldsim.models.step import WorldStep, example_inputs
from worldsim.models.world_model import WorldModel
from worldsim.runtime.bundle import GRAPHS, Bundle
from worldsim.runtime.export import export_bundle, measure_parity, stored_weights
from worldsim.runtime.onnx import OnnxRuntime
from worldsim.runtime.torch import TorchRuntime, world_step
from worldsim.train.checkpoint import load_world_model, save_model
from worldsim.train.run import RunRecord


def test_weights_are_stored_once_in_half_precision(tiny_world):
    stored = safetensors.numpy.load_file(tiny_world / "model.safetensors")
    autoencoder, dynamics = tiny_networks()
    assert stored.keys() == WorldStep(autoencoder, dynamics).state_dict().keys()
    for name, weight in stored.items():
        assert weight.dtype == (np.float16 if not name.startswith("autoencoder.standardise") else weight.dtype), name
    np.testing.assert_allclose(
        stored["world_model.encoder.token_in.weight"], dynamics.encoder.token_in.weight.detach(), atol=1e-3
    )
    np.testing.assert_array_equal(stored["autoencoder.standardise.running_var"], autoencoder.standardise.running_var)
    handed = {name for names in Bundle(tiny_world).graph_weights.values() for name in names}
    assert stored.keys() - handed == {"autoencoder.standardise.num_batches_tracked"}


@pytest.mark.parametrize("graph", (*GRAPHS, "remember"))
def test_graphs_carry_no_weights_and_no_paths(tiny_world, graph):
    path = tiny_world / f"{graph}.onnx"
    model = onnx.load(path, load_external_data=False)
    outside = [i for i in model.graph.initializer if i.data_location == onnx.TensorProto.EXTERNAL]
    assert sorted(i.name for i in outside) == sorted(Bundle(tiny_world).graph_weights[graph])
    inside = [i for i in model.graph.initializer if i.data_location != onnx.TensorProto.EXTERNAL]
    assert sum(len(i.raw_data) for i in inside) < 65536
    assert str(Path(worldsim.__file__).parent).encode() not in path.read_bytes()


def test_what_is_copied_and_what_is_looked_up_by_place_is_the_same_in_onnx(tmp_path):
    kind = {
        "copy_reach": 1,
        "max_shift": 1,
        "ring_columns": 20,
        "refiner_width": 8,
        "hidden_layer": True,
        "read_layers": (),
        "motion": 8,
    }
    networks = tiny_networks(**kind)
    clips = tiny_clips(2, WINDOW + 1)
    export_bundle(tmp_path / "world", *networks, tiny_spec(), *clips, ORIGIN, Sampling((0.0,)))  # raises if it differs
    world = Bundle(tmp_path / "world")
    config = WorldModelConfig.from_json(world.configs["world_model"])
    assert dataclasses.replace(config, latent_shape=(0, 0, 0), actions=0) == tiny_config(**kind)
    assert world.sizes.layers == 2 and world.sizes.pose == 6
    step = world_step(world)
    latents = measure_parity(TorchRuntime(step, world.spec), OnnxRuntime(world, "cpu"), step, world.path)
    assert latents.differences["step: latents"] < 1e-4


@pytest.mark.parametrize("part", [{"shifts": True}, {"palette": 5}])
def test_what_else_may_be_copied_is_the_same_in_onnx(part, tmp_path):
    networks = tiny_networks(retention=(), copy_reach=1, from_noise=True, **part)
    clips = tiny_clips(2, WINDOW + 1)
    export_bundle(
        tmp_path / "world", *networks, tiny_spec(), *clips, ORIGIN, Sampling((0.0, 0.5))
    )  # raises if it differs
    copied = Bundle(tmp_path / "world").configs["world_model"]["copy"]
    assert part.items() <= copied.items()


def test_the_parity_report_measures_every_output(tiny_world):
    world = Bundle(tiny_world)
    step = world_step(world)
    runtime = TorchRuntime(step, world.spec)
    parity = measure_parity(runtime, OnnxRuntime(world, "cpu", threads=1), step, tiny_world)
    assert len(parity.differences) == 9
    for name in parity.differences:
        assert name in str(parity)
    assert max(parity.differences["step: latents"], parity.differences["encoder: latents"]) < 1e-4
    assert parity.differences["step: frames"] <= 1 and parity.differences["decoder: frames"] <= 1
    assert parity.decoder_speedup > 0 and parity.bytes == sum(p.stat().st_size for p in tiny_world.rglob("*.*"))
    with torch.no_grad():
        step.world_model.denoiser.token_out.bias += 0.1
    changed = measure_parity(runtime, OnnxRuntime(world, "cpu", threads=1), step, tiny_world)
    assert changed.differences["step: latents"] > 0.05


def test_weights_gone_wrong_are_refused():
    autoencoder, dynamics = tiny_networks()
    with torch.no_grad():
        dynamics.encoder.token_in.weight[0, 0] = 1e6
    with pytest.raises(WorldsimError, match=r"world_model\.encoder\.token_in\.weight"):
        stored_weights(WorldStep(autoencoder, dynamics))


@pytest.mark.parametrize("schedule", [(), (0.1, 0.5), (0.0, 0.5, 0.4), (0.0, 1.0)])
def test_a_schedule_that_does_not_rise_is_refused(schedule):
    with pytest.raises(WorldsimError, match="schedule"):
        Sampling(schedule)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished training of the smallest networks, and its recording beside it."""
    spec, (autoencoder, _) = tiny_spec(), tiny_networks()
    shape = autoencoder.config.latent_shape(spec.height, spec.width)
    dit = DiTConfig(width=32, heads=2, depth=1, temporal_layers=(0,), denoiser_depth=1, window=WINDOW)
    config = WorldModelConfig(dit).fit(shape, 3)
    save_model(tmp_path / "run/autoencoder.safetensors", autoencoder, spec)
    save_model(tmp_path / "run/dynamics.safetensors", WorldModel(config), spec)
    writer = RecordingWriter(tmp_path / "recording", spec, 0, ORIGIN)
    for i in range(10):
        frames, actions = tiny_clips(1, 9, seed=i)
        ends = np.zeros(9, bool)
        actions = np.append(actions[0], -1).astype(np.int16)
        writer.append(Episode(frames[0], actions, np.zeros(9, np.float32), ends, np.zeros((9, 0), np.float32)))
    return tmp_path / "run"


def test_export_from_the_command_line(run, capsys, monkeypatch):
    """A world that no registry knows is played as its run was trained; flags come first."""
    RunRecord("doom-maze", Sampling((0.0,), 1.5), ends=0.75, shown=6).write(run)
    out, recording = run.parent / "world", run.parent / "recording"
    arguments = ["export", str(run), "--recording", str(recording), "--out", str(out), "--starts", "3"]
    arguments += ["--temperature", "1.25", "--static-threshold", "0.01"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "step: latents" in printed and "torch eager takes" in printed and "play.py --world" in printed
    world = Bundle(out)
    step, before = world_step(world), load_world_model(run / "dynamics.safetensors")[0]
    assert (
        step.sampling == Sampling((0.0,), 1.25)
        and step.world_model.config.static_threshold == 0.01
        and before.config.static_threshold == 0
    )
    moved = before.denoiser.outcome_out.bias - step.world_model.denoiser.outcome_out.bias
    assert torch.allclose(moved[len(REWARD_BINS)], torch.tensor(0.75), atol=1e-3)  # of the logit that play goes on
    assert moved.abs().sum() - moved[len(REWARD_BINS)] < 0.01
    assert world.configs["schedule"] == [0.0] and world.origin == {**ORIGIN, "frames": 90}
    ((start, end),) = Recording(recording).episodes("held-out")
    held_out = Recording(recording).frames[start:end]
    for frames in world.starts.frames:
        assert any(np.array_equal(frames, held_out[i : i + 6]) for i in range(9 - 5))
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    monkeypatch.setitem(worldsim.runtime.export.TOLERANCE, "latents", -1.0)
    monkeypatch.setattr(worldsim.runtime.export, "export_graphs", lambda *_: graphs_of(world))
    assert main(arguments) == 2
    assert "differ from torch" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == before


def graphs_of(world: Bundle) -> dict[str, tuple[bytes, list[str]]]:
    """Graphs exported before."""
    return {name: ((world.path / f"{name}.onnx").read_bytes(), used) for name, used in world.graph_weights.items()}


def test_a_cache_of_large_numbers_is_no_difference(tiny_world, tmp_path, monkeypatch):
    """Long training makes values large, and half precision rounds those by more than a small number's tolerance."""
    autoencoder, dynamics = tiny_networks()
    with torch.no_grad():
        for name, weight in dynamics.named_parameters():
            if name.endswith("attention.v.weight"):
                weight *= 3000
            elif name.endswith("attention.out.weight"):
                weight /= 3000
    world = Bundle(tiny_world)
    monkeypatch.setattr(worldsim.runtime.export, "export_graphs", lambda *_: graphs_of(world))
    clips = tiny_clips(1, WINDOW + 1)
    parity = export_bundle(tmp_path / "large", autoencoder, dynamics, tiny_spec(), *clips, ORIGIN, world.sampling)
    assert 0 <= parity.differences["prefill: entries"] <= 4e-3


def test_what_does_not_fit_is_refused(run, capsys, small_recording):
    out = run.parent / "world"

    def error(recording: Path, *more: str) -> str:
        assert main(["export", str(run), "--recording", str(recording), "--out", str(out), *more]) == 2
        assert not out.exists()
        return capsys.readouterr().err

    recording = run.parent / "recording"
    assert "'small' at 32x16" in error(small_recording)
    assert "--starts" in error(recording, "--starts", "0")
    assert "--shown must be from 0 to 1000" in error(recording, "--shown", "1001")
    assert "rise from 0" in error(recording, "--schedule", "0.5")
    assert "temperature -1" in error(recording, "--temperature", "-1")
    assert "--ends nan" in error(recording, "--ends", "nan")
    assert "--static-threshold -1" in error(recording, "--static-threshold", "-1")
    assert "no recording at" in error(run.parent / "nowhere")
    (run / "run.json").write_text("{")
    assert "run.json can't be read" in error(recording)
    (run / "dynamics.safetensors").write_bytes((run / "dynamics.safetensors").read_bytes()[:1000])
    assert "dynamics.safetensors can't be read" in error(recording)
    (run / "dynamics.safetensors").unlink()
    assert "dynamics.safetensors" in error(recording)


def test_play_begins_where_much_was_seen(tmp_path):
    """Of the held-out episodes one shows much, one the same all the time, and one nothing."""
    rng = np.random.default_rng(0)
    writer = RecordingWriter(tmp_path / "seen", toy.SPEC)
    shape = (toy.SPEC.height, toy.SPEC.width, 3)
    busy = rng.integers(0, 256, (40, *shape), np.uint8)
    still, blank = np.repeat(busy[:1], 40, axis=0), np.zeros_like(busy)
    still[20:, 0, 0] = 0
    none = np.zeros(40)
    actions = np.append(np.zeros(39, np.int64), -1)
    for frames in [blank] * 9 + [busy] + [blank] * 9 + [still] + [blank] * 9 + [blank]:
        writer.append(
            Episode(frames, actions, none, none.astype(bool), np.zeros((40, len(toy.SPEC.state_names)), np.float32))
        )
    recording = Recording(tmp_path / "seen")
    assert len(recording.episodes("held-out")) == 3
    windows = Windows(recording.episodes("held-out"), 21)
    frames, actions = choose_starts(recording, windows, 6, 0)
    different = frames.std(axis=1).mean((1, 2, 3))
    assert (different > 50).all()  # at random, two of three would show nothing new
    edges = [np.abs(cv2.Laplacian(shown[-1], cv2.CV_32F)).mean() for shown in frames]
    assert (np.diff(edges * different) <= 1e-3).all()  # the best come first
    assert actions.shape == (6, 20)


def test_a_game_that_grows_harder_begins_at_the_beginning(tmp_path):
    recording = Recording(toy.record(tmp_path / "toy", episodes=40, length=30))
    windows = Windows(recording.episodes("held-out"), 6)
    frames, actions = beginnings(recording, windows, 3, 0)
    assert actions.shape == (3, 5)
    first = [np.asarray(recording.frames[start : start + 6]) for start, _ in recording.episodes("held-out")]
    for chosen in frames:
        assert any(np.array_equal(chosen, begun) for begun in first)
    assert len(np.unique(frames[:, 0], axis=0)) == 3
    assert len(beginnings(recording, windows, 99, 0)[0]) == len(first)


def test_a_warmer_world_is_one_that_starts_from_more_noise():
    networks = tiny_networks(retention=())
    plain, warm = (WorldStep(*networks, Sampling((0.0, 0.3, 0.6), temperature)).eval() for temperature in (1.0, 1.25))
    inputs = example_inputs(plain, 2, torch.Generator().manual_seed(0))
    latents, actions, noise, *history = inputs
    more = [latents, actions, 1.25 * noise, *history]
    with torch.no_grad():
        torch.testing.assert_close(warm(*inputs)[1], plain(*more)[1])
        assert (warm(*inputs)[1] - plain(*inputs)[1]).abs().max() > 1e-3


def test_a_world_is_exported_again_in_more_passes(tiny_world, tmp_path, capsys):
    """Its weights, starts and origin are kept; it has to be told nothing else."""
    out = tmp_path / "world"
    assert main(["export", str(tiny_world), "--schedule", "0", "0.3", "0.6", "--out", str(out)]) == 0
    before, after = Bundle(tiny_world), Bundle(out)
    assert after.sampling == dataclasses.replace(before.sampling, schedule=(0.0, 0.3, 0.6))
    assert after.sizes.draws == 3 and before.sizes.draws == 2 and after.origin == before.origin
    for name, weight in before.weights().items():
        np.testing.assert_array_equal(after.weights()[name], weight)
    np.testing.assert_array_equal(after.starts.frames, before.starts.frames)
    assert main(["export", str(tiny_world), "--recording", str(tmp_path), "--out", str(out)]) == 2
    assert "keeps its starts; leave out --recording" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "none"), "--out", str(out)]) == 2
    assert "no file" in capsys.readouterr().err


def test_a_run_is_not_exported_without_its_recording(run, capsys):
    assert main(["export", str(run), "--out", str(run.parent / "world")]) == 2
    assert "give --recording" in capsys.readouterr().err
