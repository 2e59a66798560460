"""RLlib trains in generated worlds, by the block of docs/agents.md: in the world named there, and in one it can learn.

RLlib asks for one version of Gymnasium and no other, so it is no part of the extra `test`: .ci/run installs it last and
runs this file then. Each training is a process of its own, with a home of its own, because Ray starts many and writes
a token there.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "agents.md"
WORLD = '"worldsim_envs:worldsim/DoomMaze-v0"'
# What the page says for weeks of training -> what a test has time for.
SHORTER = {
    "1_000_000": "192",
    "num_envs_per_env_runner=16": "num_envs_per_env_runner=2",
    "train_batch_size_per_learner=2048, minibatch_size=256": "train_batch_size_per_learner=64, minibatch_size=32",
    "max_episode_steps=500": "max_episode_steps=40",
}
LEARNING = {
    "1_000_000": "4096",
    "num_envs_per_env_runner=16": "num_envs_per_env_runner=8",
    "train_batch_size_per_learner=2048, minibatch_size=256": "train_batch_size_per_learner=256, minibatch_size=64",
    "max_episode_steps=500": "max_episode_steps=4",
    "lr=3e-4": "lr=1e-3, gamma=0.9",
}
# Every step that RLlib has of an episode is one of that episode, and none the reset after it; an end is what it was.
WHOLE = """
episodes = algo.env_runner.sample(num_timesteps=512, random_actions=True, force_reset=True)
for episode in episodes:
    since = [info["steps_since_real"] for info in episode.get_infos()]
    assert since == list(range(episode.t_started, episode.t + 1)), (episode, since)
    assert episode.is_truncated == (episode.t == 4), episode
ends = {(bool(episode.is_terminated), bool(episode.is_truncated)) for episode in episodes}
assert ends >= {(True, False), (False, True)}, ends
algo.stop()
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="RLlib is missing: pip install '.[rllib]'"),
]


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder with a name short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as name:
        yield Path(name)


def train(changes: dict[str, str], home: Path) -> list[tuple[int, float]]:
    """Run the page's block with other numbers; give (frames, return) as it prints them, and leave no process behind."""
    (block,) = [
        code for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "import ray" in code
    ]
    for said, changed in changes.items():
        assert said in block, f"the page says {said} no more"
        block = block.replace(said, changed)
    environment = {**os.environ, "HOME": str(home), "RAY_TMPDIR": str(home), "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        [sys.executable, "-c", block], env=environment, cwd=home, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert processes_of(home) == []
    lines = re.findall(r"^(\d+) frames: imagined return (\S+)$", done.stdout, re.MULTILINE)
    return [(int(frames), float(paid)) for frames, paid in lines]


def processes_of(home: Path) -> list[str]:
    """The commands of processes at home there, once they had ten seconds to end. (Linux; elsewhere none.)"""
    for _ in range(20):
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if f"HOME={home}\0".encode() in (process / "environ").read_bytes():
                    found.append((process / "cmdline").read_text())
            except OSError:  # it has just ended, or is another user's
                continue
        if not found:
            break
        time.sleep(0.5)
    return found


def test_block_of_the_page_runs(home):
    """With no episode at its end in the first update, as it is with the page's own numbers."""
    frames, paid = zip(*train(SHORTER, home), strict=True)
    assert frames == (64, 128, 192) and np.isfinite(paid).tolist() == [False, True, True]
    assert (home / "agent.safetensors").stat().st_size > 10_000


def test_rllib_learns(home, tiny_world):
    changes = {**LEARNING, WORLD: f"{WORLD}, world={str(tiny_world)!r}", "algo.stop()\n": WHOLE}
    frames, paid = zip(*train(changes, home), strict=True)
    assert frames[-1] >= 4096 and all(256 <= more < 264 for more in np.diff((0, *frames))), frames
    assert np.mean(paid[-4:]) > paid[0] + 3, paid
