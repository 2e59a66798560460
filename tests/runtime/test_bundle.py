"""Bundles: written whole or not at all; missing, cut or changed is one error that names the file."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import HEIGHT, STARTS, WIDTH, WINDOW, tiny_clips, tiny_spec

from worldsim.errors import WorldsimError
from worldsim.runtime.bundle import BUNDLE, GRAPHS, SHIPPED, Bundle, open_world, shipped_worlds

FILES = [
    "model.safetensors",
    *(f"{graph}.onnx" for graph in (*GRAPHS, "remember")),
    "starts/starts.safetensors",
    "starts/start-00.png",
    "preview.png",
]
LARGEST = 25_000_000  # bytes of a shipped world


@pytest.fixture
def world(tiny_world: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(tiny_world, tmp_path / "world"))


def test_a_bundle_says_what_it_is(tiny_world):
    world = Bundle(tiny_world)
    assert world.spec == tiny_spec()
    assert world.sizes.window == WINDOW and world.sizes.latents == (4, HEIGHT // 8, WIDTH // 8)
    assert world.sizes.entry == (2, 7, 32)
    assert world.origin["licence"] == "MIT"
    assert len(world.digest) == 64
    assert (tiny_world / "preview.png").exists()


def test_starts_are_the_frames_that_were_given(tiny_world):
    starts = Bundle(tiny_world).starts
    frames, actions = tiny_clips(STARTS, WINDOW + 1)
    assert len(starts) == STARTS
    np.testing.assert_array_equal(starts.frames, frames)
    np.testing.assert_array_equal(starts.actions, actions)
    assert starts.latents.shape == (STARTS, WINDOW + 1, 4, HEIGHT // 8, WIDTH // 8)


@pytest.mark.parametrize("name", ["world.json", *FILES])
@pytest.mark.parametrize("harm", ["missing", "cut", "changed"])
def test_a_broken_file_is_one_error_that_names_it(world, name, harm):
    path = world / name
    data = path.read_bytes()
    if harm == "missing":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        path.write_bytes(data[:-40] + bytes([data[-40] ^ 1]) + data[-39:])
    with pytest.raises(WorldsimError) as caught:
        Bundle(world)
    message = str(caught.value)
    assert name in message and "xport" in message and "\n" not in message


def test_a_changed_manifest_is_refused(world):
    manifest = json.loads((world / "world.json").read_text())
    manifest["spec"]["fps"] = 99.0
    (world / "world.json").write_text(json.dumps(manifest))
    with pytest.raises(WorldsimError, match=r"world\.json was changed"):
        Bundle(world)
    manifest["format"] = 99
    (world / "world.json").write_text(json.dumps(manifest))
    with pytest.raises(WorldsimError, match="format 99"):
        Bundle(world)
    for text in ("[]", "{}", "null", '{"format": 1}', "not json"):
        (world / "world.json").write_text(text)
        with pytest.raises(WorldsimError, match=r"world\.json"):
            Bundle(world)


def test_the_card_may_be_written_later(world):
    digest = Bundle(world).digest
    assert Bundle(world).card == ""
    (world / "card.md").write_text("# Tiny\n", "utf-8")
    assert Bundle(world).card == "# Tiny\n" and Bundle(world).digest == digest


def test_worlds_are_opened_by_name_or_folder(tiny_world, tmp_path):
    assert open_world(tiny_world).path == tiny_world
    assert open_world(str(tiny_world)).spec.name == "tiny"
    with pytest.raises(WorldsimError, match="no world 'atlantis'"):
        open_world("atlantis")
    with pytest.raises(WorldsimError, match=r"no world\.json"):
        open_world(tmp_path)


@pytest.mark.parametrize("name", shipped_worlds())
def test_shipped_worlds_are_whole_and_small(name):
    world = open_world(name)
    assert world.spec.name == name and len(world.starts) >= 8
    assert world.origin["source"] and world.origin["licence"]
    assert sum(path.stat().st_size for path in (SHIPPED / name).rglob("*") if path.is_file()) <= LARGEST


def test_staging_replaces_an_older_world_and_leaves_nothing_else(world):
    with BUNDLE.staging(world) as folder:
        (folder / "world.json").write_text("new")
    assert [path.name for path in world.iterdir()] == ["world.json"]
    assert [path.name for path in world.parent.iterdir()] == ["world"]


@pytest.mark.parametrize("error", [RuntimeError("bug"), OSError(errno.ENOSPC, "No space left on device")])
def test_a_failed_export_leaves_the_older_world(world, error):
    with pytest.raises((RuntimeError, WorldsimError), match="bug|disk full") as caught, BUNDLE.staging(world) as folder:
        (folder / "world.json").write_text("half")
        raise error
    assert isinstance(caught.value, WorldsimError) == isinstance(error, OSError)
    assert Bundle(world).spec == tiny_spec()
    assert [path.name for path in world.parent.iterdir()] == ["world"]


def test_other_people_s_folders_are_not_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for out in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(WorldsimError, match="not a world"), BUNDLE.staging(out):
            pass
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_killed_exporter_leaves_no_half_world(tmp_path):
    out = tmp_path / "world"
    program = f"""
import os, signal
from worldsim.runtime.bundle import BUNDLE
with BUNDLE.staging({str(out)!r}) as folder:
    (folder / "world.json").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ})
    assert done.returncode == -signal.SIGKILL
    assert not (out / "world.json").exists()
    with BUNDLE.staging(out) as folder:
        assert not list(folder.iterdir())
        (folder / "world.json").write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["world"]
