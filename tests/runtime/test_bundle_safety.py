"""Bundles from elsewhere: nothing outside the folder is read, nothing large is allocated, nothing foreign is run; and a
world that is open stays the world that was opened."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.numpy
from onnx import TensorProto, helper

from worldsim import atomic
from worldsim.artifact import digest
from worldsim.errors import WorldsimError
from worldsim.runtime.bundle import BUNDLE, Bundle
from worldsim.runtime.load import load_runtime
from worldsim.runtime.onnx_check import GRAPH_BYTES
from worldsim.runtime.session import Session
from worldsim.runtime.torch import world_step


@pytest.fixture
def world(tiny_world: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(tiny_world, tmp_path / "world"))


def manifest_of(world: Path) -> dict[str, Any]:
    return json.loads((world / "world.json").read_text())


def rewrite(world: Path, change: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
    """A manifest whose every checksum fits, after a change of the folder or of what the manifest says."""
    content = manifest_of(world)
    (world / "world.json").unlink()
    for key in ("files", "digest"):
        del content[key]
    BUNDLE.write_manifest(world, content)
    content = manifest_of(world)
    change(content)
    content["digest"] = digest(content)
    (world / "world.json").write_text(json.dumps(content))


def error_of(call: Callable[[], object]) -> str:
    with pytest.raises(WorldsimError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def outside_weights(model: onnx.ModelProto, name: str = "stolen") -> None:
    tensor = helper.make_tensor(name, TensorProto.FLOAT, [4], b"\0" * 16, raw=True)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret.txt")
    model.graph.initializer.append(tensor)


def twice_the_same(model: onnx.ModelProto) -> None:
    outside = next(t for t in model.graph.initializer if t.data_location == TensorProto.EXTERNAL)
    outside_weights(model, outside.name)


def outside_constant(model: onnx.ModelProto) -> None:
    outside_weights(model)
    tensor = model.graph.initializer.pop()
    model.graph.node.append(helper.make_node("Constant", [], ["stolen"], value=tensor))


def loop(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", ""], ["x"], body=body))


def foreign_operator(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft"))


def function(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function("own", "F", [], [], [], [helper.make_opsetid("", 20)]))


def large(model: onnx.ModelProto) -> None:
    model.graph.doc_string = "x" * GRAPH_BYTES


@pytest.mark.parametrize("graph", ["step", "decoder"])
@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (outside_weights, "tensor 'stolen' lies in another file"),
        (twice_the_same, "lies in another file"),
        (outside_constant, "a constant lies in another file"),
        (loop, "a graph within the graph, of operator 'Loop'"),
        (foreign_operator, "an operator of 'com.microsoft'"),
        (function, "functions"),
        (large, "at most"),
    ],
)
def test_a_graph_reads_no_file_and_runs_nothing_foreign(world, graph, harm, says):
    path = world / f"{graph}.onnx"
    model = onnx.load(path, load_external_data=False)
    harm(model)
    path.write_bytes(model.SerializeToString())
    rewrite(world)
    message = error_of(lambda: load_runtime(Bundle(world)))
    assert f"{graph}.onnx" in message and says in message


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x3a\xff\xff\xff\x7f", b"\x3b", b"\xff" * 40, b"not a graph"])
def test_what_is_no_graph_is_one_error(world, data):
    (world / "step.onnx").write_bytes(data)
    rewrite(world)
    assert "ONNX model" in error_of(lambda: load_runtime(Bundle(world)))


def test_a_graph_of_another_world_is_refused(world):
    shutil.copy(world / "prefill.onnx", world / "encoder.onnx")
    rewrite(world, lambda content: content["graphs"].update(encoder=content["graphs"]["prefill"]))
    runtime = load_runtime(Bundle(world))
    frames = runtime.starts.frames[:1]
    assert "encoder.onnx" in error_of(lambda: runtime.encode(frames))


def test_a_weight_that_is_not_there_is_named(world):
    rewrite(world, lambda content: content["graphs"]["step"].append("made up"))
    assert "made up" in error_of(lambda: load_runtime(Bundle(world)))


def set_in(*keys: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        set_in("configs", "schedule", value=[]),
        set_in("configs", "schedule", value=[0.0, float("nan")]),
        set_in("configs", "schedule", value=[0.0, 0.5, 0.4]),
        set_in("configs", "schedule", value=[i / 1000 for i in range(1000)]),
        set_in("configs", "schedule", value="0"),
        set_in("configs", "temperature", value=float("inf")),
        set_in("configs", "temperature", value=True),
        set_in("configs", "temperature", value=-1),
        set_in("configs", "world_model", "dit", "window", value=10**9),
        set_in("configs", "autoencoder", "widths", value=[1e308]),
        set_in("configs", value=[]),
        set_in("sizes", "window", value=10**9),
        set_in("sizes", "entry", value=[65_536, 65_536, 65_536]),
        set_in("graphs", value={}),
        set_in("files", value={}),
        set_in("files", "starts/starts.safetensors", "bytes", value=10**12),
        set_in("files", "/etc/passwd", value={"bytes": 1, "sha256": "0"}),
        set_in("files", "../secret.txt", value={"bytes": 1, "sha256": "0"}),
    ],
)
def test_what_a_manifest_says_is_bounded(world, change):
    (world.parent / "secret.txt").write_text("s")
    rewrite(world, change)
    assert "world" in error_of(lambda: Bundle(world))


def test_a_link_out_of_the_folder_is_not_followed(world):
    shutil.move(world / "preview.png", world.parent / "preview.png")
    os.symlink(world.parent / "preview.png", world / "preview.png")
    rewrite(world)
    assert "preview.png" in error_of(lambda: Bundle(world))


def test_configs_ask_for_no_more_than_the_weights(world):
    rewrite(world, set_in("configs", "world_model", "dit", "width", value=1_000_000))
    message = error_of(lambda: world_step(Bundle(world)))
    assert "do not fit" in message and "weights differ" in message


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_are_finite(world, value):
    path = world / "model.safetensors"
    weights = safetensors.numpy.load_file(path)
    name = sorted(weights)[-1]
    weights[name] = np.full_like(weights[name], value)
    safetensors.numpy.save_file(weights, path)
    rewrite(world)
    assert name in error_of(lambda: load_runtime(Bundle(world)))


def test_a_header_of_weights_is_bounded(world):
    (world / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 40) + b"{}")
    rewrite(world)
    assert "a header of" in error_of(lambda: load_runtime(Bundle(world)))


@pytest.mark.parametrize("name", ["preview.png", "starts/start-01.png"])
def test_a_picture_of_a_million_rows_is_not_unpacked(world, name):
    data = (world / name).read_bytes()
    (world / name).write_bytes(data[:16] + struct.pack(">II", 1_000_000, 1_000_000) + data[24:])
    rewrite(world)
    bundle = Bundle(world)
    message = error_of(lambda: bundle.preview if name == "preview.png" else bundle.starts)
    assert Path(name).name in message and "pixels" in message


@pytest.mark.parametrize(
    ("name", "value"), [("actions", 99), ("actions", -1), ("latents", np.inf), ("latents", None), ("actions", None)]
)
def test_starts_are_of_this_world(world, name, value):
    path = world / "starts/starts.safetensors"
    arrays = dict(safetensors.numpy.load_file(path))
    if value is None:
        arrays[name] = np.zeros((2, 0), arrays[name].dtype)
    else:
        arrays[name][0, 0] = value
    safetensors.numpy.save_file(arrays, path)
    rewrite(world)
    bundle = Bundle(world)
    assert "starts.safetensors" in error_of(lambda: bundle.starts)


def test_a_world_that_is_open_stays_that_world(world, tiny_world):
    bundle, session = Bundle(world), Session(load_runtime(Bundle(world)))
    shutil.rmtree(world)
    shutil.copytree(tiny_world, world)
    path = world / "model.safetensors"
    weights = {name: np.zeros_like(weight) for name, weight in safetensors.numpy.load_file(path).items()}
    safetensors.numpy.save_file(weights, path)
    rewrite(world)
    with pytest.raises(WorldsimError, match=r"model\.safetensors was changed or replaced .* Open it again"):
        load_runtime(bundle)
    fresh, same = Session(load_runtime(Bundle(tiny_world))), session
    assert same.runtime.digest == fresh.runtime.digest != Session(load_runtime(Bundle(world))).runtime.digest
    clip = fresh.runtime.starts
    states = [s.reset(clip.frames[:1], clip.actions[:1], [7]) for s in (same, fresh)]  # with graphs not loaded before
    frames = [s.step(state, np.array([1]))[1].frame for s, state in zip((same, fresh), states, strict=True)]
    np.testing.assert_array_equal(*frames)


def test_a_world_that_is_being_written_is_not_written_by_another(world):
    with (
        atomic.lock(world),
        pytest.raises(WorldsimError, match="being written by another process"),
        BUNDLE.staging(world),
    ):
        pass
    assert Bundle(world).spec.name == "tiny"
