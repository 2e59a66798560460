"""`import worldsim`: the names that users start from, and nothing loaded before they are used."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import numpy as np
import pytest

import worldsim


def test_a_world_is_opened_and_played():
    session = worldsim.Session(worldsim.load_runtime(worldsim.open_world("doom-maze")))
    state = session.start([0], seeds=[7])
    state, seen = session.step(state, np.array([1]))
    assert seen.frame.shape == (1, session.spec.height, session.spec.width, 3)


def test_the_version_is_that_of_the_distribution(monkeypatch):
    assert worldsim.__version__ == importlib.metadata.version("worldsim-engine")

    def not_installed(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", not_installed)
    monkeypatch.delattr(worldsim, "__version__")
    assert worldsim.__version__ == "0+unknown"
    monkeypatch.delattr(worldsim, "__version__")


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match="'worldsim' has no attribute 'Sessions'"):
        _ = worldsim.Sessions
    with pytest.raises(ImportError):
        from worldsim import nothing  # noqa: F401
    assert {"Session", "open_world"} <= set(dir(worldsim))


def test_importing_loads_nothing():
    program = "import sys, worldsim; print(sorted({'numpy', 'onnxruntime', 'torch', 'cv2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
