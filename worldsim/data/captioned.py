"""Clips in words: short pieces of play at many sizes, with captions of the whole and of single moments. Knows no world.

A folder of shards, each of one bucket (length and size), and a manifest that is written last: a killed recorder goes on
with the shards that are missing. Clips of a tenth of the groups, and of some sizes, are never trained on.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numcodecs import Zstd

from worldsim import atomic
from worldsim.artifact import ArtifactKind
from worldsim.data.captions import Captions, read_captions
from worldsim.data.synonyms import AS_RECORDED_ONLY, Synonyms
from worldsim.safe_read import parse_json, read_safetensors, reading

CLIP_FRAMES = 17  # of a recorded clip: 4 k + 1, as the video autoencoder wants it
MOMENT = 4  # every so many frames has captions of its own
SHARD = 64  # clips
HELD_OUT = 10  # one group in so many is never trained on
MOST_PIXELS = 1 << 26  # of a clip
WAY_OUT = "Record it again: worldsim record clips."
KIND = ArtifactKind("a set of captioned clips", "clips.json", 1, "worldsim record clips", WAY_OUT)

Bucket = tuple[int, int, int]  # frames, height, width
Explorer = Callable[[np.ndarray, dict[str, Any]], int]


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """A piece of play in words.

    Attributes:
        frames: uint8 RGB `[T, H, W, 3]`.
        story: captions of the whole clip, each true by itself.
        moments: captions of frames 0, 4, 8, ..., each true of that frame by itself.
        look: drawing style; "" in worlds that have one only.
        group: clips of one group show the same state and keys in several looks, and are held out together.
    """

    frames: np.ndarray
    story: tuple[str, ...]
    moments: tuple[tuple[str, ...], ...]
    look: str = ""
    group: int = 0


@dataclasses.dataclass(frozen=True)
class ClipSource:
    """How a world makes clips.

    Attributes:
        sizes: (height, width) of clips to learn from; what stands twice is recorded twice as often.
        unseen: sizes of a few clips that are only judged on.
        make: (seed, height, width, what makes an explorer of a random generator) -> the clips of one group.
    """

    sizes: tuple[tuple[int, int], ...]
    unseen: tuple[tuple[int, int], ...]
    make: Callable[[int, int, int, Callable[[np.random.Generator], Explorer]], list[Clip]]

    def size(self, shard: int) -> tuple[int, int]:
        """(height, width) of the clips of a shard."""
        seen = shard - len(self.unseen)
        return self.unseen[shard] if seen < 0 else self.sizes[seen % len(self.sizes)]


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


def write_manifest(folder: Path, shards: int, facts: dict[str, Any]) -> None:
    """Say that the set is whole: its first `shards` shards."""
    (folder / KIND.manifest).unlink(missing_ok=True)  # it lists all files but itself
    KIND.write_manifest(folder, {"shards": shards, **facts})


class CaptionedClips:
    """A set of clips in words, checked as a whole when it is opened and unpacked clip by clip.

    Args:
        path: folder that `worldsim record clips` wrote.
        synonyms: of the world's words.
        retold: captions to take in place of the recorded ones, of a file that `worldsim caption` wrote.

    Attributes:
        path: of the folder. facts: what the manifest says. synonyms: as given.
        digest: names the content. retold: names the captions, if they are others than the recorded ones, as a setting
            of trainings.

    Raises:
        WorldsimError: if it is missing, cut, changed, or of another version, or if the captions are of another set.
    """

    def __init__(self, path: Path, synonyms: Synonyms = AS_RECORDED_ONLY, retold: Path | None = None):
        self.path, self.synonyms = path, synonyms
        self.facts = KIND.read_manifest(path)
        self.digest: str = self.facts["digest"]
        KIND.check_files(path, self.facts["files"])
        self._shards = []
        with reading(path, WAY_OUT):
            unseen = {tuple(size) for size in self.facts["unseen"]}
            for shard in range(int(self.facts["shards"])):
                self._shards.append(_Shard(path / shard_name(shard)))
        counts = [len(shard) for shard in self._shards]
        self._first = np.cumsum([0, *counts])
        self._held_out = np.concatenate(
            [(s.groups % HELD_OUT == HELD_OUT - 1) | (s.bucket[1:] in unseen) for s in self._shards]
            or [np.zeros(0, bool)]
        )
        self.unseen = unseen
        self._captions: list[Captions] | None = None
        self.retold: dict[str, str] = {}
        if retold is not None:
            moments = [1 + (self.bucket(number)[0] - 1) // MOMENT for number in range(len(self))]
            self._captions = read_captions(retold, self.digest, moments)
            self.retold["captions"] = hashlib.sha256(retold.read_bytes()).hexdigest()

    def __len__(self) -> int:
        return int(self._first[-1])

    def locate(self, number: int) -> tuple[int, int]:
        """(shard, place in it) of a clip."""
        shard = int(np.searchsorted(self._first, number, "right")) - 1
        return shard, number - int(self._first[shard])

    def bucket(self, number: int) -> Bucket:
        """(frames, height, width) of a clip."""
        return self._shards[self.locate(number)[0]].bucket

    def clip(self, number: int) -> Clip:
        """A clip, unpacked."""
        shard, place = self.locate(number)
        story, moments = self.words(number)
        return dataclasses.replace(self._shards[shard].clip(place), story=story, moments=moments)

    def words(self, number: int) -> Captions:
        """Story and moments of a clip, without its frames."""
        if self._captions is not None:
            return self._captions[number]
        shard, place = self.locate(number)
        return self._shards[shard].words(place)

    def label(self, number: int) -> tuple[str, int]:
        """(look, group) of a clip, without its frames."""
        shard, place = self.locate(number)
        return self._shards[shard].label(place)

    def paired(self, number: int) -> list[int]:
        """The clips that show the same as this one in other looks; a group is in one shard."""
        shard, place = self.locate(number)
        look, group = self.label(number)
        same = number - place + np.flatnonzero(self._shards[shard].groups == group)
        return [int(n) for n in same if self.label(int(n))[0] != look]

    def buckets(self, held_out: bool) -> dict[Bucket, np.ndarray]:
        """Numbers of the clips to learn from, or of those that are held out, by bucket."""
        found: dict[Bucket, list[int]] = {}
        for number in np.flatnonzero(self._held_out == held_out):
            found.setdefault(self.bucket(int(number)), []).append(int(number))
        return {bucket: np.array(numbers) for bucket, numbers in found.items()}

    def captions(self) -> list[str]:
        """Every caption of the clips to learn from."""
        found = []
        for number in np.flatnonzero(~self._held_out):
            story, moments = self.words(int(number))
            found += [*story, *(text for texts in moments for text in texts)]
        return found


class _Shard:
    """One shard, packed in memory."""

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
        return self._words[place][:2]

    def label(self, place: int) -> tuple[str, int]:
        return self._words[place][2], int(self.groups[place])

    def clip(self, place: int) -> Clip:
        begin = int(self._ends[place - 1]) if place else 0
        frames = np.empty((*self.bucket, 3), np.uint8)
        with reading(self._path, WAY_OUT):
            Zstd().decode(self._frames[begin : int(self._ends[place])], out=frames)
        story, moments, look = self._words[place]
        return Clip(frames, story, moments, look, int(self.groups[place]))
