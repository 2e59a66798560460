"""The exported site: its graph gives the bundle's frames, its files are whole, and bad calls are one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from worldsim.cli.export_web import ExportWebConfig, export_web
from worldsim.cli.main import main
from worldsim.errors import WorldsimError
from worldsim.runtime.bundle import Bundle, open_world
from worldsim.runtime.load import load_runtime
from worldsim.runtime.session import Session
from worldsim.web.graphs import WEIGHTS, browser_step, check_operators
from worldsim.web.site import SITE


def frames_of_graph(bundle: Bundle, folder: Path, actions: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Frames of the bundle's session, and of the browser's graph on the same states, by ONNX Runtime on the CPU."""
    graph, weights = browser_step(bundle)
    (folder / "step.onnx").write_bytes(graph)
    (folder / WEIGHTS).write_bytes(weights)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    browser = onnxruntime.InferenceSession(folder / "step.onnx", options, providers=["CPUExecutionProvider"])
    session = Session(load_runtime(bundle, device="cpu"))
    state, ours, theirs = session.start([0], [3]), [], []
    run = session.runtime.step

    def both(history, latents, taken, noise):
        given = [a for a in (latents, taken, noise, *history) if a is not None]
        theirs.append(browser.run(["frame"], dict(zip((i.name for i in browser.get_inputs()), given, strict=True)))[0])
        return run(history, latents, taken, noise)

    session.runtime.step = both  # type: ignore[method-assign]
    for action in actions:
        state, seen = session.step(state, np.array([action]))
        ours.append(seen.frame)
    return np.concatenate(ours).astype(int), np.concatenate(theirs).astype(int)


def test_graph_for_browsers_gives_the_frames_of_the_bundle(tiny_world, tmp_path):
    ours, theirs = frames_of_graph(Bundle(tiny_world), tmp_path, [0, 1, 2, 2, 1, 0, 1, 1])
    assert np.abs(ours - theirs).max() <= 1
    assert np.ptp(ours) > 50  # pictures, not one colour


@pytest.mark.slow
@pytest.mark.parametrize("world", ["atari-freeway", "coinrun", "doom-maze", "doom-take-cover", "rooms", "toybox"])
def test_graphs_of_shipped_worlds_give_their_frames(world, tmp_path):
    bundle = open_world(world)
    ours, theirs = frames_of_graph(bundle, tmp_path, [i % len(bundle.spec.actions) for i in range(20)])
    assert np.abs(ours - theirs).max() <= 1


def test_weights_take_half_the_room_and_lie_outside_the_graph(tiny_world):
    bundle = Bundle(tiny_world)
    graph, weights = browser_step(bundle)
    needed = sum(w.size for name, w in bundle.weights().items() if name in bundle.graph_weights["step"])
    assert 2 * needed <= len(weights) < 2.3 * needed
    inside = [i for i in onnx.load_from_string(graph).graph.initializer if i.data_location != onnx.TensorProto.EXTERNAL]
    assert sum(len(i.raw_data) for i in inside) < 1 << 18


def test_operators_that_browsers_lack_are_refused():
    node = onnx.helper.make_node("FusedConv", ["x"], ["y"], domain="com.microsoft")
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", value[:1], value[1:]))
    with pytest.raises(WorldsimError, match=r"com\.microsoft\.FusedConv"):
        check_operators(model)


def test_site_is_whole_and_says_what_is_in_it(site):
    manifest = SITE.read_manifest(site)
    SITE.check_files(site, manifest["files"])
    (world,) = manifest["worlds"]
    assert world["name"] == "tiny" and world["starts"] == 5 and manifest["plays"] == "browser"
    assert {"index.html", "app.js", "ort/ort.wasm.min.mjs", "worlds/tiny/weights.bin"} <= set(manifest["files"])
    for other in ("http://", "https://", "//cdn"):
        texts = [path.read_text() for path in site.iterdir() if path.suffix in (".html", ".js", ".css")]
        assert not any(other in text for text in texts)  # nothing is loaded from elsewhere


def test_ort_of_another_version_is_refused(tiny_world, ort, tmp_path):
    other = Path(shutil.copytree(ort, tmp_path / "ort"))
    (other / "ort.wasm.min.mjs").write_text("// another")
    with pytest.raises(WorldsimError, match="is not that of onnxruntime-web"):
        export_web(ExportWebConfig((str(tiny_world),), tmp_path / "site", other))
    assert not (tmp_path / "site").exists()


def test_missing_ort_is_one_line_with_the_way_out(tiny_world, tmp_path, capsys):
    arguments = ["export", "web", str(tiny_world), "--out", str(tmp_path / "site"), "--ort", str(tmp_path)]
    assert main(arguments) == 2
    assert "python -m worldsim.web.fetch_ort" in capsys.readouterr().err


def test_a_folder_of_something_else_is_not_replaced(tiny_world, ort, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(WorldsimError, match="not a site"):
        export_web(ExportWebConfig((str(tiny_world),), tmp_path, ort))
    assert json.dumps([path.name for path in tmp_path.iterdir()]) == '["letter.txt"]'


def test_a_world_named_twice_is_refused(tiny_world, ort, tmp_path):
    with pytest.raises(WorldsimError, match="two worlds are called 'tiny'"):
        export_web(ExportWebConfig((str(tiny_world), str(tiny_world)), tmp_path / "site", ort))
