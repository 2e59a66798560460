"""Clips of coloured squares in two looks, of which the second darkens every pixel; and looks for the tiny world."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import torch

from worldsim.artifact import digest
from worldsim.data.captioned import CaptionedClips, write_manifest
from worldsim.data.clip_shards import Clip, shard_name, write_shard
from worldsim.models.restyle import RestyleConfig, Restyler
from worldsim.runtime.looks import LOOKS, SHIPPED

SIZES = ((32, 48), (16, 24))  # the first is that of the tiny world
CONFIG = RestyleConfig(("dark",), width=8, blocks=1, coarse_width=8, coarse_blocks=1, embedding=4)


def dark(frames: np.ndarray) -> np.ndarray:
    """Frames as the other look has them."""
    return frames // 4


def looked_clips(folder: Path, count: int = 20) -> CaptionedClips:
    """So many groups of two looks, of each size, five frames each."""
    rng = np.random.default_rng(0)
    for shard, (height, width) in enumerate(SIZES):
        clips = []
        for group in range(count):
            frames = np.full((5, height, width, 3), rng.integers(0, 256, 3), np.uint8)
            top, left = rng.integers(0, height - 8), rng.integers(0, width - 8)
            frames[:, top : top + 8, left : left + 8] = rng.integers(0, 256, 3)
            for look, seen in (("plain", frames), ("dark", dark(frames))):
                clips.append(Clip(seen, ("squares",), (("squares",),) * 2, look, group))
        write_shard(folder / shard_name(shard), clips, {})
    write_manifest(folder, len(SIZES), {"world": "squares", "seed": 0, "unseen": []})
    return CaptionedClips(folder)


def filled_restyler(config: RestyleConfig = CONFIG) -> Restyler:
    """Untrained, but with no weight left at zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        restyler = Restyler(config)
        for weight in restyler.parameters():
            if not weight.any():
                torch.nn.init.normal_(weight, std=0.1)
    return restyler.eval()


def renamed_looks(folder: Path, out: Path, **facts: object) -> Path:
    """A copy of some looks whose manifest says something else, and whose digest fits."""
    shutil.copytree(folder, out)
    path = out / LOOKS.manifest
    manifest = json.loads(path.read_text()) | facts
    path.write_text(json.dumps(manifest | {"digest": digest(manifest)}))
    return out


def with_looks(world: Path, out: Path) -> Path:
    """A copy of the tiny world that has the looks of the toy box."""
    shutil.copytree(world, out)
    renamed_looks(SHIPPED / "toybox", out / "looks", world="tiny")
    return out
