"""From a game that nobody prepared to a playable world, by the commands of docs/own-world.md and no others.

Far too few steps to learn anything: that each command takes what the one before it left is what is tested.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from worldsim.data.video import read_frames

COMMANDS = (
    "record MountainCar-v0 --frames 1000 --episode-frames 100 --size 48x32 --workers 1 --out recordings/car",
    "inspect recordings/car",
    "train autoencoder --recording recordings/car --out runs/car --recipe atari-freeway --steps 4 --batch 4",
    "train dynamics --recording recordings/car --out runs/car --recipe atari-freeway --steps 4 --batch 2 --no-compile",
    "export runs/car --recording recordings/car --out worlds/car --starts 2",
    "play --world worlds/car --headless --frames 12 --record car.mp4",
)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_a_game_to_a_playable_world(tmp_path: Path):
    for command in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", "worldsim.cli.main", *command.split()], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, f"worldsim {command}\n{done.stdout}\n{done.stderr}"
    frames = np.stack(list(read_frames(tmp_path / "car.mp4")))
    assert len(frames) == 12
    assert frames.shape[1] * 48 == frames.shape[2] * 32
