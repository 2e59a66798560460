"""The commands that measure play, the server and the page: they run, and their figures fit each other."""

from __future__ import annotations

import json

import pytest

from worldsim.cli.main import main


def figures(folder, name):
    return json.loads((folder / name).read_text())


def test_window(tiny_world, tmp_path):
    assert main(["bench", "play", str(tiny_world), "--minutes", "0.1", "--out", str(tmp_path)]) == 0
    found = figures(tmp_path, "bench-play.json")
    assert found["frames to go back in"] >= 6 * 10 and found["to any of them, longest (ms)"] > 0
    assert found["key to changed frame, median (ms)"] > 0
    assert main(["bench", "play", str(tiny_world), "--minutes", "11"]) == 2


def test_server(tiny_world, tmp_path):
    pytest.importorskip("uvicorn")
    options = ["--players", "2", "--minutes", "0.05", "--rewind", "1", "--out", str(tmp_path)]
    assert main(["bench", "serve", str(tiny_world), *options]) == 0
    found = figures(tmp_path, "bench-serve.json")
    assert 0 < found["frames a second, slowest player"] <= found["frames a second, median player"]
    assert found["frame gap, median (ms)"] <= found["frame gap, 95th percentile (ms)"]
    assert main(["bench", "serve", str(tiny_world), "--players", "0"]) == 2


@pytest.mark.slow
def test_page(tiny_world, tmp_path):
    pytest.importorskip("websockets")
    from worldsim.web.chromium import CHROMIUM
    from worldsim.web.fetch_ort import default_folder

    if CHROMIUM is None or not default_folder().is_dir():
        pytest.skip("needs Chromium, and python -m worldsim.web.fetch_ort")
    assert main(["bench", "web", str(tiny_world), "--seconds", "2", "--out", str(tmp_path)]) == 0
    found = figures(tmp_path, "bench-web.json")
    assert found["loaded before the first frame (MB)"] > 3  # ONNX Runtime alone
    assert 0 < found["of it the network (ms)"] <= found["a step, one after another (ms)"]
