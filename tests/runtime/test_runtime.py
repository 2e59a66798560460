"""The runtimes: ONNX Runtime is torch, a batch is its rows, and noise depends on seed, frame and draw alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_clips, tiny_networks, tiny_spec

from worldsim.device import NATIVE, has_compiler
from worldsim.errors import WorldsimError
from worldsim.models.history import History
from worldsim.models.step import WorldStep, example_inputs
from worldsim.rng import frame_noise
from worldsim.runtime.base import Runtime, StepOutput
from worldsim.runtime.bundle import open_world
from worldsim.runtime.load import load_runtime
from worldsim.runtime.onnx import OnnxRuntime, gpu_count
from worldsim.runtime.quantize import ZERO, quantize
from worldsim.runtime.session import Session
from worldsim.runtime.torch import TorchRuntime, world_step

# Float32 sums in another order; latents are of the order of 1. Cache entries, in float16, round at up to 4.
CLOSE = {"atol": 1e-4, "rtol": 1e-4}
HALF = {"atol": 4e-3, "rtol": 0}
LEVELS = 1  # of 255: where rounding falls to the other side


@pytest.fixture(scope="module")
def reference(tiny_world: Path) -> TorchRuntime:
    return TorchRuntime.of_bundle(open_world(tiny_world), "cpu")


@pytest.fixture(scope="module")
def onnx(tiny_world: Path) -> OnnxRuntime:
    return OnnxRuntime(open_world(tiny_world), "cpu", threads=1)


@pytest.fixture(scope="module")
def inputs(tiny_world: Path) -> tuple[Any, ...]:
    """Of a step, five rows with caches of every length."""
    example = example_inputs(world_step(open_world(tiny_world)), 5, torch.Generator().manual_seed(3))
    arrays = [tensor.numpy() for tensor in example]
    arrays[4] = np.array([0, 1, 2, 3, 3])
    return History(*arrays[3:]), *arrays[:3]


def assert_same(a: StepOutput, b: StepOutput) -> None:
    for name in ("entry", "latents", "reward", "cont", "uncertainty", "memory"):
        x, y = getattr(a, name), getattr(b, name)
        assert x.shape == y.shape and x.dtype == y.dtype, name
        close = HALF if name in ("entry", "memory") else CLOSE
        np.testing.assert_allclose(x.astype(np.float32), y.astype(np.float32), **close, err_msg=name)
    assert a.frame.dtype == b.frame.dtype == np.uint8
    assert np.abs(a.frame.astype(int) - b.frame).max() <= LEVELS


def test_onnx_step_is_torch_step(reference, onnx, inputs):
    assert_same(reference.step(*inputs), onnx.step(*inputs))


@pytest.mark.parametrize("length", [1, 2, 7])
@pytest.mark.parametrize("batch", [1, 3])
def test_onnx_prefill_encoder_and_decoder_are_torch_s(reference, onnx, batch, length):
    rng = np.random.default_rng(length)
    frames = rng.integers(0, 256, (batch, length, reference.spec.height, reference.spec.width, 3), np.uint8)
    actions = rng.integers(0, 3, (batch, length))
    latents = reference.encode(frames)
    assert latents.shape == (batch, length, *reference.sizes.latents) and latents.dtype == np.float32
    np.testing.assert_allclose(onnx.encode(frames), latents, **CLOSE)
    shown = reference.decode(latents)
    assert shown.shape == frames.shape and shown.dtype == np.uint8
    assert np.abs(onnx.decode(latents).astype(int) - shown).max() <= LEVELS
    entries = reference.prefill(latents, actions)
    assert entries.shape == (batch, length, *reference.sizes.entry) and entries.dtype == np.float16
    np.testing.assert_allclose(onnx.prefill(latents, actions).astype(np.float32), entries.astype(np.float32), **HALF)


@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_a_batch_of_five_is_five_singles(kind, reference, onnx, inputs):
    runtime: Runtime = {"torch": reference, "onnx": onnx}[kind]
    whole = runtime.step(*inputs)
    for i in range(5):
        history, *frame = inputs
        single = runtime.step(History(*map(row(i), history)), *map(row(i), frame))
        assert_same(StepOutput(*map(row(i), whole)), single)


def row(i: int) -> Callable[[np.ndarray | None], np.ndarray | None]:
    return lambda array: None if array is None else array[i : i + 1]


def test_products_in_8_bits_are_nearly_the_reference_s(tiny_world, reference, inputs):
    int8 = load_runtime(open_world(tiny_world), "int8", "cpu")
    made, true = int8.step(*inputs), reference.step(*inputs)
    for name in ("entry", "latents", "reward", "cont", "memory"):
        x, y = getattr(made, name), getattr(true, name)
        assert x.shape == y.shape and x.dtype == y.dtype, name
        x, y = x.astype(np.float64), y.astype(np.float64)
        most = 0.07 if name in ("reward", "cont") else 0.05  # a few numbers of an untrained network
        assert np.sqrt(np.square(x - y).mean()) < most * np.sqrt(np.square(y).mean()), name
    assert np.abs(made.latents - true.latents).max() > 0
    for one, other in zip(made, int8.step(*inputs), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(WorldsimError, match="CPU alone"):
        load_runtime(open_world(tiny_world), "int8", "cuda")


def test_a_quantized_weight_is_within_half_a_step():
    weight = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    stored, scale = quantize(weight)
    assert stored.dtype == np.uint8 and stored.shape == (7, 5) and scale.shape == (5,)
    again = (stored.astype(np.float64) - ZERO).T * scale[:, None]
    assert (np.abs(again - weight) <= 0.5001 * scale[:, None]).all()
    assert np.isfinite(quantize(np.zeros((2, 3), np.float32))[1]).all()


@pytest.mark.slow
def test_many_rows_at_once_are_nearly_the_reference_s(tiny_world, reference, inputs):
    """The compiled step in bfloat16: the same shapes, nearly the same numbers, and the same again."""
    batch = load_runtime(open_world(tiny_world), "batch", "cpu")
    made, true = batch.step(*inputs), reference.step(*inputs)
    for name in ("entry", "latents", "reward", "cont", "uncertainty", "memory"):
        x, y = getattr(made, name), getattr(true, name)
        assert x.shape == y.shape and x.dtype == y.dtype, name
        x, y = x.astype(np.float64), y.astype(np.float64)
        most = 0.07 if name in ("reward", "cont") else 0.05  # a few numbers of an untrained network
        assert np.sqrt(np.square(x - y).mean()) < most * np.sqrt(np.square(y).mean()), name
    assert np.abs(made.frame.astype(int) - true.frame).mean() < 2
    assert np.array_equal(made.latents, true.latents) == (NATIVE is torch.float32 and not has_compiler())
    for one, other in zip(made, batch.step(*inputs), strict=True):
        np.testing.assert_array_equal(one, other)
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, *true.frame.shape[1:]), np.uint8)
    np.testing.assert_allclose(batch.encode(frames), reference.encode(frames), atol=0.2)


@pytest.mark.slow
def test_a_world_with_a_motion_prior_runs_compiled_as_its_memory_grows():
    parts = {
        "retention": ((4, 1), (8, 2)),
        "copy_reach": 1,
        "max_shift": 1,
        "refiner_width": 8,
        "hidden_layer": True,
        "motion": 8,
    }
    step = WorldStep(*tiny_networks(**parts))
    frames, actions = tiny_clips(2, 3)
    reference = Session(TorchRuntime(step, tiny_spec()))
    states, seen = [reference.reset(frames, actions, [0, 1])], []
    for _ in range(4):
        state, made = reference.step(states[-1], np.array([1, 0]))
        states.append(state)
        seen.append(made.frame.astype(int))
    compiled = Session(TorchRuntime(step, tiny_spec(), mixed=True))  # last: it hides the motion prior from the compiler
    for state, frame in zip(states, seen, strict=False):  # each by itself: untrained weights amplify rounding
        assert np.abs(compiled.step(state, np.array([1, 0]))[1].frame - frame).mean() < 5


def test_every_input_of_a_step_matters(onnx, inputs):
    before = onnx.step(*inputs)
    history, latents, actions, noise = inputs
    changed = {
        "cache": (history._replace(cache=history.cache + 1), latents, actions, noise),
        "length": (history._replace(length=(history.length + 1) % 3), latents, actions, noise),
        "memory": (history._replace(memory=history.memory + 1), latents, actions, noise),
        "latents": (history, latents + 1, actions, noise),
        "actions": (history, latents, (actions + 1) % 3, noise),
        "noise": (history, latents, actions, noise + 1),
    }
    for name, other in changed.items():
        assert np.abs(onnx.step(*other).latents - before.latents)[1:].max() > 1e-3, name


def test_playing_imports_no_torch(tiny_world):
    program = f"""
