"""docs/agents.md: every block of code runs."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
# What the page says for weeks of training -> what a test has time for.
SHORTER = {
    "1_000_000": "64",
    "num_envs=16": "num_envs=2",
    "n_steps=128, batch_size=256": "n_steps=32, batch_size=64",
    "n_eval_episodes=100": "n_eval_episodes=2",
    "max_episode_steps=500": "max_episode_steps=12",
}


def test_every_block_of_the_page_runs(tmp_path, monkeypatch):
    """In order, in one interpreter, as a reader would; only the numbers of `SHORTER` are smaller."""
    page = (ROOT / "docs" / "agents.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == page.count("```python") >= 5
    blocks = [block for block in blocks if "import ray" not in block]  # which test_rllib.py runs
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    source = "\n".join(blocks)
    for long, short in SHORTER.items():
        assert long in source, f"the page says {long} no more"
        source = source.replace(long, short)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other people's packages
        exec(compile(source, "docs/agents.md", "exec"), names)
    assert sorted(os.listdir(tmp_path)) == ["agent.safetensors", "videos"]
    assert len(load_file(tmp_path / "agent.safetensors")) > 4
    assert names["observation"].shape == (4, 96, 128, 3)
