"""Clips of one colour each, with that colour in words: enough to learn to imagine from in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worldsim.data.captioned import CaptionedClips, write_manifest
from worldsim.data.clip_shards import Clip, shard_name, write_shard
from worldsim.models.text import TextConfig
from worldsim.models.video_autoencoder import VideoAutoencoderConfig
from worldsim.models.video_dit import VideoDiTConfig

COLOURS = {"red": (225, 35, 40), "green": (30, 170, 60), "blue": (40, 70, 225)}
SIZES = ((32, 48), (48, 32))
AUTOENCODER = VideoAutoencoderConfig(channels=4, widths=(16, 16), blocks=1)
DIT = VideoDiTConfig(channels=4, width=64, heads=2, depth=2, word_every=1, text=TextConfig(width=32, heads=2, depth=1))


def painted_clips(
    folder: Path, frames: int = 5, world: str = "paint", thing: str = "square", named: bool = True
) -> CaptionedClips:
    """Twenty clips of each of two sizes; if they are not `named`, their words don't say the colour."""
    for shard, (height, width) in enumerate(SIZES):
        clips = []
        for group in range(20):
            name = list(COLOURS)[group % 3]
            shown = np.full((frames, height, width, 3), COLOURS[name], np.uint8)
            words = (f"a {name} {thing}", f"all is {name}") if named else (f"a {thing}",)
            clips.append(Clip(shown, words, (words,) * (1 + frames // 4), group=group))
        write_shard(folder / shard_name(shard), clips, {})
    write_manifest(folder, len(SIZES), {"world": world, "seed": 0, "unseen": []})
    return CaptionedClips(folder)