import sys
import numpy as np
from worldsim.runtime.bundle import open_world
from worldsim.runtime.load import load_runtime
from worldsim.runtime.session import Session
session = Session(load_runtime(open_world({str(tiny_world)!r})))
state = session.start([0], [0])
state, seen = session.step(session.restore(session.snapshot(state)), np.array([1]))
session.reset(seen.frame[:, None], np.zeros((1, 0), int), [0])
print(sorted(name for name in sys.modules if name in ("torch", "onnx", "einops", "gymnasium", "pygame", "zarr")))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_what_is_not_there_is_refused(tiny_world):
    world = open_world(tiny_world)
    if gpu_count() == 0:
        for kind in ("onnx", "torch"):
            with pytest.raises(WorldsimError, match="--device cpu"):
                load_runtime(world, kind, "cuda")
    with pytest.raises(WorldsimError, match="'tpu'"):
        load_runtime(world, "onnx", "tpu")  # type: ignore[arg-type]
    with pytest.raises(WorldsimError, match="onnx, int8, torch and batch"):
        load_runtime(world, "tensorflow")


def test_networks_of_another_world_are_refused():
    step = WorldStep(*tiny_networks())
    spec = tiny_spec().to_json()
    with pytest.raises(WorldsimError, match="64x32"):
        TorchRuntime(step, tiny_spec().from_json({**spec, "width": 64}))
    with pytest.raises(WorldsimError, match="3 actions"):
        TorchRuntime(step, tiny_spec().from_json({**spec, "actions": spec["actions"][:2]}))


def test_noise_depends_on_seed_and_frame_alone():
    noise = frame_noise(3, 7, (4, 5, 6))
    assert noise.shape == (4, 5, 6) and noise.dtype == np.float32
    np.testing.assert_array_equal(frame_noise(3, 7, (4, 5, 6)), noise)
    others = [frame_noise(4, 7, (4, 5, 6)), frame_noise(3, 8, (4, 5, 6))]
    assert all(np.abs(other - noise).max() > 0.1 for other in others)
    many = np.stack([frame_noise(0, i, (1000,)) for i in range(20)])
    assert abs(many.mean()) < 0.03 and abs(many.std() - 1) < 0.03
    np.testing.assert_array_equal(frame_noise(3, 7, (4, 5, 6), 1.5), noise * np.float32(1.5))
    assert frame_noise(3, 7, (4, 5, 6), 1.15).dtype == np.float32
