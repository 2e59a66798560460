"""Shards: files of clips in words that have one length and size. Knows neither sets of them nor worlds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numcodecs import Zstd

from worldsim import atomic
from worldsim.data.captions import Captions
from worldsim.safe_read import parse_json, read_safetensors, reading

MOST_PIXELS = 1 << 26  # of a clip
WAY_OUT = "Record it again: worldsim record clips."

Bucket = tuple[int, int, int]  # frames, height, width


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """A piece of play in words.

    Attributes:
        frames: uint8 RGB `[T, H, W, 3]`.
        story: captions of the whole clip, each true by itself.
        moments: captions of frames 0, 4, 8, ..., each true of that frame by itself.
        look: drawing style; "" in worlds that have one only.
        group: clips of one group are held out together; in worlds of several looks they show the same state and keys.
    """

    frames: np.ndarray
    story: tuple[str, ...]
    moments: tuple[tuple[str, ...], ...]
    look: str = ""
    group: int = 0


def shard_name(shard: int) -> str:
    """File name of a shard."""
    return f"shard-{shard:05}.safetensors"


def write_shard(path: Path, clips: Sequence[Clip], facts: dict[str, Any]) -> None:
    """Write clips of one bucket, whole or not at all.

    Args:
        path: of the shard.
        clips: whose frames have one shape.
        facts: JSON that says how they were made; `shard_facts` gives it back.
    """
    shape = clips[0].frames.shape
    assert all(clip.frames.shape == shape and clip.frames.dtype == np.uint8 for clip in clips)
    codec = Zstd(level=5)
    packed = [np.frombuffer(codec.encode(np.ascontiguousarray(clip.frames)), np.uint8) for clip in clips]
    words = [{"story": clip.story, "moments": clip.moments, "look": clip.look} for clip in clips]
    tensors: dict[str, np.ndarray] = {
        "frames": np.concatenate(packed),
        "ends": np.cumsum([len(x) for x in packed]).astype(np.int64),
        "groups": np.array([clip.group for clip in clips], np.int64),
        "words": np.frombuffer(json.dumps({"clips": words}).encode(), np.uint8),
    }
    metadata = {"worldsim": json.dumps({**facts, "bucket": list(shape[:3])})}
    atomic.write_bytes(path, safetensors.numpy.save(tensors, metadata))


def shard_facts(path: Path) -> dict[str, Any]:
    """How the clips of a shard were made."""
    _, metadata = read_safetensors(path, WAY_OUT)
    with reading(path, WAY_OUT):
        return parse_json(metadata["worldsim"], path, WAY_OUT)


class Shard:
    """One shard, packed in memory.

    Raises:
        WorldsimError: if it is missing, cut, or none.
    """

    def __init__(self, path: Path):
        tensors, metadata = read_safetensors(path, WAY_OUT)
        with reading(path, WAY_OUT):
            frames, height, width = parse_json(metadata["worldsim"], path, WAY_OUT)["bucket"]
            self.bucket: Bucket = (int(frames), int(height), int(width))
            if min(self.bucket) < 1 or frames * height * width > MOST_PIXELS:
                raise ValueError(f"clips of {frames} frames of {width}x{height}")
            self.groups, self._ends, self._frames = tensors["groups"], tensors["ends"], tensors["frames"]
            clips = parse_json(tensors["words"].tobytes(), path, WAY_OUT)["clips"]
            self._words = [
                (tuple(map(str, c["story"])), tuple(tuple(map(str, m)) for m in c["moments"]), str(c["look"]))
                for c in clips
            ]
            if not len(self.groups) == len(self._ends) == len(self._words):
                raise ValueError("it has not as many captions as clips")
        self._path = path

    def __len__(self) -> int:
        return len(self.groups)

    def words(self, place: int) -> Captions:
        """Story and moments of a clip."""
        return self._words[place][:2]

    def label(self, place: int) -> tuple[str, int]:
        """(look, group) of a clip."""
        return self._words[place][2], int(self.groups[place])

    def clip(self, place: int) -> Clip:
        """A clip, unpacked."""
        begin = int(self._ends[place - 1]) if place else 0
        frames = np.empty((*self.bucket, 3), np.uint8)
        with reading(self._path, WAY_OUT):
            Zstd().decode(self._frames[begin : int(self._ends[place])], out=frames)
        story, moments, look = self._words[place]
        return Clip(frames, story, moments, look, int(self.groups[place]))
