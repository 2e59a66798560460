"""Latents of captioned clips: encoded once by a video autoencoder, kept on disk shard by shard. Knows no training.

Of every clip there are the latents of the whole, whose beginnings are those of shorter clips, and of some of its frames
as pictures, each with the captions that are true of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from worldsim import atomic
from worldsim.data.captioned import MOMENT, CaptionedClips
from worldsim.device import mixed_precision
from worldsim.models.autoencoder import to_pixels
from worldsim.models.video_autoencoder import VideoAutoencoder
from worldsim.progress import ProgressBar
from worldsim.safe_read import read_safetensors

PICTURES = (2, 4)  # moments of a clip that are encoded as pictures too, besides its first frame
WAY_OUT = "Remove it, and train again."
ROWS = 8  # clips encoded at once


class ClipLatents:
    """Latents of a set of clips, in memory at half precision.

    Args:
        clips: the set.
        autoencoder: in evaluation mode.
        key: names its weights; latents that another one made are made anew.
        folder: where they are kept.
        write: whether this process makes what is missing; others find it there.
    """

    def __init__(
        self, clips: CaptionedClips, autoencoder: VideoAutoencoder, key: str, folder: Path, write: bool = True
    ):
        self.clips = clips
        wanted = {"autoencoder": key, "clips": clips.digest}
        shards: dict[int, list[int]] = {}
        for number in range(len(clips)):
            shards.setdefault(clips.locate(number)[0], []).append(number)
        self._shards = []
        with ProgressBar("latents of clips", len(shards)) as bar:
            for shard, numbers in shards.items():
                path = folder / f"latents-{shard:05}.safetensors"
                tensors, found = read_safetensors(path, WAY_OUT, "pt") if path.exists() else ({}, {})
                if found != wanted:
                    assert write, f"{path} is not there yet"
                    tensors = _encode(clips, numbers, autoencoder)
                    atomic.write_bytes(path, safetensors.torch.save(tensors, wanted))
                self._shards.append(tensors)
                bar.update(shard + 1)

    def clip(self, number: int, frames: int) -> Tensor:
        """The first `frames` frames of a clip: half precision `[t, C, h, w]`."""
        shard, place = self.clips.locate(number)
        return self._shards[shard]["clips"][place, : 1 + (frames - 1) // MOMENT]

    def pictures(self, number: int) -> int:
        """How many frames of a clip there are as pictures."""
        return 1 + len(_pictures(self.clips.bucket(number)[0]))

    @staticmethod
    def frame(which: int) -> int:
        """Which frame of a clip the picture of this number is."""
        return MOMENT * PICTURES[which - 1] if which else 0

    def picture(self, number: int, which: int) -> tuple[Tensor, tuple[str, ...]]:
        """One of a clip's `pictures`, by number: half precision `[1, C, h, w]`, and what is true of it."""
        shard, place = self.clips.locate(number)
        true = self.clips.words(number)[1][self.frame(which) // MOMENT]
        if which == 0:
            return self._shards[shard]["clips"][place, :1], true
        return self._shards[shard]["pictures"][place, which - 1, None], true


def _pictures(frames: int) -> list[int]:
    """The moments of a clip of so many frames that are encoded as pictures."""
    return [moment for moment in PICTURES if moment * MOMENT < frames]


@torch.no_grad()
def _encode(clips: CaptionedClips, numbers: list[int], autoencoder: VideoAutoencoder) -> dict[str, Tensor]:
    device = next(autoencoder.parameters()).device
    whole, pictures = [], []
    moments = _pictures(clips.bucket(numbers[0])[0])
    for i in range(0, len(numbers), ROWS):
        frames = np.stack([clips.clip(n).frames for n in numbers[i : i + ROWS]])
        pixels = to_pixels(torch.from_numpy(frames).to(device))
        with mixed_precision(device):
            whole.append(autoencoder.encode(pixels).half().cpu())
            alone = [autoencoder.encode(pixels[:, [moment * MOMENT]]).half().cpu() for moment in moments]
        pictures.append(torch.cat(alone, dim=1) if alone else whole[-1][:, :0])
    return {"clips": torch.cat(whole), "pictures": torch.cat(pictures)}
